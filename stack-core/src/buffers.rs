//! The bytes that wait in sockets, kept by the stack's owner.
//!
//! TCP reasons in sequence numbers and asks for bytes by their distance from the oldest one that waits. Where
//! they lie is the business of a [`Buffers`]: on the heap of the thread that runs the stack ([`HeapBuffers`]),
//! or in memory that another process sees too.

pub use heap::{HeapBuffer, HeapBuffers};

mod heap;

use crate::SocketId;
use crate::wire::{Sum, checksum};

/// What a new socket needs its buffers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferRequest {
    /// The socket that will own the buffers.
    pub socket: SocketId,
    /// The listener on which the connection arrived; `None` for a socket that the owner asked for itself.
    pub listener: Option<SocketId>,
    /// The most bytes that shall wait to be sent.
    pub send_limit: usize,
    /// The most bytes that shall wait to be read.
    pub receive_limit: usize,
}

/// How scarce the memory for bytes is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// There is enough.
    #[default]
    None,
    /// Peers are allowed to send little, until it gets better.
    High,
    /// All is in use: no connection is opened, and what arrives out of order is not kept.
    Exhausted,
}

/// Where the bytes of all sockets of a stack are kept.
///
/// Each socket has a send buffer, which its user fills and the stack empties, and a receive buffer, which the
/// stack fills and its user empties. This trait is the stack's side of both; the user's side is the business
/// of whoever implements it. Offsets count from the oldest byte that has not been released.
///
/// A TCP socket's buffers carry its stream. A UDP socket's carry records: a
/// [`DatagramHeader`](crate::DatagramHeader) and the payload that it announces.
pub trait Buffers {
    /// A send buffer. One belongs to every socket, idle ones too: keep it small.
    type Send;
    /// A receive buffer. One belongs to every socket, idle ones too: keep it small.
    type Receive;

    /// Buffers for a new socket, or `None` where there is no room. A connection that arrives then is refused.
    fn open(&mut self, request: BufferRequest) -> Option<(Self::Send, Self::Receive)>;

    /// Takes the buffers of a socket back, with whatever still waits in them.
    fn close(&mut self, socket: SocketId, send: Self::Send, receive: Self::Receive);

    /// The stack's limit of memory for all buffers together ([`Limits::memory`](crate::Limits::memory)), once before the
    /// first is opened. Ignored unless implemented.
    fn set_budget(&mut self, _bytes: usize) {}

    /// Bytes that the user has queued and the stack has not released.
    fn queued(&self, send: &Self::Send) -> usize;

    /// Copies the queued bytes from `offset` on to `out`, filling it. The stack asks only for bytes that
    /// [`queued`](Self::queued) has counted.
    fn copy_queued(&self, send: &Self::Send, offset: usize, out: &mut [u8]);

    /// As [`copy_queued`](Self::copy_queued), and returns the sum of the bytes for their checksum.
    #[inline]
    fn copy_queued_summed(&self, send: &Self::Send, offset: usize, out: &mut [u8]) -> Sum {
        self.copy_queued(send, offset, out);
        checksum::sum(out)
    }

    /// Lets go of the oldest `n` queued bytes: the peer has acknowledged them.
    fn release(&mut self, send: &mut Self::Send, n: usize);

    /// Bytes that wait for the user to read them.
    fn unread(&self, receive: &Self::Receive) -> usize;

    /// Bytes that can be stored beyond the unread ones.
    fn room(&self, receive: &Self::Receive) -> usize;

    /// Stores `bytes` at `offset` beyond the unread ones, and returns how many fit, counted from their front.
    /// They stay invisible to the user until they are [committed](Self::commit), so that a gap before them
    /// can still be filled.
    fn store(&mut self, receive: &mut Self::Receive, offset: usize, bytes: &[u8]) -> usize;

    /// How scarce memory is. No connection fails for it: their windows shrink as bytes arrive, never below a few
    /// segments, and are never taken back.
    #[inline]
    fn pressure(&self) -> Pressure {
        Pressure::None
    }

    /// Makes the first `n` stored bytes readable.
    fn commit(&mut self, receive: &mut Self::Receive, n: usize);
}
