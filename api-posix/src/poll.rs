//! Waiting for many sockets at once.

use std::io;
use std::time::{Duration, Instant};

pub use netlane_runtime::{PollEvent, Readiness, Socket};

use crate::errno::ToErrno;
use crate::net::Netlane;
use crate::ping::PingSocket;
use crate::tcp::listener::TcpListener;
use crate::tcp::stream::TcpStream;
use crate::udp::UdpSocket;

/// Waits until any of its sockets is ready, as poll(2) does, at a cost that does not grow with those that are not.
///
/// It tells of a socket as long as it is ready (level-triggered). A socket is in one poller at most, and leaves it
/// when it is closed.
///
/// ```
/// use netlane_posix::{Netlane, Poller, Readiness, TcpListener, TcpStream};
///
/// # use netlane_config::{Backend, Config, Interface, MemoryBackend};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = |address: &str| -> Result<Config, Box<dyn std::error::Error>> {
/// #     let interface = Interface { addresses: vec![address.parse()?], ..Interface::default() };
/// #     Ok(Config { backend: Backend::Memory(MemoryBackend::default()), interface, ..Config::default() })
/// # };
/// # let (here, there) = Netlane::pair(&config("10.0.0.1/24")?, &config("10.0.0.2/24")?)?;
/// let listener = TcpListener::bind(&here, "10.0.0.1:80")?;
/// let poller = Poller::new(&here)?;
/// poller.add(&listener, 7, Readiness::READABLE)?;
///
/// let stream = TcpStream::connect(&there, "10.0.0.1:80")?;
/// let mut events = Vec::new();
/// poller.wait(&mut events, None);
/// assert_eq!(events[0].token, 7);
/// let (accepted, peer) = listener.accept()?;
/// assert_eq!(peer, stream.local_addr()?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Poller {
    poller: netlane_runtime::Poller,
}

impl Poller {
    /// A poller for sockets of `net`.
    ///
    /// # Errors
    /// `EMFILE` where there are 64 already.
    pub fn new(net: &Netlane) -> io::Result<Self> {
        Ok(Self { poller: net.client().poller().map_err(ToErrno::into_io)? })
    }

    /// Tells of `socket` from now on, under a token of the caller's choice.
    ///
    /// # Errors
    /// `EEXIST` where the socket is in a poller, `EINVAL` where it is another network's.
    pub fn add(&self, socket: &impl AsSocket, token: u64, interest: Readiness) -> io::Result<()> {
        self.poller.add(socket.as_socket(), token, interest).map_err(ToErrno::into_io)
    }

    /// Changes the token and the interest of a socket.
    ///
    /// # Errors
    /// `ENOENT` where the socket is not in this poller.
    pub fn modify(&self, socket: &impl AsSocket, token: u64, interest: Readiness) -> io::Result<()> {
        self.poller.modify(socket.as_socket(), token, interest).map_err(ToErrno::into_io)
    }

    /// Tells of `socket` no more.
    ///
    /// # Errors
    /// `ENOENT` where the socket is not in this poller.
    pub fn remove(&self, socket: &impl AsSocket) -> io::Result<()> {
        self.poller.remove(socket.as_socket()).map_err(ToErrno::into_io)
    }

    /// Waits until a socket is ready, and appends what there is to `events`. Returns how many those are: 0 when the
    /// time is over, or [`wake`](Self::wake) was called. Without a timeout it waits for as long as it takes.
    pub fn wait(&self, events: &mut Vec<PollEvent>, timeout: Option<Duration>) -> usize {
        self.poller.wait(events, timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// Has one call of [`wait`](Self::wait), now or next, return.
    pub fn wake(&self) {
        self.poller.wake();
    }
}

/// A handle of a socket that a [`Poller`] can wait for: what `AsFd` is to the kernel's.
pub trait AsSocket {
    /// The socket behind the handle.
    fn as_socket(&self) -> &Socket;
}

macro_rules! as_socket {
    ($($handle:ty)+) => {
        $(
            impl AsSocket for $handle {
                fn as_socket(&self) -> &Socket {
                    &self.shared().socket
                }
            }
        )+
    };
}

as_socket!(TcpListener TcpStream UdpSocket PingSocket);
