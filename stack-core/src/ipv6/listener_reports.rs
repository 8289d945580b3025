//! When to report which multicast groups we listen to (RFC 3810 §6, as a host that listens to all senders).

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use arrayvec::ArrayVec;

use crate::time::{Duration, Instant};
use crate::wire::mld::MldRecord;
use crate::wire::ndp::ALL_NODES;

/// The groups that we listen to, and what is still to be said about them.
#[derive(Debug)]
pub(crate) struct ListenerReports {
    groups: Vec<Group>,
    /// The most groups.
    limit: usize,
    next: Option<Instant>,
}

#[derive(Debug)]
struct Group {
    address: Ipv6Addr,
    /// How many of us listen; 0 while that is being told.
    listeners: u32,
    /// The change of state that is being told, how often it still has to be, and when next.
    change: Option<(u8, Instant)>,
    /// When to answer a router's question.
    answer: Option<Instant>,
}

/// Records that one report holds: it has to fit into the least MTU.
pub(crate) type Records = ArrayVec<MldRecord, 32>;

/// RFC 3810 §9.1: how often a change is told, in case that a report gets lost.
const ROBUSTNESS: u8 = 2;
/// RFC 3810 §9.11: the longest time between two reports of the same change.
const UNSOLICITED_REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// There are too many groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyGroups;

impl ListenerReports {
    /// No groups yet, and at most `limit` of them.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { groups: Vec::new(), limit, next: None }
    }

    /// Whether packets to `group` are for us. Everybody listens to all nodes (RFC 4291 §2.8).
    pub(crate) fn listens_to(&self, group: Ipv6Addr) -> bool {
        group == ALL_NODES || self.groups.iter().any(|known| known.address == group && known.listeners > 0)
    }

    /// One more of us listens to `group`.
    pub(crate) fn join(&mut self, now: Instant, group: Ipv6Addr) -> Result<(), TooManyGroups> {
        if !is_reported(group) {
            return Ok(());
        }
        let change = Some((ROBUSTNESS, now));
        let is_full = self.groups.len() >= self.limit;
        match self.groups.iter_mut().find(|known| known.address == group) {
            Some(known) => {
                known.listeners += 1;
                if known.listeners == 1 {
                    known.change = change;
                }
            }
            None if is_full => return Err(TooManyGroups),
            None => self.groups.push(Group { address: group, listeners: 1, change, answer: None }),
        }
        self.reschedule();
        Ok(())
    }

    /// One less of us listens to `group`.
    pub(crate) fn leave(&mut self, now: Instant, group: Ipv6Addr) {
        let Some(known) = self.groups.iter_mut().find(|known| known.address == group) else { return };
        known.listeners = known.listeners.saturating_sub(1);
        if known.listeners == 0 {
            (known.change, known.answer) = (Some((ROBUSTNESS, now)), None);
        }
        self.reschedule();
    }

    /// A router asks for `group`, or for all where unspecified, to be answered within `max_response`: at a random
    /// time, so that not everybody answers at once (RFC 3810 §6.2).
    pub(crate) fn asked(
        &mut self,
        now: Instant,
        group: Ipv6Addr,
        max_response: Duration,
        rng: &mut fastrand::Rng,
    ) {
        let at = now + random_part(max_response, rng);
        for known in &mut self.groups {
            if known.listeners > 0 && (group.is_unspecified() || known.address == group) {
                // An answer that is due earlier serves both questions.
                known.answer = Some(known.answer.map_or(at, |earlier| earlier.min(at)));
            }
        }
        self.reschedule();
    }

    /// What to report at `now`; nothing where empty. Call it until nothing is left.
    pub(crate) fn poll(&mut self, now: Instant, rng: &mut fastrand::Rng) -> Records {
        let mut records = Records::new();
        if self.next.is_none_or(|next| next > now) {
            return records;
        }
        for group in &mut self.groups {
            if records.is_full() {
                break;
            }
            records.extend(group.report(now, rng));
        }
        self.groups.retain(|group| group.listeners > 0 || group.change.is_some());
        self.reschedule();
        records
    }

    /// When to call [`poll`](Self::poll) next.
    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    fn reschedule(&mut self) {
        self.next = self.groups.iter().filter_map(Group::due).min();
    }
}

impl Group {
    fn due(&self) -> Option<Instant> {
        [self.change.map(|(_, at)| at), self.answer].into_iter().flatten().min()
    }

    /// What is to be told of it at `now`.
    fn report(&mut self, now: Instant, rng: &mut fastrand::Rng) -> Option<MldRecord> {
        if let Some((left, at)) = self.change
            && at <= now
        {
            let again = now + random_part(UNSOLICITED_REPORT_INTERVAL, rng);
            self.change = (left > 1).then_some((left - 1, again));
            let joined = self.listeners > 0;
            return Some(if joined {
                MldRecord::Joined(self.address)
            } else {
                MldRecord::Left(self.address)
            });
        }
        self.answer.take_if(|at| *at <= now).map(|_| MldRecord::Listening(self.address))
    }
}

/// RFC 3810 §6: groups that everybody has, and those that never leave a host, are not reported.
fn is_reported(group: Ipv6Addr) -> bool {
    let [_, flags_scope, ..] = group.octets();
    group.is_multicast() && group != ALL_NODES && flags_scope & 0xf > 1
}

/// A random time from nothing to `span`.
fn random_part(span: Duration, rng: &mut fastrand::Rng) -> Duration {
    let most = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.u64(..=most))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x77);
    const OTHER: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 7);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// Everything that is said from now on, and when.
    fn said(reports: &mut ListenerReports, seed: u64) -> Vec<(Instant, Vec<MldRecord>)> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut said = Vec::new();
        while let Some(at) = reports.next_deadline() {
            said.push((at, reports.poll(at, &mut rng).to_vec()));
            assert!(said.len() < 100, "no end");
        }
        said
    }

    #[test]
    fn a_change_is_told_at_once_and_again_within_a_second() {
        let mut reports = ListenerReports::new(8);
        reports.join(at(100), GROUP).unwrap();
        assert!(reports.listens_to(GROUP));
        let told = said(&mut reports, 1);
        assert_eq!(told[0], (at(100), [MldRecord::Joined(GROUP)].into()));
        assert_eq!(told[1].1, [MldRecord::Joined(GROUP)]);
        assert!(told[1].0 <= at(1_100) && told.len() == 2);

        reports.leave(at(5_000), GROUP);
        assert!(!reports.listens_to(GROUP));
        let told = said(&mut reports, 2);
        assert_eq!(told[0], (at(5_000), [MldRecord::Left(GROUP)].into()));
        assert_eq!((told.len(), reports.groups.len()), (2, 0));
    }

    #[test]
    fn only_the_first_that_joins_and_the_last_that_leaves_are_told_of() {
        let mut reports = ListenerReports::new(8);
        reports.join(at(0), GROUP).unwrap();
        assert_eq!(said(&mut reports, 1).len(), 2);
        reports.join(at(10_000), GROUP).unwrap();
        reports.leave(at(11_000), GROUP);
        assert_eq!(said(&mut reports, 1), []);
        assert!(reports.listens_to(GROUP));
    }

    #[test]
    fn a_routers_question_is_answered_within_the_time_that_it_gives() {
        let mut reports = ListenerReports::new(8);
        reports.join(at(0), GROUP).unwrap();
        reports.join(at(0), OTHER).unwrap();
        said(&mut reports, 1);
        let mut rng = fastrand::Rng::with_seed(3);
        reports.asked(at(20_000), Ipv6Addr::UNSPECIFIED, Duration::from_secs(10), &mut rng);
        let told = said(&mut reports, 1);
        assert_eq!(told.len(), 1, "one report for all groups");
        assert!(at(20_000) <= told[0].0 && told[0].0 <= at(30_000));
        assert_eq!(told[0].1, [MldRecord::Listening(GROUP), MldRecord::Listening(OTHER)]);

        reports.asked(at(40_000), OTHER, Duration::from_secs(1), &mut rng);
        assert_eq!(said(&mut reports, 1)[0].1, [MldRecord::Listening(OTHER)]);
        reports.asked(at(50_000), "ff02::99".parse().unwrap(), Duration::from_secs(1), &mut rng);
        assert_eq!(said(&mut reports, 1), []);
    }

    #[test]
    fn everybody_listens_to_all_nodes_and_nobody_reports_it() {
        let mut reports = ListenerReports::new(0);
        reports.join(at(0), ALL_NODES).unwrap();
        assert!(reports.listens_to(ALL_NODES));
        assert_eq!(said(&mut reports, 1), []);
        assert_eq!(reports.join(at(0), GROUP), Err(TooManyGroups));
    }

    #[test]
    fn many_groups_take_several_reports() {
        let mut reports = ListenerReports::new(100);
        for number in 0..40 {
            reports.join(at(0), Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 1, number)).unwrap();
        }
        let mut rng = fastrand::Rng::with_seed(1);
        assert_eq!(reports.poll(at(0), &mut rng).len(), 32);
        assert_eq!(reports.poll(at(0), &mut rng).len(), 8);
        assert_eq!(reports.poll(at(0), &mut rng).len(), 0);
    }
}
