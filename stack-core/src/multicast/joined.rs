//! The groups that a socket has joined.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::filter::{Filter, Mode};

/// The groups of one socket, and whose datagrams in them it takes. A machine of its own, so that a program can keep one
/// beside its socket and know at once what a change comes to.
#[derive(Clone, Debug, Default)]
pub struct JoinedGroups {
    groups: Vec<(IpAddr, Filter)>,
}

/// A change of what a socket hears from a group (RFC 3678 §4.1, ip(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupChange {
    /// Everybody.
    Join,
    /// Nobody any more.
    Leave,
    /// This sender too, where the socket chooses whom it hears.
    JoinSource(IpAddr),
    /// This sender no more, where the socket chooses whom it hears.
    LeaveSource(IpAddr),
    /// Everybody but this sender, and those that were blocked before.
    Block(IpAddr),
    /// A sender again that was blocked.
    Unblock(IpAddr),
}

/// How many groups a socket may be in, and how many senders it may name for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLimits {
    /// Groups.
    pub groups: usize,
    /// Senders of each.
    pub sources: usize,
}

/// Why a socket did not join or leave a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupError {
    /// The handle names no such socket.
    Stale,
    /// The address is no group, or the sender's is of another family.
    NotGroup,
    /// The socket is a member already.
    Joined,
    /// The socket is not a member; or the sender was named before, or never was.
    NotJoined,
    /// The socket has joined the group the other way: it names whom it hears, or whom it does not.
    OtherMode,
    /// The stack, or the socket, is in too many groups, or names too many senders: raise
    /// [`Limits::groups`](crate::Limits::groups) or [`Limits::group_sources`](crate::Limits::group_sources).
    TooMany,
}

impl core::fmt::Display for GroupError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Stale => "the handle names no such socket",
            Self::NotGroup => "the address is no group, or the sender's of another family",
            Self::Joined => "the socket is in the group already",
            Self::NotJoined => {
                "the socket is not in the group, or the sender is in its list already or not at all"
            }
            Self::OtherMode => "the socket has joined the group the other way",
            Self::TooMany => "too many groups or senders",
        })
    }
}

impl core::error::Error for GroupError {}

impl JoinedGroups {
    /// Changes what is heard from `group`.
    ///
    /// # Errors
    /// [`GroupError`], as Linux has them; nothing is changed then.
    pub fn change(
        &mut self,
        group: IpAddr,
        change: GroupChange,
        limits: GroupLimits,
    ) -> Result<(), GroupError> {
        let group = group.to_canonical();
        if !group.is_multicast() {
            return Err(GroupError::NotGroup);
        }
        let at = self.groups.iter().position(|(joined, _)| *joined == group);
        let after = match (change, at.map(|at| &self.groups[at].1)) {
            (GroupChange::Join, None) => Filter::EVERYBODY,
            (GroupChange::Join, Some(_)) => return Err(GroupError::Joined),
            (GroupChange::Leave, Some(_)) => Filter::NOBODY,
            (GroupChange::Leave, None) => return Err(GroupError::NotJoined),
            (GroupChange::JoinSource(source), before) => {
                // A plain membership may become a choice.
                let before = before.filter(|filter| **filter != Filter::EVERYBODY);
                listed(before.unwrap_or(&Filter::NOBODY), Mode::Include, group, source, limits)?
            }
            (GroupChange::Block(source), Some(before)) => {
                listed(before, Mode::Exclude, group, source, limits)?
            }
            (GroupChange::LeaveSource(source), Some(before)) => unlisted(before, Mode::Include, source)?,
            (GroupChange::Unblock(source), Some(before)) => unlisted(before, Mode::Exclude, source)?,
            (_, None) => return Err(GroupError::OtherMode),
        };
        match at {
            Some(at) if after.hears_any() => self.groups[at].1 = after,
            Some(at) => drop(self.groups.swap_remove(at)),
            None if self.groups.len() >= limits.groups => return Err(GroupError::TooMany),
            None => self.groups.push((group, after)),
        }
        Ok(())
    }

    /// Whether a datagram from `source` to `group` is wanted.
    pub(crate) fn hears(&self, group: IpAddr, source: IpAddr) -> bool {
        self.find(group).is_some_and(|filter| filter.hears(source))
    }

    /// What is heard from `group`.
    pub(crate) fn filter(&self, group: IpAddr) -> Filter {
        self.find(group).cloned().unwrap_or(Filter::NOBODY)
    }

    /// All groups, and what is heard from each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(IpAddr, Filter)> {
        self.groups.iter()
    }

    fn find(&self, group: IpAddr) -> Option<&Filter> {
        self.groups.iter().find(|(joined, _)| *joined == group).map(|(_, filter)| filter)
    }
}

/// The filter with one sender more in its list.
fn listed(
    filter: &Filter,
    mode: Mode,
    group: IpAddr,
    source: IpAddr,
    limits: GroupLimits,
) -> Result<Filter, GroupError> {
    let source = source.to_canonical();
    if source.is_ipv4() != group.is_ipv4() {
        return Err(GroupError::NotGroup);
    }
    if filter.mode != mode {
        return Err(GroupError::OtherMode);
    }
    let mut sources = filter.sources.clone();
    let at = sources.binary_search(&source).err().ok_or(GroupError::NotJoined)?;
    if sources.len() >= limits.sources {
        return Err(GroupError::TooMany);
    }
    sources.insert(at, source);
    Ok(Filter { mode, sources })
}

/// The filter with one sender less in its list.
fn unlisted(filter: &Filter, mode: Mode, source: IpAddr) -> Result<Filter, GroupError> {
    if filter.mode != mode {
        return Err(GroupError::OtherMode);
    }
    let mut sources = filter.sources.clone();
    let at = sources.binary_search(&source.to_canonical()).map_err(|_| GroupError::NotJoined)?;
    sources.remove(at);
    Ok(Filter { mode, sources })
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 1, 2, 3));
    const LIMITS: GroupLimits = GroupLimits { groups: 2, sources: 2 };

    fn host(number: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, number).into()
    }

    /// The hosts 1 to 3 that are heard after the changes, and what the last one was answered.
    fn heard(changes: &[GroupChange]) -> ([bool; 3], Result<(), GroupError>) {
        let mut groups = JoinedGroups::default();
        let outcomes: Vec<_> = changes.iter().map(|change| groups.change(GROUP, *change, LIMITS)).collect();
        ([1, 2, 3].map(|number| groups.hears(GROUP, host(number))), *outcomes.last().unwrap())
    }

    /// What Linux answers, in the order of ip_mc_source().
    #[test]
    fn senders_are_chosen_or_blocked() {
        use GroupChange::{Block, Join, JoinSource, Leave, LeaveSource, Unblock};
        let [one, two] = [1, 2].map(host);
        assert_eq!(heard(&[Join]), ([true, true, true], Ok(())));
        assert_eq!(heard(&[Join, Join]).1, Err(GroupError::Joined));
        assert_eq!(heard(&[Join, Leave]), ([false, false, false], Ok(())));
        assert_eq!(heard(&[JoinSource(one)]), ([true, false, false], Ok(())));
        assert_eq!(heard(&[JoinSource(one), JoinSource(two)]), ([true, true, false], Ok(())));
        assert_eq!(heard(&[JoinSource(one), JoinSource(one)]).1, Err(GroupError::NotJoined));
        assert_eq!(heard(&[JoinSource(one), LeaveSource(two)]).1, Err(GroupError::NotJoined));
        assert_eq!(heard(&[JoinSource(one), Block(one)]), ([true, false, false], Err(GroupError::OtherMode)));
        // With the last sender, the membership ends.
        assert_eq!(heard(&[JoinSource(one), LeaveSource(one), Leave]).1, Err(GroupError::NotJoined));
        assert_eq!(heard(&[Join, JoinSource(one)]), ([true, false, false], Ok(())));
        assert_eq!(heard(&[Join, Block(one)]), ([false, true, true], Ok(())));
        assert_eq!(heard(&[Join, Block(one), Unblock(one)]), ([true, true, true], Ok(())));
        assert_eq!(
            heard(&[Join, Block(one), JoinSource(two)]),
            ([false, true, true], Err(GroupError::OtherMode))
        );
        assert_eq!(heard(&[Join, Unblock(one)]).1, Err(GroupError::NotJoined));
        assert_eq!(heard(&[Block(one)]).1, Err(GroupError::OtherMode));
        assert_eq!(heard(&[LeaveSource(one)]).1, Err(GroupError::OtherMode));
    }

    #[test]
    fn groups_and_senders_are_bounded_and_of_one_family() {
        let mut groups = JoinedGroups::default();
        let mut change = |group: &str, change| groups.change(group.parse().unwrap(), change, LIMITS);
        assert_eq!(change("10.0.0.1", GroupChange::Join), Err(GroupError::NotGroup));
        assert_eq!(
            change("239.1.2.3", GroupChange::JoinSource("fe80::1".parse().unwrap())),
            Err(GroupError::NotGroup)
        );
        for number in 1..=2 {
            assert_eq!(change("239.1.2.3", GroupChange::JoinSource(host(number))), Ok(()));
        }
        assert_eq!(change("239.1.2.3", GroupChange::JoinSource(host(3))), Err(GroupError::TooMany));
        assert_eq!(change("ff05::1", GroupChange::Join), Ok(()));
        assert_eq!(change("ff05::2", GroupChange::Join), Err(GroupError::TooMany));
    }
}
