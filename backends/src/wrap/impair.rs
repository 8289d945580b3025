//! A bad link in front of any backend: the impairments of [`netlane_sim`] on live traffic, each way with settings of
//! its own.
//!
//! The wrapper hides the device's offloads from the stack, since losing 64 KiB at once is no model of a link that
//! loses packets. It cannot keep the device from joining what it receives: open a TAP device with
//! [`offload`](crate::tap::TapConfig::offload) off. Where frames do arrive joined or without a checksum, one that is to
//! be corrupted gets its checksum filled in before, so that the stack can see that it is damaged.
//!
//! Frames that are delayed stay in their buffers, so the device's pool must be large enough for as many as the link
//! holds.

use crate::inspect::{InspectBuf, fill_checksum};
use crate::wait::Waitable;
use netlane_packet_io::{Batch, Caps, LinkDown, PacketBuf, PacketIo, RxChecksum, RxOffload};
use netlane_sim::impairment::{Fate, PacketOps, mark_frame};
pub use netlane_sim::impairment::{ImpairedLink, Impairment, LinkStats, Rate};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// How bad a link is.
#[derive(Clone, Debug, PartialEq)]
pub struct ImpairConfig {
    /// What happens to the frames that the stack receives.
    pub rx: Impairment,
    /// What happens to the frames that the stack sends.
    pub tx: Impairment,
    /// Where all chance comes from.
    pub seed: u64,
    /// The most frames that are held each way. Beyond, received ones are lost, and sent ones stay with the stack.
    pub max_held: usize,
}

impl Default for ImpairConfig {
    /// A perfect link that may hold 512 frames each way.
    fn default() -> Self {
        Self { rx: Impairment::default(), tx: Impairment::default(), seed: 0, max_held: 512 }
    }
}

/// A backend behind a bad link. `C` is a monotonic clock in nanoseconds.
#[derive(Debug)]
pub struct Impair<I: PacketIo, C> {
    io: I,
    clock: C,
    caps: Caps,
    rx: ImpairedLink<I::Buf>,
    tx: ImpairedLink<I::Buf>,
    /// Sent frames that are due, as far as the device does not take them.
    ready: Batch<I::Buf>,
    max_held: usize,
    rx_not_held: u64,
}

impl<I: PacketIo, C> Impair<I, C> {
    /// Puts a bad link in front of `io`.
    #[must_use]
    pub fn new(io: I, config: ImpairConfig, clock: C) -> Self {
        let ImpairConfig { rx, tx, seed, max_held } = config;
        let caps = Caps::plain(io.caps().mac, io.caps().mtu);
        // The two directions must not meet the same luck.
        let (rx, tx) = (ImpairedLink::new(rx, seed), ImpairedLink::new(tx, !seed));
        Self { io, clock, caps, rx, tx, ready: Batch::new(), max_held, rx_not_held: 0 }
    }

    /// The backend below.
    #[must_use]
    pub fn get_ref(&self) -> &I {
        &self.io
    }

    /// What happened to the frames that were received and sent.
    #[must_use]
    pub fn stats(&self) -> ImpairStats {
        ImpairStats { rx: self.rx.stats(), tx: self.tx.stats(), rx_not_held: self.rx_not_held }
    }

    /// When something has to be done. Sent frames wait for the device while it takes none.
    fn next_due(&self) -> Option<u64> {
        let tx = if self.ready.is_empty() { self.tx.next_due() } else { None };
        [self.rx.next_due(), tx].into_iter().flatten().min()
    }
}

/// What happened to the frames on a bad link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImpairStats {
    /// Those that were received.
    pub rx: LinkStats,
    /// Those that were sent.
    pub tx: LinkStats,
    /// Received frames lost since [`ImpairConfig::max_held`] were held already.
    pub rx_not_held: u64,
}

impl<I: PacketIo<Buf: InspectBuf>, C> Impair<I, C> {
    /// Sends what is due, as far as the device takes it.
    fn send_due(&mut self, now: u64) -> Result<(), LinkDown> {
        loop {
            fill(&mut self.ready, &mut self.tx, now);
            if self.ready.is_empty() {
                return Ok(());
            }
            self.io.tx_burst(&mut self.ready)?;
            if !self.ready.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Moves what is due from the link into the batch.
fn fill<B>(batch: &mut Batch<B>, link: &mut ImpairedLink<B>, now: u64) {
    while !batch.is_full()
        && let Some(buf) = link.pop_due(now)
    {
        batch.push(buf);
    }
}

impl<I: PacketIo<Buf: InspectBuf>, C: Fn() -> u64> PacketIo for Impair<I, C> {
    type Buf = I::Buf;

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn rx_burst(&mut self, out: &mut Batch<I::Buf>) -> Result<(), LinkDown> {
        let now = (self.clock)();
        // A link that is down will say so below, once all that it received has been delivered.
        let _ = self.send_due(now);
        let mut arrived = Batch::new();
        let outcome = self.io.rx_burst(&mut arrived);
        for buf in arrived {
            if self.rx.len() >= self.max_held {
                self.rx_not_held += 1;
                continue;
            }
            let len = buf.bytes().len();
            let _: Fate = self.rx.push(now, buf, len, &mut Live { io: &mut self.io });
        }
        fill(out, &mut self.rx, now);
        if out.is_empty() && self.rx.is_empty() { outcome } else { Ok(()) }
    }

    fn alloc(&mut self) -> Option<I::Buf> {
        self.io.alloc()
    }

    fn tx_burst(&mut self, batch: &mut Batch<I::Buf>) -> Result<(), LinkDown> {
        let now = (self.clock)();
        let room = self.max_held.saturating_sub(self.tx.len());
        for buf in batch.drain(..room.min(batch.len())) {
            let len = buf.bytes().len();
            let _: Fate = self.tx.push(now, buf, len, &mut Live { io: &mut self.io });
        }
        self.send_due(now)
    }
}

impl<I: PacketIo + Waitable, C: Fn() -> u64> Waitable for Impair<I, C> {
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.io.poll_fd()
    }

    fn wants_write(&self) -> bool {
        self.io.wants_write()
    }

    /// The time until the next held frame is due either way, or the backend below has something to do.
    fn due_in(&self) -> Option<Duration> {
        let held = self.next_due().map(|due| Duration::from_nanos(due.saturating_sub((self.clock)())));
        [held, self.io.due_in()].into_iter().flatten().min()
    }

    fn arm(&mut self) -> bool {
        let due = self.next_due().is_some_and(|due| due <= (self.clock)());
        !due && self.io.arm()
    }

    fn disarm(&mut self) {
        self.io.disarm();
    }
}

/// Doubles and damages live frames.
struct Live<'a, I> {
    io: &'a mut I,
}

impl<I: PacketIo<Buf: InspectBuf>> PacketOps<I::Buf> for Live<'_, I> {
    fn duplicate(&mut self, original: &I::Buf) -> Option<I::Buf> {
        let mut copy = self.io.alloc()?;
        copy.append(original.bytes().len())?.copy_from_slice(original.bytes());
        copy.mark_received(original.rx_offload(), original.rx_unfilled());
        copy.set_tx_offload(original.tx_offload());
        Some(copy)
    }

    fn flip_bit(&mut self, buf: &mut I::Buf, bit: usize) {
        if let Some(checksum) = buf.rx_unfilled() {
            fill_checksum(buf.bytes_mut(), checksum);
        }
        let rx = RxOffload { checksum: RxChecksum::Unknown, ..buf.rx_offload() };
        buf.mark_received(rx, None);
        buf.bytes_mut()[bit / 8] ^= 1 << (bit % 8);
    }

    fn mark(&mut self, buf: &mut I::Buf) -> bool {
        mark_frame(buf.bytes_mut())
    }
}
