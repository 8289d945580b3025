//! ICMPv6: RFC 4443, and the errors of RFC 8200 §4.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use netlane_core::wire::icmpv6::{ParameterProblem, TimeExceeded, Unreachable};
use netlane_core::wire::{Icmpv6Repr, Ipv6Repr, Protocol, Sum, UdpRepr, ndp, udp};
use netlane_core::{Readiness, SocketError, TcpState};
use netlane_sim::{Host, Script, World, seed};

use crate::frames::{PEER, STACK, header, icmp, ip, parse_icmp, parse_ip};

fn script() -> Script {
    Script::builder().over_ipv6().start()
}

fn datagram(dst: Ipv6Addr, dst_port: u16) -> Vec<u8> {
    let repr = UdpRepr { src_port: 99, dst_port, payload_len: 5 };
    let mut bytes = vec![0; udp::HEADER_LEN];
    repr.emit(&mut bytes);
    bytes.extend_from_slice(b"hello");
    let pseudo = Sum::pseudo_v6(PEER, dst, Protocol::UDP, bytes.len());
    udp::fill_checksum(&mut bytes, pseudo);
    ip(&Ipv6Repr { dst, ..header(Protocol::UDP) }, &bytes)
}

/// The problem that the stack tells of the packet that it was sent, which it has to quote.
fn problem(script: &mut Script, packet: &[u8]) -> Option<(ParameterProblem, u32)> {
    script.inject_frame(packet);
    let frame = script.next_frame()?;
    let Icmpv6Repr::ParameterProblem { problem, pointer, quote } = parse_icmp(&frame).2 else {
        panic!("another message")
    };
    assert_eq!(quote, &packet[14..]);
    Some((problem, pointer))
}

#[test]
fn echo_is_answered_with_the_same_data() {
    let mut script = script();
    let request = Icmpv6Repr::EchoRequest { ident: 7, seq: 9, data: b"are you there?" };
    script.inject_frame(&icmp(&header(Protocol::ICMPV6), &request));
    let frame = script.next_frame().expect("an answer");
    let (_, packet, reply) = parse_icmp(&frame);
    assert_eq!((packet.src, packet.dst, packet.hop_limit), (STACK, PEER, 64));
    assert_eq!(reply, Icmpv6Repr::EchoReply { ident: 7, seq: 9, data: b"are you there?" });
}

#[test]
fn rfc_4443_section_4_2_echo_to_all_nodes_is_answered_from_an_address_of_one() {
    let mut script = script();
    let request = Icmpv6Repr::EchoRequest { ident: 7, seq: 9, data: b"" };
    let to_all = Ipv6Repr { dst: ndp::ALL_NODES, ..header(Protocol::ICMPV6) };
    script.inject_frame(&icmp(&to_all, &request));
    let frame = script.next_frame().expect("an answer");
    assert_eq!(parse_ip(&frame).1.repr.src, STACK);
    let to_others = Ipv6Repr { dst: "ff02::77".parse().unwrap(), ..to_all };
    script.inject_frame(&icmp(&to_others, &request));
    script.expect_nothing();
    assert_eq!(script.stack().counters().rx_other_address, 1);
}

#[test]
fn two_stacks_ping_each_other() {
    let mut world = World::new(seed(1));
    let a = world.add(Host::new("a", "fd00::1/64"));
    let _b = world.add(Host::new("b", "fd00::2/64"));
    let socket = world[a].echo_bind("fd00::1".parse().unwrap(), 0).unwrap();
    let to: SocketAddr = "[fd00::2]:0".parse().unwrap();
    for seq in 1..=3u16 {
        let mut record = seq.to_be_bytes().to_vec();
        record.extend_from_slice(b"payload");
        world[a].udp_send_to(socket, to, &record).unwrap();
        world.run_for(Duration::from_millis(10));
        let mut out = [0; 64];
        let (n, from) = world[a].udp_recv_from(socket, &mut out).expect("a reply");
        assert_eq!((from.remote.ip(), &out[..n]), (to.ip(), &record[..]));
    }
}

#[test]
fn an_echo_socket_speaks_to_one_family_alone() {
    let mut script = script();
    let socket = script.stack().echo_bind("::".parse().unwrap(), 5).unwrap();
    script.stack().udp_send_to(socket, "10.0.0.2:0".parse().unwrap(), &[0, 1]).unwrap();
    script.expect_nothing();
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Unreachable)));
}

#[test]
fn datagram_to_a_closed_port_is_answered_with_port_unreachable() {
    let mut script = script();
    let sent = datagram(STACK, 53);
    script.inject_frame(&sent);
    let frame = script.next_frame().expect("an error");
    let quote = &sent[14..];
    let expected = Icmpv6Repr::DestinationUnreachable { reason: Unreachable::Port, quote };
    assert_eq!(parse_icmp(&frame).2, expected);
    script.inject_frame(&datagram(ndp::ALL_NODES, 53));
    script.expect_nothing();
}

#[test]
fn errors_are_sent_no_faster_than_the_limit() {
    let builder = Script::builder().over_ipv6().stack(|config| config.limits.errors_per_second = 3);
    let mut script = builder.start();
    for _ in 0..10 {
        script.inject_frame(&datagram(STACK, 53));
    }
    assert_eq!(script.frames().len(), 3);
    assert_eq!(script.stack().counters().tx_suppressed, 7);
}

#[test]
fn rfc_8200_section_8_1_datagram_without_checksum_is_dropped() {
    let mut script = script();
    script.stack().udp_bind("[::]:53".parse().unwrap()).unwrap();
    let mut frame = datagram(STACK, 53);
    frame[14 + 40 + udp::CHECKSUM_OFFSET..][..2].fill(0);
    script.inject_frame(&frame);
    script.expect_nothing();
    assert_eq!(script.stack().counters().rx_bad_checksum, 1);
}

#[test]
fn what_is_not_known_is_told_with_a_pointer_to_it() {
    let mut script = script();
    let unknown = ip(&header(Protocol(200)), b"?");
    assert_eq!(problem(&mut script, &unknown), Some((ParameterProblem::NextHeader, 6)));
    let behind_options = ip(&header(Protocol(60)), &[200, 0, 1, 4, 0, 0, 0, 0]);
    assert_eq!(problem(&mut script, &behind_options), Some((ParameterProblem::NextHeader, 40)));
    let option = ip(&header(Protocol(0)), &[17, 0, 0xbe, 4, 0, 0, 0, 0]);
    assert_eq!(problem(&mut script, &option), Some((ParameterProblem::Option, 42)));
    let source_route = ip(&header(Protocol(43)), &[17, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(problem(&mut script, &source_route), Some((ParameterProblem::Field, 42)));
    assert_eq!(problem(&mut script, &ip(&header(Protocol(59)), b"")), None, "nothing follows");
    let counters = script.stack().counters();
    assert_eq!((counters.rx_unknown_protocol, counters.rx_bad_options, counters.rx_malformed), (3, 1, 1));
}

#[test]
fn rfc_8200_section_4_2_options_say_whether_groups_are_told_too() {
    let mut script = script();
    let to_group = Ipv6Repr { dst: ndp::ALL_NODES, ..header(Protocol(0)) };
    let of_kind = |kind: u8| ip(&to_group, &[17, 0, kind, 4, 0, 0, 0, 0]);
    assert_eq!(problem(&mut script, &of_kind(0b1011_1110)), Some((ParameterProblem::Option, 42)));
    assert_eq!(problem(&mut script, &of_kind(0b1111_1110)), None);
    assert_eq!(problem(&mut script, &of_kind(0b0111_1110)), None);
}

#[test]
fn connected_datagram_socket_learns_that_nobody_listens() {
    let mut world = World::new(seed(1));
    let a = world.add(Host::new("a", "fd00::1/64"));
    let _b = world.add(Host::new("b", "fd00::2/64"));
    let peer: SocketAddr = "[fd00::2]:9".parse().unwrap();
    let socket = world[a].udp_bind("[fd00::1]:0".parse().unwrap()).unwrap();
    world[a].udp_connect(socket, Some(peer)).unwrap();
    world[a].udp_send_to(socket, peer, b"anybody?").unwrap();
    world.run_for(Duration::from_millis(10));
    let mut ready = Readiness::empty();
    while let Some(event) = world[a].next_event() {
        ready |= event.ready;
    }
    assert!(ready.contains(Readiness::ERROR));
    assert_eq!(world[a].take_error(socket), Ok(Some(SocketError::Refused)));
}

/// RFC 5461 §3.2, RFC 9293 §3.9.2.2: as over IPv4.
#[test]
fn connection_survives_errors_and_tells_of_them_when_it_is_given_up() {
    let error = |frame: &[u8]| {
        let quote = &frame[14..];
        let message = Icmpv6Repr::DestinationUnreachable { reason: Unreachable::NoRoute, quote };
        icmp(&header(Protocol::ICMPV6), &message)
    };
    let builder = Script::builder().over_ipv6().stack(|config| config.tcp.retries = 3);
    let mut script = builder.start();
    let socket = script.connected();
    script.send(socket, 10);
    let frame = script.next_frame().expect("a segment");
    script.inject_frame(&error(&frame));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Unreachable)));
    script.run_for(Duration::from_millis(300));
    let repeated = script.next_frame().expect("a repetition");
    let quote = &repeated[14..];
    let message = Icmpv6Repr::TimeExceeded { reason: TimeExceeded::InTransit, quote };
    script.inject_frame(&icmp(&header(Protocol::ICMPV6), &message));
    script.run_for(Duration::from_secs(60));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Unreachable)));
}

#[test]
fn attempt_to_connect_over_ipv6_fails_when_a_router_says_so() {
    for (reason, error) in
        [(Unreachable::Port, SocketError::Refused), (Unreachable::Prohibited, SocketError::Unreachable)]
    {
        let mut script = script();
        let socket = script.connect();
        let frame = script.next_frame().expect("a SYN");
        let message = Icmpv6Repr::DestinationUnreachable { reason, quote: &frame[14..] };
        script.inject_frame(&icmp(&header(Protocol::ICMPV6), &message));
        assert_eq!(script.stack().take_error(socket), Ok(Some(error)));
    }
}
