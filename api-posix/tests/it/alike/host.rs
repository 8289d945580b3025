//! One face for the kernel's sockets and netlane's.

use std::io::{self, Read, Write};
use std::net::{self, IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use netlane_posix::{AsSocket, Netlane, Readiness};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use socket2::{Domain, SockRef, Type};

use crate::network;

/// Where a program that serves runs, and where the one that uses it does.
pub(super) struct Pair<H> {
    pub(super) server: H,
    pub(super) client: H,
}

impl Pair<Kernel> {
    pub(super) fn over_loopback() -> Self {
        Self { server: Kernel, client: Kernel }
    }
}

impl Pair<Lanes> {
    pub(super) fn over_memory() -> Self {
        let (server, client) = network::two_hosts();
        let lanes = |net, address: &str| Lanes { net, address: address.parse().unwrap() };
        Self { server: lanes(server, network::SERVER), client: lanes(client, network::CLIENT) }
    }
}

impl<H: Host> Pair<H> {
    /// A listener on a free port.
    pub(super) fn listener(&self) -> io::Result<H::Listener> {
        self.server.listen(self.server.any())
    }

    /// Both ends of a connection: the server's, and the client's.
    pub(super) fn connection(&self) -> io::Result<(H::Stream, H::Stream)> {
        let listener = self.listener()?;
        let client = self.client.connect(&[listener.local_addr()?])?;
        Ok((listener.accept()?.0, client))
    }

    /// A UDP socket on each host.
    pub(super) fn datagrams(&self) -> io::Result<(H::Datagrams, H::Datagrams)> {
        Ok((self.server.datagrams(self.server.any())?, self.client.datagrams(self.client.any())?))
    }

    /// An address of the server's at which nobody listens.
    pub(super) fn deserted(&self) -> io::Result<SocketAddr> {
        self.listener()?.local_addr()
    }

    /// An address of the server's to which nobody has bound a UDP socket.
    pub(super) fn deserted_datagrams(&self) -> io::Result<SocketAddr> {
        self.server.datagrams(self.server.any())?.local_addr()
    }
}

/// Where sockets come from.
pub(super) trait Host: Send + 'static {
    type Listener: Listener<Stream = Self::Stream>;
    type Stream: Stream;
    type Datagrams: Datagrams;

    fn address(&self) -> IpAddr;
    fn listen(&self, local: SocketAddr) -> io::Result<Self::Listener>;
    fn connect(&self, remotes: &[SocketAddr]) -> io::Result<Self::Stream>;
    fn connect_timeout(&self, remote: SocketAddr, timeout: Duration) -> io::Result<Self::Stream>;
    fn connect_nonblocking(&self, remote: SocketAddr) -> io::Result<Self::Stream>;
    fn datagrams(&self, local: SocketAddr) -> io::Result<Self::Datagrams>;

    /// This host's address with port 0.
    fn any(&self) -> SocketAddr {
        SocketAddr::new(self.address(), 0)
    }
}

/// `TcpListener`.
pub(super) trait Listener: Watched {
    type Stream;
    fn accept(&self) -> io::Result<(Self::Stream, SocketAddr)>;
    fn local_addr(&self) -> io::Result<SocketAddr>;
    fn set_nonblocking(&self, on: bool) -> io::Result<()>;
    fn take_error(&self) -> io::Result<Option<io::Error>>;
    fn try_clone(&self) -> io::Result<Self>;
}

/// `TcpStream`.
pub(super) trait Stream: Watched + Lingers + Read + Write {
    fn peek(&self, out: &mut [u8]) -> io::Result<usize>;
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
    fn peer_addr(&self) -> io::Result<SocketAddr>;
    fn local_addr(&self) -> io::Result<SocketAddr>;
    fn set_nonblocking(&self, on: bool) -> io::Result<()>;
    fn set_nodelay(&self, on: bool) -> io::Result<()>;
    fn nodelay(&self) -> io::Result<bool>;
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
    fn read_timeout(&self) -> io::Result<Option<Duration>>;
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
    fn write_timeout(&self) -> io::Result<Option<Duration>>;
    fn take_error(&self) -> io::Result<Option<io::Error>>;
    fn try_clone(&self) -> io::Result<Self>;
}

/// `UdpSocket`.
pub(super) trait Datagrams: Watched {
    fn send_to(&self, payload: &[u8], remote: SocketAddr) -> io::Result<usize>;
    fn recv_from(&self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    fn peek_from(&self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    fn connect(&self, peer: SocketAddr) -> io::Result<()>;
    fn send(&self, payload: &[u8]) -> io::Result<usize>;
    fn recv(&self, out: &mut [u8]) -> io::Result<usize>;
    fn peek(&self, out: &mut [u8]) -> io::Result<usize>;
    fn peer_addr(&self) -> io::Result<SocketAddr>;
    fn local_addr(&self) -> io::Result<SocketAddr>;
    fn set_nonblocking(&self, on: bool) -> io::Result<()>;
    fn set_broadcast(&self, on: bool) -> io::Result<()>;
    fn broadcast(&self) -> io::Result<bool>;
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
    fn read_timeout(&self) -> io::Result<Option<Duration>>;
    fn take_error(&self) -> io::Result<Option<io::Error>>;
    fn try_clone(&self) -> io::Result<Self>;
}

/// Waiting until something has come from the peer, without taking it.
pub(super) trait Watched: Sized + Send + Sync + 'static {
    /// Waits until there is something to read or accept, or nothing will ever be.
    fn wait_readable(&self);
    /// Waits until there is room to write, or an attempt to connect has ended.
    fn wait_writable(&self);
    /// Waits until the connection has ended in both directions, or the socket has an error to tell.
    fn wait_ended(&self);
}

/// What the standard library has not stabilised of `TcpStream`.
pub(super) trait Lingers {
    fn set_linger(&self, linger: Option<Duration>) -> io::Result<()>;
    fn linger(&self) -> io::Result<Option<Duration>>;
}

/// What has the same names and types on both sides.
macro_rules! same {
    ($net:ident) => {
        impl Listener for $net::TcpListener {
            type Stream = $net::TcpStream;
            fn accept(&self) -> io::Result<(Self::Stream, SocketAddr)> {
                $net::TcpListener::accept(self)
            }
            fn local_addr(&self) -> io::Result<SocketAddr> {
                $net::TcpListener::local_addr(self)
            }
            fn set_nonblocking(&self, on: bool) -> io::Result<()> {
                $net::TcpListener::set_nonblocking(self, on)
            }
            fn take_error(&self) -> io::Result<Option<io::Error>> {
                $net::TcpListener::take_error(self)
            }
            fn try_clone(&self) -> io::Result<Self> {
                $net::TcpListener::try_clone(self)
            }
        }

        impl Stream for $net::TcpStream {
            fn peek(&self, out: &mut [u8]) -> io::Result<usize> {
                $net::TcpStream::peek(self, out)
            }
            fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                $net::TcpStream::shutdown(self, how)
            }
            fn peer_addr(&self) -> io::Result<SocketAddr> {
                $net::TcpStream::peer_addr(self)
            }
            fn local_addr(&self) -> io::Result<SocketAddr> {
                $net::TcpStream::local_addr(self)
            }
            fn set_nonblocking(&self, on: bool) -> io::Result<()> {
                $net::TcpStream::set_nonblocking(self, on)
            }
            fn set_nodelay(&self, on: bool) -> io::Result<()> {
                $net::TcpStream::set_nodelay(self, on)
            }
            fn nodelay(&self) -> io::Result<bool> {
                $net::TcpStream::nodelay(self)
            }
            fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                $net::TcpStream::set_read_timeout(self, timeout)
            }
            fn read_timeout(&self) -> io::Result<Option<Duration>> {
                $net::TcpStream::read_timeout(self)
            }
            fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                $net::TcpStream::set_write_timeout(self, timeout)
            }
            fn write_timeout(&self) -> io::Result<Option<Duration>> {
                $net::TcpStream::write_timeout(self)
            }
            fn take_error(&self) -> io::Result<Option<io::Error>> {
                $net::TcpStream::take_error(self)
            }
            fn try_clone(&self) -> io::Result<Self> {
                $net::TcpStream::try_clone(self)
            }
        }

        impl Datagrams for $net::UdpSocket {
            fn send_to(&self, payload: &[u8], remote: SocketAddr) -> io::Result<usize> {
                $net::UdpSocket::send_to(self, payload, remote)
            }
            fn recv_from(&self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
                $net::UdpSocket::recv_from(self, out)
            }
            fn peek_from(&self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
                $net::UdpSocket::peek_from(self, out)
            }
            fn connect(&self, peer: SocketAddr) -> io::Result<()> {
                $net::UdpSocket::connect(self, peer)
            }
            fn send(&self, payload: &[u8]) -> io::Result<usize> {
                $net::UdpSocket::send(self, payload)
            }
            fn recv(&self, out: &mut [u8]) -> io::Result<usize> {
                $net::UdpSocket::recv(self, out)
            }
            fn peek(&self, out: &mut [u8]) -> io::Result<usize> {
                $net::UdpSocket::peek(self, out)
            }
            fn peer_addr(&self) -> io::Result<SocketAddr> {
                $net::UdpSocket::peer_addr(self)
            }
            fn local_addr(&self) -> io::Result<SocketAddr> {
                $net::UdpSocket::local_addr(self)
            }
            fn set_nonblocking(&self, on: bool) -> io::Result<()> {
                $net::UdpSocket::set_nonblocking(self, on)
            }
            fn set_broadcast(&self, on: bool) -> io::Result<()> {
                $net::UdpSocket::set_broadcast(self, on)
            }
            fn broadcast(&self) -> io::Result<bool> {
                $net::UdpSocket::broadcast(self)
            }
            fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                $net::UdpSocket::set_read_timeout(self, timeout)
            }
            fn read_timeout(&self) -> io::Result<Option<Duration>> {
                $net::UdpSocket::read_timeout(self)
            }
            fn take_error(&self) -> io::Result<Option<io::Error>> {
                $net::UdpSocket::take_error(self)
            }
            fn try_clone(&self) -> io::Result<Self> {
                $net::UdpSocket::try_clone(self)
            }
        }
    };
}

same!(net);
same!(netlane_posix);

/// The kernel of the machine that runs the tests, over its loopback interface.
pub(super) struct Kernel;

impl Host for Kernel {
    type Listener = net::TcpListener;
    type Stream = net::TcpStream;
    type Datagrams = net::UdpSocket;

    fn address(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    }

    fn listen(&self, local: SocketAddr) -> io::Result<net::TcpListener> {
        net::TcpListener::bind(local)
    }

    fn connect(&self, remotes: &[SocketAddr]) -> io::Result<net::TcpStream> {
        net::TcpStream::connect(remotes)
    }

    fn connect_timeout(&self, remote: SocketAddr, timeout: Duration) -> io::Result<net::TcpStream> {
        net::TcpStream::connect_timeout(&remote, timeout)
    }

    fn connect_nonblocking(&self, remote: SocketAddr) -> io::Result<net::TcpStream> {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&remote.into()) {
            Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
            _ => Ok(socket.into()),
        }
    }

    fn datagrams(&self, local: SocketAddr) -> io::Result<net::UdpSocket> {
        net::UdpSocket::bind(local)
    }
}

impl Lingers for net::TcpStream {
    fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(self).set_linger(linger)
    }

    fn linger(&self) -> io::Result<Option<Duration>> {
        SockRef::from(self).linger()
    }
}

/// A netlane host.
pub(super) struct Lanes {
    net: Netlane,
    address: IpAddr,
}

impl Host for Lanes {
    type Listener = netlane_posix::TcpListener;
    type Stream = netlane_posix::TcpStream;
    type Datagrams = netlane_posix::UdpSocket;

    fn address(&self) -> IpAddr {
        self.address
    }

    fn listen(&self, local: SocketAddr) -> io::Result<netlane_posix::TcpListener> {
        netlane_posix::TcpListener::bind(&self.net, local)
    }

    fn connect(&self, remotes: &[SocketAddr]) -> io::Result<netlane_posix::TcpStream> {
        netlane_posix::TcpStream::connect(&self.net, remotes)
    }

    fn connect_timeout(&self, remote: SocketAddr, timeout: Duration) -> io::Result<netlane_posix::TcpStream> {
        netlane_posix::TcpStream::connect_timeout(&self.net, &remote, timeout)
    }

    fn connect_nonblocking(&self, remote: SocketAddr) -> io::Result<netlane_posix::TcpStream> {
        netlane_posix::TcpStream::connect_nonblocking(&self.net, &remote)
    }

    fn datagrams(&self, local: SocketAddr) -> io::Result<netlane_posix::UdpSocket> {
        netlane_posix::UdpSocket::bind(&self.net, local)
    }
}

impl Lingers for netlane_posix::TcpStream {
    fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        Self::set_linger(self, linger)
    }

    fn linger(&self) -> io::Result<Option<Duration>> {
        Self::linger(self)
    }
}

macro_rules! watched {
    ($($socket:ty)+, $wait:ident, $readable:expr, $writable:expr, $neither:expr) => {
        $(impl Watched for $socket {
            fn wait_readable(&self) {
                $wait(self, $readable);
            }

            fn wait_writable(&self) {
                $wait(self, $writable);
            }

            fn wait_ended(&self) {
                // That is told without being asked for.
                $wait(self, $neither);
            }
        })+
    };
}

watched!(
    net::TcpListener net::TcpStream net::UdpSocket,
    wait_for, PollFlags::IN, PollFlags::OUT, PollFlags::empty()
);
watched!(
    netlane_posix::TcpListener netlane_posix::TcpStream netlane_posix::UdpSocket,
    wait_lane, Readiness::READABLE, Readiness::WRITABLE, Readiness::empty()
);

fn wait_for(socket: &impl AsFd, what: PollFlags) {
    // An interruption is as good as nothing.
    while !matches!(poll(&mut [PollFd::new(socket, what)], None), Ok(1..)) {}
}

fn wait_lane(socket: &impl AsSocket, what: Readiness) {
    socket.as_socket().wait(what, None).unwrap();
}
