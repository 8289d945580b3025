//! The timers of one connection.

use crate::time::Instant;

/// What a connection may wait for. The kinds that exclude each other take each other's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Data, a SYN or a FIN in flight was not acknowledged (RFC 6298).
    Retransmit,
    /// The peer's window is closed, or too small to be worth a segment (RFC 9293 §3.8.6.1).
    Persist,
    /// An acknowledgement waited long enough for company (RFC 9293 §3.8.6.3).
    DelayedAck,
    /// The peer has been silent (RFC 9293 §3.8.4); or, once we closed, has not closed in its turn.
    Idle,
}

/// The deadlines of one connection's timers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers {
    retransmit: Instant,
    persist: Instant,
    delayed_ack: Instant,
    idle: Instant,
}

/// A deadline that never comes.
const NEVER: Instant = Instant::from_nanos(u64::MAX);

impl Timers {
    pub(crate) const fn new() -> Self {
        Self { retransmit: NEVER, persist: NEVER, delayed_ack: NEVER, idle: NEVER }
    }

    /// Sets `timer` to go off at `at`, in place of what it was set to, or of the kind that it excludes.
    #[inline]
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        match timer {
            Timer::Retransmit => (self.retransmit, self.persist) = (at, NEVER),
            Timer::Persist => (self.retransmit, self.persist) = (NEVER, at),
            Timer::DelayedAck => self.delayed_ack = at,
            Timer::Idle => self.idle = at,
        }
    }

    #[inline]
    pub(crate) fn clear(&mut self, timer: Timer) {
        *self.deadline(timer) = NEVER;
    }

    #[inline]
    pub(crate) fn is_set(&mut self, timer: Timer) -> bool {
        *self.deadline(timer) != NEVER
    }

    #[inline]
    fn deadline(&mut self, timer: Timer) -> &mut Instant {
        match timer {
            Timer::Retransmit => &mut self.retransmit,
            Timer::Persist => &mut self.persist,
            Timer::DelayedAck => &mut self.delayed_ack,
            Timer::Idle => &mut self.idle,
        }
    }

    /// Takes one timer that is due at `now` and clears it.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        let due = if self.retransmit <= now {
            Timer::Retransmit
        } else if self.persist <= now {
            Timer::Persist
        } else if self.delayed_ack <= now {
            Timer::DelayedAck
        } else if self.idle <= now {
            Timer::Idle
        } else {
            return None;
        };
        self.clear(due);
        Some(due)
    }

    /// The earliest deadline, if any timer is set.
    #[inline]
    pub(crate) fn next(&self) -> Option<Instant> {
        let next = self.retransmit.min(self.persist).min(self.delayed_ack).min(self.idle);
        (next != NEVER).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_timers_come_one_by_one_and_only_once() {
        let mut timers = Timers::new();
        timers.set(Timer::Retransmit, Instant::from_millis(10));
        timers.set(Timer::DelayedAck, Instant::from_millis(5));
        assert_eq!(timers.next(), Some(Instant::from_millis(5)));
        assert_eq!(timers.expire(Instant::from_millis(4)), None);
        assert_eq!(timers.expire(Instant::from_millis(10)), Some(Timer::Retransmit));
        assert_eq!(timers.expire(Instant::from_millis(10)), Some(Timer::DelayedAck));
        assert_eq!(timers.expire(Instant::from_millis(10)), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn probing_a_window_takes_the_place_of_retransmission() {
        let mut timers = Timers::new();
        timers.set(Timer::Retransmit, Instant::from_millis(10));
        timers.set(Timer::Persist, Instant::from_millis(20));
        assert!(!timers.is_set(Timer::Retransmit));
        timers.clear(Timer::Retransmit);
        assert_eq!(timers.expire(Instant::from_millis(20)), Some(Timer::Persist));
    }
}
