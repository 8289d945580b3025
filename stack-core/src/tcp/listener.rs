//! A listener: the connections in their handshake, and those that wait to be accepted.

use alloc::collections::VecDeque;

use super::Endpoint;
use crate::config::CongestionAlgorithm;
use crate::socket::SocketId;

/// A socket in LISTEN. Its connections pass through two queues: that of the handshakes, which the
/// [`SynCache`](super::syn_cache::SynCache) holds, and that of the established ones, until they are accepted.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) local: Endpoint,
    backlog: usize,
    /// How many connections are in their handshake.
    pub(crate) in_handshake: usize,
    /// What the user chose for the connections that come through it.
    pub(crate) congestion_control: Option<CongestionAlgorithm>,
    /// The largest segment that they announce and send, in bytes of payload and options.
    pub(crate) max_segment: Option<u16>,
    established: VecDeque<SocketId>,
    /// Data on SYNs is taken (RFC 7413).
    pub(crate) fast_open: Option<FastOpenQueue>,
}

/// Connections that were opened before their handshake is complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FastOpenQueue {
    /// RFC 7413 §5.1: spoofed SYNs with stolen cookies cause no more than so many connections.
    pub(crate) limit: usize,
    pub(crate) pending: usize,
}

impl Listener {
    pub(crate) fn new(local: Endpoint, backlog: usize) -> Self {
        Self {
            local,
            backlog,
            in_handshake: 0,
            congestion_control: None,
            max_segment: None,
            established: VecDeque::new(),
            fast_open: None,
        }
    }

    /// Whether another established connection may wait. One more than the backlog may, as in Linux: with a
    /// backlog of 0 there is still room for one.
    pub(crate) fn has_room(&self) -> bool {
        self.established.len() <= self.backlog
    }

    /// An established connection waits to be accepted.
    pub(crate) fn push(&mut self, connection: SocketId) {
        self.established.push_back(connection);
    }

    /// The connection that has waited longest is accepted.
    pub(crate) fn pop(&mut self) -> Option<SocketId> {
        self.established.pop_front()
    }
}
