//! Frames by hand.

use std::net::Ipv4Addr;

use netlane_core::wire::{
    ArpOperation, ArpRepr, EtherType, EthernetRepr, Fragment, Icmpv4Repr, Ipv4Packet, Ipv4Repr, MacAddr,
    Protocol, Sum, UdpDatagram, UdpRepr, arp, ethernet, ipv4, udp,
};
use netlane_sim::Script;

pub(crate) const STACK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// A frame from the peer to the stack.
pub(crate) fn ethernet(ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    ethernet_to(Script::STACK_MAC, ethertype, payload)
}

pub(crate) fn ethernet_to(dst: MacAddr, ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN];
    EthernetRepr { dst, src: Script::PEER_MAC, ethertype, vlan: None }.emit(&mut frame);
    frame.extend_from_slice(payload);
    frame
}

/// An IPv4 header for `payload_len` bytes.
pub(crate) fn header(src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol, payload_len: usize) -> Ipv4Repr {
    Ipv4Repr {
        src,
        dst,
        protocol,
        ttl: 64,
        tos: 0,
        ident: 1,
        dont_fragment: false,
        fragment: None,
        payload_len: payload_len as u16,
    }
}

/// A frame with an IPv4 packet.
pub(crate) fn ip(repr: &Ipv4Repr, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; ipv4::HEADER_LEN];
    repr.emit(&mut packet);
    packet.extend_from_slice(payload);
    let dst = if repr.dst.is_broadcast() || repr.dst == Ipv4Addr::new(10, 0, 0, 255) {
        MacAddr::BROADCAST
    } else if repr.dst.is_multicast() {
        MacAddr::multicast_for_v4(repr.dst)
    } else {
        Script::STACK_MAC
    };
    ethernet_to(dst, EtherType::IPV4, &packet)
}

/// A UDP datagram with its checksum.
pub(crate) fn udp(src: (Ipv4Addr, u16), dst: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let repr = UdpRepr { src_port: src.1, dst_port: dst.1, payload_len: payload.len() as u16 };
    let mut bytes = vec![0; udp::HEADER_LEN];
    repr.emit(&mut bytes);
    bytes.extend_from_slice(payload);
    let pseudo = Sum::pseudo_v4(src.0, dst.0, Protocol::UDP, bytes.len());
    udp::fill_checksum(&mut bytes, pseudo);
    ip(&header(src.0, dst.0, Protocol::UDP, bytes.len()), &bytes)
}

/// An ICMP message from the peer to the stack.
pub(crate) fn icmp(message: &Icmpv4Repr<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.len()];
    message.emit(&mut bytes);
    ip(&header(PEER, STACK, Protocol::ICMP, bytes.len()), &bytes)
}

/// An ARP packet from `sender` to everybody.
pub(crate) fn arp(
    operation: ArpOperation,
    sender: (MacAddr, Ipv4Addr),
    target: (MacAddr, Ipv4Addr),
) -> Vec<u8> {
    let mut bytes = vec![0; arp::PACKET_LEN];
    let repr = ArpRepr {
        operation,
        sender_mac: sender.0,
        sender_ip: sender.1,
        target_mac: target.0,
        target_ip: target.1,
    };
    repr.emit(&mut bytes);
    let dst = if operation == ArpOperation::Request { MacAddr::BROADCAST } else { Script::STACK_MAC };
    ethernet_to(dst, EtherType::ARP, &bytes)
}

/// The ARP packet in a frame, and to whom it went.
pub(crate) fn parse_arp(frame: &[u8]) -> (MacAddr, ArpRepr) {
    let (ethernet, offset) = EthernetRepr::parse(frame).expect("an Ethernet header");
    assert_eq!(ethernet.ethertype, EtherType::ARP);
    (ethernet.dst, ArpRepr::parse(&frame[offset..]).expect("ARP"))
}

/// The Ethernet header and the IPv4 packet in a frame.
pub(crate) fn parse_ip(frame: &[u8]) -> (EthernetRepr, Ipv4Packet<'_>) {
    let (ethernet, offset) = EthernetRepr::parse(frame).expect("an Ethernet header");
    assert_eq!(ethernet.ethertype, EtherType::IPV4, "a frame with IPv4");
    (ethernet, Ipv4Packet::parse(&frame[offset..]).expect("an IPv4 header"))
}

/// The datagram in a frame, whose checksum has to be right.
pub(crate) fn parse_udp(frame: &[u8]) -> UdpDatagram<'_> {
    let (_, packet) = parse_ip(frame);
    assert_eq!(packet.repr.protocol, Protocol::UDP);
    let datagram = UdpDatagram::parse(packet.payload).expect("a datagram");
    let pseudo = Sum::pseudo_v4(packet.repr.src, packet.repr.dst, Protocol::UDP, packet.payload.len());
    assert!(datagram.has_checksum());
    datagram.verify(pseudo).expect("a right checksum");
    datagram
}

/// An IPv4 packet's frame, cut into parts with `len` bytes of payload each.
pub(crate) fn cut(frame: &[u8], len: usize) -> Vec<Vec<u8>> {
    let (_, packet) = parse_ip(frame);
    let parts = packet.payload.chunks(len).enumerate();
    let part = |(n, part): (usize, &[u8])| {
        let offset = n * len;
        let fragment = Fragment { offset: offset as u16, more: offset + part.len() < packet.payload.len() };
        let repr = Ipv4Repr { fragment: Some(fragment), payload_len: part.len() as u16, ..packet.repr };
        ip(&repr, part)
    };
    parts.map(part).collect()
}
