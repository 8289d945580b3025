//! The largest packets that paths are known to carry (RFC 1191, RFC 8201).
//!
//! Routers tell; whether they are believed is for others to decide before they come here (RFC 5927 §7). What is
//! known of a path is forgotten after ten minutes, lest a path that has grown be thought small for ever.

use alloc::vec::Vec;

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use crate::address::Address;
use crate::recency::Recency;
use crate::time::{Duration, Instant};

/// Destinations whose path carries less than the link. Of too many, the one that was learnt first is forgotten.
#[derive(Debug)]
pub(crate) struct PathMtus {
    limit: usize,
    slots: HashMap<Address, u32, FixedState>,
    paths: Vec<KnownPath>,
    free: Vec<u32>,
    order: Recency,
}

#[derive(Clone, Copy, Debug)]
struct KnownPath {
    destination: Address,
    mtu: u16,
    until: Instant,
}

/// The least MTU that is believed of a path of IPv4. RFC 791 has links of 68 bytes, but who claims one today wants us
/// to send many small packets (RFC 5927 §7.2); so small a path may cut packets itself.
pub(crate) const LEAST_V4: u16 = 552;
/// The least MTU of IPv6 (RFC 8200 §5, RFC 8201 §4).
pub(crate) const LEAST_V6: u16 = 1280;

/// How long a path is known (RFC 1191 §6.3, RFC 8201 §5.3).
const LIFETIME: Duration = Duration::from_secs(600);

/// MTUs of links that there are, for routers that do not tell (RFC 1191 §7.1, without those beyond 16 bits).
const PLATEAUS: [u16; 9] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 576, LEAST_V4];

impl PathMtus {
    /// Nothing known, and at most `limit` paths ever. `seed` keys the hash table.
    pub(crate) fn new(limit: usize, seed: u64) -> Self {
        let slots = HashMap::with_hasher(FixedState::with_seed(seed));
        Self { limit, slots, paths: Vec::new(), free: Vec::new(), order: Recency::new() }
    }

    /// The largest packet to `destination`, where it is known to be less than the link's.
    #[inline]
    pub(crate) fn get(&self, now: Instant, destination: Address) -> Option<u16> {
        if self.slots.is_empty() {
            return None;
        }
        let path = &self.paths[*self.slots.get(&destination)? as usize];
        (now < path.until).then_some(path.mtu)
    }

    /// Takes note that a packet of `sent` bytes to `destination` was too large, and that the next link on the path
    /// carries `told` bytes, 0 where the router does not say. Returns the MTU of the path from now on, if that is
    /// news.
    pub(crate) fn learn(&mut self, now: Instant, destination: Address, told: u16, sent: u16) -> Option<u16> {
        let least = if destination.is_v4() { LEAST_V4 } else { LEAST_V6 };
        // RFC 1191 §5: never more than what was too large. Some old routers of IPv4 say 0, or what they were sent.
        let untold = destination.is_v4() && (told == 0 || told >= sent);
        let mtu = if untold { plateau_below(sent) } else { told }.max(least);
        if mtu >= sent || self.get(now, destination).is_some_and(|known| known <= mtu) || self.limit == 0 {
            return None;
        }
        if let Some(&slot) = self.slots.get(&destination) {
            self.forget(slot);
        }
        while self.order.len() >= self.limit {
            let Some(oldest) = self.order.oldest() else { break };
            self.forget(oldest);
        }
        let path = KnownPath { destination, mtu, until: now + LIFETIME };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.paths.push(path);
                (self.paths.len() - 1) as u32
            }
        };
        self.paths[slot as usize] = path;
        self.slots.insert(destination, slot);
        self.order.push_newest(slot);
        Some(mtu)
    }

    fn forget(&mut self, slot: u32) {
        self.slots.remove(&self.paths[slot as usize].destination);
        self.order.remove(slot);
        self.free.push(slot);
    }
}

/// The next smaller MTU that links have.
fn plateau_below(sent: u16) -> u16 {
    PLATEAUS.into_iter().find(|plateau| *plateau < sent).unwrap_or(LEAST_V4)
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    const V4: Address = Address::v4(Ipv4Addr::new(192, 0, 2, 1));
    const V6: Address = Address::v6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

    fn paths() -> PathMtus {
        PathMtus::new(3, 1)
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_path_shrinks_and_is_forgotten_after_ten_minutes() {
        let mut paths = paths();
        assert_eq!(paths.get(at(0), V4), None);
        assert_eq!(paths.learn(at(0), V4, 1_400, 1_500), Some(1_400));
        assert_eq!(paths.get(at(599), V4), Some(1_400));
        assert_eq!(paths.get(at(600), V4), None);
        assert_eq!(paths.learn(at(600), V4, 1_450, 1_500), Some(1_450));
    }

    /// RFC 1191 §3, RFC 8201 §4: such a message never makes a path larger.
    #[test]
    fn a_path_never_grows_by_being_told_so() {
        let mut paths = paths();
        paths.learn(at(0), V4, 1_300, 1_500);
        assert_eq!(paths.learn(at(1), V4, 1_400, 1_500), None);
        assert_eq!(paths.get(at(1), V4), Some(1_300));
        assert_eq!(paths.learn(at(1), V4, 1_200, 1_300), Some(1_200));
    }

    #[test]
    fn absurd_claims_end_at_the_least_mtu() {
        let mut paths = paths();
        assert_eq!(paths.learn(at(0), V4, 68, 1_500), Some(552));
        // RFC 8201 §4: less than 1280 is no reason to go below that.
        assert_eq!(paths.learn(at(0), V6, 600, 1_500), Some(1_280));
        assert_eq!(paths.learn(at(0), V6, 600, 1_280), None);
    }

    /// RFC 1191 §7.1: Table 7-1.
    #[test]
    fn routers_that_say_nothing_are_guessed_at() {
        let mut paths = PathMtus::new(1, 1);
        let mut sent = 65_535;
        let mut guesses = Vec::new();
        while let Some(mtu) = paths.learn(at(0), V4, 0, sent) {
            guesses.push(mtu);
            sent = mtu;
        }
        assert_eq!(guesses, [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 576, 552]);
        // One that says what the packet had already is no better.
        assert_eq!(PathMtus::new(1, 1).learn(at(0), V4, 1_500, 1_500), Some(1_492));
    }

    #[test]
    fn too_many_paths_push_out_the_first() {
        let mut paths = paths();
        let path = |n| Address::v4(Ipv4Addr::new(192, 0, 2, n));
        for n in 1..=4 {
            assert_eq!(paths.learn(at(0), path(n), 1_000, 1_500), Some(1_000));
        }
        assert_eq!([1, 2, 3, 4].map(|n| paths.get(at(0), path(n)).is_some()), [false, true, true, true]);
    }

    proptest! {
        #[test]
        fn what_is_known_is_bounded_and_within_what_was_sent(
            messages in prop::collection::vec((0..6_u8, any::<u16>(), any::<u16>(), 0..400_u64), 0..60),
        ) {
            let mut paths = paths();
            let mut now = 0;
            for (n, told, sent, pause) in messages {
                now += pause;
                let destination = Address::v4(Ipv4Addr::new(192, 0, 2, n));
                let known = paths.get(at(now), destination);
                let news = paths.learn(at(now), destination, told, sent);
                if let Some(mtu) = news {
                    prop_assert!(mtu < sent && mtu >= LEAST_V4);
                    prop_assert!(known.is_none_or(|known| mtu < known));
                }
                prop_assert_eq!(paths.get(at(now), destination), news.or(known));
                prop_assert!(paths.order.len() <= 3 && paths.slots.len() == paths.order.len());
                prop_assert!(paths.paths.len() <= 4);
            }
        }
    }
}
