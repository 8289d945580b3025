//! All sockets of a stack: where they are, what changed, and which have something to send.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use bitflags::bitflags;

use super::BindError;
use super::bindings::{BindOptions, Suited};
use super::link::Fragmentation;
use super::table::{self, Demux, Slot, Table};
use crate::buffers::{BufferRequest, Buffers, HeapBuffers};
use crate::config::{Limits, TcpConfig};
use crate::datagram_socket::DatagramSocket;
use crate::socket::{Event, Readiness, SocketError, SocketId};
use crate::tcp::connection::Connection;
use crate::tcp::listener::Listener;
use crate::tcp::timers::Deadline;
use crate::tcp::{Endpoint, FourTuple};
use crate::time::Instant;
use crate::wheel::{self, TimerWheel};
use crate::wire::Protocol;

pub(crate) struct Sockets<B: Buffers> {
    pub(crate) table: Table<Socket<B>>,
    pub(crate) demux: Demux,
    pub(crate) buffers: B,
    pub(crate) agenda: Agenda,
}

/// What is to be done for which sockets.
pub(crate) struct Agenda {
    wheel: TimerWheel,
    /// Sockets with events to tell, each once.
    changed: VecDeque<SocketId>,
    /// Sockets that have, or may have, something to send, each once.
    owing: VecDeque<SocketId>,
}

impl Agenda {
    /// Notes what came of a socket's turn: that it owes output, what it became ready for, and when its timers
    /// are due.
    #[inline]
    pub(crate) fn settle<B: Buffers>(
        &mut self,
        id: SocketId,
        socket: &mut Socket<B>,
        owes: bool,
        ready: Readiness,
    ) {
        if socket.becomes_ready(ready) {
            self.changed.push_back(id);
        }
        if owes {
            self.owe(id, socket);
        }
        self.arm(id, socket);
    }

    /// Notes that a socket may have something to send.
    #[inline]
    pub(crate) fn owe<B: Buffers>(&mut self, id: SocketId, socket: &mut Socket<B>) {
        if socket.becomes_owing() {
            self.owing.push_back(id);
        }
    }

    /// Makes sure that the wheel calls when the connection's earliest timer is due.
    #[inline]
    pub(crate) fn arm<B: Buffers>(&mut self, id: SocketId, socket: &mut Socket<B>) {
        if let Some(at) = socket.rearms() {
            self.wheel.set(id.slot() as u32, at);
        }
    }
}

/// One slot's socket, and what the stack has noted about it.
pub(crate) struct Socket<B: Buffers> {
    pub(crate) kind: Kind<B>,
    /// Not yet told.
    pending: Readiness,
    standing: Standing,
    /// When the wheel calls; never later than the socket's earliest timer.
    armed: Deadline,
}

bitflags! {
    /// How a socket stands with its user and its lane.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Standing: u8 {
        /// Its user has no handle: not accepted yet, or closed.
        const SILENT = 1;
        /// It is in the list of those that owe output.
        const OWES = 1 << 1;
    }
}

pub(crate) enum Kind<B: Buffers> {
    Connection(Connection<B>),
    Listener(Box<Listener>),
    Datagram(Box<DatagramSocket<B>>),
}

impl<B: Buffers> Socket<B> {
    pub(crate) fn new(kind: Kind<B>) -> Self {
        Self { kind, pending: Readiness::empty(), standing: Standing::empty(), armed: Deadline::NEVER }
    }

    /// The connection's two ends, for the demux.
    #[inline]
    pub(crate) fn tuple(&self) -> Option<&FourTuple> {
        match &self.kind {
            Kind::Connection(connection) => Some(&connection.tuple),
            Kind::Listener(_) | Kind::Datagram(_) => None,
        }
    }
}

impl<B: Buffers> Socket<B> {
    /// Adds to what its user has not been told; true if the socket must be listed for that now.
    #[inline]
    fn becomes_ready(&mut self, ready: Readiness) -> bool {
        let listed = !self.pending.is_empty() || self.is_silent();
        self.pending |= ready;
        !listed && !ready.is_empty()
    }

    /// Notes that it owes output; true if it must be listed for that now.
    #[inline]
    fn becomes_owing(&mut self) -> bool {
        let listed = self.standing.contains(Standing::OWES);
        self.standing |= Standing::OWES;
        !listed
    }

    /// Its turn to send has come: it has to be listed again if something is left.
    #[inline]
    pub(crate) fn takes_its_turn(&mut self) {
        self.standing -= Standing::OWES;
    }

    #[inline]
    fn is_silent(&self) -> bool {
        self.standing.contains(Standing::SILENT)
    }

    /// When the wheel has to call, if that is earlier than it is set to. A call that comes too early, because
    /// the timer was put off, only sets it anew: so the wheel is not touched by every segment.
    #[inline]
    fn rearms(&mut self) -> Option<Instant> {
        let Kind::Connection(connection) = &self.kind else { return None };
        let at = connection.state.next_deadline();
        if !at.is_before(self.armed) {
            return None;
        }
        self.armed = at;
        at.instant()
    }
}

impl<B: Buffers> Table<Socket<B>> {
    #[inline]
    pub(crate) fn connection_mut(&mut self, id: SocketId) -> Option<&mut Connection<B>> {
        match &mut self.get_mut(id)?.kind {
            Kind::Connection(connection) => Some(connection),
            Kind::Listener(_) | Kind::Datagram(_) => None,
        }
    }

    pub(crate) fn listener_mut(&mut self, id: SocketId) -> Option<&mut Listener> {
        match &mut self.get_mut(id)?.kind {
            Kind::Listener(listener) => Some(listener),
            Kind::Connection(_) | Kind::Datagram(_) => None,
        }
    }

    pub(crate) fn datagram_mut(&mut self, id: SocketId) -> Option<&mut DatagramSocket<B>> {
        match &mut self.get_mut(id)?.kind {
            Kind::Datagram(socket) => Some(socket),
            Kind::Connection(_) | Kind::Listener(_) => None,
        }
    }

    /// A datagram socket that its user has not closed.
    pub(crate) fn user_datagram_mut(&mut self, id: SocketId) -> Option<&mut DatagramSocket<B>> {
        let socket = self.get_mut(id).filter(|socket| !socket.is_silent())?;
        match &mut socket.kind {
            Kind::Datagram(datagrams) => Some(datagrams),
            Kind::Connection(_) | Kind::Listener(_) => None,
        }
    }
}

impl<B: Buffers> Sockets<B> {
    pub(crate) fn new(mut buffers: B, limits: &Limits, key: u64) -> Self {
        buffers.set_budget(limits.memory);
        Self {
            table: Table::new(limits.sockets),
            demux: Demux::new(limits.sockets, key),
            buffers,
            agenda: Agenda { wheel: TimerWheel::new(), changed: VecDeque::new(), owing: VecDeque::new() },
        }
    }

    /// The connection between two ends.
    #[inline]
    pub(crate) fn connection_between(&self, tuple: &FourTuple) -> Option<SocketId> {
        self.demux.connection(&self.table, tuple, Socket::tuple)
    }

    /// The listener for a connection that a peer opens.
    pub(crate) fn listener(&self, tuple: &FourTuple) -> Option<SocketId> {
        let FourTuple { local, remote } = *tuple;
        self.demux.bindings.find(Protocol::TCP, local, remote, |_| Suited::Any)
    }

    /// The datagram socket for what comes from `remote` to the one address `local`.
    #[inline]
    pub(crate) fn datagram(&self, protocol: Protocol, local: Endpoint, remote: Endpoint) -> Option<SocketId> {
        let suited = |id| match self.table.get(id).map(|socket| &socket.kind) {
            Some(Kind::Datagram(socket)) => socket.suits(remote),
            _ => Suited::Not,
        };
        self.demux.bindings.find(protocol, local, remote, suited)
    }

    /// Adds a connection to the table and the demux, or drops it where the table is full.
    pub(crate) fn add_connection(&mut self, connection: Connection<B>) -> Option<SocketId> {
        let tuple = connection.tuple;
        let id = self.table.insert(Socket::new(Kind::Connection(connection)))?;
        self.demux.add_connection(&self.table, &tuple, id, Socket::tuple);
        Some(id)
    }

    /// Adds a socket for datagrams to `local`, which no other has that does not share it.
    pub(crate) fn add_datagram(
        &mut self,
        protocol: Protocol,
        local: Endpoint,
        options: BindOptions,
        config: &TcpConfig,
    ) -> Result<SocketId, BindError> {
        let id = self.table.vacancy().ok_or(BindError::TableFull)?;
        let (send, receive) = self.open_buffers(id, None, config).ok_or(BindError::NoBuffers)?;
        let socket = DatagramSocket {
            protocol,
            local,
            peer: None,
            fragmentation: Fragmentation::Source,
            groups: None,
            sent: 0,
            takes_joined: false,
            send,
            receive,
            error: None,
        };
        let id =
            self.table.insert(Socket::new(Kind::Datagram(Box::new(socket)))).ok_or(BindError::TableFull)?;
        self.demux.bindings.add(protocol, local, options, id);
        Ok(id)
    }

    /// Buffers for a socket that is, or is about to be, in the table.
    pub(crate) fn open_buffers(
        &mut self,
        socket: SocketId,
        listener: Option<SocketId>,
        config: &TcpConfig,
    ) -> Option<(B::Send, B::Receive)> {
        self.buffers.open(BufferRequest {
            socket,
            listener,
            send_limit: config.send_buffer,
            receive_limit: config.receive_buffer,
        })
    }

    /// Takes a socket out of the table and all that refers to it, and gives its buffers back.
    pub(crate) fn remove(&mut self, id: SocketId) {
        let Some(socket) = self.table.remove(id) else { return };
        if socket.armed != Deadline::NEVER {
            self.agenda.wheel.cancel(id.slot() as u32);
        }
        let buffers = match socket.kind {
            Kind::Connection(connection) => {
                self.demux.remove_connection(&connection.tuple, id);
                connection.state.into_buffers()
            }
            Kind::Listener(listener) => {
                self.demux.bindings.remove(Protocol::TCP, listener.local, id);
                None
            }
            Kind::Datagram(socket) => {
                self.demux.bindings.remove(socket.protocol, socket.local, id);
                Some((socket.send, socket.receive))
            }
        };
        if let Some((send, receive)) = buffers {
            self.buffers.close(id, send, receive);
        }
    }

    /// Notes what came of a socket's turn: that it owes output, what it became ready for, and when its timers
    /// are due.
    #[inline]
    pub(crate) fn settle(&mut self, id: SocketId, owes: bool, ready: Readiness) {
        let Some(socket) = self.table.get_mut(id) else { return };
        self.agenda.settle(id, socket, owes, ready);
    }

    /// Notes that a socket became ready, for its user to be told.
    #[inline]
    pub(crate) fn notify(&mut self, id: SocketId, ready: Readiness) {
        let Some(socket) = self.table.get_mut(id) else { return };
        if socket.becomes_ready(ready) {
            self.agenda.changed.push_back(id);
        }
    }

    /// A datagram socket has nothing left to send: if its user has closed it, that was what it was kept for.
    pub(crate) fn datagrams_sent(&mut self, id: SocketId, any: bool) {
        match self.table.get_mut(id) {
            Some(socket) if socket.is_silent() => self.remove(id),
            _ if any => self.notify(id, Readiness::WRITABLE),
            _ => {}
        }
    }

    /// The socket's user has no handle: it is told nothing.
    pub(crate) fn silence(&mut self, id: SocketId) {
        if let Some(socket) = self.table.get_mut(id) {
            socket.standing |= Standing::SILENT;
        }
    }

    /// The connection's ends may be joined by another one; its user still holds the handle.
    pub(crate) fn unname(&mut self, id: SocketId) {
        if let Some(tuple) = self.table.connection_mut(id).map(|connection| connection.tuple) {
            self.demux.remove_connection(&tuple, id);
        }
    }

    /// The socket's user has its handle now, and is told what it has missed.
    pub(crate) fn hand_over(&mut self, id: SocketId) {
        let Some(socket) = self.table.get_mut(id) else { return };
        socket.standing -= Standing::SILENT;
        if !socket.pending.is_empty() {
            self.agenda.changed.push_back(id);
        }
    }

    #[inline]
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        while let Some(id) = self.agenda.changed.pop_front() {
            if let Some(socket) = self.table.get_mut(id).filter(|socket| !socket.is_silent()) {
                return Some(Event { socket: id, ready: core::mem::take(&mut socket.pending) });
            }
        }
        None
    }

    /// Notes that a socket may have something to send.
    #[inline]
    pub(crate) fn owe(&mut self, id: SocketId) {
        let Some(socket) = self.table.get_mut(id) else { return };
        self.agenda.owe(id, socket);
    }

    pub(crate) fn owing(&self) -> usize {
        self.agenda.owing.len()
    }

    /// Takes the socket that has waited longest to send. It may be gone.
    #[inline]
    pub(crate) fn next_owing(&mut self) -> Option<SocketId> {
        self.agenda.owing.pop_front()
    }

    /// Makes sure that the wheel calls when the connection's earliest timer is due.
    #[inline]
    pub(crate) fn arm(&mut self, id: SocketId) {
        let Some(socket) = self.table.get_mut(id) else { return };
        self.agenda.arm(id, socket);
    }

    /// Takes a connection that the wheel calls for.
    pub(crate) fn next_due(&mut self, now: Instant) -> Option<SocketId> {
        while let Some(slot) = self.agenda.wheel.expire(now) {
            if let Some((id, socket)) = self.table.at_mut(slot) {
                socket.armed = Deadline::NEVER;
                return Some(id);
            }
        }
        None
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.agenda.wheel.next_deadline()
    }

    pub(crate) fn take_error(&mut self, id: SocketId) -> Option<Option<SocketError>> {
        match &mut self.table.get_mut(id)?.kind {
            Kind::Connection(connection) => Some(connection.error.take()),
            Kind::Datagram(socket) => Some(socket.error.take()),
            Kind::Listener(_) => Some(None),
        }
    }
}

/// The most bytes that an idle established connection may take, over either version of IP, everything counted.
const MOST_BYTES_OF_A_CONNECTION: usize = 256;

/// What the stack keeps of an idle connection: its slot, which has the list of free slots in it and the handles of its
/// buffers, its entry in the wheel, and its index in a hash table that has just doubled.
#[cfg(target_pointer_width = "64")]
const _: () = {
    let slot = size_of::<Slot<Socket<HeapBuffers>>>();
    assert!(slot + wheel::BYTES_OF_AN_ENTRY + table::MOST_BYTES_OF_AN_INDEX <= MOST_BYTES_OF_A_CONNECTION);
};
