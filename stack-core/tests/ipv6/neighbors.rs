//! Neighbour discovery on the link: RFC 4861 §7.

use std::net::Ipv6Addr;
use std::time::Duration;

use netlane_core::SocketError;
use netlane_core::wire::{Icmpv6Repr, Ipv6Repr, MacAddr, NdpRepr, Protocol, ndp};
use netlane_sim::Script;

use crate::frames::{PEER, STACK, header, ip, ndp, parse_icmp, parse_ip};

const ELSEWHERE: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x77]);

/// A stack that knows nobody's Ethernet address.
fn script() -> Script {
    Script::builder().over_ipv6().stack(|config| config.interface.neighbors.clear()).start()
}

/// The stack sends a datagram to the peer.
fn send(script: &mut Script) {
    let socket = script.stack().udp_bind("[fd00::1]:0".parse().unwrap()).unwrap();
    script.stack().udp_send_to(socket, Script::PEER_V6, b"hello").unwrap();
    script.stack().datagram_close(socket).unwrap();
}

/// What the peer says of itself.
fn advertisement(target_mac: Option<MacAddr>, solicited: bool, override_known: bool) -> Vec<u8> {
    let message =
        NdpRepr::NeighborAdvertisement { target: PEER, target_mac, router: false, solicited, override_known };
    ndp(PEER, if solicited { STACK } else { ndp::ALL_NODES }, message)
}

/// To whom the next frame goes, which has to be a datagram.
fn next_receiver(script: &mut Script) -> MacAddr {
    let frame = script.next_frame().expect("a datagram");
    let (ethernet, packet) = parse_ip(&frame);
    assert_eq!(packet.upper().unwrap().protocol, netlane_core::wire::Protocol::UDP);
    ethernet.dst
}

/// The question that the next frame asks, and the station that it goes to.
fn next_question(script: &mut Script) -> (MacAddr, Ipv6Addr, NdpRepr<'static>) {
    let frame = script.next_frame().expect("a question");
    let (ethernet, packet, message) = parse_icmp(&frame);
    assert_eq!(packet.hop_limit, 255);
    let Icmpv6Repr::Ndp(NdpRepr::NeighborSolicitation { target, source_mac }) = message else {
        panic!("no question")
    };
    (ethernet.dst, packet.dst, NdpRepr::NeighborSolicitation { target, source_mac })
}

#[test]
fn neighbour_is_asked_for_through_its_group_and_then_gets_what_has_waited() {
    let mut script = script();
    send(&mut script);
    let group: Ipv6Addr = "ff02::1:ff00:2".parse().unwrap();
    let question = NdpRepr::NeighborSolicitation { target: PEER, source_mac: Some(Script::STACK_MAC) };
    let to = MacAddr([0x33, 0x33, 0xff, 0, 0, 2]);
    assert_eq!(next_question(&mut script), (to, group, question));
    script.expect_nothing();
    script.inject_frame(&advertisement(Some(Script::PEER_MAC), true, true));
    assert_eq!(next_receiver(&mut script), Script::PEER_MAC);
}

#[test]
fn who_does_not_answer_three_questions_is_not_there() {
    let mut script = script();
    let socket = script.stack().tcp_connect(None, Script::PEER_V6).unwrap();
    script.run_for(Duration::from_millis(3_100));
    let questions = script.frames();
    // RFC 4861 §10: MAX_MULTICAST_SOLICIT, a RETRANS_TIMER apart.
    assert_eq!(questions.len(), 3);
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Unreachable)));
}

#[test]
fn who_asks_for_us_is_answered_and_remembered() {
    let mut script = script();
    let question = NdpRepr::NeighborSolicitation { target: STACK, source_mac: Some(Script::PEER_MAC) };
    script.inject_frame(&ndp(PEER, ndp::solicited_node(STACK), question));
    let frame = script.next_frame().expect("an answer");
    let (ethernet, packet, message) = parse_icmp(&frame);
    let answer = NdpRepr::NeighborAdvertisement {
        target: STACK,
        target_mac: Some(Script::STACK_MAC),
        router: false,
        solicited: true,
        override_known: true,
    };
    assert_eq!((ethernet.dst, packet.src, packet.dst), (Script::PEER_MAC, STACK, PEER));
    assert_eq!((packet.hop_limit, message), (255, Icmpv6Repr::Ndp(answer)));
    send(&mut script);
    assert_eq!(next_receiver(&mut script), Script::PEER_MAC);
}

#[test]
fn questions_for_others_are_not_ours_to_answer() {
    let mut script = script();
    // Another address of the same group as ours.
    let target = "fd00::4:0:1".parse().unwrap();
    let question = NdpRepr::NeighborSolicitation { target, source_mac: Some(Script::PEER_MAC) };
    script.inject_frame(&ndp(PEER, ndp::solicited_node(STACK), question));
    script.expect_nothing();
}

#[test]
fn rfc_4861_section_7_2_4_who_has_no_address_is_answered_where_all_hear_it() {
    let mut script = script();
    let question = NdpRepr::NeighborSolicitation { target: STACK, source_mac: None };
    script.inject_frame(&ndp(Ipv6Addr::UNSPECIFIED, ndp::solicited_node(STACK), question));
    let frame = script.next_frame().expect("an answer");
    let (ethernet, packet, message) = parse_icmp(&frame);
    assert_eq!((ethernet.dst, packet.dst), (MacAddr([0x33, 0x33, 0, 0, 0, 1]), ndp::ALL_NODES));
    let Icmpv6Repr::Ndp(NdpRepr::NeighborAdvertisement { solicited, .. }) = message else { panic!() };
    assert!(!solicited);
}

/// A stack that has learnt the peer's Ethernet address by asking for it.
fn resolved() -> Script {
    let mut script = script();
    send(&mut script);
    script.skip();
    script.inject_frame(&advertisement(Some(Script::PEER_MAC), true, true));
    assert_eq!(next_receiver(&mut script), Script::PEER_MAC);
    script
}

#[test]
fn rfc_4861_section_7_2_5_another_address_takes_the_known_ones_place_only_by_override() {
    let mut script = resolved();
    script.inject_frame(&advertisement(Some(ELSEWHERE), false, false));
    send(&mut script);
    assert_eq!(next_receiver(&mut script), Script::PEER_MAC);
    // But it is asked whether it is still there.
    let (to, _, _) = next_question(&mut script);
    assert_eq!(to, Script::PEER_MAC);

    script.inject_frame(&advertisement(Some(ELSEWHERE), false, true));
    send(&mut script);
    assert_eq!(next_receiver(&mut script), ELSEWHERE);
}

#[test]
fn advertisements_of_nobody_that_we_know_are_not_kept() {
    let mut script = script();
    script.inject_frame(&advertisement(Some(ELSEWHERE), false, true));
    send(&mut script);
    assert_eq!(next_question(&mut script).0, MacAddr([0x33, 0x33, 0xff, 0, 0, 2]));
    // An answer without an Ethernet address does not help.
    script.inject_frame(&advertisement(None, true, true));
    script.expect_nothing();
}

#[test]
fn what_comes_from_afar_or_in_the_name_of_our_own_is_dropped() {
    let mut script = resolved();
    let mut from_afar = advertisement(Some(ELSEWHERE), false, true);
    from_afar[14 + 7] = 254;
    script.inject_frame(&from_afar);
    let message = NdpRepr::NeighborAdvertisement {
        target: STACK,
        target_mac: Some(ELSEWHERE),
        router: false,
        solicited: false,
        override_known: true,
    };
    script.inject_frame(&ndp(PEER, ndp::ALL_NODES, message));
    let counters = script.stack().counters();
    assert_eq!((counters.rx_bad_source, counters.address_conflicts), (1, 1));
    send(&mut script);
    assert_eq!(next_receiver(&mut script), Script::PEER_MAC);
}

/// RFC 6980 §5: whoever cuts them wants to pass filters that look at the first part.
#[test]
fn rfc_6980_messages_in_fragments_are_dropped() {
    let mut script = Script::builder().over_ipv6().start();
    let question = NdpRepr::NeighborSolicitation { target: STACK, source_mac: Some(Script::PEER_MAC) };
    let whole = ndp(PEER, ndp::solicited_node(STACK), question);
    let message = &whole[14 + 40..];
    let repr = Ipv6Repr { dst: ndp::solicited_node(STACK), hop_limit: 255, ..header(Protocol(44)) };
    let part = |offset: u16, more: u8, bytes: &[u8]| {
        let [high, low] = offset.to_be_bytes();
        ip(&repr, &[&[58, 0, high, low | more, 0, 0, 0, 1], bytes].concat())
    };
    script.inject_frame(&part(0, 1, &message[..16]));
    script.inject_frame(&part(16, 0, &message[16..]));
    // A fragment that is the whole (RFC 6946) is one too.
    script.inject_frame(&part(0, 0, message));
    script.expect_nothing();
    assert_eq!(script.stack().counters().rx_fragmented_ndp, 2);
    script.inject_frame(&whole);
    assert!(script.next_frame().is_some(), "in one piece it is answered");
}
