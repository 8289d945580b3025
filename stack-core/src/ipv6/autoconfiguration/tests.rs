use super::*;

/// RFC 4291, appendix A: the interface identifier of 34-56-78-9A-BC-DE.
const MAC: MacAddr = MacAddr([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]);
const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0);
const ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0x3656, 0x78ff, 0xfe9a, 0xbcde);
const HOUR: Duration = Duration::from_secs(3_600);

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1_000)
}

fn autoconfiguration() -> Autoconfiguration {
    Autoconfiguration::new(InterfaceId::from_mac(MAC), 2)
}

/// The prefix with lifetimes in seconds.
fn prefix(preferred: u64, valid: u64) -> PrefixInformation {
    PrefixInformation {
        prefix: PREFIX,
        prefix_len: 64,
        on_link: true,
        autonomous: true,
        valid_lifetime: Some(Duration::from_secs(valid)),
        preferred_lifetime: Some(Duration::from_secs(preferred)),
    }
}

#[test]
fn addresses_are_made_of_prefix_and_interface_identifier() {
    let id = InterfaceId::from_mac(MAC);
    assert_eq!(id.link_local(), "fe80::3656:78ff:fe9a:bcde".parse::<Ipv6Addr>().unwrap());
    let mut autoconfiguration = autoconfiguration();
    let formed = autoconfiguration.heard(at(0), &prefix(100, 200));
    assert_eq!(formed, Some(Formation::Formed(ADDRESS)));
    assert_eq!(autoconfiguration.heard(at(1), &prefix(100, 200)), None, "only once");
}

#[test]
fn an_address_is_deprecated_and_then_gone_when_nobody_renews_it() {
    let mut autoconfiguration = autoconfiguration();
    autoconfiguration.heard(at(0), &prefix(100, 200));
    assert_eq!((autoconfiguration.poll(at(99)), autoconfiguration.next_deadline()), (None, Some(at(100))));
    assert_eq!(autoconfiguration.poll(at(100)), Some(Formation::Deprecated(ADDRESS)));
    assert_eq!((autoconfiguration.poll(at(100)), autoconfiguration.next_deadline()), (None, Some(at(200))));
    assert_eq!(autoconfiguration.poll(at(200)), Some(Formation::Expired(ADDRESS)));
    assert_eq!((autoconfiguration.poll(at(200)), autoconfiguration.next_deadline()), (None, None));
}

#[test]
fn advertisements_renew_it_and_bring_it_back_into_use() {
    let mut autoconfiguration = autoconfiguration();
    autoconfiguration.heard(at(0), &prefix(100, 20_000));
    assert_eq!(autoconfiguration.poll(at(100)), Some(Formation::Deprecated(ADDRESS)));
    let back = autoconfiguration.heard(at(150), &prefix(100, 20_000));
    assert_eq!(back, Some(Formation::Preferred(ADDRESS)));
    // RFC 4862 §5.5.4: a router deprecates a prefix by a preferred lifetime of zero.
    let deprecated = autoconfiguration.heard(at(160), &prefix(0, 20_000));
    assert_eq!(deprecated, Some(Formation::Deprecated(ADDRESS)));
    assert_eq!(autoconfiguration.next_deadline(), Some(at(20_160)));
}

#[test]
fn rfc_4862_section_5_5_3_e_nobody_takes_an_address_away_within_two_hours() {
    let valid_until = |before: u64, told: u64| {
        let mut autoconfiguration = autoconfiguration();
        autoconfiguration.heard(at(0), &prefix(0, before));
        autoconfiguration.heard(at(0), &prefix(0, told));
        autoconfiguration.poll(at(0));
        autoconfiguration.next_deadline().unwrap() - at(0)
    };
    assert_eq!(valid_until(10 * 3_600, 3 * 3_600), 3 * HOUR, "more than two hours count as they are");
    assert_eq!(valid_until(600, 1_200), Duration::from_secs(1_200), "so does what is longer than before");
    assert_eq!(valid_until(600, 300), Duration::from_secs(600), "what would end soon ends no sooner");
    assert_eq!(valid_until(10 * 3_600, 0), 2 * HOUR, "and what would not, no sooner than in two hours");
}

#[test]
fn prefixes_that_make_no_address_are_passed_over() {
    let mut autoconfiguration = autoconfiguration();
    let mut heard = |told: PrefixInformation| autoconfiguration.heard(at(0), &told);
    assert_eq!(heard(PrefixInformation { autonomous: false, ..prefix(1, 2) }), None);
    assert_eq!(heard(PrefixInformation { prefix: "fe80::".parse().unwrap(), ..prefix(1, 2) }), None);
    assert_eq!(heard(PrefixInformation { prefix_len: 63, ..prefix(1, 2) }), None);
    assert_eq!(heard(prefix(3, 2)), None, "preferred for longer than valid");
    assert_eq!(heard(PrefixInformation { preferred_lifetime: None, ..prefix(1, 2) }), None);
    assert_eq!(heard(prefix(0, 0)), None);
    assert_eq!(heard(prefix(1, 2)), Some(Formation::Formed(ADDRESS)));
}

#[test]
fn no_more_addresses_are_made_than_the_limit_allows() {
    let mut autoconfiguration = autoconfiguration();
    let told = |number| PrefixInformation {
        prefix: Ipv6Addr::new(0x2001, 0xdb8, number, 0, 0, 0, 0, 0),
        ..prefix(100, 200)
    };
    let formed = (0..5).filter_map(|number| autoconfiguration.heard(at(0), &told(number))).count();
    assert_eq!(formed, 2);
}
