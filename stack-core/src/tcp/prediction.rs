//! Header prediction: the segment that was to be expected next is recognised by a few comparisons, and taken without the
//! checks that it cannot fail (V. Jacobson, "4BSD TCP header prediction", 1990). What it leads to is what the whole path
//! leads to.

use super::receive::AckDue;
use super::synchronized::{FastOpenState, Phase, Synchronized};
use super::timers::Deadline;
use super::{Answer, Context, Decision, Next, Segment};
use crate::buffers::Buffers;
use crate::socket::Readiness;
use crate::time::Past;
use crate::wire::tcp::TcpFlags;

impl<B: Buffers> Synchronized<B> {
    /// Takes the next data in order, or an acknowledgement of something new, of an established connection. `None` where
    /// the segment is another one: then nothing of it was taken.
    #[inline]
    pub(super) fn on_predicted(
        &mut self,
        cx: &mut Context<'_, B>,
        segment: &Segment<'_>,
    ) -> Option<Decision> {
        if !self.predicts(cx, segment) {
            return None;
        }
        self.rcv.last_heard = Past::of(cx.now);
        if self.snd.flight() == 0 || segment.ack.after(self.snd.una) {
            self.unanswered = 0;
        }
        if let (Some(timestamps), Some(stamps)) = (&mut self.timestamps, segment.options.timestamps) {
            timestamps.note(stamps.value, segment.seq, self.rcv.last_ack_sent());
        }
        let mut ready = self.take_ack(cx, segment);
        if !segment.payload.is_empty() {
            let readable = self.rcv.accept_expected(cx, &mut self.receive, segment) > 0;
            ready.set(Readiness::READABLE, readable);
        }
        if self.rcv.ack_due() == AckDue::Later && self.timers.delayed_ack == Deadline::NEVER {
            self.timers.delayed_ack = Deadline::at(cx.now + cx.config.delayed_ack);
        }
        let answer = if self.has_output(cx.buffers) { Answer::Output } else { Answer::Nothing };
        Some(Decision { next: Next::Stay, answer, ready })
    }

    #[inline]
    fn predicts(&self, cx: &Context<'_, B>, segment: &Segment<'_>) -> bool {
        let acknowledged = segment.ack.since(self.snd.una);
        let stamped = match (&self.timestamps, segment.options.timestamps) {
            (Some(timestamps), Some(stamps)) => {
                !timestamps.is_outdated(stamps.value, self.rcv.silence(cx.now))
            }
            (Some(_), None) => false,
            (None, _) => true,
        };
        segment.flags | TcpFlags::PSH == TcpFlags::ACK | TcpFlags::PSH
            && segment.seq == self.rcv.nxt
            && acknowledged <= self.snd.max.since(self.snd.una)
            && (acknowledged > 0 || !segment.payload.is_empty())
            && self.rcv.expects(segment.payload.len() as u32)
            && stamped
            && self.phase == Phase::Established
            && !self.detached
            && self.fast_open != FastOpenState::Unconfirmed
            && self.ecn.is_none()
    }
}

#[cfg(test)]
mod tests;
