//! The synchronised states, ESTABLISHED to LAST-ACK: what an arriving segment means (RFC 9293 §3.10.7.4).

use alloc::boxed::Box;

use super::ecn::Ecn;
use super::flight::Flight;
use super::handshake::{MIN_MSS, TIMESTAMPS_LEN};
use super::prediction::{Plain, Predicted};
use super::receive::{AckDue, ReceiveSpace};
use super::recovery::Ack;
use super::rtt::RttEstimator;
use super::send::{Fin, SendSpace};
use super::seq::SeqNumber;
use super::time_wait::TimeWait;
use super::timers::{Deadline, Timer, Timers};
use super::timestamps::Timestamps;
use super::tuning::Tuning;
use super::{Answer, Context, Decision, Next, Segment};
use crate::buffers::{Buffers, Pressure};
use crate::config::{CongestionAlgorithm, KeepAlive, TcpConfig};
use crate::socket::{Readiness, SocketError};
use crate::time::{Duration, Instant, Lately, Past};
use crate::wire;
use crate::wire::tcp::TcpFlags;
use crate::wire::tcp_options::SackBlocks;

/// A connection whose ends know each other's sequence numbers.
pub(crate) struct Synchronized<B: Buffers> {
    pub(crate) phase: Phase,
    /// The user has closed its handle: data that arrives now meets nobody.
    pub(crate) detached: bool,
    pub(crate) fast_open: FastOpenState,
    pub(crate) snd: SendSpace,
    pub(crate) rcv: ReceiveSpace,
    pub(crate) timestamps: Option<Timestamps>,
    pub(crate) rtt: RttEstimator,
    /// What is in flight. There is none where nothing was for a while.
    pub(crate) flight: Option<Box<Flight>>,
    /// The slow start threshold that the last flight left (RFC 5681 §3.1).
    pub(crate) ssthresh: u32,
    /// What is known of congestion marks, where both ends understand them.
    pub(crate) ecn: Option<Ecn>,
    pub(crate) timers: Timers,
    /// Retransmissions, window probes or keep-alives since the peer last answered.
    pub(crate) unanswered: u8,
    /// A segment leaves even if it is not worth it: the persist timer went off.
    pub(crate) push: bool,
    /// A keep-alive probe leaves.
    pub(crate) probe: bool,
    /// When a bare acknowledgement that does not fit was answered last.
    pub(crate) objected: Option<Lately>,
    /// How much may wait to be read.
    pub(crate) tuning: Tuning,
    pub(crate) send: B::Send,
    pub(crate) receive: B::Receive,
}

/// Time between two answers to bare acknowledgements that do not fit. True peers send them seldom: a keep-alive, or a
/// probe of a closed window.
const OBJECTION_INTERVAL: Duration = Duration::from_millis(500);

/// What every peer may send, however scarce memory is: enough for two segments, so that acknowledgements do not wait.
const LEAST_WINDOW: usize = 4_096;

/// What became of the data on the SYN (RFC 7413).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FastOpenState {
    /// There was none, or it was not taken.
    No,
    /// The peer's was taken, and our SYN-ACK is not acknowledged yet.
    Unconfirmed,
    /// It was taken.
    Taken,
}

/// How far each end has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
}

impl<B: Buffers> Synchronized<B> {
    /// What a segment means to this connection.
    #[inline]
    pub(crate) fn on_segment(&mut self, cx: &mut Context<'_, B>, segment: &Segment<'_>) -> Decision {
        match Plain::of(segment).and_then(|plain| self.on_predicted(cx, &plain)) {
            Some(Predicted { owes, ready }) => {
                let answer = if owes { Answer::Output } else { Answer::Nothing };
                Decision { next: Next::Stay, answer, ready }
            }
            None => self.on_any_segment(cx, segment),
        }
    }

    /// What a segment means that may be any.
    pub(super) fn on_any_segment(&mut self, cx: &mut Context<'_, B>, segment: &Segment<'_>) -> Decision {
        if let Some(decision) = self.refuse(cx, segment) {
            return decision;
        }
        self.rcv.last_heard = Past::of(cx.now);
        // What is in flight has to be acknowledged; where nothing is, any sign of life will do.
        if self.snd.flight() == 0 || segment.ack.after(self.snd.una) {
            self.unanswered = 0;
        }
        if let (Some(timestamps), Some(stamps)) = (&mut self.timestamps, segment.options.timestamps) {
            timestamps.note(stamps.value, segment.seq, self.rcv.last_ack_sent());
        }
        if let Some(ecn) = &mut self.ecn
            && !segment.payload.is_empty()
        {
            ecn.arrived(segment.ce, segment.flags.contains(TcpFlags::CWR));
            cx.counters.tcp_congestion_marks += u64::from(segment.ce);
        }
        let mut ready = self.take_ack(cx, segment);
        // RFC 1122 §4.2.2.13: data for a user that has closed is answered with a reset.
        if self.detached && (segment.seq + segment.payload.len() as u32).after(self.rcv.nxt) {
            cx.counters.tcp_data_after_close += 1;
            return Decision { next: Next::Closed(None), ..Decision::reset(segment) };
        }
        let arrived = self.rcv.accept(cx, &mut self.receive, segment);
        if arrived.bytes > 0 {
            ready |= Readiness::READABLE;
        }
        if arrived.fin {
            ready |= Readiness::READABLE | Readiness::READ_CLOSED;
            self.rcv.ack_now();
        }
        if self.rcv.ack_due() == AckDue::Later && self.timers.delayed_ack == Deadline::NEVER {
            self.timers.delayed_ack = Deadline::at(cx.now + cx.config.delayed_ack);
        }
        let mut next = self.advance_phase(cx, arrived.fin);
        if self.fast_open == FastOpenState::Unconfirmed && !segment.ack.before(self.snd.una) {
            self.fast_open = FastOpenState::Taken;
            if next == Next::Stay {
                next = Next::Confirmed;
            }
        }
        let answer = if self.has_output(cx.buffers) { Answer::Output } else { Answer::Nothing };
        Decision { next, answer, ready }
    }

    /// RFC 7413 §4.2.2: takes the data on the SYN that has opened this connection; the SYN-ACK acknowledges it.
    pub(crate) fn take_syn_data(&mut self, cx: &mut Context<'_, B>, syn: &Segment<'_>) -> Readiness {
        self.fast_open = FastOpenState::Unconfirmed;
        let data = Segment { seq: syn.seq + 1, flags: TcpFlags::ACK, ..*syn };
        let arrived = self.rcv.accept(cx, &mut self.receive, &data);
        self.rcv.acknowledged();
        if arrived.bytes > 0 { Readiness::READABLE } else { Readiness::empty() }
    }

    /// The checks that come before a segment means anything, in the order of RFC 9293 §3.10.7.4. Returns what
    /// to do with a segment that fails one.
    #[inline]
    fn refuse(&mut self, cx: &mut Context<'_, B>, segment: &Segment<'_>) -> Option<Decision> {
        let flags = segment.flags;
        let is_reset = flags.contains(TcpFlags::RST);
        if let Some(timestamps) = &self.timestamps
            && !is_reset
        {
            match segment.options.timestamps {
                Some(stamps) if !timestamps.is_outdated(stamps.value, self.rcv.silence(cx.now)) => {}
                Some(_) => {
                    // RFC 7323 §5.3 R1: an acknowledgement, and the segment is dropped.
                    cx.counters.tcp_outdated_timestamp += 1;
                    return Some(self.object(cx, segment));
                }
                None => {
                    // RFC 7323 §3.2: dropped silently.
                    cx.counters.tcp_without_timestamp += 1;
                    return Some(Decision::IGNORE);
                }
            }
        }
        if !self.rcv.is_acceptable(segment) {
            cx.counters.tcp_out_of_window += 1;
            if segment.seq.before(self.rcv.nxt) {
                self.rcv.note_old(cx.counters, segment);
            }
            return Some(if is_reset { Decision::IGNORE } else { self.object(cx, segment) });
        }
        if is_reset {
            // RFC 5961 §3.2: only the exact sequence number resets, others are challenged.
            return Some(if segment.seq == self.rcv.nxt { self.reset_by_peer() } else { self.challenge(cx) });
        }
        if flags.contains(TcpFlags::SYN) {
            // RFC 5961 §4.2.
            return Some(self.challenge(cx));
        }
        if !flags.contains(TcpFlags::ACK) {
            cx.counters.tcp_without_ack += 1;
            return Some(Decision::IGNORE);
        }
        if !self.snd.is_acceptable(segment.ack) {
            // RFC 5961 §5.2.
            let challenged = may_challenge(cx);
            return Some(if challenged { self.object(cx, segment) } else { Decision::IGNORE });
        }
        None
    }

    /// Answers a segment that does not fit with an acknowledgement; but where it is nothing more itself, not again
    /// for a while. Two ends that were made to disagree would answer each other's answers without end
    /// (RFC 5961 §7).
    fn object(&mut self, cx: &mut Context<'_, B>, segment: &Segment<'_>) -> Decision {
        if segment.len() == 0 {
            if self.objected.is_some_and(|objected| objected.until(cx.now) < OBJECTION_INTERVAL) {
                cx.counters.tx_suppressed += 1;
                return Decision::IGNORE;
            }
            self.objected = Some(Lately::of(cx.now));
        }
        self.acknowledge()
    }

    pub(super) fn acknowledge(&mut self) -> Decision {
        self.rcv.ack_now();
        Decision::OUTPUT
    }

    /// RFC 5961 §7: an acknowledgement that a true peer answers, and an attacker does not see.
    fn challenge(&mut self, cx: &mut Context<'_, B>) -> Decision {
        if may_challenge(cx) { self.acknowledge() } else { Decision::IGNORE }
    }

    /// RFC 9293 §3.10.7.4, second: the peer wants no more of this connection.
    fn reset_by_peer(&self) -> Decision {
        match self.phase {
            Phase::Closing | Phase::LastAck => Decision::closed(None),
            Phase::Established | Phase::FinWait1 | Phase::FinWait2 | Phase::CloseWait => {
                Decision::closed(Some(SocketError::Reset))
            }
        }
    }

    /// RFC 9293 §3.10.7.4, fifth: what the segment acknowledges, and the window that it offers.
    #[inline]
    fn take_ack(&mut self, cx: &mut Context<'_, B>, segment: &Segment<'_>) -> Readiness {
        let advanced = segment.ack.after(self.snd.una);
        let duplicate = !advanced && self.snd.is_duplicate(segment);
        cx.counters.tcp_duplicate_acks += u64::from(duplicate);
        let ready = if advanced { self.advance(cx, segment.ack) } else { Readiness::empty() };
        if !segment.ack.before(self.snd.una) {
            self.take_window(segment.seq, advanced, segment.window);
        }
        let Segment { ack, options, .. } = *segment;
        if advanced || duplicate || !options.sack.is_empty() {
            let marked = segment.flags.contains(TcpFlags::ECE);
            self.tell_flight(cx, ack, options.timestamps, &options.sack, duplicate, marked);
        }
        ready
    }

    /// Everything before `ack`, which is new, has arrived.
    #[inline]
    pub(super) fn advance(&mut self, cx: &mut Context<'_, B>, ack: SeqNumber) -> Readiness {
        let queued = cx.buffers.queued(&self.send) as u32;
        let bytes = self.snd.acknowledge(ack, queued);
        if bytes == 0 {
            return Readiness::empty();
        }
        cx.buffers.release(&mut self.send, bytes as usize);
        Readiness::WRITABLE
    }

    /// Takes the window of a segment that acknowledges all that is known to have arrived.
    #[inline]
    pub(super) fn take_window(&mut self, seq: SeqNumber, advanced: bool, field: u16) {
        if self.snd.update_window(seq, advanced, field)
            && self.snd.wnd > 0
            && let Some(flight) = &mut self.flight
            && flight.timer.is_set(Timer::Persist)
        {
            // The pauses between probes say nothing about the path.
            flight.timer.clear();
            self.rtt.end_back_off();
        }
        // RFC 9293 §3.8.6 (SHLD-17): what the peer has no room for any more does not time out while it answers.
        if self.snd.flight() > self.snd.wnd {
            self.unanswered = 0;
        }
    }

    /// Whether what has arrived must be acknowledged before a segment counts, since its mark differs from theirs
    /// (RFC 8257 §3.2). The acknowledgement is due then.
    #[inline]
    pub(crate) fn acknowledges_before(&mut self, segment: &Segment<'_>) -> bool {
        let Some(ecn) = &self.ecn else { return false };
        if segment.payload.is_empty() || !ecn.tells_apart(segment.ce) || self.rcv.ack_due() == AckDue::No {
            return false;
        }
        self.rcv.ack_now();
        true
    }

    /// Goes on with an algorithm of congestion control.
    pub(crate) fn use_congestion_control(&mut self, algorithm: CongestionAlgorithm) {
        if let Some(ecn) = &mut self.ecn {
            ecn.set_precise(algorithm == CongestionAlgorithm::Dctcp);
        }
        if let Some(flight) = &mut self.flight {
            flight.change_congestion_control(algorithm);
        }
    }

    /// Tells what is in flight of an acknowledgement.
    pub(super) fn tell_flight(
        &mut self,
        cx: &mut Context<'_, B>,
        number: SeqNumber,
        stamps: Option<wire::Timestamps>,
        blocks: &SackBlocks,
        duplicate: bool,
        marked: bool,
    ) {
        let Some(flight) = &mut self.flight else { return };
        let (queued, sent) = (cx.buffers.queued(&self.send) as u32, self.snd.flight());
        let ack = Ack {
            now: cx.now,
            number,
            blocks,
            duplicate,
            echo: self.timestamps.as_ref().zip(stamps.map(|stamps| stamps.echo)),
            has_new_data: queued.min(self.snd.wnd) > sent,
            ece: self.ecn.is_some() && marked,
            mss: u32::from(self.snd.mss),
        };
        let limit = cx.limits.in_flight_records;
        let told = flight.on_ack(&ack, &mut self.rtt, cx.config, limit, cx.counters);
        if ack.ece
            && let Some(ecn) = &mut self.ecn
            && ecn.is_news(self.snd.una)
            && flight.on_congestion_echo(ack.mss)
        {
            ecn.reduced(self.snd.max);
            cx.counters.tcp_congestion_reductions += 1;
        }
        if told {
            self.arm(cx);
        }
    }

    /// Sets the timer that what is in flight needs next.
    #[inline]
    pub(crate) fn arm(&mut self, cx: &Context<'_, B>) {
        if let Some(flight) = &mut self.flight
            && (!flight.timer.is_set(Timer::Persist) || !flight.is_empty())
        {
            let (timer, at) = flight.next_timer(&self.rtt, u32::from(self.snd.mss), cx.now);
            flight.timer.set(timer, at);
        }
    }

    /// The state that follows when our FIN was acknowledged, or when the peer's FIN `arrived`
    /// (RFC 9293 §3.3.2, figure 5).
    #[inline]
    fn advance_phase(&mut self, cx: &Context<'_, B>, arrived: bool) -> Next {
        if self.snd.fin == Fin::Acknowledged {
            match self.phase {
                Phase::FinWait1 => {
                    self.phase = Phase::FinWait2;
                    self.bound_fin_wait_2(cx);
                }
                Phase::Closing => return Next::TimeWait,
                Phase::LastAck => return Next::Closed(None),
                Phase::Established | Phase::FinWait2 | Phase::CloseWait => {}
            }
        }
        if arrived {
            match self.phase {
                Phase::Established => self.phase = Phase::CloseWait,
                Phase::FinWait1 => self.phase = Phase::Closing,
                Phase::FinWait2 => return Next::TimeWait,
                Phase::CloseWait | Phase::Closing | Phase::LastAck => {}
            }
        }
        Next::Stay
    }

    /// Both ends have closed, and we closed first: what is remembered for a while.
    pub(crate) fn into_time_wait(self, cx: &mut Context<'_, B>) -> TimeWait<B> {
        let window = self.window_to_announce(cx.buffers, cx.config);
        // Nobody reads what a closed handle left.
        let buffers = if self.detached {
            cx.buffers.close(cx.socket, self.send, self.receive);
            None
        } else {
            Some((self.send, self.receive))
        };
        TimeWait {
            snd_nxt: self.snd.max,
            rcv_nxt: self.rcv.nxt,
            window,
            timestamps: self.timestamps,
            ack_due: self.rcv.ack_due() != AckDue::No,
            ends: cx.now + cx.config.time_wait,
            buffers,
        }
    }

    /// The user has read. Returns whether the peer is to be told at once.
    #[inline]
    pub(crate) fn consumed(&mut self, buffers: &B, config: &TcpConfig, now: Instant) -> bool {
        let read_to = self.rcv.nxt - buffers.unread(&self.receive) as u32;
        self.tuning.on_read(read_to, self.rcv.scale(), &self.rtt, config, now);
        let (room, capacity) = self.room(buffers, config);
        self.rcv.on_read(room, capacity);
        self.rcv.ack_due() == AckDue::Now
    }

    pub(crate) fn window_to_announce(&self, buffers: &B, config: &TcpConfig) -> u16 {
        let (room, capacity) = self.room(buffers, config);
        self.rcv.announce(room, capacity)
    }

    /// The bytes that may still arrive, and those that may wait altogether: few where memory is scarce.
    #[inline]
    fn room(&self, buffers: &B, config: &TcpConfig) -> (usize, usize) {
        let (unread, room) = (buffers.unread(&self.receive), buffers.room(&self.receive));
        let limit = match buffers.pressure() {
            Pressure::None => self.tuning.limit(config),
            Pressure::High | Pressure::Exhausted => LEAST_WINDOW,
        };
        (room.min(limit.saturating_sub(unread)), limit.min(room + unread))
    }

    /// The congestion window in bytes; 0 while nothing is in flight.
    pub(crate) fn congestion_window(&self) -> u32 {
        self.flight.as_ref().map_or(0, |flight| flight.window())
    }

    /// The peer's segments, and ours, have at most `mss` bytes of payload and options.
    pub(crate) fn limit_segments(&mut self, mss: u16) {
        let options = self.timestamps.map_or(0, |_| TIMESTAMPS_LEN);
        self.snd.mss = self.snd.mss.min(mss.max(MIN_MSS) - options);
    }

    /// The user sends nothing after what is queued.
    pub(crate) fn shut_down(&mut self) {
        if self.snd.fin != Fin::Open {
            return;
        }
        self.snd.fin = Fin::Queued;
        match self.phase {
            Phase::Established => self.phase = Phase::FinWait1,
            Phase::CloseWait => self.phase = Phase::LastAck,
            Phase::FinWait1 | Phase::FinWait2 | Phase::Closing | Phase::LastAck => {}
        }
    }

    /// The user has closed its handle.
    pub(crate) fn detach(&mut self, cx: &Context<'_, B>) {
        self.detached = true;
        self.shut_down();
        self.bound_fin_wait_2(cx);
    }

    /// RFC 9293 §3.6: a user that has closed doesn't wait forever for a peer that never does.
    fn bound_fin_wait_2(&mut self, cx: &Context<'_, B>) {
        if self.detached && self.phase == Phase::FinWait2 {
            self.timers.idle = Deadline::at(cx.now + cx.config.fin_wait_2);
        }
    }

    /// Watches the peer with keep-alives, or stops doing so.
    pub(crate) fn watch(&mut self, keepalive: Option<&KeepAlive>, now: Instant) {
        self.timers.idle = keepalive.map_or(Deadline::NEVER, |keepalive| Deadline::at(now + keepalive.idle));
    }
}

/// RFC 5961 §7: whether one more challenge is within the stack's bound.
fn may_challenge<B: Buffers>(cx: &mut Context<'_, B>) -> bool {
    let allowed = cx.challenges.allow(cx.now);
    if allowed {
        cx.counters.tcp_challenge_acks += 1;
    } else {
        cx.counters.tx_suppressed += 1;
    }
    allowed
}
