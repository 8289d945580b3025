//! The formats of packets: from bytes to types and back.
//!
//! Each format is parsed once, at the edge, into a small value that cannot hold what the protocol forbids,
//! beside the bytes that it carries. Nothing here allocates, and no input panics. The way out is `emit`,
//! which writes a header into bytes that the caller owns.

pub mod arp;
pub mod checksum;
pub mod dhcp;
pub mod ecn;
pub mod ethernet;
pub mod group_report;
pub mod icmpv4;
pub mod icmpv6;
pub mod igmp;
pub mod ipv4;
pub mod ipv6;
pub mod mld;
pub mod ndp;
pub mod quoted;
pub mod tcp;
pub mod tcp_options;
pub mod udp;

pub use arp::{ArpOperation, ArpRepr};
pub use checksum::Sum;
pub use ethernet::{EtherType, EthernetRepr, MacAddr, VlanId};
pub use group_report::{GroupRecord, RecordKind};
pub use icmpv4::Icmpv4Repr;
pub use icmpv6::Icmpv6Repr;
pub use ipv4::{Fragment, Ipv4Packet, Ipv4Repr, Protocol};
pub use ipv6::{Ipv6Packet, Ipv6Repr};
pub use ndp::NdpRepr;
pub use quoted::{Quoted, QuotedTransport};
pub use tcp::{TcpFlags, TcpHeader, TcpSegment};
pub use tcp_options::{FastOpen, SackBlock, SackBlocks, TcpOptions, Timestamps, UserTimeout};
pub use udp::{UdpDatagram, UdpRepr};

/// Why a packet was not understood. Whoever drops it counts it under this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// The packet ends before its header does.
    Truncated,
    /// The version field names another protocol.
    BadVersion,
    /// The header's length field is smaller than the least header or larger than the packet.
    BadHeaderLength,
    /// The length field of the whole packet is smaller than its header or larger than what arrived.
    BadTotalLength,
    /// The checksum is wrong.
    BadChecksum,
    /// An option has an impossible length, or is one that we refuse.
    BadOption,
    /// An address stands where its kind may not: a group as the sender.
    BadAddress,
    /// A message that only neighbours may send has passed a router.
    FromAfar,
    /// A well-formed packet of a kind that netlane does not speak.
    Unsupported,
}

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "truncated header",
            Self::BadVersion => "wrong version",
            Self::BadHeaderLength => "impossible header length",
            Self::BadTotalLength => "impossible total length",
            Self::BadChecksum => "wrong checksum",
            Self::BadOption => "impossible or refused option",
            Self::BadAddress => "address of the wrong kind",
            Self::FromAfar => "neighbour's message from afar",
            Self::Unsupported => "unsupported kind of packet",
        })
    }
}

impl core::error::Error for Malformed {}
