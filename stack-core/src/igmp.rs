//! The groups of IPv4 that we listen to, and when to tell routers (RFC 3376 §5, and §7 for routers of older versions).

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use arrayvec::ArrayVec;

use crate::time::{Duration, Instant};
use crate::wire::igmp::{ALL_SYSTEMS, IgmpRecord, IgmpVersion};

/// Groups, whoever sends to them, and what is still to be said about them.
#[derive(Debug)]
pub(crate) struct Memberships {
    /// By address.
    groups: Vec<Group>,
    limit: usize,
    /// Until when routers of versions 1 and 2 are believed to be there.
    old_routers: [Instant; 2],
    next: Option<Instant>,
    rng: fastrand::Rng,
}

#[derive(Debug)]
struct Group {
    address: Ipv4Addr,
    /// How many sockets listen; 0 while that is being told.
    members: u32,
    /// How often the last change still has to be told, and when next.
    change: Option<(u8, Instant)>,
    /// When to answer a router's question.
    answer: Option<Instant>,
    /// RFC 2236 §3: whether nobody has reported the group after us.
    last_reporter: bool,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and never for long")]
pub(crate) enum GroupReport {
    /// To all routers of version 3.
    Records(ArrayVec<IgmpRecord, MAX_RECORDS>),
    /// To the group itself, in version 1 or 2.
    Old(IgmpVersion, Ipv4Addr),
    /// To all routers, in version 2.
    Leave(Ipv4Addr),
}

/// There are too many groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyGroups;

/// Records of one report: it fits into 576 bytes, which every link carries.
pub(crate) const MAX_RECORDS: usize = 60;
/// RFC 3376 §8.1: how often a change is told, in case a report gets lost.
const ROBUSTNESS: u8 = 2;
/// RFC 3376 §8.11: the longest time between two reports of the same change; RFC 2236 §8.10 has another.
const UNSOLICITED: Duration = Duration::from_secs(1);
const UNSOLICITED_OLD: Duration = Duration::from_secs(10);
/// RFC 3376 §8.12: for how long a router of an older version is believed to be there, beside the response time.
const OLD_ROUTER: Duration = Duration::from_secs(2 * 125);

impl Memberships {
    /// No groups yet, and at most `limit` of them. `seed` decides when what is said.
    pub(crate) fn new(limit: usize, seed: u64) -> Self {
        let old_routers = [Instant::ZERO; 2];
        Self { groups: Vec::new(), limit, old_routers, next: None, rng: fastrand::Rng::with_seed(seed) }
    }

    /// Whether packets to `group` are for us. Everybody listens to all systems (RFC 1112 §4).
    #[inline]
    pub(crate) fn contains(&self, group: Ipv4Addr) -> bool {
        let found = || self.find(group).is_ok_and(|at| self.groups[at].members > 0);
        group == ALL_SYSTEMS || found()
    }

    /// One more socket listens to `group`.
    pub(crate) fn join(&mut self, now: Instant, group: Ipv4Addr) -> Result<(), TooManyGroups> {
        let at = match self.find(group) {
            Ok(at) => at,
            Err(_) if self.groups.len() >= self.limit => return Err(TooManyGroups),
            Err(at) => {
                let address = group;
                let group = Group { address, members: 0, change: None, answer: None, last_reporter: false };
                self.groups.insert(at, group);
                at
            }
        };
        let known = &mut self.groups[at];
        known.members += 1;
        if known.members == 1 && is_reported(group) {
            known.change = Some((ROBUSTNESS, now));
        }
        self.reschedule();
        Ok(())
    }

    /// One socket less listens to `group`.
    pub(crate) fn leave(&mut self, now: Instant, group: Ipv4Addr) {
        let Ok(at) = self.find(group) else { return };
        let version = self.version(now);
        let known = &mut self.groups[at];
        known.members = known.members.saturating_sub(1);
        if known.members == 0 {
            // RFC 2236 §3: once, if at all; RFC 1112 has no way to say it.
            let times = match version {
                IgmpVersion::V1 => 0,
                IgmpVersion::V2 => u8::from(known.last_reporter),
                IgmpVersion::V3 => ROBUSTNESS,
            };
            known.answer = None;
            known.change = (times > 0 && is_reported(group)).then_some((times, now));
            if known.change.is_none() {
                self.groups.remove(at);
            }
        }
        self.reschedule();
    }

    /// A router asks about `group`, or about all where unspecified. The answer comes at a random time, so that not
    /// everybody answers at once (RFC 3376 §5.2).
    pub(crate) fn asked(
        &mut self,
        now: Instant,
        version: IgmpVersion,
        group: Ipv4Addr,
        max_response: Duration,
    ) {
        if version < IgmpVersion::V3 {
            self.old_routers[version as usize] = now + OLD_ROUTER + max_response;
        }
        let rng = &mut self.rng;
        for known in &mut self.groups {
            let concerned = group.is_unspecified() || known.address == group;
            if concerned && known.members > 0 && is_reported(known.address) {
                let at = now + random_part(max_response, rng);
                // An answer that is due earlier serves both questions.
                known.answer = Some(known.answer.map_or(at, |earlier| earlier.min(at)));
            }
        }
        self.reschedule();
    }

    /// Another host has reported `group` in version 1 or 2: routers need not hear it twice (RFC 2236 §3).
    pub(crate) fn heard_report(&mut self, now: Instant, group: Ipv4Addr) {
        if self.version(now) == IgmpVersion::V3 {
            return;
        }
        let Ok(at) = self.find(group) else { return };
        let known = &mut self.groups[at];
        if known.members > 0 {
            (known.answer, known.change, known.last_reporter) = (None, None, false);
        }
        self.reschedule();
    }

    /// What to say at `now`. Call it until there is nothing.
    #[inline]
    pub(crate) fn poll(&mut self, now: Instant) -> Option<GroupReport> {
        if self.next.is_none_or(|next| next > now) {
            return None;
        }
        let report = match self.version(now) {
            IgmpVersion::V3 => self.records(now),
            old => self.old_report(now, old),
        };
        self.groups.retain(|group| group.members > 0 || group.change.is_some());
        self.reschedule();
        report
    }

    /// When [`poll`](Self::poll) has something to say.
    #[inline]
    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    fn records(&mut self, now: Instant) -> Option<GroupReport> {
        let mut records = ArrayVec::new();
        let Self { groups, rng, .. } = self;
        for group in groups.iter_mut().filter(|group| group.due().is_some_and(|at| at <= now)) {
            if records.is_full() {
                break;
            }
            let changed = group.tell(now, UNSOLICITED, rng);
            records.push(match (changed, group.members) {
                (true, 0) => IgmpRecord::Left(group.address),
                (true, _) => IgmpRecord::Joined(group.address),
                (false, _) => IgmpRecord::Listening(group.address),
            });
        }
        (!records.is_empty()).then_some(GroupReport::Records(records))
    }

    fn old_report(&mut self, now: Instant, version: IgmpVersion) -> Option<GroupReport> {
        let Self { groups, rng, .. } = self;
        let group = groups.iter_mut().find(|group| group.due().is_some_and(|at| at <= now))?;
        group.tell(now, UNSOLICITED_OLD, rng);
        if group.members == 0 {
            // A change that was to be told twice, before the older router was heard.
            group.change = None;
            return (version == IgmpVersion::V2).then_some(GroupReport::Leave(group.address));
        }
        group.last_reporter = true;
        Some(GroupReport::Old(version, group.address))
    }

    /// The version that the oldest router understands (RFC 3376 §7.2.1).
    fn version(&self, now: Instant) -> IgmpVersion {
        match self.old_routers {
            [v1, _] if now < v1 => IgmpVersion::V1,
            [_, v2] if now < v2 => IgmpVersion::V2,
            _ => IgmpVersion::V3,
        }
    }

    fn find(&self, group: Ipv4Addr) -> Result<usize, usize> {
        self.groups.binary_search_by_key(&group, |known| known.address)
    }

    fn reschedule(&mut self) {
        self.next = self.groups.iter().filter_map(Group::due).min();
    }
}

impl Group {
    fn due(&self) -> Option<Instant> {
        [self.change.map(|(_, at)| at), self.answer].into_iter().flatten().min()
    }

    /// Notes that it is told at `now`. Returns whether that is of a change.
    fn tell(&mut self, now: Instant, interval: Duration, rng: &mut fastrand::Rng) -> bool {
        match self.change {
            Some((left, at)) if at <= now => {
                let again = now + random_part(interval, rng);
                self.change = (left > 1).then_some((left - 1, again));
                true
            }
            _ => {
                self.answer = None;
                false
            }
        }
    }
}

/// RFC 3376 §5: all systems are never reported.
fn is_reported(group: Ipv4Addr) -> bool {
    group != ALL_SYSTEMS
}

/// A random time from nothing to `span`.
fn random_part(span: Duration, rng: &mut fastrand::Rng) -> Duration {
    let most = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.u64(..=most))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
    const OTHER: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 4);
    const ALL: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

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

    fn records(records: &[IgmpRecord]) -> GroupReport {
        GroupReport::Records(records.iter().copied().collect())
    }

    #[test]
    fn joining_and_leaving_are_told_twice_within_a_second() {
        let mut groups = Memberships::new(4, 1);
        groups.join(at(0), GROUP).unwrap();
        groups.join(at(0), GROUP).unwrap();
        assert!(groups.contains(GROUP) && !groups.contains(OTHER) && groups.contains(ALL_SYSTEMS));
        let joined = said(&mut groups, 60_000);
        assert_eq!(joined[0], (0, records(&[IgmpRecord::Joined(GROUP)])));
        assert_eq!(joined[1].1, records(&[IgmpRecord::Joined(GROUP)]));
        assert!(joined.len() == 2 && joined[1].0 <= 1_000);
        groups.leave(at(60_000), GROUP);
        assert_eq!(said(&mut groups, 90_000), [], "one still listens");
        groups.leave(at(90_000), GROUP);
        assert!(!groups.contains(GROUP));
        let left = said(&mut groups, 100_000);
        assert_eq!(left[0], (90_000, records(&[IgmpRecord::Left(GROUP)])));
        assert_eq!((left.len(), groups.groups.len()), (2, 0));
    }

    #[test]
    fn questions_are_answered_in_time_and_about_what_was_asked() {
        let mut groups = Memberships::new(4, 1);
        groups.join(at(0), GROUP).unwrap();
        groups.join(at(0), OTHER).unwrap();
        said(&mut groups, 10_000);
        groups.asked(at(10_000), IgmpVersion::V3, OTHER, Duration::from_secs(1));
        let answers = said(&mut groups, 20_000);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].1, records(&[IgmpRecord::Listening(OTHER)]));
        assert!((10_000..=11_000).contains(&answers[0].0));
        groups.asked(at(20_000), IgmpVersion::V3, ALL, Duration::from_secs(10));
        groups.asked(at(20_000), IgmpVersion::V3, ALL, Duration::from_secs(10));
        assert_eq!(said(&mut groups, 40_000).len(), 2);
    }

    /// RFC 3376 §7.2: as long as such a router may be there.
    #[test]
    fn routers_of_version_2_are_told_in_their_language() {
        let mut groups = Memberships::new(4, 1);
        groups.asked(at(0), IgmpVersion::V2, ALL, Duration::from_secs(10));
        groups.join(at(0), GROUP).unwrap();
        let joined = said(&mut groups, 20_000);
        assert_eq!(joined[0], (0, GroupReport::Old(IgmpVersion::V2, GROUP)));
        assert_eq!(joined.len(), 2);
        groups.leave(at(20_000), GROUP);
        assert_eq!(said(&mut groups, 30_000), [(20_000, GroupReport::Leave(GROUP))]);
        // 2 * 125 s + 10 s later, only routers of version 3 are left.
        groups.join(at(260_000), GROUP).unwrap();
        assert_eq!(said(&mut groups, 260_000), [(260_000, records(&[IgmpRecord::Joined(GROUP)]))]);
    }

    #[test]
    fn what_others_have_reported_is_not_repeated() {
        let mut groups = Memberships::new(4, 1);
        groups.join(at(0), GROUP).unwrap();
        groups.asked(at(0), IgmpVersion::V2, ALL, Duration::from_secs(10));
        said(&mut groups, 10_000);
        groups.asked(at(10_000), IgmpVersion::V2, ALL, Duration::from_secs(10));
        groups.heard_report(at(10_000), GROUP);
        assert_eq!(said(&mut groups, 30_000), []);
        // Who did not report it last has nothing to take back.
        groups.leave(at(30_000), GROUP);
        assert_eq!((said(&mut groups, 60_000), groups.groups.len()), (Vec::new(), 0));
    }

    #[test]
    fn nothing_is_taken_back_before_routers_of_version_1() {
        let mut groups = Memberships::new(4, 1);
        groups.asked(at(0), IgmpVersion::V1, ALL, Duration::from_secs(10));
        groups.join(at(0), GROUP).unwrap();
        assert_eq!(said(&mut groups, 0), [(0, GroupReport::Old(IgmpVersion::V1, GROUP))]);
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

    proptest! {
        #[test]
        fn routers_learn_in_the_end_what_holds(
            events in prop::collection::vec((0..5_u8, 0..4_u8, 0..20_000_u64), 0..80), seed: u64,
        ) {
            let mut groups = Memberships::new(4, seed);
            let mut members = [0; 4];
            let group = |n: u8| Ipv4Addr::new(239, 0, 0, n);
            let (mut now, mut spoken) = (0, 0);
            for (kind, n, pause) in &events {
                spoken += said(&mut groups, now).len();
                match kind {
                    0 => { groups.join(at(now), group(*n)).unwrap(); members[usize::from(*n)] += 1; }
                    1 if members[usize::from(*n)] > 0 => {
                        groups.leave(at(now), group(*n));
                        members[usize::from(*n)] -= 1;
                    }
                    2 => groups.asked(at(now), IgmpVersion::V2, ALL, Duration::from_secs(1)),
                    3 => groups.asked(at(now), IgmpVersion::V3, group(*n), Duration::from_secs(1)),
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
            groups.asked(at(now + 600_000), IgmpVersion::V3, ALL, Duration::from_secs(1));
            let mut answered: Vec<_> = said(&mut groups, now + 700_000)
                .into_iter()
                .flat_map(|(_, report)| match report {
                    GroupReport::Records(records) => records,
                    other => panic!("{other:?}"),
                })
                .collect();
            answered.sort_by_key(|record| match record {
                IgmpRecord::Listening(group) | IgmpRecord::Joined(group) | IgmpRecord::Left(group) => *group,
            });
            let expected: Vec<_> =
                (0..4).filter(|n| members[usize::from(*n)] > 0).map(|n| IgmpRecord::Listening(group(n))).collect();
            prop_assert_eq!(answered, expected);
        }
    }
}
