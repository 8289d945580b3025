//! The runtime's errors as those that Linux gives.

use std::io;

use netlane_runtime::{
    BindError, ConnectError, GroupError, LaneGone, PollError, RecvError, SendError, SocketError, WaitError,
};
use rustix::io::Errno;

/// An error that a system call would give as its `errno`.
pub(crate) trait ToErrno {
    fn errno(self) -> Errno;

    fn into_io(self) -> io::Error
    where
        Self: Sized,
    {
        self.errno().into()
    }
}

impl ToErrno for SocketError {
    fn errno(self) -> Errno {
        match self {
            Self::Refused => Errno::CONNREFUSED,
            Self::Reset => Errno::CONNRESET,
            Self::TimedOut => Errno::TIMEDOUT,
            Self::Unreachable => Errno::HOSTUNREACH,
            Self::TooLarge => Errno::MSGSIZE,
            Self::AddressRemoved => Errno::ADDRNOTAVAIL,
        }
    }
}

/// As when the interface is taken down.
impl ToErrno for LaneGone {
    fn errno(self) -> Errno {
        Errno::NETDOWN
    }
}

impl ToErrno for ConnectError {
    fn errno(self) -> Errno {
        match self {
            Self::InUse | Self::NotLocal => Errno::ADDRNOTAVAIL,
            Self::NoRoute => Errno::NETUNREACH,
            Self::NoSlots => Errno::MFILE,
            Self::NoBuffers => Errno::NOBUFS,
            Self::TimedOut => Errno::TIMEDOUT,
            Self::Failed(error) => error.errno(),
            Self::LaneGone(gone) => gone.errno(),
        }
    }
}

impl ToErrno for BindError {
    fn errno(self) -> Errno {
        match self {
            Self::InUse => Errno::ADDRINUSE,
            Self::NotLocal => Errno::ADDRNOTAVAIL,
            Self::NoSlots => Errno::MFILE,
            Self::NoBuffers => Errno::NOBUFS,
            Self::LaneGone(gone) => gone.errno(),
        }
    }
}

impl ToErrno for SendError {
    fn errno(self) -> Errno {
        match self {
            Self::WouldBlock => Errno::AGAIN,
            Self::Closed => Errno::PIPE,
            Self::TooLarge => Errno::MSGSIZE,
            Self::WrongKind => Errno::OPNOTSUPP,
            Self::Failed(error) => error.errno(),
            Self::LaneGone(gone) => gone.errno(),
        }
    }
}

impl ToErrno for RecvError {
    fn errno(self) -> Errno {
        match self {
            Self::WouldBlock => Errno::AGAIN,
            Self::Closed => Errno::NOTCONN,
            Self::WrongKind => Errno::OPNOTSUPP,
            Self::Failed(error) => error.errno(),
            Self::LaneGone(gone) => gone.errno(),
        }
    }
}

/// `SO_RCVTIMEO` and `SO_SNDTIMEO` end in the same error as sockets that do not block: socket(7).
impl ToErrno for WaitError {
    fn errno(self) -> Errno {
        match self {
            Self::TimedOut => Errno::AGAIN,
            Self::LaneGone(gone) => gone.errno(),
        }
    }
}

/// As ip(7) and the kernel have them.
impl ToErrno for GroupError {
    fn errno(self) -> Errno {
        match self {
            Self::Stale => Errno::BADF,
            Self::NotGroup | Self::OtherMode => Errno::INVAL,
            Self::Joined => Errno::ADDRINUSE,
            Self::NotJoined => Errno::ADDRNOTAVAIL,
            Self::TooMany => Errno::NOBUFS,
        }
    }
}

/// As epoll_ctl(2) and epoll_create(2) have them.
impl ToErrno for PollError {
    fn errno(self) -> Errno {
        match self {
            Self::TooMany => Errno::MFILE,
            Self::OtherHost => Errno::INVAL,
            Self::Registered => Errno::EXIST,
            Self::NotRegistered => Errno::NOENT,
        }
    }
}
