//! Connections that peers open: from a SYN for a listener to a place in its accept queue.

use netlane_packet_io::PacketIo;

use super::Stack;
use super::departure::Stalled;
use super::fast_open::FastOpening;
use super::ingress::Incoming;
use super::link::NotSent;
use super::segments::context;
use crate::buffers::Buffers;
use crate::config::SynCookies;
use crate::socket::{Readiness, SocketError, SocketId};
use crate::tcp::connection::{Connection, State};
use crate::tcp::handshake::{Exchange, Offer, Verdict, offers_ecn};
use crate::tcp::rtt::RttEstimator;
use crate::tcp::syn_cache::{CookieForm, Handshake};
use crate::tcp::{Context, Decision, FourTuple, Segment, SeqNumber, reset, syn_cookie};
use crate::wire::{TcpFlags, TcpHeader, TcpOptions};

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// A segment of no connection: it may belong to a handshake, or begin one. Others are answered with a reset
    /// (RFC 9293 §3.10.7.1, §3.10.7.2).
    pub(super) fn receive_unconnected(
        &mut self,
        incoming: &Incoming<'_>,
        tuple: &FourTuple,
        segment: &Segment<'_>,
    ) {
        if let Some(index) = self.handshakes.find(tuple)
            && self.receive_in_handshake(index, segment)
        {
            return;
        }
        if self.receive_cookie(tuple, segment) {
            return;
        }
        if self.queues > 1 && self.pass_on(incoming, segment) {
            return;
        }
        if segment.flags.contains(TcpFlags::RST) {
            return;
        }
        if let Some(listener) = self.listener_for(tuple, segment) {
            return self.open_passively(listener, tuple, segment);
        }
        if self.may_follow_cookie(tuple, segment) {
            return;
        }
        self.counters.rx_no_socket += 1;
        let (seq, ack) = reset::answer(segment);
        self.answer_with_reset(tuple, seq, ack);
    }

    /// The listener that a segment opens a connection with, if it is a SYN for one.
    fn listener_for(&self, tuple: &FourTuple, segment: &Segment<'_>) -> Option<SocketId> {
        let kind = segment.flags & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::FIN);
        (kind == TcpFlags::SYN).then(|| self.sockets.listener(tuple)).flatten()
    }

    /// A SYN for a listener: it is remembered, or answered with a cookie.
    fn open_passively(&mut self, listener: SocketId, tuple: &FourTuple, syn: &Segment<'_>) {
        if !self.has_room(listener) {
            return;
        }
        let cookie = match self.judge_fast_open(listener, tuple, syn) {
            FastOpening::Open { cookie } => return self.open_fast(listener, tuple, syn, cookie),
            FastOpening::Ordinary { cookie } => cookie,
        };
        match (self.tcp.syn_cookies, self.is_syn_queue_full(listener)) {
            (SynCookies::Always, _) | (SynCookies::WhenFull, true) => self.answer_with_cookie(tuple, syn),
            (SynCookies::Off, true) => self.counters.tcp_syn_queue_full += 1,
            (SynCookies::WhenFull | SynCookies::Off, false) => {
                let iss = self.secret.initial_sequence_number(tuple, self.now);
                self.begin_handshake(listener, tuple, syn, iss, cookie);
            }
        }
    }

    /// A SYN that is younger than the connection `id` in TIME-WAIT, which had sent all before `snd_nxt`. Where
    /// nobody takes it, the old connection goes on.
    pub(super) fn reopen(&mut self, id: SocketId, tuple: &FourTuple, syn: &Segment<'_>, snd_nxt: SeqNumber) {
        let Some(listener) = self.listener_for(tuple, syn) else {
            return self.carry_out(id, Decision::OUTPUT);
        };
        if !self.has_room(listener) {
            return;
        }
        if self.is_syn_queue_full(listener) {
            // A cookie cannot promise that its sequence numbers are new.
            self.counters.tcp_syn_queue_full += 1;
            return;
        }
        // Its user may still hold the handle, and have bytes to read.
        self.end(id, None, Readiness::empty());
        // RFC 9293 §3.6.1: the new sequence numbers lie above those of the old connection.
        let iss = self.secret.initial_sequence_number(tuple, self.now);
        let iss = if iss.after(snd_nxt) { iss } else { snd_nxt + REOPENING_DISTANCE };
        self.begin_handshake(listener, tuple, syn, iss, None);
    }

    /// Whether a connection through `listener` would find a place; what hinders it is counted.
    fn has_room(&mut self, listener: SocketId) -> bool {
        let no_socket = self.sockets.table.vacancy().is_none();
        let Some(queue) = self.sockets.table.listener_mut(listener) else { return false };
        if !queue.has_room() {
            self.counters.tcp_accept_queue_full += 1;
            return false;
        }
        self.counters.sockets_full += u64::from(no_socket);
        !no_socket
    }

    pub(super) fn is_syn_queue_full(&mut self, listener: SocketId) -> bool {
        let queue = self.sockets.table.listener_mut(listener);
        self.handshakes.is_full() || queue.is_none_or(|queue| queue.in_handshake >= self.limits.syn_queue)
    }

    fn begin_handshake(
        &mut self,
        listener: SocketId,
        tuple: &FourTuple,
        syn: &Segment<'_>,
        iss: SeqNumber,
        cookie: Option<CookieForm>,
    ) {
        let mut handshake =
            Handshake::new(*tuple, listener, iss, syn.seq, Offer::of(tuple.remote.address, syn));
        handshake.cookie = cookie;
        if let Some(index) = self.remember(handshake) {
            self.handshakes.owe(index);
        }
    }

    pub(super) fn remember(&mut self, handshake: Handshake) -> Option<u32> {
        let queue = self.sockets.table.listener_mut(handshake.listener)?;
        let index = self.handshakes.insert(handshake, self.now, &self.tcp)?;
        queue.in_handshake += 1;
        Some(index)
    }

    /// What the listener offers in its answer to a SYN between these ends.
    fn offer_of_a_listener(&mut self, tuple: &FourTuple) -> Offer {
        let offer = self.offer(tuple);
        let listener = self.sockets.listener(tuple).and_then(|id| self.sockets.table.listener_mut(id));
        match listener.and_then(|listener| listener.max_segment) {
            Some(mss) => Offer { mss: offer.mss.min(mss), ..offer },
            None => offer,
        }
    }

    /// Answers a SYN, and remembers nothing.
    fn answer_with_cookie(&mut self, tuple: &FourTuple, syn: &Segment<'_>) {
        let ours = self.offer_of_a_listener(tuple);
        let peers = syn_cookie::rememberable(&ours, Offer::of(tuple.remote.address, syn));
        let iss = syn_cookie::bake(&self.secret, tuple, syn.seq, &peers, self.now);
        let exchange = Exchange { iss, irs: syn.seq, ours, peers };
        let mut options = ours.options(Some(&peers), self.now);
        if let Some(stamps) = &mut options.timestamps {
            stamps.value = syn_cookie::stamp(stamps.value, &peers);
        }
        self.cookies_until = self.now + syn_cookie::LIFETIME;
        match self.send_syn_ack(tuple, SynAck::of(&exchange), &options) {
            Ok(()) => self.counters.tcp_syn_cookies_sent += 1,
            Err(_) => self.counters.tx_suppressed += 1,
        }
    }

    /// A segment of no connection that may bring a cookie back. Returns whether it does.
    fn receive_cookie(&mut self, tuple: &FourTuple, segment: &Segment<'_>) -> bool {
        let kind = segment.flags & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST);
        if self.now >= self.cookies_until || kind != TcpFlags::ACK {
            return false;
        }
        let Some(listener) = self.sockets.listener(tuple) else { return false };
        let ours = self.offer_of_a_listener(tuple);
        let Some(exchange) = syn_cookie::open(&self.secret, tuple, segment, ours, self.now) else {
            self.counters.tcp_syn_cookies_refused += 1;
            return false;
        };
        if self.establish(listener, tuple, exchange, RttEstimator::new(&self.tcp), segment).is_some() {
            self.counters.tcp_syn_cookies_accepted += 1;
        } else if !self.is_syn_queue_full(listener) {
            // The peer is a true one. If it waits for us to speak, only a repeated SYN-ACK lets it in.
            let Exchange { iss, irs, peers, .. } = exchange;
            self.remember(Handshake::new(*tuple, listener, iss, irs, peers));
        }
        true
    }

    /// Whether a segment may come behind the one with a cookie, which was lost or is late: nothing in it can tell. A
    /// reset would end a connection whose peer sends again what is missing, so that it is dropped.
    fn may_follow_cookie(&self, tuple: &FourTuple, segment: &Segment<'_>) -> bool {
        let kind = segment.flags & (TcpFlags::SYN | TcpFlags::ACK);
        self.now < self.cookies_until && kind == TcpFlags::ACK && self.sockets.listener(tuple).is_some()
    }

    /// A segment of a handshake. Returns whether the handshake was still somebody's.
    fn receive_in_handshake(&mut self, index: u32, segment: &Segment<'_>) -> bool {
        let Some(&handshake) = self.handshakes.get(index) else { return false };
        if handshake.opened.is_some() || self.sockets.table.listener_mut(handshake.listener).is_none() {
            // The connection has ended, or the listener was closed.
            self.forget_handshake(index);
            return false;
        }
        let exchange = handshake.exchange(self.offer_of_a_listener(&handshake.tuple));
        match exchange.judge(segment, self.now, &mut self.counters, &mut self.challenges) {
            Verdict::Drop => {}
            Verdict::Repeat => {
                if segment.flags.contains(TcpFlags::SYN) && !offers_ecn(segment.flags) {
                    self.handshakes.forgo_ecn(index);
                }
                self.handshakes.owe(index);
            }
            Verdict::Reset => {
                let (seq, ack) = reset::answer(segment);
                self.answer_with_reset(&handshake.tuple, seq, ack);
            }
            Verdict::Refused => self.forget_handshake(index),
            Verdict::Acknowledged => {
                let rtt = handshake.measure(self.now, &self.tcp);
                if self.establish(handshake.listener, &handshake.tuple, exchange, rtt, segment).is_some() {
                    self.forget_handshake(index);
                }
            }
        }
        true
    }

    /// The peer has acknowledged our SYN: the connection joins its listener's accept queue. Where there is no
    /// room for it, the segment is dropped. The peer believes that it is connected; our SYN-ACK and its data
    /// are repeated until there is room, and nobody is reset.
    pub(super) fn establish(
        &mut self,
        listener: SocketId,
        tuple: &FourTuple,
        exchange: Exchange,
        rtt: RttEstimator,
        segment: &Segment<'_>,
    ) -> Option<SocketId> {
        if !self.has_room(listener) {
            return None;
        }
        let id = self.sockets.table.vacancy()?;
        let Some(buffers) = self.sockets.open_buffers(id, Some(listener), &self.tcp) else {
            self.counters.buffers_full += 1;
            return None;
        };
        let mut state = exchange.into_synchronized(&context!(self, id), segment, rtt, buffers);
        state.watch(self.tcp.keepalive.as_ref(), self.now);
        let chosen = self.sockets.table.listener_mut(listener).and_then(|queue| queue.congestion_control);
        let algorithm = chosen.unwrap_or(self.tcp.congestion_control);
        state.use_congestion_control(algorithm);
        let mut connection = Connection::new(*tuple, &self.tcp, State::Synchronized(state));
        connection.options.congestion_control = algorithm;
        let id = self.sockets.add_connection(connection)?;
        self.sockets.silence(id);
        self.counters.tcp_passive_opens += 1;
        if let Some(queue) = self.sockets.table.listener_mut(listener) {
            queue.push(id);
        }
        self.sockets.notify(listener, Readiness::READABLE);
        self.take_rest(id, segment);
        Some(id)
    }

    /// A connection that a segment has established looks at what else is in it.
    fn take_rest(&mut self, id: SocketId, segment: &Segment<'_>) {
        let Some(connection) = self.sockets.table.connection_mut(id) else { return };
        let decision = if segment.flags.contains(TcpFlags::SYN) {
            Decision::IGNORE
        } else {
            connection.on_segment(&mut context!(self, id), segment)
        };
        self.carry_out(id, Decision { ready: decision.ready | Readiness::WRITABLE, ..decision });
    }

    pub(super) fn forget_handshake(&mut self, index: u32) {
        let Some(handshake) = self.handshakes.remove(index) else { return };
        if let Some(queue) = self.sockets.table.listener_mut(handshake.listener) {
            queue.in_handshake -= 1;
            if let Some(fast_open) = &mut queue.fast_open
                && handshake.opened.is_some()
            {
                fast_open.pending = fast_open.pending.saturating_sub(1);
            }
        }
    }

    /// Repeats the SYN-ACKs that were not answered in time, or gives the handshake up.
    #[inline]
    pub(super) fn run_handshake_timers(&mut self) {
        while let Some(index) = self.handshakes.run_timers(self.now, &self.tcp) {
            let opened = self.handshakes.get(index).and_then(|handshake| handshake.opened);
            self.forget_handshake(index);
            if let Some(id) = opened.filter(|&id| self.unconfirmed(id).is_some()) {
                self.carry_out(id, Decision::closed(Some(SocketError::TimedOut)));
            }
        }
    }

    /// Sends the SYN-ACKs that are due, until the device takes no more.
    #[inline]
    pub(super) fn send_syn_acks(&mut self) -> Result<(), Stalled> {
        while let Some(index) = self.handshakes.next_owing() {
            let Some(&handshake) = self.handshakes.get(index) else { continue };
            let exchange = handshake.exchange(self.offer_of_a_listener(&handshake.tuple));
            let Some(syn_ack) = self.syn_ack(&handshake, &exchange) else {
                self.forget_handshake(index);
                continue;
            };
            let mut options = exchange.ours.options(Some(&exchange.peers), self.now);
            options.fast_open = self.cookie_for(&handshake);
            if self.send_syn_ack(&handshake.tuple, syn_ack, &options) == Err(NotSent::Busy) {
                return Err(Stalled);
            }
            // What cannot be sent is lost on its way: the timer repeats it or gives up.
            self.handshakes.sent(self.now);
        }
        Ok(())
    }

    /// The SYN-ACK of a handshake, if it is still somebody's.
    fn syn_ack(&mut self, handshake: &Handshake, exchange: &Exchange) -> Option<SynAck> {
        let Some(id) = handshake.opened else {
            self.sockets.table.listener_mut(handshake.listener)?;
            return Some(SynAck::of(exchange));
        };
        let rcv = &self.unconfirmed(id)?.rcv;
        let window = u16::try_from(rcv.window()).unwrap_or(u16::MAX);
        Some(SynAck { ack: rcv.nxt, window, ..SynAck::of(exchange) })
    }

    fn send_syn_ack(
        &mut self,
        tuple: &FourTuple,
        syn_ack: SynAck,
        options: &TcpOptions,
    ) -> Result<(), NotSent> {
        let header = TcpHeader {
            src_port: tuple.local.port,
            dst_port: tuple.remote.port,
            seq: syn_ack.seq.0,
            ack: syn_ack.ack.0,
            flags: syn_ack.flags,
            window: syn_ack.window,
            urgent: 0,
        };
        self.send_lone(tuple, &header, options)?;
        self.counters.tcp_segments_sent += 1;
        Ok(())
    }
}

/// What differs from one SYN-ACK to the next, but for its options.
#[derive(Clone, Copy)]
struct SynAck {
    seq: SeqNumber,
    ack: SeqNumber,
    flags: TcpFlags,
    window: u16,
}

impl SynAck {
    fn of(exchange: &Exchange) -> Self {
        Self {
            seq: exchange.iss,
            ack: exchange.irs + 1,
            flags: exchange.syn_ack_flags(),
            window: exchange.ours.window,
        }
    }
}

/// How far above the old connection's sequence numbers a new one between the same ends begins: further than any
/// segment of a handshake or a keep-alive lies.
const REOPENING_DISTANCE: u32 = 1 << 16;
