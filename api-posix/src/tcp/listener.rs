//! Sockets that accept connections.

use std::io;
use std::iter::FusedIterator;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use netlane_runtime::BindOptions;

use crate::errno::ToErrno;
use crate::net::{Netlane, each_address};
use crate::shared::{Family, Shared};
use crate::tcp::stream::TcpStream;

/// A TCP socket that listens, as [`std::net::TcpListener`].
#[derive(Debug)]
pub struct TcpListener {
    shared: Arc<Shared>,
}

/// How to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// How many connections may wait to be accepted, with each lane.
    pub backlog: usize,
    /// With whom the port is shared, and for which families. As in Linux, listeners share theirs by
    /// [`reuse_port`](BindOptions::reuse_port) alone.
    pub bind: BindOptions,
}

impl Default for ListenOptions {
    /// As many as [`std::net`] lets wait.
    fn default() -> Self {
        Self { backlog: 128, bind: BindOptions::default() }
    }
}

impl TcpListener {
    /// Listens on the first of `addresses` that can be had. Port 0 stands for a free one, and the unspecified address
    /// for all that the stack has.
    ///
    /// # Errors
    /// `EADDRINUSE`, `EADDRNOTAVAIL` where the address is not the stack's, `EMFILE` or `ENOBUFS` where a limit of the
    /// configuration is reached.
    pub fn bind(net: &Netlane, addresses: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_with(net, addresses, ListenOptions::default())
    }

    /// As [`bind`](Self::bind), with options.
    ///
    /// # Errors
    /// Those of [`bind`](Self::bind).
    pub fn bind_with(
        net: &Netlane,
        addresses: impl ToSocketAddrs,
        options: ListenOptions,
    ) -> io::Result<Self> {
        each_address(addresses, |local| {
            let ListenOptions { backlog, bind } = options;
            let socket = net.client().tcp_listen_with(local, backlog, bind).map_err(ToErrno::into_io)?;
            Ok(Self { shared: Arc::new(Shared::new(net, socket, Family::of_bound(local, bind))) })
        })
    }

    /// Takes a connection, and tells who made it. Waits for one, unless the socket does not block.
    ///
    /// # Errors
    /// `EAGAIN` where none waits and the socket does not block, `ENETDOWN` where the host has ended.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let shared = &self.shared;
        let socket = shared.when_readable(|| shared.socket.try_accept().map_err(ToErrno::into_io))?;
        // A connection that was accepted has had a peer.
        let peer = socket.peer_addr().ok_or(io::ErrorKind::NotConnected)?;
        Ok((TcpStream::new(&shared.net, socket, shared.family()), shared.seen(peer)))
    }

    /// The connections that come, without an end.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The address and port that the socket listens on.
    ///
    /// # Errors
    /// None. It is fallible as in [`std::net`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.local_addr()
    }

    /// Lets [`accept`](Self::accept) wait, or not.
    ///
    /// # Errors
    /// None.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.shared.set_nonblocking(nonblocking);
        Ok(())
    }

    /// Takes what befell the socket (`SO_ERROR`).
    ///
    /// # Errors
    /// None.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.shared.take_error())
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    /// None.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { shared: Arc::clone(&self.shared) })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

/// The connections that come to a [`TcpListener`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
