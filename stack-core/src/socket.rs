//! Names that users of the stack have for its sockets, and what the stack tells about them.

use bitflags::bitflags;

/// A socket of a [`Stack`](crate::Stack).
///
/// It names a slot of the stack's table and the generation of its use, so that a handle kept for too long is
/// an error and never another socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId {
    slot: u32,
    generation: u32,
}

impl SocketId {
    pub(crate) const fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// The slot in the stack's table: a small number that no two living sockets share. Tables beside the
    /// stack's own may use it as their index.
    #[must_use]
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    pub(crate) const fn generation(self) -> u32 {
        self.generation
    }
}

impl core::fmt::Debug for SocketId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "socket {}#{}", self.slot, self.generation)
    }
}

bitflags! {
    /// What a socket became ready for.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Readiness: u8 {
        /// Bytes, a datagram or a connection to accept arrived.
        const READABLE = 1;
        /// The connection was established, or bytes were acknowledged, so that there is room to write.
        const WRITABLE = 1 << 1;
        /// The peer will send nothing more: its FIN has arrived, and all bytes before it.
        const READ_CLOSED = 1 << 2;
        /// The connection has ended in both directions. Nothing more happens on this socket.
        const CLOSED = 1 << 3;
        /// The socket has an error to tell: see [`Stack::take_error`](crate::Stack::take_error).
        const ERROR = 1 << 4;
    }
}

/// A socket that changed, and what it became ready for since its last event.
///
/// Events tell where to look; they carry no state. Whoever looks at all that is there needs no event twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The socket.
    pub socket: SocketId,
    /// What it became ready for.
    pub ready: Readiness,
}

/// What ended a connection, or befell a socket, without its user's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketError {
    /// The peer answered our SYN with a reset: nobody listens there.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// The peer did not answer in time: retransmissions, probes or keep-alives went without an answer.
    TimedOut,
    /// A router or the peer's host says that the network, host or port cannot be reached; or the neighbour
    /// that leads there does not answer.
    Unreachable,
    /// A datagram was larger than its path carries, and was not to be cut.
    TooLarge,
    /// The stack no longer has the address.
    AddressRemoved,
}

impl core::fmt::Display for SocketError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused by the peer",
            Self::Reset => "connection reset by the peer",
            Self::TimedOut => "the peer did not answer in time",
            Self::Unreachable => "the peer cannot be reached",
            Self::TooLarge => "the datagram is larger than its path carries",
            Self::AddressRemoved => "the local address was removed",
        })
    }
}

impl core::error::Error for SocketError {}
