//! Descriptors, and the sockets behind them.

use std::ffi::c_int;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use netlane_core::{Readiness, SocketError, SocketId};

use crate::epoll::Epoll;
use crate::errno::Errno;
use crate::session::Stop;
use crate::socket::options::Options;
use crate::world::World;

pub(crate) mod datagrams;
pub(crate) mod fast_open;
pub(crate) mod info;
pub(crate) mod lifecycle;
pub(crate) mod options;
pub(crate) mod readiness;
pub(crate) mod stream;

/// What a number given out by the operating system stands for. The number is real, since packetdrill closes what a
/// script leaves open by itself; nothing else is done with the file behind it.
pub(crate) struct Descriptor {
    pub(crate) file: OwnedFd,
    pub(crate) nonblocking: bool,
    pub(crate) owned: Owned,
}

/// What stands behind a descriptor.
pub(crate) enum Owned {
    Socket(Box<Socket>),
    Epoll(Epoll),
}

/// A socket, with what POSIX has and the core does not: states before there is a connection, and what was not told
/// yet.
pub(crate) struct Socket {
    pub(crate) domain: c_int,
    pub(crate) kind: Kind,
    pub(crate) options: Options,
    /// What the next call is told: Linux's `sk_err`.
    pub(crate) error: Option<Errno>,
    /// `shutdown` has ended reading.
    pub(crate) read_shut: bool,
    /// `shutdown` has ended writing.
    pub(crate) write_shut: bool,
    /// The peer's end of the stream has come.
    pub(crate) read_closed: bool,
    /// The connection is over.
    pub(crate) ended: bool,
    /// There was room when we last knew.
    pub(crate) has_room: bool,
    /// A connection may wait to be accepted.
    pub(crate) has_arrivals: bool,
    /// Counts what happens, for pollers that want to be told once.
    pub(crate) news: u64,
}

/// What a socket is so far.
pub(crate) enum Kind {
    /// TCP, neither listening nor connected, and where it was bound to.
    Fresh(Option<SocketAddr>),
    Listener(SocketId),
    /// TCP that will connect with its first data.
    PutOff {
        bound: Option<SocketAddr>,
        peer: SocketAddr,
    },
    /// TCP on its way to a connection that nobody has been told of.
    Connecting(SocketId),
    Connected(SocketId),
    /// UDP, and the peer that it is connected to.
    Datagrams {
        id: Option<SocketId>,
        bound: Option<SocketAddr>,
        peer: Option<SocketAddr>,
    },
}

impl Socket {
    pub(crate) fn new(domain: c_int, kind: Kind, options: Options) -> Self {
        Self {
            domain,
            kind,
            options,
            error: None,
            read_shut: false,
            write_shut: false,
            read_closed: false,
            ended: false,
            has_room: false,
            has_arrivals: false,
            news: 0,
        }
    }

    /// The socket of the core, where there is one.
    pub(crate) fn id(&self) -> Option<SocketId> {
        match self.kind {
            Kind::Fresh(_) | Kind::PutOff { .. } => None,
            Kind::Listener(id) | Kind::Connecting(id) | Kind::Connected(id) => Some(id),
            Kind::Datagrams { id, .. } => id,
        }
    }

    /// The core says that something has happened.
    pub(crate) fn on_event(&mut self, ready: Readiness, error: Option<SocketError>) {
        self.news += 1;
        if let Some(error) = error {
            self.error = Some(self.errno_of(error));
        }
        self.has_arrivals |= ready.contains(Readiness::READABLE);
        self.has_room |= ready.contains(Readiness::WRITABLE);
        self.read_closed |= ready.intersects(Readiness::READ_CLOSED | Readiness::CLOSED);
        self.ended |= ready.contains(Readiness::CLOSED);
    }

    /// Linux tells of a reset that follows the peer's FIN as of a broken pipe.
    fn errno_of(&self, error: SocketError) -> Errno {
        if error == SocketError::Reset && self.read_closed && !self.write_shut {
            return Errno(libc::EPIPE);
        }
        Errno::from(error)
    }
}

/// Why a call may have to wait, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// It never waits.
    None,
    /// It waits until something happens.
    Endless,
    /// It waits until this time.
    Until(netlane_core::Instant),
}

impl Patience {
    /// What a call comes to that would have to wait.
    pub(crate) fn stop(self, world: &World, in_vain: c_int) -> Stop {
        match self {
            Self::Endless => Stop::Wait(None),
            Self::Until(until) if world.now() < until => Stop::Wait(Some(until)),
            Self::None | Self::Until(_) => Stop::Error(Errno(in_vain)),
        }
    }
}

impl World {
    /// The socket behind a descriptor.
    pub(crate) fn socket(&mut self, fd: c_int) -> Result<&mut Socket, Errno> {
        match &mut self.descriptors.get_mut(&fd).ok_or(Errno(libc::EBADF))?.owned {
            Owned::Socket(socket) => Ok(socket),
            Owned::Epoll(_) => Err(Errno(libc::ENOTSOCK)),
        }
    }

    pub(crate) fn is_nonblocking(&self, fd: c_int) -> bool {
        self.descriptors.get(&fd).is_some_and(|descriptor| descriptor.nonblocking)
    }
}

/// Errors of a connection that two calls want are told to the first.
pub(crate) fn take_error(socket: &mut Socket) -> Result<(), Errno> {
    socket.error.take().map_or(Ok(()), Err)
}
