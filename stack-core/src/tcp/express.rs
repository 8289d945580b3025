//! The segment that nearly always leaves next: what the user has just written, or a bare acknowledgement, on a connection
//! that has nothing to repair, to hold back or to tell besides. A few comparisons find it, and it is what the
//! [plan](super::output) would have been, which all other segments take.

use super::Context;
use super::connection::{Connection, Options, State};
use super::receive::AckDue;
use super::send::Fin;
use super::seq::SeqNumber;
use super::synchronized::Synchronized;
use super::timers::Deadline;
use crate::buffers::Buffers;
use crate::wire::{TcpFlags, Timestamps};

/// A segment with timestamps and no other option. It counts as sent only when the connection is
/// [told so](Connection::sent_express).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Express {
    pub(crate) seq: SeqNumber,
    pub(crate) ack: SeqNumber,
    pub(crate) flags: TcpFlags,
    pub(crate) window: u16,
    pub(crate) stamps: Timestamps,
    /// Where the payload begins in the send buffer.
    pub(crate) offset: u32,
    /// Payload bytes: all that wait, or none.
    pub(crate) len: u32,
}

impl<B: Buffers> Connection<B> {
    /// What leaves next, where that is one usual segment, and nothing after it.
    #[inline]
    pub(crate) fn express(&mut self, cx: &Context<'_, B>) -> Option<Express> {
        let State::Synchronized(state) = &mut self.state else { return None };
        let tells_user_timeout =
            self.patience.user_timeout().is_some_and(|timeout| timeout.option().is_some());
        if tells_user_timeout { None } else { state.express(cx, &self.options) }
    }

    /// The segment has left.
    #[inline]
    pub(crate) fn sent_express(&mut self, cx: &mut Context<'_, B>, segment: &Express) {
        if let State::Synchronized(state) = &mut self.state {
            state.sent_express(cx, segment);
        }
    }
}

impl<B: Buffers> Synchronized<B> {
    #[inline]
    fn express(&mut self, cx: &Context<'_, B>, user: &Options) -> Option<Express> {
        let snd = &self.snd;
        let queued = cx.buffers.queued(&self.send) as u32;
        // A FIN that was sent is counted in the offset.
        let (offset, mss) = (snd.flight(), u32::from(snd.mss));
        let len = queued.saturating_sub(offset);
        let fin = snd.fin == Fin::Queued && offset <= queued;
        let usual = snd.nxt == snd.max
            && !self.push
            && !self.probe
            && self.ecn.is_none()
            && self.rcv.has_nothing_to_tell()
            && len <= mss
            && len <= snd.wnd.saturating_sub(offset);
        let stamps = self.timestamps.filter(|_| usual)?.stamp(cx.now);
        let mut flags = TcpFlags::ACK;
        if len > 0 || fin {
            let leaves = self.open_flight(cx, mss, user).lets_leave(len);
            if !leaves || self.worth_sending(len, len, mss, user.holds) < len {
                return None;
            }
            flags.set(TcpFlags::PSH, len > 0);
            flags.set(TcpFlags::FIN, fin);
        } else if self.rcv.ack_due() != AckDue::Now
            || self.flight.as_ref().is_some_and(|flight| flight.has_output())
        {
            return None;
        }
        Some(Express {
            seq: if len > 0 || fin { self.snd.nxt } else { self.snd.bare_seq() },
            ack: self.rcv.nxt,
            flags,
            window: self.window_to_announce(cx.buffers, cx.config),
            stamps,
            offset,
            len,
        })
    }

    #[inline]
    fn sent_express(&mut self, cx: &mut Context<'_, B>, segment: &Express) {
        self.rcv.announced(segment.window, None);
        self.timers.delayed_ack = Deadline::NEVER;
        let places = segment.len + u32::from(segment.flags.contains(TcpFlags::FIN));
        if places > 0 {
            self.rcv.answered();
            self.sent_new(cx, places, true);
        }
    }
}
