//! UDP sockets.

use std::ffi::c_int;
use std::net::SocketAddr;

use netlane_core::{RecvError, SendError, SocketId};

use super::lifecycle::anywhere;
use super::{Kind, Patience, take_error};
use crate::errno::Errno;
use crate::session::Stop;
use crate::world::World;

impl World {
    /// Takes datagrams from `peer` alone, or again from everybody.
    pub(crate) fn connect_datagrams(&mut self, fd: c_int, peer: Option<SocketAddr>) -> Result<(), Errno> {
        let id = self.datagram_socket(fd)?;
        self.stack().udp_connect(id, peer).map_err(|_| Errno(libc::EINVAL))?;
        if let Kind::Datagrams { peer: connected, .. } = &mut self.socket(fd)?.kind {
            *connected = peer;
        }
        Ok(())
    }

    pub(crate) fn send_datagram(
        &mut self,
        fd: c_int,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        take_error(self.socket(fd)?)?;
        let Kind::Datagrams { peer, .. } = self.socket(fd)?.kind else { return Err(Errno(libc::EINVAL)) };
        let to = to.or(peer).ok_or(Errno(libc::EDESTADDRREQ))?;
        let id = self.datagram_socket(fd)?;
        match self.stack().udp_send_to(id, to, bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(SendError::TooLarge) => Err(Errno(libc::EMSGSIZE)),
            Err(SendError::Failed(error)) => Err(error.into()),
            Err(SendError::WouldBlock) => Err(Errno(libc::EAGAIN)),
            Err(SendError::Stale | SendError::Closed) => Err(Errno(libc::EPIPE)),
        }
    }

    pub(crate) fn receive_datagram(
        &mut self,
        fd: c_int,
        room: usize,
        patience: Patience,
    ) -> Result<(Vec<u8>, Option<SocketAddr>), Stop> {
        take_error(self.socket(fd)?)?;
        let id = self.datagram_socket(fd)?;
        let mut bytes = vec![0; room.min(1 << 16)];
        match self.stack().udp_recv_from(id, &mut bytes) {
            Ok((read, header)) => {
                bytes.truncate(read);
                Ok((bytes, Some(header.remote)))
            }
            Err(RecvError::Failed(error)) => Err(Errno::from(error).into()),
            Err(RecvError::WouldBlock | RecvError::Stale) => Err(patience.stop(self, libc::EAGAIN)),
        }
    }

    /// The core's socket, bound now where it has not been.
    fn datagram_socket(&mut self, fd: c_int) -> Result<SocketId, Errno> {
        let socket = self.socket(fd)?;
        let domain = socket.domain;
        let Kind::Datagrams { id, bound, .. } = socket.kind else { return Err(Errno(libc::EINVAL)) };
        if let Some(id) = id {
            return Ok(id);
        }
        let id = self.stack().udp_bind(bound.unwrap_or_else(|| anywhere(domain)))?;
        if let Kind::Datagrams { id: opened, .. } = &mut self.socket(fd)?.kind {
            *opened = Some(id);
        }
        self.own(id, fd);
        Ok(id)
    }
}
