//! Two ends of an Ethernet link in the memory of one process.
//!
//! [`pair`] makes the link. What one end sends, the other receives: frames change hands and are never copied.
//! Empty ones travel back, so that a stream in one direction does not drain the sender's pool.
//!
//! Both ends may live on one thread, where a frame costs a few nanoseconds and no system call is ever made; or on
//! two, where an end that parked is woken up through an eventfd, and one that didn't is left alone.

mod bell;
mod parked;

use crate::inspect::InspectBuf;
use crate::pool::{Frame, Pool, PooledBuf};
use crate::wait::Waitable;
use bell::Bell;
use netlane_packet_io::{BURST, Batch, Caps, LinkDown, PacketIo, RxChecksum, RxOffload, TxOffload};
use parked::Call;
use rtrb::{Consumer, Producer, RingBuffer};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::{io, mem};

/// What a link in memory is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// The largest IP packet, in bytes, where no offload is used.
    pub mtu: usize,
    /// The Ethernet addresses of the two ends.
    pub macs: [[u8; 6]; 2],
    /// The most frames that may be under way in each direction.
    pub queue: usize,
    /// The most frames that each end makes.
    pub pool: usize,
    /// What the ends offer to do for the stack.
    pub offload: Offload,
}

/// What the ends of a link in memory offer to do for the stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// Nothing: frames are as they would be on a wire.
    #[default]
    None,
    /// To leave TCP and UDP checksums out: what crosses memory needs none, and arrives as verified.
    Checksum,
    /// That, and to take frames of up to 64 KiB, which cross in one piece and arrive as if good segments had
    /// been joined.
    Segmentation,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            mtu: 1500,
            macs: [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]],
            queue: 1024,
            pool: 2048,
            offload: Offload::None,
        }
    }
}

impl MemoryConfig {
    fn caps(&self, mac: [u8; 6]) -> Caps {
        let plain = Caps::plain(mac, self.mtu);
        match self.offload {
            Offload::None => plain,
            Offload::Checksum => Caps { tx_checksum: true, ..plain },
            Offload::Segmentation => {
                let max_frame = plain.max_frame.max(MAX_OFFLOADED_FRAME);
                Caps { tx_checksum: true, tso_v4: true, tso_v6: true, uso: true, max_frame, ..plain }
            }
        }
    }
}

/// An IP packet of 65535 bytes, and its Ethernet header with an 802.1Q tag.
const MAX_OFFLOADED_FRAME: usize = 65535 + 18;

/// Makes a link and gives its two ends, in the order of [`MemoryConfig::macs`].
///
/// # Errors
/// When the system refuses the two eventfds through which the ends wake each other up.
pub fn pair(config: &MemoryConfig) -> io::Result<(MemoryPort, MemoryPort)> {
    let (bell_a, bell_b) = (Arc::new(Bell::new()?), Arc::new(Bell::new()?));
    let (frames_ab, frames_ba) = (RingBuffer::new(config.queue), RingBuffer::new(config.queue));
    let (empties_ab, empties_ba) = (RingBuffer::new(config.pool), RingBuffer::new(config.pool));
    let a = Side {
        frames: Rings { out: frames_ab.0, inward: frames_ba.1 },
        empties: Rings { out: empties_ab.0, inward: empties_ba.1 },
        ours: Arc::clone(&bell_a),
        theirs: Arc::clone(&bell_b),
    };
    let b = Side {
        frames: Rings { out: frames_ba.0, inward: frames_ab.1 },
        empties: Rings { out: empties_ba.0, inward: empties_ab.1 },
        ours: bell_b,
        theirs: bell_a,
    };
    let port = |side, mac| MemoryPort { side, caps: config.caps(mac), frames: config.pool };
    Ok((port(a, config.macs[0]), port(b, config.macs[1])))
}

/// One end of a link, not in use yet. It may be sent to the thread that shall use it.
#[derive(Debug)]
pub struct MemoryPort {
    side: Side,
    caps: Caps,
    frames: usize,
}

impl MemoryPort {
    /// Starts using this end, on this thread.
    #[must_use]
    pub fn open(self) -> Memory {
        let Self { side, caps, frames } = self;
        side.ours.opened_here();
        Memory {
            pool: Pool::new(frames, caps.max_frame),
            repay_at: BURST.min(frames.div_ceil(4)) as isize,
            owed: 0,
            lacks: Lacks::default(),
            together: None,
            caps,
            side,
        }
    }
}

/// One end of a link in memory.
///
/// It shall send buffers that it lent itself, or received: a frame that is sent moves to the other end, so one from
/// another device's pool would be lost to that pool.
#[derive(Debug)]
pub struct Memory {
    caps: Caps,
    pool: Pool,
    side: Side,
    /// Frames that came from the other end, less those that it got: how many of ours are theirs.
    owed: isize,
    /// How many frames may be owed before empty ones go back.
    repay_at: isize,
    lacks: Lacks,
    /// Whether the other end is on this thread too, once that is known: it cannot sleep while this one runs then.
    together: Option<bool>,
}

/// What this end could not get when it last asked, since it last parked.
#[derive(Debug, Default)]
struct Lacks {
    buffers: bool,
    room: bool,
}

impl Memory {
    /// The pool that this end's buffers come from.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Gives back empty frames to the other end, as many as are owed and lie here.
    fn repay(&mut self) {
        let owed = usize::try_from(self.owed).unwrap_or(0);
        let count = self.side.empties.room_for(owed.min(self.pool.free()));
        if count == 0 {
            return;
        }
        let paid = self.side.empties.send(count, std::iter::from_fn(|| self.pool.take()));
        self.owed -= paid as isize;
        self.ring(Call::Room);
    }

    /// Fetches the empty frames that came back.
    fn collect(&mut self) {
        let count = self.side.empties.inward.slots();
        for frame in self.side.empties.receive(count) {
            self.pool.put(frame);
            self.owed += 1;
        }
    }

    /// Wakes the other end up if it is parked and waits for this.
    fn ring(&mut self, call: Call) {
        if self.together.is_none() {
            self.together = self.side.theirs.listens_here();
        }
        if self.together != Some(true) {
            self.side.theirs.ring(call);
        }
    }
}

impl PacketIo for Memory {
    type Buf = PooledBuf;

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn rx_burst(&mut self, out: &mut Batch<PooledBuf>) -> Result<(), LinkDown> {
        if self.owed >= self.repay_at {
            self.repay();
        }
        let before = out.len();
        // What was sent before the other end closed counts: look only now, when nothing can follow.
        let closed = self.side.theirs.is_closed();
        while !out.is_full() {
            let Ok(frame) = self.side.frames.inward.pop() else { break };
            out.push(self.pool.adopt(frame));
        }
        let count = out.len() - before;
        if count > 0 {
            self.owed += count as isize;
            self.ring(Call::Room);
        } else if closed && !out.is_full() {
            return Err(LinkDown);
        }
        Ok(())
    }

    fn alloc(&mut self) -> Option<PooledBuf> {
        if self.pool.free() == 0 {
            self.collect();
        }
        let buf = self.pool.alloc();
        self.lacks.buffers = buf.is_none();
        buf
    }

    fn tx_burst(&mut self, batch: &mut Batch<PooledBuf>) -> Result<(), LinkDown> {
        if self.side.theirs.is_closed() {
            return Err(LinkDown);
        }
        let count = self.side.frames.room_for(batch.len());
        self.lacks.room = count < batch.len();
        if count == 0 {
            return Ok(());
        }
        let offloads = self.caps.tx_checksum;
        for buf in batch.drain(..count) {
            let refused = self.side.frames.out.push(cross(buf, offloads));
            debug_assert!(refused.is_ok(), "there is room for as many");
        }
        self.owed -= count as isize;
        self.ring(Call::Frames);
        Ok(())
    }
}

impl Waitable for Memory {
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.side.ours.fd())
    }

    fn arm(&mut self) -> bool {
        self.repay();
        let Lacks { buffers, room } = mem::take(&mut self.lacks);
        let Side { frames, empties, ours, theirs } = &self.side;
        ours.park(if buffers || room { Call::Room } else { Call::Frames });
        let news = !frames.inward.is_empty()
            || theirs.is_closed()
            || buffers && (self.pool.free() > 0 || !empties.inward.is_empty())
            || room && !frames.out.is_full();
        if news {
            ours.stay_awake();
        }
        !news
    }

    fn disarm(&mut self) {
        self.side.ours.wake();
    }
}

/// A sent frame as the other end receives it.
fn cross(mut buf: PooledBuf, offloads: bool) -> Frame {
    let TxOffload { checksum, segmentation } = if offloads { buf.tx_offload() } else { TxOffload::default() };
    let rx = RxOffload {
        checksum: if checksum.is_some() { RxChecksum::Good } else { RxChecksum::Unknown },
        segment_size: segmentation.map_or(0, |segmentation| segmentation.segment_size),
    };
    buf.mark_received(rx, checksum);
    buf.into_frame()
}

/// What one end of a link shares with the other. Dropping it closes the link.
#[derive(Debug)]
struct Side {
    frames: Rings,
    empties: Rings,
    ours: Arc<Bell>,
    theirs: Arc<Bell>,
}

impl Drop for Side {
    fn drop(&mut self) {
        self.ours.close();
        self.theirs.ring(Call::Frames);
    }
}

/// A ring each way.
#[derive(Debug)]
struct Rings {
    out: Producer<Frame>,
    inward: Consumer<Frame>,
}

impl Rings {
    /// How many of `wanted` frames may be sent now. Asks the other thread's cache only when it must.
    fn room_for(&self, wanted: usize) -> usize {
        if self.out.cached_slots() >= wanted { wanted } else { self.out.slots().min(wanted) }
    }

    /// Sends up to `count` frames, for which there must be room, and says how many there were.
    fn send(&mut self, count: usize, frames: impl Iterator<Item = Frame>) -> usize {
        self.out.write_chunk_uninit(count).map_or(0, |chunk| chunk.fill_from_iter(frames))
    }

    /// Receives `count` frames, which must be there.
    fn receive(&mut self, count: usize) -> impl Iterator<Item = Frame> + '_ {
        self.inward.read_chunk(count).into_iter().flatten()
    }
}
