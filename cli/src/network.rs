//! The networks that programs use here: the kernel's, and netlane's.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use netlane_posix::Netlane;

use crate::lab::namespace::NetworkNamespace;

/// What both have in common, as far as it is needed here.
pub(crate) trait Network: Clone + Send + Sync + 'static {
    /// A TCP connection.
    type Stream: Stream;
    /// A TCP socket that listens.
    type Listener: Send + Sync + 'static;

    /// Listens for connections to `address`.
    fn listen(&self, address: SocketAddr) -> io::Result<Self::Listener>;

    /// The address that a listener has.
    fn local_address(listener: &Self::Listener) -> io::Result<SocketAddr>;

    /// Waits for a connection.
    fn accept(listener: &Self::Listener) -> io::Result<Self::Stream>;

    /// Connects to `address`, which may take as long as [`PATIENCE`].
    fn connect(&self, address: SocketAddr) -> io::Result<Self::Stream>;
}

/// A TCP connection.
pub(crate) trait Stream: Read + Write + Send + 'static {
    /// Has calls that wait longer than [`PATIENCE`] fail.
    fn limit_waiting(&self) -> io::Result<()>;

    /// Sends small segments at once.
    fn send_at_once(&self) -> io::Result<()>;

    /// Sends no more: the peer reads the end of the stream behind what was written.
    fn finish(&self) -> io::Result<()>;
}

/// How long a peer may be silent before it is given up. Here everything is on one machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The kernel's network, as this process has it or in another namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) namespace: Option<Arc<NetworkNamespace>>,
}

impl Kernel {
    fn run<T: Send>(&self, open: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        match &self.namespace {
            Some(namespace) => namespace.run(open),
            None => open(),
        }
    }
}

impl Network for Kernel {
    type Stream = TcpStream;
    type Listener = TcpListener;

    fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        self.run(|| TcpListener::bind(address))
    }

    fn local_address(listener: &TcpListener) -> io::Result<SocketAddr> {
        listener.local_addr()
    }

    fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        Ok(listener.accept()?.0)
    }

    fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.run(|| TcpStream::connect_timeout(&address, PATIENCE))
    }
}

impl Stream for TcpStream {
    fn limit_waiting(&self) -> io::Result<()> {
        self.set_read_timeout(Some(PATIENCE))?;
        self.set_write_timeout(Some(PATIENCE))
    }

    fn send_at_once(&self) -> io::Result<()> {
        self.set_nodelay(true)
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Network for Netlane {
    type Stream = netlane_posix::TcpStream;
    type Listener = netlane_posix::TcpListener;

    fn listen(&self, address: SocketAddr) -> io::Result<Self::Listener> {
        netlane_posix::TcpListener::bind(self, address)
    }

    fn local_address(listener: &Self::Listener) -> io::Result<SocketAddr> {
        listener.local_addr()
    }

    fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
        Ok(listener.accept()?.0)
    }

    fn connect(&self, address: SocketAddr) -> io::Result<Self::Stream> {
        netlane_posix::TcpStream::connect_timeout(self, &address, PATIENCE)
    }
}

impl Stream for netlane_posix::TcpStream {
    fn limit_waiting(&self) -> io::Result<()> {
        self.set_read_timeout(Some(PATIENCE))?;
        self.set_write_timeout(Some(PATIENCE))
    }

    fn send_at_once(&self) -> io::Result<()> {
        self.set_nodelay(true)
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}
