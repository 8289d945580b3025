//! Fast Open (RFC 7413) as Linux offers it: `sendto(MSG_FASTOPEN)`, and `TCP_FASTOPEN_CONNECT`, with which `connect` waits
//! for the first data.

use std::ffi::c_int;
use std::net::SocketAddr;

use super::stream::Progress;
use super::{Kind, Patience};
use crate::errno::Errno;
use crate::session::Stop;
use crate::world::World;

impl World {
    /// Whether `connect` puts off its SYN: the socket asks for that, and a cookie of the peer is known. Without one the
    /// SYN asks for it at once.
    pub(crate) fn puts_off(&mut self, bound: Option<SocketAddr>, peer: SocketAddr) -> Result<bool, Errno> {
        let id = self.stack().tcp_connect_fast(bound, peer)?;
        let room = self.stack().tcp_fast_open_room(id).unwrap_or(0);
        // Nothing leaves before the next poll, so that nobody has heard of the attempt.
        let _ = self.stack().tcp_abort(id);
        Ok(room > 0)
    }

    /// sendto(2) with `MSG_FASTOPEN`, or the first data of a `connect` that was put off: connects, and sends with the SYN
    /// what may go there.
    pub(crate) fn send_fast(
        &mut self,
        fd: c_int,
        bytes: &[u8],
        to: Option<SocketAddr>,
        patience: Patience,
        progress: &mut Progress,
    ) -> Result<usize, Stop> {
        if self.sysctls().fast_open & CLIENT == 0 {
            return Err(Errno(libc::EOPNOTSUPP).into());
        }
        let (bound, peer) = match self.socket(fd)?.kind {
            Kind::Fresh(bound) => (bound, to.ok_or(Errno(libc::EOPNOTSUPP))?),
            Kind::PutOff { bound, peer } => (bound, peer),
            Kind::Connecting(_) if !progress.connects => return Err(Errno(libc::EALREADY).into()),
            _ => return self.send_rest(fd, bytes, patience, progress),
        };
        let options = self.socket(fd)?.options.clone();
        let id = self.stack().tcp_connect_fast(bound, peer).map_err(Errno::from)?;
        options.apply(self.stack(), id);
        self.own(id, fd);
        let socket = self.socket(fd)?;
        socket.kind = Kind::Connecting(id);
        socket.has_room = false;
        progress.connects = true;
        let room = self.stack().tcp_fast_open_room(id).unwrap_or(0).min(bytes.len());
        if room > 0 {
            progress.sent = self.stack().tcp_send(id, &bytes[..room]).unwrap_or(0);
        }
        match patience.stop(self, libc::EINPROGRESS) {
            Stop::Error(_) if progress.sent > 0 => Ok(progress.sent),
            stop => Err(stop),
        }
    }

    /// Goes on after the handshake with what the SYN had no room for.
    fn send_rest(
        &mut self,
        fd: c_int,
        bytes: &[u8],
        patience: Patience,
        progress: &mut Progress,
    ) -> Result<usize, Stop> {
        let socket = self.socket(fd)?;
        if let Kind::Connecting(id) = socket.kind {
            if socket.ended {
                return Err(socket.error.take().unwrap_or(Errno(libc::ECONNABORTED)).into());
            }
            if !socket.has_room {
                return Err(patience.stop(self, libc::EINPROGRESS));
            }
            socket.kind = Kind::Connected(id);
        }
        self.send_all(fd, bytes, patience, progress)
    }
}

/// Bits of Linux's `tcp_fastopen`: clients may, and listeners may; listeners don't insist on a cookie, and all of them
/// take part.
pub(crate) const CLIENT: u64 = 1;
pub(crate) const SERVER: u64 = 2;
pub(crate) const WITHOUT_COOKIE: u64 = 0x200;
pub(crate) const ALL_LISTENERS: u64 = 0x400;
