//! Bytes to and from the peer: [`Read`] and [`Write`], for a stream and for a reference to one.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};

use netlane_runtime::{RecvError, SendError};

use super::stream::TcpStream;
use crate::errno::ToErrno;

impl Read for &TcpStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let shared = self.shared();
        shared.when_readable(|| shared.socket.try_read(out).map_err(ToErrno::into_io))
    }

    fn read_vectored(&mut self, out: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let socket = &self.shared().socket;
        let mut buffers = out.iter_mut().skip_while(|buffer| buffer.is_empty());
        let Some(first) = buffers.next() else { return Ok(0) };
        let mut read = self.read(first)?;
        let mut is_full = read == first.len();
        while let Some(next) = buffers.next().filter(|_| is_full) {
            match socket.try_read(next) {
                Ok(more) => (read, is_full) = (read + more, more == next.len()),
                // What was read is told now, and this by the next call.
                Err(RecvError::Failed(error)) => {
                    socket.give_back_error(error);
                    break;
                }
                Err(_) => break,
            }
        }
        Ok(read)
    }
}

impl Write for &TcpStream {
    /// Queues all of `bytes`, and waits for room if need be. Sockets that do not block, and those whose time is over,
    /// queue as many as there is room for.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let shared = self.shared();
        let mut slices = bytes.iter();
        let mut left: &[u8] = slices.next().map_or(&[], |slice| slice);
        let mut written = 0;
        let outcome = shared.when_writable(|| {
            loop {
                let queued = self.queue(left, written > 0)?;
                written += queued;
                left = &left[queued..];
                if left.is_empty() {
                    match slices.find(|slice| !slice.is_empty()) {
                        Some(next) => left = next,
                        None => return Ok(()),
                    }
                }
            }
        });
        // What was queued is told now; what went wrong behind it, by the next call.
        if written > 0 { Ok(written) } else { outcome.map(|()| 0) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TcpStream {
    /// Queues bytes to be sent, as many as there is room for. What befell the connection is told before that it takes
    /// no more, also to who has ended the stream; and it is told again where the caller does not pass it on.
    fn queue(&self, bytes: &[u8], keep_error: bool) -> io::Result<usize> {
        let socket = &self.shared().socket;
        let refused = match socket.try_write(bytes) {
            Ok(queued) => return Ok(queued),
            Err(refused) => refused,
        };
        let error = match refused {
            SendError::Failed(error) => Some(error),
            SendError::Closed => socket.take_error(),
            _ => None,
        };
        let Some(error) = error else { return Err(refused.into_io()) };
        if keep_error {
            socket.give_back_error(error);
        }
        Err(self.told(error))
    }
}

impl Read for TcpStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        (&*self).read(out)
    }

    fn read_vectored(&mut self, out: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(out)
    }
}

impl Write for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
