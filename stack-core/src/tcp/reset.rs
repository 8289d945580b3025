//! The answer to a segment that belongs to no connection (RFC 9293 §3.10.7.1, the CLOSED state).

use super::Segment;
use super::seq::SeqNumber;
use crate::wire::tcp::TcpFlags;

/// Sequence number, and acknowledgement if any, of the reset that answers `segment`. The caller makes sure
/// that the segment is not a reset itself.
pub(crate) fn answer(segment: &Segment<'_>) -> (SeqNumber, Option<SeqNumber>) {
    if segment.flags.contains(TcpFlags::ACK) {
        (segment.ack, None)
    } else {
        (SeqNumber(0), Some(segment.seq + segment.len()))
    }
}
