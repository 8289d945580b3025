//! The groups that the stack listens to, and when to tell routers: IGMP (RFC 3376 §5, and §7 for routers of older versions)
//! and MLD (RFC 3810 §6 and §8), which are one protocol for two families.

use alloc::vec::Vec;
use core::net::IpAddr;

use arrayvec::ArrayVec;

use super::filter::{self, Filter, MOST_SOURCES, Mode};
use crate::socket::SocketId;
use crate::time::{Duration, Instant};
use crate::wire::group_report::{GroupRecord, RecordKind};
use crate::wire::igmp::ALL_SYSTEMS;
use crate::wire::ndp::ALL_NODES;

/// Groups of one family, and what is still to be said about them.
#[derive(Debug)]
pub(crate) struct Memberships {
    /// By address.
    groups: Vec<Group>,
    limit: usize,
    /// Until when routers of the [`Oldest`](Dialect::Oldest) and of [`Old`](Dialect::Old) versions are believed to be
    /// there.
    old_routers: [Instant; 2],
    next: Option<Instant>,
    rng: fastrand::Rng,
}

/// What routers and hosts speak, by what it can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dialect {
    /// That somebody listens: IGMPv1.
    Oldest,
    /// That somebody listens, or leaves: IGMPv2 and MLDv1.
    Old,
    /// Who listens to whom: IGMPv3 and MLDv2.
    Current,
}

#[derive(Debug)]
struct Group {
    address: IpAddr,
    /// How many listen to whoever sends.
    listeners: u32,
    /// The sockets that don't.
    choosy: Vec<(SocketId, Filter)>,
    /// What all of them together want.
    wanted: Filter,
    change: Option<Change>,
    answer: Option<Answer>,
    /// RFC 2236 §3: whether nobody has reported the group after us.
    last_reporter: bool,
}

/// What has changed and is being told.
#[derive(Debug)]
struct Change {
    /// How often it still has to be, and when next.
    left: u8,
    at: Instant,
    /// All that is wanted now is told, and not only the senders below.
    whole: bool,
    allowed: Vec<IpAddr>,
    blocked: Vec<IpAddr>,
}

/// An answer to a router's question.
#[derive(Debug)]
struct Answer {
    at: Instant,
    /// The senders in question; all of them where empty.
    sources: Vec<IpAddr>,
}

/// What is to be sent.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and never for long")]
pub(crate) enum GroupReport {
    /// To all routers of the current version.
    Records(ArrayVec<GroupRecord, MAX_RECORDS>),
    /// To the group itself, in an older version.
    Old(Dialect, IpAddr),
    /// To all routers, in an older version.
    Leave(IpAddr),
}

/// There are too many groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyGroups;

/// Records of one report, and its bytes in all: with all headers it fits into 576 bytes, which every link of IPv4 carries,
/// where no senders are named, and always into 1,280, which every link of IPv6 does.
const MAX_RECORDS: usize = 60;
const MAX_LEN: usize = 1_200;
/// RFC 3376 §8.1, RFC 3810 §9.1: how often a change is told, in case a report gets lost.
const ROBUSTNESS: u8 = 2;
/// RFC 3376 §8.11, RFC 3810 §9.11: the longest time between two reports of the same change; RFC 2236 §8.10 and RFC 2710
/// §7.10 have another.
const UNSOLICITED: Duration = Duration::from_secs(1);
const UNSOLICITED_OLD: Duration = Duration::from_secs(10);
/// RFC 3376 §8.12, RFC 3810 §9.12: for how long a router of an older version is believed to be there, beside the response
/// time.
const OLD_ROUTER: Duration = Duration::from_secs(2 * 125);

impl Memberships {
    /// No groups yet, and at most `limit` of them. `seed` decides when what is said.
    pub(crate) fn new(limit: usize, seed: u64) -> Self {
        let old_routers = [Instant::ZERO; 2];
        Self { groups: Vec::new(), limit, old_routers, next: None, rng: fastrand::Rng::with_seed(seed) }
    }

    /// Whether packets to `group` are for us.
    #[inline]
    pub(crate) fn contains(&self, group: IpAddr) -> bool {
        let found = || self.find(group).is_ok_and(|at| self.groups[at].wanted.hears_any());
        is_everybodys(group) || found()
    }

    /// One more of us listens to `group`, whoever sends.
    pub(crate) fn join(&mut self, now: Instant, group: IpAddr) -> Result<(), TooManyGroups> {
        self.alter(now, group, |known| known.listeners += 1)
    }

    /// One less of us listens to `group`, whoever sends.
    pub(crate) fn leave(&mut self, now: Instant, group: IpAddr) {
        // What is there needs no room.
        let _ = self.alter(now, group, |known| known.listeners = known.listeners.saturating_sub(1));
    }

    /// A socket that has wanted `before` from `group` wants `after`.
    pub(crate) fn refilter(
        &mut self,
        now: Instant,
        group: IpAddr,
        socket: SocketId,
        before: &Filter,
        after: Filter,
    ) -> Result<(), TooManyGroups> {
        self.alter(now, group, |known| {
            known.choosy.retain(|(id, _)| *id != socket);
            if *before == Filter::EVERYBODY {
                known.listeners = known.listeners.saturating_sub(1);
            }
            if after == Filter::EVERYBODY {
                known.listeners += 1;
            } else if after.hears_any() {
                known.choosy.push((socket, after));
            }
        })
    }

    /// A router asks about `group`, or about all where unspecified, and about some of its senders, or about all. The answer
    /// comes at a random time, so that not everybody answers at once (RFC 3376 §5.2, RFC 3810 §6.2).
    pub(crate) fn asked(
        &mut self,
        now: Instant,
        dialect: Dialect,
        group: IpAddr,
        sources: impl Iterator<Item = IpAddr> + Clone,
        max_response: Duration,
    ) {
        if dialect < Dialect::Current {
            self.old_routers[dialect as usize] = now + OLD_ROUTER + max_response;
        }
        let rng = &mut self.rng;
        for known in &mut self.groups {
            let concerned = group.is_unspecified() || known.address == group;
            if concerned && known.wanted.hears_any() {
                known.asked(now + random_part(max_response, rng), sources.clone());
            }
        }
        self.reschedule();
    }

    /// Another host has reported `group` in an older version: routers need not hear it twice (RFC 2236 §3, RFC 2710 §4).
    pub(crate) fn heard_report(&mut self, now: Instant, group: IpAddr) {
        if self.dialect(now) == Dialect::Current {
            return;
        }
        let Ok(at) = self.find(group) else { return };
        let known = &mut self.groups[at];
        if known.wanted.hears_any() {
            (known.answer, known.change, known.last_reporter) = (None, None, false);
        }
        self.reschedule();
    }

    /// What to say at `now`. Call it until there is nothing.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<GroupReport> {
        if self.next.is_none_or(|next| next > now) {
            return None;
        }
        let report = match self.dialect(now) {
            Dialect::Current => self.records(now),
            old => self.old_report(now, old),
        };
        self.groups.retain(|group| group.wanted.hears_any() || group.change.is_some());
        self.reschedule();
        report
    }

    /// When [`poll`](Self::poll) has something to say.
    #[inline]
    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Changes who listens to a group, and notes what routers have to hear of that.
    fn alter(
        &mut self,
        now: Instant,
        group: IpAddr,
        alter: impl FnOnce(&mut Group),
    ) -> Result<(), TooManyGroups> {
        let dialect = self.dialect(now);
        let at = match self.find(group) {
            Ok(at) => at,
            Err(_) if !is_reported(group) => return Ok(()),
            Err(_) if self.groups.len() >= self.limit => return Err(TooManyGroups),
            Err(at) => {
                self.groups.insert(at, Group::new(group));
                at
            }
        };
        let known = &mut self.groups[at];
        alter(known);
        known.update(now, dialect);
        if !known.wanted.hears_any() && known.change.is_none() {
            self.groups.remove(at);
        }
        self.reschedule();
        Ok(())
    }

    fn records(&mut self, now: Instant) -> Option<GroupReport> {
        let mut records = ArrayVec::new();
        let mut len = 0;
        let Self { groups, rng, .. } = self;
        for group in groups.iter_mut().filter(|group| group.due().is_some_and(|at| at <= now)) {
            // A group has two records at most.
            if records.remaining_capacity() < 2 || len + group.longest() > MAX_LEN {
                break;
            }
            for record in group.tell(now, rng) {
                len += record.encoded_len();
                records.push(record);
            }
        }
        (!records.is_empty()).then_some(GroupReport::Records(records))
    }

    fn old_report(&mut self, now: Instant, dialect: Dialect) -> Option<GroupReport> {
        let Self { groups, rng, .. } = self;
        let group = groups.iter_mut().find(|group| group.due().is_some_and(|at| at <= now))?;
        if !group.tick(now, UNSOLICITED_OLD, rng) {
            group.answer = None;
        }
        if !group.wanted.hears_any() {
            // A change that was to be told twice, before the older router was heard.
            group.change = None;
            return (dialect == Dialect::Old).then_some(GroupReport::Leave(group.address));
        }
        group.last_reporter = true;
        Some(GroupReport::Old(dialect, group.address))
    }

    /// What the oldest router understands (RFC 3376 §7.2.1, RFC 3810 §8.2.1).
    fn dialect(&self, now: Instant) -> Dialect {
        match self.old_routers {
            [oldest, _] if now < oldest => Dialect::Oldest,
            [_, old] if now < old => Dialect::Old,
            _ => Dialect::Current,
        }
    }

    fn find(&self, group: IpAddr) -> Result<usize, usize> {
        self.groups.binary_search_by_key(&group, |known| known.address)
    }

    fn reschedule(&mut self) {
        self.next = self.groups.iter().filter_map(Group::due).min();
    }
}

impl Group {
    const fn new(address: IpAddr) -> Self {
        Self {
            address,
            listeners: 0,
            choosy: Vec::new(),
            wanted: Filter::NOBODY,
            change: None,
            answer: None,
            last_reporter: false,
        }
    }

    fn due(&self) -> Option<Instant> {
        let change = self.change.as_ref().map(|change| change.at);
        [change, self.answer.as_ref().map(|answer| answer.at)].into_iter().flatten().min()
    }

    /// Looks anew for what is wanted, and notes what changed by that (RFC 3376 §5.1, RFC 3810 §6.1).
    fn update(&mut self, now: Instant, dialect: Dialect) {
        let choosy = self.choosy.iter().map(|(_, filter)| filter);
        let wanted = if self.listeners > 0 { Filter::EVERYBODY } else { Filter::union(choosy) };
        let before = core::mem::replace(&mut self.wanted, wanted);
        let wanted = &self.wanted;
        if before == *wanted || !is_reported(self.address) {
            return;
        }
        if !wanted.hears_any() {
            self.answer = None;
        }
        let times = match (dialect, wanted.hears_any()) {
            (Dialect::Current, _) => ROBUSTNESS,
            // They understand no more than that somebody listens.
            (_, true) if before.hears_any() => return,
            (_, true) => ROBUSTNESS,
            // RFC 2236 §3, RFC 2710 §4: once, if at all; RFC 1112 has no way to say it.
            (Dialect::Old, false) => u8::from(self.last_reporter),
            (Dialect::Oldest, false) => 0,
        };
        let pending = self.change.take();
        if times == 0 {
            return;
        }
        let mut change = pending.unwrap_or(Change {
            left: 0,
            at: now,
            whole: false,
            allowed: Vec::new(),
            blocked: Vec::new(),
        });
        (change.left, change.at) = (times, now);
        change.whole |= before.mode != wanted.mode;
        let (more, less) = (
            filter::without(&wanted.sources, &before.sources),
            filter::without(&before.sources, &wanted.sources),
        );
        let (allowed, blocked) = if wanted.mode == Mode::Include { (more, less) } else { (less, more) };
        change.allowed = filter::joined(&filter::without(&change.allowed, &blocked), &allowed);
        change.blocked = filter::joined(&filter::without(&change.blocked, &allowed), &blocked);
        // Where that is more than a report holds, all that is wanted is not.
        change.whole |= change.allowed.len() + change.blocked.len() > MOST_SOURCES;
        self.change = Some(change);
    }

    /// Notes a question that is to be answered at `at`. An answer that is due earlier serves both questions (RFC 3376
    /// §5.2, rules 1 to 5).
    fn asked(&mut self, at: Instant, sources: impl Iterator<Item = IpAddr>) {
        let mut sources: Vec<IpAddr> = sources.take(MOST_SOURCES + 1).collect();
        sources.sort_unstable();
        sources.dedup();
        let (at, all) = match &self.answer {
            None => (at, sources),
            Some(Answer { at: earlier, sources: known }) => {
                let both = if known.is_empty() || sources.is_empty() {
                    Vec::new()
                } else {
                    filter::joined(known, &sources)
                };
                (at.min(*earlier), both)
            }
        };
        let sources = if all.len() > MOST_SOURCES { Vec::new() } else { all };
        self.answer = Some(Answer { at, sources });
    }

    /// The most bytes that its records take.
    fn longest(&self) -> usize {
        let change = self.change.as_ref().map_or(0, |change| change.allowed.len() + change.blocked.len());
        let answer = self.answer.as_ref().map_or(0, |answer| answer.sources.len());
        2 * 20 + 16 * self.wanted.sources.len().max(change).max(answer)
    }

    /// Notes that a change is told at `now`, if one is due.
    fn tick(&mut self, now: Instant, interval: Duration, rng: &mut fastrand::Rng) -> bool {
        let Some(change) = self.change.as_mut().filter(|change| change.at <= now) else { return false };
        change.left -= 1;
        change.at = now + random_part(interval, rng);
        self.change.take_if(|change| change.left == 0);
        true
    }

    /// What is to be told of it at `now`, in the current version.
    fn tell(&mut self, now: Instant, rng: &mut fastrand::Rng) -> ArrayVec<GroupRecord, 2> {
        let mut records = ArrayVec::new();
        let group = self.address;
        let include = self.wanted.mode == Mode::Include;
        match self.change.as_ref().filter(|change| change.at <= now) {
            Some(change) if change.whole => {
                let kind = if include { RecordKind::ToInclude } else { RecordKind::ToExclude };
                records.push(GroupRecord { kind, group, sources: self.wanted.sources.clone() });
            }
            Some(change) => {
                let lists = [(RecordKind::Allow, &change.allowed), (RecordKind::Block, &change.blocked)];
                for (kind, sources) in lists.into_iter().filter(|(_, sources)| !sources.is_empty()) {
                    records.push(GroupRecord { kind, group, sources: sources.clone() });
                }
            }
            None => records.extend(self.answer.take().and_then(|answer| self.answer_to(&answer.sources))),
        }
        self.tick(now, UNSOLICITED, rng);
        records
    }

    /// RFC 3376 §5.2, RFC 3810 §6.3: what we hear, of all senders or of those in question.
    fn answer_to(&self, asked: &[IpAddr]) -> Option<GroupRecord> {
        let Filter { mode, sources } = &self.wanted;
        let group = self.address;
        if asked.is_empty() {
            let kind = if *mode == Mode::Include { RecordKind::IsInclude } else { RecordKind::IsExclude };
            return Some(GroupRecord { kind, group, sources: sources.clone() });
        }
        let heard = match mode {
            Mode::Include => filter::common(asked, sources),
            Mode::Exclude => filter::without(asked, sources),
        };
        (!heard.is_empty()).then_some(GroupRecord { kind: RecordKind::IsInclude, group, sources: heard })
    }
}

/// Everybody listens to all systems or nodes (RFC 1112 §4, RFC 4291 §2.8).
pub(crate) fn is_everybodys(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group == ALL_SYSTEMS,
        IpAddr::V6(group) => group == ALL_NODES,
    }
}

/// RFC 3376 §5, RFC 3810 §6: groups that everybody has, and those that never leave a host, are never reported.
fn is_reported(group: IpAddr) -> bool {
    let leaves_host = match group {
        IpAddr::V4(_) => true,
        IpAddr::V6(group) => group.octets()[1] & 0xf > 1,
    };
    leaves_host && !is_everybodys(group)
}

/// A random time from nothing to `span`.
fn random_part(span: Duration, rng: &mut fastrand::Rng) -> Duration {
    let most = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.u64(..=most))
}

#[cfg(test)]
mod tests;
