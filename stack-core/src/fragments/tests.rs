use alloc::vec;
use core::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const LIMITS: FragmentLimits = FragmentLimits { packets: 4, parts: 64, bytes: 256 * 1024 };
const HEADER: [u8; 20] = [0x45; 20];

fn key(ident: u32) -> PacketKey {
    PacketKey {
        source: Address::v4(Ipv4Addr::new(10, 0, 0, 2)),
        destination: Address::v4(Ipv4Addr::new(10, 0, 0, 1)),
        protocol: 17,
        ident,
    }
}

fn part(ident: u32, offset: u16, more: bool, payload: &[u8]) -> Part<'_> {
    Part { key: key(ident), offset, more, header: &HEADER, payload }
}

fn reassembly() -> Reassembly {
    Reassembly::new(LIMITS, 1)
}

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1_000)
}

fn whole(outcome: Outcome) -> Vec<u8> {
    match outcome {
        Outcome::Whole(Whole { bytes, header_len }) => {
            assert_eq!(bytes[..header_len], HEADER);
            bytes[header_len..].to_vec()
        }
        other => panic!("not whole: {other:?}"),
    }
}

#[test]
fn parts_become_the_whole_in_any_order() {
    let payload: Vec<u8> = (0..24).collect();
    let parts = [(0, true), (8, true), (16, false)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut reassembly = reassembly();
        let mut outcomes = order.map(|n| {
            let (offset, more) = parts[n];
            let payload = &payload[usize::from(offset)..usize::from(offset) + 8];
            reassembly.insert(at(0), &part(1, offset, more, payload))
        });
        assert_eq!(outcomes[..2], [Outcome::Kept, Outcome::Kept]);
        assert_eq!(whole(core::mem::replace(&mut outcomes[2], Outcome::Kept)), payload);
        assert_eq!((reassembly.bytes, reassembly.next_deadline()), (0, None), "nothing is left behind");
    }
}

#[test]
fn packets_of_different_names_do_not_mix() {
    let mut reassembly = reassembly();
    assert_eq!(reassembly.insert(at(0), &part(1, 0, true, &[1; 8])), Outcome::Kept);
    assert_eq!(reassembly.insert(at(0), &part(2, 0, true, &[2; 8])), Outcome::Kept);
    assert_eq!(whole(reassembly.insert(at(0), &part(2, 8, false, &[2; 8]))), [2; 16]);
    assert_eq!(whole(reassembly.insert(at(0), &part(1, 8, false, &[1; 3]))), [1; 11]);
}

#[test]
fn the_same_part_twice_counts_once() {
    let mut reassembly = reassembly();
    assert_eq!(reassembly.insert(at(0), &part(1, 0, true, &[1; 8])), Outcome::Kept);
    assert_eq!(reassembly.insert(at(0), &part(1, 0, true, &[1; 8])), Outcome::Duplicate);
    assert_eq!(whole(reassembly.insert(at(0), &part(1, 8, false, &[1; 8]))), [1; 16]);
}

/// RFC 5722 §4: the whole packet goes, with the parts that are still to come.
#[test]
fn overlap_discards_the_packet_and_what_still_comes_of_it() {
    let teardrop = part(1, 8, false, &[2; 4]);
    for overlapping in [
        teardrop,
        part(1, 0, true, &[9; 16]), // Other bytes in the same place.
        part(1, 8, true, &[1; 16]),
        part(1, 0, true, &[1; 8]),   // The front of a part, even with the same bytes.
        part(1, 0, false, &[1; 16]), // The same part, said to be the last.
        part(1, 0, false, &[1; 8]),  // An end before what has come.
    ] {
        let mut reassembly = reassembly();
        assert_eq!(reassembly.insert(at(0), &part(1, 0, true, &[1; 16])), Outcome::Kept);
        assert_eq!(reassembly.insert(at(0), &overlapping), Outcome::Overlap, "{overlapping:?}");
        assert_eq!(reassembly.insert(at(1), &part(1, 16, false, &[1; 8])), Outcome::Overlap);
        // Only its time ends it, and nobody is told.
        assert_eq!(reassembly.expire(at(60)), Some(Expired { key: key(1), first: None }));
        assert_eq!(reassembly.bytes, 0);
    }
}

#[test]
fn ends_that_contradict_each_other_discard_the_packet() {
    let mut reassembly = reassembly();
    assert_eq!(reassembly.insert(at(0), &part(1, 16, false, &[1; 8])), Outcome::Kept);
    assert_eq!(reassembly.insert(at(0), &part(1, 24, true, &[1; 8])), Outcome::Overlap);
    assert_eq!(reassembly.insert(at(0), &part(2, 16, false, &[1; 8])), Outcome::Kept);
    assert_eq!(reassembly.insert(at(0), &part(2, 8, false, &[1; 8])), Outcome::Overlap);
}

/// The largest payload that 20 bytes of header leave room for, and one byte more.
#[test]
fn nothing_grows_beyond_the_longest_packet() {
    let mut reassembly = reassembly();
    assert_eq!(reassembly.insert(at(0), &part(1, 65_512, false, &[0; 3])), Outcome::Kept);
    assert_eq!(reassembly.insert(at(0), &part(2, 65_512, false, &[0; 4])), Outcome::TooLong);
    // A first part with options turns up behind a last one without.
    let (first, last) = (vec![0; 32_768], vec![0; 32_747]);
    assert_eq!(reassembly.insert(at(0), &part(3, 32_768, false, &last)), Outcome::Kept);
    let options = Part { header: &[0x46; 24], ..part(3, 0, true, &first) };
    assert_eq!(reassembly.insert(at(0), &options), Outcome::TooLong);
    let fits = |reassembly: &mut Reassembly, last: &[u8]| {
        reassembly.insert(at(0), &part(4, 32_768, false, last));
        reassembly.insert(at(0), &part(4, 0, true, &first))
    };
    assert_eq!(whole(fits(&mut reassembly, &last)).len(), 65_515);
}

/// RFC 1122 §3.3.2 and RFC 8200 §4.5: 60 s from the first that arrives; an error only where offset 0 has come.
#[test]
fn time_is_over_after_60_seconds_and_the_first_part_is_there_to_be_quoted() {
    let mut reassembly = reassembly();
    reassembly.insert(at(0), &part(1, 8, true, &[1; 8]));
    reassembly.insert(at(1), &part(2, 0, true, &[2; 8]));
    reassembly.insert(at(30), &part(1, 16, false, &[1; 8]));
    assert_eq!(reassembly.next_deadline(), Some(at(60)));
    assert_eq!(reassembly.expire(at(59)), None);
    assert_eq!(reassembly.expire(at(60)), Some(Expired { key: key(1), first: None }));
    assert_eq!(reassembly.expire(at(60)), None);
    let first = [&HEADER[..], &[2; 8]].concat();
    assert_eq!(reassembly.expire(at(61)), Some(Expired { key: key(2), first: Some(first) }));
    assert_eq!((reassembly.bytes, reassembly.next_deadline()), (0, None));
}

#[test]
fn the_oldest_packet_gives_way_to_a_new_one() {
    let mut reassembly = reassembly();
    for ident in 1..=5 {
        assert_eq!(reassembly.insert(at(0), &part(ident, 0, true, &[1; 8])), Outcome::Kept);
    }
    assert_eq!(reassembly.take_evicted(), 1);
    // The first one is gone, so that this is but another lone part; the second is there.
    assert_eq!(whole(reassembly.insert(at(0), &part(2, 8, false, &[1; 8]))), [1; 16]);
    assert_eq!(reassembly.insert(at(0), &part(1, 8, false, &[1; 8])), Outcome::Kept);
}

#[test]
fn memory_is_bounded_by_bytes_and_parts() {
    let limits = FragmentLimits { packets: 100, parts: 3, bytes: 4_096 };
    let mut reassembly = Reassembly::new(limits, 1);
    for ident in 0..100 {
        assert_eq!(reassembly.insert(at(0), &part(ident, 8, true, &[0; 1_000])), Outcome::Kept);
        assert!(reassembly.bytes <= 4_096);
    }
    assert!(reassembly.take_evicted() >= 97);
    assert_eq!(reassembly.insert(at(0), &part(1_000, 0, true, &[0; 4_096])), Outcome::NoRoom);
    for n in 0..3 {
        assert_eq!(reassembly.insert(at(0), &part(1_001, n * 16, true, &[0; 8])), Outcome::Kept);
    }
    assert_eq!(reassembly.insert(at(0), &part(1_001, 96, true, &[0; 8])), Outcome::NoRoom);
}

proptest! {
    #[test]
    fn any_cut_in_any_order_with_repetitions_is_put_together(
        cuts in prop::collection::btree_set(1..200_u16, 0..20),
        len in 1_600..2_000_usize,
        order in prop::collection::vec(any::<prop::sample::Index>(), 60),
    ) {
        let payload: Vec<u8> = (0..len).map(|n| (n * 7) as u8).collect();
        let mut edges: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut) * 8).collect();
        edges.insert(0, 0);
        edges.push(len);
        let parts: Vec<_> = edges.windows(2).map(|edge| (edge[0], edge[1])).collect();
        prop_assume!(parts.iter().all(|(from, to)| from < to));
        let mut reassembly = reassembly();
        let mut seen = alloc::collections::BTreeSet::new();
        let rest = 0..parts.len();
        for n in order.iter().map(|index| index.index(parts.len())).chain(rest) {
            let (from, to) = parts[n];
            let outcome = reassembly.insert(at(0), &part(1, from as u16, to < len, &payload[from..to]));
            let new = seen.insert(n);
            if seen.len() == parts.len() {
                prop_assert_eq!(whole(outcome), payload);
                prop_assert_eq!(reassembly.bytes, 0);
                return Ok(());
            }
            prop_assert_eq!(outcome, if new { Outcome::Kept } else { Outcome::Duplicate });
        }
        prop_assert!(false, "never whole");
    }

    /// Parts of two versions of a packet: whatever comes out is one of them and no mixture, and the memory is
    /// what was counted.
    #[test]
    fn no_mixture_of_overlapping_parts_comes_out(
        parts in prop::collection::vec((0..12_u16, 1..8_u16, any::<bool>(), 0..3_u32, 0..2_u8), 1..100),
    ) {
        let mut reassembly = reassembly();
        for (second, (offset, len, more, ident, version)) in (0..).zip(parts) {
            let payload = vec![version; usize::from(len) * 8];
            if let Outcome::Whole(whole) = reassembly.insert(at(second), &part(ident, offset * 8, more, &payload)) {
                prop_assert!(whole.bytes.len() - whole.header_len <= 20 * 8);
            }
            while reassembly.expire(at(second)).is_some() {}
            let counted: usize = reassembly.packets.iter().flatten().map(|p| PACKET_COST + p.parts.cost()).sum();
            prop_assert_eq!(reassembly.bytes, counted);
            for packet in reassembly.packets.iter().flatten() {
                if let Parts::Waiting(waiting) = &packet.parts {
                    prop_assert!(waiting.kept.windows(2).all(|two| two[0].end() <= two[1].offset));
                }
            }
        }
    }
}
