//! Which addresses are the stack's: RFC 4862 §5.3, §5.4. And which groups it says that it listens to: RFC 3810.

use std::net::Ipv6Addr;
use std::time::Duration;

use netlane_core::wire::{Icmpv6Repr, Ipv6Repr, MacAddr, NdpRepr, Protocol, Sum, icmpv6, ndp};
use netlane_core::{AddressChange, ConnectError};
use netlane_sim::{Host, Script, World, seed};

use crate::frames::{PEER, STACK, header, icmp, ip, ndp, parse_icmp, parse_ip, parse_ndp};

/// The stack's link-local address: RFC 4291, appendix A, of 02:00:00:00:00:01.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);

/// A stack that has to find out whether its addresses are its own.
fn script() -> Script {
    let careful = Script::builder().over_ipv6().stack(|config| {
        config.interface.ipv6.duplicate_address_detection = true;
    });
    careful.start()
}

/// The addresses that something happened to, and what.
fn changes(script: &mut Script) -> Vec<(Ipv6Addr, AddressChange)> {
    let mut changes = Vec::new();
    while let Some(event) = script.stack().next_address_event() {
        changes.push((event.address.to_string().parse().unwrap(), event.change));
    }
    changes.sort_by_key(|(address, _)| *address);
    changes
}

/// A question whether anybody has `target`, in the name of somebody who wants it.
fn wants(target: Ipv6Addr) -> Vec<u8> {
    let question = NdpRepr::NeighborSolicitation { target, source_mac: None };
    ndp(Ipv6Addr::UNSPECIFIED, ndp::solicited_node(target), question)
}

fn has(target: Ipv6Addr) -> Vec<u8> {
    let claim = NdpRepr::NeighborAdvertisement {
        target,
        target_mac: Some(MacAddr([2, 0, 0, 0, 0, 0x77])),
        router: false,
        solicited: false,
        override_known: true,
    };
    ndp(PEER, ndp::ALL_NODES, claim)
}

fn is_answered(script: &mut Script, target: Ipv6Addr) -> bool {
    script.skip();
    let question = NdpRepr::NeighborSolicitation { target, source_mac: Some(Script::PEER_MAC) };
    script.inject_frame(&ndp(PEER, ndp::solicited_node(target), question));
    script.next_frame().is_some()
}

#[test]
fn rfc_4862_section_5_4_addresses_are_asked_for_and_then_used() {
    let mut script = script();
    assert!(script.stack().has_tentative_addresses());
    assert!(!is_answered(&mut script, STACK), "nobody is told of an address that may not be ours");
    script.run_for(Duration::from_secs(2));
    let mut asked: Vec<_> = script
        .frames()
        .iter()
        .map(|frame| {
            let (packet, message) = parse_ndp(frame);
            let NdpRepr::NeighborSolicitation { target, source_mac: None } = message else {
                panic!("{message:?}")
            };
            assert_eq!((packet.src, packet.dst), (Ipv6Addr::UNSPECIFIED, ndp::solicited_node(target)));
            target
        })
        .collect();
    asked.sort();
    assert_eq!(asked, [STACK, LINK_LOCAL]);
    script.run_for(Duration::from_millis(1));
    assert_eq!(changes(&mut script), [STACK, LINK_LOCAL].map(|address| (address, AddressChange::Assigned)));
    assert!(!script.stack().has_tentative_addresses());
    assert!(is_answered(&mut script, STACK) && is_answered(&mut script, LINK_LOCAL));
}

#[test]
fn an_address_that_somebody_has_or_wants_too_is_not_used() {
    for claim in [has(STACK), wants(STACK)] {
        let mut script = script();
        script.inject_frame(&claim);
        script.run_for(Duration::from_secs(3));
        let expected = [(STACK, AddressChange::Duplicate), (LINK_LOCAL, AddressChange::Assigned)];
        assert_eq!(changes(&mut script), expected);
        assert_eq!(script.stack().counters().duplicate_addresses, 1);
        assert!(!is_answered(&mut script, STACK) && is_answered(&mut script, LINK_LOCAL));
    }
}

#[test]
fn our_own_question_that_comes_back_claims_nothing() {
    let mut script = script();
    let mut echo = wants(STACK);
    echo[6..12].copy_from_slice(&Script::STACK_MAC.0);
    script.inject_frame(&echo);
    script.run_for(Duration::from_secs(3));
    assert!(is_answered(&mut script, STACK));
}

#[test]
fn listeners_may_wait_for_an_address_and_connections_may_not() {
    let mut script = script();
    script.next_frame();
    script.stack().tcp_listen("[fd00::1]:80".parse().unwrap(), 16).expect("the address is about to be ours");
    let peer = Script::PEER_V6;
    assert_eq!(script.stack().tcp_connect(None, peer), Err(ConnectError::Unreachable));
    script.run_for(Duration::from_secs(3));
    assert!(script.stack().tcp_connect(None, peer).is_ok());
}

#[test]
fn somebody_who_claims_an_address_of_ours_is_noticed() {
    let mut script = Script::builder().over_ipv6().start();
    script.inject_frame(&has(STACK));
    assert!(changes(&mut script).contains(&(STACK, AddressChange::Conflict)));
    assert_eq!(script.stack().counters().address_conflicts, 1);
    assert!(is_answered(&mut script, STACK), "but it stays ours");
}

#[test]
fn an_address_added_later_is_asked_for_as_well() {
    let mut script = Script::builder().over_ipv6().start();
    script.skip();
    script.stack().add_address("fd00::5/64".parse().unwrap()).unwrap();
    assert!(is_answered(&mut script, "fd00::5".parse().unwrap()), "at once where nobody is to be asked");
    assert!(script.stack().remove_address("fd00::5".parse().unwrap()));
    assert!(!is_answered(&mut script, "fd00::5".parse().unwrap()));
}

#[test]
fn of_two_hosts_that_want_the_same_address_at_most_one_gets_it() {
    let seed = seed(1);
    for run in 0..20 {
        let mut world = World::new(seed + run);
        let careful = |name: &str| {
            Host::new(name, "fd00::1/64").stack(|config| {
                config.interface.ipv6.duplicate_address_detection = true;
            })
        };
        let hosts = [world.add(careful("a")), world.add(careful("b"))];
        world.run_for(Duration::from_secs(3));
        let owners = hosts.into_iter().filter(|host| {
            let mut assigned = false;
            while let Some(event) = world[*host].next_address_event() {
                let ours = event.address == std::net::IpAddr::V6(STACK);
                assigned |= ours && event.change == AddressChange::Assigned;
            }
            assigned
        });
        assert!(owners.count() <= 1, "run {run}");
    }
}

#[test]
fn rfc_3810_groups_are_reported_to_the_routers_with_a_router_alert() {
    let mut script = Script::builder().over_ipv6().with_listener_reports().start();
    let frame = script.next_frame().expect("a report");
    let (ethernet, packet) = parse_ip(&frame);
    assert_eq!(ethernet.dst, MacAddr([0x33, 0x33, 0, 0, 0, 0x16]));
    assert_eq!((packet.repr.dst.to_string().as_str(), packet.repr.hop_limit), ("ff02::16", 1));
    let upper = packet.upper().unwrap();
    assert!(upper.router_alert);
    let pseudo = Sum::pseudo_v6(packet.repr.src, packet.repr.dst, Protocol::ICMPV6, upper.payload.len());
    assert_eq!(pseudo.add(netlane_core::wire::checksum::sum(upper.payload)).finish(), 0);
    // Two changes to "exclude nobody": the groups of the address and of the link-local one, which are the same.
    assert_eq!(upper.payload[..2], [143, 0]);
    assert_eq!(upper.payload[8], 4);
    assert_eq!(upper.payload[12..28], ndp::solicited_node(STACK).octets());
}

#[test]
fn a_routers_question_for_listeners_is_answered_in_time() {
    let mut script = Script::builder().over_ipv6().with_listener_reports().start();
    script.run_for(Duration::from_secs(5));
    script.skip();
    let mut query = vec![130, 0, 0, 0, 0x03, 0xe8, 0, 0];
    query.extend([0; 16]);
    query.extend([2, 125, 0, 0]);
    let router = "fe80::ff".parse().unwrap();
    let repr = Ipv6Repr { src: router, dst: ndp::ALL_NODES, hop_limit: 1, ..header(Protocol::ICMPV6) };
    icmpv6::fill_checksum(&mut query, Sum::pseudo_v6(router, repr.dst, Protocol::ICMPV6, 28));
    script.inject_frame(&ip(&repr, &query));
    script.run_for(Duration::from_secs(1));
    let frame = script.next_frame().expect("a report");
    let (_, packet) = parse_ip(&frame);
    let report = packet.upper().unwrap().payload;
    // RFC 3810 §5.2.12: MODE_IS_EXCLUDE.
    assert_eq!((report[0], report[8]), (143, 2));
    script.expect_nothing();
}

#[test]
fn without_an_address_of_ipv6_the_stack_says_nothing_about_it() {
    let mut script = Script::new();
    script.expect_silence(Duration::from_secs(10));
    let request = Icmpv6Repr::EchoRequest { ident: 7, seq: 9, data: b"" };
    script.inject_frame(&icmp(&Ipv6Repr { dst: ndp::ALL_NODES, ..header(Protocol::ICMPV6) }, &request));
    script.expect_nothing();
    let mut careful = Script::builder().over_ipv6().start();
    careful.inject_frame(&icmp(&Ipv6Repr { dst: ndp::ALL_NODES, ..header(Protocol::ICMPV6) }, &request));
    assert!(matches!(parse_icmp(&careful.next_frame().unwrap()).2, Icmpv6Repr::EchoReply { .. }));
}
