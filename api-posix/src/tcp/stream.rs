//! Connections.

use std::io;
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use netlane_runtime::{
    CongestionAlgorithm, ConnectError, KeepAlive, Readiness, Socket, SocketError, TcpInfo,
};
use rustix::io::Errno;

use super::options::Options;
use crate::errno::ToErrno;
use crate::net::{Netlane, each_address};
use crate::shared::{Family, Shared, zero_timeout};

/// A TCP connection, as [`std::net::TcpStream`].
///
/// When its last handle is dropped, what was written is still sent and the connection ends in order, unless bytes are
/// left that nobody has read: then the peer is reset. [`set_linger`](Self::set_linger) changes that.
#[derive(Debug)]
pub struct TcpStream {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Shared,
    options: Options,
}

impl TcpStream {
    pub(super) fn new(net: &Netlane, socket: Socket, family: Family) -> Self {
        let shared = Shared::new(net, socket, family);
        Self { inner: Arc::new(Inner { shared, options: Options::default() }) }
    }

    /// Connects to the first of `addresses` that accepts, and waits for that.
    ///
    /// # Errors
    /// `ECONNREFUSED`, `ETIMEDOUT`, `ENETUNREACH` where no route leads there, `EHOSTUNREACH` where a router or the
    /// lack of an answer from the neighbour says so, `EADDRNOTAVAIL` where no local port is left, `EMFILE` or `ENOBUFS` where a
    /// limit of the configuration is reached.
    pub fn connect(net: &Netlane, addresses: impl ToSocketAddrs) -> io::Result<Self> {
        each_address(addresses, |remote| Self::establish(net, None, remote, None))
    }

    /// Connects as [`connect`](Self::connect), from `local`: an address of the stack's or the unspecified one, and a
    /// port or 0.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect), `EADDRNOTAVAIL` where `local` cannot be had, and `EAFNOSUPPORT` where it is
    /// of IPv4 and the peer of IPv6.
    pub fn connect_from(net: &Netlane, local: SocketAddr, addresses: impl ToSocketAddrs) -> io::Result<Self> {
        each_address(addresses, |remote| match (local, remote) {
            (SocketAddr::V4(_), SocketAddr::V6(_)) => Err(Errno::AFNOSUPPORT.into()),
            _ => Self::establish(net, Some(local), remote, None),
        })
    }

    /// Connects to `address`, and gives up after `timeout`.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect), [`TimedOut`](io::ErrorKind::TimedOut) when the time is over, and
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a timeout of zero.
    pub fn connect_timeout(net: &Netlane, address: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        if timeout.is_zero() {
            return Err(zero_timeout());
        }
        Self::establish(net, None, *address, Instant::now().checked_add(timeout))
    }

    /// Begins to connect, and returns a stream that does not block. A [`Poller`](crate::Poller) tells when it is
    /// writable: then [`take_error`](Self::take_error) says whether it is connected. (`connect` on a non-blocking
    /// socket, which answers `EINPROGRESS`.)
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect) that are known at once.
    pub fn connect_nonblocking(net: &Netlane, address: &SocketAddr) -> io::Result<Self> {
        let remote = reachable(*address)?;
        let socket = net.client().tcp_begin_connect(None, remote).map_err(ToErrno::into_io)?;
        let stream = Self::new(net, socket, Family::of(*address));
        stream.set_nonblocking(true)?;
        Ok(stream)
    }

    fn establish(
        net: &Netlane,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        deadline: Option<Instant>,
    ) -> io::Result<Self> {
        match net.client().tcp_connect(local, reachable(remote)?, deadline) {
            Ok(socket) => Ok(Self::new(net, socket, Family::of(local.unwrap_or(remote)))),
            Err(ConnectError::TimedOut) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the peer did not answer in time"))
            }
            Err(error) => Err(error.into_io()),
        }
    }

    /// Copies bytes that have arrived, and leaves them to be read.
    ///
    /// # Errors
    /// Those of [`read`](std::io::Read::read).
    pub fn peek(&self, out: &mut [u8]) -> io::Result<usize> {
        let shared = &self.inner.shared;
        shared.when_readable(|| shared.socket.try_peek(out).map_err(ToErrno::into_io))
    }

    /// Ends the stream in one direction or both. Reading gives what has arrived and then 0; writing gives `EPIPE`, and
    /// the peer reads the end behind what was written. Threads that wait in the other direction go on.
    ///
    /// # Errors
    /// `ENOTCONN` where the connection has ended, or there never was one.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let socket = &self.inner.shared.socket;
        if socket.is_connected() {
            socket.shutdown(how);
            Ok(())
        } else if socket.readiness().contains(Readiness::CLOSED) {
            Err(Errno::NOTCONN.into())
        } else {
            // Linux as well gives up an attempt to connect.
            socket.abort();
            Ok(())
        }
    }

    /// The peer's address and port.
    ///
    /// # Errors
    /// `ENOTCONN` where the connection is not established, or not any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        let shared = &self.inner.shared;
        let peer = shared.socket.peer_addr().filter(|_| shared.socket.is_connected());
        peer.map(|peer| shared.seen(peer)).ok_or_else(|| Errno::NOTCONN.into())
    }

    /// The socket's own address and port.
    ///
    /// # Errors
    /// None. It is fallible as in [`std::net`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.shared.local_addr()
    }

    /// Lets calls wait, or not.
    ///
    /// # Errors
    /// None.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.inner.shared.set_nonblocking(nonblocking);
        Ok(())
    }

    /// How long reading waits (`SO_RCVTIMEO`); for as long as it takes where `None`. It ends with `EAGAIN`.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.shared.read_timeout.set(timeout)
    }

    /// How long writing waits (`SO_SNDTIMEO`); for as long as it takes where `None`. It ends with `EAGAIN`, unless
    /// some bytes were written before.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.shared.write_timeout.set(timeout)
    }

    /// How long reading waits.
    ///
    /// # Errors
    /// None.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.inner.shared.read_timeout.get())
    }

    /// How long writing waits.
    ///
    /// # Errors
    /// None.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.inner.shared.write_timeout.get())
    }

    /// Sends small segments at once (`TCP_NODELAY`), or holds them back while others are unacknowledged.
    ///
    /// # Errors
    /// None.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        let mut options = self.inner.options.lock();
        options.no_delay = nodelay;
        self.inner.shared.socket.set_no_delay(nodelay);
        Ok(())
    }

    /// Whether small segments are sent at once: what was [set](Self::set_nodelay) here, not what the configuration says
    /// of sockets that set nothing.
    ///
    /// # Errors
    /// None.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(self.inner.options.get().no_delay)
    }

    /// Asks a silent peer whether it still lives (`SO_KEEPALIVE`, `TCP_KEEPIDLE`, `TCP_KEEPINTVL`, `TCP_KEEPCNT`), or
    /// stops asking. A peer that does not answer ends the connection with `ETIMEDOUT`.
    ///
    /// # Errors
    /// None.
    pub fn set_keepalive(&self, keepalive: Option<KeepAlive>) -> io::Result<()> {
        let mut options = self.inner.options.lock();
        options.keepalive = keepalive;
        self.inner.shared.socket.set_keepalive(keepalive);
        Ok(())
    }

    /// Whether, and how, a silent peer is asked: what was [set](Self::set_keepalive) here, not what the configuration
    /// says of sockets that set nothing.
    ///
    /// # Errors
    /// None.
    pub fn keepalive(&self) -> io::Result<Option<KeepAlive>> {
        Ok(self.inner.options.get().keepalive)
    }

    /// Ends the connection with `ETIMEDOUT` once what was written was not acknowledged for so long
    /// (`TCP_USER_TIMEOUT`); where `None`, after as many repetitions as the configuration says.
    ///
    /// # Errors
    /// None.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let mut options = self.inner.options.lock();
        options.user_timeout = timeout;
        self.inner.shared.socket.set_user_timeout(timeout);
        Ok(())
    }

    /// How long what was written may stay unacknowledged: what was [set](Self::set_user_timeout) here, not what the
    /// configuration says of sockets that set nothing.
    ///
    /// # Errors
    /// None.
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.inner.options.get().user_timeout)
    }

    /// Holds segments back that are not full (`TCP_CORK`), for at most some hundred milliseconds, or lets them leave.
    ///
    /// # Errors
    /// None.
    pub fn set_cork(&self, cork: bool) -> io::Result<()> {
        let mut options = self.inner.options.lock();
        options.cork = cork;
        self.inner.shared.socket.set_cork(cork);
        Ok(())
    }

    /// Whether segments that are not full are held back.
    ///
    /// # Errors
    /// None.
    pub fn cork(&self) -> io::Result<bool> {
        Ok(self.inner.options.get().cork)
    }

    /// Bounds the segments that are sent, in bytes of payload and options (`TCP_MAXSEG`). They never become larger again.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for less than 88 or more than 32,767 bytes, as in Linux.
    pub fn set_max_segment(&self, bytes: u16) -> io::Result<()> {
        if !(88..=32_767).contains(&bytes) {
            return Err(Errno::INVAL.into());
        }
        self.inner.shared.socket.set_max_segment(bytes);
        Ok(())
    }

    /// How often the SYN is repeated before an attempt to connect fails (`TCP_SYNCNT`).
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for 0 and for more than 127, as in Linux.
    pub fn set_syn_retries(&self, times: u8) -> io::Result<()> {
        if !(1..=127).contains(&times) {
            return Err(Errno::INVAL.into());
        }
        self.inner.shared.socket.set_syn_retries(times);
        Ok(())
    }

    /// Chooses how much may be in flight (`TCP_CONGESTION`).
    ///
    /// # Errors
    /// None.
    pub fn set_congestion_control(&self, algorithm: CongestionAlgorithm) -> io::Result<()> {
        self.inner.shared.socket.set_congestion_control(algorithm);
        Ok(())
    }

    /// What decides how much may be in flight.
    ///
    /// # Errors
    /// Those of [`info`](Self::info).
    pub fn congestion_control(&self) -> io::Result<CongestionAlgorithm> {
        Ok(self.info()?.congestion_control)
    }

    /// How the connection fares (`TCP_INFO`).
    ///
    /// # Errors
    /// `ENOTCONN` before it is established and after its end.
    pub fn info(&self) -> io::Result<TcpInfo> {
        let info = self.inner.shared.socket.info().map_err(ToErrno::into_io)?;
        info.ok_or_else(|| Errno::NOTCONN.into())
    }

    /// What dropping the last handle does (`SO_LINGER`): with `None` it returns at once and the rest happens behind
    /// it, zero resets the peer and loses what was not sent, and any other time is how long to wait until the peer has
    /// acknowledged all.
    ///
    /// # Errors
    /// None.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.inner.options.lock().linger = linger;
        Ok(())
    }

    /// What dropping the last handle does.
    ///
    /// # Errors
    /// None.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(self.inner.options.get().linger)
    }

    /// Takes what befell the connection (`SO_ERROR`).
    ///
    /// # Errors
    /// None.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.inner.shared.socket.take_error().map(|error| self.told(error)))
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    /// None.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { inner: Arc::clone(&self.inner) })
    }

    /// Linux tells who writes on after the peer has ended its stream that nobody reads, and not that it was reset.
    pub(super) fn told(&self, error: SocketError) -> io::Error {
        match error {
            SocketError::Reset if self.inner.shared.socket.has_peer_finished() => Errno::PIPE.into(),
            _ => error.into_io(),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }
}

impl Drop for Inner {
    /// What closing does is the runtime's concern, but for `SO_LINGER`.
    fn drop(&mut self) {
        let socket = &self.shared.socket;
        match self.options.get().linger {
            None => {}
            Some(Duration::ZERO) => socket.abort(),
            // With bytes that nobody has read, closing resets the peer.
            Some(_) if socket.try_peek(&mut [0]).is_ok_and(|unread| unread > 0) => {}
            Some(linger) => {
                socket.shutdown(Shutdown::Write);
                // When the time is over, the rest happens behind the program's back, as without lingering.
                let _ = socket.wait_acknowledged(Instant::now().checked_add(linger));
            }
        }
    }
}

/// What Linux does with port 0 as a peer's: nobody can listen there.
fn reachable(remote: SocketAddr) -> io::Result<SocketAddr> {
    if remote.port() == 0 { Err(Errno::CONNREFUSED.into()) } else { Ok(remote) }
}
