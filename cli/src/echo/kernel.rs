//! The kernel's ICMP.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recvfrom, sendto, socket_with,
};
use rustix::process::getgid;

use super::{Pinger, Reply, SHORTEST};

/// A ping socket, which the kernel gives to the groups in `net.ipv4.ping_group_range` (icmp(7)). It chooses the
/// requests' identifier, fills their checksum, and hands out the replies to them alone.
#[derive(Debug)]
pub(crate) struct KernelPing {
    socket: OwnedFd,
}

impl KernelPing {
    /// Opens a socket in this thread's network namespace, which must be the process's own: its switch is changed for
    /// that.
    pub(crate) fn open_in_own_namespace() -> io::Result<Self> {
        let group = getgid().as_raw();
        // Where it cannot be changed, it may still be as it should.
        if let Err(error) = fs::write("/proc/sys/net/ipv4/ping_group_range", format!("{group} {group}")) {
            tracing::info!("cannot set net.ipv4.ping_group_range: {error}");
        }
        let protocol = Some(ipproto::ICMP);
        let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, protocol)?;
        Ok(Self { socket })
    }
}

impl Pinger for KernelPing {
    fn send(&self, to: IpAddr, seq: u16, payload: &[u8]) -> io::Result<()> {
        let mut message = vec![0; HEADER_LEN];
        message[0] = ECHO_REQUEST;
        message[6..].copy_from_slice(&seq.to_be_bytes());
        message.extend_from_slice(payload);
        sendto(&self.socket, &message, SendFlags::empty(), &SocketAddr::new(to, 0))?;
        Ok(())
    }

    fn receive(&self, out: &mut [u8], timeout: Duration) -> io::Result<Option<Reply>> {
        set_socket_timeout(&self.socket, Timeout::Recv, Some(timeout.max(SHORTEST)))?;
        let mut message = vec![0; HEADER_LEN + out.len()];
        let (len, from) = match recvfrom(&self.socket, &mut message, RecvFlags::empty()) {
            Ok((len, _, from)) => (len, from),
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let from = from.and_then(|from| SocketAddr::try_from(from).ok()).ok_or(io::ErrorKind::InvalidData)?;
        let payload = message[..len].get(HEADER_LEN..).ok_or(io::ErrorKind::InvalidData)?;
        out[..payload.len()].copy_from_slice(payload);
        let seq = u16::from_be_bytes([message[6], message[7]]);
        Ok(Some(Reply { from: from.ip(), seq, len: payload.len() }))
    }
}

/// RFC 792: type, code, checksum, identifier and sequence number.
const HEADER_LEN: usize = 8;
const ECHO_REQUEST: u8 = 8;
