//! Header prediction: the segment that was to be expected next is recognised by a few comparisons, and taken without the
//! checks that it cannot fail (V. Jacobson, "4BSD TCP header prediction", 1990). What it leads to is what the whole path
//! leads to.

use super::connection::{Connection, State};
use super::receive::AckDue;
use super::seq::SeqNumber;
use super::synchronized::{FastOpenState, Phase, Synchronized};
use super::timers::Deadline;
use super::{Context, Segment};
use crate::buffers::Buffers;
use crate::socket::Readiness;
use crate::time::Past;
use crate::wire::Timestamps;
use crate::wire::tcp::{TcpFlags, TcpHeader};
use crate::wire::tcp_options::SackBlocks;

/// A segment that may be predicted: an acknowledgement, perhaps with data, and with no options but timestamps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain<'a> {
    seq: SeqNumber,
    ack: SeqNumber,
    window: u16,
    stamps: Option<Timestamps>,
    payload: &'a [u8],
    /// Segments on the wire that the device joined into this one.
    pub(crate) joined: u32,
}

/// What a predicted segment leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Predicted {
    /// The connection has something to send.
    pub(crate) owes: bool,
    pub(crate) ready: Readiness,
}

impl<'a> Plain<'a> {
    /// A segment that carries timestamps, as it stands on the wire. The checksum is left to its receiver.
    #[inline]
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, stamps, payload) = TcpHeader::read_stamped(bytes)?;
        is_plain(header.flags).then_some(Self {
            seq: SeqNumber(header.seq),
            ack: SeqNumber(header.ack),
            window: header.window,
            stamps: Some(stamps),
            payload,
            joined: 1,
        })
    }

    /// A segment that was taken apart already.
    #[inline]
    pub(super) fn of(segment: &Segment<'a>) -> Option<Self> {
        let Segment { seq, ack, flags, window, options, payload, joined, ce: _ } = *segment;
        let plain = is_plain(flags) && options.sack.is_empty();
        plain.then_some(Self { seq, ack, window, stamps: options.timestamps, payload, joined })
    }

    /// Bytes of data.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.payload.len()
    }
}

#[inline]
fn is_plain(flags: TcpFlags) -> bool {
    flags | TcpFlags::PSH == TcpFlags::ACK | TcpFlags::PSH
}

impl<B: Buffers> Connection<B> {
    /// Takes a segment that is to be expected next. `None` where it is another one: then nothing of it was taken.
    #[inline]
    pub(crate) fn on_plain(&mut self, cx: &mut Context<'_, B>, segment: &Plain<'_>) -> Option<Predicted> {
        match &mut self.state {
            State::Synchronized(state) => state.on_predicted(cx, segment),
            State::SynSent(_) | State::SynReceived(_) | State::TimeWait(_) | State::Closed(_) => None,
        }
    }
}

impl<B: Buffers> Synchronized<B> {
    /// Takes the next data in order, or an acknowledgement of something new, of an established connection. `None` where
    /// the segment is another one: then nothing of it was taken.
    #[inline]
    pub(super) fn on_predicted(&mut self, cx: &mut Context<'_, B>, segment: &Plain<'_>) -> Option<Predicted> {
        if !self.predicts(segment) {
            return None;
        }
        let Plain { seq, ack, window, stamps, payload, joined } = *segment;
        self.rcv.last_heard = Past::of(cx.now);
        let advanced = ack != self.snd.una;
        if advanced || self.snd.flight() == 0 {
            self.unanswered = 0;
        }
        if let (Some(timestamps), Some(stamps)) = (&mut self.timestamps, stamps) {
            timestamps.note(stamps.value, seq, self.rcv.last_ack_sent());
        }
        let mut ready = if advanced { self.advance(cx, ack) } else { Readiness::empty() };
        self.take_window(seq, advanced, window);
        if advanced && let Some(flight) = &mut self.flight {
            if flight.on_expected_ack(ack, cx.now, &mut self.rtt, cx.config) {
                self.arm(cx);
            } else {
                self.tell_flight(cx, ack, stamps, &SackBlocks::default(), false, false);
            }
        }
        if !payload.is_empty() && self.rcv.accept_expected(cx, &mut self.receive, payload, joined) > 0 {
            ready |= Readiness::READABLE;
        }
        if self.rcv.ack_due() == AckDue::Later && self.timers.delayed_ack == Deadline::NEVER {
            self.timers.delayed_ack = Deadline::at(cx.now + cx.config.delayed_ack);
        }
        Some(Predicted { owes: self.has_output(cx.buffers), ready })
    }

    #[inline]
    fn predicts(&self, segment: &Plain<'_>) -> bool {
        let acknowledged = segment.ack.since(self.snd.una);
        let stamped = match (&self.timestamps, segment.stamps) {
            (Some(timestamps), Some(stamps)) => !timestamps.precedes(stamps.value),
            (Some(_), None) => false,
            (None, _) => true,
        };
        segment.seq == self.rcv.nxt
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
