//! Bytes in and out of streams and datagram sockets.

use std::ffi::c_int;
use std::net::SocketAddr;

use netlane_core::{RecvError, SendError};

use super::options::TCP_INQ;
use super::{Kind, Patience, Socket, take_error};
use crate::errno::Errno;
use crate::session::Stop;
use crate::world::World;

/// Flags of a call that sends, as far as they are known. An unknown one is refused, so that no script passes without
/// what it asks for.
const SEND_FLAGS: c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | libc::MSG_FASTOPEN;
/// Flags of a call that receives.
const RECEIVE_FLAGS: c_int =
    libc::MSG_DONTWAIT | libc::MSG_PEEK | libc::MSG_TRUNC | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

/// How far a call that sends has come, while it waits for room.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) sent: usize,
    /// It began the connection.
    pub(crate) connects: bool,
}

impl World {
    /// send(2): queues all of `bytes` where the call may wait, and else what there is room for.
    pub(crate) fn send(
        &mut self,
        fd: c_int,
        bytes: &[u8],
        flags: c_int,
        to: Option<SocketAddr>,
        progress: &mut Progress,
    ) -> Result<usize, Stop> {
        if flags & !SEND_FLAGS != 0 {
            return Err(Errno(libc::EOPNOTSUPP).into());
        }
        let patience = self.write_patience(fd).unless(flags & libc::MSG_DONTWAIT != 0);
        if let Kind::Datagrams { .. } = self.socket(fd)?.kind {
            return Ok(self.send_datagram(fd, bytes, to)?);
        }
        let socket = self.socket(fd)?;
        if let Kind::Connecting(id) = socket.kind
            && socket.has_room
            && !progress.connects
        {
            socket.kind = Kind::Connected(id);
        }
        let unconnected = !matches!(self.socket(fd)?.kind, Kind::Connected(_));
        if matches!(self.socket(fd)?.kind, Kind::PutOff { .. })
            || progress.connects
            || (flags & libc::MSG_FASTOPEN != 0 && unconnected)
        {
            return self.send_fast(fd, bytes, to, patience, progress);
        }
        self.send_all(fd, bytes, patience, progress)
    }

    /// Queues all of `bytes` where the call may wait, and else what there is room for.
    pub(crate) fn send_all(
        &mut self,
        fd: c_int,
        bytes: &[u8],
        patience: Patience,
        progress: &mut Progress,
    ) -> Result<usize, Stop> {
        let outcome = self.queue(fd, &bytes[progress.sent..], patience);
        match outcome {
            Ok(more) => {
                progress.sent += more;
                if progress.sent < bytes.len() {
                    return match patience.stop(self, libc::EAGAIN) {
                        Stop::Error(_) => Ok(progress.sent),
                        wait @ Stop::Wait(_) => Err(wait),
                    };
                }
                Ok(progress.sent)
            }
            // What was queued before the error is told, and the error next time.
            Err(Stop::Error(errno)) if progress.sent > 0 => {
                if errno != Errno(libc::EAGAIN) {
                    self.socket(fd)?.error = Some(errno);
                }
                Ok(progress.sent)
            }
            Err(stop) => Err(stop),
        }
    }

    /// Queues as much as there is room for, at least a byte.
    fn queue(&mut self, fd: c_int, bytes: &[u8], patience: Patience) -> Result<usize, Stop> {
        let socket = self.socket(fd)?;
        take_error(socket)?;
        let id = match socket.kind {
            _ if socket.write_shut || socket.ended => return Err(Errno(libc::EPIPE).into()),
            Kind::Connecting(id) if socket.has_room => {
                socket.kind = Kind::Connected(id);
                id
            }
            Kind::Connected(id) => id,
            Kind::Connecting(_) => return Err(patience.stop(self, libc::EAGAIN)),
            Kind::Fresh(_) | Kind::PutOff { .. } | Kind::Listener(_) | Kind::Datagrams { .. } => {
                return Err(Errno(libc::EPIPE).into());
            }
        };
        let queued = match self.stack().tcp_send(id, bytes) {
            Ok(queued) => queued,
            Err(SendError::WouldBlock) => 0,
            Err(SendError::Failed(error)) => return Err(Errno::from(error).into()),
            Err(SendError::Stale | SendError::Closed | SendError::TooLarge) => {
                return Err(Errno(libc::EPIPE).into());
            }
        };
        self.socket(fd)?.has_room = queued == bytes.len();
        if queued == 0 && !bytes.is_empty() { Err(patience.stop(self, libc::EAGAIN)) } else { Ok(queued) }
    }

    /// recv(2): up to `room` bytes, and for datagrams who sent them.
    pub(crate) fn receive(
        &mut self,
        fd: c_int,
        room: usize,
        flags: c_int,
    ) -> Result<(Vec<u8>, Option<SocketAddr>), Stop> {
        if flags & !RECEIVE_FLAGS != 0 {
            return Err(Errno(libc::EOPNOTSUPP).into());
        }
        let patience = self.read_patience(fd).unless(flags & libc::MSG_DONTWAIT != 0);
        let socket = self.socket(fd)?;
        let id = match socket.kind {
            Kind::Datagrams { .. } => return self.receive_datagram(fd, room, patience),
            Kind::Connected(id) => id,
            Kind::Connecting(id) if socket.has_room || socket.ended => {
                socket.kind = Kind::Connected(id);
                id
            }
            Kind::Connecting(_) | Kind::PutOff { .. } => return Err(patience.stop(self, libc::EAGAIN)),
            Kind::Fresh(_) | Kind::Listener(_) => return Err(Errno(libc::ENOTCONN).into()),
        };
        let mut bytes = vec![0; room.min(1 << 24)];
        let read = if flags & libc::MSG_PEEK != 0 {
            self.stack().tcp_peek(id, &mut bytes)
        } else {
            self.stack().tcp_recv(id, &mut bytes)
        };
        match read {
            Ok(0) | Err(RecvError::Stale) => {
                take_error(self.socket(fd)?)?;
                Ok((Vec::new(), None))
            }
            Ok(read) => {
                bytes.truncate(read);
                Ok((bytes, None))
            }
            Err(RecvError::Failed(error)) => {
                let socket = self.socket(fd)?;
                Err(socket.error.take().unwrap_or(Errno::from(error)).into())
            }
            Err(RecvError::WouldBlock) => {
                let socket = self.socket(fd)?;
                take_error(socket)?;
                if socket.is_at_end() {
                    Ok((Vec::new(), None))
                } else {
                    Err(patience.stop(self, libc::EAGAIN))
                }
            }
        }
    }
}

impl World {
    /// What `recvmsg` tells beside the bytes: how many are left, where the user has asked for that. The end of the
    /// stream counts as one more.
    pub(crate) fn control_messages(&mut self, fd: c_int) -> Result<Vec<u8>, Errno> {
        let socket = self.socket(fd)?;
        if !socket.options.tells_unread {
            return Ok(Vec::new());
        }
        let end = c_int::from(socket.read_closed);
        let unread = self.unread(fd)? + end;
        // cmsg(3): the header, and its data up to a whole word.
        let header = [size_of::<libc::cmsghdr>() + size_of::<c_int>()].map(usize::to_ne_bytes).concat();
        let kind = [libc::SOL_TCP, TCP_INQ, unread, 0].map(c_int::to_ne_bytes).concat();
        Ok([header, kind].concat())
    }

    /// Bytes that wait to be read: tcp(7), `SIOCINQ`.
    pub(crate) fn unread(&mut self, fd: c_int) -> Result<c_int, Errno> {
        let id = match self.socket(fd)?.kind {
            Kind::Connected(id) | Kind::Connecting(id) => id,
            Kind::Fresh(_) | Kind::PutOff { .. } | Kind::Datagrams { .. } => return Ok(0),
            Kind::Listener(_) => return Err(Errno(libc::EINVAL)),
        };
        let mut bytes = vec![0; self.sysctls().stack.tcp.receive_buffer];
        Ok(self.stack().tcp_peek(id, &mut bytes).unwrap_or(0) as c_int)
    }
}

impl Socket {
    /// Nothing more will come, or nobody wants it.
    fn is_at_end(&self) -> bool {
        self.read_shut || self.ended
    }
}

impl Patience {
    /// None where the call says so itself.
    fn unless(self, impatient: bool) -> Self {
        if impatient { Self::None } else { self }
    }
}
