//! A timer wheel: one deadline for each slot of the socket table, at a cost that does not grow with their
//! number.
//!
//! The wheel has levels of 64 lists each. A list of the lowest level holds the deadlines of one tick, a list
//! of each higher level those of 64 times as many as one below it. When the wheel's position reaches a list
//! of a higher level, its deadlines move to lower ones; so each moves a few times at most. A bitmap for each
//! level tells which lists hold something, and time in which nothing is due costs nothing to skip. (Varghese
//! and Lauck, "Hashed and hierarchical timing wheels", 1987, schemes 6 and 7.)

use crate::chunked::Chunked;
use crate::time::Instant;

/// The deadlines of a socket table, at most one for each slot.
///
/// A deadline is rounded up to whole [ticks](Self::TICK_NANOS). It is never reported early.
#[derive(Debug)]
pub(crate) struct TimerWheel {
    /// The tick that the wheel stands at. All lists hold later deadlines, but for the list `due`.
    position: u64,
    /// The first entry of each list: those of the levels, lowest first, then the one of what is due.
    heads: [u32; LISTS],
    /// For each level, a bit for each list that holds something.
    occupied: [u64; LEVELS],
    /// By slot.
    entries: Chunked<Entry>,
    /// When the first list begins that holds something: at once for the one of what is due, never where none does.
    /// Every turn asks for that.
    quiet_until: Option<Instant>,
}

impl TimerWheel {
    /// Nanoseconds between two ticks: about 131 µs.
    pub(crate) const TICK_NANOS: u64 = 1 << TICK_SHIFT;

    /// A wheel without deadlines.
    #[must_use]
    pub(crate) const fn new() -> Self {
        Self {
            position: 0,
            heads: [NONE; LISTS],
            occupied: [0; LEVELS],
            entries: Chunked::new(),
            quiet_until: None,
        }
    }

    /// Sets the deadline of `slot`, in place of the one that it may have. Allocates only for a slot that is
    /// larger than all before it.
    #[inline]
    pub(crate) fn set(&mut self, slot: u32, at: Instant) {
        debug_assert!(slot < LIST, "slots are smaller than 2^31");
        let index = slot as usize;
        let deadline = tick_at_or_after(at);
        match self.entries.get(index) {
            Some(entry) if entry.deadline == deadline => return,
            Some(_) => {}
            None => {
                while self.entries.len() <= index {
                    self.entries.push(Entry::IDLE);
                }
            }
        }
        self.cancel(slot);
        let list = self.link(slot, deadline);
        // The list is looked at when its first tick comes.
        let begin = start_of(if list == DUE { 0 } else { first_tick(deadline, list / WIDTH) });
        self.quiet_until = Some(self.quiet_until.map_or(begin, |known| known.min(begin)));
    }

    /// Removes the deadline of `slot`, if it has one.
    #[inline]
    pub(crate) fn cancel(&mut self, slot: u32) {
        let Some(entry) = self.entries.get_mut(slot as usize) else { return };
        if entry.deadline != IDLE {
            let Entry { prev, next, .. } = core::mem::replace(entry, Entry::IDLE);
            if self.unlink(prev, next) {
                self.quiet_until = self.first_begin();
            }
        }
    }

    /// Takes a slot whose deadline has come by `now` out of the wheel. Call it until it returns `None`: only
    /// then has the wheel arrived at `now`.
    ///
    /// A deadline that is set to the past meanwhile is due at once, so whoever sets deadlines between the
    /// calls has to set them to the future to come to an end.
    #[inline]
    pub(crate) fn expire(&mut self, now: Instant) -> Option<u32> {
        if self.quiet_until.is_none_or(|until| now < until) {
            self.position = self.position.max(now.as_nanos() >> TICK_SHIFT);
            return None;
        }
        self.expire_by(now.as_nanos() >> TICK_SHIFT)
    }

    fn expire_by(&mut self, now: u64) -> Option<u32> {
        loop {
            let due = self.heads[DUE];
            if due != NONE {
                self.cancel(due);
                return Some(due);
            }
            match self.next_list() {
                Some(next) if next.begin <= now => self.enter(next),
                _ => {
                    self.position = self.position.max(now);
                    self.quiet_until = self.first_begin();
                    return None;
                }
            }
        }
    }

    /// When to call [`expire`](Self::expire) next; `None` if no deadline is set.
    ///
    /// The answer is never later than the first deadline's tick. While that deadline is in a list of many
    /// ticks, it is the first of them, and calling `expire` at that time leads to a closer answer. Seven such
    /// steps at most lead to the deadline.
    #[inline]
    #[must_use]
    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.quiet_until
    }

    /// The list whose deadlines come next.
    ///
    /// That is the first one of the lowest level that holds any: deadlines of a level agree with the position
    /// in all digits above the level's own, and those of higher levels don't, so they are later.
    #[inline]
    fn next_list(&self) -> Option<List> {
        let (level, lists) = self.occupied.iter().enumerate().find(|(_, lists)| **lists != 0)?;
        let number = lists.trailing_zeros() as usize;
        let shift = DIGIT * level;
        let above = self.position >> (shift + DIGIT) << (shift + DIGIT);
        Some(List { index: level * WIDTH + number, begin: above | (number as u64) << shift })
    }

    /// What [`quiet_until`](Self::quiet_until) has to be.
    fn first_begin(&self) -> Option<Instant> {
        if self.heads[DUE] != NONE {
            return Some(Instant::ZERO);
        }
        self.next_list().map(|list| start_of(list.begin))
    }

    /// Moves on to the first tick of `list`, and its deadlines to lower levels or to what is due.
    fn enter(&mut self, list: List) {
        self.position = list.begin;
        let mut slot = core::mem::replace(&mut self.heads[list.index], NONE);
        self.occupied[list.index / WIDTH] &= !(1 << (list.index % WIDTH));
        while slot != NONE {
            let Entry { next, deadline, .. } = self.entries[slot as usize];
            self.link(slot, deadline);
            slot = next;
        }
    }

    /// Puts an entry into the list for its deadline. Returns which one that is.
    fn link(&mut self, slot: u32, deadline: u64) -> usize {
        let list = self.list_of(deadline);
        let next = core::mem::replace(&mut self.heads[list], slot);
        self.entries[slot as usize] = Entry { prev: LIST | list as u32, next, deadline };
        if next != NONE {
            self.entries[next as usize].prev = slot;
        }
        if list != DUE {
            self.occupied[list / WIDTH] |= 1 << (list % WIDTH);
        }
        list
    }

    /// Joins what stands before and after an entry that was taken out. Returns whether its list is empty now.
    fn unlink(&mut self, prev: u32, next: u32) -> bool {
        if next != NONE {
            self.entries[next as usize].prev = prev;
        }
        if prev & LIST == 0 {
            self.entries[prev as usize].next = next;
            return false;
        }
        let list = (prev ^ LIST) as usize;
        self.heads[list] = next;
        if next == NONE && list != DUE {
            self.occupied[list / WIDTH] &= !(1 << (list % WIDTH));
        }
        next == NONE
    }

    /// The list for a deadline: on the level of the highest digit in which it differs from the position.
    #[inline]
    fn list_of(&self, deadline: u64) -> usize {
        if deadline <= self.position {
            return DUE;
        }
        let level = (deadline ^ self.position).ilog2() as usize / DIGIT;
        level * WIDTH + (deadline >> (DIGIT * level)) as usize % WIDTH
    }
}

impl Default for TimerWheel {
    fn default() -> Self {
        Self::new()
    }
}

/// The first tick at or after `at`. At most 2^47, so that eight digits hold it.
#[inline]
const fn tick_at_or_after(at: Instant) -> u64 {
    at.as_nanos().div_ceil(TimerWheel::TICK_NANOS)
}

/// When a tick begins.
#[inline]
const fn start_of(tick: u64) -> Instant {
    Instant::from_nanos(tick.saturating_mul(TimerWheel::TICK_NANOS))
}

/// The first tick of the list that holds `tick` on `level`.
#[inline]
const fn first_tick(tick: u64, level: usize) -> u64 {
    tick >> (DIGIT * level) << (DIGIT * level)
}

const TICK_SHIFT: u32 = 17;
/// Bits of a tick's number that one level looks at.
const DIGIT: usize = 6;
/// Lists of a level.
const WIDTH: usize = 1 << DIGIT;
/// Enough for every tick that there is, so that no deadline is too far away.
const LEVELS: usize = 8;
/// The list of what is due, after those of the levels.
const DUE: usize = LEVELS * WIDTH;
const LISTS: usize = DUE + 1;

/// A list on some level.
struct List {
    index: usize,
    /// Its first tick.
    begin: u64,
}

/// A slot's place in the wheel.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The slot before this one in its list; for the first one [`LIST`] and the list's index.
    prev: u32,
    /// The slot after this one, or [`NONE`].
    next: u32,
    /// The tick of the deadline, or [`IDLE`].
    deadline: u64,
}

impl Entry {
    const IDLE: Self = Self { prev: NONE, next: NONE, deadline: IDLE };
}

/// What a socket pays for its timer.
pub(crate) const BYTES_OF_AN_ENTRY: usize = size_of::<Entry>();

/// No slot.
const NONE: u32 = u32::MAX;
/// Marks the index of a list where slots stand as well.
const LIST: u32 = 1 << 31;
/// No deadline.
const IDLE: u64 = u64::MAX;

#[cfg(test)]
mod tests;
