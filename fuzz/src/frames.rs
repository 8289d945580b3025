//! Frames to the stack, well-formed but for what the fuzzer puts into them; and the repair of broken checksums,
//! without which nearly all that a fuzzer invents would end at the first check.

use std::net::Ipv4Addr;

use netlane_core::wire::{
    ArpRepr, EtherType, EthernetRepr, Ipv4Packet, Ipv4Repr, Ipv6Packet, MacAddr, Protocol, Sum, TcpHeader,
    arp, checksum, ethernet, ipv4, tcp, udp,
};

/// The stack's Ethernet address.
pub const STACK_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// The stack's IP address.
pub const STACK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The peer's Ethernet address.
pub const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
/// The peer's IP address. The stack knows where it is.
pub const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
/// A neighbour that the stack has to ask for.
pub const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);

/// A frame from `src` with an IPv4 packet, whose transport checksum is put right.
pub fn packet(src: Ipv4Addr, protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN + ipv4::HEADER_LEN];
    EthernetRepr { dst: STACK_MAC, src: PEER_MAC, ethertype: EtherType::IPV4, vlan: None }.emit(&mut frame);
    let repr = Ipv4Repr {
        src,
        dst: STACK,
        protocol,
        ttl: 64,
        tos: 0,
        ident: 0,
        dont_fragment: true,
        fragment: None,
        payload_len: payload.len() as u16,
    };
    repr.emit(&mut frame[ethernet::HEADER_LEN..]);
    frame.extend_from_slice(payload);
    repair(&mut frame);
    frame
}

/// A frame from the peer with a TCP segment; `options` are padded to whole words and cut off at 40 bytes.
pub fn segment(src: Ipv4Addr, header: &TcpHeader, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; tcp::HEADER_LEN];
    header.emit(&Default::default(), &mut bytes);
    bytes.extend_from_slice(&options[..options.len().min(tcp::MAX_OPTIONS_LEN)]);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes[DATA_OFFSET] = (bytes.len() as u8 / 4) << 4;
    bytes.extend_from_slice(payload);
    packet(src, Protocol::TCP, &bytes)
}

/// A frame from the peer with a UDP datagram.
pub fn datagram(src: Ipv4Addr, src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let repr = netlane_core::wire::UdpRepr { src_port, dst_port, payload_len: payload.len() as u16 };
    let mut bytes = vec![0; udp::HEADER_LEN];
    repr.emit(&mut bytes);
    bytes.extend_from_slice(payload);
    packet(src, Protocol::UDP, &bytes)
}

/// A frame with an ARP packet.
pub fn arp(repr: &ArpRepr) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN + arp::PACKET_LEN];
    let header = EthernetRepr { dst: STACK_MAC, src: repr.sender_mac, ethertype: EtherType::ARP, vlan: None };
    header.emit(&mut frame);
    repr.emit(&mut frame[ethernet::HEADER_LEN..]);
    frame
}

/// Turns a frame of the stack's round, so that it comes from where it went.
pub fn turn_round(frame: &mut [u8]) {
    let (Some(macs), ip) = (frame.get_mut(..12), ethernet::HEADER_LEN + 12) else { return };
    macs.rotate_left(6);
    if let Some(addresses) = frame.get_mut(ip..ip + 8) {
        addresses.rotate_left(4);
    }
    if let Some(ports) = frame.get_mut(ip + 8..ip + 12) {
        ports.rotate_left(2);
    }
}

/// Puts the checksums of an IP header and of what it carries right, as far as lengths make sense.
pub fn repair(frame: &mut [u8]) {
    match EthernetRepr::parse(frame) {
        Ok((EthernetRepr { ethertype: EtherType::IPV4, .. }, offset)) => repair_v4(&mut frame[offset..]),
        Ok((EthernetRepr { ethertype: EtherType::IPV6, .. }, offset)) => repair_v6(&mut frame[offset..]),
        _ => {}
    }
}

/// The same for an IPv6 packet, whose own header has none.
pub fn repair_v6(ip: &mut [u8]) {
    let Ok(packet) = Ipv6Packet::parse(ip) else { return };
    let Ok(upper) = packet.upper() else { return };
    let (src, dst, len) = (packet.repr.src, packet.repr.dst, upper.payload.len());
    let pseudo = Sum::pseudo_v6(src, dst, upper.protocol, len);
    let place = match upper.protocol {
        Protocol::TCP => tcp::CHECKSUM_OFFSET,
        Protocol::UDP => udp::CHECKSUM_OFFSET,
        Protocol::ICMPV6 => ICMP_CHECKSUM,
        _ => return,
    };
    let end = packet.bytes.len();
    if len >= place + 2 {
        let payload = &mut ip[end - len..end];
        put(payload, place, 0);
        let sum = pseudo.add(checksum::sum(payload)).finish();
        put(payload, place, sum);
    }
}

fn repair_v4(ip: &mut [u8]) {
    let header_len = ip.first().map_or(0, |version_ihl| usize::from(version_ihl & 0x0f) * 4);
    let Some(header) = ip.get_mut(..header_len).filter(|header| header.len() >= ipv4::HEADER_LEN) else {
        return;
    };
    put(header, IP_CHECKSUM, 0);
    let sum = checksum::sum(header).finish();
    put(header, IP_CHECKSUM, sum);
    let Ok(Ipv4Packet { repr, header_len, payload }) = Ipv4Packet::parse(ip) else { return };
    let (len, pseudo) = (payload.len(), Sum::pseudo_v4(repr.src, repr.dst, repr.protocol, payload.len()));
    let payload = &mut ip[header_len..header_len + len];
    let (place, pseudo) = match repr.protocol {
        Protocol::TCP => (tcp::CHECKSUM_OFFSET, pseudo),
        Protocol::UDP => (udp::CHECKSUM_OFFSET, pseudo),
        Protocol::ICMP => (ICMP_CHECKSUM, Sum::ZERO),
        _ => return,
    };
    if len >= place + 2 {
        put(payload, place, 0);
        let sum = pseudo.add(checksum::sum(payload)).finish();
        put(payload, place, sum);
    }
}

fn put(bytes: &mut [u8], at: usize, word: u16) {
    bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
}

const IP_CHECKSUM: usize = 10;
const ICMP_CHECKSUM: usize = 2;
const DATA_OFFSET: usize = 12;
