//! What a connection sends next: a [`Plan`] for one segment, or for one that the device cuts into several.

use super::Context;
use super::congestion::{CongestionControl, Idle, initial_window};
use super::connection::{Connection, State};
use super::handshake::{Exchange, SynReceived, SynSent};
use super::receive::AckDue;
use super::send::Fin;
use super::seq::SeqNumber;
use super::synchronized::Synchronized;
use super::time_wait::TimeWait;
use super::timers::Timer;
use crate::buffers::Buffers;
use crate::wire::tcp::{self, TcpFlags};
use crate::wire::tcp_options::{SackBlocks, TcpOptions};

/// A segment to send. It counts as sent only when the connection is [told so](Connection::sent).
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seq: SeqNumber,
    /// Zero in a first SYN, which acknowledges nothing.
    pub(crate) ack: SeqNumber,
    pub(crate) flags: TcpFlags,
    pub(crate) window: u16,
    pub(crate) options: TcpOptions,
    /// Where the payload begins in the send buffer.
    pub(crate) offset: u32,
    /// Payload bytes; more than `mss` where the device cuts segments.
    pub(crate) len: u32,
    pub(crate) mss: u16,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Data, a FIN, or both.
    Stream,
    /// One byte beyond a closed window, which the peer need not take.
    WindowProbe,
    /// Takes no sequence space.
    Bare,
}

/// Bytes of the stream, and whether the FIN follows them.
struct Chunk {
    seq: SeqNumber,
    len: u32,
    fin: bool,
    kind: Kind,
}

impl<B: Buffers> Connection<B> {
    /// The next segment to send, if any, with at most `max_payload` bytes where the device cuts segments.
    #[inline]
    pub(crate) fn plan(&mut self, cx: &mut Context<'_, B>, max_payload: u32) -> Option<Plan> {
        let mut plan = match &mut self.state {
            State::Synchronized(state) => state.plan(cx, max_payload, self.options.no_delay),
            State::SynSent(state) => state.plan(cx),
            State::SynReceived(state) => state.plan(cx),
            State::TimeWait(state) => state.plan(cx),
            State::Closed(_) => None,
        }?;
        if let Some(timeout) = self.options.user_timeout()
            && plan.has_room_for_an_option()
        {
            plan.options.user_timeout = timeout.option();
        }
        Some(plan)
    }

    /// The segment has left. Returns whether there may be another one.
    #[inline]
    pub(crate) fn sent(&mut self, cx: &mut Context<'_, B>, plan: &Plan) -> bool {
        // RFC 5482 §3: a SYN may be lost with what it tells, so that the next segment tells it again.
        if plan.options.user_timeout.is_some() && !plan.flags.contains(TcpFlags::SYN) {
            self.options.user_timeout_mut().announce = false;
        }
        match &mut self.state {
            State::Synchronized(state) => {
                state.sent(cx, plan);
                return state.has_output(cx.buffers);
            }
            State::SynSent(state) => state.attempts.sent(cx.now, cx.config),
            State::SynReceived(state) => state.attempts.sent(cx.now, cx.config),
            State::TimeWait(state) => state.ack_due = false,
            State::Closed(_) => {}
        }
        false
    }
}

impl<B: Buffers> SynSent<B> {
    fn plan(&self, cx: &Context<'_, B>) -> Option<Plan> {
        self.attempts.due.then(|| Plan {
            flags: TcpFlags::SYN,
            options: self.ours.options(None, cx.now),
            ..Plan::bare(self.iss, SeqNumber(0), self.ours.window)
        })
    }
}

impl<B: Buffers> SynReceived<B> {
    fn plan(&self, cx: &Context<'_, B>) -> Option<Plan> {
        let Exchange { iss, irs, ours, peers } = &self.exchange;
        self.attempts.due.then(|| Plan {
            flags: TcpFlags::SYN | TcpFlags::ACK,
            options: ours.options(Some(peers), cx.now),
            ..Plan::bare(*iss, *irs + 1, ours.window)
        })
    }
}

impl<B: Buffers> TimeWait<B> {
    fn plan(&self, cx: &Context<'_, B>) -> Option<Plan> {
        let timestamps = self.timestamps.map(|timestamps| timestamps.stamp(cx.now));
        self.ack_due.then(|| Plan {
            options: TcpOptions { timestamps, ..TcpOptions::default() },
            ..Plan::bare(self.snd_nxt, self.rcv_nxt, self.window)
        })
    }
}

impl Plan {
    /// Whether an option of one word finds room beside the others, and the payload in front of the MTU.
    fn has_room_for_an_option(&self) -> bool {
        let word = 4;
        self.options.len() + word <= tcp::MAX_OPTIONS_LEN
            && (self.len == 0 || self.len + word as u32 <= u32::from(self.mss))
    }

    /// An acknowledgement and nothing else.
    fn bare(seq: SeqNumber, ack: SeqNumber, window: u16) -> Self {
        Self {
            seq,
            ack,
            flags: TcpFlags::ACK,
            window,
            options: TcpOptions::default(),
            offset: 0,
            len: 0,
            mss: 0,
            kind: Kind::Bare,
        }
    }
}

impl<B: Buffers> Synchronized<B> {
    /// Whether there may be a segment to send: what the windows, Nagle and timers say is left to the plan.
    #[inline]
    pub(crate) fn has_output(&self, buffers: &B) -> bool {
        let after_stream = u32::from(self.snd.fin == Fin::Queued);
        self.rcv.ack_due() == AckDue::Now
            || self.snd.flight() < buffers.queued(&self.send) as u32 + after_stream
            || self.recovery.must_resend()
            || self.probe
    }

    #[inline]
    fn plan(&mut self, cx: &mut Context<'_, B>, max_payload: u32, no_delay: bool) -> Option<Plan> {
        let queued = cx.buffers.queued(&self.send) as u32;
        let mut options = TcpOptions {
            timestamps: self.timestamps.map(|timestamps| timestamps.stamp(cx.now)),
            ..TcpOptions::default()
        };
        options.sack = self.rcv.sack_blocks(options.most_sack_blocks());
        let mss = self.segment_size(&mut options, queued);
        let chunk = self.next_chunk(cx, queued, mss, max_payload, no_delay);
        let window = self.window_to_announce(cx.buffers);
        let Some(chunk) = chunk else {
            if self.probe {
                // RFC 9293 §3.8.4: an old sequence number makes the peer answer.
                return Some(Plan { options, ..Plan::bare(self.snd.una - 1, self.rcv.nxt, window) });
            }
            return (self.rcv.ack_due() == AckDue::Now)
                .then(|| Plan { options, ..Plan::bare(self.snd.bare_seq(), self.rcv.nxt, window) });
        };
        let mut flags = TcpFlags::ACK;
        flags.set(TcpFlags::FIN, chunk.fin);
        let offset = chunk.seq.since(self.snd.una);
        flags.set(TcpFlags::PSH, chunk.len > 0 && offset + chunk.len == queued);
        Some(Plan {
            seq: chunk.seq,
            ack: self.rcv.nxt,
            flags,
            window,
            options,
            offset,
            len: chunk.len,
            mss,
            kind: chunk.kind,
        })
    }

    /// Payload bytes of a full segment with these options (RFC 9293 §3.7.1: options come off it). Where SACK blocks
    /// would leave too little, they go in a segment of their own.
    #[inline]
    fn segment_size(&self, options: &mut TcpOptions, queued: u32) -> u16 {
        let mss = self.snd.mss;
        if options.sack.is_empty() {
            return mss;
        }
        let with_sack = options.len();
        let without = TcpOptions { sack: SackBlocks::default(), ..*options };
        let blocks = (with_sack - without.len()) as u16;
        if blocks <= mss / 2 {
            return mss - blocks;
        }
        if queued > 0 {
            *options = without;
        }
        mss
    }

    /// The next bytes of the stream to send, first or once more.
    #[inline]
    fn next_chunk(
        &mut self,
        cx: &mut Context<'_, B>,
        queued: u32,
        mss: u16,
        max_payload: u32,
        no_delay: bool,
    ) -> Option<Chunk> {
        let snd = &self.snd;
        let mss = u32::from(mss);
        if self.recovery.must_resend() {
            return self.resend_oldest(queued, mss);
        }
        let sent = snd.flight().min(queued);
        let unsent = queued - sent;
        // The FIN's own place is counted in `flight` once it was sent.
        let fin_due = snd.fin == Fin::Queued && snd.flight() <= queued;
        if unsent == 0 {
            return fin_due.then_some(Chunk { seq: snd.nxt, len: 0, fin: true, kind: Kind::Stream });
        }
        if snd.max == snd.una {
            self.congestion.on_idle(&Idle {
                now: cx.now,
                silence: cx.now - snd.last_sent,
                rto: self.rtt.rto(cx.config),
                initial_window: initial_window(cx.config.initial_window, mss),
            });
        }
        let congestion = self.congestion.window().saturating_add(self.recovery.beyond_window(mss));
        let usable = congestion.min(snd.wnd).saturating_sub(snd.flight());
        let len = self.worth_sending(usable.min(unsent).min(max_payload.max(mss)), unsent, mss, no_delay);
        if len > 0 {
            let fin = fin_due && len == unsent;
            return Some(Chunk { seq: self.snd.nxt, len, fin, kind: Kind::Stream });
        }
        if self.snd.flight() > 0 {
            return None;
        }
        if self.push {
            let len = self.snd.wnd.clamp(1, unsent.min(mss));
            return Some(Chunk { seq: self.snd.nxt, len, fin: false, kind: Kind::WindowProbe });
        }
        if !self.timers.is_set(Timer::Persist) {
            self.timers.set(Timer::Persist, cx.now + self.rtt.rto(cx.config));
        }
        None
    }

    /// The oldest segment in flight, and the FIN where it was sent right behind.
    fn resend_oldest(&self, queued: u32, mss: u32) -> Option<Chunk> {
        let snd = &self.snd;
        let in_flight = snd.max.since(snd.una);
        let len = queued.min(mss).min(in_flight);
        let fin = snd.fin == Fin::Queued && len == queued && in_flight > queued;
        (len > 0 || fin).then_some(Chunk { seq: snd.una, len, fin, kind: Kind::Stream })
    }

    /// How many of `sendable` bytes are worth a segment, with `unsent` bytes to go (RFC 9293 §3.8.6.2.1
    /// against silly windows, §3.7.4 for Nagle).
    #[inline]
    fn worth_sending(&self, sendable: u32, unsent: u32, mss: u32, no_delay: bool) -> u32 {
        let snd = &self.snd;
        let tail = if sendable < mss { sendable } else { sendable % mss };
        if tail == 0 {
            return sendable;
        }
        let tail_may_leave = if sendable == unsent {
            // The end of all that is queued: at once, unless Nagle waits for what is in flight. What was sent
            // before does not wait again.
            no_delay || snd.flight() == 0 || snd.fin == Fin::Queued || snd.nxt.before(snd.max)
        } else {
            tail >= snd.max_wnd / 2
        };
        if tail_may_leave { sendable } else { sendable - tail }
    }

    #[inline]
    fn sent(&mut self, cx: &mut Context<'_, B>, plan: &Plan) {
        let told = !plan.options.sack.is_empty();
        self.rcv.announced(plan.window, told.then(|| plan.options.most_sack_blocks()));
        self.timers.clear(Timer::DelayedAck);
        let fin = u32::from(plan.flags.contains(TcpFlags::FIN));
        match plan.kind {
            Kind::Bare => self.probe = false,
            Kind::WindowProbe => {
                self.push = false;
                self.snd.probed(plan.seq + plan.len, cx.now);
                self.timers.set(Timer::Persist, cx.now + self.rtt.rto(cx.config));
            }
            Kind::Stream => {
                self.rcv.answered();
                let resent = self.recovery.must_resend();
                cx.counters.tcp_fast_retransmissions += u64::from(resent);
                self.recovery.resent();
                self.push = false;
                self.snd.sent(plan.seq, plan.len + fin, cx.now);
                if resent || !self.timers.is_set(Timer::Retransmit) {
                    // RFC 6298 §5.1.
                    self.timers.set(Timer::Retransmit, cx.now + self.rtt.rto(cx.config));
                }
            }
        }
    }
}
