//! Datagrams on their way between a socket's buffers and its user.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use zerocopy::byteorder::native_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What stands before each datagram in a socket's buffers.
///
/// Only the two sides of one machine ever see it, so that its numbers are in the machine's own byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramHeader {
    /// Bytes of payload that follow.
    pub payload_len: u16,
    /// Where the payload is that of several datagrams: the bytes of each but the last, which may have fewer. Zero
    /// where it is one datagram's.
    pub segment_size: u16,
    /// Who sent the datagram, or shall get it.
    pub remote: SocketAddr,
    /// The stack's address that the datagram came to, or shall leave from; unspecified where the stack
    /// chooses.
    pub local: IpAddr,
}

/// The most datagrams that one record is cut into (Linux's `UDP_MAX_SEGMENTS`, in `include/linux/udp.h`).
pub const MOST_SEGMENTS: usize = 64;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Record {
    payload_len: U16,
    /// 4 or 6.
    version: u8,
    reserved: u8,
    segment_size: U16,
    remote_port: U16,
    /// IPv4 addresses stand in the first four bytes.
    remote: [u8; 16],
    local: [u8; 16],
}

impl DatagramHeader {
    /// Bytes of a header.
    pub const LEN: usize = size_of::<Record>();

    /// Bytes of payload of each datagram but the last. No more than [`MOST_SEGMENTS`] come of a record, whatever its
    /// writer says.
    pub(crate) fn segment_len(&self) -> u16 {
        match self.segment_size {
            0 => self.payload_len,
            size => size.max(self.payload_len.div_ceil(MOST_SEGMENTS as u16)),
        }
    }

    /// Writes the header.
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        let record = Record {
            payload_len: U16::new(self.payload_len),
            version: if self.remote.is_ipv4() { 4 } else { 6 },
            reserved: 0,
            segment_size: U16::new(self.segment_size),
            remote_port: U16::new(self.remote.port()),
            remote: octets(self.remote.ip()),
            local: octets(self.local),
        };
        out.copy_from_slice(record.as_bytes());
    }

    /// Reads a header that [`emit`](Self::emit) has written; `None` if it cannot have.
    #[must_use]
    pub fn parse(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let record = Record::read_from_bytes(bytes).ok()?;
        let address = |octets: [u8; 16]| match record.version {
            4 => Some(IpAddr::V4(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]))),
            6 => Some(IpAddr::V6(Ipv6Addr::from(octets))),
            _ => None,
        };
        Some(Self {
            payload_len: record.payload_len.get(),
            segment_size: record.segment_size.get(),
            remote: SocketAddr::new(address(record.remote)?, record.remote_port.get()),
            local: address(record.local)?,
        })
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    let mut octets = [0; 16];
    match address {
        IpAddr::V4(v4) => octets[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => octets = v6.octets(),
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_is_parsed() {
        for (remote, local) in [("10.0.0.1:53", "10.0.0.2"), ("[fe80::1]:53", "fe80::2")] {
            let header = DatagramHeader {
                payload_len: 1_234,
                segment_size: 617,
                remote: remote.parse().unwrap(),
                local: local.parse().unwrap(),
            };
            let mut bytes = [0; DatagramHeader::LEN];
            header.emit(&mut bytes);
            assert_eq!(DatagramHeader::parse(&bytes), Some(header));
        }
    }

    #[test]
    fn an_unknown_version_is_no_header() {
        assert_eq!(DatagramHeader::parse(&[0; DatagramHeader::LEN]), None);
    }
}
