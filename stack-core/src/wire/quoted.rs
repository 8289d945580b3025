//! The packets that ICMP errors quote.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::ipv6::{self, Ipv6Packet, Ipv6Repr};
use super::{Malformed, Protocol, ipv4};

/// Whose packet an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// The packet's sender: us, if the error is genuine.
    pub src: IpAddr,
    /// Where it was going.
    pub dst: IpAddr,
    /// Its length in bytes, as its header said.
    pub len: u16,
    /// What it carried.
    pub transport: QuotedTransport,
}

/// What an error tells of the transport header that it quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotedTransport {
    /// A TCP segment.
    Tcp {
        /// The port that it came from.
        src_port: u16,
        /// The port that it was going to.
        dst_port: u16,
        /// Its sequence number. RFC 5927 §4.1: it has to lie in the window, or the error is forged.
        seq: u32,
    },
    /// A UDP datagram.
    Udp {
        /// The port that it came from.
        src_port: u16,
        /// The port that it was going to.
        dst_port: u16,
    },
    /// Something else.
    Other(Protocol),
}

impl Quoted {
    /// Reads the packet of IPv4 that an error quotes. Only what a router cannot have changed is looked at, and only
    /// 8 bytes of the payload have to be there.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::BadVersion`], [`Malformed::BadHeaderLength`];
    /// [`Malformed::Unsupported`] for a fragment that is not the first and thus names no port.
    pub fn parse_v4(quote: &[u8]) -> Result<Self, Malformed> {
        let (header, _) = ipv4::Header::ref_from_prefix(quote).map_err(|_| Malformed::Truncated)?;
        if header.version_ihl >> 4 != 4 {
            return Err(Malformed::BadVersion);
        }
        let header_len = usize::from(header.version_ihl & 0x0f) * 4;
        if header_len < ipv4::HEADER_LEN {
            return Err(Malformed::BadHeaderLength);
        }
        if header.flags_offset.get() & ipv4::OFFSET != 0 {
            return Err(Malformed::Unsupported);
        }
        let payload = quote.get(header_len..).ok_or(Malformed::Truncated)?;
        Ok(Self {
            src: Ipv4Addr::from_octets(header.src).into(),
            dst: Ipv4Addr::from_octets(header.dst).into(),
            len: header.total_len.get(),
            transport: QuotedTransport::parse(Protocol(header.protocol), payload)?,
        })
    }

    /// Reads the packet of IPv6 that an error quotes. Its end may be missing.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::BadVersion`]; [`Malformed::Unsupported`] where the quote does not
    /// reach as far as the ports, which a fragment that is not the first never does.
    pub fn parse_v6(quote: &[u8]) -> Result<Self, Malformed> {
        let (header, _) = ipv6::Header::ref_from_prefix(quote).map_err(|_| Malformed::Truncated)?;
        if header.version() != 6 {
            return Err(Malformed::BadVersion);
        }
        let repr = Ipv6Repr {
            src: Ipv6Addr::from_octets(header.src),
            dst: Ipv6Addr::from_octets(header.dst),
            next_header: Protocol(header.next_header),
            hop_limit: 0,
            traffic_class: 0,
            flow_label: 0,
            payload_len: header.payload_len.get(),
        };
        let upper = Ipv6Packet { repr, bytes: quote }.upper().map_err(|_| Malformed::Unsupported)?;
        if upper.fragment.is_some_and(|fragment| fragment.offset > 0) {
            return Err(Malformed::Unsupported);
        }
        Ok(Self {
            src: repr.src.into(),
            dst: repr.dst.into(),
            len: repr.payload_len.saturating_add(ipv6::HEADER_LEN as u16),
            transport: QuotedTransport::parse(upper.protocol, upper.payload)?,
        })
    }
}

impl QuotedTransport {
    /// Reads the front of what a quoted packet carries.
    fn parse(protocol: Protocol, payload: &[u8]) -> Result<Self, Malformed> {
        if protocol != Protocol::TCP && protocol != Protocol::UDP {
            return Ok(Self::Other(protocol));
        }
        let (front, _) = TransportFront::ref_from_prefix(payload).map_err(|_| Malformed::Truncated)?;
        let (src_port, dst_port) = (front.src_port.get(), front.dst_port.get());
        Ok(match protocol {
            Protocol::TCP => Self::Tcp { src_port, dst_port, seq: front.seq.get() },
            _ => Self::Udp { src_port, dst_port },
        })
    }
}

/// The 8 bytes of a transport header that every error quotes. In UDP, length and checksum stand in place of
/// the sequence number.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TransportFront {
    src_port: U16,
    dst_port: U16,
    seq: U32,
}
