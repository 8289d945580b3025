//! Which of our addresses a packet leaves from (RFC 6724 §5).

use core::net::Ipv6Addr;

/// One of our addresses, as far as the choice depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) address: Ipv6Addr,
    /// The length of its subnet's prefix.
    pub(crate) prefix_len: u8,
    /// It is not to be used where there is another.
    pub(crate) deprecated: bool,
}

/// The candidate that suits packets to `destination` best; of several that do, the first.
pub(crate) fn choose(candidates: impl Iterator<Item = Candidate>, destination: Ipv6Addr) -> Option<Ipv6Addr> {
    let best =
        candidates.reduce(
            |best, other| {
                if suits(&other, destination) > suits(&best, destination) { other } else { best }
            },
        );
    best.map(|best| best.address)
}

/// How well an address suits, most important first: the rules of RFC 6724 §5 but for those that tell interfaces,
/// home addresses and temporary addresses apart, of which there are none.
fn suits(candidate: &Candidate, destination: Ipv6Addr) -> impl Ord {
    let (own, to) = (Scope::of(candidate.address), Scope::of(destination));
    // Rule 2: a scope that reaches far enough is better, and then the smaller one; of those that do not, the
    // larger one.
    let scope = if own >= to { -i16::from(own.0) } else { i16::from(own.0) - FAR_BEHIND };
    (
        // Rule 1: the destination itself.
        candidate.address == destination,
        scope,
        // Rule 3: avoid deprecated addresses.
        !candidate.deprecated,
        // Rule 6: the same label.
        label(candidate.address) == label(destination),
        // Rule 8: the longest prefix in common; what follows the subnet's does not count (RFC 6724 §2.2).
        common_prefix_len(candidate.address, destination).min(candidate.prefix_len),
    )
}

/// How far an address reaches (RFC 4291 §2.7: the numbers that groups carry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Scope(u8);

impl Scope {
    const LINK_LOCAL: Self = Self(0x2);
    const SITE_LOCAL: Self = Self(0x5);
    const GLOBAL: Self = Self(0xe);

    const fn of(address: Ipv6Addr) -> Self {
        let octets = address.octets();
        match octets {
            [0xff, flags_scope, ..] => Self(flags_scope & 0xf),
            // RFC 4007 §4: loopback has link-local scope.
            [0xfe, 0x80..=0xbf, ..] => Self::LINK_LOCAL,
            [0xfe, 0xc0..=0xff, ..] => Self::SITE_LOCAL,
            _ if address.is_loopback() => Self::LINK_LOCAL,
            _ => Self::GLOBAL,
        }
    }
}

/// Worse than any scope that reaches far enough.
const FAR_BEHIND: i16 = 0x100;

/// The label of an address in the default policy table (RFC 6724 §2.1).
fn label(address: Ipv6Addr) -> u8 {
    let segments = address.segments();
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 1] => 0,
        [0, 0, 0, 0, 0, 0xffff, ..] => 4,
        [0x2002, ..] => 2,
        [0x2001, 0, ..] => 5,
        [0xfc00..=0xfdff, ..] => 13,
        [0, 0, 0, 0, 0, 0, ..] => 3,
        [0xfec0..=0xfeff, ..] => 11,
        [0x3ffe, ..] => 12,
        _ => 1,
    }
}

fn common_prefix_len(a: Ipv6Addr, b: Ipv6Addr) -> u8 {
    (a.to_bits() ^ b.to_bits()).leading_zeros() as u8
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn ip(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    /// What is chosen among addresses of /64 subnets, of which those in brackets are deprecated.
    fn chosen(candidates: &[&str], destination: &str) -> Ipv6Addr {
        let candidates: Vec<_> = candidates
            .iter()
            .map(|text| Candidate {
                address: ip(text.trim_matches(['(', ')'])),
                prefix_len: 64,
                deprecated: text.starts_with('('),
            })
            .collect();
        choose(candidates.into_iter(), ip(destination)).unwrap()
    }

    #[test]
    fn rfc_6724_section_10_1_examples() {
        // Prefer the appropriate scope.
        assert_eq!(chosen(&["2001:db8:3::1", "fe80::1"], "2001:db8:1::1"), ip("2001:db8:3::1"));
        assert_eq!(chosen(&["2001:db8:3::1", "fe80::1"], "ff05::1"), ip("2001:db8:3::1"));
        // Prefer the same address.
        assert_eq!(chosen(&["2001:db8:1::2", "(2001:db8:1::1)"], "2001:db8:1::1"), ip("2001:db8:1::1"));
        // Prefer the smallest scope that suffices.
        assert_eq!(chosen(&["2001:db8:1::2", "fe80::2"], "fe80::1"), ip("fe80::2"));
        // Prefer the matching label.
        assert_eq!(
            chosen(&["2001:db8:1::2", "2002:c633:6401::d5e3:7953:13eb:22e8"], "2002:c633:6401::1"),
            ip("2002:c633:6401::d5e3:7953:13eb:22e8")
        );
        // Prefer the longest matching prefix.
        assert_eq!(chosen(&["2001:db8:3::2", "2001:db8:1::2"], "2001:db8:1::1"), ip("2001:db8:1::2"));
    }

    #[test]
    fn deprecated_addresses_serve_only_where_no_other_does() {
        assert_eq!(chosen(&["(2001:db8:1::2)", "2001:db8:3::2"], "2001:db8:1::1"), ip("2001:db8:3::2"));
        assert_eq!(chosen(&["(2001:db8:1::2)", "fe80::2"], "2001:db8:1::1"), ip("2001:db8:1::2"));
    }

    #[test]
    fn local_addresses_talk_to_each_other_and_global_ones_too() {
        let own = ["fd00:1::2", "2001:db8::2"];
        assert_eq!(chosen(&own, "fd77::1"), ip("fd00:1::2"));
        assert_eq!(chosen(&own, "2600::1"), ip("2001:db8::2"));
    }

    #[test]
    fn what_follows_the_subnets_prefix_does_not_count() {
        // Both have 64 bits in common with the destination, and the first of them comes first.
        let (first, second) = ("2001:db8::ff00", "2001:db8::2");
        assert_eq!(chosen(&[first, second], "2001:db8::3"), ip(first));
    }

    #[test]
    fn who_has_no_address_has_no_choice() {
        assert_eq!(choose(core::iter::empty(), ip("2001:db8::1")), None);
    }
}
