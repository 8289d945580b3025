//! A Linux TAP device: the kernel at the other end of a virtual Ethernet cable.
//!
//! [`open`] makes the device, or takes one that was made beforehand for this user, with one queue or several. Each
//! queue is a [`TapPort`] that opens into a [`Tap`] on the thread of its lane. The kernel's end is an interface like
//! any other: [`TapInterface`] sets its addresses and brings it up. It exists as long as one queue is open.
//!
//! With [`TapConfig::offload`], frames of up to 64 KiB cross in one piece and without checksums, each behind a header
//! that says what remains to be done (`struct virtio_net_hdr`; kernel: `Documentation/networking/tuntap.rst`).
//!
//! # When a frame cannot be moved
//!
//! - The device is full (`EAGAIN`) or the kernel has no memory: frames stay with the caller.
//! - The interface is down (`EIO`): the frame is dropped and counted, as a cable that was pulled out would lose it. It
//!   may come up again at any time.
//! - The kernel refuses the frame itself (`EINVAL` and the like): dropped and counted.
//! - The device was removed (`EBADFD`): [`LinkDown`], for good.

mod error;
mod interface;
mod ioctl;
mod vnet_header;

use crate::inspect::InspectBuf;
use crate::pool::{Pool, PooledBuf};
use crate::wait::Waitable;
pub use error::TapError;
pub use interface::TapInterface;
use netlane_packet_io::{Batch, Caps, LinkDown, PacketBuf, PacketIo};
use rustix::io::{Errno, readv, writev};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use vnet_header::VnetHeader;

/// What a TAP device is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapConfig {
    /// The interface's name, of at most 15 bytes. The kernel replaces `%d` by the first number that is free.
    pub name: String,
    /// How many queues it has, from 1 to 256. The kernel answers each flow on the queue that it came from.
    pub queues: usize,
    /// Whether checksums and TCP segmentation are left to the other end, both ways. Frames that arrive may be as long
    /// as 64 KiB then, whatever the MTU.
    pub offload: bool,
    /// Whether UDP datagrams of one flow may arrive joined as well, with
    /// [`segment_size`](netlane_packet_io::RxOffload::segment_size) set, and leave so. Needs `offload`; a kernel before
    /// Linux 6.2 does not do it, and datagrams come and go one by one.
    pub udp_segmentation: bool,
    /// The interface's MTU in bytes.
    pub mtu: usize,
    /// The Ethernet address of the *stack's* end. The kernel gives its own end another one. It should be a locally
    /// administered unicast address (the first byte's low bits are `10`), and unlike any other on the network.
    pub mac: [u8; 6],
    /// The most packet buffers of each queue, made when they are first needed. With `offload`, each has 64 KiB.
    pub frames: usize,
}

impl TapConfig {
    /// One queue with offload, an MTU of 1500 bytes and 1024 buffers.
    #[must_use]
    pub fn new(name: impl Into<String>, mac: [u8; 6]) -> Self {
        let name = name.into();
        Self { name, queues: 1, offload: true, udp_segmentation: false, mtu: 1500, mac, frames: 1024 }
    }

    fn caps(&self, uso: bool) -> Caps {
        let plain = Caps::plain(self.mac, self.mtu);
        if !self.offload {
            return plain;
        }
        let max_frame = plain.max_frame.max(MAX_SUPER_FRAME);
        Caps { tx_checksum: true, tso_v4: true, tso_v6: true, uso, max_frame, ..plain }
    }
}

/// The largest IP packet that the kernel segments by default (`GSO_LEGACY_MAX_SIZE` less one), and its Ethernet header.
const MAX_SUPER_FRAME: usize = 65535 + 14;

/// Bytes that a buffer holds beyond [`Caps::max_frame`]: an 802.1Q tag, the 40 bytes of an IPv6 header, which its
/// length field does not count, and one by which frames that are too long give themselves away.
const RX_SLACK: usize = 4 + 40 + 1;

/// Makes a TAP device, or takes an existing one that nobody uses, and opens its queues. The interface is down at first.
///
/// # Errors
/// See [`TapError`]; each one says what to do.
pub fn open(config: &TapConfig) -> Result<(TapInterface, Vec<TapPort>), TapError> {
    interface::check_name(&config.name)?;
    if !(1..=MAX_QUEUES).contains(&config.queues) {
        return Err(TapError::QueueCount(config.queues));
    }
    let mut name = config.name.clone();
    let mut ports = Vec::with_capacity(config.queues);
    for _ in 0..config.queues {
        let queue = ioctl::open_device().map_err(TapError::from_open)?;
        name = ioctl::attach(&queue, &name, config)
            .map_err(|error| TapError::from_attach(error, &name, config))?;
        if config.offload {
            ioctl::set_header_len(&queue, VnetHeader::LEN).map_err(|_| TapError::OffloadUnsupported)?;
        }
        let uso = config.offload && config.udp_segmentation && ioctl::set_offload(&queue, true, true).is_ok();
        if !uso {
            ioctl::set_offload(&queue, config.offload, false).map_err(|_| TapError::OffloadUnsupported)?;
        }
        ports.push(TapPort { queue, caps: config.caps(uso), frames: config.frames });
    }
    let interface = TapInterface::named(name)?;
    if interface.mtu()? != config.mtu {
        interface.set_mtu(config.mtu)?;
    }
    Ok((interface, ports))
}

/// `MAX_TAP_QUEUES` in the kernel's `drivers/net/tun.c`.
const MAX_QUEUES: usize = 256;

/// A queue of a TAP device, not in use yet. It may be sent to the thread that shall use it.
#[derive(Debug)]
pub struct TapPort {
    queue: OwnedFd,
    caps: Caps,
    frames: usize,
}

impl TapPort {
    /// Starts using this queue, on this thread.
    #[must_use]
    pub fn open(self) -> Tap {
        let Self { queue, caps, frames } = self;
        let pool = Pool::new(frames, caps.max_frame + RX_SLACK);
        Tap { queue, caps, pool, full: false, stats: TapStats::default() }
    }
}

/// A queue of a TAP device.
#[derive(Debug)]
pub struct Tap {
    queue: OwnedFd,
    caps: Caps,
    pool: Pool,
    /// The device refused a frame because it was full when one was last sent.
    full: bool,
    stats: TapStats,
}

/// Frames that a queue dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapStats {
    /// Received frames longer than a buffer.
    pub rx_too_long: u64,
    /// What was received and is shorter than the header that should precede a frame.
    pub rx_malformed: u64,
    /// Frames sent while the interface was down.
    pub tx_interface_down: u64,
    /// Sent frames that the kernel refused: too short, or with an offload record that contradicts them.
    pub tx_refused: u64,
}

impl Tap {
    /// The pool that this queue's buffers come from.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What the queue has dropped so far.
    #[must_use]
    pub fn stats(&self) -> TapStats {
        self.stats
    }

    /// Whether a header precedes each frame. It stands on the stack beside the buffer, and one call moves both.
    fn has_header(&self) -> bool {
        self.caps.tx_checksum
    }

    /// Receives one frame into `buf`. `false` when there was one, but it had to be dropped.
    fn receive(&mut self, buf: &mut PooledBuf) -> Result<bool, Errno> {
        let room = buf.tailroom();
        let space = buf.append(room).unwrap_or_default();
        let mut header = [0; VnetHeader::LEN];
        let header_len = if self.has_header() { header.len() } else { 0 };
        let slices = &mut [IoSliceMut::new(&mut header[..header_len]), IoSliceMut::new(space)];
        let read = readv(&self.queue, slices)?;
        let Some(len) = read.checked_sub(header_len) else {
            self.stats.rx_malformed += 1;
            return Ok(false);
        };
        if len == room {
            self.stats.rx_too_long += 1;
            return Ok(false);
        }
        buf.truncate(len);
        if self.has_header() {
            let (offload, unfilled) = VnetHeader::from_bytes(header).to_rx();
            buf.mark_received(offload, unfilled);
        }
        Ok(true)
    }

    fn send(&self, buf: &PooledBuf) -> Result<(), Errno> {
        let header = VnetHeader::from_tx(buf.tx_offload()).to_bytes();
        let header_len = if self.has_header() { header.len() } else { 0 };
        writev(&self.queue, &[IoSlice::new(&header[..header_len]), IoSlice::new(buf.bytes())]).map(drop)
    }
}

impl PacketIo for Tap {
    type Buf = PooledBuf;

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn rx_burst(&mut self, out: &mut Batch<PooledBuf>) -> Result<(), LinkDown> {
        for _ in 0..out.remaining_capacity() {
            let Some(mut buf) = self.pool.alloc() else { break };
            match self.receive(&mut buf) {
                Ok(true) => out.push(buf),
                Ok(false) => {}
                Err(Errno::BADFD | Errno::BADF | Errno::NODEV | Errno::NXIO) if out.is_empty() => {
                    return Err(LinkDown);
                }
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn alloc(&mut self) -> Option<PooledBuf> {
        self.pool.alloc()
    }

    fn tx_burst(&mut self, batch: &mut Batch<PooledBuf>) -> Result<(), LinkDown> {
        let mut outcome = Ok(());
        let mut done = 0;
        self.full = false;
        for buf in batch.iter() {
            match self.send(buf) {
                Ok(()) => {}
                Err(Errno::AGAIN | Errno::INTR | Errno::NOMEM | Errno::NOBUFS) => {
                    self.full = true;
                    break;
                }
                Err(Errno::BADFD | Errno::BADF | Errno::NODEV | Errno::NXIO) => {
                    outcome = Err(LinkDown);
                    break;
                }
                Err(Errno::IO) => self.stats.tx_interface_down += 1,
                Err(_) => self.stats.tx_refused += 1,
            }
            done += 1;
        }
        batch.drain(..done);
        outcome
    }
}

impl Waitable for Tap {
    /// `None` while all buffers are in use: no frame could be received.
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        (!self.pool.is_exhausted()).then(|| self.queue.as_fd())
    }

    fn wants_write(&self) -> bool {
        self.full
    }

    /// The kernel keeps the file readable while frames wait: nothing to announce.
    fn arm(&mut self) -> bool {
        true
    }

    fn disarm(&mut self) {}
}
