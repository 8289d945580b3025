use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

type Cache = NeighborCache<&'static str>;

const LIMITS: NeighborLimits = NeighborLimits {
    neighbors: 4,
    unresolved: 2,
    waiting: 3,
    reachable_time: Duration::from_secs(30),
    probe_interval: Duration::from_secs(1),
};
const ROUTER: Address = ip(1);

const fn ip(host: u8) -> Address {
    Address::v4(Ipv4Addr::new(10, 7, 0, host))
}

const fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn cache() -> Cache {
    NeighborCache::new(LIMITS, 1)
}

fn broadcast_probe<P>(ip: Address) -> NeighborAction<P> {
    NeighborAction::Probe { ip, mac: None }
}

fn unicast_probe<P>(ip: Address, mac: MacAddr) -> NeighborAction<P> {
    NeighborAction::Probe { ip, mac: Some(mac) }
}

fn polled<P>(cache: &mut NeighborCache<P>, now: Instant) -> Vec<NeighborAction<P>> {
    core::iter::from_fn(|| cache.poll(now)).collect()
}

/// The cache has a question out for `host`, which answers.
fn make_reachable(cache: &mut Cache, now: Instant, host: u8) {
    assert_eq!(cache.enqueue(ip(host), "hello"), None);
    assert_eq!(polled(cache, now), [broadcast_probe(ip(host))]);
    assert_eq!(cache.learn(now, ip(host), mac(host), Heard::Reply), ["hello"]);
}

#[test]
fn packets_wait_for_the_answer_and_leave_in_order() {
    let mut cache = cache();
    assert_eq!(cache.lookup(ROUTER), None);
    assert_eq!(cache.next_deadline(), None, "to ask is not to send");
    assert_eq!(cache.enqueue(ROUTER, "first"), None);
    assert!(cache.next_deadline().unwrap() <= at(0), "the first probe goes out at once");
    assert_eq!(polled(&mut cache, at(0)), [broadcast_probe(ROUTER)]);
    assert_eq!(cache.lookup(ROUTER), None);
    assert_eq!(cache.enqueue(ROUTER, "second"), None);
    assert_eq!(polled(&mut cache, at(1)), []);

    assert_eq!(cache.learn(at(2), ROUTER, mac(1), Heard::Reply), ["first", "second"]);
    assert_eq!(cache.lookup(ROUTER), Some(mac(1)));
    assert_eq!(polled(&mut cache, at(3)), []);
}

#[test]
fn three_probes_a_second_apart_then_the_packets_come_back() {
    let mut cache = cache();
    assert_eq!(cache.enqueue(ROUTER, "lost"), None);
    for asked in [0, 1001, 2002] {
        assert_eq!(polled(&mut cache, at(asked)), [broadcast_probe(ROUTER)]);
        assert_eq!(polled(&mut cache, at(asked + 999)), []);
    }
    let packets = VecDeque::from(["lost"]);
    assert_eq!(polled(&mut cache, at(3003)), [NeighborAction::Unreachable { ip: ROUTER, packets }]);
    assert_eq!(cache.next_deadline(), None);

    assert_eq!(cache.enqueue(ROUTER, "again"), None);
    assert_eq!(polled(&mut cache, at(3004)), [broadcast_probe(ROUTER)]);
}

#[test]
fn the_oldest_packet_gives_way() {
    let mut cache = cache();
    for packet in ["a", "b", "c"] {
        assert_eq!(cache.enqueue(ROUTER, packet), None);
    }
    assert_eq!(cache.enqueue(ROUTER, "d"), Some("a"));
    assert_eq!(cache.learn(at(5), ROUTER, mac(1), Heard::Reply), ["b", "c", "d"]);
}

#[test]
fn the_latest_packet_waits_even_where_the_limit_says_none() {
    let mut cache = Cache::new(NeighborLimits { waiting: 0, ..LIMITS }, 1);
    assert_eq!(cache.enqueue(ROUTER, "a"), None);
    assert_eq!(cache.enqueue(ROUTER, "b"), Some("a"));
    assert_eq!(cache.learn(at(5), ROUTER, mac(1), Heard::Reply), ["b"]);
}

#[test]
fn a_stale_neighbor_is_used_while_it_is_verified() {
    let mut cache = cache();
    make_reachable(&mut cache, at(0), 1);
    assert_eq!(polled(&mut cache, at(29_999)), []);
    assert_eq!(cache.lookup(ROUTER), Some(mac(1)));
    assert_eq!(polled(&mut cache, at(29_999)), [], "it has answered lately");

    assert_eq!(polled(&mut cache, at(30_001)), [], "it is stale now, but nobody cares");
    assert_eq!(polled(&mut cache, at(90_000)), []);
    assert_eq!(cache.lookup(ROUTER), Some(mac(1)));
    assert_eq!(polled(&mut cache, at(90_000)), [unicast_probe(ROUTER, mac(1))]);
    assert_eq!(cache.lookup(ROUTER), Some(mac(1)));
    assert_eq!(polled(&mut cache, at(90_000)), [], "one question at a time");

    assert_eq!(cache.learn(at(90_005), ROUTER, mac(1), Heard::Reply), [""; 0]);
    assert_eq!(cache.lookup(ROUTER), Some(mac(1)));
    assert_eq!(polled(&mut cache, at(120_004)), []);
}

#[test]
fn a_stale_neighbor_that_stays_silent_is_forgotten() {
    let mut cache = cache();
    make_reachable(&mut cache, at(0), 1);
    assert_eq!(polled(&mut cache, at(40_000)), []);
    for asked in [40_000, 41_001, 42_002] {
        assert_eq!(cache.lookup(ROUTER), Some(mac(1)));
        assert_eq!(polled(&mut cache, at(asked)), [unicast_probe(ROUTER, mac(1))]);
    }
    assert_eq!(polled(&mut cache, at(43_003)), [], "no packet waited for it");
    assert_eq!(cache.lookup(ROUTER), None);
    assert_eq!(cache.next_deadline(), None);
}

#[test]
fn a_neighbor_that_moved_is_found_by_its_answer() {
    let mut cache = cache();
    make_reachable(&mut cache, at(0), 1);
    assert_eq!(polled(&mut cache, at(40_000)), []);
    assert_eq!(cache.lookup(ROUTER), Some(mac(1)));
    assert_eq!(cache.learn(at(40_001), ROUTER, mac(99), Heard::Reply), [""; 0]);
    assert_eq!(cache.lookup(ROUTER), Some(mac(99)));
    assert_eq!(polled(&mut cache, at(41_000)), [], "its answer was asked for");
}

#[test]
fn what_nobody_asked_for_is_not_remembered() {
    let mut cache = cache();
    cache.learn(at(0), ROUTER, mac(1), Heard::Reply);
    cache.learn(at(0), ROUTER, mac(1), Heard::Announcement);
    assert_eq!(cache.lookup(ROUTER), None);
}

#[test]
fn who_asks_for_us_is_remembered_and_verified_when_used() {
    let mut cache = cache();
    cache.learn(at(0), ip(9), mac(9), Heard::Request);
    assert_eq!(polled(&mut cache, at(1)), []);
    assert_eq!(cache.lookup(ip(9)), Some(mac(9)));
    assert_eq!(polled(&mut cache, at(2)), [unicast_probe(ip(9), mac(9))]);
}

#[test]
fn a_request_from_whom_we_ask_for_sets_the_packets_free() {
    let mut cache = cache();
    assert_eq!(cache.enqueue(ROUTER, "waiting"), None);
    assert_eq!(polled(&mut cache, at(0)), [broadcast_probe(ROUTER)]);
    assert_eq!(cache.learn(at(1), ROUTER, mac(1), Heard::Request), ["waiting"]);
    assert_eq!(cache.next_deadline(), None, "nothing is left to resolve");
    assert_eq!(cache.lookup(ROUTER), Some(mac(1)));
}

#[test]
fn an_address_that_changes_unasked_is_verified_before_it_is_believed_for_long() {
    for heard in [Heard::Reply, Heard::Request, Heard::Announcement] {
        let mut cache = cache();
        make_reachable(&mut cache, at(0), 1);
        cache.learn(at(10), ROUTER, mac(66), heard);
        assert_eq!(cache.lookup(ROUTER), Some(mac(66)));
        assert_eq!(polled(&mut cache, at(20)), [unicast_probe(ROUTER, mac(66))]);
    }
}

#[test]
fn hearsay_does_not_prolong_what_is_believed() {
    let mut cache = cache();
    make_reachable(&mut cache, at(0), 1);
    for heard in [Heard::Reply, Heard::Request, Heard::Announcement] {
        cache.learn(at(29_000), ROUTER, mac(1), heard);
    }
    assert_eq!(polled(&mut cache, at(30_001)), []);
    assert_eq!(cache.lookup(ROUTER), Some(mac(1)));
    assert_eq!(polled(&mut cache, at(30_001)), [unicast_probe(ROUTER, mac(1))]);
}

#[test]
fn permanent_neighbors_are_above_doubt_and_do_not_count() {
    let mut cache = cache();
    assert_eq!(cache.enqueue(ip(100), "early"), None);
    assert_eq!(cache.insert_permanent(ip(100), mac(100)), ["early"]);
    assert_eq!(cache.next_deadline(), None);
    for host in 101..110 {
        assert_eq!(cache.insert_permanent(ip(host), mac(host)), [""; 0]);
    }
    for host in 1..=8 {
        make_reachable(&mut cache, at(0), host);
    }
    for heard in [Heard::Reply, Heard::Request, Heard::Announcement] {
        cache.learn(at(0), ip(100), mac(66), heard);
    }
    assert_eq!(polled(&mut cache, at(1_000_000)), []);
    for host in 100..110 {
        assert_eq!(cache.lookup(ip(host)), Some(mac(host)));
    }
    assert_eq!(cache.enqueue(ip(100), "late"), Some("late"), "it needs no resolving");
    assert_eq!(polled(&mut cache, at(1_000_000)), []);
}

#[test]
fn the_neighbor_unused_for_the_longest_time_gives_way() {
    let mut cache = cache();
    for host in 1..=4 {
        make_reachable(&mut cache, at(0), host);
    }
    assert_eq!(cache.lookup(ip(1)), Some(mac(1)));
    make_reachable(&mut cache, at(1), 5);
    assert_eq!(cache.lookup(ip(2)), None);
    for host in [1, 3, 4, 5] {
        assert_eq!(cache.lookup(ip(host)), Some(mac(host)));
    }
}

#[test]
fn a_flood_of_forged_requests_displaces_only_itself() {
    let mut cache = cache();
    for host in 1..=3 {
        make_reachable(&mut cache, at(0), host);
    }
    for host in 10..200 {
        cache.learn(at(1), ip(host), mac(66), Heard::Request);
    }
    for host in 1..=3 {
        assert_eq!(cache.lookup(ip(host)), Some(mac(host)));
    }
    assert_eq!(cache.lookup(ip(199)), Some(mac(66)));
    assert_eq!(cache.lookup(ip(198)), None);
}

#[test]
fn at_most_so_many_are_resolved_at_once() {
    let mut cache = cache();
    make_reachable(&mut cache, at(0), 1);
    assert_eq!(cache.enqueue(ip(50), "a"), None);
    assert_eq!(cache.enqueue(ip(51), "b"), None);
    assert_eq!(cache.enqueue(ip(52), "c"), Some("c"));
    assert_eq!(polled(&mut cache, at(1)).len(), 2);
    assert_eq!(cache.lookup(ROUTER), Some(mac(1)), "a scan of the network leaves those in use alone");
    cache.learn(at(2), ip(50), mac(50), Heard::Reply);
    assert_eq!(cache.enqueue(ip(52), "c"), None);
}

#[test]
fn a_full_table_of_unresolved_neighbors_refuses_more() {
    let mut cache = Cache::new(NeighborLimits { neighbors: 1, ..LIMITS }, 1);
    assert_eq!(cache.enqueue(ip(1), "a"), None);
    assert_eq!(cache.enqueue(ip(2), "b"), Some("b"));
    cache.learn(at(0), ip(3), mac(3), Heard::Request);
    assert_eq!(cache.lookup(ip(3)), None);
    assert_eq!(cache.learn(at(0), ip(1), mac(1), Heard::Reply), ["a"]);
}

#[derive(Clone, Debug)]
enum Step {
    Send(u8),
    Hear(u8, u8, Heard),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let heard = prop_oneof![Just(Heard::Reply), Just(Heard::Request), Just(Heard::Announcement)];
    prop_oneof![
        (0..10_u8).prop_map(Step::Send),
        (0..10_u8, 0..3_u8, heard).prop_map(|(host, mac, heard)| Step::Hear(host, mac, heard)),
        (0..20_000_u64).prop_map(Step::Wait),
    ]
}

/// What an outsider sees of a cache: what it answers, and where each packet (a number) ends up.
fn run(steps: &[Step], seed: u64) -> Vec<(&'static str, Vec<usize>)> {
    let mut cache = NeighborCache::new(LIMITS, seed);
    let mut now = at(0);
    let mut seen = vec![];
    for (packet, step) in steps.iter().enumerate() {
        match *step {
            Step::Send(host) if cache.lookup(ip(host)).is_some() => seen.push(("sent", vec![packet])),
            Step::Send(host) => seen.push(("no room", cache.enqueue(ip(host), packet).into_iter().collect())),
            Step::Hear(host, n, heard) => {
                seen.push(("set free", cache.learn(now, ip(host), mac(n), heard).into()));
            }
            Step::Wait(millis) => now += Duration::from_millis(millis),
        }
        // One wait may stand for several seconds, which the cache sees one by one.
        for action in polled(&mut cache, now) {
            match action {
                NeighborAction::Probe { mac, .. } => seen.push(("probe", vec![usize::from(mac.is_some())])),
                NeighborAction::Unreachable { packets, .. } => seen.push(("unreachable", packets.into())),
            }
        }
        assert!(cache.unresolved <= LIMITS.unresolved);
        assert!(cache.unresolved + cache.resolved.len() <= LIMITS.neighbors);
        assert!(cache.neighbors.len() <= LIMITS.neighbors, "slots are used again");
        assert_eq!(cache.slots.len(), cache.unresolved + cache.resolved.len());
    }
    for _ in 0..=MAX_PROBES {
        now += Duration::from_secs(2);
        for action in polled(&mut cache, now) {
            if let NeighborAction::Unreachable { packets, .. } = action {
                seen.push(("unreachable", packets.into()));
            }
        }
    }
    seen
}

proptest! {
    #[test]
    fn each_packet_ends_up_in_one_place_and_the_seed_changes_nothing(
        steps in prop::collection::vec(step(), 0..200), seed: u64,
    ) {
        let seen = run(&steps, 1);
        let fates = seen.iter().filter(|(fate, _)| *fate != "probe");
        let mut packets = Vec::from_iter(fates.flat_map(|(_, packets)| packets));
        packets.sort_unstable();
        let sent = Vec::from_iter((0..steps.len()).filter(|n| matches!(steps[*n], Step::Send(_))));
        prop_assert!(packets.into_iter().eq(&sent));
        prop_assert_eq!(run(&steps, seed), seen);
    }
}
