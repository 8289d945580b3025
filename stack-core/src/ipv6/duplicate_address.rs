//! Duplicate address detection (RFC 4862 §5.4): before an address is used, everybody is asked who has it.

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use crate::time::{Duration, Instant};

/// The addresses that we want and do not have yet.
#[derive(Debug)]
pub(crate) struct DuplicateDetection {
    /// How often each is asked for (RFC 4862 §5.1: DupAddrDetectTransmits).
    questions: u8,
    tentative: Vec<Tentative>,
    next: Option<Instant>,
}

#[derive(Debug)]
struct Tentative {
    address: Ipv6Addr,
    /// Questions that are still to be asked.
    questions: u8,
    /// When to ask the next one, or to take silence for an answer.
    at: Instant,
}

/// What [`DuplicateDetection::poll`] wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detection {
    /// Ask whether anybody has the address.
    Ask(Ipv6Addr),
    /// Nobody has answered: the address is ours.
    Unique(Ipv6Addr),
}

impl DuplicateDetection {
    /// Nothing is tentative yet; each address will be asked for `questions` times.
    pub(crate) const fn new(questions: u8) -> Self {
        Self { questions, tentative: Vec::new(), next: None }
    }

    /// Begins to find out about `address` at `at`.
    pub(crate) fn begin(&mut self, address: Ipv6Addr, at: Instant) {
        self.tentative.push(Tentative { address, questions: self.questions, at });
        self.reschedule();
    }

    /// Whether we want `address` and do not know yet whether it is ours.
    pub(crate) fn is_tentative(&self, address: Ipv6Addr) -> bool {
        self.tentative.iter().any(|tentative| tentative.address == address)
    }

    /// Somebody else has `address`, or wants it too (RFC 4862 §5.4.3, §5.4.4). Returns whether we wanted it:
    /// then it is not ours, and given up.
    pub(crate) fn give_up(&mut self, address: Ipv6Addr) -> bool {
        let before = self.tentative.len();
        self.tentative.retain(|tentative| tentative.address != address);
        self.reschedule();
        self.tentative.len() < before
    }

    /// The next thing to do at `now`. `interval` is the time for which an answer is waited for (RetransTimer).
    pub(crate) fn poll(&mut self, now: Instant, interval: Duration) -> Option<Detection> {
        self.next.filter(|next| *next <= now)?;
        let due = self.tentative.iter().position(|tentative| tentative.at <= now)?;
        let tentative = &mut self.tentative[due];
        let address = tentative.address;
        let detection = if tentative.questions > 0 {
            tentative.questions -= 1;
            tentative.at = now + interval;
            Detection::Ask(address)
        } else {
            self.tentative.remove(due);
            Detection::Unique(address)
        };
        self.reschedule();
        Some(detection)
    }

    /// When to call [`poll`](Self::poll) next.
    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    fn reschedule(&mut self) {
        self.next = self.tentative.iter().map(|tentative| tentative.at).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7);
    const OTHER: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 8);
    /// RFC 4861 §10: RETRANS_TIMER.
    const INTERVAL: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn address_is_ours_when_nobody_has_answered_for_a_second() {
        let mut detection = DuplicateDetection::new(1);
        detection.begin(ADDRESS, at(300));
        assert_eq!((detection.poll(at(299), INTERVAL), detection.next_deadline()), (None, Some(at(300))));
        assert_eq!(detection.poll(at(300), INTERVAL), Some(Detection::Ask(ADDRESS)));
        assert_eq!(detection.poll(at(1_299), INTERVAL), None);
        assert!(detection.is_tentative(ADDRESS));
        assert_eq!(detection.poll(at(1_300), INTERVAL), Some(Detection::Unique(ADDRESS)));
        assert!(!detection.is_tentative(ADDRESS));
        assert_eq!((detection.poll(at(9_999), INTERVAL), detection.next_deadline()), (None, None));
    }

    #[test]
    fn address_that_somebody_has_is_given_up_and_the_others_are_not() {
        let mut detection = DuplicateDetection::new(1);
        detection.begin(ADDRESS, at(0));
        detection.begin(OTHER, at(0));
        assert_eq!(detection.poll(at(0), INTERVAL), Some(Detection::Ask(ADDRESS)));
        assert_eq!(detection.poll(at(0), INTERVAL), Some(Detection::Ask(OTHER)));
        assert!(detection.give_up(ADDRESS));
        assert!(!detection.give_up(ADDRESS), "only once");
        assert!(!detection.is_tentative(ADDRESS) && detection.is_tentative(OTHER));
        assert_eq!(detection.poll(at(1_000), INTERVAL), Some(Detection::Unique(OTHER)));
        assert_eq!(detection.poll(at(1_000), INTERVAL), None);
    }

    #[test]
    fn several_questions_are_an_interval_apart() {
        let mut detection = DuplicateDetection::new(3);
        detection.begin(ADDRESS, at(0));
        for second in 0..3 {
            assert_eq!(detection.poll(at(second * 1_000), INTERVAL), Some(Detection::Ask(ADDRESS)));
            assert_eq!(detection.poll(at(second * 1_000 + 999), INTERVAL), None);
        }
        assert_eq!(detection.poll(at(3_000), INTERVAL), Some(Detection::Unique(ADDRESS)));
    }
}
