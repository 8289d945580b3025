//! Sending and receiving for users on the stack's own thread, whose bytes lie in [`HeapBuffers`].

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlane_packet_io::PacketIo;

use super::socket_table::Kind;
use super::{Stack, Stale};
use crate::buffers::{Buffers, HeapBuffers};
use crate::datagram::{DatagramHeader, MOST_SEGMENTS};
use crate::socket::{SocketError, SocketId};
use crate::tcp::connection::State;
use crate::tcp::send::Fin;

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The handle names no such socket.
    Stale,
    /// The socket was shut down for sending, or its connection has ended.
    Closed,
    /// The connection has failed.
    Failed(SocketError),
    /// A datagram is larger than any can be.
    TooLarge,
    /// No room for a datagram: a `WRITABLE` event follows when there is.
    WouldBlock,
}

/// Why nothing was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// The handle names no such socket.
    Stale,
    /// Nothing waits to be read: a `READABLE` event follows when something does.
    WouldBlock,
    /// The connection has failed, and nothing that came before is left.
    Failed(SocketError),
}

impl core::fmt::Display for SendError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Stale => Stale.fmt(f),
            Self::Closed => f.write_str("the socket was shut down for sending"),
            Self::Failed(error) => error.fmt(f),
            Self::TooLarge => f.write_str("the datagram is too large"),
            Self::WouldBlock => f.write_str("no room now"),
        }
    }
}

impl core::fmt::Display for RecvError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Stale => Stale.fmt(f),
            Self::WouldBlock => f.write_str("nothing to read now"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SendError {}
impl core::error::Error for RecvError {}

/// The most payload bytes of a UDP datagram over IPv4.
const LARGEST_DATAGRAM: usize = 65_507;

impl<I: PacketIo> Stack<I, HeapBuffers> {
    /// Queues as many of `bytes` as fit, and returns how many those were. Fewer than all: a
    /// [`WRITABLE`](crate::Readiness::WRITABLE) event follows when there is room again. Bytes may be queued
    /// before the connection is established.
    ///
    /// # Errors
    /// [`SendError`].
    #[inline]
    pub fn tcp_send(&mut self, socket: SocketId, bytes: &[u8]) -> Result<usize, SendError> {
        let slot = self.sockets.table.get_mut(socket).ok_or(SendError::Stale)?;
        let Kind::Connection(connection) = &mut slot.kind else { return Err(SendError::Stale) };
        if connection.detached {
            return Err(SendError::Stale);
        }
        let (buffer, window) = match &mut connection.state {
            State::Synchronized(state) if state.snd.fin == Fin::Open => {
                let window = state.congestion_window();
                (&mut state.send, window)
            }
            State::SynSent(state) if !state.shut_down => (&mut state.buffers.0, 0),
            State::SynReceived(state) if !state.shut_down => (&mut state.buffers.0, 0),
            State::Closed(_) => {
                return Err(connection.error.map_or(SendError::Closed, SendError::Failed));
            }
            State::Synchronized(_) | State::SynSent(_) | State::SynReceived(_) | State::TimeWait(_) => {
                return Err(SendError::Closed);
            }
        };
        // What is in flight, and as much again to go on with.
        let limit = self.tcp.send_buffer_start.max(2 * window as usize);
        let allowed = limit.saturating_sub(self.sockets.buffers.queued(buffer)).min(bytes.len());
        let written = self.sockets.buffers.write(buffer, &bytes[..allowed]);
        self.sockets.agenda.owe(socket, slot);
        Ok(written)
    }

    /// Lets at most `limit` bytes wait to be sent or acknowledged. More that wait already stay.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_set_send_limit(&mut self, socket: SocketId, limit: usize) -> Result<(), Stale> {
        let slot = self.sockets.table.get_mut(socket).ok_or(Stale)?;
        let Kind::Connection(connection) = &mut slot.kind else { return Err(Stale) };
        if let Some((send, _)) = connection.state.buffers() {
            send.set_limit(limit);
        }
        Ok(())
    }

    /// Moves bytes that have arrived to `out`, and returns how many; 0 at the end of the stream.
    ///
    /// # Errors
    /// [`RecvError`].
    #[inline]
    pub fn tcp_recv(&mut self, socket: SocketId, out: &mut [u8]) -> Result<usize, RecvError> {
        let slot = self.sockets.table.get_mut(socket).ok_or(RecvError::Stale)?;
        // What nearly every call finds, in one look.
        if let Kind::Connection(connection) = &mut slot.kind
            && !connection.detached
            && let State::Synchronized(state) = &mut connection.state
        {
            let read = self.sockets.buffers.read(&mut state.receive, out);
            if read > 0 {
                if state.consumed(&self.sockets.buffers, &self.tcp, self.now) {
                    self.sockets.agenda.owe(socket, slot);
                }
                return Ok(read);
            }
        }
        self.take(socket, out, true)
    }

    /// Copies bytes that have arrived to `out` and leaves them where they are.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn tcp_peek(&mut self, socket: SocketId, out: &mut [u8]) -> Result<usize, RecvError> {
        self.take(socket, out, false)
    }

    fn take(&mut self, socket: SocketId, out: &mut [u8], consume: bool) -> Result<usize, RecvError> {
        let slot = self.sockets.table.get_mut(socket).ok_or(RecvError::Stale)?;
        let Kind::Connection(connection) = &mut slot.kind else { return Err(RecvError::Stale) };
        if connection.detached {
            return Err(RecvError::Stale);
        }
        let buffers = &mut self.sockets.buffers;
        let read = match connection.state.buffers() {
            Some((_, receive)) if consume => buffers.read(receive, out),
            Some((_, receive)) => buffers.peek(receive, 0, out),
            None => 0,
        };
        if read > 0 || out.is_empty() {
            return Ok(read);
        }
        match &connection.state {
            State::Synchronized(state) if state.rcv.is_finished() => Ok(0),
            State::TimeWait(_) => Ok(0),
            State::Closed(closed) if closed.finished => Ok(0),
            State::Closed(_) => connection.error.take().map_or(Ok(0), |error| Err(RecvError::Failed(error))),
            State::Synchronized(_) | State::SynSent(_) | State::SynReceived(_) => Err(RecvError::WouldBlock),
        }
    }

    /// Queues a datagram (or an echo request: see [`echo_bind`](Self::echo_bind)) to `remote`.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn udp_send_to(
        &mut self,
        socket: SocketId,
        remote: SocketAddr,
        payload: &[u8],
    ) -> Result<(), SendError> {
        self.udp_send_segments_to(socket, remote, payload, 0)
    }

    /// Queues datagrams to `remote` with `segment_size` bytes each of `payload`, the last with what is left; one with all
    /// of it where that is 0. The device cuts them out of one frame where it can.
    ///
    /// # Errors
    /// [`SendError`]: [`TooLarge`](SendError::TooLarge) for more than [`MOST_SEGMENTS`] datagrams too.
    pub fn udp_send_segments_to(
        &mut self,
        socket: SocketId,
        remote: SocketAddr,
        payload: &[u8],
        segment_size: u16,
    ) -> Result<(), SendError> {
        let datagrams = self.sockets.table.user_datagram_mut(socket).ok_or(SendError::Stale)?;
        // What the buffer never has room for would block for ever.
        let longest = LARGEST_DATAGRAM.min(MOST_SEGMENTS.saturating_mul(match segment_size {
            0 => LARGEST_DATAGRAM,
            size => usize::from(size),
        }));
        if payload.len() > longest || DatagramHeader::LEN + payload.len() > self.tcp.send_buffer {
            return Err(SendError::TooLarge);
        }
        let local = match remote {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let mut header = [0; DatagramHeader::LEN];
        DatagramHeader { payload_len: payload.len() as u16, segment_size, remote, local }.emit(&mut header);
        if !self.sockets.buffers.write_whole(&mut datagrams.send, [&header, payload]) {
            return Err(SendError::WouldBlock);
        }
        self.sockets.owe(socket);
        Ok(())
    }

    /// Takes a datagram that has arrived: its payload to `out`, cut off where that is too short, and the
    /// header with its whole length. Returns the bytes written to `out`.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn udp_recv_from(
        &mut self,
        socket: SocketId,
        out: &mut [u8],
    ) -> Result<(usize, DatagramHeader), RecvError> {
        let datagrams = self.sockets.table.user_datagram_mut(socket).ok_or(RecvError::Stale)?;
        let buffers = &mut self.sockets.buffers;
        let mut head = [0; DatagramHeader::LEN];
        buffers.peek(&datagrams.receive, 0, &mut head);
        let Some(header) = DatagramHeader::parse(&head) else {
            return Err(datagrams.error.take().map_or(RecvError::WouldBlock, RecvError::Failed));
        };
        let payload_len = usize::from(header.payload_len);
        let read = out.len().min(payload_len);
        buffers.peek(&datagrams.receive, DatagramHeader::LEN, &mut out[..read]);
        buffers.release(&mut datagrams.receive, DatagramHeader::LEN + payload_len);
        Ok((read, header))
    }
}
