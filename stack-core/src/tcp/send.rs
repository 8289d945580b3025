//! The send sequence space (RFC 9293 §3.3.1): what was sent, what was acknowledged, what the peer takes.

use super::Segment;
use super::seq::{SeqNumber, WindowScale};
use crate::wire::tcp::TcpFlags;

/// The send sequence space of a synchronised connection.
///
/// The send buffer's first byte has the sequence number `una`. A FIN follows its last byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendSpace {
    /// SND.UNA: the oldest byte that is not acknowledged.
    pub(crate) una: SeqNumber,
    /// SND.NXT: the next byte to send.
    pub(crate) nxt: SeqNumber,
    /// The end of everything that was ever sent: `nxt`, or what a window probe went beyond it.
    pub(crate) max: SeqNumber,
    /// SND.WND: what the peer takes from `una` on, in bytes.
    pub(crate) wnd: u32,
    /// The greatest window that the peer ever offered.
    pub(crate) max_wnd: u32,
    /// SND.WL1: the segment that `wnd` came with. There is no SND.WL2: an acknowledgement below `una` is too old for its
    /// window to count, and none that counted is above.
    wl1: SeqNumber,
    scale: WindowScale,
    /// Payload bytes of a full segment, options already deducted.
    pub(crate) mss: u16,
    pub(crate) fin: Fin,
}

/// The end of what the user sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fin {
    /// The user may send more.
    Open,
    /// A FIN goes behind the last queued byte.
    Queued,
    /// The peer has acknowledged our FIN.
    Acknowledged,
}

impl SendSpace {
    /// The space after a handshake in which the peer acknowledged `iss` and offered `wnd` bytes with the
    /// segment `wl1`.
    pub(crate) fn new(iss: SeqNumber, wnd: u32, wl1: SeqNumber, scale: WindowScale, mss: u16) -> Self {
        let una = iss + 1;
        Self { una, nxt: una, max: una, wnd, max_wnd: wnd, wl1, scale, mss, fin: Fin::Open }
    }

    pub(crate) fn scale(&self) -> WindowScale {
        self.scale
    }

    /// Places of the sequence space that were sent and not acknowledged.
    #[inline]
    pub(crate) fn flight(&self) -> u32 {
        self.nxt.since(self.una)
    }

    /// The place of a segment without data: after all that was sent, since the peer would not take an older one;
    /// but not beyond its window, where it would not take it either.
    #[inline]
    pub(crate) fn bare_seq(&self) -> SeqNumber {
        let edge = self.una + self.wnd;
        if edge.before(self.max) { edge } else { self.max }
    }

    /// RFC 5961 §5.2: whether an acknowledgement lies between what was acknowledged a window ago and what
    /// was sent.
    #[inline]
    pub(crate) fn is_acceptable(&self, ack: SeqNumber) -> bool {
        !ack.after(self.max) && !ack.before(self.una - self.max_wnd)
    }

    /// RFC 5681 §2: whether a segment is a duplicate acknowledgement. An answer to a window probe is none.
    #[inline]
    pub(crate) fn is_duplicate(&self, segment: &Segment<'_>) -> bool {
        segment.ack == self.una
            && self.nxt != self.una
            && segment.payload.is_empty()
            && !segment.flags.intersects(TcpFlags::SYN | TcpFlags::FIN)
            && self.scale.bytes(segment.window) == self.wnd
    }

    /// Takes an acknowledgement of more than `una`, with `queued` bytes in the send buffer. Returns how many of those
    /// it covers.
    #[inline]
    pub(crate) fn acknowledge(&mut self, ack: SeqNumber, queued: u32) -> u32 {
        let covered = ack.since(self.una);
        let bytes = covered.min(queued);
        if covered > bytes && self.fin == Fin::Queued {
            self.fin = Fin::Acknowledged;
        }
        self.una = ack;
        self.nxt = self.nxt.max(ack);
        bytes
    }

    /// RFC 9293 §3.10.7.4: takes the window `field` of a segment that acknowledges no less than `una`, if it is not older
    /// than the one that brought the last. One that has `advanced` what is acknowledged is newer, even where its data is
    /// sent once more: without its window, the last one would reach as much further as was acknowledged. Returns whether
    /// the window changed.
    #[inline]
    pub(crate) fn update_window(&mut self, seq: SeqNumber, advanced: bool, field: u16) -> bool {
        if seq.before(self.wl1) && !advanced {
            return false;
        }
        self.wl1 = self.wl1.max(seq);
        let wnd = self.scale.bytes(field);
        self.max_wnd = self.max_wnd.max(wnd);
        core::mem::replace(&mut self.wnd, wnd) != wnd
    }

    /// Notes that the next `len` places were sent.
    #[inline]
    pub(crate) fn sent(&mut self, len: u32) {
        self.nxt += len;
        self.max = self.max.max(self.nxt);
    }

    /// Notes a probe that ended at `end`. The peer may have taken it, but need not.
    pub(crate) fn probed(&mut self, end: SeqNumber) {
        self.max = self.max.max(end);
    }
}
