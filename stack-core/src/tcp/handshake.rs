//! Opening a connection: SYN-SENT and SYN-RECEIVED (RFC 9293 §3.5), and what the options of both ends'
//! SYNs agree on.

use super::ecn::Ecn;
use super::fast_open::FastSyn;
use super::receive::ReceiveSpace;
use super::rtt::RttEstimator;
use super::send::SendSpace;
use super::seq::{SeqNumber, WindowScale};
use super::synchronized::{FastOpenState, Phase, Synchronized};
use super::timers::Timers;
use super::timestamps::{self, Timestamps};
use super::tuning::Tuning;
use super::{Answer, Context, Decision, Next, Segment};
use crate::address::Address;
use crate::buffers::Buffers;
use crate::config::{self, TcpConfig};
use crate::counters::Counters;
use crate::rate_limit::VagueLimit;
use crate::socket::{Readiness, SocketError};
use crate::time::{Duration, Instant};
use crate::wire::{self, TcpFlags, TcpOptions};

/// RFC 9293 §3.7.1 (MUST-15): what a peer takes that announces no MSS.
const fn default_mss(peer: Address) -> u16 {
    if peer.is_v4() { 536 } else { 1_220 }
}

/// Bytes that the timestamps option takes of every segment, padding included.
pub(crate) const TIMESTAMPS_LEN: u16 = 12;

/// A SYN of ours is on its way, and nothing has come back.
pub(crate) struct SynSent<B: Buffers> {
    pub(crate) iss: SeqNumber,
    pub(crate) ours: Offer,
    pub(crate) attempts: Attempts,
    pub(crate) buffers: (B::Send, B::Receive),
    /// What the first SYN asks for or brings (RFC 7413).
    pub(crate) fast_syn: Option<FastSyn>,
    /// The user has nothing to send beyond what is queued already.
    pub(crate) shut_down: bool,
}

/// Both ends' SYNs have crossed, and ours is not acknowledged yet (a simultaneous open). A handshake that a peer
/// begins with a listener of ours is a record of the [`SynCache`](super::syn_cache::SynCache) instead.
pub(crate) struct SynReceived<B: Buffers> {
    pub(crate) exchange: Exchange,
    pub(crate) attempts: Attempts,
    pub(crate) buffers: (B::Send, B::Receive),
    pub(crate) shut_down: bool,
}

/// What both ends have said in their SYNs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) iss: SeqNumber,
    pub(crate) irs: SeqNumber,
    pub(crate) ours: Offer,
    pub(crate) peers: Offer,
}

/// What a segment means to a handshake in SYN-RECEIVED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Drop,
    /// Our SYN-ACK is to be sent once more.
    Repeat,
    /// The segment is to be answered with a reset.
    Reset,
    /// The peer has reset the connection.
    Refused,
    /// Our SYN is acknowledged.
    Acknowledged,
}

/// What one end offers in its SYN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) mss: u16,
    pub(crate) scale: Option<WindowScale>,
    /// Our timestamps' offset; of the peer, its TSval.
    pub(crate) timestamps: Option<u32>,
    /// Selective acknowledgements are understood (RFC 2018 §2).
    pub(crate) sack: bool,
    /// Congestion marks are understood (RFC 3168 §6.1.1).
    pub(crate) ecn: bool,
    /// The window of the SYN, which is never scaled.
    pub(crate) window: u16,
}

impl Offer {
    /// No option at all.
    #[cfg(test)]
    pub(crate) const NOTHING: Self =
        Self { mss: 536, scale: None, sack: false, timestamps: None, ecn: false, window: 0 };

    /// What we offer, with `mss` for segments to us. The window is that of the beginning, and the scale that of the most
    /// it may grow to.
    pub(crate) fn ours(config: &TcpConfig, mss: u16, timestamp_offset: u32) -> Self {
        let (start, most) = (config.receive_buffer_start, config.receive_buffer);
        Self {
            mss,
            scale: config.window_scaling.then(|| WindowScale::for_buffer(most)),
            timestamps: config.timestamps.then_some(timestamp_offset),
            sack: config.sack,
            ecn: config.ecn != config::Ecn::Off,
            window: u16::try_from(start.min(most)).unwrap_or(u16::MAX),
        }
    }

    /// What a SYN of `peer` offers.
    pub(crate) fn of(peer: Address, syn: &Segment<'_>) -> Self {
        Self {
            mss: syn.options.mss.unwrap_or(default_mss(peer)),
            scale: syn.options.window_scale.map(WindowScale::new),
            timestamps: syn.options.timestamps.map(|stamps| stamps.value),
            sack: syn.options.sack_permitted,
            ecn: offers_ecn(syn.flags),
            window: syn.window,
        }
    }

    /// The options of our SYN; in a SYN-ACK only what the peer has offered too (RFC 7323 §2.2, §3.2). SACK is
    /// treated like that as well, so that both ends know what holds.
    pub(crate) fn options(&self, peers: Option<&Self>, now: Instant) -> TcpOptions {
        let agreed = |theirs: fn(&Self) -> bool| peers.is_none_or(theirs);
        TcpOptions {
            mss: Some(self.mss),
            window_scale: self.scale.filter(|_| agreed(|p| p.scale.is_some())).map(WindowScale::shift),
            timestamps: self.timestamps.filter(|_| agreed(|p| p.timestamps.is_some())).map(|offset| {
                wire::Timestamps {
                    value: timestamps::value(offset, now),
                    echo: peers.and_then(|p| p.timestamps).unwrap_or(0),
                }
            }),
            sack_permitted: self.sack && agreed(|p| p.sack),
            ..TcpOptions::default()
        }
    }
}

/// RFC 3168 §6.1.1: an ECN-setup SYN has ECE and CWR, an ECN-setup SYN-ACK ECE alone.
pub(crate) fn offers_ecn(flags: TcpFlags) -> bool {
    let setup = flags & (TcpFlags::ECE | TcpFlags::CWR);
    setup == if flags.contains(TcpFlags::ACK) { TcpFlags::ECE } else { TcpFlags::ECE | TcpFlags::CWR }
}

/// The repetitions of a SYN or SYN-ACK.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempts {
    pub(crate) rtt: RttEstimator,
    /// When the first one left, and when it is repeated. None before: the timer runs from there, and the stack may
    /// have slept until the call that has led here.
    first_sent: Option<Instant>,
    deadline: Option<Instant>,
    repeated: u8,
    /// How often it is repeated before the attempt fails.
    pub(crate) retries: u8,
    /// The SYN or SYN-ACK shall be sent now.
    pub(crate) due: bool,
}

impl Attempts {
    pub(crate) fn new(config: &TcpConfig) -> Self {
        Self {
            rtt: RttEstimator::new(config),
            first_sent: None,
            deadline: None,
            repeated: 0,
            retries: config.syn_retries,
            due: true,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the SYN or SYN-ACK was sent more than once.
    pub(crate) fn is_repeated(&self) -> bool {
        self.repeated > 0
    }

    /// The SYN or SYN-ACK has left.
    pub(crate) fn sent(&mut self, now: Instant, config: &TcpConfig) {
        self.due = false;
        if self.first_sent.is_none() {
            self.first_sent = Some(now);
            self.deadline = Some(now + self.rtt.rto(config));
        }
    }

    /// No answer came in time: the SYN is sent once more, or given up.
    pub(crate) fn on_timer(
        &mut self,
        now: Instant,
        config: &TcpConfig,
        patience: Option<Duration>,
    ) -> Decision {
        let Some(first_sent) = self.first_sent else { return Decision::IGNORE };
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Decision::IGNORE;
        }
        let gives_up = match patience {
            Some(patience) => now - first_sent >= patience,
            None => self.repeated >= self.retries,
        };
        if gives_up {
            return Decision::closed(Some(SocketError::TimedOut));
        }
        self.repeated = self.repeated.saturating_add(1);
        self.rtt.back_off();
        let next = now + self.rtt.rto(config);
        self.deadline = Some(patience.map_or(next, |patience| next.min(first_sent + patience)));
        self.due = true;
        Decision::OUTPUT
    }

    /// The handshake's round trip becomes the first measurement, unless a repetition makes it ambiguous.
    fn finish(mut self, now: Instant, config: &TcpConfig) -> RttEstimator {
        match self.first_sent {
            Some(first_sent) if self.repeated == 0 => self.rtt.measure(now - first_sent, config),
            _ => self.rtt.distrust_handshake(config),
        }
        self.rtt
    }
}

impl<B: Buffers> SynSent<B> {
    /// RFC 9293 §3.10.7.3.
    pub(crate) fn on_segment(&mut self, segment: &Segment<'_>) -> Decision {
        let flags = segment.flags;
        let acks_our_syn = flags.contains(TcpFlags::ACK) && self.is_acknowledged_by(segment);
        if flags.contains(TcpFlags::ACK) && !acks_our_syn {
            return if flags.contains(TcpFlags::RST) { Decision::IGNORE } else { Decision::reset(segment) };
        }
        if flags.contains(TcpFlags::RST) {
            return if acks_our_syn {
                Decision::closed(Some(SocketError::Refused))
            } else {
                Decision::IGNORE
            };
        }
        if !flags.contains(TcpFlags::SYN) {
            return Decision::IGNORE;
        }
        if acks_our_syn {
            let next = Next::Synchronized;
            return Decision { next, answer: Answer::Output, ready: Readiness::WRITABLE };
        }
        Decision { next: Next::SynReceived, ..Decision::OUTPUT }
    }

    /// Whether a segment acknowledges our SYN, and perhaps some of the data on it.
    pub(crate) fn is_acknowledged_by(&self, segment: &Segment<'_>) -> bool {
        let data = self.fast_syn.map_or(0, |fast_syn| u32::from(fast_syn.sent));
        segment.ack.within(self.iss + 1, data + 1)
    }

    /// The peer's SYN came without an acknowledgement of ours: a simultaneous open (RFC 9293 §3.5, figure 7).
    pub(crate) fn into_syn_received(self, peer: Address, syn: &Segment<'_>) -> SynReceived<B> {
        SynReceived {
            // Two SYNs agree on nothing.
            exchange: Exchange {
                iss: self.iss,
                irs: syn.seq,
                ours: Offer { ecn: false, ..self.ours },
                peers: Offer::of(peer, syn),
            },
            attempts: Attempts { due: true, ..self.attempts },
            buffers: self.buffers,
            shut_down: self.shut_down,
        }
    }

    /// RFC 3168 §6.1.1.1: a SYN that is repeated is no ECN-setup SYN, and whoever has sent one that is none does
    /// without.
    pub(crate) fn offers_ecn(&self, config: &TcpConfig) -> bool {
        config.ecn == config::Ecn::On && self.attempts.repeated == 0
    }

    /// The peer's SYN-ACK came.
    pub(crate) fn into_synchronized(
        mut self,
        cx: &mut Context<'_, B>,
        peer: Address,
        syn_ack: &Segment<'_>,
    ) -> Synchronized<B> {
        // The data on the SYN that was taken counts as a part of it. What was not follows at once.
        let taken = syn_ack.ack.since(self.iss + 1);
        if taken > 0 {
            cx.buffers.release(&mut self.buffers.0, taken as usize);
        }
        let iss = self.iss + taken;
        let ours = Offer { ecn: self.offers_ecn(cx.config), ..self.ours };
        let exchange = Exchange { iss, irs: syn_ack.seq, ours, peers: Offer::of(peer, syn_ack) };
        let rtt = self.attempts.finish(cx.now, cx.config);
        let mut state = exchange.into_synchronized(cx, syn_ack, rtt, self.buffers);
        if taken > 0 {
            state.fast_open = FastOpenState::Taken;
        }
        if self.shut_down {
            state.shut_down();
        }
        state.rcv.ack_now();
        state
    }
}

impl<B: Buffers> SynReceived<B> {
    pub(crate) fn on_segment(&mut self, cx: &mut Context<'_, B>, segment: &Segment<'_>) -> Decision {
        match self.exchange.judge(segment, cx.now, cx.counters, cx.challenges) {
            Verdict::Drop => Decision::IGNORE,
            Verdict::Repeat => {
                self.attempts.due = true;
                Decision::OUTPUT
            }
            Verdict::Reset => Decision::reset(segment),
            Verdict::Refused => Decision::closed(Some(SocketError::Refused)),
            Verdict::Acknowledged => {
                Decision { next: Next::Synchronized, answer: Answer::Output, ready: Readiness::WRITABLE }
            }
        }
    }

    /// The peer has acknowledged our SYN with `ack`.
    pub(crate) fn into_synchronized(self, cx: &Context<'_, B>, ack: &Segment<'_>) -> Synchronized<B> {
        let rtt = self.attempts.finish(cx.now, cx.config);
        let mut state = self.exchange.into_synchronized(cx, ack, rtt, self.buffers);
        if self.shut_down {
            state.shut_down();
        }
        state
    }
}

impl Exchange {
    /// RFC 3168 §6.1.1: a SYN-ACK has ECE where both ends understand marks.
    pub(crate) fn syn_ack_flags(&self) -> TcpFlags {
        let mut flags = TcpFlags::SYN | TcpFlags::ACK;
        flags.set(TcpFlags::ECE, self.ours.ecn && self.peers.ecn);
        flags
    }

    /// RFC 9293 §3.10.7.4, for SYN-RECEIVED.
    pub(crate) fn judge(
        &self,
        segment: &Segment<'_>,
        now: Instant,
        counters: &mut Counters,
        challenges: &mut VagueLimit,
    ) -> Verdict {
        // RFC 5961 §7: an acknowledgement that a true peer answers, and an attacker does not see. Here our
        // SYN-ACK is one.
        let mut challenge = |counters: &mut Counters| {
            if challenges.allow(now) {
                counters.tcp_challenge_acks += 1;
                return Verdict::Repeat;
            }
            counters.tx_suppressed += 1;
            Verdict::Drop
        };
        let flags = segment.flags;
        let expected = self.irs + 1;
        if !flags.contains(TcpFlags::RST)
            && let (Some(_), Some(recent)) = (self.ours.timestamps, self.peers.timestamps)
        {
            match segment.options.timestamps {
                Some(stamps) if !timestamps::is_before(stamps.value, recent) => {}
                Some(_) => {
                    // RFC 7323 §5.3 R1.
                    counters.tcp_outdated_timestamp += 1;
                    return challenge(counters);
                }
                None => {
                    // RFC 7323 §3.2: dropped silently.
                    counters.tcp_without_timestamp += 1;
                    return Verdict::Drop;
                }
            }
        }
        if flags.contains(TcpFlags::SYN) && !flags.contains(TcpFlags::RST) {
            // The peer's SYN once more, or the SYN-ACK of a simultaneous open: ours may have been lost.
            if segment.seq != self.irs {
                return challenge(counters);
            }
            if !flags.contains(TcpFlags::ACK) {
                return Verdict::Repeat;
            }
        } else if !segment.seq.within(expected, u32::from(self.ours.window).max(1)) {
            counters.tcp_out_of_window += 1;
            return if flags.contains(TcpFlags::RST) { Verdict::Drop } else { challenge(counters) };
        }
        if flags.contains(TcpFlags::RST) {
            // RFC 5961 §3.2: only the exact sequence number resets.
            return if segment.seq == expected { Verdict::Refused } else { challenge(counters) };
        }
        if !flags.contains(TcpFlags::ACK) {
            counters.tcp_without_ack += 1;
            return Verdict::Drop;
        }
        if segment.ack == self.iss + 1 { Verdict::Acknowledged } else { Verdict::Reset }
    }

    /// The connection after the peer has acknowledged our SYN with `ack`; its bytes go to `buffers`.
    pub(crate) fn into_synchronized<B: Buffers>(
        self,
        cx: &Context<'_, B>,
        ack: &Segment<'_>,
        rtt: RttEstimator,
        buffers: (B::Send, B::Receive),
    ) -> Synchronized<B> {
        let scale = self.ours.scale.and(self.peers.scale).unwrap_or_default();
        // The window of a SYN is not scaled.
        let is_syn = ack.flags.contains(TcpFlags::SYN);
        let window = if is_syn { u32::from(ack.window) } else { scale.bytes(ack.window) };
        agree(self, window, rtt, buffers, cx)
    }
}

fn agree<B: Buffers>(
    exchange: Exchange,
    window: u32,
    rtt: RttEstimator,
    buffers: (B::Send, B::Receive),
    cx: &Context<'_, B>,
) -> Synchronized<B> {
    let Exchange { iss, irs, ours, peers } = exchange;
    // RFC 7323 §2.2, §3.2: both ends must have offered, or neither uses it.
    let (our_scale, peer_scale) = ours.scale.zip(peers.scale).unwrap_or_default();
    let timestamps =
        ours.timestamps.zip(peers.timestamps).map(|(offset, recent)| Timestamps::new(recent, offset));
    // RFC 9293 §3.7.1: the peer's MSS counts no options, those of every segment come off it.
    let mss = peers.mss.min(ours.mss).max(MIN_MSS) - timestamps.map_or(0, |_| TIMESTAMPS_LEN);
    let snd = SendSpace::new(iss, window, irs, peer_scale, mss);
    let (send, receive) = buffers;
    Synchronized {
        phase: Phase::Established,
        detached: false,
        fast_open: FastOpenState::No,
        snd,
        rcv: ReceiveSpace::new(irs, u32::from(ours.window), our_scale, ours.sack && peers.sack, cx.now),
        timestamps,
        rtt,
        flight: None,
        ssthresh: u32::MAX,
        ecn: (ours.ecn && peers.ecn).then(|| Ecn::new(iss + 1)),
        timers: Timers::new(),
        unanswered: 0,
        push: false,
        probe: false,
        objected: None,
        tuning: Tuning::new(irs + 1, our_scale, cx.now),
        send,
        receive,
    }
}

/// A peer that announces less would have us send headers and nothing else; RFC 791 lets every host take
/// datagrams of 576 bytes, and RFC 1122 links of 68.
pub(crate) const MIN_MSS: u16 = 48;
