//! The receive sequence space (RFC 9293 §3.3.1): what has arrived, what may come, what to acknowledge.

use super::reassembly::Reassembly;
use super::seq::{SeqNumber, WindowScale};
use super::{Context, Segment};
use crate::buffers::Buffers;
use crate::counters::Counters;
use crate::time::{Duration, Instant, Past};
use crate::wire::tcp::TcpFlags;
use crate::wire::tcp_options::SackBlocks;

/// The receive sequence space of a synchronised connection.
#[derive(Debug)]
pub(crate) struct ReceiveSpace {
    /// RCV.NXT: the next byte that is expected.
    pub(crate) nxt: SeqNumber,
    /// The end of the window that the peer knows of. It never moves back.
    edge: SeqNumber,
    /// RCV.NXT of the last segment that was sent.
    last_ack_sent: SeqNumber,
    reassembly: Reassembly,
    /// When the last segment of the peer arrived.
    pub(crate) last_heard: Past,
    /// The largest segment that the peer has sent, in payload bytes.
    peer_segment: u16,
    scale: WindowScale,
    /// The peer understands selective acknowledgements.
    sack: bool,
    /// The peer's FIN has arrived, and everything before it.
    finished: bool,
    ack: AckDue,
    /// Acknowledgements that were sent; as many as can be counted once the user answers what arrives.
    acks: u8,
}

/// Whether the peer is owed an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckDue {
    No,
    /// When the delayed-acknowledgement timer goes off.
    Later,
    Now,
}

/// What the payload of a segment brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// Bytes that became readable.
    pub(crate) bytes: u32,
    /// The peer's FIN, with everything before it.
    pub(crate) fin: bool,
}

impl ReceiveSpace {
    /// The space after a SYN at `irs`, to which we announced a window of `wnd` bytes.
    pub(crate) fn new(irs: SeqNumber, wnd: u32, scale: WindowScale, sack: bool, now: Instant) -> Self {
        let nxt = irs + 1;
        Self {
            nxt,
            edge: nxt + wnd,
            last_ack_sent: nxt,
            reassembly: Reassembly::default(),
            last_heard: Past::of(now),
            peer_segment: 536,
            scale,
            sack,
            finished: false,
            ack: AckDue::No,
            acks: 0,
        }
    }

    /// RCV.WND: the bytes from `nxt` on that the peer may send.
    #[inline]
    pub(crate) fn window(&self) -> u32 {
        self.edge.since(self.nxt)
    }

    #[inline]
    pub(crate) fn last_ack_sent(&self) -> SeqNumber {
        self.last_ack_sent
    }

    /// The largest segment that the peer has sent, in payload bytes.
    pub(crate) fn peer_segment(&self) -> u16 {
        self.peer_segment
    }

    pub(crate) fn scale(&self) -> WindowScale {
        self.scale
    }

    #[inline]
    pub(crate) fn ack_due(&self) -> AckDue {
        self.ack
    }

    pub(crate) fn ack_now(&mut self) {
        self.ack = AckDue::Now;
    }

    /// Whether the peer's FIN and everything before it has arrived.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// How long the peer has been silent.
    #[inline]
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        self.last_heard.until(now)
    }

    /// RFC 9293 §3.10.7.4, first: whether any part of a segment lies in the window. A segment that begins at
    /// `nxt` always counts, so that its acknowledgement is taken while the window is closed; and so does an
    /// acknowledgement right at the window's end, where a peer that has filled the window sends them from.
    #[inline]
    pub(crate) fn is_acceptable(&self, segment: &Segment<'_>) -> bool {
        let (window, len) = (self.window(), segment.len());
        segment.seq.within(self.nxt, window)
            || segment.seq == self.nxt
            || (segment.seq == self.edge && len == 0 && !segment.flags.contains(TcpFlags::RST))
            || (len > 0 && (segment.seq + (len - 1)).within(self.nxt, window))
    }

    /// Takes the payload and FIN of an acceptable segment, and decides when to acknowledge them.
    #[inline]
    pub(crate) fn accept<B: Buffers>(
        &mut self,
        cx: &mut Context<'_, B>,
        receive: &mut B::Receive,
        segment: &Segment<'_>,
    ) -> Arrived {
        let has_fin = segment.flags.contains(TcpFlags::FIN);
        if segment.payload.is_empty() && !has_fin {
            return Arrived::default();
        }
        if self.is_finished() {
            // RFC 9293 §3.10.7.4, seventh: nothing follows the peer's FIN.
            self.ack = AckDue::Now;
            return Arrived::default();
        }
        let whole = segment.payload.len() as u32;
        // What is old, and what is beyond the window or the FIN, is cut off.
        let old = if segment.seq.before(self.nxt) { self.nxt.since(segment.seq) } else { 0 };
        if old > 0 {
            self.note_old(cx.counters, segment);
        }
        let start = segment.seq + old;
        let known_end = self.reassembly.end();
        let limit = known_end.unwrap_or(self.edge);
        let room = if start.after(limit) { 0 } else { limit.since(start) };
        let end_of_payload = segment.seq + whole;
        let fresh = segment.payload.get(old as usize..).unwrap_or(&[]);
        let fresh = &fresh[..fresh.len().min(room as usize)];
        let stored = cx.buffers.store(receive, start.since(self.nxt) as usize, fresh) as u32;
        cx.counters.tcp_bytes_beyond_window += u64::from(whole.saturating_sub(old) - stored);
        let before = self.nxt;
        let complete = start + stored == end_of_payload || !end_of_payload.after(start);
        let in_order = start == self.nxt;
        let smooth = in_order && self.reassembly.is_empty() && complete && old == 0 && !has_fin;
        let mut end = known_end;
        if in_order || self.keep_range(cx, start, stored) {
            // What comes in order needs no range, and is taken even where none is left.
            if in_order {
                self.nxt = self.reassembly.advance(start + stored);
            }
            if has_fin && complete && !end_of_payload.before(self.nxt) {
                end = end.or(Some(end_of_payload));
            }
        }
        let bytes = self.nxt.since(before);
        if bytes > 0 {
            cx.buffers.commit(receive, bytes as usize);
        }
        let fin = end == Some(self.nxt);
        if fin {
            self.nxt += 1;
            self.finished = true;
            self.reassembly.set_end(None);
        } else if end != known_end {
            self.reassembly.set_end(end);
        }
        let quick = self.acks < cx.config.quick_acks;
        self.schedule_ack(segment.payload.len(), segment.joined, bytes, smooth && !quick);
        Arrived { bytes, fin }
    }

    /// Whether `len` bytes that begin at `nxt` lie in the window, with nothing beyond them that has arrived.
    #[inline]
    pub(crate) fn expects(&self, len: u32) -> bool {
        !self.finished && self.reassembly.is_vacant() && len <= self.window()
    }

    /// As [`accept`](Self::accept), for a payload that was [expected](Self::expects), without a FIN. Returns how many
    /// bytes became readable.
    #[inline]
    pub(crate) fn accept_expected<B: Buffers>(
        &mut self,
        cx: &mut Context<'_, B>,
        receive: &mut B::Receive,
        payload: &[u8],
        joined: u32,
    ) -> u32 {
        let whole = payload.len();
        let stored = cx.buffers.store(receive, 0, payload);
        cx.buffers.commit(receive, stored);
        cx.counters.tcp_bytes_beyond_window += (whole - stored) as u64;
        self.nxt += stored as u32;
        self.schedule_ack(whole, joined, stored as u32, stored == whole && self.acks >= cx.config.quick_acks);
        stored as u32
    }

    /// Notes bytes that arrived ahead of others. Bytes that no range is left for are forgotten again: nothing
    /// shows them, and the peer sends them once more.
    fn keep_range<B: Buffers>(&mut self, cx: &mut Context<'_, B>, start: SeqNumber, len: u32) -> bool {
        if len == 0 {
            return true;
        }
        let Ok(known) = self.reassembly.insert(start, start + len, cx.limits.out_of_order_ranges) else {
            cx.counters.tcp_out_of_order_full += 1;
            return false;
        };
        cx.counters.tcp_out_of_order += 1;
        if known != start {
            self.note_duplicate(cx.counters, start, known);
        }
        true
    }

    /// Notes what of a segment lies before `nxt`, so that its sender learns that it need not have sent it
    /// (RFC 2883 §4.1).
    pub(crate) fn note_old(&mut self, counters: &mut Counters, segment: &Segment<'_>) {
        let end = (segment.seq + segment.payload.len() as u32).min(self.nxt);
        if end.after(segment.seq) {
            self.note_duplicate(counters, segment.seq, end);
        }
    }

    fn note_duplicate(&mut self, counters: &mut Counters, start: SeqNumber, end: SeqNumber) {
        counters.tcp_duplicate_segments += 1;
        if self.sack {
            self.reassembly.note_duplicate(start, end);
        }
    }

    /// Whether both ends acknowledge selectively.
    pub(crate) fn uses_sack(&self) -> bool {
        self.sack
    }

    /// What the peer is told of segments that arrived out of order or twice, with room for so many blocks.
    #[inline]
    pub(crate) fn sack_blocks(&self, room: usize) -> SackBlocks {
        if self.sack { self.reassembly.blocks(room) } else { SackBlocks::default() }
    }

    /// Whether acknowledgements tell nothing but what arrived in order.
    #[inline]
    pub(crate) fn has_nothing_to_tell(&self) -> bool {
        self.reassembly.is_vacant()
    }

    /// RFC 5681 §4.2: at least every second full segment is acknowledged at once, and so is everything
    /// that is out of order, old, or fills a gap, so that the peer learns of losses quickly.
    #[inline]
    fn schedule_ack(&mut self, payload: usize, joined: u32, bytes: u32, smooth: bool) {
        // A division takes as long as all the rest.
        let per_segment = if joined <= 1 { payload } else { payload / joined as usize };
        self.peer_segment = self.peer_segment.max(u16::try_from(per_segment).unwrap_or(u16::MAX));
        let unacknowledged = self.nxt.since(self.last_ack_sent);
        if !smooth || bytes == 0 || unacknowledged >= 2 * u32::from(self.peer_segment) {
            self.ack = AckDue::Now;
        } else if self.ack == AckDue::No {
            self.ack = AckDue::Later;
        }
    }

    /// The window to announce in a segment that is sent now, with `room` bytes free of the `capacity` of the
    /// receive buffer.
    #[inline]
    pub(crate) fn announce(&self, room: usize, capacity: usize) -> u16 {
        let mut window = self.window();
        let offer = self.offer(room);
        // RFC 9293 §3.8.6.2.2: no announcement of a window that grew by less than a segment.
        if offer > window && self.is_worthwhile(offer - window, capacity) {
            window = offer;
        }
        self.scale.field(window)
    }

    /// A segment left that acknowledged `nxt`, announced `field`, and told the blocks for `sack_room`.
    #[inline]
    pub(crate) fn announced(&mut self, field: u16, sack_room: Option<usize>) {
        self.acks = self.acks.saturating_add(u8::from(self.last_ack_sent != self.nxt));
        self.last_ack_sent = self.nxt;
        self.edge = self.edge.max(self.nxt + self.scale.bytes(field));
        self.ack = AckDue::No;
        if let Some(room) = sack_room {
            self.reassembly.told(room);
        }
        if self.sack && self.reassembly.has_untold() {
            self.ack = AckDue::Now;
        }
    }

    /// Data left that may answer what has arrived. From now on acknowledgements wait for such company.
    #[inline]
    pub(crate) fn answered(&mut self) {
        if self.acks > 0 {
            self.acks = u8::MAX;
        }
    }

    /// A SYN-ACK leaves that acknowledges all that has arrived.
    pub(crate) fn acknowledged(&mut self) {
        self.last_ack_sent = self.nxt;
        self.ack = AckDue::No;
    }

    /// The user has read, and there is `room` now in a buffer of `capacity`: owes the peer an update where the
    /// window has grown enough to be worth a segment.
    pub(crate) fn on_read(&mut self, room: usize, capacity: usize) {
        let grown = self.offer(room).saturating_sub(self.window());
        // Two segments, as a receiver that acknowledges every other one would tell; or half of the buffer.
        if grown > 0 && (grown >= 2 * u32::from(self.peer_segment) || grown as usize >= capacity / 2) {
            self.ack = AckDue::Now;
        }
    }

    fn is_worthwhile(&self, grown: u32, capacity: usize) -> bool {
        grown >= u32::from(self.peer_segment) || grown as usize >= capacity / 2
    }

    /// The window for `room` bytes of buffer, as the scaled field can express it.
    fn offer(&self, room: usize) -> u32 {
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        self.scale.bytes(self.scale.field(room))
    }
}
