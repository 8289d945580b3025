//! What users ask of the stack.

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};

use netlane_packet_io::PacketIo;

use super::Stack;
use super::bindings::BindOptions;
use super::datagrams::echo_protocol;
use super::link::Fragmentation;
use super::segments::context;
use super::socket_table::{Kind, Socket};
use crate::address::Address;
use crate::buffers::Buffers;
use crate::neighbor::Heard;
use crate::socket::{Readiness, SocketError, SocketId};
use crate::tcp::connection::{Connection, State, TcpState};
use crate::tcp::handshake::{Attempts, SynSent};
use crate::tcp::listener::Listener;
use crate::tcp::{Context, Endpoint, FourTuple};
use crate::wire::tcp_options::TcpOptions;
use crate::wire::{MacAddr, Protocol};

/// The handle names no socket, or one of another kind: it was closed, or never was what the call takes it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;

/// Why a socket could not be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindError {
    /// Another socket has the address and port, or every port is taken.
    InUse,
    /// The address is not one of the stack's.
    NotLocal,
    /// The table of sockets is full: raise [`Limits::sockets`](crate::Limits::sockets) or close some.
    TableFull,
    /// There are no buffers left for the socket.
    NoBuffers,
}

/// Why a connection could not be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// A connection between the same ends exists, or every local port to that peer is taken.
    InUse,
    /// The local address is not one of the stack's.
    NotLocal,
    /// No route leads to the peer, or the peer's address is none that a connection can be made to.
    Unreachable,
    /// The table of sockets is full: raise [`Limits::sockets`](crate::Limits::sockets) or close some.
    TableFull,
    /// There are no buffers left for the socket.
    NoBuffers,
}

macro_rules! messages {
    ($type:ty { $($variant:path => $text:literal,)+ }) => {
        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(match self { $($variant => $text,)+ })
            }
        }

        impl core::error::Error for $type {}
    };
}

messages!(Stale { Stale => "the handle names no such socket: it was closed", });
messages!(BindError {
    BindError::InUse => "the address and port are in use",
    BindError::NotLocal => "the address is not one of the stack's",
    BindError::TableFull => "the table of sockets is full",
    BindError::NoBuffers => "no buffers are left for another socket",
});
messages!(ConnectError {
    ConnectError::InUse => "no local port is left for that peer",
    ConnectError::NotLocal => "the local address is not one of the stack's",
    ConnectError::Unreachable => "no route leads to the peer",
    ConnectError::TableFull => "the table of sockets is full",
    ConnectError::NoBuffers => "no buffers are left for another socket",
});

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// Listens for connections to `local`; the unspecified address stands for all of ours. As in Linux, one
    /// established connection more than `backlog`, or than [`Limits::accept_queue`](crate::Limits::accept_queue)
    /// if that is less, waits to be accepted. While so many do, SYNs are dropped, and so are the segments that
    /// would complete a handshake: peers repeat both.
    ///
    /// # Errors
    /// [`BindError`]. Port 0 is [`BindError::InUse`]: a listener has to be found.
    pub fn tcp_listen(&mut self, local: SocketAddr, backlog: usize) -> Result<SocketId, BindError> {
        self.tcp_listen_with(local, backlog, BindOptions::default())
    }

    /// As [`tcp_listen`](Self::tcp_listen), and may share the port with other listeners.
    ///
    /// # Errors
    /// Those of [`tcp_listen`](Self::tcp_listen).
    pub fn tcp_listen_with(
        &mut self,
        local: SocketAddr,
        backlog: usize,
        options: BindOptions,
    ) -> Result<SocketId, BindError> {
        let local = self.bindable(local)?;
        if local.port == 0 || self.sockets.demux.bindings.conflicts(Protocol::TCP, local, options) {
            return Err(BindError::InUse);
        }
        let backlog = backlog.min(self.limits.accept_queue);
        let listener = Box::new(Listener::new(local, backlog));
        let id = self.sockets.table.insert(Socket::new(Kind::Listener(listener)));
        let id = id.ok_or(BindError::TableFull)?;
        self.sockets.demux.bindings.add(Protocol::TCP, local, options, id);
        if self.tcp.fast_open {
            let _ = self.tcp_set_fast_open(id, Some(self.limits.fast_open_queue));
        }
        Ok(id)
    }

    /// Takes a connection that waits to be accepted, if one does.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_accept(&mut self, listener: SocketId) -> Result<Option<SocketId>, Stale> {
        let accepted = self.sockets.table.listener_mut(listener).ok_or(Stale)?.pop();
        if let Some(id) = accepted {
            self.sockets.hand_over(id);
        }
        Ok(accepted)
    }

    /// Begins to connect to `remote`, from `local` where the user chose an address, a port or both. A
    /// [`Readiness::WRITABLE`] event tells that the connection is established, a [`Readiness::ERROR`] that it
    /// is not.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn tcp_connect(
        &mut self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
    ) -> Result<SocketId, ConnectError> {
        self.begin_connecting(local, remote, false)
    }

    /// Begins to connect, and takes part in Fast Open where `fast` (RFC 7413).
    pub(super) fn begin_connecting(
        &mut self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        fast: bool,
    ) -> Result<SocketId, ConnectError> {
        let tuple = self.connectable(local, Endpoint::from(remote))?;
        let id = self.sockets.table.vacancy().ok_or(ConnectError::TableFull)?;
        let Some(buffers) = self.sockets.open_buffers(id, None, &self.tcp) else {
            self.counters.buffers_full += 1;
            return Err(ConnectError::NoBuffers);
        };
        let state = State::SynSent(Box::new(SynSent {
            iss: self.secret.initial_sequence_number(&tuple, self.now),
            ours: self.offer(&tuple),
            attempts: Attempts::new(&self.tcp),
            buffers,
            fast_syn: if fast { self.fast_syn(&tuple) } else { None },
            shut_down: false,
        }));
        let connection = Connection::new(tuple, &self.tcp, state);
        let id = self.sockets.add_connection(connection).ok_or(ConnectError::TableFull)?;
        self.counters.tcp_active_opens += 1;
        self.sockets.arm(id);
        self.sockets.owe(id);
        Ok(id)
    }

    /// Sends a FIN behind what is queued: the user sends nothing more.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_shutdown(&mut self, socket: SocketId) -> Result<(), Stale> {
        match &mut self.user_connection(socket)?.state {
            State::SynSent(state) => state.shut_down = true,
            State::SynReceived(state) => state.shut_down = true,
            State::Synchronized(state) => state.shut_down(),
            State::TimeWait(_) | State::Closed(_) => {}
        }
        self.sockets.owe(socket);
        Ok(())
    }

    /// Ends the use of a connection or listener. What is queued is still sent, and the connection closed in
    /// order; unless bytes wait that the user has not read, for then the peer has to know that they were lost,
    /// and is reset (RFC 9293 §3.6.1, RFC 2525 §2.17). Connections that wait to be accepted are reset.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_close(&mut self, socket: SocketId) -> Result<(), Stale> {
        if self.sockets.table.listener_mut(socket).is_some() {
            self.close_listener(socket);
            return Ok(());
        }
        self.user_connection(socket)?;
        let Some(slot) = self.sockets.table.get_mut(socket) else { return Err(Stale) };
        let Kind::Connection(connection) = &mut slot.kind else { return Err(Stale) };
        match &mut connection.state {
            State::Synchronized(state) => {
                if self.sockets.buffers.unread(&state.receive) > 0 {
                    return self.tcp_abort(socket);
                }
                state.detach(&context!(self, socket));
            }
            State::SynReceived(state) => state.shut_down = true,
            State::TimeWait(state) => {
                if let Some((send, receive)) = state.buffers.take() {
                    self.sockets.buffers.close(socket, send, receive);
                }
            }
            State::SynSent(_) | State::Closed(_) => {
                self.sockets.remove(socket);
                return Ok(());
            }
        }
        connection.detached = true;
        self.sockets.silence(socket);
        self.sockets.owe(socket);
        self.sockets.arm(socket);
        Ok(())
    }

    /// Ends a connection at once. The peer is reset, and what is queued is lost.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_abort(&mut self, socket: SocketId) -> Result<(), Stale> {
        let connection = self.user_connection(socket)?;
        let tuple = connection.tuple;
        let (seq, ack, timestamps) = match &connection.state {
            State::Synchronized(state) => (state.snd.bare_seq(), state.rcv.nxt, state.timestamps),
            State::SynReceived(state) => (state.exchange.iss + 1, state.exchange.irs + 1, None),
            State::SynSent(_) | State::TimeWait(_) | State::Closed(_) => {
                self.sockets.remove(socket);
                return Ok(());
            }
        };
        // RFC 7323 §3.2: a reset should carry timestamps too, where the connection has them.
        let timestamps = timestamps.map(|timestamps| timestamps.stamp(self.now));
        let options = TcpOptions { timestamps, ..TcpOptions::default() };
        self.send_reset(&tuple, seq, Some(ack), &options);
        self.sockets.remove(socket);
        Ok(())
    }

    /// Tells the stack that bytes were appended to a connection's send buffer.
    ///
    /// # Errors
    /// [`Stale`].
    #[inline]
    pub fn tcp_queued(&mut self, socket: SocketId) -> Result<(), Stale> {
        self.user_connection(socket)?;
        self.sockets.owe(socket);
        Ok(())
    }

    /// Tells the stack that bytes were taken from a connection's receive buffer, so that the peer may be told
    /// of the room.
    ///
    /// # Errors
    /// [`Stale`].
    #[inline]
    pub fn tcp_consumed(&mut self, socket: SocketId) -> Result<(), Stale> {
        let Some(slot) = self.sockets.table.get_mut(socket) else { return Err(Stale) };
        let Kind::Connection(connection) = &mut slot.kind else { return Err(Stale) };
        if let State::Synchronized(state) = &mut connection.state
            && state.consumed(&self.sockets.buffers, &self.tcp, self.now)
        {
            self.sockets.owe(socket);
        }
        Ok(())
    }

    /// The state of a connection or listener.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_state(&self, socket: SocketId) -> Result<TcpState, Stale> {
        match &self.sockets.table.get(socket).ok_or(Stale)?.kind {
            Kind::Connection(connection) => Ok(connection.state.name()),
            Kind::Listener(_) => Ok(TcpState::Listen),
            Kind::Datagram(_) => Err(Stale),
        }
    }

    /// Takes datagrams that come to `local`; port 0 stands for a free one, and the unspecified address for
    /// all of ours.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<SocketId, BindError> {
        self.udp_bind_with(local, BindOptions::default())
    }

    /// As [`udp_bind`](Self::udp_bind), and may share the port with other sockets.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn udp_bind_with(&mut self, local: SocketAddr, options: BindOptions) -> Result<SocketId, BindError> {
        self.bind_datagrams(Protocol::UDP, local, options)
    }

    /// Takes the ICMP echo replies to `local` that carry the identifier `ident`; 0 stands for a free one. The
    /// socket's records begin with the sequence number, two bytes in network order.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn echo_bind(&mut self, local: IpAddr, ident: u16) -> Result<SocketId, BindError> {
        self.bind_datagrams(
            echo_protocol(local.into()),
            SocketAddr::new(local, ident),
            BindOptions::default(),
        )
    }

    /// Takes datagrams from `peer` alone, or again from everybody.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn udp_connect(&mut self, socket: SocketId, peer: Option<SocketAddr>) -> Result<(), Stale> {
        self.sockets.table.user_datagram_mut(socket).ok_or(Stale)?.peer = peer.map(Endpoint::from);
        Ok(())
    }

    /// Forbids to cut datagrams that are larger than their path carries, or allows it again. Where it is forbidden,
    /// they are refused with [`SocketError::TooLarge`]; otherwise they leave in fragments.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn udp_set_dont_fragment(&mut self, socket: SocketId, forbidden: bool) -> Result<(), Stale> {
        let socket = self.sockets.table.user_datagram_mut(socket).ok_or(Stale)?;
        socket.fragmentation = if forbidden { Fragmentation::Never } else { Fragmentation::Source };
        Ok(())
    }

    /// Takes datagrams that have arrived joined in one frame as one record, which says how long each was
    /// ([`DatagramHeader::segment_size`](crate::DatagramHeader::segment_size)), or one by one again.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn udp_set_takes_joined(&mut self, socket: SocketId, takes_joined: bool) -> Result<(), Stale> {
        self.sockets.table.user_datagram_mut(socket).ok_or(Stale)?.takes_joined = takes_joined;
        Ok(())
    }

    /// The largest IP packet that the path to `destination` is known to carry, in bytes.
    pub fn path_mtu(&self, destination: IpAddr) -> usize {
        self.link.path_mtu(self.now, destination.into())
    }

    /// Tells the stack that records were appended to a datagram socket's send buffer.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn datagrams_queued(&mut self, socket: SocketId) -> Result<(), Stale> {
        self.sockets.table.user_datagram_mut(socket).ok_or(Stale)?;
        self.sockets.owe(socket);
        Ok(())
    }

    /// Ends the use of a datagram socket. What is queued is still sent, and its port is free at once.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn datagram_close(&mut self, socket: SocketId) -> Result<(), Stale> {
        self.sockets.table.user_datagram_mut(socket).ok_or(Stale)?;
        self.leave_all(socket);
        let closed = self.sockets.table.user_datagram_mut(socket).ok_or(Stale)?;
        if self.sockets.buffers.queued(&closed.send) == 0 {
            self.sockets.remove(socket);
        } else {
            self.sockets.demux.bindings.remove(closed.protocol, closed.local, socket);
            self.sockets.silence(socket);
            self.sockets.owe(socket);
        }
        Ok(())
    }

    /// The local end of a socket.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn local_addr(&self, socket: SocketId) -> Result<SocketAddr, Stale> {
        let local = match &self.sockets.table.get(socket).ok_or(Stale)?.kind {
            Kind::Connection(connection) => connection.tuple.local,
            Kind::Listener(listener) => listener.local,
            Kind::Datagram(socket) => socket.local,
        };
        Ok(local.socket_addr())
    }

    /// The peer of a socket, where it has one.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn peer_addr(&self, socket: SocketId) -> Result<Option<SocketAddr>, Stale> {
        let peer = match &self.sockets.table.get(socket).ok_or(Stale)?.kind {
            Kind::Connection(connection) => Some(connection.tuple.remote),
            Kind::Listener(_) => None,
            Kind::Datagram(socket) => socket.peer,
        };
        Ok(peer.map(Endpoint::socket_addr))
    }

    /// What befell a socket since it was last asked.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn take_error(&mut self, socket: SocketId) -> Result<Option<SocketError>, Stale> {
        self.sockets.take_error(socket).ok_or(Stale)
    }

    /// Notes a neighbour's Ethernet address that was learnt elsewhere, by the stack of another queue.
    pub fn learn_neighbor(&mut self, address: IpAddr, mac: MacAddr) {
        self.learn(address.into(), mac, Heard::Request);
    }

    /// A connection whose user still holds the handle.
    pub(super) fn user_connection(&mut self, socket: SocketId) -> Result<&mut Connection<B>, Stale> {
        self.sockets.table.connection_mut(socket).filter(|connection| !connection.detached).ok_or(Stale)
    }

    fn close_listener(&mut self, listener: SocketId) {
        while let Some(waiting) = self.sockets.table.listener_mut(listener).and_then(Listener::pop) {
            // One that has ended meanwhile is forgotten all the same.
            let _ = self.tcp_abort(waiting);
        }
        self.sockets.remove(listener);
    }

    /// The local end for a listener or datagram socket, if it may be ours.
    fn bindable(&self, local: SocketAddr) -> Result<Endpoint, BindError> {
        let address = Address::from(local.ip());
        let ours = address.is_unspecified()
            || address.is_multicast()
            || self.link.interface.is_broadcast(address)
            || self.link.interface.owns(address)
            // What is about to be ours may be waited on.
            || self.ipv6.detection.is_tentative(address.to_v6());
        if ours { Ok(Endpoint::from(local)) } else { Err(BindError::NotLocal) }
    }

    /// The two ends of a connection to `remote`.
    fn connectable(
        &mut self,
        local: Option<SocketAddr>,
        remote: Endpoint,
    ) -> Result<FourTuple, ConnectError> {
        let interface = &self.link.interface;
        let is_host = interface.is_plausible_source(remote.address) || interface.owns(remote.address);
        if remote.port == 0 || !is_host {
            return Err(ConnectError::Unreachable);
        }
        let path = self.link.interface.path(remote.address).ok_or(ConnectError::Unreachable)?;
        let chosen = local.map(|local| Address::from(local.ip())).filter(|address| !address.is_unspecified());
        let address = chosen.unwrap_or(path.source);
        if !self.link.interface.owns(address) || address.is_v4() != remote.address.is_v4() {
            return Err(ConnectError::NotLocal);
        }
        let port = match local.map_or(0, |local| local.port()) {
            0 => self.free_connection_port(address, remote).ok_or(ConnectError::InUse)?,
            port => port,
        };
        let tuple = FourTuple { local: Endpoint::new(address, port), remote };
        if self.sockets.connection_between(&tuple).is_some() {
            return Err(ConnectError::InUse);
        }
        Ok(tuple)
    }

    fn bind_datagrams(
        &mut self,
        protocol: Protocol,
        local: SocketAddr,
        options: BindOptions,
    ) -> Result<SocketId, BindError> {
        let mut local = self.bindable(local)?;
        if local.port == 0 {
            let port = self.free_datagram_port(protocol, local.address);
            local = local.with_port(port.ok_or(BindError::InUse)?);
        }
        if self.sockets.demux.bindings.conflicts(protocol, local, options) {
            return Err(BindError::InUse);
        }
        let id = self.sockets.add_datagram(protocol, local, options, &self.tcp)?;
        self.sockets.notify(id, Readiness::WRITABLE);
        Ok(id)
    }
}
