//! What all handles of one socket share.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use netlane_runtime::{BindOptions, Readiness, Socket};
use rustix::io::Errno;

use crate::errno::ToErrno;
use crate::net::Netlane;

/// A socket, and how its calls wait.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) socket: Socket,
    pub(crate) net: Netlane,
    family: Family,
    nonblocking: AtomicBool,
    pub(crate) read_timeout: Timeout,
    pub(crate) write_timeout: Timeout,
}

impl Shared {
    /// A socket that its user opened for, or through, `family`.
    pub(crate) fn new(net: &Netlane, socket: Socket, family: Family) -> Self {
        Self {
            socket,
            net: net.clone(),
            family,
            nonblocking: AtomicBool::new(false),
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
        }
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    pub(crate) fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr().map(|local| self.seen(local)).ok_or_else(|| Errno::NOTCONN.into())
    }

    /// The address as the socket's user sees it.
    pub(crate) fn seen(&self, address: SocketAddr) -> SocketAddr {
        match address.ip() {
            IpAddr::V4(v4) if self.family != Family::V4 => {
                SocketAddr::new(v4.to_ipv6_mapped().into(), address.port())
            }
            _ => address,
        }
    }

    /// Refuses peers that the socket cannot address.
    pub(crate) fn addresses(&self, peer: SocketAddr) -> io::Result<SocketAddr> {
        match self.family {
            Family::V4 if peer.is_ipv6() => Err(Errno::AFNOSUPPORT.into()),
            Family::OnlyV6 if peer.ip().to_canonical().is_ipv4() => Err(Errno::NETUNREACH.into()),
            _ => Ok(peer),
        }
    }

    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.socket.take_error().map(ToErrno::into_io)
    }

    /// Does `attempt` once the socket can be read, or has something to tell there.
    pub(crate) fn when_readable<T>(&self, attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.when(Readiness::READABLE, &self.read_timeout, attempt)
    }

    /// Does `attempt` once the socket can be written.
    pub(crate) fn when_writable<T>(&self, attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.when(Readiness::WRITABLE, &self.write_timeout, attempt)
    }

    fn when<T>(
        &self,
        interest: Readiness,
        timeout: &Timeout,
        mut attempt: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        let outcome = attempt();
        if !would_block(&outcome) || self.is_nonblocking() {
            return outcome;
        }
        let deadline = timeout.deadline();
        loop {
            let ready = self.socket.wait(interest, deadline).map_err(ToErrno::into_io)?;
            let outcome = attempt();
            if !would_block(&outcome) {
                return outcome;
            }
            // Another thread was faster, or an error is all that there was.
            if ready.contains(Readiness::ERROR)
                && let Some(error) = self.take_error()
            {
                return Err(error);
            }
        }
    }
}

/// The family of a socket's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    /// With addresses of IPv4 in their mapped form.
    V6,
    OnlyV6,
}

impl Family {
    pub(crate) fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Of a socket that is bound to `local`.
    pub(crate) fn of_bound(local: SocketAddr, options: BindOptions) -> Self {
        match Self::of(local) {
            Self::V6 if options.only_v6 => Self::OnlyV6,
            family => family,
        }
    }
}

fn would_block<T>(outcome: &io::Result<T>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// How long calls wait: in nanoseconds, or for as long as it takes where that is 0.
#[derive(Debug, Default)]
pub(crate) struct Timeout(AtomicU64);

impl Timeout {
    /// # Errors
    /// `EINVAL`'s kind for a timeout of zero, which would stand for none at all.
    pub(crate) fn set(&self, timeout: Option<Duration>) -> io::Result<()> {
        let nanos = match timeout {
            None => 0,
            Some(Duration::ZERO) => return Err(zero_timeout()),
            Some(timeout) => u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX),
        };
        self.0.store(nanos, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.get()?)
    }
}

pub(crate) fn zero_timeout() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "a timeout of zero would not wait: choose a longer one, or none",
    )
}
