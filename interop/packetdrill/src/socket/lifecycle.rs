//! From `socket` to `close`.

use std::ffi::c_int;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use netlane_core::{SocketId, TcpState};

use super::fast_open::SERVER;
use super::options::Options;
use super::{Descriptor, Kind, Owned, Patience, Socket};
use crate::errno::Errno;
use crate::session::Stop;
use crate::world::World;

impl World {
    /// socket(2)
    pub(crate) fn open(&mut self, domain: c_int, kind: c_int, protocol: c_int) -> Result<c_int, Errno> {
        if domain != libc::AF_INET && domain != libc::AF_INET6 {
            return Err(Errno(libc::EAFNOSUPPORT));
        }
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let new = match (kind & !flags, protocol) {
            (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Kind::Fresh(None),
            (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => {
                Kind::Datagrams { id: None, bound: None, peer: None }
            }
            _ => return Err(Errno(libc::EPROTONOSUPPORT)),
        };
        // The settings have been made by now.
        self.stack();
        let socket = Socket::new(domain, new, Options::new(&self.sysctls().stack));
        self.install(Owned::Socket(Box::new(socket)), kind & libc::SOCK_NONBLOCK != 0)
    }

    /// Gives out a number for what is new.
    pub(crate) fn install(&mut self, owned: Owned, nonblocking: bool) -> Result<c_int, Errno> {
        // SAFETY: the call has no conditions.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(Errno::last());
        }
        // SAFETY: the descriptor has just been opened, and nobody else knows it.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        let fd = file.as_raw_fd();
        self.descriptors.insert(fd, Descriptor { file, nonblocking, owned });
        Ok(fd)
    }

    /// bind(2)
    pub(crate) fn bind(&mut self, fd: c_int, address: Option<SocketAddr>) -> Result<(), Errno> {
        let address = address.ok_or(Errno(libc::EAFNOSUPPORT))?;
        if !address.ip().is_unspecified() && !self.settings().owns(address.ip()) {
            return Err(Errno(libc::EADDRNOTAVAIL));
        }
        match &mut self.socket(fd)?.kind {
            Kind::Fresh(bound @ None) | Kind::Datagrams { bound: bound @ None, id: None, .. } => {
                *bound = Some(address);
                Ok(())
            }
            _ => Err(Errno(libc::EINVAL)),
        }
    }

    /// listen(2)
    pub(crate) fn listen(&mut self, fd: c_int, backlog: c_int) -> Result<(), Errno> {
        let socket = self.socket(fd)?;
        let bound = match socket.kind {
            Kind::Fresh(bound) => bound,
            Kind::Listener(_) => return Ok(()),
            Kind::Datagrams { .. } => return Err(Errno(libc::EOPNOTSUPP)),
            Kind::PutOff { .. } | Kind::Connecting(_) | Kind::Connected(_) => {
                return Err(Errno(libc::EINVAL));
            }
        };
        let options = socket.options.clone();
        let bound = bound.unwrap_or_else(|| anywhere(socket.domain));
        let backlog = usize::try_from(backlog).unwrap_or(0);
        let id = self.stack().tcp_listen(bound, backlog)?;
        let server = self.sysctls().fast_open & SERVER != 0;
        options.apply_to_listener(self.stack(), id, server);
        self.socket(fd)?.kind = Kind::Listener(id);
        self.own(id, fd);
        Ok(())
    }

    /// accept(2): the new socket's number, and its peer.
    pub(crate) fn accept(&mut self, fd: c_int) -> Result<(c_int, SocketAddr), Stop> {
        let patience = self.read_patience(fd);
        let socket = self.socket(fd)?;
        let Kind::Listener(listener) = socket.kind else {
            let stream = !matches!(socket.kind, Kind::Datagrams { .. });
            return Err(Errno(if stream { libc::EINVAL } else { libc::EOPNOTSUPP }).into());
        };
        let (domain, options) = (socket.domain, socket.options.clone());
        let Some(id) = self.stack().tcp_accept(listener).map_err(|_| Errno(libc::EINVAL))? else {
            self.socket(fd)?.has_arrivals = false;
            return Err(patience.stop(self, libc::EAGAIN));
        };
        let peer = self.stack().peer_addr(id).ok().flatten().ok_or(Errno(libc::ECONNABORTED))?;
        options.apply(self.stack(), id);
        let mut socket = Socket::new(domain, Kind::Connected(id), options);
        socket.has_room = true;
        let accepted = self.install(Owned::Socket(Box::new(socket)), false)?;
        self.own(id, accepted);
        self.catch_up(accepted, id)?;
        Ok((accepted, peer))
    }

    /// Notes what happened to a connection before it was accepted.
    fn catch_up(&mut self, fd: c_int, id: SocketId) -> Result<(), Errno> {
        let error = self.stack().take_error(id).ok().flatten();
        let state = self.stack().tcp_state(id).unwrap_or(TcpState::Closed);
        let socket = self.socket(fd)?;
        socket.ended = state == TcpState::Closed;
        socket.read_closed = socket.ended || state == TcpState::CloseWait;
        socket.error = error.map(Errno::from);
        Ok(())
    }

    /// connect(2). The first call begins, later ones ask how far it has come.
    pub(crate) fn connect(
        &mut self,
        fd: c_int,
        peer: Option<SocketAddr>,
        begun: &mut bool,
    ) -> Result<(), Stop> {
        let patience = self.write_patience(fd);
        let socket = self.socket(fd)?;
        match socket.kind {
            Kind::Fresh(bound) => {
                let Some(peer) = peer else { return Ok(()) };
                let fast = socket.options.fast_connect;
                if fast && self.puts_off(bound, peer)? {
                    self.socket(fd)?.kind = Kind::PutOff { bound, peer };
                    return Ok(());
                }
                self.begin_to_connect(fd, bound, peer, fast)?;
                *begun = true;
                Err(patience.stop(self, libc::EINPROGRESS))
            }
            Kind::Connecting(_) | Kind::PutOff { .. } if peer.is_none() => {
                self.disconnect(fd)?;
                Ok(())
            }
            Kind::Connecting(id) => {
                if socket.ended {
                    socket.kind = Kind::Fresh(None);
                    let refused = socket.error.take().unwrap_or(Errno(libc::ECONNABORTED));
                    (socket.ended, socket.read_closed) = (false, false);
                    self.forget(id);
                    return Err(refused.into());
                }
                if socket.has_room {
                    socket.kind = Kind::Connected(id);
                    return Ok(());
                }
                let in_vain = if *begun { libc::EINPROGRESS } else { libc::EALREADY };
                Err(patience.stop(self, in_vain))
            }
            Kind::Connected(_) if peer.is_none() => {
                self.disconnect(fd)?;
                Ok(())
            }
            Kind::Connected(_) => Err(Errno(libc::EISCONN).into()),
            Kind::PutOff { .. } | Kind::Listener(_) => Err(Errno(libc::EISCONN).into()),
            Kind::Datagrams { .. } => Ok(self.connect_datagrams(fd, peer)?),
        }
    }

    fn begin_to_connect(
        &mut self,
        fd: c_int,
        bound: Option<SocketAddr>,
        peer: SocketAddr,
        fast: bool,
    ) -> Result<(), Errno> {
        let options = self.socket(fd)?.options.clone();
        let id = if fast {
            self.stack().tcp_connect_fast(bound, peer)?
        } else {
            self.stack().tcp_connect(bound, peer)?
        };
        options.apply(self.stack(), id);
        let socket = self.socket(fd)?;
        socket.kind = Kind::Connecting(id);
        socket.has_room = false;
        self.own(id, fd);
        Ok(())
    }

    /// Takes an association back: the connection ends at once, and the socket is as new.
    fn disconnect(&mut self, fd: c_int) -> Result<(), Errno> {
        let socket = self.socket(fd)?;
        let id = socket.id();
        let (domain, options) = (socket.domain, socket.options.clone());
        *socket = Socket::new(domain, Kind::Fresh(None), options);
        if let Some(id) = id {
            // One that has ended meanwhile needs no end.
            let _ = self.stack().tcp_abort(id);
            self.disown(id);
        }
        Ok(())
    }

    /// shutdown(2)
    pub(crate) fn shut_down(&mut self, fd: c_int, how: c_int) -> Result<(), Errno> {
        let (read, write) = match how {
            libc::SHUT_RD => (true, false),
            libc::SHUT_WR => (false, true),
            libc::SHUT_RDWR => (true, true),
            _ => return Err(Errno(libc::EINVAL)),
        };
        let socket = self.socket(fd)?;
        let id = match socket.kind {
            Kind::Connecting(id) | Kind::Connected(id) if !socket.ended => id,
            Kind::Listener(_) if read => return self.disconnect(fd),
            Kind::Listener(_) => return Ok(()),
            _ => return Err(Errno(libc::ENOTCONN)),
        };
        socket.news += 1;
        socket.read_shut |= read;
        socket.write_shut |= write;
        if write {
            self.stack().tcp_shutdown(id).map_err(|_| Errno(libc::ENOTCONN))?;
        }
        Ok(())
    }

    /// close(2)
    pub(crate) fn close(&mut self, fd: c_int) -> Result<(), Errno> {
        let descriptor = self.descriptors.remove(&fd).ok_or(Errno(libc::EBADF))?;
        let Owned::Socket(socket) = descriptor.owned else { return Ok(()) };
        let Some(id) = socket.id() else { return Ok(()) };
        self.disown(id);
        let at_once = socket.options.linger.is_some_and(|linger| linger == 0);
        // Whatever has ended meanwhile is closed.
        let _ = match socket.kind {
            Kind::Datagrams { .. } => self.stack().datagram_close(id),
            Kind::Connected(_) if at_once => self.stack().tcp_abort(id),
            _ => self.stack().tcp_close(id),
        };
        Ok(())
    }

    /// The core's socket has ended, and nobody asks for it any more.
    fn forget(&mut self, id: SocketId) {
        self.disown(id);
        // It may have gone already.
        let _ = self.stack().tcp_close(id);
    }

    /// Whether a call on this socket that reads may wait.
    pub(crate) fn read_patience(&mut self, fd: c_int) -> Patience {
        self.patience(fd, |options| options.receive_timeout)
    }

    /// Whether a call on this socket that writes, or connects, may wait.
    pub(crate) fn write_patience(&mut self, fd: c_int) -> Patience {
        self.patience(fd, |options| options.send_timeout)
    }

    fn patience(
        &mut self,
        fd: c_int,
        timeout: impl Fn(&Options) -> Option<netlane_core::Duration>,
    ) -> Patience {
        if self.is_nonblocking(fd) {
            return Patience::None;
        }
        let timeout = self.socket(fd).ok().and_then(|socket| timeout(&socket.options));
        timeout.map_or(Patience::Endless, |timeout| Patience::Until(self.call_began + timeout))
    }
}

/// All addresses, any port.
pub(crate) fn anywhere(domain: c_int) -> SocketAddr {
    let ip: IpAddr =
        if domain == libc::AF_INET6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, 0)
}
