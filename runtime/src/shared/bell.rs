//! A futex that any number of threads wait on, in any process.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Instant;

use rustix::io::Errno;
use rustix::thread::futex;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Wakes those who wait for something to change in shared memory. All-zero bytes are a bell without waiters.
///
/// No wake-up is lost: who changes something does so before it rings, and who waits counts itself before it looks.
/// A sequentially consistent fence stands between the two steps on either side, so that the ringer sees the waiter,
/// or the waiter sees the change.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// How often it was rung. It may wrap around.
    news: AtomicU32,
    waiters: AtomicU32,
}

/// What a waiter waits for, and what a ringer has changed: a set of bits of the bell's user's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest(u32);

impl Interest {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const READ: Self = Self(1);
    pub(crate) const WRITE: Self = Self(1 << 1);
    pub(crate) const ANY: Self = Self(u32::MAX);

    pub(crate) const fn with(self, other: Self, wanted: bool) -> Self {
        if wanted { Self(self.0 | other.0) } else { self }
    }

    /// A futex cannot wait for nothing: who has no interest waits for anything.
    fn mask(self) -> NonZeroU32 {
        NonZeroU32::new(self.0).unwrap_or(NonZeroU32::MAX)
    }
}

impl Bell {
    /// Wakes those whose interest meets `what`. What they wait for must be visible before.
    pub(crate) fn ring(&self, what: Interest) {
        self.news.fetch_add(1, Ordering::Release);
        fence(Ordering::SeqCst);
        if self.waiters.load(Ordering::Relaxed) > 0 {
            // It fails only for an address or a mask that cannot be.
            let _ = futex::wake_bitset(&self.news, futex::Flags::empty(), i32::MAX as u32, what.mask());
        }
    }

    /// Waits until `look` finds something, or until `deadline`. `look` runs before each sleep and after each ring
    /// that meets `what`, and once more at the deadline.
    pub(crate) fn wait<T>(
        &self,
        what: Interest,
        deadline: Option<Instant>,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        if let Some(found) = look() {
            return Some(found);
        }
        let _waiting = Waiting::on(self);
        loop {
            let seen = self.news.load(Ordering::Acquire);
            if let Some(found) = look() {
                return Some(found);
            }
            let timeout = match deadline.map(until) {
                Some(None) => return None,
                Some(Some(at)) => Some(at),
                None => None,
            };
            let slept =
                futex::wait_bitset(&self.news, futex::Flags::empty(), seen, timeout.as_ref(), what.mask());
            debug_assert!(matches!(slept, Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT)));
        }
    }
}

/// A thread that has counted itself among a bell's waiters.
struct Waiting<'a>(&'a Bell);

impl<'a> Waiting<'a> {
    fn on(bell: &'a Bell) -> Self {
        bell.waiters.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Self(bell)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `deadline` as the clock reading that a futex waits for, or `None` if it has passed.
fn until(deadline: Instant) -> Option<Timespec> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return None;
    }
    let now = clock_gettime(ClockId::Monotonic);
    Timespec::try_from(left).ok().and_then(|left| now.checked_add(left)).or(Some(FAR))
}

/// Later than anybody waits.
const FAR: Timespec = Timespec { tv_sec: i64::MAX, tv_nsec: 0 };

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_deadline_ends_the_wait() {
        let bell = Bell::default();
        let begin = Instant::now();
        let deadline = begin + Duration::from_millis(20);
        assert_eq!(bell.wait(Interest::ANY, Some(deadline), || None::<()>), None);
        assert!(Instant::now() >= deadline);
    }

    #[test]
    fn a_deadline_in_the_past_looks_once_more() {
        assert_eq!(Bell::default().wait(Interest::READ, Some(Instant::now()), || Some(7)), Some(7));
    }

    #[test]
    fn all_waiters_hear_the_bell() {
        let bell = Bell::default();
        let done = AtomicBool::new(false);
        let far = Instant::now() + Duration::from_secs(20);
        thread::scope(|scope| {
            let look = || done.load(Ordering::Relaxed).then_some(());
            let waiters: Vec<_> = [Interest::READ, Interest::WRITE, Interest::ANY]
                .map(|what| {
                    scope.spawn({
                        let bell = &bell;
                        move || bell.wait(what, Some(far), look)
                    })
                })
                .into();
            done.store(true, Ordering::Relaxed);
            bell.ring(Interest::ANY);
            for waiter in waiters {
                assert_eq!(waiter.join().expect("a waiter"), Some(()));
            }
        });
        assert!(Instant::now() < far);
        assert_eq!(bell.waiters.load(Ordering::Relaxed), 0);
    }
}
