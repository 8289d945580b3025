//! The system calls that make a TAP device and set up its interface: `/dev/net/tun` (kernel:
//! `Documentation/networking/tuntap.rst`) and netdevice(7).

use super::TapConfig;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, c_char, c_int, c_short, c_uint};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// A queue that belongs to no interface yet.
pub(super) fn open_device() -> Result<OwnedFd, Errno> {
    rustix::fs::open(c"/dev/net/tun", OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
}

/// Makes `queue` one of the interface `name`, which is made if need be, and says how the kernel completed the name.
pub(super) fn attach(queue: &OwnedFd, name: &str, config: &TapConfig) -> io::Result<String> {
    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI;
    if config.offload {
        flags |= libc::IFF_VNET_HDR;
    }
    if config.queues > 1 {
        flags |= libc::IFF_MULTI_QUEUE;
    }
    let mut request = request(name);
    request.ifr_ifru.ifru_flags = flags as c_short;
    // SAFETY: TUNSETIFF reads and writes a `struct ifreq`.
    unsafe { ioctl(queue, libc::TUNSETIFF, &raw mut request) }?;
    let name = request.ifr_name.map(c_char::cast_unsigned);
    let name = CStr::from_bytes_until_nul(&name).map_err(|_| Errno::INVAL)?;
    Ok(name.to_string_lossy().into_owned())
}

/// Says how many bytes of header precede each frame.
pub(super) fn set_header_len(queue: &OwnedFd, len: usize) -> io::Result<()> {
    let mut len = len as c_int;
    // SAFETY: TUNSETVNETHDRSZ reads an `int`.
    unsafe { ioctl(queue, libc::TUNSETVNETHDRSZ, &raw mut len) }
}

/// Says which unfinished frames the stack's end takes.
pub(super) fn set_offload(queue: &OwnedFd, tcp: bool, udp: bool) -> io::Result<()> {
    let mut features: c_uint = 0;
    if tcp {
        features |= libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
    }
    if udp {
        features |= libc::TUN_F_USO4 | libc::TUN_F_USO6;
    }
    // SAFETY: TUNSETOFFLOAD takes a number for an argument, and no pointer.
    unsafe { ioctl(queue, libc::TUNSETOFFLOAD, std::ptr::without_provenance_mut::<()>(features as usize)) }
}

/// Brings the interface up or takes it down.
pub(super) fn set_up(socket: &OwnedFd, name: &str, up: bool) -> io::Result<()> {
    let mut request = request(name);
    // SAFETY: SIOCGIFFLAGS reads and writes a `struct ifreq`.
    unsafe { ioctl(socket, libc::SIOCGIFFLAGS, &raw mut request) }?;
    // SAFETY: the call above stored this field of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let bit = libc::IFF_UP as c_short;
    request.ifr_ifru.ifru_flags = if up { flags | bit } else { flags & !bit };
    // SAFETY: SIOCSIFFLAGS reads a `struct ifreq`.
    unsafe { ioctl(socket, libc::SIOCSIFFLAGS, &raw mut request) }
}

pub(super) fn mtu(socket: &OwnedFd, name: &str) -> io::Result<usize> {
    let mut request = request(name);
    // SAFETY: SIOCGIFMTU reads and writes a `struct ifreq`.
    unsafe { ioctl(socket, libc::SIOCGIFMTU, &raw mut request) }?;
    // SAFETY: the call above stored this field of the union.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    Ok(usize::try_from(mtu).unwrap_or(0))
}

pub(super) fn set_mtu(socket: &OwnedFd, name: &str, mtu: usize) -> io::Result<()> {
    let mut request = request(name);
    request.ifr_ifru.ifru_mtu = c_int::try_from(mtu).map_err(|_| Errno::INVAL)?;
    // SAFETY: SIOCSIFMTU reads a `struct ifreq`.
    unsafe { ioctl(socket, libc::SIOCSIFMTU, &raw mut request) }
}

pub(super) fn mac(socket: &OwnedFd, name: &str) -> io::Result<[u8; 6]> {
    let mut request = request(name);
    // SAFETY: SIOCGIFHWADDR reads and writes a `struct ifreq`.
    unsafe { ioctl(socket, libc::SIOCGIFHWADDR, &raw mut request) }?;
    // SAFETY: the call above stored this field of the union.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr };
    let [a, b, c, d, e, f, ..] = address.sa_data.map(c_char::cast_unsigned);
    Ok([a, b, c, d, e, f])
}

pub(super) fn set_mac(socket: &OwnedFd, name: &str, mac: [u8; 6]) -> io::Result<()> {
    let mut request = request(name);
    request.ifr_ifru.ifru_hwaddr = sockaddr(libc::ARPHRD_ETHER, 0, &mac);
    // SAFETY: SIOCSIFHWADDR reads a `struct ifreq`.
    unsafe { ioctl(socket, libc::SIOCSIFHWADDR, &raw mut request) }
}

/// An address and how many of its bits are its network's.
pub(super) struct Address<A> {
    pub(super) address: A,
    pub(super) prefix_len: u8,
}

/// Replaces the interface's IPv4 address and network.
pub(super) fn set_address_v4(socket: &OwnedFd, name: &str, address: Address<Ipv4Addr>) -> io::Result<()> {
    let Address { address, prefix_len } = address;
    let host_bits = 32_u32.checked_sub(prefix_len.into()).ok_or(Errno::INVAL)?;
    let mask = Ipv4Addr::from(u32::MAX.checked_shl(host_bits).unwrap_or(0));
    // A `struct sockaddr_in`: two bytes of port stand before the address.
    let sockaddr_in = |ip: Ipv4Addr| sockaddr(libc::AF_INET as libc::sa_family_t, 2, &ip.octets());
    let mut request = request(name);
    request.ifr_ifru.ifru_addr = sockaddr_in(address);
    // SAFETY: SIOCSIFADDR reads a `struct ifreq`.
    unsafe { ioctl(socket, libc::SIOCSIFADDR, &raw mut request) }?;
    request.ifr_ifru.ifru_netmask = sockaddr_in(mask);
    // SAFETY: SIOCSIFNETMASK reads a `struct ifreq`.
    unsafe { ioctl(socket, libc::SIOCSIFNETMASK, &raw mut request) }
}

/// Gives the interface one more IPv6 address, through a socket of that family.
pub(super) fn add_address_v6(socket: &OwnedFd, index: u32, address: Address<Ipv6Addr>) -> io::Result<()> {
    let mut request = libc::in6_ifreq {
        ifr6_addr: libc::in6_addr { s6_addr: address.address.octets() },
        ifr6_prefixlen: address.prefix_len.into(),
        ifr6_ifindex: c_int::try_from(index).map_err(|_| Errno::INVAL)?,
    };
    // SAFETY: SIOCSIFADDR on an AF_INET6 socket reads a `struct in6_ifreq`.
    unsafe { ioctl(socket, libc::SIOCSIFADDR, &raw mut request) }
}

/// A request about the interface `name`, of which at most 15 bytes count.
fn request(name: &str) -> libc::ifreq {
    // SAFETY: `struct ifreq` is made of integers, and in one case of a pointer that may be null: zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    request
}

/// A socket address with `bytes` at the given place of its data.
fn sockaddr(family: libc::sa_family_t, at: usize, bytes: &[u8]) -> libc::sockaddr {
    let mut sa_data = [0; 14];
    for (place, byte) in sa_data[at..].iter_mut().zip(bytes) {
        *place = byte.cast_signed();
    }
    libc::sockaddr { sa_family: family, sa_data }
}

/// ioctl(2), with the system's error.
///
/// # Safety
/// `argument` is what the request's documentation asks for: a pointer to the structure that it reads and writes, or a
/// number in the disguise of one.
unsafe fn ioctl<T>(fd: impl AsFd, request: libc::Ioctl, argument: *mut T) -> io::Result<()> {
    // SAFETY: the file is open, and for the argument the caller vouches.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), request, argument) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
