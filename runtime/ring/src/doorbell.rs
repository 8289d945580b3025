//! The handshake of one who goes to sleep with those who bring it work.

use crate::sync::{AtomicU32, CacheLine, Ordering, fence};

/// Says whether its one sleeper must be woken, so that waking costs nothing while it is awake.
///
/// The sleeper [announces](Self::announce) that it will park, looks at its rings once more, and sleeps only if
/// they are still empty. A waker publishes its work first and asks [`must_wake`](Self::must_wake) afterwards.
/// Then one of the two sees the other: no wake-up is lost.
///
/// Ringing itself, with an eventfd or a futex, is the caller's. So is draining the eventfd: after the sleep, never
/// between announcing and sleeping.
///
/// Whoever can write to a doorbell can keep its sleeper asleep. Those who do not trust each other need one each;
/// the sleeper then announces on all of them. All-zero bytes are a doorbell whose sleeper is awake.
///
/// ```no_run
/// use netlane_ring::Doorbell;
///
/// let doorbell = Doorbell::new();
/// let ring_is_empty = || true;
///
/// // The sleeper.
/// let parked = doorbell.announce();
/// if ring_is_empty() {
///     parked.sleep(|| {
///         // Here it would wait on its eventfd. Meanwhile, a waker that has pushed a message:
///         assert!(doorbell.must_wake());
///         // It writes to the eventfd, and spares the next waker that.
///         assert!(!doorbell.must_wake());
///     });
/// }
/// ```
#[repr(C)]
#[derive(Debug, Default)]
pub struct Doorbell {
    /// [`PARKED`](Self::PARKED) from the announcement until the first waker takes it or the sleeper is back.
    ///
    /// It changes by swaps alone, each of which directly follows the one whose value it returns. The sleeper's
    /// could be plain stores by the memory model, but loom leaves the order of plain stores open in more cases than
    /// the model does, and would report lost wake-ups that cannot be.
    state: CacheLine<AtomicU32>,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Doorbell>() == 64 && align_of::<Doorbell>() == 64);

impl Doorbell {
    /// The word's value while the sleeper sleeps and nobody has been told to wake it.
    pub const PARKED: u32 = 1;
    const AWAKE: u32 = 0;

    /// A doorbell whose sleeper is awake.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Announces that the caller, the only one to sleep here, will park. It must look at everything that it could
    /// be woken for after this, and before it [sleeps](Parked::sleep).
    pub fn announce(&self) -> Parked<'_> {
        self.state.swap(Self::PARKED, Ordering::Relaxed);
        // The announcement comes before the last look. The fence in `must_wake` is its counterpart.
        fence(Ordering::SeqCst);
        Parked { doorbell: self }
    }

    /// Whether the caller must ring, having published its work. Of several wakers, one is told to.
    #[must_use = "the sleeper may sleep on"]
    pub fn must_wake(&self) -> bool {
        // The work comes before the look at the announcement. The fence in `announce` is its counterpart.
        fence(Ordering::SeqCst);
        self.state.load(Ordering::Relaxed) != Self::AWAKE
            && self.state.swap(Self::AWAKE, Ordering::Relaxed) != Self::AWAKE
    }

    /// The word to wait on with a futex while it is [`PARKED`](Self::PARKED), and to wake the waiter at.
    #[cfg(not(loom))]
    #[must_use]
    pub fn futex(&self) -> &AtomicU32 {
        &self.state
    }
}

/// An announcement to park. It serves for one sleep; dropping it takes it back.
#[derive(Debug)]
#[must_use = "an announcement that is dropped is taken back"]
pub struct Parked<'a> {
    doorbell: &'a Doorbell,
}

impl Parked<'_> {
    /// Runs `sleep`, which returns when the doorbell was rung, or earlier. The announcement ends with it.
    pub fn sleep<R>(self, sleep: impl FnOnce() -> R) -> R {
        sleep()
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.doorbell.state.swap(Doorbell::AWAKE, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_awake_sleeper_needs_no_waking() {
        assert!(!Doorbell::new().must_wake());
    }

    #[test]
    fn of_two_wakers_one_rings() {
        let doorbell = Doorbell::new();
        let parked = doorbell.announce();
        assert_eq!(doorbell.futex().load(Ordering::Relaxed), Doorbell::PARKED);
        assert!(doorbell.must_wake());
        assert!(!doorbell.must_wake());
        drop(parked);
    }

    #[test]
    fn an_announcement_ends_with_the_sleep() {
        let doorbell = Doorbell::new();
        assert_eq!(doorbell.announce().sleep(|| 7), 7);
        assert!(!doorbell.must_wake());
    }

    #[test]
    fn an_announcement_that_is_taken_back_wakes_nobody() {
        let doorbell = Doorbell::new();
        drop(doorbell.announce());
        assert!(!doorbell.must_wake());
    }

    #[test]
    fn each_sleep_is_announced_anew() {
        let doorbell = Doorbell::new();
        for _ in 0..3 {
            doorbell.announce().sleep(|| assert!(doorbell.must_wake()));
        }
    }

    #[test]
    fn garbage_rings_once_and_is_gone() {
        let doorbell = Doorbell::new();
        doorbell.futex().store(0xdead_beef, Ordering::Relaxed);
        assert!(doorbell.must_wake());
        assert!(!doorbell.must_wake());
    }
}
