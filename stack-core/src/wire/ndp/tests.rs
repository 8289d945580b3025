use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::wire::{Protocol, Sum, icmpv6};

const HOST: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const PEER: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 2);
const HOST_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

/// "Who has fd00::2?", from fd00::1, as Linux asks.
const SOLICITATION: [u8; 32] = [
    0x87, 0x00, 0x7d, 0x97, 0, 0, 0, 0, //
    0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
    1, 1, 2, 0, 0, 0, 0, 1,
];
/// A router's advertisement with the prefix 2001:db8:1::/64, MTU 1400, and an option of an unknown kind.
const ADVERTISEMENT: [u8; 72] = [
    0x86, 0x00, 0x00, 0x00, 64, 0, 0x07, 0x08, 0, 0, 0x75, 0x30, 0, 0, 0x03, 0xe8, //
    1, 1, 2, 0, 0, 0, 0, 2, //
    5, 1, 0, 0, 0, 0, 0x05, 0x78, //
    3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, //
    0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0xba, 0xd0, 0, 0, 0, 0, 0, 1, //
    200, 1, 0, 0, 0, 0, 0, 0,
];

fn between(src: Ipv6Addr, dst: Ipv6Addr) -> Ipv6Repr {
    Ipv6Repr {
        src,
        dst,
        next_header: Protocol::ICMPV6,
        hop_limit: 255,
        traffic_class: 0,
        flow_label: 0,
        payload_len: 0,
    }
}

fn written(repr: NdpRepr<'_>, src: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
    let mut out = alloc::vec![0xaa; repr.len()];
    repr.emit(&mut out);
    let pseudo = Sum::pseudo_v6(src, dst, Protocol::ICMPV6, out.len());
    icmpv6::fill_checksum(&mut out, pseudo);
    out
}

/// `message` with the byte at `at` changed.
fn changed<const N: usize>(message: [u8; N], at: usize, to: u8) -> [u8; N] {
    let mut message = message;
    message[at] = to;
    message
}

#[test]
fn reads_and_writes_a_question_from_linux() {
    let repr = NdpRepr::NeighborSolicitation { target: PEER, source_mac: Some(HOST_MAC) };
    let group = solicited_node(PEER);
    assert_eq!(NdpRepr::parse(&between(HOST, group), &SOLICITATION), Ok(repr));
    assert_eq!(written(repr, HOST, group), SOLICITATION);
}

#[test]
fn reads_and_writes_an_answer_from_linux() {
    let from_linux = [
        0x88, 0x00, 0x1c, 0x9a, 0x60, 0, 0, 0, //
        0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
        2, 1, 2, 0, 0, 0, 0, 2,
    ];
    let repr = NdpRepr::NeighborAdvertisement {
        target: PEER,
        target_mac: Some(PEER_MAC),
        router: false,
        solicited: true,
        override_known: true,
    };
    assert_eq!(NdpRepr::parse(&between(PEER, HOST), &from_linux), Ok(repr));
    assert_eq!(written(repr, PEER, HOST), from_linux);
    // RFC 4861 §7.1.2.
    assert_eq!(NdpRepr::parse(&between(PEER, ALL_NODES), &from_linux), Err(Malformed::BadAddress));
}

#[test]
fn reads_and_writes_a_search_for_routers_from_linux() {
    let from_linux = [0x85, 0x00, 0x7b, 0x2a, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 2];
    let repr = NdpRepr::RouterSolicitation { source_mac: Some(PEER_MAC) };
    assert_eq!(NdpRepr::parse(&between(LINK_LOCAL, ALL_ROUTERS), &from_linux), Ok(repr));
    assert_eq!(written(repr, LINK_LOCAL, ALL_ROUTERS), from_linux);
    let from_nobody = between(Ipv6Addr::UNSPECIFIED, ALL_ROUTERS);
    assert_eq!(NdpRepr::parse(&from_nobody, &from_linux), Err(Malformed::BadOption));
}

#[test]
fn rfc_4291_section_2_7_1_solicited_node_groups() {
    let address = "4037::01:800:200e:8c6c".parse().unwrap();
    assert_eq!(solicited_node(address), "ff02::1:ff0e:8c6c".parse::<Ipv6Addr>().unwrap());
}

#[test]
fn what_has_passed_a_router_is_refused() {
    for message in [&SOLICITATION[..], &ADVERTISEMENT] {
        let ip = Ipv6Repr { hop_limit: 254, ..between(LINK_LOCAL, ALL_NODES) };
        assert_eq!(NdpRepr::parse(&ip, message), Err(Malformed::FromAfar));
    }
}

#[test]
fn a_question_from_nobody_goes_to_the_group_and_names_no_sender() {
    let ask = |dst, message: &[u8]| {
        NdpRepr::parse(&between(Ipv6Addr::UNSPECIFIED, dst), message).map(|message| message.len())
    };
    assert_eq!(ask(solicited_node(PEER), &SOLICITATION[..24]), Ok(24));
    assert_eq!(ask(PEER, &SOLICITATION[..24]), Err(Malformed::BadAddress));
    assert_eq!(ask(solicited_node(PEER), &SOLICITATION), Err(Malformed::BadOption));
}

#[test]
fn groups_are_nobodys_and_options_have_lengths() {
    let parse = |message: &[u8]| NdpRepr::parse(&between(HOST, solicited_node(PEER)), message).map(drop);
    assert_eq!(parse(&changed(SOLICITATION, 8, 0xff)), Err(Malformed::BadAddress));
    assert_eq!(parse(&changed(SOLICITATION, 1, 1)), Err(Malformed::Unsupported));
    assert_eq!(parse(&changed(SOLICITATION, 25, 0)), Err(Malformed::BadOption));
    assert_eq!(parse(&changed(SOLICITATION, 25, 2)), Err(Malformed::BadOption));
    assert_eq!(parse(&changed(SOLICITATION, 26, 3)), Err(Malformed::BadAddress));
    assert_eq!(parse(&SOLICITATION[..23]), Err(Malformed::Truncated));
    assert_eq!(parse(&SOLICITATION[..25]), Err(Malformed::BadOption));
}

#[test]
fn a_router_describes_its_link() {
    let ip = between(LINK_LOCAL, ALL_NODES);
    let Ok(NdpRepr::RouterAdvertisement(router)) = NdpRepr::parse(&ip, &ADVERTISEMENT) else {
        panic!("an advertisement")
    };
    assert_eq!(router.hop_limit, Some(64));
    assert_eq!(router.router_lifetime, Duration::from_secs(1800));
    assert_eq!(router.reachable_time, Some(Duration::from_secs(30)));
    assert_eq!(router.retrans_timer, Some(Duration::from_secs(1)));
    assert_eq!((router.source_mac, router.mtu), (Some(PEER_MAC), Some(1400)));
    let prefix = PrefixInformation {
        prefix: Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0),
        prefix_len: 64,
        on_link: true,
        autonomous: true,
        valid_lifetime: Some(Duration::from_secs(3600)),
        preferred_lifetime: None,
    };
    assert_eq!(router.prefixes.collect::<Vec<_>>(), [prefix]);
}

#[test]
fn what_a_router_leaves_open_stays_as_it_was() {
    let silent = [0x86, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let Ok(NdpRepr::RouterAdvertisement(router)) = NdpRepr::parse(&between(LINK_LOCAL, ALL_NODES), &silent)
    else {
        panic!("an advertisement")
    };
    assert_eq!((router.hop_limit, router.reachable_time, router.retrans_timer), (None, None, None));
    assert_eq!((router.router_lifetime, router.prefixes.count()), (Duration::ZERO, 0));
}

#[test]
fn routers_speak_from_link_local_addresses_and_of_prefixes_that_can_be() {
    assert_eq!(NdpRepr::parse(&between(HOST, ALL_NODES), &ADVERTISEMENT), Err(Malformed::BadAddress));
    let ip = between(LINK_LOCAL, ALL_NODES);
    let too_long = changed(ADVERTISEMENT, 34, 129);
    let Ok(NdpRepr::RouterAdvertisement(router)) = NdpRepr::parse(&ip, &too_long) else {
        panic!("an advertisement")
    };
    assert_eq!(router.prefixes.count(), 0);
    assert_eq!(NdpRepr::parse(&ip, &changed(ADVERTISEMENT, 33, 3)), Err(Malformed::BadOption));
}

#[test]
fn redirects_name_a_router_or_the_destination_itself() {
    let redirect = |target: Ipv6Addr, destination: Ipv6Addr, from| {
        let mut message = alloc::vec![0x89, 0, 0, 0, 0, 0, 0, 0];
        message.extend(target.octets());
        message.extend(destination.octets());
        message.extend([2, 1, 2, 0, 0, 0, 0, 2]);
        NdpRepr::parse(&between(from, HOST), &message).map(|message| match message {
            NdpRepr::Redirect { target, destination, target_mac } => (target, destination, target_mac),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(redirect(LINK_LOCAL, PEER, LINK_LOCAL), Ok((LINK_LOCAL, PEER, Some(PEER_MAC))));
    assert_eq!(redirect(PEER, PEER, LINK_LOCAL), Ok((PEER, PEER, Some(PEER_MAC))));
    assert_eq!(redirect(HOST, PEER, LINK_LOCAL), Err(Malformed::BadAddress));
    assert_eq!(redirect(LINK_LOCAL, PEER, HOST), Err(Malformed::BadAddress));
    assert_eq!(redirect(LINK_LOCAL, ALL_NODES, LINK_LOCAL), Err(Malformed::BadAddress));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        kind in 0..3, mut target: [u8; 16], mut mac: Option<[u8; 6]>, flags: (bool, bool, bool),
    ) {
        target[0] &= 0x7f;
        if let Some(mac) = &mut mac {
            mac[0] &= !1;
        }
        let (target, mac) = (Ipv6Addr::from_octets(target), mac.map(MacAddr));
        let repr = match kind {
            0 => NdpRepr::RouterSolicitation { source_mac: mac },
            1 => NdpRepr::NeighborSolicitation { target, source_mac: mac },
            _ => NdpRepr::NeighborAdvertisement {
                target,
                target_mac: mac,
                router: flags.0,
                solicited: flags.1,
                override_known: flags.2,
            },
        };
        let message = written(repr, HOST, PEER);
        prop_assert_eq!(NdpRepr::parse(&between(HOST, PEER), &message), Ok(repr));
    }

    #[test]
    fn any_bytes_are_answered(mut bytes in prop::collection::vec(any::<u8>(), 2..140), kind in 133..138_u8) {
        (bytes[0], bytes[1]) = (kind, 0);
        if let Ok(NdpRepr::RouterAdvertisement(router)) = NdpRepr::parse(&between(LINK_LOCAL, HOST), &bytes) {
            for prefix in router.prefixes {
                prop_assert!(prefix.prefix_len <= 128);
            }
        }
    }
}
