//! ICMP: RFC 792, RFC 1122 §3.2.2, RFC 5927.

use std::net::SocketAddr;
use std::time::Duration;

use netlane_core::wire::icmpv4::{TimeExceeded, Unreachable};
use netlane_core::wire::{EthernetRepr, Icmpv4Repr, Protocol, Quoted, icmpv4};
use netlane_core::{Readiness, SocketError, TcpState};
use netlane_sim::{Host, Script, World, ack, data, rst, seed, syn, syn_ack};

use crate::frames::{PEER, STACK, header, icmp, ip, parse_ip, udp};

/// The error about a packet of the stack.
fn unreachable(reason: Unreachable, frame: &[u8]) -> Vec<u8> {
    let (_, offset) = EthernetRepr::parse(frame).unwrap();
    icmp(&Icmpv4Repr::DestinationUnreachable { reason, quote: icmpv4::quote(&frame[offset..]) })
}

/// A router's word that the hops of the packet in `frame` are used up.
fn time_exceeded(frame: &[u8]) -> Vec<u8> {
    let quote = icmpv4::quote(&frame[14..]);
    icmp(&Icmpv4Repr::TimeExceeded { reason: TimeExceeded::InTransit, quote })
}

fn parameter_problem(frame: &[u8]) -> Vec<u8> {
    icmp(&Icmpv4Repr::ParameterProblem { pointer: 8, quote: icmpv4::quote(&frame[14..]) })
}

#[test]
fn echo_is_answered_with_the_same_data() {
    let mut script = Script::new();
    script.inject_frame(&icmp(&Icmpv4Repr::EchoRequest { ident: 7, seq: 9, data: b"are you there?" }));
    let frame = script.next_frame().expect("an answer");
    let (_, packet) = parse_ip(&frame);
    assert_eq!((packet.repr.src, packet.repr.dst), (STACK, PEER));
    let reply = Icmpv4Repr::parse(packet.payload).unwrap();
    assert_eq!(reply, Icmpv4Repr::EchoReply { ident: 7, seq: 9, data: b"are you there?" });
}

#[test]
fn echo_to_everybody_is_not_answered() {
    let mut script = Script::new();
    let message = Icmpv4Repr::EchoRequest { ident: 7, seq: 9, data: b"" };
    let mut bytes = vec![0; message.len()];
    message.emit(&mut bytes);
    for everybody in ["10.0.0.255", "255.255.255.255", "224.0.0.1"] {
        script.inject_frame(&ip(
            &header(PEER, everybody.parse().unwrap(), Protocol::ICMP, bytes.len()),
            &bytes,
        ));
    }
    script.expect_nothing();
    assert_eq!(script.stack().counters().rx_other_address, 3);
}

#[test]
fn two_stacks_ping_each_other() {
    let (mut world, a, b) = World::pair(seed(1), |host: Host| host);
    let socket = world[a].echo_bind("10.0.0.1".parse().unwrap(), 0).unwrap();
    let ident = world[a].local_addr(socket).unwrap().port();
    assert_ne!(ident, 0);
    let to = SocketAddr::from(([10, 0, 0, 2], 0));
    for seq in 1..=3u16 {
        let mut record = seq.to_be_bytes().to_vec();
        record.extend_from_slice(b"payload");
        world[a].udp_send_to(socket, to, &record).unwrap();
        world.run_for(Duration::from_millis(10));
        let mut out = [0; 64];
        let (n, from) = world[a].udp_recv_from(socket, &mut out).expect("a reply");
        assert_eq!(from.remote.ip(), to.ip());
        assert_eq!(out[..n], record);
    }
    assert_eq!(world[b].counters().rx_no_socket, 0);
}

#[test]
fn echo_reply_that_nobody_waits_for_is_counted() {
    let mut script = Script::new();
    script.inject_frame(&icmp(&Icmpv4Repr::EchoReply { ident: 7, seq: 9, data: b"" }));
    script.expect_nothing();
    assert_eq!(script.stack().counters().rx_no_socket, 1);
}

#[test]
fn datagram_to_a_closed_port_is_answered_with_port_unreachable() {
    let mut script = Script::new();
    script.inject_frame(&udp((PEER, 99), (STACK, 53), b"anybody?"));
    let frame = script.next_frame().expect("an error");
    let (_, packet) = parse_ip(&frame);
    let Icmpv4Repr::DestinationUnreachable { reason, quote } = Icmpv4Repr::parse(packet.payload).unwrap()
    else {
        panic!("not an error: {packet:?}");
    };
    assert_eq!(reason, Unreachable::Port);
    let quoted = Quoted::parse_v4(quote).unwrap();
    assert_eq!((quoted.src, quoted.dst), (PEER.into(), STACK.into()));
    assert_eq!(script.stack().counters().rx_no_socket, 1);
}

#[test]
fn errors_are_limited_per_second() {
    let mut script = Script::builder().stack(|config| config.limits.errors_per_second = 2).start();
    for _ in 0..5 {
        script.inject_frame(&udp((PEER, 99), (STACK, 53), b"anybody?"));
    }
    assert_eq!(script.skip(), 2);
    assert_eq!(script.stack().counters().tx_suppressed, 3);
}

#[test]
fn unknown_protocol_is_answered_with_protocol_unreachable_and_counted() {
    let mut script = Script::new();
    script.inject_frame(&ip(&header(PEER, STACK, Protocol(132), 8), &[0; 8]));
    let frame = script.next_frame().expect("an error");
    let (_, packet) = parse_ip(&frame);
    let message = Icmpv4Repr::parse(packet.payload).unwrap();
    assert!(matches!(message, Icmpv4Repr::DestinationUnreachable { reason: Unreachable::Protocol, .. }));
    assert_eq!(script.stack().counters().rx_unknown_protocol, 1);
}

#[test]
fn connected_datagram_socket_is_told_that_nobody_listens() {
    let mut script = Script::new();
    let socket = script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap();
    script.stack().udp_send_to(socket, Script::PEER, b"hello").unwrap();
    let frame = script.next_frame().expect("the datagram");
    // Unconnected, it is not told: who knows which of its peers that was (RFC 1122 §4.1.3.3).
    script.inject_frame(&unreachable(Unreachable::Port, &frame));
    assert_eq!(script.stack().take_error(socket), Ok(None));
    script.stack().udp_connect(socket, Some(Script::PEER)).unwrap();
    script.inject_frame(&unreachable(Unreachable::Port, &frame));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Refused)));
    script.inject_frame(&unreachable(Unreachable::Host, &frame));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Unreachable)));
}

#[test]
fn attempt_to_connect_fails_when_a_router_says_so() {
    for (reason, error) in [
        (Unreachable::Port, SocketError::Refused),
        (Unreachable::Host, SocketError::Unreachable),
        (Unreachable::Network, SocketError::Unreachable),
        (Unreachable::Prohibited, SocketError::Unreachable),
    ] {
        let mut script = Script::new();
        let socket = script.connect();
        let frame = script.next_frame().expect("a SYN");
        script.inject_frame(&unreachable(reason, &frame));
        assert_eq!(script.stack().take_error(socket), Ok(Some(error)));
        let ready = script.stack().next_event().unwrap().ready;
        assert_eq!(ready, Readiness::CLOSED | Readiness::ERROR);
    }
}

#[test]
fn forged_error_about_an_attempt_to_connect_is_not_believed() {
    let mut script = Script::new();
    let socket = script.connect();
    let mut frame = script.next_frame().expect("a SYN");
    frame[14 + 20 + 7] ^= 1;
    script.inject_frame(&unreachable(Unreachable::Port, &frame));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::SynSent));
}

#[test]
fn established_connection_survives_errors() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 10);
    let frame = script.next_frame().expect("a segment");
    for reason in [Unreachable::Host, Unreachable::Port, Unreachable::FragmentationNeeded { mtu: 68 }] {
        script.inject_frame(&unreachable(reason, &frame));
    }
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
    // RFC 1122 §4.2.3.9: the user can learn of it.
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Refused)));
    assert_eq!(script.stack().take_error(socket), Ok(None));
    script.expect_after(Duration::from_millis(200), data(1, 10));
}

/// RFC 1122 §4.2.3.9, RFC 5461 §3.2: what routers have said is the reason, if the peer never answers again.
#[test]
fn connection_that_is_given_up_tells_what_routers_have_said() {
    type Said = fn(&[u8]) -> Vec<u8>;
    let fate = |said: &[Said]| {
        let mut script = Script::builder().stack(|config| config.tcp.retries = 3).start();
        let socket = script.connected();
        script.send(socket, 10);
        script.skip();
        script.run_for(Duration::from_millis(300));
        let repeated = script.next_frame().expect("a repetition");
        for error in said {
            script.inject_frame(&error(&repeated));
        }
        script.run_for(Duration::from_secs(60));
        assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Closed));
        script.stack().take_error(socket).unwrap()
    };
    assert_eq!(fate(&[]), Some(SocketError::TimedOut));
    assert_eq!(fate(&[|frame| unreachable(Unreachable::Host, frame)]), Some(SocketError::Unreachable));
    assert_eq!(fate(&[|frame| unreachable(Unreachable::Port, frame)]), Some(SocketError::Refused));
    // RFC 9293 §3.9.2.2 (MUST-56): neither of these ends a connection.
    assert_eq!(fate(&[time_exceeded]), Some(SocketError::Unreachable));
    assert_eq!(fate(&[parameter_problem]), Some(SocketError::Unreachable));
}

#[test]
fn what_routers_said_before_the_peer_answered_is_no_reason_any_more() {
    let mut script = Script::builder().stack(|config| config.tcp.retries = 3).start();
    let socket = script.connected();
    script.send(socket, 10);
    let frame = script.next_frame().expect("a segment");
    script.inject_frame(&unreachable(Unreachable::Host, &frame));
    script.inject(ack(11));
    script.send(socket, 10);
    script.run_for(Duration::from_secs(60));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::TimedOut)));
    // And a connection that ends in order has no error.
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 10);
    let frame = script.next_frame().expect("a segment");
    script.inject_frame(&unreachable(Unreachable::Host, &frame));
    script.inject(rst(1));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Reset)));
}

#[test]
fn error_about_a_segment_that_is_not_on_its_way_is_not_believed() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 10);
    let mut frame = script.next_frame().expect("a segment");
    frame[14 + 20 + 4] ^= 0x40;
    script.inject_frame(&unreachable(Unreachable::Host, &frame));
    assert_eq!(script.stack().take_error(socket), Ok(None));
    assert_eq!(script.stack().counters().rx_icmp_doubted, 1);
}

/// RFC 9293 §3.9.2.2 (MUST-56): another SYN may arrive.
#[test]
fn attempt_to_connect_goes_on_when_a_packet_was_dropped_on_its_way() {
    for error in [time_exceeded, parameter_problem] {
        let mut script = Script::new();
        let socket = script.connect();
        let frame = script.next_frame().expect("a SYN");
        script.inject_frame(&error(&frame));
        assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::SynSent));
        script.run_for(Duration::from_secs(1));
        script.inject(syn_ack());
        assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
    }
}

/// RFC 9293 §3.9.2.2 (MUST-55), RFC 6633 §3.
#[test]
fn source_quench_is_dropped() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 10);
    let frame = script.next_frame().expect("a segment");
    let mut message = [&[4, 0, 0, 0, 0, 0, 0, 0][..], icmpv4::quote(&frame[14..])].concat();
    let checksum = netlane_core::wire::checksum::sum(&message).finish().to_be_bytes();
    message[2..4].copy_from_slice(&checksum);
    let window = |script: &mut Script| script.stack().tcp_info(socket).unwrap().unwrap().congestion_window;
    let before = window(&mut script);
    script.inject_frame(&ip(&header(PEER, STACK, Protocol::ICMP, message.len()), &message));
    assert_eq!(window(&mut script), before);
    assert_eq!(script.stack().take_error(socket), Ok(None));
    assert_eq!(script.stack().counters().rx_unknown_protocol, 1);
    script.expect_nothing();
}

/// RFC 1122 §4.1.3.3: a socket that has chosen its peer is told of all errors.
#[test]
fn connected_datagram_socket_is_told_of_what_was_dropped_on_its_way() {
    let mut script = Script::new();
    let socket = script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap();
    script.stack().udp_connect(socket, Some(Script::PEER)).unwrap();
    script.stack().udp_send_to(socket, Script::PEER, b"hello").unwrap();
    let frame = script.next_frame().expect("the datagram");
    for error in [time_exceeded, parameter_problem] {
        script.inject_frame(&error(&frame));
        assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Unreachable)));
    }
}

#[test]
fn error_with_a_nonsensical_quote_is_counted() {
    let mut script = Script::new();
    let error = |quote| icmp(&Icmpv4Repr::DestinationUnreachable { reason: Unreachable::Port, quote });
    script.inject_frame(&error(&[]));
    script.inject_frame(&error(&[0x45; 19]));
    assert_eq!(script.stack().counters().rx_truncated, 2);
    script.inject_frame(&error(&[0x60; 40]));
    script.inject_frame(&error(&[0x41; 40]));
    assert_eq!(script.stack().counters().rx_malformed, 2);
    // About a packet that was never sent.
    let mut script = Script::new();
    let stranger = script.frame(&syn());
    script.inject_frame(&unreachable(Unreachable::Port, &stranger));
    script.expect_nothing();
}
