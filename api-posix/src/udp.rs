//! UDP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use netlane_runtime::{BindOptions, GroupChange, GroupLimits, IpVersion, JoinedGroups};
use rustix::io::Errno;

use crate::errno::ToErrno;
use crate::net::{Netlane, each_address};
use crate::shared::{Family, Shared};

/// A UDP socket, as [`std::net::UdpSocket`].
///
/// ```
/// use netlane_posix::{Netlane, UdpSocket};
///
/// # use netlane_config::{Backend, Config, Interface, MemoryBackend};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = |address: &str| -> Result<Config, Box<dyn std::error::Error>> {
/// #     let interface = Interface { addresses: vec![address.parse()?], ..Interface::default() };
/// #     Ok(Config { backend: Backend::Memory(MemoryBackend::default()), interface, ..Config::default() })
/// # };
/// # let (here, there) = Netlane::pair(&config("10.0.0.1/24")?, &config("10.0.0.2/24")?)?;
/// let server = UdpSocket::bind(&here, "10.0.0.1:53")?;
/// let client = UdpSocket::bind(&there, "10.0.0.2:0")?;
/// client.connect("10.0.0.1:53")?;
/// client.send(b"question")?;
///
/// let mut bytes = [0; 512];
/// let (len, from) = server.recv_from(&mut bytes)?;
/// assert_eq!(&bytes[..len], b"question");
/// server.send_to(b"answer", from)?;
/// assert_eq!(client.recv(&mut bytes)?, 6);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Shared,
    broadcast: AtomicBool,
    /// The groups that the socket has joined.
    groups: Mutex<JoinedGroups>,
}

impl UdpSocket {
    /// Takes datagrams to the first of `addresses` that can be had. Port 0 stands for a free one, and the unspecified
    /// address for all that the stack has.
    ///
    /// # Errors
    /// `EADDRINUSE`, `EADDRNOTAVAIL` where the address is not the stack's, `EMFILE` or `ENOBUFS` where a limit of the
    /// configuration is reached.
    pub fn bind(net: &Netlane, addresses: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_with(net, addresses, BindOptions::default())
    }

    /// As [`bind`](Self::bind), with options.
    ///
    /// # Errors
    /// Those of [`bind`](Self::bind).
    pub fn bind_with(net: &Netlane, addresses: impl ToSocketAddrs, options: BindOptions) -> io::Result<Self> {
        each_address(addresses, |local| {
            let socket = net.client().udp_bind_with(local, options).map_err(ToErrno::into_io)?;
            let shared = Shared::new(net, socket, Family::of_bound(local, options));
            let inner = Inner { shared, broadcast: AtomicBool::new(false), groups: Mutex::default() };
            Ok(Self { inner: Arc::new(inner) })
        })
    }

    /// Sends a datagram to the first of `addresses`.
    ///
    /// # Errors
    /// `EMSGSIZE` for more than fits, `EAGAIN` where there is no room in the socket's buffer and it does not block or
    /// its time is over, `EACCES` for the broadcast address without [leave](Self::set_broadcast); and what befell an
    /// earlier datagram: `ECONNREFUSED`, `EHOSTUNREACH`.
    pub fn send_to(&self, payload: &[u8], addresses: impl ToSocketAddrs) -> io::Result<usize> {
        let Some(remote) = addresses.to_socket_addrs()?.next() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name stands for no address"));
        };
        self.send_datagram(payload, remote)
    }

    /// Sends datagrams to `remote` with `segment_size` bytes each of `payload`, the last with what is left. The device cuts
    /// them out of one frame where it can (`UDP_SEGMENT`, udp(7)).
    ///
    /// # Errors
    /// `EINVAL` for a size of 0, `EMSGSIZE` for more than 64 datagrams or more bytes than one frame has, and those of
    /// [`send_to`](Self::send_to).
    pub fn send_segments_to(
        &self,
        payload: &[u8],
        segment_size: u16,
        remote: SocketAddr,
    ) -> io::Result<usize> {
        if segment_size == 0 {
            return Err(Errno::INVAL.into());
        }
        self.send_record(payload, segment_size, remote)
    }

    /// Sends many datagrams at once, and wakes the lanes once for all of them (sendmmsg(2)). Returns how many were sent:
    /// all, or those before the first that there was no room for.
    ///
    /// # Errors
    /// Those of [`send_to`](Self::send_to), of the first datagram.
    pub fn send_many(&self, datagrams: &[(&[u8], SocketAddr)]) -> io::Result<usize> {
        for (_, remote) in datagrams {
            self.sendable(*remote)?;
        }
        let shared = &self.inner.shared;
        let attempt = || shared.socket.try_send_many(datagrams.iter().copied()).map_err(ToErrno::into_io);
        if datagrams.is_empty() { Ok(0) } else { shared.when_writable(attempt) }
    }

    /// Whether datagrams that have arrived joined in one frame are taken so by [`recv_segments_from`
    /// ](Self::recv_segments_from) (`UDP_GRO`), and not one by one.
    pub fn set_takes_joined(&self, on: bool) {
        self.inner.shared.socket.set_takes_joined(on);
    }

    /// Takes a datagram, or several of one sender that have arrived joined, and tells how many bytes each but the last has.
    /// Give it room for 65,535 bytes.
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    pub fn recv_segments_from(&self, out: &mut [u8]) -> io::Result<(usize, usize, SocketAddr)> {
        let shared = &self.inner.shared;
        let (len, header) =
            shared.when_readable(|| shared.socket.try_recv_from(out).map_err(ToErrno::into_io))?;
        let segment_size = if header.segment_size == 0 { header.payload_len } else { header.segment_size };
        Ok((len, segment_size.into(), shared.seen(header.remote)))
    }

    /// Takes a datagram, cut off where `out` is too short, and tells who sent it.
    ///
    /// # Errors
    /// `EAGAIN` where none is there and the socket does not block or its time is over; and what befell a datagram
    /// that was sent: `ECONNREFUSED`, `EHOSTUNREACH`.
    pub fn recv_from(&self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let shared = &self.inner.shared;
        let (len, header) =
            shared.when_readable(|| shared.socket.try_recv_from(out).map_err(ToErrno::into_io))?;
        Ok((len, shared.seen(header.remote)))
    }

    /// Copies a datagram as [`recv_from`](Self::recv_from), and leaves it to be received.
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    pub fn peek_from(&self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let shared = &self.inner.shared;
        let (len, header) =
            shared.when_readable(|| shared.socket.try_peek_from(out).map_err(ToErrno::into_io))?;
        Ok((len, shared.seen(header.remote)))
    }

    /// Takes datagrams to the multicast group `group` too, whoever sends them. The stack has one interface: it is named
    /// by one of its addresses, or by none.
    ///
    /// # Errors
    /// `EINVAL` if that is no group, `EADDRINUSE` if the socket has joined it.
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, _interface: &Ipv4Addr) -> io::Result<()> {
        self.change_group((*group).into(), GroupChange::Join)
    }

    /// Takes no more datagrams to the multicast group `group`.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` if the socket has not joined it.
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, _interface: &Ipv4Addr) -> io::Result<()> {
        self.change_group((*group).into(), GroupChange::Leave)
    }

    /// Takes datagrams to the multicast group `group` too, whoever sends them. The stack has one interface, whatever its
    /// index.
    ///
    /// # Errors
    /// Those of [`join_multicast_v4`](Self::join_multicast_v4).
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, _interface: u32) -> io::Result<()> {
        self.change_group((*group).into(), GroupChange::Join)
    }

    /// Takes no more datagrams to the multicast group `group`.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` if the socket has not joined it.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, _interface: u32) -> io::Result<()> {
        self.change_group((*group).into(), GroupChange::Leave)
    }

    /// Changes whose datagrams to the multicast group `group` are taken (`MCAST_JOIN_GROUP` and its like, RFC 3678).
    ///
    /// # Errors
    /// `EINVAL` if that is no group, or was joined the other way; `EADDRINUSE` if the socket is in it; `EADDRNOTAVAIL` if it
    /// is not, or if the sender stands in its list already, or does not.
    pub fn change_group(&self, group: IpAddr, change: GroupChange) -> io::Result<()> {
        let mut groups = self.inner.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.change(group, change, UNBOUNDED).map_err(ToErrno::into_io)?;
        self.inner.shared.socket.change_group(group, change);
        Ok(())
    }

    /// How many routers datagrams to groups may pass (`IP_MULTICAST_TTL`); 1 unless it is set.
    ///
    /// # Errors
    /// `EINVAL` for more than 255.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.set_multicast_hops(IpVersion::V4, ttl)
    }

    /// How many routers datagrams to groups of IPv6 may pass (`IPV6_MULTICAST_HOPS`); 1 unless it is set.
    ///
    /// # Errors
    /// `EINVAL` for more than 255.
    pub fn set_multicast_hops_v6(&self, hops: u32) -> io::Result<()> {
        self.set_multicast_hops(IpVersion::V6, hops)
    }

    /// Whether datagrams to groups reach the stack's own members too (`IP_MULTICAST_LOOP`), as they do unless it is set.
    ///
    /// # Errors
    /// None; it fits the method of `std`.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.inner.shared.socket.set_multicast_loop(IpVersion::V4, on);
        Ok(())
    }

    /// Whether datagrams to groups of IPv6 reach the stack's own members too (`IPV6_MULTICAST_LOOP`), as they do unless it
    /// is set.
    ///
    /// # Errors
    /// None; it fits the method of `std`.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.inner.shared.socket.set_multicast_loop(IpVersion::V6, on);
        Ok(())
    }

    /// Whether datagrams larger than their path carries fail with `EMSGSIZE`, on the next call, and are not cut
    /// (`IP_MTU_DISCOVER` with `IP_PMTUDISC_DO`).
    pub fn set_dont_fragment(&self, on: bool) {
        self.inner.shared.socket.set_dont_fragment(on);
    }

    /// Chooses the peer that [`send`](Self::send) sends to, and that datagrams are taken from.
    ///
    /// # Errors
    /// `EACCES` for the broadcast address without [leave](Self::set_broadcast).
    pub fn connect(&self, addresses: impl ToSocketAddrs) -> io::Result<()> {
        each_address(addresses, |peer| {
            self.permit(peer)?;
            self.inner.shared.socket.udp_connect(Some(peer));
            Ok(())
        })
    }

    /// Sends a datagram to the peer that was chosen.
    ///
    /// # Errors
    /// `EDESTADDRREQ` where none was, and those of [`send_to`](Self::send_to).
    pub fn send(&self, payload: &[u8]) -> io::Result<usize> {
        let peer = self.inner.shared.socket.peer_addr().ok_or(Errno::DESTADDRREQ)?;
        self.send_datagram(payload, peer)
    }

    /// Takes a datagram, cut off where `out` is too short.
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    pub fn recv(&self, out: &mut [u8]) -> io::Result<usize> {
        self.recv_from(out).map(|(len, _)| len)
    }

    /// Copies a datagram, and leaves it to be received.
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    pub fn peek(&self, out: &mut [u8]) -> io::Result<usize> {
        self.peek_from(out).map(|(len, _)| len)
    }

    /// The peer that was chosen.
    ///
    /// # Errors
    /// `ENOTCONN` where none was.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        let shared = &self.inner.shared;
        shared.socket.peer_addr().map(|peer| shared.seen(peer)).ok_or_else(|| Errno::NOTCONN.into())
    }

    /// The socket's own address and port.
    ///
    /// # Errors
    /// None. It is fallible as in [`std::net`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.shared.local_addr()
    }

    /// Lets calls wait, or not.
    ///
    /// # Errors
    /// None.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.inner.shared.set_nonblocking(nonblocking);
        Ok(())
    }

    /// How long receiving waits (`SO_RCVTIMEO`); for as long as it takes where `None`. It ends with `EAGAIN`.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.shared.read_timeout.set(timeout)
    }

    /// How long sending waits for room (`SO_SNDTIMEO`); for as long as it takes where `None`. It ends with `EAGAIN`.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.shared.write_timeout.set(timeout)
    }

    /// How long receiving waits.
    ///
    /// # Errors
    /// None.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.inner.shared.read_timeout.get())
    }

    /// How long sending waits.
    ///
    /// # Errors
    /// None.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.inner.shared.write_timeout.get())
    }

    /// Gives leave to send to the broadcast address (`SO_BROADCAST`), or takes it away.
    ///
    /// # Errors
    /// None.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.inner.broadcast.store(broadcast, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the socket may send to the broadcast address.
    ///
    /// # Errors
    /// None.
    pub fn broadcast(&self) -> io::Result<bool> {
        Ok(self.inner.broadcast.load(Ordering::Relaxed))
    }

    /// Takes what befell a datagram that was sent (`SO_ERROR`).
    ///
    /// # Errors
    /// None.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.inner.shared.take_error())
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    /// None.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { inner: Arc::clone(&self.inner) })
    }

    fn set_multicast_hops(&self, family: IpVersion, hops: u32) -> io::Result<()> {
        let hops = u8::try_from(hops).map_err(|_| Errno::INVAL)?;
        self.inner.shared.socket.set_multicast_hops(family, hops);
        Ok(())
    }

    fn send_datagram(&self, payload: &[u8], remote: SocketAddr) -> io::Result<usize> {
        self.send_record(payload, 0, remote)
    }

    fn send_record(&self, payload: &[u8], segment_size: u16, remote: SocketAddr) -> io::Result<usize> {
        self.sendable(remote)?;
        let shared = &self.inner.shared;
        shared.when_writable(|| {
            shared.socket.try_send_segments_to(payload, segment_size, remote).map_err(ToErrno::into_io)
        })?;
        Ok(payload.len())
    }

    /// Refuses what nothing can be sent to.
    fn sendable(&self, remote: SocketAddr) -> io::Result<()> {
        self.permit(remote)?;
        if remote.port() == 0 { Err(Errno::INVAL.into()) } else { Ok(()) }
    }

    /// Refuses peers of another family, and the broadcast address without leave.
    fn permit(&self, remote: SocketAddr) -> io::Result<()> {
        match self.inner.shared.addresses(remote)?.ip().to_canonical() {
            IpAddr::V4(Ipv4Addr::BROADCAST) if !self.inner.broadcast.load(Ordering::Relaxed) => {
                Err(Errno::ACCESS.into())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }
}

/// The lanes know the limits.
const UNBOUNDED: GroupLimits = GroupLimits { groups: usize::MAX, sources: usize::MAX };
