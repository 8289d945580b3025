//! A listener: the connections in their handshake, and those that wait to be accepted.

use alloc::collections::VecDeque;

use super::Endpoint;
use crate::socket::SocketId;

/// A socket in LISTEN.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) local: Endpoint,
    /// How many connections may wait to be accepted.
    backlog: usize,
    /// Connections in SYN-RECEIVED.
    pub(crate) in_handshake: usize,
    established: VecDeque<SocketId>,
}

impl Listener {
    pub(crate) fn new(local: Endpoint, backlog: usize) -> Self {
        Self { local, backlog, in_handshake: 0, established: VecDeque::new() }
    }

    /// Whether another established connection may wait.
    pub(crate) fn has_room(&self) -> bool {
        self.established.len() < self.backlog
    }

    pub(crate) fn push(&mut self, connection: SocketId) {
        self.established.push_back(connection);
    }

    pub(crate) fn pop(&mut self) -> Option<SocketId> {
        self.established.pop_front()
    }
}
