//! ICMP echo (RFC 792): requests, their replies, and how long those take.

mod kernel;
pub(crate) mod statistics;

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use netlane_posix::PingSocket;

pub(crate) use kernel::KernelPing;
pub(crate) use statistics::Statistics;

/// A socket for echo requests.
pub(crate) trait Pinger {
    /// Sends a request.
    fn send(&self, to: IpAddr, seq: u16, payload: &[u8]) -> io::Result<()>;

    /// Waits for a reply until `timeout` has passed, and puts its payload to `out`.
    fn receive(&self, out: &mut [u8], timeout: Duration) -> io::Result<Option<Reply>>;
}

/// A reply: who sent it, to which request, and how long its payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) from: IpAddr,
    pub(crate) seq: u16,
    pub(crate) len: usize,
}

/// Sends one request and waits for its reply. Returns the time that took, or `None` if no reply with the same payload
/// came in time.
pub(crate) fn ping(
    pinger: &dyn Pinger,
    to: IpAddr,
    seq: u16,
    payload: &[u8],
    timeout: Duration,
) -> io::Result<Option<Duration>> {
    // One byte more than is asked for would show.
    let mut out = vec![0; payload.len() + 1];
    let start = Instant::now();
    pinger.send(to, seq, payload)?;
    loop {
        let left = timeout.saturating_sub(start.elapsed());
        let Some(reply) = pinger.receive(&mut out, left)? else { return Ok(None) };
        if reply.from == to && reply.seq == seq && out[..reply.len] == *payload {
            return Ok(Some(start.elapsed()));
        }
    }
}

impl Pinger for PingSocket {
    fn send(&self, to: IpAddr, seq: u16, payload: &[u8]) -> io::Result<()> {
        self.send_to(seq, payload, to).map(|_| ())
    }

    fn receive(&self, out: &mut [u8], timeout: Duration) -> io::Result<Option<Reply>> {
        self.set_read_timeout(Some(timeout.max(SHORTEST)))?;
        match self.recv_from(out) {
            Ok(netlane_posix::EchoReply { from, seq, len }) => Ok(Some(Reply { from, seq, len })),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Zero would mean to wait forever.
const SHORTEST: Duration = Duration::from_micros(1);
