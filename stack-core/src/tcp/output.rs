//! What a connection sends next: a [`Plan`] for one segment, or for several in a row.

use alloc::boxed::Box;

use super::Context;
use super::connection::{Connection, Holds, Options, State};
use super::ecn::Ecn;
use super::flight::{Flight, Start};
use super::handshake::{Exchange, SynReceived, SynSent};
use super::receive::AckDue;
use super::send::Fin;
use super::seq::SeqNumber;
use super::synchronized::Synchronized;
use super::time_wait::TimeWait;
use super::timers::{Deadline, Timer};
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
    /// Payload bytes; where they are more than `mss`, they are cut into several segments.
    pub(crate) len: u32,
    pub(crate) mss: u16,
    /// Routers may mark it instead of dropping it (RFC 3168 §5).
    pub(crate) ect: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Data, a FIN, or both, for the first time.
    New,
    /// The same once more.
    Again,
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
    /// The last of a burst of segments.
    last: bool,
    kind: Kind,
}

impl<B: Buffers> Connection<B> {
    /// What to send next, if anything: at most `max_payload` bytes, or one segment where that is more.
    #[inline]
    pub(crate) fn plan(&mut self, cx: &mut Context<'_, B>, max_payload: u32) -> Option<Plan> {
        let mut plan = match &mut self.state {
            State::Synchronized(state) => state.plan(cx, max_payload, &self.options),
            State::SynSent(state) => state.plan(cx),
            State::SynReceived(state) => state.plan(cx),
            State::TimeWait(state) => state.plan(cx),
            State::Closed(_) => None,
        }?;
        if let Some(timeout) = self.patience.user_timeout()
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
            self.patience.user_timeout_mut().announce = false;
        }
        match &mut self.state {
            State::Synchronized(state) => {
                state.sent(cx, plan);
                return state.has_output(cx.buffers);
            }
            State::SynSent(state) => {
                if let Some(fast_syn) = &mut state.fast_syn
                    && !state.attempts.is_repeated()
                {
                    fast_syn.sent = plan.len as u16;
                }
                state.attempts.sent(cx.now, cx.config);
            }
            State::SynReceived(state) => state.attempts.sent(cx.now, cx.config),
            State::TimeWait(state) => state.ack_due = false,
            State::Closed(_) => {}
        }
        false
    }
}

impl<B: Buffers> SynSent<B> {
    fn plan(&self, cx: &Context<'_, B>) -> Option<Plan> {
        let mut flags = TcpFlags::SYN;
        flags.set(TcpFlags::ECE | TcpFlags::CWR, self.offers_ecn(cx.config));
        // RFC 7413 §4.1.3: a repeated SYN has neither the option nor data.
        let fast_syn = self.fast_syn.filter(|_| !self.attempts.is_repeated());
        let queued = cx.buffers.queued(&self.buffers.0);
        let len = fast_syn.map_or(0, |fast_syn| queued.min(usize::from(fast_syn.room)) as u16);
        let fast_open = fast_syn.map(|fast_syn| fast_syn.option);
        self.attempts.due.then(|| Plan {
            flags,
            options: TcpOptions { fast_open, ..self.ours.options(None, cx.now) },
            len: u32::from(len),
            mss: len,
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

    /// Only the first `len` bytes have left.
    pub(crate) fn shorten(&mut self, len: u32) {
        self.len = len;
        self.flags.remove(TcpFlags::FIN | TcpFlags::PSH);
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
            ect: false,
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
            || self.flight.as_ref().is_some_and(|flight| flight.has_output())
            || self.probe
    }

    #[inline]
    fn plan(&mut self, cx: &mut Context<'_, B>, max_payload: u32, user: &Options) -> Option<Plan> {
        let queued = cx.buffers.queued(&self.send) as u32;
        let mut options = TcpOptions {
            timestamps: self.timestamps.map(|timestamps| timestamps.stamp(cx.now)),
            ..TcpOptions::default()
        };
        options.sack = self.rcv.sack_blocks(options.most_sack_blocks());
        let mss = self.segment_size(&mut options, queued);
        let cwr = self.is_cwr_due();
        // A device that cuts segments would set CWR on all of them.
        let max_payload = if cwr { 0 } else { max_payload };
        let chunk = self.next_chunk(cx, queued, mss, max_payload, user);
        let window = self.window_to_announce(cx.buffers, cx.config);
        let mut flags = TcpFlags::ACK;
        flags.set(TcpFlags::ECE, self.ecn.as_ref().is_some_and(Ecn::echoes));
        let Some(chunk) = chunk else {
            if options.sack.is_empty() && !self.rcv.has_nothing_to_tell() {
                // What found no room beside data is told now, or it would be due for ever.
                options.sack = self.rcv.sack_blocks(options.most_sack_blocks());
            }
            if self.probe {
                // RFC 9293 §3.8.4: an old sequence number makes the peer answer.
                return Some(Plan { flags, options, ..Plan::bare(self.snd.una - 1, self.rcv.nxt, window) });
            }
            return (self.rcv.ack_due() == AckDue::Now).then(|| Plan {
                flags,
                options,
                ..Plan::bare(self.snd.bare_seq(), self.rcv.nxt, window)
            });
        };
        // RFC 3168 §6.1.5, §6.1.6: neither what is sent again nor probes of a closed window.
        let ect = self.ecn.is_some() && chunk.kind == Kind::New && chunk.len > 0;
        flags.set(TcpFlags::CWR, cwr && ect);
        flags.set(TcpFlags::FIN, chunk.fin);
        let offset = chunk.seq.since(self.snd.una);
        // RFC 9293 §3.9.1.2: the end of all that is queued is pushed. So is that of a burst, which receivers that join
        // segments (GRO, LRO) then hand on at once.
        flags.set(TcpFlags::PSH, chunk.len > 0 && (chunk.last || offset + chunk.len == queued));
        Some(Plan {
            seq: chunk.seq,
            ack: self.rcv.nxt,
            flags,
            window,
            options,
            offset,
            len: chunk.len,
            mss,
            ect,
            kind: chunk.kind,
        })
    }

    /// Whether the next new data says that the window has come down, for an echo or for a loss (RFC 3168 §6.1.2).
    #[inline]
    fn is_cwr_due(&mut self) -> bool {
        let Some(ecn) = &mut self.ecn else { return false };
        if let Some(end) = self.flight.as_ref().and_then(|flight| flight.repairs_up_to()) {
            ecn.reduced(end);
        }
        ecn.is_cwr_due()
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
        user: &Options,
    ) -> Option<Chunk> {
        let mss = u32::from(mss);
        let mut largest = max_payload.max(mss);
        if let Some(flight) = &mut self.flight
            && (flight.has_output() || self.snd.flight() < queued)
        {
            match flight.pace(mss, cx.now) {
                Ok(burst) => largest = largest.min(burst),
                Err(_) if flight.must_resend() || flight.must_probe() => {}
                Err(at) => {
                    flight.timer.set(Timer::Pace, at);
                    return None;
                }
            }
            if flight.has_output()
                && let Some(chunk) = self.next_repair(queued, mss, largest)
            {
                return Some(chunk);
            }
        }
        let snd = &self.snd;
        let unsent = queued.saturating_sub(snd.flight());
        // The FIN's own place is counted in `flight` once it was sent.
        let fin_due = snd.fin == Fin::Queued && snd.flight() <= queued;
        if unsent == 0 {
            if fin_due {
                self.open_flight(cx, mss, user);
            }
            let seq = self.snd.nxt;
            return fin_due.then_some(Chunk { seq, len: 0, fin: true, last: false, kind: Kind::New });
        }
        let room = self.open_flight(cx, mss, user).room();
        let usable = room.min(self.snd.wnd.saturating_sub(self.snd.flight()));
        let len = self.worth_sending(usable.min(unsent).min(largest), unsent, mss, user.holds);
        if len > 0 {
            let fin = fin_due && len == unsent;
            let snd = &self.snd;
            let goes_on = self.flight.as_ref().is_some_and(|flight| flight.last_sent == cx.now);
            let burst = len > mss || (snd.flight() > 0 && goes_on);
            let last = burst && (usable.min(unsent) - len) < mss;
            return Some(Chunk { seq: snd.nxt, len, fin, last, kind: Kind::New });
        }
        let Some(flight) = &mut self.flight else { return None };
        if room == usable {
            flight.limited_by_window();
        }
        if self.snd.flight() > 0 {
            return None;
        }
        if self.push {
            let len = self.snd.wnd.clamp(1, unsent.min(mss));
            return Some(Chunk { seq: self.snd.nxt, len, fin: false, last: false, kind: Kind::WindowProbe });
        }
        if !flight.timer.is_set(Timer::Persist) {
            flight.timer.set(Timer::Persist, cx.now + self.rtt.rto(cx.config));
        }
        None
    }

    /// What is in flight, made now where nothing is.
    #[inline]
    pub(super) fn open_flight(&mut self, cx: &Context<'_, B>, mss: u32, user: &Options) -> &mut Flight {
        let flight = self.flight.get_or_insert_with(|| {
            let start = Start {
                una: self.snd.una,
                algorithm: user.congestion_control,
                ssthresh: self.ssthresh,
                sack: self.rcv.uses_sack(),
                mss,
                srtt: self.rtt.smoothed(),
            };
            Box::new(Flight::new(&start, cx.config, cx.now))
        });
        flight.resume(&self.rtt, cx.config, mss, cx.now);
        flight
    }

    /// What repairs a loss, or shows whether there was one: what was lost, or a tail loss probe.
    fn next_repair(&mut self, queued: u32, mss: u32, largest: u32) -> Option<Chunk> {
        let has_new_data = queued.min(self.snd.wnd) > self.snd.flight();
        let flight = self.flight.as_mut()?;
        if let Some((seq, len)) = flight.next_resend(largest, mss, has_new_data) {
            // RFC 9293 §3.8.6 (SHLD-16): what lies beyond a window that has shrunk waits; but the oldest segment asks
            // for a new one.
            let edge = self.snd.una + self.snd.wnd;
            let len = if edge.after(seq) { len.min(edge.since(seq)) } else { len.min(mss) };
            if edge.after(seq) || seq == self.snd.una {
                return Some(self.stretch(seq, len, queued, Kind::Again));
            }
        }
        flight.limited_by_window();
        if !flight.must_probe() {
            return None;
        }
        // RFC 8985 §7.3: new data if there is any and the peer has room, else the last segment.
        let usable = (queued.min(self.snd.wnd)).saturating_sub(self.snd.flight());
        if usable > 0 {
            return Some(self.stretch(self.snd.nxt, usable.min(mss), queued, Kind::New));
        }
        let len = self.snd.flight().min(mss);
        Some(self.stretch(self.snd.nxt - len, len, queued, Kind::Again))
    }

    /// The segment for a stretch of the sequence space. A FIN that was sent goes with the last byte before it.
    fn stretch(&self, seq: SeqNumber, places: u32, queued: u32, kind: Kind) -> Chunk {
        let before_fin = queued.saturating_sub(seq.since(self.snd.una));
        let fin = places >= before_fin && self.snd.flight() > queued;
        Chunk { seq, len: places.min(before_fin), fin, last: false, kind }
    }

    /// How many of `sendable` bytes are worth a segment, with `unsent` bytes to go (RFC 9293 §3.8.6.2.1
    /// against silly windows, §3.7.4 for Nagle).
    #[inline]
    pub(super) fn worth_sending(&self, sendable: u32, unsent: u32, mss: u32, holds: Holds) -> u32 {
        let snd = &self.snd;
        let tail = if sendable < mss { sendable } else { sendable % mss };
        if tail == 0 {
            return sendable;
        }
        let tail_may_leave = if sendable == unsent {
            // The end of all that is queued: at once, unless Nagle waits for what is in flight, or the user for more.
            // What was sent before does not wait again. What goes in front of it is in flight when it leaves.
            holds.is_empty()
                || (holds == Holds::NAGLE && snd.flight() == 0 && sendable < mss)
                || snd.fin == Fin::Queued
                || snd.nxt.before(snd.max)
        } else {
            tail >= snd.max_wnd / 2
        };
        if tail_may_leave { sendable } else { sendable - tail }
    }

    #[inline]
    fn sent(&mut self, cx: &mut Context<'_, B>, plan: &Plan) {
        let told = !plan.options.sack.is_empty();
        self.rcv.announced(plan.window, told.then(|| plan.options.most_sack_blocks()));
        self.timers.delayed_ack = Deadline::NEVER;
        match plan.kind {
            Kind::Bare => self.probe = false,
            Kind::WindowProbe => {
                self.push = false;
                self.snd.probed(plan.seq + plan.len);
                if let Some(flight) = &mut self.flight {
                    flight.probed_window(cx.now, self.rtt.rto(cx.config));
                }
            }
            Kind::New | Kind::Again => self.sent_stream(cx, plan),
        }
    }

    #[inline]
    fn sent_stream(&mut self, cx: &mut Context<'_, B>, plan: &Plan) {
        let places = plan.len + u32::from(plan.flags.contains(TcpFlags::FIN));
        let (timeout, limit) = (self.rtt.timeout(cx.now, cx.config), cx.limits.in_flight_records);
        let Some(flight) = &mut self.flight else { return };
        cx.counters.tcp_tail_loss_probes += u64::from(flight.must_probe());
        self.rcv.answered();
        if plan.kind == Kind::New {
            self.push = false;
            if plan.flags.contains(TcpFlags::CWR)
                && let Some(ecn) = &mut self.ecn
            {
                ecn.sent_cwr();
            }
            let last = self.snd.flight() + places >= cx.buffers.queued(&self.send) as u32;
            return self.sent_new(cx, places, last);
        }
        cx.counters.tcp_retransmissions += 1;
        cx.counters.tcp_fast_retransmissions += u64::from(flight.is_in_fast_recovery());
        flight.sent_again(plan.seq, places, cx.now, timeout, limit);
        self.arm(cx);
    }

    /// Notes that the next `places` of the sequence space have left; `last` where nothing more is queued.
    #[inline]
    pub(super) fn sent_new(&mut self, cx: &Context<'_, B>, places: u32, last: bool) {
        self.snd.sent(places);
        let timeout = self.rtt.timeout(cx.now, cx.config);
        if let Some(flight) = &mut self.flight {
            flight.sent(places, last, cx.now, timeout, cx.limits.in_flight_records);
        }
        self.arm(cx);
    }
}
