//! Whose datagrams to a group are wanted.

use alloc::vec::Vec;
use core::net::IpAddr;

/// Those of the senders in a list, or of all others (RFC 3376 §2: INCLUDE and EXCLUDE).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) mode: Mode,
    /// In order, and none twice.
    pub(crate) sources: Vec<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Include,
    Exclude,
}

/// The most senders that a filter of the whole stack names: a report of one group fits into what every link carries.
pub(crate) const MOST_SOURCES: usize = 64;

impl Filter {
    /// Nobody's: the group was not joined.
    pub(crate) const NOBODY: Self = Self { mode: Mode::Include, sources: Vec::new() };
    /// Everybody's.
    pub(crate) const EVERYBODY: Self = Self { mode: Mode::Exclude, sources: Vec::new() };

    pub(crate) fn hears(&self, source: IpAddr) -> bool {
        self.sources.binary_search(&source).is_ok() == (self.mode == Mode::Include)
    }

    /// Whether it hears anybody at all.
    pub(crate) fn hears_any(&self) -> bool {
        *self != Self::NOBODY
    }

    /// What has to be heard for all these filters to get what they want (RFC 3376 §3.2, RFC 3810 §4.2).
    pub(crate) fn union<'a>(filters: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let included = filters.clone().filter(|filter| filter.mode == Mode::Include);
        let included = included.fold(Vec::new(), |all, filter| joined(&all, &filter.sources));
        let mut excluding = filters.filter(|filter| filter.mode == Mode::Exclude);
        let Some(first) = excluding.next() else {
            // More than can be told of: the sockets choose by themselves.
            let many = included.len() > MOST_SOURCES;
            return if many { Self::EVERYBODY } else { Self { mode: Mode::Include, sources: included } };
        };
        let excluded = excluding.fold(first.sources.clone(), |all, filter| common(&all, &filter.sources));
        Self { mode: Mode::Exclude, sources: without(&excluded, &included) }
    }
}

/// The senders in either list.
pub(crate) fn joined(one: &[IpAddr], other: &[IpAddr]) -> Vec<IpAddr> {
    let mut all = [one, other].concat();
    all.sort_unstable();
    all.dedup();
    all
}

/// The senders in both lists.
pub(crate) fn common(one: &[IpAddr], other: &[IpAddr]) -> Vec<IpAddr> {
    one.iter().copied().filter(|source| other.binary_search(source).is_ok()).collect()
}

/// The senders in `one` that are not in `other`.
pub(crate) fn without(one: &[IpAddr], other: &[IpAddr]) -> Vec<IpAddr> {
    one.iter().copied().filter(|source| other.binary_search(source).is_err()).collect()
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    fn sources(hosts: &[u8]) -> Vec<IpAddr> {
        hosts.iter().map(|host| Ipv4Addr::new(10, 0, 0, *host).into()).collect()
    }

    fn include(hosts: &[u8]) -> Filter {
        Filter { mode: Mode::Include, sources: sources(hosts) }
    }

    fn exclude(hosts: &[u8]) -> Filter {
        Filter { mode: Mode::Exclude, sources: sources(hosts) }
    }

    /// The examples of RFC 3376 §3.2, with a to g as 1 to 7.
    #[test]
    fn rfc_3376_section_3_2_examples() {
        let union = |filters: &[Filter]| Filter::union(filters.iter());
        let excluding = [exclude(&[1, 2, 3, 4]), exclude(&[2, 3, 4, 5])];
        assert_eq!(union(&excluding), exclude(&[2, 3, 4]));
        assert_eq!(union(&[excluding.to_vec(), [include(&[4, 5, 6])].into()].concat()), exclude(&[2, 3]));
        assert_eq!(
            union(&[include(&[1, 2, 3]), include(&[2, 3, 4]), include(&[5, 6])]),
            include(&[1, 2, 3, 4, 5, 6])
        );
        assert_eq!(union(&[]), Filter::NOBODY);
    }

    #[test]
    fn a_filter_hears_those_that_it_names_or_all_others() {
        let [one, two] = [1, 2].map(|host| IpAddr::from(Ipv4Addr::new(10, 0, 0, host)));
        assert_eq!([one, two].map(|source| include(&[1]).hears(source)), [true, false]);
        assert_eq!([one, two].map(|source| exclude(&[1]).hears(source)), [false, true]);
        assert!(Filter::EVERYBODY.hears(one) && !Filter::NOBODY.hears(one));
    }

    #[test]
    fn more_senders_than_a_report_holds_are_not_told_apart() {
        let many: Vec<u8> = (0..65).collect();
        assert_eq!(Filter::union([include(&many)].iter()), Filter::EVERYBODY);
        assert_eq!(Filter::union([include(&many[1..])].iter()), include(&many[1..]));
    }
}
