//! A capture file beside any backend, in the pcapng format (draft-ietf-opsawg-pcapng) for tshark and the like.
//!
//! A frame is captured as it crosses the boundary: one received when the stack gets it, one sent when the device has
//! accepted it. Frames with offloads are captured in one piece, whatever their size. A checksum that was left to be
//! filled in, by the stack or by a sender in this machine, is filled in in the captured copy alone.
//!
//! A capture never disturbs the traffic. When its file cannot be written any more or has reached its limit, that is
//! logged once, and what follows is counted instead. The file is complete whenever the lane parks.

mod capture;

use crate::inspect::InspectBuf;
use crate::wait::Waitable;
use capture::Direction;
pub use capture::{Capture, CaptureConfig, CaptureStats};
use netlane_packet_io::{Batch, Caps, LinkDown, PacketBuf, PacketIo};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// A backend whose frames are captured.
#[derive(Debug)]
pub struct Pcap<I> {
    io: I,
    capture: Capture,
}

impl<I> Pcap<I> {
    /// Captures the frames of `io` from now on.
    #[must_use]
    pub fn new(io: I, capture: Capture) -> Self {
        Self { io, capture }
    }

    /// The backend below.
    #[must_use]
    pub fn get_ref(&self) -> &I {
        &self.io
    }

    /// What has been captured.
    #[must_use]
    pub fn stats(&self) -> CaptureStats {
        self.capture.stats()
    }
}

impl<I: PacketIo<Buf: InspectBuf>> PacketIo for Pcap<I> {
    type Buf = I::Buf;

    fn caps(&self) -> &Caps {
        self.io.caps()
    }

    fn rx_burst(&mut self, out: &mut Batch<I::Buf>) -> Result<(), LinkDown> {
        let before = out.len();
        let outcome = self.io.rx_burst(out);
        let received = &out[before..];
        for buf in received {
            self.capture.snap(buf.bytes(), buf.rx_unfilled());
        }
        self.capture.write(Direction::Inbound, received.len());
        outcome
    }

    fn alloc(&mut self) -> Option<I::Buf> {
        self.io.alloc()
    }

    fn tx_burst(&mut self, batch: &mut Batch<I::Buf>) -> Result<(), LinkDown> {
        // Frames that are sent are gone, so all are copied before, and those that were accepted are written after.
        let before = batch.len();
        for buf in batch.iter() {
            self.capture.snap(buf.bytes(), buf.tx_offload().checksum);
        }
        let outcome = self.io.tx_burst(batch);
        self.capture.write(Direction::Outbound, before - batch.len());
        outcome
    }
}

impl<I: Waitable> Waitable for Pcap<I> {
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.io.poll_fd()
    }

    fn wants_write(&self) -> bool {
        self.io.wants_write()
    }

    fn due_in(&self) -> Option<Duration> {
        self.io.due_in()
    }

    /// Brings the file up to date: there is time now.
    fn arm(&mut self) -> bool {
        self.capture.flush();
        self.io.arm()
    }

    fn disarm(&mut self) {
        self.io.disarm();
    }
}
