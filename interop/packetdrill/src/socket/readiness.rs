//! What a socket is ready for, as poll(2) tells it.

use std::ffi::{c_int, c_short};

use netlane_core::{RecvError, TcpState};

use super::{Kind, Owned};
use crate::world::World;

impl World {
    /// The events of poll(2) that hold for a descriptor now; `POLLNVAL` for none of ours.
    pub(crate) fn readiness(&mut self, fd: c_int) -> c_short {
        let Some(descriptor) = self.descriptors.get(&fd) else { return libc::POLLNVAL };
        match &descriptor.owned {
            Owned::Epoll(_) => 0,
            Owned::Socket(socket) => {
                let error = if socket.error.is_some() { libc::POLLERR } else { 0 };
                error
                    | match socket.kind {
                        Kind::Fresh(_) => libc::POLLOUT | libc::POLLHUP,
                        Kind::PutOff { .. } => libc::POLLOUT | libc::POLLWRNORM,
                        Kind::Listener(_) if socket.has_arrivals => libc::POLLIN | libc::POLLRDNORM,
                        Kind::Listener(_) => 0,
                        Kind::Datagrams { .. } if socket.has_arrivals => libc::POLLIN | libc::POLLOUT,
                        Kind::Datagrams { .. } => libc::POLLOUT,
                        Kind::Connecting(_) | Kind::Connected(_) => self.stream_readiness(fd),
                    }
            }
        }
    }

    /// As Linux's `tcp_poll` has it: an end of the stream counts as something to read, and a stream that can send
    /// nothing more as room.
    fn stream_readiness(&mut self, fd: c_int) -> c_short {
        let Ok(socket) = self.socket(fd) else { return 0 };
        let Some(id) = socket.id() else { return 0 };
        let (ended, has_room) = (socket.ended, socket.has_room);
        let no_more_in = socket.read_shut || socket.read_closed || ended;
        let no_more_out = socket.write_shut || ended;
        let mut ready = 0;
        if ended || (no_more_in && no_more_out) {
            ready |= libc::POLLHUP;
        }
        if no_more_in {
            ready |= libc::POLLIN | libc::POLLRDNORM | libc::POLLRDHUP;
        }
        let state = self.stack().tcp_state(id).unwrap_or(TcpState::Closed);
        if state == TcpState::SynSent {
            return ready;
        }
        if !matches!(self.stack().tcp_peek(id, &mut [0]), Err(RecvError::WouldBlock)) {
            ready |= libc::POLLIN | libc::POLLRDNORM;
        }
        if has_room || no_more_out {
            ready |= libc::POLLOUT | libc::POLLWRNORM;
        }
        ready
    }
}
