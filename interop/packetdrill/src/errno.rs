//! Error numbers, as Linux's calls give them.

use std::ffi::c_int;

use netlane_core::{BindError, ConnectError, SocketError};

/// A value of `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) c_int);

impl Errno {
    /// What the operating system says about the call that has just failed.
    pub(crate) fn last() -> Self {
        Self(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    }

    /// Puts the value where C looks for it.
    pub(crate) fn set(self) {
        // SAFETY: the C library gives every thread a place of its own.
        let place = unsafe { libc::__errno_location() };
        // SAFETY: the place is valid for as long as the thread runs.
        unsafe { *place = self.0 };
    }
}

/// tcp(7), ip(7)
impl From<SocketError> for Errno {
    fn from(error: SocketError) -> Self {
        Self(match error {
            SocketError::Refused => libc::ECONNREFUSED,
            SocketError::Reset => libc::ECONNRESET,
            SocketError::TimedOut => libc::ETIMEDOUT,
            SocketError::Unreachable => libc::EHOSTUNREACH,
            SocketError::TooLarge => libc::EMSGSIZE,
            SocketError::AddressRemoved => libc::EADDRNOTAVAIL,
        })
    }
}

/// bind(2), listen(2)
impl From<BindError> for Errno {
    fn from(error: BindError) -> Self {
        Self(match error {
            BindError::InUse => libc::EADDRINUSE,
            BindError::NotLocal => libc::EADDRNOTAVAIL,
            BindError::TableFull => libc::ENFILE,
            BindError::NoBuffers => libc::ENOBUFS,
        })
    }
}

/// connect(2)
impl From<ConnectError> for Errno {
    fn from(error: ConnectError) -> Self {
        Self(match error {
            ConnectError::InUse | ConnectError::NotLocal => libc::EADDRNOTAVAIL,
            ConnectError::Unreachable => libc::ENETUNREACH,
            ConnectError::TableFull => libc::ENFILE,
            ConnectError::NoBuffers => libc::ENOBUFS,
        })
    }
}
