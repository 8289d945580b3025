//! Why a call did not do what it should.

use netlane_core::{AddressError, RouteError, SocketError};

use super::OpenError;
use crate::shared::Failure;

/// The lane has ended: its host was stopped, or its link is down. Nothing on it works any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lane has ended: its host was stopped, or its device is gone; start a new host")]
pub struct LaneGone;

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// A connection between the same ends exists, or every local port to that peer is taken.
    #[error("no local port is left for that peer: choose another one, or none")]
    InUse,
    /// The local address is not one of the stack's.
    #[error("the local address is not one of the stack's: add it to `interface.addresses`, or choose none")]
    NotLocal,
    /// No route leads to the peer, or no connection can be made to such an address.
    #[error("no route leads to the peer: add one to `routes`")]
    NoRoute,
    /// The table of sockets is full.
    #[error("too many sockets are open: close some, or raise `limits.sockets`")]
    NoSlots,
    /// The memory for the bytes of sockets is used up.
    #[error("the memory for sockets is used up: close some, or raise `limits.memory`")]
    NoBuffers,
    /// The peer, or the network, has ended the attempt.
    #[error(transparent)]
    Failed(SocketError),
    /// The deadline has passed.
    #[error("the peer did not answer in time: wait longer, or see that it is there")]
    TimedOut,
    /// The lane has ended.
    #[error(transparent)]
    LaneGone(#[from] LaneGone),
}

/// Why there is no listener, or no socket for datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// Another socket has the address and port, or every port is taken.
    #[error("the address and port are in use: choose another port, or 0 for a free one")]
    InUse,
    /// The address is not one of the stack's.
    #[error("the address is not one of the stack's: add it to `interface.addresses`")]
    NotLocal,
    /// The table of sockets is full.
    #[error("too many sockets are open: close some, or raise `limits.sockets`")]
    NoSlots,
    /// The memory for the bytes of sockets is used up.
    #[error("the memory for sockets is used up: close some, or raise `limits.memory`")]
    NoBuffers,
    /// The lane has ended.
    #[error(transparent)]
    LaneGone(#[from] LaneGone),
}

/// Why an address or a route was not added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It is there already.
    #[error("the address or route is there already")]
    Exists,
    /// It is not there.
    #[error("there is no such address or route")]
    NotThere,
    /// The address is no host's: a group, everybody, or nobody.
    #[error("the address is no host's: choose that of one host")]
    NotHost,
    /// The gateway is in none of the stack's subnets.
    #[error("the gateway is in none of the stack's subnets: add an address first")]
    Unreachable,
    /// The table of routes is full.
    #[error("there are too many routes: remove some, or raise `limits.routes`")]
    TableFull,
    /// A lane has ended.
    #[error(transparent)]
    LaneGone(#[from] LaneGone),
}

impl NetworkError {
    /// How a lane answers: 0 where nothing is wrong.
    pub(crate) fn code(outcome: Result<(), Self>) -> u64 {
        match outcome {
            Ok(()) => 0,
            Err(Self::Exists) => 1,
            Err(Self::NotThere) => 2,
            Err(Self::NotHost) => 3,
            Err(Self::Unreachable) => 4,
            Err(Self::TableFull) => 5,
            Err(Self::LaneGone(_)) => 6,
        }
    }

    pub(super) fn of_code(code: Option<&u64>) -> Result<(), Self> {
        match code {
            Some(0) => Ok(()),
            Some(1) => Err(Self::Exists),
            Some(2) => Err(Self::NotThere),
            Some(3) => Err(Self::NotHost),
            Some(4) => Err(Self::Unreachable),
            Some(5) => Err(Self::TableFull),
            _ => Err(Self::LaneGone(LaneGone)),
        }
    }
}

impl From<AddressError> for NetworkError {
    fn from(error: AddressError) -> Self {
        match error {
            AddressError::Exists => Self::Exists,
            AddressError::NotHost => Self::NotHost,
            AddressError::TableFull => Self::TableFull,
        }
    }
}

impl From<RouteError> for NetworkError {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::Exists => Self::Exists,
            RouteError::Unreachable => Self::Unreachable,
            RouteError::TableFull => Self::TableFull,
        }
    }
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No room now, or not connected yet: wait until the socket is writable.
    #[error("no room now: wait until the socket is writable")]
    WouldBlock,
    /// The socket was shut down for sending, or its connection has ended.
    #[error("the socket sends nothing any more: its connection has ended, or it was shut down")]
    Closed,
    /// The connection failed, or an earlier datagram did. This is told once.
    #[error(transparent)]
    Failed(SocketError),
    /// A datagram is larger than any can be, or than the socket's buffer.
    #[error(
        "the datagram is too large: send at most 65507 bytes, and no more than half of `tcp.send-buffer`"
    )]
    TooLarge,
    /// The socket is of another kind.
    #[error("a socket of this kind does not send that way")]
    WrongKind,
    /// The lane has ended.
    #[error(transparent)]
    LaneGone(#[from] LaneGone),
}

/// Why nothing was received or accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecvError {
    /// Nothing is there now: wait until the socket is readable.
    #[error("nothing is there now: wait until the socket is readable")]
    WouldBlock,
    /// The socket was aborted, or the listener is closed.
    #[error("the socket receives nothing any more: it was closed")]
    Closed,
    /// The connection failed, or a datagram that was sent did. This is told once.
    #[error(transparent)]
    Failed(SocketError),
    /// The socket is of another kind.
    #[error("a socket of this kind does not receive that way")]
    WrongKind,
    /// The lane has ended.
    #[error(transparent)]
    LaneGone(#[from] LaneGone),
}

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// The deadline has passed.
    #[error("the time is over")]
    TimedOut,
    /// The lane has ended.
    #[error(transparent)]
    LaneGone(#[from] LaneGone),
}

/// Why a poller, or a place in it, was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PollError {
    /// So many pollers exist already.
    #[error("a client has at most 64 pollers: drop one")]
    TooMany,
    /// The socket is another host's.
    #[error("the socket is another host's: add it to a poller of that one's client")]
    OtherHost,
    /// The socket is in this poller, or in another one.
    #[error("the socket is polled already: remove it there first")]
    Registered,
    /// The socket is not in this poller.
    #[error("the socket is not in this poller: add it first")]
    NotRegistered,
}

impl From<OpenError> for ConnectError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Gone => Self::LaneGone(LaneGone),
            OpenError::Failed(Failure::InUse) => Self::InUse,
            OpenError::Failed(Failure::NotLocal) => Self::NotLocal,
            OpenError::Failed(Failure::Unreachable) => Self::NoRoute,
            OpenError::Failed(Failure::TableFull) => Self::NoSlots,
            OpenError::Failed(Failure::NoBuffers) => Self::NoBuffers,
        }
    }
}

impl From<OpenError> for BindError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Gone => Self::LaneGone(LaneGone),
            OpenError::Failed(Failure::InUse) => Self::InUse,
            OpenError::Failed(Failure::NotLocal | Failure::Unreachable) => Self::NotLocal,
            OpenError::Failed(Failure::TableFull) => Self::NoSlots,
            OpenError::Failed(Failure::NoBuffers) => Self::NoBuffers,
        }
    }
}
