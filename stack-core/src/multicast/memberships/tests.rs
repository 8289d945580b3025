//! What is said when, of groups that are joined, left and asked for.

use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use RecordKind::{Allow, Block, IsExclude, IsInclude, ToExclude, ToInclude};

const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 1, 2, 3));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 1, 2, 4));
const ALL: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const GROUP_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x77));

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// Everything that is said until `end`, and when in milliseconds.
fn said(groups: &mut Memberships, end: u64) -> Vec<(u64, GroupReport)> {
    let mut said = Vec::new();
    while let Some(when) = groups.next_deadline().filter(|when| *when <= at(end)) {
        while let Some(report) = groups.poll(when) {
            said.push((when.as_millis(), report));
        }
    }
    said
}

/// No sender in particular.
fn nobody() -> impl Iterator<Item = IpAddr> + Clone {
    core::iter::empty()
}

fn record(kind: RecordKind, group: IpAddr) -> GroupReport {
    report(&[(kind, group, &[])])
}

fn report(records: &[(RecordKind, IpAddr, &[u8])]) -> GroupReport {
    let record = |&(kind, group, hosts): &(RecordKind, IpAddr, &[u8])| GroupRecord {
        kind,
        group,
        sources: hosts.iter().map(|number| host(*number)).collect(),
    };
    GroupReport::Records(records.iter().map(record).collect())
}

fn host(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, number).into()
}

#[test]
fn joining_and_leaving_are_told_twice_within_a_second() {
    let mut groups = Memberships::new(4, 1);
    groups.join(at(0), GROUP).unwrap();
    groups.join(at(0), GROUP).unwrap();
    assert!(groups.contains(GROUP) && !groups.contains(OTHER) && groups.contains(ALL_SYSTEMS.into()));
    let joined = said(&mut groups, 60_000);
    assert_eq!(joined[0], (0, record(ToExclude, GROUP)));
    assert_eq!(joined[1].1, record(ToExclude, GROUP));
    assert!(joined.len() == 2 && joined[1].0 <= 1_000);
    groups.leave(at(60_000), GROUP);
    assert_eq!(said(&mut groups, 90_000), [], "one still listens");
    groups.leave(at(90_000), GROUP);
    assert!(!groups.contains(GROUP));
    let left = said(&mut groups, 100_000);
    assert_eq!(left[0], (90_000, record(ToInclude, GROUP)));
    assert_eq!((left.len(), groups.groups.len()), (2, 0));
}

#[test]
fn questions_are_answered_in_time_and_about_what_was_asked() {
    let mut groups = Memberships::new(4, 1);
    groups.join(at(0), GROUP).unwrap();
    groups.join(at(0), OTHER).unwrap();
    said(&mut groups, 10_000);
    groups.asked(at(10_000), Dialect::Current, OTHER, nobody(), Duration::from_secs(1));
    let answers = said(&mut groups, 20_000);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].1, record(IsExclude, OTHER));
    assert!((10_000..=11_000).contains(&answers[0].0));
    groups.asked(at(20_000), Dialect::Current, ALL, nobody(), Duration::from_secs(10));
    groups.asked(at(20_000), Dialect::Current, ALL, nobody(), Duration::from_secs(10));
    assert_eq!(said(&mut groups, 40_000).len(), 2);
}

/// RFC 3376 §7.2: as long as such a router may be there.
#[test]
fn routers_of_version_2_are_told_in_their_language() {
    let mut groups = Memberships::new(4, 1);
    groups.asked(at(0), Dialect::Old, ALL, nobody(), Duration::from_secs(10));
    groups.join(at(0), GROUP).unwrap();
    let joined = said(&mut groups, 20_000);
    assert_eq!(joined[0], (0, GroupReport::Old(Dialect::Old, GROUP)));
    assert_eq!(joined.len(), 2);
    groups.leave(at(20_000), GROUP);
    assert_eq!(said(&mut groups, 30_000), [(20_000, GroupReport::Leave(GROUP))]);
    // 2 * 125 s + 10 s later, only routers of version 3 are left.
    groups.join(at(260_000), GROUP).unwrap();
    assert_eq!(said(&mut groups, 260_000), [(260_000, record(ToExclude, GROUP))]);
}

#[test]
fn what_others_have_reported_is_not_repeated() {
    let mut groups = Memberships::new(4, 1);
    groups.join(at(0), GROUP).unwrap();
    groups.asked(at(0), Dialect::Old, ALL, nobody(), Duration::from_secs(10));
    said(&mut groups, 10_000);
    groups.asked(at(10_000), Dialect::Old, ALL, nobody(), Duration::from_secs(10));
    groups.heard_report(at(10_000), GROUP);
    assert_eq!(said(&mut groups, 30_000), []);
    // Who did not report it last has nothing to take back.
    groups.leave(at(30_000), GROUP);
    assert_eq!((said(&mut groups, 60_000), groups.groups.len()), (Vec::new(), 0));
}

#[test]
fn nothing_is_taken_back_before_routers_of_version_1() {
    let mut groups = Memberships::new(4, 1);
    groups.asked(at(0), Dialect::Oldest, ALL, nobody(), Duration::from_secs(10));
    groups.join(at(0), GROUP).unwrap();
    assert_eq!(said(&mut groups, 0), [(0, GroupReport::Old(Dialect::Oldest, GROUP))]);
    groups.leave(at(20_000), GROUP);
    assert_eq!(said(&mut groups, 60_000), []);
}

#[test]
fn the_number_of_groups_is_bounded() {
    let mut groups = Memberships::new(1, 1);
    groups.join(at(0), GROUP).unwrap();
    assert_eq!(groups.join(at(0), OTHER), Err(TooManyGroups));
    groups.join(at(0), GROUP).unwrap();
}

/// RFC 3810 §6, of which RFC 3376 §5 is the like.
#[test]
fn many_groups_of_ipv6_take_several_reports_and_those_of_a_host_none() {
    let mut groups = Memberships::new(200, 1);
    for number in 0..100 {
        groups.join(at(0), Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 1, number).into()).unwrap();
    }
    let sizes: Vec<usize> = core::iter::from_fn(|| groups.poll(at(0)))
        .map(|report| match report {
            GroupReport::Records(records) => records.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 100);
    // RFC 8200 §5: 1,280 bytes, of which 20 are a record's and 56 the headers'.
    assert!(sizes.iter().all(|records| records * 20 + 56 <= 1_280), "{sizes:?}");
    let mut groups = Memberships::new(0, 1);
    for quiet in [ALL_NODES, Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0x77)] {
        groups.join(at(0), quiet.into()).unwrap();
    }
    assert!(groups.contains(ALL_NODES.into()));
    assert_eq!(said(&mut groups, 60_000), []);
    assert_eq!(groups.join(at(0), GROUP_V6), Err(TooManyGroups));
}

/// RFC 3376 §5.1, the table of changes; RFC 3810 §6.1 has the same.
#[test]
fn changes_of_a_filter_are_told_as_what_changed() {
    let socket = SocketId::new(0, 0);
    let filter =
        |mode, hosts: &[u8]| Filter { mode, sources: hosts.iter().map(|number| host(*number)).collect() };
    let (include, exclude) = (|hosts| filter(Mode::Include, hosts), |hosts| filter(Mode::Exclude, hosts));
    type Records<'a> = &'a [(RecordKind, IpAddr, &'a [u8])];
    let table: [(Filter, Filter, Records<'_>); 7] = [
        (include(&[1, 2]), include(&[2, 3]), &[(Allow, GROUP, &[3]), (Block, GROUP, &[1])]),
        (exclude(&[1, 2]), exclude(&[2, 3]), &[(Allow, GROUP, &[1]), (Block, GROUP, &[3])]),
        (include(&[1]), exclude(&[2]), &[(ToExclude, GROUP, &[2])]),
        (exclude(&[1]), include(&[2]), &[(ToInclude, GROUP, &[2])]),
        (Filter::NOBODY, include(&[1]), &[(Allow, GROUP, &[1])]),
        (include(&[1]), Filter::NOBODY, &[(Block, GROUP, &[1])]),
        (exclude(&[1]), Filter::NOBODY, &[(ToInclude, GROUP, &[])]),
    ];
    for (before, after, told) in table {
        let mut groups = Memberships::new(4, 1);
        groups.refilter(at(0), GROUP, socket, &Filter::NOBODY, before.clone()).unwrap();
        said(&mut groups, 10_000);
        groups.refilter(at(10_000), GROUP, socket, &before, after.clone()).unwrap();
        let all = said(&mut groups, 20_000);
        assert_eq!(all.len(), 2, "twice, within a second: {before:?} {after:?}");
        assert!(all.iter().all(|(_, said)| *said == report(told)), "{all:?}");
        assert!(all[0].0 == 10_000 && all[1].0 <= 11_000);
    }
}

#[test]
fn changes_that_follow_each_other_are_told_together() {
    let socket = SocketId::new(0, 0);
    let include = |hosts: &[u8]| Filter {
        mode: Mode::Include,
        sources: hosts.iter().map(|number| host(*number)).collect(),
    };
    let mut groups = Memberships::new(4, 1);
    groups.refilter(at(0), GROUP, socket, &Filter::NOBODY, include(&[1])).unwrap();
    assert_eq!(groups.poll(at(0)), Some(report(&[(Allow, GROUP, &[1])])));
    groups.refilter(at(0), GROUP, socket, &include(&[1]), include(&[2])).unwrap();
    let both = report(&[(Allow, GROUP, &[2]), (Block, GROUP, &[1])]);
    assert!(said(&mut groups, 10_000).iter().all(|(_, said)| *said == both));
    groups.join(at(20_000), GROUP).unwrap();
    groups.leave(at(20_000), GROUP);
    // The routers may have heard the first change already.
    let all = said(&mut groups, 30_000);
    assert!(all.iter().all(|(_, said)| *said == report(&[(ToInclude, GROUP, &[2])])), "{all:?}");
}

/// RFC 3376 §5.2, RFC 3810 §6.3.
#[test]
fn questions_about_senders_are_answered_with_those_that_are_heard() {
    let socket = SocketId::new(0, 0);
    let second = Duration::from_secs(1);
    let ask = |filter: Filter, hosts: &[&[u8]]| {
        let mut groups = Memberships::new(4, 1);
        groups.refilter(at(0), GROUP, socket, &Filter::NOBODY, filter).unwrap();
        said(&mut groups, 10_000);
        for hosts in hosts {
            groups.asked(
                at(10_000),
                Dialect::Current,
                GROUP,
                hosts.iter().map(|number| host(*number)),
                second,
            );
        }
        said(&mut groups, 20_000).into_iter().map(|(_, report)| report).collect::<Vec<_>>()
    };
    let sources = |hosts: &[u8]| hosts.iter().map(|number| host(*number)).collect();
    let include = |hosts| Filter { mode: Mode::Include, sources: sources(hosts) };
    let exclude = |hosts| Filter { mode: Mode::Exclude, sources: sources(hosts) };
    assert_eq!(ask(include(&[1, 2]), &[&[2, 3]]), [report(&[(IsInclude, GROUP, &[2])])]);
    assert_eq!(ask(exclude(&[1, 2]), &[&[2, 3]]), [report(&[(IsInclude, GROUP, &[3])])]);
    assert_eq!(ask(include(&[1]), &[&[2]]), [], "nothing to say");
    assert_eq!(ask(include(&[1, 2]), &[&[2], &[1]]), [report(&[(IsInclude, GROUP, &[1, 2])])]);
    assert_eq!(ask(exclude(&[1]), &[&[2], &[]]), [report(&[(IsExclude, GROUP, &[1])])]);
}

proptest! {
    #[test]
    fn routers_learn_in_the_end_what_holds(
        events in prop::collection::vec((0..5_u8, 0..4_u8, 0..20_000_u64), 0..80), seed: u64,
    ) {
        let mut groups = Memberships::new(4, seed);
        let mut members = [0; 4];
        let group = |n: u8| IpAddr::from(Ipv4Addr::new(239, 0, 0, n));
        let (mut now, mut spoken) = (0, 0);
        for (kind, n, pause) in &events {
            spoken += said(&mut groups, now).len();
            match kind {
                0 => { groups.join(at(now), group(*n)).unwrap(); members[usize::from(*n)] += 1; }
                1 if members[usize::from(*n)] > 0 => {
                    groups.leave(at(now), group(*n));
                    members[usize::from(*n)] -= 1;
                }
                2 => groups.asked(at(now), Dialect::Old, ALL, nobody(), Duration::from_secs(1)),
                3 => groups.asked(at(now), Dialect::Current, group(*n), nobody(), Duration::from_secs(1)),
                _ => groups.heard_report(at(now), group(*n)),
            }
            now += pause;
        }
        spoken += said(&mut groups, now + 60_000).len();
        prop_assert!(groups.next_deadline().is_none(), "it ends");
        for n in 0..4 {
            prop_assert_eq!(groups.contains(group(n)), members[usize::from(n)] > 0);
        }
        // What each event leads to is bounded.
        prop_assert!(spoken <= events.len() * 5);
        // Asked once more, exactly the members answer.
        groups.asked(at(now + 600_000), Dialect::Current, ALL, nobody(), Duration::from_secs(1));
        let mut answered: Vec<_> = said(&mut groups, now + 700_000)
            .into_iter()
            .flat_map(|(_, report)| match report {
                GroupReport::Records(records) => records,
                other => panic!("{other:?}"),
            })
            .collect();
        answered.sort_by_key(|record| record.group);
        let expected: Vec<_> =
            (0..4).filter(|n| members[usize::from(*n)] > 0).map(|n| GroupRecord::new(IsExclude, group(n))).collect();
        prop_assert_eq!(answered, expected);
    }
}
