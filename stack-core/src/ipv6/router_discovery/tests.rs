use alloc::format;
use alloc::vec;

use super::*;
use crate::wire::{Ipv6Repr, NdpRepr, Protocol, ndp};

const A: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xa);
const B: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xb);
const LIMITS: RouterLimits = RouterLimits { routers: 2, prefixes: 2 };

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1_000)
}

/// Whether an address with this prefix is on the link.
fn is_on_link(discovery: &RouterDiscovery, prefix: &str) -> bool {
    let neighbour: Ipv6Addr = format!("{prefix}77").parse().unwrap();
    discovery.prefixes().any(|prefix| prefix.contains(&neighbour))
}

/// A router at `from` says at `now` that it is one for `lifetime` seconds, and tells prefixes of 64 bits that are on
/// the link for so many seconds each.
fn advertise(
    discovery: &mut RouterDiscovery,
    now: Instant,
    from: Ipv6Addr,
    lifetime: u16,
    prefixes: &[(&str, u32)],
) {
    let mut message = vec![134, 0, 0, 0, 0, 0];
    message.extend(lifetime.to_be_bytes());
    message.extend([0; 8]);
    for (prefix, valid) in prefixes {
        message.extend([3, 4, 64, 0x80]);
        message.extend(valid.to_be_bytes());
        message.extend([0; 8]);
        message.extend(prefix.parse::<Ipv6Addr>().unwrap().octets());
    }
    let ip = Ipv6Repr {
        src: from,
        dst: ndp::ALL_NODES,
        next_header: Protocol::ICMPV6,
        hop_limit: 255,
        traffic_class: 0,
        flow_label: 0,
        payload_len: 0,
    };
    let Ok(NdpRepr::RouterAdvertisement(advertisement)) = NdpRepr::parse(&ip, &message) else {
        panic!("an advertisement")
    };
    discovery.heard(now, from, &advertisement);
}

#[test]
fn routers_are_asked_for_ever_less_often_until_one_answers() {
    let mut discovery = RouterDiscovery::new(LIMITS);
    assert_eq!(discovery.next_deadline(), None, "nobody looks for routers unless told to");
    discovery.begin(at(1));
    let mut asked = Vec::new();
    while asked.len() < 14 {
        let now = discovery.next_deadline().unwrap();
        assert!(discovery.poll(now));
        assert!(!discovery.poll(now));
        asked.push(now.as_millis() / 1_000);
    }
    // RFC 4861 §10: 4 seconds after the first question; RFC 7559 §2: then twice as long each time, up to an hour.
    assert_eq!(asked[..4], [1, 5, 13, 29]);
    assert_eq!(asked[13] - asked[12], 3_600);

    advertise(&mut discovery, at(20_000), A, 0, &[]);
    assert!(discovery.next_deadline().is_some(), "one that leads nowhere is no answer");
    advertise(&mut discovery, at(20_000), A, 1_800, &[]);
    assert_eq!(discovery.default_router(), Some(A));
    assert!(!discovery.poll(at(21_000)));
}

#[test]
fn a_router_serves_until_its_lifetime_ends_or_it_says_so() {
    let mut discovery = RouterDiscovery::new(LIMITS);
    advertise(&mut discovery, at(0), A, 1_800, &[]);
    advertise(&mut discovery, at(10), B, 600, &[]);
    assert_eq!((discovery.default_router(), discovery.next_deadline()), (Some(A), Some(at(610))));
    advertise(&mut discovery, at(20), A, 0, &[]);
    assert_eq!(discovery.default_router(), Some(B));
    assert!(discovery.is_router(B) && !discovery.is_router(A));
    discovery.poll(at(609));
    assert_eq!(discovery.default_router(), Some(B));
    discovery.poll(at(610));
    assert_eq!((discovery.default_router(), discovery.next_deadline()), (None, None));
}

#[test]
fn one_that_does_not_answer_gives_way_to_another() {
    let mut discovery = RouterDiscovery::new(LIMITS);
    advertise(&mut discovery, at(0), A, 1_800, &[]);
    discovery.avoid(A);
    assert_eq!(discovery.default_router(), Some(A), "there is no other");
    advertise(&mut discovery, at(0), B, 1_800, &[]);
    discovery.avoid(A);
    assert_eq!(discovery.default_router(), Some(B));
    discovery.forget(B);
    assert_eq!(discovery.default_router(), Some(A));
}

#[test]
fn prefixes_are_on_the_link_as_long_as_they_are_valid() {
    let mut discovery = RouterDiscovery::new(LIMITS);
    let (one, other) = ("2001:db8:1::", "2001:db8:2::");
    advertise(&mut discovery, at(0), A, 0, &[(one, 100), (other, u32::MAX), ("fe80::", 100)]);
    assert!(is_on_link(&discovery, one) && is_on_link(&discovery, other));
    assert!(!is_on_link(&discovery, "2001:db8:3::"));
    advertise(&mut discovery, at(50), A, 0, &[(one, 100)]);
    discovery.poll(at(149));
    assert!(is_on_link(&discovery, one));
    discovery.poll(at(150));
    assert!(!is_on_link(&discovery, one));
    discovery.poll(at(1_000_000_000));
    assert!(is_on_link(&discovery, other), "forever");
    advertise(&mut discovery, at(1_000_000_000), A, 0, &[(other, 0)]);
    assert!(!is_on_link(&discovery, other), "not any more");
}

#[test]
fn no_more_is_remembered_than_the_limits_allow() {
    let mut discovery = RouterDiscovery::new(LIMITS);
    for number in 1..10_u16 {
        let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number);
        let prefix = format!("2001:db8:{number}::");
        advertise(&mut discovery, at(0), router, 100, &[(&prefix, 100)]);
    }
    assert_eq!((discovery.routers.len(), discovery.prefixes.len()), (2, 2));
}
