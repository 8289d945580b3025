//! Finding neighbours by ARP, and the routes behind them: RFC 826, RFC 1122 §2.3.2, RFC 5227.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use netlane_core::wire::{ArpOperation, MacAddr};
use netlane_core::{ConnectError, Readiness, Route, SocketError};
use netlane_sim::{Script, ScriptBuilder, syn};

use crate::frames::{PEER, STACK, arp, parse_arp, parse_ip, parse_udp, udp};

/// A second, and the tick by which a timer may be late.
const SECOND: Duration = Duration::from_millis(1_001);
const OTHER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

/// A script whose stack does not know its peer's Ethernet address.
fn stranger() -> ScriptBuilder {
    Script::builder().stack(|config| config.interface.neighbors.clear())
}

fn reply() -> Vec<u8> {
    arp(ArpOperation::Reply, (Script::PEER_MAC, PEER), (Script::STACK_MAC, STACK))
}

fn expect_request(script: &mut Script, target: Ipv4Addr, to: MacAddr) {
    let frame = script.next_frame().expect("an ARP request");
    let (dst, arp) = parse_arp(&frame);
    assert_eq!((dst, arp.operation, arp.target_ip), (to, ArpOperation::Request, target));
    assert_eq!((arp.sender_mac, arp.sender_ip), (Script::STACK_MAC, STACK));
}

#[test]
fn packets_wait_while_their_neighbour_is_asked_for() {
    let mut script = stranger().start();
    let socket = script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap();
    for n in 0..3 {
        script.stack().udp_send_to(socket, Script::PEER, &[n]).unwrap();
    }
    expect_request(&mut script, PEER, MacAddr::BROADCAST);
    script.expect_nothing();
    script.inject_frame(&reply());
    for n in 0..3 {
        let frame = script.next_frame().expect("what has waited");
        assert_eq!(parse_ip(&frame).0.dst, Script::PEER_MAC);
        assert_eq!(parse_udp(&frame).payload, [n]);
    }
    assert_eq!(script.stack().next_learnt(), Some((IpAddr::V4(PEER), Script::PEER_MAC)));
}

#[test]
fn only_the_latest_packets_wait() {
    let mut script = stranger().stack(|config| config.limits.neighbor_queue = 2).start();
    let socket = script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap();
    for n in 0..5 {
        script.stack().udp_send_to(socket, Script::PEER, &[n]).unwrap();
    }
    expect_request(&mut script, PEER, MacAddr::BROADCAST);
    script.inject_frame(&reply());
    for n in [3, 4] {
        let frame = script.next_frame().expect("what has waited");
        assert_eq!(parse_udp(&frame).payload, [n]);
    }
    script.expect_nothing();
    assert_eq!(script.stack().counters().tx_neighbor_queue_full, 3);
}

#[test]
fn connecting_to_a_neighbour_that_does_not_answer_fails_after_three_seconds() {
    let mut script = stranger().start();
    let socket = script.connect();
    for _ in 0..3 {
        expect_request(&mut script, PEER, MacAddr::BROADCAST);
        script.expect_nothing();
        script.run_for(SECOND);
    }
    script.run_for(Duration::from_millis(1));
    let event = script.stack().next_event().expect("an event");
    assert_eq!((event.socket, event.ready), (socket, Readiness::CLOSED | Readiness::ERROR));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Unreachable)));
    // The first SYN and its repetitions have waited.
    assert!(script.stack().counters().tx_unreachable >= 2);
    script.expect_silence(10 * SECOND);
}

#[test]
fn static_neighbours_are_never_asked_for_and_believed_whatever_is_told() {
    let mut script = Script::new();
    let forged = arp(ArpOperation::Reply, (OTHER_MAC, PEER), (Script::STACK_MAC, STACK));
    script.inject_frame(&forged);
    script.connect();
    let frame = script.next_frame().expect("a SYN");
    assert_eq!(parse_ip(&frame).0.dst, Script::PEER_MAC);
    script.expect_nothing();
}

#[test]
fn requests_for_our_address_are_answered_and_others_are_not() {
    let mut script = stranger().start();
    let asker = (Script::PEER_MAC, PEER);
    script.inject_frame(&arp(ArpOperation::Request, asker, (MacAddr::ZERO, STACK)));
    let frame = script.next_frame().expect("an answer");
    let (dst, answer) = parse_arp(&frame);
    assert_eq!((dst, answer.operation), (Script::PEER_MAC, ArpOperation::Reply));
    assert_eq!((answer.sender_mac, answer.sender_ip), (Script::STACK_MAC, STACK));
    assert_eq!((answer.target_mac, answer.target_ip), asker);

    script.inject_frame(&arp(ArpOperation::Request, asker, (MacAddr::ZERO, Ipv4Addr::new(10, 0, 0, 77))));
    script.expect_nothing();
}

#[test]
fn probe_for_our_address_is_answered() {
    let mut script = stranger().start();
    let nobody = (Script::PEER_MAC, Ipv4Addr::UNSPECIFIED);
    script.inject_frame(&arp(ArpOperation::Request, nobody, (MacAddr::ZERO, STACK)));
    assert_eq!(parse_arp(&script.next_frame().expect("an answer")).1.sender_ip, STACK);
}

#[test]
fn whoever_asks_for_us_need_not_be_asked_for() {
    let mut script = stranger().start();
    script.inject_frame(&arp(ArpOperation::Request, (Script::PEER_MAC, PEER), (MacAddr::ZERO, STACK)));
    script.skip();
    script.connect();
    let frame = script.next_frame().expect("a SYN");
    assert_eq!(parse_ip(&frame).0.dst, Script::PEER_MAC);
    // It is verified all the same, by asking it directly.
    expect_request(&mut script, PEER, Script::PEER_MAC);
}

#[test]
fn announcements_of_strangers_are_not_remembered() {
    let mut script = stranger().start();
    script.inject_frame(&arp(ArpOperation::Request, (Script::PEER_MAC, PEER), (MacAddr::ZERO, PEER)));
    script.inject_frame(&reply_to_somebody_else());
    script.connect();
    expect_request(&mut script, PEER, MacAddr::BROADCAST);
}

#[test]
fn announcement_corrects_the_address_of_a_known_neighbour() {
    let mut script = stranger().start();
    let socket = script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap();
    script.stack().udp_send_to(socket, Script::PEER, b"1").unwrap();
    script.skip();
    script.inject_frame(&reply());
    script.skip();
    script.inject_frame(&arp(ArpOperation::Request, (OTHER_MAC, PEER), (MacAddr::ZERO, PEER)));
    script.stack().udp_send_to(socket, Script::PEER, b"2").unwrap();
    assert_eq!(parse_ip(&script.next_frame().expect("a datagram")).0.dst, OTHER_MAC);
    expect_request(&mut script, PEER, OTHER_MAC);
}

#[test]
fn silent_neighbour_is_forgotten_and_asked_for_again() {
    let mut script = stranger().start();
    let socket = script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap();
    script.stack().udp_send_to(socket, Script::PEER, b"1").unwrap();
    script.skip();
    script.inject_frame(&reply());
    script.skip();
    script.run_for(40 * SECOND);
    script.stack().udp_send_to(socket, Script::PEER, b"2").unwrap();
    assert_eq!(parse_udp(&script.next_frame().expect("a datagram")).payload, b"2");
    for _ in 0..3 {
        expect_request(&mut script, PEER, Script::PEER_MAC);
        script.run_for(SECOND);
    }
    script.stack().udp_send_to(socket, Script::PEER, b"3").unwrap();
    expect_request(&mut script, PEER, MacAddr::BROADCAST);
}

#[test]
fn arp_of_an_impossible_sender_is_counted() {
    let mut script = stranger().start();
    let target = (MacAddr::ZERO, STACK);
    let from = |mac, ip| arp(ArpOperation::Request, (mac, ip), target);
    // Our own address, somebody beyond the link, a group, and a group's Ethernet address.
    script.inject_frame(&from(OTHER_MAC, STACK));
    script.inject_frame(&from(OTHER_MAC, Ipv4Addr::new(192, 168, 0, 1)));
    script.inject_frame(&from(OTHER_MAC, Ipv4Addr::new(224, 0, 0, 1)));
    script.inject_frame(&from(MacAddr::BROADCAST, PEER));
    script.expect_nothing();
    assert_eq!(script.stack().counters().rx_bad_source, 4);
}

#[test]
fn packets_beyond_the_subnet_go_to_the_gateway() {
    let gateway = Route { to: "0.0.0.0/0".parse().unwrap(), via: IpAddr::V4(PEER), metric: 0 };
    let mut script = stranger().stack(|config| config.interface.routes = vec![gateway]).start();
    let far = SocketAddr::from(([192, 0, 2, 1], 80));
    script.stack().tcp_connect(None, far).unwrap();
    expect_request(&mut script, PEER, MacAddr::BROADCAST);
    script.inject_frame(&reply());
    let frame = script.next_frame().expect("a SYN");
    let (ethernet, packet) = parse_ip(&frame);
    assert_eq!((ethernet.dst, packet.repr.dst), (Script::PEER_MAC, Ipv4Addr::new(192, 0, 2, 1)));
    // And what comes from there through the gateway is taken.
    let socket = script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap();
    script.inject_frame(&udp((Ipv4Addr::new(192, 0, 2, 1), 99), (STACK, 53), b"hello"));
    let mut out = [0; 10];
    assert_eq!(script.stack().udp_recv_from(socket, &mut out).map(|(n, _)| n), Ok(5));
}

#[test]
fn the_longest_prefix_decides_on_the_gateway() {
    let via = |last| IpAddr::from([10, 0, 0, last]);
    let routes = vec![
        Route { to: "0.0.0.0/0".parse().unwrap(), via: via(2), metric: 0 },
        Route { to: "192.0.2.0/24".parse().unwrap(), via: via(3), metric: 0 },
    ];
    let mut script = stranger().stack(|config| config.interface.routes = routes).start();
    script.stack().tcp_connect(None, SocketAddr::from(([192, 0, 2, 1], 80))).unwrap();
    expect_request(&mut script, Ipv4Addr::new(10, 0, 0, 3), MacAddr::BROADCAST);
    script.stack().tcp_connect(None, SocketAddr::from(([192, 0, 3, 1], 80))).unwrap();
    expect_request(&mut script, Ipv4Addr::new(10, 0, 0, 2), MacAddr::BROADCAST);
}

#[test]
fn without_a_route_nothing_can_be_sent() {
    let mut script = Script::new();
    let far = SocketAddr::from(([192, 0, 2, 1], 80));
    assert_eq!(script.stack().tcp_connect(None, far), Err(ConnectError::Unreachable));
    let socket = script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap();
    script.stack().udp_send_to(socket, far, b"lost").unwrap();
    script.expect_nothing();
    assert_eq!(script.stack().counters().tx_no_route, 1);
    let event = script.stack().next_event().expect("an event");
    assert!(event.ready.contains(Readiness::ERROR));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Unreachable)));
}

#[test]
fn stack_of_another_queue_may_tell_of_a_neighbour() {
    let mut script = stranger().start();
    script.stack().learn_neighbor(IpAddr::V4(PEER), Script::PEER_MAC);
    script.connect();
    let frame = script.next_frame().expect("a SYN");
    assert_eq!(parse_ip(&frame).0.dst, Script::PEER_MAC);
}

#[test]
fn neighbours_are_limited() {
    let mut script = stranger().stack(|config| config.limits.neighbors = 2).start();
    let socket = script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap();
    for last in 10..13 {
        script.stack().udp_send_to(socket, SocketAddr::from(([10, 0, 0, last], 1)), b"x").unwrap();
    }
    assert_eq!(script.skip(), 2, "two are asked for");
    assert_eq!(script.stack().counters().tx_neighbor_queue_full, 1);
}

#[test]
fn handshake_survives_that_its_first_answer_had_to_wait() {
    let mut script = stranger().start();
    script.listen();
    script.inject(syn().mss(1_460));
    expect_request(&mut script, PEER, MacAddr::BROADCAST);
    script.inject_frame(&reply());
    script.expect(netlane_sim::syn_ack().mss(1_460));
}

fn reply_to_somebody_else() -> Vec<u8> {
    arp(ArpOperation::Reply, (Script::PEER_MAC, PEER), (OTHER_MAC, Ipv4Addr::new(10, 0, 0, 77)))
}
