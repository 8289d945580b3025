//! A connection: who it joins, and the state that it is in.

use alloc::boxed::Box;

use bitflags::bitflags;

use super::handshake::{SynReceived, SynSent};
use super::synchronized::{FastOpenState, Phase, Synchronized};
use super::time_wait::TimeWait;
use super::timers::Deadline;
use super::user_timeout::UserTimeout;
use super::{Context, Decision, FourTuple, Next, Segment, SeqNumber};
use crate::buffers::Buffers;
use crate::config::{CongestionAlgorithm, KeepAlive, TcpConfig};
use crate::socket::SocketError;
use crate::wire::{self, TcpFlags};

/// A connection from its first SYN to the end of its TIME-WAIT.
pub(crate) struct Connection<B: Buffers> {
    pub(crate) tuple: FourTuple,
    pub(crate) options: Options,
    pub(crate) patience: Patience,
    /// What the user has not been told yet: what ended the connection, or while it lives, what a router has said of its
    /// segments.
    pub(crate) error: Option<SocketError>,
    /// The user has closed its handle: nobody reads, and nobody is told.
    pub(crate) detached: bool,
    pub(crate) state: State<B>,
}

/// What the user chose for how one socket sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) holds: Holds,
    pub(crate) congestion_control: CongestionAlgorithm,
}

bitflags! {
    /// What holds a segment back that is not full.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Holds: u8 {
        /// Another one that is unacknowledged (Nagle, RFC 9293 §3.7.4).
        const NAGLE = 1;
        /// The user, who will send more at once.
        const CORK = 1 << 1;
    }
}

/// How long a peer may be silent, or keep data unacknowledged. Few connections have bounds of their own, and nothing is
/// allocated for the others.
#[derive(Clone, Debug)]
pub(crate) struct Patience(Option<Box<Bounds>>);

#[derive(Clone, Debug, Default)]
struct Bounds {
    keepalive: Option<KeepAlive>,
    user_timeout: UserTimeout,
}

impl Options {
    pub(crate) fn new(config: &TcpConfig) -> Self {
        let mut holds = Holds::empty();
        holds.set(Holds::NAGLE, config.nagle);
        Self { holds, congestion_control: config.congestion_control }
    }
}

impl Patience {
    pub(crate) fn new(config: &TcpConfig) -> Self {
        let bounds = Bounds {
            keepalive: config.keepalive,
            user_timeout: UserTimeout::configured(config.user_timeout, config.user_timeout_option),
        };
        let any = bounds.keepalive.is_some() || config.user_timeout.is_some();
        Self(any.then(|| Box::new(bounds)))
    }

    pub(crate) fn keepalive(&self) -> Option<&KeepAlive> {
        self.0.as_ref()?.keepalive.as_ref()
    }

    pub(crate) fn set_keepalive(&mut self, keepalive: Option<KeepAlive>) {
        if keepalive.is_some() || self.0.is_some() {
            self.0.get_or_insert_default().keepalive = keepalive;
        }
    }

    pub(crate) fn user_timeout(&self) -> Option<&UserTimeout> {
        self.0.as_ref().map(|bounds| &bounds.user_timeout)
    }

    pub(crate) fn user_timeout_mut(&mut self) -> &mut UserTimeout {
        &mut self.0.get_or_insert_default().user_timeout
    }
}

/// The state of a connection, with what only that state has.
pub(crate) enum State<B: Buffers> {
    SynSent(Box<SynSent<B>>),
    SynReceived(Box<SynReceived<B>>),
    Synchronized(Synchronized<B>),
    TimeWait(Box<TimeWait<B>>),
    Closed(Closed<B>),
}

/// A connection that is over while its user still holds the handle, and perhaps has bytes to read.
pub(crate) struct Closed<B: Buffers> {
    pub(crate) buffers: Option<(B::Send, B::Receive)>,
    /// The peer's FIN had arrived, so that its stream ends with the unread bytes.
    pub(crate) finished: bool,
}

/// The states of RFC 9293 §3.3.2, as a user sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the standard's own names")]
pub enum TcpState {
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

impl<B: Buffers> State<B> {
    /// A closed connection without buffers: what stands in a table slot while its state is exchanged.
    pub(crate) const fn vacant() -> Self {
        Self::Closed(Closed { buffers: None, finished: false })
    }

    pub(crate) fn name(&self) -> TcpState {
        match self {
            Self::SynSent(_) => TcpState::SynSent,
            Self::SynReceived(_) => TcpState::SynReceived,
            Self::Synchronized(state) => match state.phase {
                Phase::Established if state.fast_open == FastOpenState::Unconfirmed => TcpState::SynReceived,
                Phase::Established => TcpState::Established,
                Phase::FinWait1 => TcpState::FinWait1,
                Phase::FinWait2 => TcpState::FinWait2,
                Phase::CloseWait => TcpState::CloseWait,
                Phase::Closing => TcpState::Closing,
                Phase::LastAck => TcpState::LastAck,
            },
            Self::TimeWait(_) => TcpState::TimeWait,
            Self::Closed(_) => TcpState::Closed,
        }
    }

    /// The send buffer and the receive buffer, where the state has any.
    pub(crate) fn buffers(&mut self) -> Option<(&mut B::Send, &mut B::Receive)> {
        match self {
            Self::SynSent(state) => Some((&mut state.buffers.0, &mut state.buffers.1)),
            Self::SynReceived(state) => Some((&mut state.buffers.0, &mut state.buffers.1)),
            Self::Synchronized(state) => Some((&mut state.send, &mut state.receive)),
            Self::TimeWait(state) => state.buffers.as_mut().map(|(send, receive)| (send, receive)),
            Self::Closed(state) => state.buffers.as_mut().map(|(send, receive)| (send, receive)),
        }
    }

    /// The send buffer, where the state sends from one.
    #[inline]
    pub(crate) fn send_buffer(&self) -> Option<&B::Send> {
        match self {
            Self::Synchronized(state) => Some(&state.send),
            Self::SynSent(state) => Some(&state.buffers.0),
            Self::SynReceived(_) | Self::TimeWait(_) | Self::Closed(_) => None,
        }
    }

    /// Gives the buffers up, whatever the state.
    pub(crate) fn into_buffers(self) -> Option<(B::Send, B::Receive)> {
        match self {
            Self::SynSent(state) => Some(state.buffers),
            Self::SynReceived(state) => Some(state.buffers),
            Self::Synchronized(state) => Some((state.send, state.receive)),
            Self::TimeWait(state) => state.buffers,
            Self::Closed(state) => state.buffers,
        }
    }

    /// When the earliest timer goes off.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Deadline {
        let at = match self {
            Self::Synchronized(state) => return state.next_deadline(),
            Self::SynSent(state) => state.attempts.deadline(),
            Self::SynReceived(state) => state.attempts.deadline(),
            Self::TimeWait(state) => Some(state.ends),
            Self::Closed(_) => None,
        };
        at.map_or(Deadline::NEVER, Deadline::at)
    }
}

impl<B: Buffers> Connection<B> {
    /// A connection in its first state.
    pub(crate) fn new(tuple: FourTuple, config: &TcpConfig, state: State<B>) -> Self {
        let (options, patience) = (Options::new(config), Patience::new(config));
        Self { tuple, options, patience, error: None, detached: false, state }
    }

    /// The path carries packets of `mtu` bytes: segments are made to fit. Returns whether that made them smaller.
    pub(crate) fn follow_path_mtu(&mut self, mtu: usize) -> bool {
        let remote = self.tuple.remote.address;
        let State::Synchronized(state) = &mut self.state else { return false };
        state.follow_path_mtu(remote, mtu)
    }

    /// What is on its way is lost, and sent once more.
    pub(crate) fn resend(&mut self) {
        if let State::Synchronized(state) = &mut self.state
            && let Some(flight) = &mut state.flight
        {
            flight.lose_all();
        }
    }

    /// Whether a segment that begins at `seq` is on its way. RFC 5927 §4.1: an error about another one is forged.
    pub(crate) fn is_in_flight(&self, seq: SeqNumber) -> bool {
        match &self.state {
            State::Synchronized(state) => seq.since(state.snd.una) < state.snd.max.since(state.snd.una),
            State::SynSent(state) => state.iss == seq,
            State::SynReceived(state) => state.exchange.iss == seq,
            State::TimeWait(_) | State::Closed(_) => false,
        }
    }

    /// What a segment that arrived for this connection leads to.
    #[inline]
    pub(crate) fn on_segment(&mut self, cx: &mut Context<'_, B>, segment: &Segment<'_>) -> Decision {
        if let Some(peers) = segment.options.user_timeout
            && cx.config.user_timeout_option
        {
            self.hear_user_timeout(segment, peers);
        }
        let decision = match &mut self.state {
            State::Synchronized(state) => state.on_segment(cx, segment),
            State::SynSent(state) => state.on_segment(segment),
            State::SynReceived(state) => state.on_segment(cx, segment),
            State::TimeWait(state) => state.on_segment(cx, segment),
            State::Closed(_) if segment.flags.contains(TcpFlags::RST) => Decision::IGNORE,
            State::Closed(_) => Decision::reset(segment),
        };
        match decision.next {
            Next::Stay | Next::Closed(_) | Next::Confirmed | Next::Reopen { .. } => decision,
            Next::Synchronized => self.establish(cx, segment, decision),
            Next::SynReceived | Next::TimeWait => {
                self.state = match core::mem::replace(&mut self.state, State::vacant()) {
                    State::SynSent(state) => {
                        let peer = self.tuple.remote.address;
                        State::SynReceived(Box::new(state.into_syn_received(peer, segment)))
                    }
                    State::Synchronized(state) => State::TimeWait(Box::new(state.into_time_wait(cx))),
                    other => other,
                };
                decision
            }
        }
    }

    /// Completes the handshake, and lets the new state look at what else is in the segment.
    fn establish(&mut self, cx: &mut Context<'_, B>, segment: &Segment<'_>, decision: Decision) -> Decision {
        let mut synchronized = match core::mem::replace(&mut self.state, State::vacant()) {
            State::SynSent(state) => state.into_synchronized(cx, self.tuple.remote.address, segment),
            State::SynReceived(state) => state.into_synchronized(cx, segment),
            other => {
                self.state = other;
                return Decision::IGNORE;
            }
        };
        synchronized.detached = self.detached;
        synchronized.watch(self.patience.keepalive(), cx.now);
        synchronized.use_congestion_control(self.options.congestion_control);
        let rest = if segment.flags.contains(TcpFlags::SYN) {
            Decision::OUTPUT
        } else {
            synchronized.on_segment(cx, segment)
        };
        self.state = State::Synchronized(synchronized);
        let next = if rest.next == Next::Stay { decision.next } else { rest.next };
        Decision { next, answer: rest.answer, ready: decision.ready | rest.ready }
    }

    /// Whether what has arrived must be acknowledged before a segment counts.
    #[inline]
    pub(crate) fn acknowledges_before(&mut self, segment: &Segment<'_>) -> bool {
        match &mut self.state {
            State::Synchronized(state) => state.acknowledges_before(segment),
            State::SynSent(_) | State::SynReceived(_) | State::TimeWait(_) | State::Closed(_) => false,
        }
    }

    /// What the timers that are due lead to.
    pub(crate) fn on_timer(&mut self, cx: &mut Context<'_, B>) -> Decision {
        let patience = self.patience.user_timeout().and_then(UserTimeout::limit);
        match &mut self.state {
            State::Synchronized(state) => {
                let answered = state.unanswered == 0;
                let decision = state.on_timer(cx, &self.patience);
                if answered && state.unanswered > 0 {
                    // The peer has answered since routers said anything; what they say of repetitions counts.
                    self.error = None;
                }
                decision
            }
            State::SynSent(state) => state.attempts.on_timer(cx.now, cx.config, patience),
            State::SynReceived(state) => state.attempts.on_timer(cx.now, cx.config, patience),
            State::TimeWait(state) => state.on_timer(cx.now),
            State::Closed(_) => Decision::IGNORE,
        }
    }

    /// RFC 5482 §3.1: the peer tells how long it keeps trying, in a segment that is certainly its own.
    fn hear_user_timeout(&mut self, segment: &Segment<'_>, peers: wire::UserTimeout) {
        let believable = match &self.state {
            State::Synchronized(state) => {
                state.rcv.is_acceptable(segment) && state.snd.is_acceptable(segment.ack)
            }
            State::SynSent(state) => state.iss + 1 == segment.ack,
            State::SynReceived(_) | State::TimeWait(_) | State::Closed(_) => false,
        };
        if !believable {
            return;
        }
        self.patience.user_timeout_mut().hear(peers);
    }

    /// The connection is over, for `error` if it failed. What has arrived stays readable.
    pub(crate) fn close(&mut self, error: Option<SocketError>) {
        let state = core::mem::replace(&mut self.state, State::vacant());
        let was_closed = matches!(state, State::Closed(_));
        let finished = match &state {
            State::Synchronized(state) => state.rcv.is_finished(),
            State::TimeWait(_) => true,
            State::Closed(closed) => closed.finished,
            State::SynSent(_) | State::SynReceived(_) => false,
        };
        self.error = match error {
            // RFC 5461 §3.2: what a router has said of it tells more.
            Some(SocketError::TimedOut) => self.error.or(error),
            None if was_closed => self.error,
            _ => error,
        };
        self.state = State::Closed(Closed { buffers: state.into_buffers(), finished });
    }
}
