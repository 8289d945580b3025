//! Bytes to and from the peer of a connection.

use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::time::Instant;

use netlane_core::Readiness;

use super::part::Part;
use super::socket::{Inner, Socket, SocketKind};
use super::{LaneGone, RecvError, SendError, WaitError};
use crate::lane::{is_roomy, is_tight};
use crate::shared::{Interest, Request, Status};

impl Socket {
    /// Moves bytes that have arrived to `out`, and returns how many; 0 at the end of the stream.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn try_read(&self, out: &mut [u8]) -> Result<usize, RecvError> {
        let part = self.stream().ok_or(RecvError::WrongKind)?;
        let mut reader = part.reader();
        let read = self.inner.with_arrived(part, out, |out| reader.read(out))?;
        let tight = is_tight(reader.capacity(), reader.len());
        drop(reader);
        if read > 0 {
            part.consumed(tight);
        }
        Ok(read)
    }

    /// Copies bytes that have arrived to `out`, and leaves them where they are.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    pub fn try_peek(&self, out: &mut [u8]) -> Result<usize, RecvError> {
        let part = self.stream().ok_or(RecvError::WrongKind)?;
        let reader = part.reader();
        self.inner.with_arrived(part, out, |out| reader.peek_at(0, out))
    }

    /// Queues bytes to be sent, as many as there is room for, and returns how many those were.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn try_write(&self, bytes: &[u8]) -> Result<usize, SendError> {
        let part = self.stream().ok_or(SendError::WrongKind)?;
        let mut writer = part.writer();
        let status = part.control().status();
        if part.is_gone() {
            return Err(SendError::LaneGone(LaneGone));
        }
        if self.inner.shut.write.load(Ordering::Relaxed) {
            return Err(SendError::Closed);
        }
        if self.inner.is_closed() {
            return Err(self.inner.take_error().map_or(SendError::Closed, SendError::Failed));
        }
        if !status.has(Status::CONNECTED) {
            return Err(SendError::WouldBlock);
        }
        let written = writer.write(bytes);
        drop(writer);
        if written == 0 && !bytes.is_empty() {
            return Err(SendError::WouldBlock);
        }
        part.written();
        Ok(written)
    }

    /// Ends the stream in one direction or both: behind what was written, the peer gets a FIN; and reading gives what
    /// has arrived, and then the end of the stream. Threads that wait for it return. A socket that is no connection
    /// is left as it is.
    pub fn shutdown(&self, how: Shutdown) {
        let Some(part) = self.stream() else { return };
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            self.inner.shut.read.store(true, Ordering::SeqCst);
        }
        if matches!(how, Shutdown::Write | Shutdown::Both) {
            let writer = part.writer();
            let before = self.inner.shut.write.swap(true, Ordering::SeqCst);
            drop(writer);
            if !before {
                part.request(Request::Shutdown);
            }
        }
        part.wake_waiters();
    }

    /// Whether this is a connection that is established, and has not ended in both directions.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        let status = |part: &Part| part.control().status();
        self.stream()
            .map(status)
            .is_some_and(|status| status.has(Status::CONNECTED) && !self.inner.is_closed())
    }

    /// Whether the peer of a connection sends no more: its FIN has arrived, and all bytes before it.
    #[must_use]
    pub fn has_peer_finished(&self) -> bool {
        self.stream().is_some_and(|part| part.control().status().has(Status::READ_CLOSED))
    }

    /// Bytes that were written to a connection and its peer has not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.stream().map_or(0, |part| part.writer().len())
    }

    /// Waits until the peer has acknowledged all that was written, or the connection has ended. Threads that go on
    /// writing make this longer.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait_acknowledged(&self, deadline: Option<Instant>) -> Result<(), WaitError> {
        let found = self.first().control().bell.wait(Interest::WRITE, deadline, || {
            if self.unacknowledged() == 0 || self.inner.is_closed() {
                return Some(Ok(()));
            }
            self.inner.is_gone().then_some(Err(WaitError::LaneGone(LaneGone)))
        });
        found.unwrap_or(Err(WaitError::TimedOut))
    }

    fn stream(&self) -> Option<&Part> {
        (self.kind() == SocketKind::Stream).then(|| self.first())
    }
}

impl Inner {
    /// Has `take` copy what has arrived, or tells why nothing has. The caller holds the reader.
    fn with_arrived(
        &self,
        part: &Part,
        out: &mut [u8],
        mut take: impl FnMut(&mut [u8]) -> usize,
    ) -> Result<usize, RecvError> {
        if self.shut.aborted.load(Ordering::Relaxed) {
            return Err(RecvError::Closed);
        }
        // What ends a stream is told after its last bytes: look for them once the end is known.
        let status = part.control().status();
        let taken = take(out);
        if taken > 0 || out.is_empty() {
            return Ok(taken);
        }
        if status.has(Status::READ_CLOSED) || self.shut.read.load(Ordering::Relaxed) {
            return Ok(0);
        }
        if status.has(Status::CLOSED)
            && let Some(error) = self.take_error()
        {
            return Err(RecvError::Failed(error));
        }
        if part.is_gone() {
            return Err(RecvError::LaneGone(LaneGone));
        }
        if status.has(Status::CLOSED) { Ok(0) } else { Err(RecvError::WouldBlock) }
    }

    pub(super) fn stream_readiness(&self) -> Readiness {
        let Some(part) = self.parts.first() else { return Readiness::empty() };
        let status = part.control().status();
        let mut ready = Readiness::empty();
        let ended = status.has(Status::READ_CLOSED) || self.shut.read.load(Ordering::SeqCst);
        if ended {
            ready |= Readiness::READABLE | Readiness::READ_CLOSED;
        } else if !part.reader().is_empty() {
            ready |= Readiness::READABLE;
        }
        let writer = part.writer();
        let open = status.has(Status::CONNECTED) && is_roomy(writer.capacity(), writer.len());
        if open || self.shut.write.load(Ordering::SeqCst) {
            ready |= Readiness::WRITABLE;
        }
        ready
    }
}
