//! Routers and the addresses that follow from them: RFC 4861 §6.3 and §8.3, RFC 4862 §5.5.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use netlane_core::wire::{Ipv6Repr, MacAddr, NdpRepr, Protocol, Sum, icmpv6, ndp};
use netlane_core::{AddressChange, ConnectError};
use netlane_sim::{Script, ScriptBuilder};

use crate::frames::{
    AUTONOMOUS, ON_LINK, ROUTER, STACK, advertisement, advertisement_from, header, ip, parse_ip, parse_ndp,
};

/// What the stack makes of the prefix 2001:db8:1::/64: RFC 4291, appendix A, of 02:00:00:00:00:01.
const FORMED: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0xff, 0xfe00, 1);
const PREFIX: &str = "2001:db8:1::";
const FAR_AWAY: &str = "[2600::1]:80";

/// A stack without addresses of its own that looks for routers.
fn builder() -> ScriptBuilder {
    Script::builder().over_ipv6().stack(|config| {
        config.interface.addresses.clear();
        config.interface.neighbors.clear();
        config.interface.ipv6.autoconfigure = true;
    })
}

fn changes(script: &mut Script) -> Vec<(IpAddr, AddressChange)> {
    std::iter::from_fn(|| script.stack().next_address_event())
        .map(|event| (event.address, event.change))
        .collect()
}

/// Where the first packet of a connection to `to` goes: the Ethernet address, and the source that it names.
fn way_to(script: &mut Script, to: &str) -> Result<(MacAddr, Ipv6Addr), ConnectError> {
    script.skip();
    let socket = script.stack().tcp_connect(None, to.parse::<SocketAddr>().unwrap())?;
    let frame = script.next_frame().expect("a frame");
    let (ethernet, packet) = parse_ip(&frame);
    script.stack().tcp_abort(socket).unwrap();
    script.skip();
    Ok((ethernet.dst, packet.repr.src))
}

#[test]
fn routers_are_asked_for_and_an_address_is_made_from_what_they_say() {
    let mut script = builder().start();
    script.run_for(Duration::from_secs(1));
    let frame = script.next_frame().expect("a question");
    let (packet, message) = parse_ndp(&frame);
    assert_eq!(
        (packet.dst, message),
        (ndp::ALL_ROUTERS, NdpRepr::RouterSolicitation { source_mac: Some(Script::STACK_MAC) },)
    );
    assert_eq!(way_to(&mut script, FAR_AWAY), Err(ConnectError::Unreachable));
    changes(&mut script);
    script.inject_frame(&advertisement(1_800, 1_400, &[(PREFIX, ON_LINK | AUTONOMOUS, 600, 1_200)]));
    assert_eq!(changes(&mut script), [(IpAddr::V6(FORMED), AddressChange::Assigned)]);
    script.expect_silence(Duration::from_secs(60));
    assert_eq!(way_to(&mut script, FAR_AWAY), Ok((Script::PEER_MAC, FORMED)));
}

#[test]
fn mtu_and_hop_limit_are_the_routers_to_say() {
    let mut script = builder().start();
    script.inject_frame(&advertisement(1_800, 1_400, &[(PREFIX, ON_LINK | AUTONOMOUS, 600, 1_200)]));
    script.skip();
    script.stack().tcp_connect(None, FAR_AWAY.parse().unwrap()).unwrap();
    let frame = script.next_frame().unwrap();
    let (_, packet) = parse_ip(&frame);
    assert_eq!(packet.repr.hop_limit, 77);
    // 60 bytes of headers: the option's kind, length and value.
    let mss = 1_340_u16.to_be_bytes();
    let segment = packet.upper().unwrap().payload;
    assert_eq!(segment[20..24], [2, 4, mss[0], mss[1]]);
    // RFC 4861 §6.3.4, RFC 8200 §5: less than IPv6 needs is not believed.
    script.inject_frame(&advertisement(1_800, 1_279, &[]));
    script.skip();
    script.stack().tcp_connect(None, FAR_AWAY.parse().unwrap()).unwrap();
    let frame = script.next_frame().unwrap();
    assert_eq!(parse_ip(&frame).1.upper().unwrap().payload[22..24], mss);
}

#[test]
fn a_router_that_ends_its_service_or_is_not_renewed_is_used_no_more() {
    let mut script = builder().start();
    let prefix = (PREFIX, AUTONOMOUS, 60_000, 60_000);
    script.inject_frame(&advertisement(1_800, 0, &[prefix]));
    script.run_for(Duration::from_secs(1_799));
    assert!(way_to(&mut script, FAR_AWAY).is_ok());
    script.run_for(Duration::from_secs(1));
    assert_eq!(way_to(&mut script, FAR_AWAY), Err(ConnectError::Unreachable));
    script.inject_frame(&advertisement(1_800, 0, &[]));
    assert!(way_to(&mut script, FAR_AWAY).is_ok());
    script.inject_frame(&advertisement(0, 0, &[]));
    assert_eq!(way_to(&mut script, FAR_AWAY), Err(ConnectError::Unreachable));
}

#[test]
fn rfc_4861_section_6_3_6_another_router_takes_the_place_of_one_that_does_not_answer() {
    let mut script = builder().start();
    let other = "fe80::fe".parse().unwrap();
    script.inject_frame(&advertisement(1_800, 0, &[(PREFIX, AUTONOMOUS, 60_000, 60_000)]));
    script.inject_frame(&advertisement_from(other, 1_800, 0, &[]));
    // The first one's Ethernet address is verified when it is used, found to answer no more, and asked for.
    for _ in 0..4 {
        way_to(&mut script, FAR_AWAY).unwrap();
        script.run_for(Duration::from_secs(10));
    }
    let socket = script.stack().tcp_connect(None, FAR_AWAY.parse().unwrap()).unwrap();
    script.run_for(Duration::from_secs(20));
    script.stack().tcp_abort(socket).unwrap();
    script.skip();
    script.stack().tcp_connect(None, FAR_AWAY.parse().unwrap()).unwrap();
    script.run_for(Duration::from_millis(1));
    let asked: Vec<_> = script
        .frames()
        .iter()
        .filter(|frame| parse_ip(frame).1.repr.next_header == Protocol::ICMPV6)
        .map(|frame| match parse_ndp(frame).1 {
            NdpRepr::NeighborSolicitation { target, .. } => target,
            message => panic!("{message:?}"),
        })
        .collect();
    assert!(!asked.contains(&ROUTER), "asked for {asked:?}");
}

#[test]
fn prefixes_tell_who_is_on_the_link_and_need_not_make_addresses() {
    let mut script = builder().start();
    let neighbour = "[2001:db8:2::77]:80";
    script.inject_frame(&advertisement(
        1_800,
        0,
        &[(PREFIX, AUTONOMOUS, 600, 1_200), ("2001:db8:2::", ON_LINK, 600, 1_200)],
    ));
    // Asked for itself: through its group.
    let group = MacAddr([0x33, 0x33, 0xff, 0, 0, 0x77]);
    assert_eq!(way_to(&mut script, neighbour).map(|(mac, _)| mac), Ok(group));
    // Those of the other prefix are not said to be on the link: through the router.
    assert_eq!(way_to(&mut script, "[2001:db8:1::77]:80"), Ok((Script::PEER_MAC, FORMED)));
    script.run_for(Duration::from_secs(1_200));
    assert_eq!(changes(&mut script).last(), Some(&(IpAddr::V6(FORMED), AddressChange::Expired)));
}

#[test]
fn an_address_is_deprecated_then_expires_and_its_connections_end() {
    let mut script = builder().start();
    script.inject_frame(&advertisement(9_000, 0, &[(PREFIX, ON_LINK | AUTONOMOUS, 600, 1_200)]));
    let socket = script.stack().udp_bind(SocketAddr::new(FORMED.into(), 99)).unwrap();
    script.run_for(Duration::from_secs(600));
    assert_eq!(changes(&mut script).last(), Some(&(IpAddr::V6(FORMED), AddressChange::Deprecated)));
    assert!(way_to(&mut script, FAR_AWAY).is_ok(), "there is no other");
    script.inject_frame(&advertisement(9_000, 0, &[("2001:db8:2::", AUTONOMOUS, 6_000, 6_000)]));
    let (_, source) = way_to(&mut script, "[2001:db8:1:1::1]:80").unwrap();
    assert_eq!(source.segments()[2], 2, "the other one is used, though it has less in common");
    script.run_for(Duration::from_secs(600));
    assert_eq!(changes(&mut script).last(), Some(&(IpAddr::V6(FORMED), AddressChange::Expired)));
    assert_eq!(script.stack().take_error(socket), Ok(Some(netlane_core::SocketError::AddressRemoved)));
}

#[test]
fn without_autoconfiguration_routers_are_not_listened_to() {
    let mut script = Script::builder().over_ipv6().start();
    script.inject_frame(&advertisement(1_800, 1_400, &[(PREFIX, ON_LINK | AUTONOMOUS, 600, 1_200)]));
    assert_eq!(way_to(&mut script, FAR_AWAY), Err(ConnectError::Unreachable));
    assert_eq!(script.stack().counters().rx_unwanted_advertisements, 1);
}

/// `from` says that `target` is a better way to `destination`.
fn redirect(from: Ipv6Addr, to: Ipv6Addr, target: &str, destination: &str) -> Vec<u8> {
    let mut message = vec![137, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.parse::<Ipv6Addr>().unwrap().octets());
    message.extend(destination.parse::<Ipv6Addr>().unwrap().octets());
    message.extend([2, 1, 2, 0, 0, 0, 0, 0x55]);
    let repr = Ipv6Repr { src: from, dst: to, hop_limit: 255, ..header(Protocol::ICMPV6) };
    icmpv6::fill_checksum(&mut message, Sum::pseudo_v6(from, to, Protocol::ICMPV6, 48));
    ip(&repr, &message)
}

#[test]
fn redirects_are_followed_only_where_wanted_and_from_the_first_hop() {
    let better = MacAddr([2, 0, 0, 0, 0, 0x55]);
    for accept in [false, true] {
        let mut script = builder().stack(|config| config.interface.ipv6.accept_redirects = accept).start();
        script.inject_frame(&advertisement(1_800, 0, &[(PREFIX, AUTONOMOUS, 600, 1_200)]));
        assert_eq!(way_to(&mut script, FAR_AWAY), Ok((Script::PEER_MAC, FORMED)));
        script.inject_frame(&redirect("fe80::bad".parse().unwrap(), FORMED, "fe80::55", "2600::1"));
        assert_eq!(way_to(&mut script, FAR_AWAY), Ok((Script::PEER_MAC, FORMED)));
        script.inject_frame(&redirect(ROUTER, FORMED, "fe80::55", "2600::1"));
        let expected = if accept { better } else { Script::PEER_MAC };
        assert_eq!(way_to(&mut script, FAR_AWAY), Ok((expected, FORMED)));
        assert_eq!(
            way_to(&mut script, "[2600::2]:80"),
            Ok((Script::PEER_MAC, FORMED)),
            "others go as before"
        );
        let ignored = script.stack().counters().rx_redirects_ignored;
        assert_eq!(ignored, if accept { 1 } else { 2 });
    }
}

#[test]
fn routes_of_the_configuration_are_better_than_advertised_ones() {
    let gateway: IpAddr = "fd00::2".parse().unwrap();
    let mut script = Script::builder()
        .over_ipv6()
        .stack(|config| {
            config.interface.ipv6.autoconfigure = true;
            let to = "::/0".parse().unwrap();
            config.interface.routes = vec![netlane_core::Route { to, via: gateway, metric: 0 }];
            config.interface.neighbors = vec![(gateway, MacAddr([2, 0, 0, 0, 0, 0x22]))];
        })
        .start();
    script.inject_frame(&advertisement(1_800, 0, &[]));
    assert_eq!(way_to(&mut script, FAR_AWAY), Ok((MacAddr([2, 0, 0, 0, 0, 0x22]), STACK)));
}

#[test]
fn stacks_of_one_interface_tell_each_other_what_a_router_says() {
    let of_queue = |queue| {
        let two = builder().stack(move |config| {
            (config.interface.queues, config.interface.queue) = (2, queue);
        });
        two.start()
    };
    let (mut first, mut second) = (of_queue(0), of_queue(1));
    second.inject_frame(&advertisement(1_800, 0, &[(PREFIX, AUTONOMOUS, 600, 1_200)]));
    let notice = second.stack().next_notice().expect("for the other one");
    first.stack().receive_notice(&notice);
    assert_eq!(first.stack().next_notice(), None, "it has come from there");
    for script in [&mut first, &mut second] {
        assert_eq!(way_to(script, FAR_AWAY), Ok((Script::PEER_MAC, FORMED)));
    }
    // Only one of them speaks for the interface.
    let mut second = of_queue(1);
    second.expect_silence(Duration::from_secs(10));
}
