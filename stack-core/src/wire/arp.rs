//! The Address Resolution Protocol between Ethernet and IPv4 (RFC 826).

use core::net::Ipv4Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{EtherType, MacAddr, Malformed};

/// Length of a packet in bytes.
pub const PACKET_LEN: usize = size_of::<Packet>();

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpRepr {
    /// Question or answer.
    pub operation: ArpOperation,
    /// The sender's Ethernet address.
    pub sender_mac: MacAddr,
    /// The sender's IP address; 0.0.0.0 in a probe (RFC 5227 §2.1.1).
    pub sender_ip: Ipv4Addr,
    /// The Ethernet address of the one that is asked or answered; means nothing in a request.
    pub target_mac: MacAddr,
    /// The IP address that is asked for, or of the one that is answered.
    pub target_ip: Ipv4Addr,
}

/// What an ARP packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpOperation {
    /// Who has the target's IP address?
    Request,
    /// The sender has the sender's IP address.
    Reply,
}

impl ArpRepr {
    /// Reads an ARP packet. Bytes after it are padding.
    ///
    /// # Errors
    /// [`Malformed::Truncated`]; [`Malformed::Unsupported`] for other hardware, protocols and operations;
    /// [`Malformed::BadHeaderLength`] if the lengths of addresses are not theirs; [`Malformed::BadAddress`]
    /// if the sender is a group.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let (packet, _) = Packet::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
        if packet.hardware != ETHERNET || packet.protocol != EtherType::IPV4.0 {
            return Err(Malformed::Unsupported);
        }
        if packet.hardware_len != 6 || packet.protocol_len != 4 {
            return Err(Malformed::BadHeaderLength);
        }
        let operation = match packet.operation.get() {
            REQUEST => ArpOperation::Request,
            REPLY => ArpOperation::Reply,
            _ => return Err(Malformed::Unsupported),
        };
        let sender_ip = Ipv4Addr::from_octets(packet.sender_ip);
        // RFC 1812 §3.3.2: nobody is to believe that a host's link address is a broadcast or multicast one.
        if packet.sender_mac.is_multicast() || sender_ip.is_multicast() || sender_ip.is_broadcast() {
            return Err(Malformed::BadAddress);
        }
        Ok(Self {
            operation,
            sender_mac: packet.sender_mac,
            sender_ip,
            target_mac: packet.target_mac,
            target_ip: Ipv4Addr::from_octets(packet.target_ip),
        })
    }

    /// Writes the packet to the front of `out`.
    ///
    /// # Panics
    /// If `out` is shorter than [`PACKET_LEN`].
    #[inline]
    pub fn emit(&self, out: &mut [u8]) {
        let Self { operation, sender_mac, sender_ip, target_mac, target_ip } = *self;
        let operation = match operation {
            ArpOperation::Request => REQUEST,
            ArpOperation::Reply => REPLY,
        };
        let packet = Packet {
            hardware: ETHERNET.into(),
            protocol: EtherType::IPV4.0.into(),
            hardware_len: 6,
            protocol_len: 4,
            operation: operation.into(),
            sender_mac,
            sender_ip: sender_ip.octets(),
            target_mac,
            target_ip: target_ip.octets(),
        };
        packet.write_to_prefix(out).expect("room for an ARP packet");
    }
}

/// Hardware type "Ethernet" (IANA's ARP parameters).
const ETHERNET: u16 = 1;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Packet {
    hardware: U16,
    protocol: U16,
    hardware_len: u8,
    protocol_len: u8,
    operation: U16,
    sender_mac: MacAddr,
    sender_ip: [u8; 4],
    target_mac: MacAddr,
    target_ip: [u8; 4],
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A request from Linux: who has 10.7.0.2? Tell 10.7.0.1.
    const REQUEST_FROM_LINUX: [u8; 28] =
        [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 7, 0, 1, 0, 0, 0, 0, 0, 0, 10, 7, 0, 2];

    fn changed(at: usize, to: u8) -> [u8; 28] {
        let mut packet = REQUEST_FROM_LINUX;
        packet[at] = to;
        packet
    }

    #[test]
    fn reads_and_writes_a_request_from_linux() {
        let repr = ArpRepr {
            operation: ArpOperation::Request,
            sender_mac: MacAddr([2, 0, 0, 0, 0, 1]),
            sender_ip: Ipv4Addr::new(10, 7, 0, 1),
            target_mac: MacAddr::ZERO,
            target_ip: Ipv4Addr::new(10, 7, 0, 2),
        };
        assert_eq!(ArpRepr::parse(&REQUEST_FROM_LINUX), Ok(repr));
        let mut out = [0xaa; 28];
        repr.emit(&mut out);
        assert_eq!(out, REQUEST_FROM_LINUX);
    }

    #[test]
    fn refuses_what_is_not_ethernet_and_ipv4() {
        assert_eq!(ArpRepr::parse(&REQUEST_FROM_LINUX[..27]), Err(Malformed::Truncated));
        assert_eq!(ArpRepr::parse(&changed(1, 6)), Err(Malformed::Unsupported));
        assert_eq!(ArpRepr::parse(&changed(2, 0x86)), Err(Malformed::Unsupported));
        assert_eq!(ArpRepr::parse(&changed(7, 3)), Err(Malformed::Unsupported));
        assert_eq!(ArpRepr::parse(&changed(4, 8)), Err(Malformed::BadHeaderLength));
        assert_eq!(ArpRepr::parse(&changed(5, 16)), Err(Malformed::BadHeaderLength));
    }

    #[test]
    fn refuses_groups_as_senders() {
        assert_eq!(ArpRepr::parse(&changed(8, 0xff)), Err(Malformed::BadAddress));
        assert_eq!(ArpRepr::parse(&changed(14, 224)), Err(Malformed::BadAddress));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            reply: bool, mut sender_mac: [u8; 6], sender_ip: Ipv4Addr, target_mac: [u8; 6],
            target_ip: Ipv4Addr,
        ) {
            prop_assume!(!sender_ip.is_multicast() && !sender_ip.is_broadcast());
            sender_mac[0] &= !1;
            let repr = ArpRepr {
                operation: if reply { ArpOperation::Reply } else { ArpOperation::Request },
                sender_mac: MacAddr(sender_mac),
                sender_ip,
                target_mac: MacAddr(target_mac),
                target_ip,
            };
            let mut out = [0; PACKET_LEN + 18];
            repr.emit(&mut out);
            prop_assert_eq!(ArpRepr::parse(&out), Ok(repr));
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = ArpRepr::parse(&bytes);
        }

        #[test]
        fn a_flipped_byte_is_read_or_refused(at in 0..28_usize, to: u8) {
            let _ = ArpRepr::parse(&changed(at, to));
        }
    }
}
