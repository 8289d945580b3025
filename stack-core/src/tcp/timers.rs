//! The timers of one connection.

use crate::time::Instant;

/// What a connection may wait for.
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

/// The timer of the send sequence space. One of its kinds is set at a time: each takes the place of the others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SendTimer(Option<(Timer, Instant)>);

impl SendTimer {
    /// Has `timer` go off at `at`, whatever was set before.
    #[inline]
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.0 = Some((timer, at));
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    #[inline]
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.0.is_some_and(|(set, _)| set == timer)
    }

    /// When it goes off.
    #[inline]
    pub(crate) fn deadline(&self) -> Deadline {
        self.0.map_or(Deadline::NEVER, |(_, at)| Deadline::at(at))
    }

    /// Takes the timer if it is due at `now`, and clears it.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        self.0.take_if(|(_, at)| *at <= now).map(|(timer, _)| timer)
    }
}

/// The timers that a connection has whether it sends or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers {
    pub(crate) delayed_ack: Deadline,
    pub(crate) idle: Deadline,
}

impl Timers {
    pub(crate) const fn new() -> Self {
        Self { delayed_ack: Deadline::NEVER, idle: Deadline::NEVER }
    }

    /// Takes one timer that is due at `now` and clears it.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        let (deadline, timer) = if self.delayed_ack.is_due(now) {
            (&mut self.delayed_ack, Timer::DelayedAck)
        } else if self.idle.is_due(now) {
            (&mut self.idle, Timer::Idle)
        } else {
            return None;
        };
        *deadline = Deadline::NEVER;
        Some(timer)
    }

    /// The earliest deadline.
    #[inline]
    pub(crate) fn next(&self) -> Deadline {
        self.delayed_ack.min(self.idle)
    }
}

/// A time at which something is due, in six bytes: rounded up to ticks of 2^16 ns, half of those of the
/// [wheel](crate::wheel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(Rust, packed(2))]
pub(crate) struct Deadline {
    low: u32,
    high: u16,
}

impl Deadline {
    /// A deadline that never comes.
    pub(crate) const NEVER: Self = Self { low: u32::MAX, high: u16::MAX };

    const SHIFT: u32 = 16;

    #[inline]
    pub(crate) const fn at(at: Instant) -> Self {
        let ticks = at.as_nanos().saturating_add((1 << Self::SHIFT) - 1) >> Self::SHIFT;
        if ticks >= Self::NEVER.ticks() {
            return Self::NEVER;
        }
        Self { low: ticks as u32, high: (ticks >> 32) as u16 }
    }

    /// The earlier of both.
    #[inline]
    pub(crate) const fn min(self, other: Self) -> Self {
        if other.is_before(self) { other } else { self }
    }

    #[inline]
    pub(crate) const fn is_before(self, other: Self) -> bool {
        self.ticks() < other.ticks()
    }

    #[inline]
    const fn ticks(self) -> u64 {
        (self.high as u64) << 32 | self.low as u64
    }

    /// The time, as far as ticks tell it; none where it never comes.
    #[inline]
    pub(crate) fn instant(self) -> Option<Instant> {
        (self != Self::NEVER).then(|| Instant::from_nanos(self.ticks() << Self::SHIFT))
    }

    #[inline]
    const fn is_due(self, now: Instant) -> bool {
        self.ticks() <= now.as_nanos() >> Self::SHIFT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_timers_come_one_by_one_and_only_once() {
        let mut timers = Timers::new();
        timers.idle = Deadline::at(Instant::from_millis(10));
        timers.delayed_ack = Deadline::at(Instant::from_millis(5));
        let next = timers.next().instant().expect("a deadline");
        assert!(next >= Instant::from_millis(5) && next < Instant::from_micros(5_066));
        assert_eq!(timers.expire(Instant::from_millis(4)), None);
        assert_eq!(timers.expire(Instant::from_millis(11)), Some(Timer::DelayedAck));
        assert_eq!(timers.expire(Instant::from_millis(11)), Some(Timer::Idle));
        assert_eq!(timers.expire(Instant::from_millis(11)), None);
        assert_eq!(timers.next(), Deadline::NEVER);
    }

    #[test]
    fn deadline_is_never_early_and_late_by_less_than_a_tick() {
        for nanos in [0, 1, (1 << 16) - 1, 1 << 16, 3 << 50, u64::MAX - (1 << 17)] {
            let mut timers = Timers::new();
            timers.idle = Deadline::at(Instant::from_nanos(nanos));
            let next = timers.next().instant().expect("a deadline").as_nanos();
            assert!(next >= nanos && next - nanos < 1 << 16);
        }
        assert_eq!(Deadline::at(Instant::from_nanos(u64::MAX)), Deadline::NEVER);
    }

    #[test]
    fn timers_of_the_send_sequence_space_take_each_others_place() {
        let mut timer = SendTimer::default();
        timer.set(Timer::Retransmit, Instant::from_millis(10));
        timer.set(Timer::Persist, Instant::from_millis(20));
        assert!(!timer.is_set(Timer::Retransmit));
        assert_eq!(timer.expire(Instant::from_millis(19)), None);
        assert_eq!(timer.expire(Instant::from_millis(20)), Some(Timer::Persist));
        assert_eq!(timer.expire(Instant::from_millis(40)), None);
        assert_eq!(timer.deadline(), Deadline::NEVER);
    }
}
