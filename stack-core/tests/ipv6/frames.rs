//! Frames by hand.

use std::net::Ipv6Addr;

use netlane_core::wire::{
    EtherType, EthernetRepr, Icmpv6Repr, Ipv6Packet, Ipv6Repr, MacAddr, NdpRepr, Protocol, Sum, ethernet,
    icmpv6, ipv6, ndp,
};
use netlane_sim::Script;

pub(crate) const STACK: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const PEER: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

/// The header of a packet from the peer to the stack.
pub(crate) fn header(next_header: Protocol) -> Ipv6Repr {
    Ipv6Repr {
        src: PEER,
        dst: STACK,
        next_header,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        payload_len: 0,
    }
}

/// A frame with an IPv6 packet.
pub(crate) fn ip(repr: &Ipv6Repr, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN + ipv6::HEADER_LEN];
    let is_group = repr.dst.is_multicast();
    let dst = if is_group { MacAddr::multicast_for_v6(repr.dst) } else { Script::STACK_MAC };
    EthernetRepr { dst, src: Script::PEER_MAC, ethertype: EtherType::IPV6, vlan: None }.emit(&mut frame);
    let repr = Ipv6Repr { payload_len: payload.len() as u16, ..*repr };
    repr.emit(&mut frame[ethernet::HEADER_LEN..]);
    frame.extend_from_slice(payload);
    frame
}

/// A message in a packet with this header, its checksum filled in.
pub(crate) fn icmp(repr: &Ipv6Repr, message: &Icmpv6Repr<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.len()];
    message.emit(Sum::pseudo_v6(repr.src, repr.dst, Protocol::ICMPV6, bytes.len()), &mut bytes);
    ip(repr, &bytes)
}

/// A message of neighbour discovery.
pub(crate) fn ndp(src: Ipv6Addr, dst: Ipv6Addr, message: NdpRepr<'_>) -> Vec<u8> {
    let repr = Ipv6Repr { src, dst, hop_limit: 255, ..header(Protocol::ICMPV6) };
    icmp(&repr, &Icmpv6Repr::Ndp(message))
}

/// The Ethernet header and the IPv6 packet in a frame.
pub(crate) fn parse_ip(frame: &[u8]) -> (EthernetRepr, Ipv6Packet<'_>) {
    let (ethernet, offset) = EthernetRepr::parse(frame).expect("an Ethernet header");
    assert_eq!(ethernet.ethertype, EtherType::IPV6, "a frame with IPv6");
    (ethernet, Ipv6Packet::parse(&frame[offset..]).expect("an IPv6 header"))
}

/// The headers and the message in a frame, whose checksum has to be right.
pub(crate) fn parse_icmp(frame: &[u8]) -> (EthernetRepr, Ipv6Repr, Icmpv6Repr<'_>) {
    let (ethernet, packet) = parse_ip(frame);
    let upper = packet.upper().expect("an extension header");
    assert_eq!(upper.protocol, Protocol::ICMPV6);
    (ethernet, packet.repr, Icmpv6Repr::parse(&packet.repr, upper.payload).expect("a message"))
}

/// The message of neighbour discovery in a frame, and the header of its packet.
pub(crate) fn parse_ndp(frame: &[u8]) -> (Ipv6Repr, NdpRepr<'_>) {
    match parse_icmp(frame) {
        (_, repr, Icmpv6Repr::Ndp(message)) => (repr, message),
        (.., message) => panic!("no message of neighbour discovery: {message:?}"),
    }
}

/// A prefix of 64 bits as a router advertises it: the prefix, its flags, and for how many seconds it is preferred and
/// valid.
pub(crate) type Prefix<'a> = (&'a str, u8, u32, u32);

/// Flags of a prefix (RFC 4861 §4.6.2): its addresses are on the link; hosts may make themselves some.
pub(crate) const ON_LINK: u8 = 0x80;
pub(crate) const AUTONOMOUS: u8 = 0x40;

/// The router that advertises.
pub(crate) const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xff);

/// What [`ROUTER`] tells: that it serves for `lifetime` seconds, an MTU where that is not zero, and prefixes.
pub(crate) fn advertisement(lifetime: u16, mtu: u32, prefixes: &[Prefix<'_>]) -> Vec<u8> {
    advertisement_from(ROUTER, lifetime, mtu, prefixes)
}

pub(crate) fn advertisement_from(src: Ipv6Addr, lifetime: u16, mtu: u32, prefixes: &[Prefix<'_>]) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 77, 0];
    message.extend(lifetime.to_be_bytes());
    message.extend([0; 8]);
    message.extend([1, 1]);
    message.extend(Script::PEER_MAC.0);
    if mtu > 0 {
        message.extend([5, 1, 0, 0]);
        message.extend(mtu.to_be_bytes());
    }
    for (prefix, flags, preferred, valid) in prefixes {
        message.extend([3, 4, 64, *flags]);
        message.extend(valid.to_be_bytes());
        message.extend(preferred.to_be_bytes());
        message.extend([0; 4]);
        message.extend(prefix.parse::<Ipv6Addr>().expect("a prefix").octets());
    }
    let repr = Ipv6Repr { src, dst: ndp::ALL_NODES, hop_limit: 255, ..header(Protocol::ICMPV6) };
    let pseudo = Sum::pseudo_v6(src, repr.dst, Protocol::ICMPV6, message.len());
    icmpv6::fill_checksum(&mut message, pseudo);
    ip(&repr, &message)
}
