//! Every parser on any bytes, as they are and with their checksums put right; and what was parsed, written and
//! parsed again, is the same.
#![no_main]

use std::net::Ipv4Addr;

use libfuzzer_sys::fuzz_target;
use netlane_core::DatagramHeader;
use netlane_core::wire::Quoted;
use netlane_core::wire::dhcp::DhcpReply;
use netlane_core::wire::igmp::IgmpRepr;
use netlane_core::wire::{
    ArpRepr, EthernetRepr, Icmpv4Repr, Icmpv6Repr, Ipv4Packet, Ipv6Packet, Ipv6Repr, NdpRepr, Protocol, Sum,
    TcpOptions, TcpSegment, UdpDatagram, arp, icmpv6, ipv4, ipv6, tcp, udp,
};
use netlane_fuzz::frames;

fuzz_target!(|bytes: &[u8]| {
    frame(bytes);
    let mut repaired = bytes.to_vec();
    frames::repair(&mut repaired);
    frame(&repaired);
    // What lies inside of frames, without a frame around it.
    packet(bytes);
    arp(bytes);
    segment(bytes);
    datagram(bytes);
    message(bytes);
    options(bytes);
    packet_v6(bytes);
    let _ = Quoted::parse_v4(bytes);
    let _ = Quoted::parse_v6(bytes);
    let _ = IgmpRepr::parse(bytes);
    let _ = DhcpReply::parse(bytes);
    if let Some(header) = bytes.first_chunk() {
        record(header);
    }
});

fn frame(bytes: &[u8]) {
    let Ok((repr, offset)) = EthernetRepr::parse(bytes) else { return };
    let mut out = vec![0; repr.header_len()];
    repr.emit(&mut out);
    assert_eq!(EthernetRepr::parse(&out), Ok((repr, out.len())));
    // A tag that names no VLAN, only a priority, is not written again.
    assert!(offset >= out.len());
    packet(&bytes[offset..]);
    packet_v6(&bytes[offset..]);
    arp(&bytes[offset..]);
}

fn packet_v6(bytes: &[u8]) {
    let Ok(packet) = Ipv6Packet::parse(bytes) else { return };
    assert!(packet.bytes.len() <= bytes.len());
    let mut out = packet.bytes.to_vec();
    packet.repr.emit(&mut out);
    assert_eq!(Ipv6Packet::parse(&out).map(|packet| packet.repr), Ok(packet.repr));
    let _ = icmpv6::is_about_an_error(packet.bytes);
    let Ok(upper) = packet.upper() else { return };
    assert!(upper.payload.len() <= packet.bytes.len() - ipv6::HEADER_LEN);
    match upper.protocol {
        Protocol::ICMPV6 => message_v6(&packet.repr, upper.payload),
        _ => {
            segment(upper.payload);
            datagram(upper.payload);
        }
    }
}

/// Messages of ICMPv6, of neighbour discovery and of group membership among them.
fn message_v6(ip: &Ipv6Repr, bytes: &[u8]) {
    let Ok(message) = Icmpv6Repr::parse(ip, bytes) else { return };
    if let Icmpv6Repr::Ndp(NdpRepr::RouterAdvertisement(advertisement)) = &message {
        assert!(advertisement.prefixes.into_iter().all(|prefix| prefix.prefix_len <= 128));
    }
    // What a host does not send is only read.
    if message.len() == 0 {
        return;
    }
    let mut out = vec![0; message.len()];
    message.emit(Sum::pseudo_v6(ip.src, ip.dst, Protocol::ICMPV6, out.len()), &mut out);
    assert_eq!(Icmpv6Repr::parse(ip, &out), Ok(message));
}

fn packet(bytes: &[u8]) {
    let Ok(Ipv4Packet { repr, header_len, payload }) = Ipv4Packet::parse(bytes) else { return };
    assert!(header_len + payload.len() <= bytes.len());
    let mut out = vec![0; ipv4::HEADER_LEN];
    repr.emit(&mut out);
    out.extend_from_slice(payload);
    let again = Ipv4Packet::parse(&out).expect("what was emitted is parsed");
    assert_eq!((again.repr, again.payload), (repr, payload));
    segment(payload);
    datagram(payload);
    message(payload);
    let _ = Quoted::parse_v6(bytes);
}

fn arp(bytes: &[u8]) {
    let Ok(repr) = ArpRepr::parse(bytes) else { return };
    let mut out = [0; arp::PACKET_LEN];
    repr.emit(&mut out);
    assert_eq!(ArpRepr::parse(&out), Ok(repr));
}

fn segment(bytes: &[u8]) {
    let Ok(TcpSegment { header, options: raw, payload }) = TcpSegment::parse(bytes) else { return };
    options(raw);
    let Ok(parsed) = TcpOptions::parse(raw) else { return };
    let mut out = vec![0; tcp::HEADER_LEN + tcp::MAX_OPTIONS_LEN];
    let header_len = header.emit(&parsed, &mut out);
    out.truncate(header_len);
    out.extend_from_slice(payload);
    let pseudo = Sum::pseudo_v4(Ipv4Addr::LOCALHOST, Ipv4Addr::BROADCAST, Protocol::TCP, out.len());
    tcp::fill_checksum(&mut out, pseudo);
    assert_eq!(tcp::verify(pseudo, &out), Ok(()));
    let again = TcpSegment::parse(&out).expect("what was emitted is parsed");
    assert_eq!((again.header, again.payload), (header, payload));
    assert_eq!(TcpOptions::parse(again.options).map(|options| options.len()), Ok(parsed.len()));
}

fn options(bytes: &[u8]) {
    let Ok(options) = TcpOptions::parse(bytes) else { return };
    let mut out = [0; tcp::MAX_OPTIONS_LEN];
    let len = options.emit(&mut out);
    assert_eq!(len, options.len());
    let again = TcpOptions::parse(&out[..len]).expect("what was emitted is parsed");
    let blocks = again.sack.as_slice();
    // Blocks that find no room are left out, the last ones first.
    assert_eq!(options.sack.as_slice().get(..blocks.len()), Some(blocks));
    assert_eq!(TcpOptions { sack: options.sack, ..again }, options);
}

fn datagram(bytes: &[u8]) {
    let Ok(datagram) = UdpDatagram::parse(bytes) else { return };
    let mut out = vec![0; udp::HEADER_LEN];
    datagram.repr.emit(&mut out);
    out.extend_from_slice(datagram.payload);
    let pseudo = Sum::pseudo_v4(Ipv4Addr::LOCALHOST, Ipv4Addr::BROADCAST, Protocol::UDP, out.len());
    udp::fill_checksum(&mut out, pseudo);
    let again = UdpDatagram::parse(&out).expect("what was emitted is parsed");
    assert_eq!((again.repr, again.payload), (datagram.repr, datagram.payload));
    assert!(again.has_checksum());
    assert_eq!(again.verify(pseudo), Ok(()));
}

fn message(bytes: &[u8]) {
    let Ok(message) = Icmpv4Repr::parse(bytes) else { return };
    let mut out = vec![0; message.len()];
    message.emit(&mut out);
    assert_eq!(Icmpv4Repr::parse(&out), Ok(message));
}

fn record(bytes: &[u8; DatagramHeader::LEN]) {
    let Some(header) = DatagramHeader::parse(bytes) else { return };
    let mut out = [0; DatagramHeader::LEN];
    header.emit(&mut out);
    assert_eq!(DatagramHeader::parse(&out), Some(header));
}
