//! The timers of one connection.

use crate::time::Instant;

/// What a connection may wait for. Of those that belong to the send sequence space only one is set at a time: each takes
/// the place of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Data or a FIN in flight was not acknowledged (RFC 6298); or nothing was in flight for as long as that takes.
    Retransmit,
    /// What seems to be missing had time enough to arrive late (RFC 8985 §6.2).
    Reorder,
    /// The end of what is in flight was not acknowledged (RFC 8985 §7.2).
    TailProbe,
    /// What is held back leaves at its pace then.
    Pace,
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
    /// The deadline of `sending`, which is one of the five kinds that take each other's place.
    send: Instant,
    sending: Timer,
    delayed_ack: Instant,
    idle: Instant,
}

/// A deadline that never comes.
const NEVER: Instant = Instant::from_nanos(u64::MAX);

impl Timers {
    pub(crate) const fn new() -> Self {
        Self { send: NEVER, sending: Timer::Retransmit, delayed_ack: NEVER, idle: NEVER }
    }

    /// Sets `timer` to go off at `at`, in place of what it was set to, or of the kinds that it excludes.
    #[inline]
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        match timer {
            Timer::DelayedAck => self.delayed_ack = at,
            Timer::Idle => self.idle = at,
            Timer::Retransmit | Timer::Reorder | Timer::TailProbe | Timer::Pace | Timer::Persist => {
                (self.send, self.sending) = (at, timer);
            }
        }
    }

    #[inline]
    pub(crate) fn clear(&mut self, timer: Timer) {
        if self.is_set(timer) {
            self.set(timer, NEVER);
        }
    }

    #[inline]
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        match timer {
            Timer::DelayedAck => self.delayed_ack != NEVER,
            Timer::Idle => self.idle != NEVER,
            Timer::Retransmit | Timer::Reorder | Timer::TailProbe | Timer::Pace | Timer::Persist => {
                self.sending == timer && self.send != NEVER
            }
        }
    }

    /// Takes one timer that is due at `now` and clears it.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        let due = if self.send <= now {
            self.sending
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
        let next = self.send.min(self.delayed_ack).min(self.idle);
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
    fn timers_of_the_send_sequence_space_take_each_others_place() {
        let mut timers = Timers::new();
        timers.set(Timer::Retransmit, Instant::from_millis(10));
        timers.set(Timer::Persist, Instant::from_millis(20));
        assert!(!timers.is_set(Timer::Retransmit));
        timers.clear(Timer::Retransmit);
        assert_eq!(timers.expire(Instant::from_millis(20)), Some(Timer::Persist));
        timers.set(Timer::TailProbe, Instant::from_millis(30));
        timers.set(Timer::Reorder, Instant::from_millis(25));
        assert_eq!(timers.expire(Instant::from_millis(40)), Some(Timer::Reorder));
        assert_eq!(timers.expire(Instant::from_millis(40)), None);
    }
}
