//! TIME-WAIT: the memory of a connection that we closed first (RFC 9293 §3.6.1).

use super::seq::SeqNumber;
use super::timestamps::{self, Timestamps};
use super::{Context, Decision, Next, Segment};
use crate::buffers::Buffers;
use crate::time::Instant;
use crate::wire::tcp::TcpFlags;

/// A connection that has ended, remembered so that its last acknowledgement can be repeated and its stray
/// segments meet no successor.
pub(crate) struct TimeWait<B: Buffers> {
    pub(crate) snd_nxt: SeqNumber,
    pub(crate) rcv_nxt: SeqNumber,
    pub(crate) window: u16,
    pub(crate) timestamps: Option<Timestamps>,
    /// The last acknowledgement shall be sent.
    pub(crate) ack_due: bool,
    pub(crate) ends: Instant,
    /// What the user has not read yet, while it holds the handle.
    pub(crate) buffers: Option<(B::Send, B::Receive)>,
}

impl<B: Buffers> TimeWait<B> {
    pub(crate) fn on_segment(&mut self, cx: &mut Context<'_, B>, segment: &Segment<'_>) -> Decision {
        if segment.flags.contains(TcpFlags::RST) {
            // RFC 1337 §3: a reset must not cut TIME-WAIT short.
            return Decision::IGNORE;
        }
        if segment.flags.contains(TcpFlags::SYN) && self.may_reopen(segment) {
            // Where nobody takes it, it is acknowledged like any other segment.
            self.ack_due = true;
            return Decision { next: Next::Reopen { snd_nxt: self.snd_nxt }, ..Decision::IGNORE };
        }
        // RFC 9293 §3.10.7.4: the peer's FIN once more restarts the time.
        if segment.flags.contains(TcpFlags::FIN) && segment.seq + segment.len() == self.rcv_nxt {
            self.ends = cx.now + cx.config.time_wait;
        } else if segment.len() == 0 && segment.seq == self.rcv_nxt {
            return Decision::IGNORE;
        }
        self.ack_due = true;
        Decision::OUTPUT
    }

    /// RFC 9293 §3.6.1 and RFC 6191 §2: a SYN that is certainly younger than this connection opens the next. Its
    /// timestamp decides, and where there is none or the same, its sequence number.
    fn may_reopen(&self, syn: &Segment<'_>) -> bool {
        if syn.flags.contains(TcpFlags::ACK) {
            return false;
        }
        let newer_stamp = match (&self.timestamps, syn.options.timestamps) {
            (Some(ours), Some(theirs)) if theirs.value != ours.recent() => {
                Some(timestamps::is_before(ours.recent(), theirs.value))
            }
            _ => None,
        };
        newer_stamp.unwrap_or_else(|| syn.seq.after(self.rcv_nxt))
    }

    pub(crate) fn on_timer(&self, now: Instant) -> Decision {
        if now < self.ends { Decision::IGNORE } else { Decision::closed(None) }
    }
}
