//! Fast Open (RFC 7413): connections whose first data comes with the SYN.

use core::net::SocketAddr;

use netlane_packet_io::PacketIo;

use super::segments::context;
use super::{ConnectError, Stack, Stale};
use crate::buffers::Buffers;
use crate::socket::SocketId;
use crate::tcp::connection::State;
use crate::tcp::fast_open::{FastSyn, Worth};
use crate::tcp::handshake::{Exchange, Offer};
use crate::tcp::listener::FastOpenQueue;
use crate::tcp::rtt::RttEstimator;
use crate::tcp::syn_cache::{CookieForm, Handshake};
use crate::tcp::synchronized::{FastOpenState, Synchronized};
use crate::tcp::{Context, FourTuple, Segment};
use crate::wire::{FastOpen, TcpFlags};

/// How a listener treats a SYN.
pub(super) enum FastOpening {
    /// The connection is opened, and the SYN's data taken, before the handshake is complete.
    Open { cookie: Option<CookieForm> },
    /// The handshake comes first; the SYN-ACK may bring a cookie for the next time.
    Ordinary { cookie: Option<CookieForm> },
}

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// Lets a listener take data that comes with a SYN (RFC 7413), of peers that bring a cookie which they were
    /// given before; or stops doing so where `None`. Such a connection can be accepted, read and written before
    /// its handshake is complete. At most `pending` connections are in that state at a time, and no more than
    /// [`Limits::fast_open_queue`](crate::Limits::fast_open_queue); others have to complete their handshake
    /// first.
    ///
    /// The network may deliver the data of a SYN twice: this is for requests that may be repeated.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_set_fast_open(&mut self, listener: SocketId, pending: Option<usize>) -> Result<(), Stale> {
        let most = self.limits.fast_open_queue;
        let queue = self.sockets.table.listener_mut(listener).ok_or(Stale)?;
        let in_use = queue.fast_open.map_or(0, |fast_open| fast_open.pending);
        queue.fast_open = pending.map(|limit| FastOpenQueue { limit: limit.min(most), pending: in_use });
        Ok(())
    }

    /// Makes Fast Open cookies with another key from now on. Those made with the one before stay good.
    pub fn tcp_set_fast_open_key(&mut self, key: [u8; 16]) {
        self.cookie_keys.replace(key);
    }

    /// Begins to connect, as [`tcp_connect`](Self::tcp_connect) does, and to save a round trip with Fast Open
    /// (RFC 7413). Where a cookie of the server is known, what is queued before the next poll leaves with the SYN,
    /// as far as one segment holds it; otherwise the SYN asks for a cookie. What the server does not take with the
    /// SYN follows the handshake, so that nothing is lost; but the network may deliver the data of a SYN twice:
    /// this is for requests that may be repeated.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn tcp_connect_fast(
        &mut self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
    ) -> Result<SocketId, ConnectError> {
        self.begin_connecting(local, remote, true)
    }

    /// How many bytes the SYN of a connection that begins may carry: 0 where no cookie of the server is known.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_fast_open_room(&mut self, socket: SocketId) -> Result<usize, Stale> {
        let connection = self.sockets.table.connection_mut(socket).ok_or(Stale)?;
        Ok(match &connection.state {
            State::SynSent(state) => state.fast_syn.map_or(0, |fast_syn| usize::from(fast_syn.room)),
            _ => 0,
        })
    }

    /// Forgets the Fast Open cookies of all servers, and which of them do not like them.
    pub fn tcp_forget_fast_open_cookies(&mut self) {
        self.servers.forget();
    }

    /// What the SYN of a connection may ask for or bring.
    pub(super) fn fast_syn(&mut self, tuple: &FourTuple) -> Option<FastSyn> {
        let mss = self.offer(tuple).mss;
        self.servers.fast_syn(tuple.remote.address, mss, self.now)
    }

    /// A segment with SYN for a connection: the answer to ours tells of the server; one that has opened a
    /// connection before may come once more. Returns whether nothing else is to be done about it.
    #[cold]
    pub(super) fn receive_syn(&mut self, id: SocketId, syn: &Segment<'_>) -> bool {
        let Some(connection) = self.sockets.table.connection_mut(id) else { return false };
        if let State::SynSent(state) = &connection.state
            && let Some(asked) = &state.fast_syn
            && syn.flags.contains(TcpFlags::ACK)
            && state.is_acknowledged_by(syn)
        {
            let server = connection.tuple.remote.address;
            let (repeated, mss) = (state.attempts.is_repeated(), Offer::of(server, syn).mss);
            self.counters.tcp_fast_syns_lost += u64::from(repeated);
            self.servers.learn(server, asked, repeated, syn.options.fast_open, mss, self.now);
        }
        self.repeat_fast_answer(id, syn)
    }

    /// What a SYN's Fast Open option leads to.
    pub(super) fn judge_fast_open(
        &mut self,
        listener: SocketId,
        tuple: &FourTuple,
        syn: &Segment<'_>,
    ) -> FastOpening {
        let queue = self.sockets.table.listener_mut(listener).and_then(|queue| queue.fast_open);
        let Some(FastOpenQueue { limit, pending }) = queue else {
            return FastOpening::Ordinary { cookie: None };
        };
        let option = syn.options.fast_open.as_ref();
        let worth = option.map(|option| self.cookie_keys.judge(&self.secret, tuple, option, self.now));
        let form = option.map(|option| {
            if option.is_experimental() { CookieForm::Experimental } else { CookieForm::Standard }
        });
        let cookie = form.filter(|_| worth != Some(Worth::Good { renew: false }));
        let is_good = matches!(worth, Some(Worth::Good { .. }));
        let trusted = is_good || (self.tcp.fast_open_without_cookie && !syn.payload.is_empty());
        if option.is_some_and(|option| !option.cookie().is_empty()) && !is_good {
            self.counters.tcp_fast_open_bad_cookies += 1;
        }
        if !trusted {
            return FastOpening::Ordinary { cookie };
        }
        if pending >= limit || self.is_syn_queue_full(listener) {
            self.counters.tcp_fast_open_queue_full += 1;
            return FastOpening::Ordinary { cookie: None };
        }
        FastOpening::Open { cookie }
    }

    /// RFC 7413 §4.2.2: opens a connection with the data on its SYN. A record in the SYN cache repeats the SYN-ACK
    /// until it is acknowledged.
    pub(super) fn open_fast(
        &mut self,
        listener: SocketId,
        tuple: &FourTuple,
        syn: &Segment<'_>,
        cookie: Option<CookieForm>,
    ) {
        let iss = self.secret.initial_sequence_number(tuple, self.now);
        let exchange = Exchange {
            iss,
            irs: syn.seq,
            ours: self.offer(tuple),
            peers: Offer::of(tuple.remote.address, syn),
        };
        let Some(id) = self.establish(listener, tuple, exchange, RttEstimator::new(&self.tcp), syn) else {
            return;
        };
        let mut handshake = Handshake::new(*tuple, listener, iss, syn.seq, exchange.peers);
        (handshake.opened, handshake.cookie) = (Some(id), cookie);
        if let Some(index) = self.remember(handshake) {
            self.handshakes.owe(index);
            let queue = self.sockets.table.listener_mut(listener);
            if let Some(fast_open) = queue.and_then(|queue| queue.fast_open.as_mut()) {
                fast_open.pending += 1;
            }
        }
        self.counters.tcp_fast_opens += 1;
        let Some(connection) = self.sockets.table.connection_mut(id) else { return };
        let State::Synchronized(state) = &mut connection.state else { return };
        let ready = state.take_syn_data(&mut context!(self, id), syn);
        self.sockets.notify(id, ready);
    }

    /// A SYN for a connection that exists: perhaps once more the one that has opened it, before its answer has arrived.
    /// Returns whether it is that.
    fn repeat_fast_answer(&mut self, id: SocketId, syn: &Segment<'_>) -> bool {
        let tuple = self.sockets.table.connection_mut(id).map(|connection| connection.tuple);
        let Some(index) = tuple.and_then(|tuple| self.handshakes.find(&tuple)) else { return false };
        let repeated =
            self.handshakes.get(index).is_some_and(|record| record.opened.is_some() && record.irs == syn.seq)
                && !syn.flags.intersects(TcpFlags::ACK | TcpFlags::RST);
        if repeated {
            self.handshakes.owe(index);
        }
        repeated
    }

    /// The peer has acknowledged our SYN-ACK: nothing is to be repeated any more.
    pub(super) fn confirm(&mut self, id: SocketId) {
        let Some(tuple) = self.sockets.table.connection_mut(id).map(|connection| connection.tuple) else {
            return;
        };
        if let Some(index) = self.handshakes.find(&tuple) {
            self.forget_handshake(index);
        }
    }

    /// A connection that was opened, and whose SYN-ACK is not acknowledged yet.
    pub(super) fn unconfirmed(&mut self, id: SocketId) -> Option<&mut Synchronized<B>> {
        match &mut self.sockets.table.connection_mut(id)?.state {
            State::Synchronized(state) if state.fast_open == FastOpenState::Unconfirmed => Some(state),
            _ => None,
        }
    }

    /// The cookie that a SYN-ACK brings.
    pub(super) fn cookie_for(&self, handshake: &Handshake) -> Option<FastOpen> {
        let form = handshake.cookie?;
        let cookie = self.cookie_keys.bake(&self.secret, &handshake.tuple, self.now);
        FastOpen::new(&cookie, form == CookieForm::Experimental)
    }
}
