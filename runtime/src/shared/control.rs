//! What a lane and a client tell each other about one slot.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use netlane_core::{BindError, ConnectError, SocketError};
use netlane_ring::Counters;

use super::{Bell, Ends};

/// The control block of a slot. All-zero bytes are that of a slot nobody has used yet.
///
/// What different sides write most lies on different cache lines.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// [`Status`] bits. Written by the lane, after all that they announce.
    status: AtomicU32,
    /// A [`Failure`]'s or [`SocketError`]'s code. Written by the lane, and taken by the client.
    error: AtomicU32,
    ends: [AtomicU64; 5],
    /// Rung by the lane whenever the socket changed.
    pub(crate) bell: Bell,
    requests: Requests,
    /// Of the ring that the client fills.
    pub(crate) send: Counters,
    /// Of the ring that the lane fills.
    pub(crate) receive: Counters,
}

/// Flags by which one side spares the other, or itself, messages.
#[repr(C, align(64))]
#[derive(Debug, Default)]
struct Requests {
    /// A [`Look`](super::Request::Look) is under way.
    look: AtomicU32,
    /// The lane wants a look when there is room in the receive ring again.
    hungry: AtomicU32,
    /// The poller that is told of changes, by its number from 1; 0 for none.
    poller: AtomicU32,
    /// The slot stands in its poller's ring.
    pending: AtomicU32,
}

const _: () = assert!(size_of::<Control>() == 448);

/// How far a socket has come. A set of bits that only grows while the slot is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status(u32);

impl Status {
    /// The lane has made the socket.
    pub(crate) const OPEN: Self = Self(1);
    /// The lane could not make the socket: see [`Control::take_failure`].
    pub(crate) const FAILED: Self = Self(1 << 1);
    /// The connection is established, or was.
    pub(crate) const CONNECTED: Self = Self(1 << 2);
    /// The peer's stream has ended; all its bytes are in the receive ring.
    pub(crate) const READ_CLOSED: Self = Self(1 << 3);
    /// Nothing more happens.
    pub(crate) const CLOSED: Self = Self(1 << 4);

    pub(crate) const fn has(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// Whether the lane has answered the call that opens the socket.
    pub(crate) const fn is_answered(self) -> bool {
        self.has(Self::OPEN) || self.has(Self::FAILED)
    }
}

impl Control {
    /// What the lane has told. All that it announces is visible.
    pub(crate) fn status(&self) -> Status {
        Status(self.status.load(Ordering::Acquire))
    }

    /// The lane: tells `bits`, beside what it told before.
    pub(crate) fn tell(&self, bits: Status) {
        self.status.fetch_or(bits.0, Ordering::Release);
    }

    /// The lane: the socket was not made.
    pub(crate) fn fail(&self, failure: Failure) {
        self.error.store(failure as u32, Ordering::Relaxed);
        self.tell(Status::FAILED);
    }

    /// Why the socket was not made.
    pub(crate) fn take_failure(&self) -> Failure {
        Failure::from_code(self.error.swap(0, Ordering::Relaxed))
    }

    /// The lane, or a client that has taken it and not told it: this befell the socket.
    pub(crate) fn set_error(&self, error: SocketError) {
        self.error.store(code_of(error), Ordering::Relaxed);
    }

    /// What befell the socket and was not taken yet.
    pub(crate) fn take_error(&self) -> Option<SocketError> {
        error_of(self.error.swap(0, Ordering::Relaxed))
    }

    /// Whether there is something to [take](Self::take_error).
    pub(crate) fn has_error(&self) -> bool {
        error_of(self.error.load(Ordering::Relaxed)).is_some()
    }

    /// The lane: the socket's two ends.
    pub(crate) fn set_ends(&self, local: Option<SocketAddr>, remote: Option<SocketAddr>) {
        for (shared, word) in self.ends.iter().zip(Ends::to_words(local, remote)) {
            shared.store(word, Ordering::Relaxed);
        }
    }

    pub(crate) fn ends(&self) -> Ends {
        Ends::from_words(std::array::from_fn(|n| self.ends[n].load(Ordering::Relaxed)))
    }

    /// The client: asks for a look, and returns whether the lane has to be told.
    pub(crate) fn ask_look(&self) -> bool {
        self.requests.look.swap(1, Ordering::AcqRel) == 0
    }

    /// The lane: looks now. All that was written before the look was asked for is visible.
    pub(crate) fn looking(&self) {
        self.requests.look.swap(0, Ordering::AcqRel);
    }

    /// The lane: wants to be told when there is room again. It looks once more after this.
    pub(crate) fn set_hungry(&self) {
        self.requests.hungry.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The client, having made room: whether the lane wants to be told.
    pub(crate) fn is_hungry(&self) -> bool {
        fence(Ordering::SeqCst);
        self.requests.hungry.load(Ordering::Relaxed) != 0
    }

    /// The client: tells the lane of the room now, and returns whether it is the one to do so.
    pub(crate) fn take_hunger(&self) -> bool {
        self.requests.hungry.swap(0, Ordering::Relaxed) != 0
    }

    /// The client: this poller, or none, is told of changes from now on.
    pub(crate) fn set_poller(&self, poller: Option<usize>) {
        self.requests.pending.store(0, Ordering::Relaxed);
        self.requests.poller.store(poller.map_or(0, |index| index as u32 + 1), Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The poller that has to be told, if it has not been. To be called after the bell has rung.
    pub(crate) fn poller_to_tell(&self) -> Option<usize> {
        let poller = self.requests.poller.load(Ordering::Relaxed).checked_sub(1)?;
        (self.requests.pending.swap(1, Ordering::AcqRel) == 0).then_some(poller as usize)
    }

    /// The poller looks now: it is told of what changes from here on.
    pub(crate) fn polled(&self) {
        self.requests.pending.swap(0, Ordering::AcqRel);
    }

    /// The lane: makes the slot as good as new. Nobody uses it, and its rings have no ends.
    pub(crate) fn reset(&self) {
        let Self { status, error, ends: _, bell: _, requests, send, receive } = self;
        let Requests { look, hungry, poller, pending } = requests;
        for word in [status, error, look, hungry, poller, pending] {
            word.store(0, Ordering::Relaxed);
        }
        self.set_ends(None, None);
        send.reset();
        receive.reset();
    }
}

/// Why a lane did not make a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Failure {
    InUse = 1,
    NotLocal,
    Unreachable,
    TableFull,
    NoBuffers,
}

impl Failure {
    fn from_code(code: u32) -> Self {
        match code {
            1 => Self::InUse,
            2 => Self::NotLocal,
            3 => Self::Unreachable,
            4 => Self::TableFull,
            _ => Self::NoBuffers,
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::InUse => Self::InUse,
            ConnectError::NotLocal => Self::NotLocal,
            ConnectError::Unreachable => Self::Unreachable,
            ConnectError::TableFull => Self::TableFull,
            ConnectError::NoBuffers => Self::NoBuffers,
        }
    }
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        match error {
            BindError::InUse => Self::InUse,
            BindError::NotLocal => Self::NotLocal,
            BindError::TableFull => Self::TableFull,
            BindError::NoBuffers => Self::NoBuffers,
        }
    }
}

fn code_of(error: SocketError) -> u32 {
    match error {
        SocketError::Refused => 1,
        SocketError::Reset => 2,
        SocketError::TimedOut => 3,
        SocketError::Unreachable => 4,
        SocketError::TooLarge => 5,
        SocketError::AddressRemoved => 6,
    }
}

fn error_of(code: u32) -> Option<SocketError> {
    match code {
        1 => Some(SocketError::Refused),
        2 => Some(SocketError::Reset),
        3 => Some(SocketError::TimedOut),
        4 => Some(SocketError::Unreachable),
        5 => Some(SocketError::TooLarge),
        6 => Some(SocketError::AddressRemoved),
        _ => None,
    }
}
