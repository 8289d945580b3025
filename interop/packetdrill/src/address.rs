//! Socket addresses as C has them.

use std::ffi::c_int;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use libc::{sockaddr, sockaddr_in, sockaddr_in6, socklen_t};

use crate::errno::Errno;
use crate::memory;

/// Reads an address. `None` for `AF_UNSPEC`, which asks to take an association back.
pub(crate) fn read(address: *const sockaddr, len: socklen_t) -> Result<Option<SocketAddr>, Errno> {
    let mut bytes = [0; size_of::<sockaddr_in6>()];
    let len = bytes.len().min(len as usize);
    memory::read(address.cast(), &mut bytes[..len])?;
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    match c_int::from(u16::from_ne_bytes([bytes[0], bytes[1]])) {
        libc::AF_UNSPEC if len >= 2 => Ok(None),
        libc::AF_INET if len >= size_of::<sockaddr_in>() => {
            let address: [u8; 4] = bytes[4..8].try_into().map_err(|_| Errno(libc::EINVAL))?;
            Ok(Some(SocketAddr::new(Ipv4Addr::from(address).into(), port)))
        }
        libc::AF_INET6 if len >= size_of::<sockaddr_in6>() => {
            let address: [u8; 16] = bytes[8..24].try_into().map_err(|_| Errno(libc::EINVAL))?;
            Ok(Some(SocketAddr::new(IpAddr::V6(address.into()).to_canonical(), port)))
        }
        libc::AF_INET | libc::AF_INET6 => Err(Errno(libc::EINVAL)),
        _ => Err(Errno(libc::EAFNOSUPPORT)),
    }
}

/// Writes an address of a socket of `domain` for the caller, cut off where there is too little room. Null asks for
/// none.
pub(crate) fn write(
    from: SocketAddr,
    domain: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> Result<(), Errno> {
    if address.is_null() {
        return Ok(());
    }
    let bytes = encode(from, domain);
    let mut room = [0; size_of::<socklen_t>()];
    memory::read(len.cast(), &mut room)?;
    let room = socklen_t::from_ne_bytes(room) as usize;
    memory::write(address.cast(), &bytes[..bytes.len().min(room)])?;
    memory::write(len.cast(), &(bytes.len() as socklen_t).to_ne_bytes())
}

/// IPv4 peers of IPv6 sockets have mapped addresses (RFC 4291 §2.5.5.2).
fn encode(address: SocketAddr, domain: c_int) -> Vec<u8> {
    match address.ip() {
        IpAddr::V4(ip) if domain == libc::AF_INET => {
            // SAFETY: zero is a value of every field.
            let mut out: sockaddr_in = unsafe { zeroed() };
            out.sin_family = libc::AF_INET as libc::sa_family_t;
            out.sin_port = address.port().to_be();
            out.sin_addr.s_addr = u32::from_ne_bytes(ip.octets());
            memory::bytes_of(&out)
        }
        ip => {
            let ip: Ipv6Addr = match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            // SAFETY: zero is a value of every field.
            let mut out: sockaddr_in6 = unsafe { zeroed() };
            out.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            out.sin6_port = address.port().to_be();
            out.sin6_addr.s6_addr = ip.octets();
            memory::bytes_of(&out)
        }
    }
}
