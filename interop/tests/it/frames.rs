//! Frames by hand, from a host that there is nowhere else.

use std::fs;
use std::net::Ipv4Addr;

use netlane_config::{MacAddress, Neighbor};
use netlane_interop::wire::NETLANE;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr, TcpPacket, TcpRepr, UdpPacket, UdpRepr};

/// netlane's Ethernet address.
pub(crate) const NETLANE_MAC: [u8; 6] = [2, 0, 10, 9, 0, 2];
/// The host that there is nowhere else.
pub(crate) const GHOST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 66);
pub(crate) const GHOST_MAC: [u8; 6] = [2, 0, 10, 9, 0, 66];
/// Where netlane listens, for TCP and for UDP.
pub(crate) const PORT: u16 = 7;

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const ARP: u16 = 0x0806;
pub(crate) const VLAN: u16 = 0x8100;

/// The host as netlane's neighbour, which is never asked for its Ethernet address.
pub(crate) fn ghost() -> Neighbor {
    Neighbor { address: GHOST.into(), mac: MacAddress(GHOST_MAC) }
}

/// Keeps the kernel from saying anything by itself over interfaces that are yet to be made.
pub(crate) fn silence_the_kernel() {
    // Where there is no IPv6, there is nothing to silence.
    let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
}

pub(crate) fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&NETLANE_MAC[..], &GHOST_MAC, &ethertype.to_be_bytes(), payload].concat()
}

pub(crate) fn ipv4_packet(source: Ipv4Addr, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let header = Ipv4Repr {
        src_addr: source,
        dst_addr: NETLANE,
        next_header: protocol,
        payload_len: payload.len(),
        hop_limit: 64,
    };
    let mut packet = vec![0; 20];
    header.emit(&mut Ipv4Packet::new_unchecked(&mut packet[..]), &ChecksumCapabilities::default());
    packet.extend(payload);
    packet
}

pub(crate) fn tcp_packet(segment: &TcpRepr<'_>, source: Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![0; segment.buffer_len()];
    let mut packet = TcpPacket::new_unchecked(&mut bytes[..]);
    segment.emit(&mut packet, &source.into(), &NETLANE.into(), &ChecksumCapabilities::default());
    ipv4_packet(source, IpProtocol::Tcp, &bytes)
}

pub(crate) fn udp_packet(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 8 + payload.len()];
    let mut packet = UdpPacket::new_unchecked(&mut bytes[..]);
    let header = UdpRepr { src_port: 4242, dst_port: PORT };
    let emit = |place: &mut [u8]| place.copy_from_slice(payload);
    let checksums = ChecksumCapabilities::default();
    header.emit(&mut packet, &GHOST.into(), &NETLANE.into(), payload.len(), emit, &checksums);
    ipv4_packet(GHOST, IpProtocol::Udp, &bytes)
}

pub(crate) fn icmp_packet(message: [u8; 8]) -> Vec<u8> {
    ipv4_packet(GHOST, IpProtocol::Icmp, &message)
}
