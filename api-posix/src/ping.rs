//! ICMP echo.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::errno::ToErrno;
use crate::net::Netlane;
use crate::shared::{Family, Shared};

/// A socket that sends ICMP echo requests of one family and takes the replies to them (RFC 792, RFC 4443 §4).
///
/// ```
/// use netlane_posix::{Netlane, PingSocket};
///
/// # use netlane_config::{Backend, Config, Interface, MemoryBackend};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = |address: &str| -> Result<Config, Box<dyn std::error::Error>> {
/// #     let interface = Interface { addresses: vec![address.parse()?], ..Interface::default() };
/// #     Ok(Config { backend: Backend::Memory(MemoryBackend::default()), interface, ..Config::default() })
/// # };
/// # let (here, there) = Netlane::pair(&config("10.0.0.1/24")?, &config("10.0.0.2/24")?)?;
/// let socket = PingSocket::open(&there)?;
/// socket.send_to(1, b"are you there", "10.0.0.1".parse()?)?;
/// let reply = socket.recv_from(&mut [0; 64])?;
/// assert_eq!((reply.seq, reply.len), (1, 13));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PingSocket {
    shared: Arc<Shared>,
}

/// A reply to an echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoReply {
    /// Who has answered.
    pub from: IpAddr,
    /// The request's sequence number.
    pub seq: u16,
    /// The bytes of payload that were received.
    pub len: usize,
}

impl PingSocket {
    /// Opens a socket that pings over IPv4, under an identifier that is free.
    ///
    /// # Errors
    /// `EADDRINUSE` where none is, `EMFILE` or `ENOBUFS` where a limit of the configuration is reached.
    pub fn open(net: &Netlane) -> io::Result<Self> {
        Self::open_from(net, Ipv4Addr::UNSPECIFIED.into())
    }

    /// Opens a socket that pings from `local`, under an identifier that is free. The unspecified address of a family
    /// stands for all of it that the stack has.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and `EADDRNOTAVAIL` where the address is not the stack's.
    pub fn open_from(net: &Netlane, local: IpAddr) -> io::Result<Self> {
        let socket = net.client().echo_bind(local, 0).map_err(ToErrno::into_io)?;
        let family = Family::of(SocketAddr::new(local, 0));
        Ok(Self { shared: Arc::new(Shared::new(net, socket, family)) })
    }

    /// The identifier that the requests and their replies carry.
    ///
    /// # Errors
    /// None. It is fallible as the other sockets' address.
    pub fn ident(&self) -> io::Result<u16> {
        self.shared.local_addr().map(|address| address.port())
    }

    /// Sends a request with this payload. Returns the payload's length.
    ///
    /// # Errors
    /// Those of [`UdpSocket::send_to`](crate::UdpSocket::send_to).
    pub fn send_to(&self, seq: u16, payload: &[u8], remote: IpAddr) -> io::Result<usize> {
        let remote = self.shared.addresses(SocketAddr::new(remote, 0))?;
        let record = [&seq.to_be_bytes(), payload].concat();
        let shared = &self.shared;
        shared.when_writable(|| shared.socket.try_send_to(&record, remote).map_err(ToErrno::into_io))?;
        Ok(payload.len())
    }

    /// Takes a reply; its payload is cut off where `out` is too short.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv_from`](crate::UdpSocket::recv_from).
    pub fn recv_from(&self, out: &mut [u8]) -> io::Result<EchoReply> {
        let mut record = vec![0; SEQ_LEN + out.len()];
        let shared = &self.shared;
        let receive = || shared.socket.try_recv_from(&mut record).map_err(ToErrno::into_io);
        let (len, header) = shared.when_readable(receive)?;
        let len = len.saturating_sub(SEQ_LEN);
        out[..len].copy_from_slice(&record[SEQ_LEN..SEQ_LEN + len]);
        let seq = u16::from_be_bytes([record[0], record[1]]);
        Ok(EchoReply { from: header.remote.ip(), seq, len })
    }

    /// Lets calls wait, or not.
    ///
    /// # Errors
    /// None.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.shared.set_nonblocking(nonblocking);
        Ok(())
    }

    /// How long receiving waits; for as long as it takes where `None`. It ends with `EAGAIN`.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.shared.read_timeout.set(timeout)
    }

    /// How long receiving waits.
    ///
    /// # Errors
    /// None.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.shared.read_timeout.get())
    }

    /// Takes what befell a request that was sent.
    ///
    /// # Errors
    /// None.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.shared.take_error())
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    /// None.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { shared: Arc::clone(&self.shared) })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

/// Bytes of the sequence number before the payload.
const SEQ_LEN: usize = 2;
