//! Whether an end of a link sleeps, and what for.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU8, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU8, Ordering, fence};

/// Why an end is woken up. A parked end hears the calls up to the one that it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Call {
    /// Frames have arrived, or the link was closed.
    Frames = 1,
    /// Buffers came back, or the ring has room again.
    Room = 2,
}

/// The agreement between an end that goes to sleep and the one that has something for it.
///
/// No call is lost. The sleeper parks and then looks at the rings once more; the caller changes the rings and then
/// looks whether the other one is parked. A sequentially consistent fence stands between the two steps on either side,
/// so that one of them at least sees what the other did.
#[derive(Debug)]
pub(super) struct Parked(AtomicU8);

/// In place of the [`Call`] that a parked end waits for.
const AWAKE: u8 = 0;

impl Parked {
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(AWAKE))
    }

    /// The sleeper: from here on, it wants to be called. It looks at the rings once more before it sleeps.
    pub(super) fn park(&self, call: Call) {
        self.0.store(call as u8, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The sleeper: it is awake.
    pub(super) fn unpark(&self) {
        self.0.store(AWAKE, Ordering::Relaxed);
    }

    /// The caller: whether it must wake the sleeper up. To be asked after the rings changed; it says so once.
    pub(super) fn must_wake(&self, call: Call) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) >= call as u8 && self.0.swap(AWAKE, Ordering::Relaxed) != AWAKE
    }
}

/// Run by `RUSTFLAGS="--cfg loom" cargo test -p netlane-backends --lib --no-default-features --features memory
/// --target-dir target/loom`.
#[cfg(all(test, loom))]
mod tests {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    /// A sleeper that saw an empty ring when it had parked, and two calls of which it waits for one or both.
    fn sleeper_is_woken_once(waits_for: Call, calls: [Call; 2]) {
        loom::model(move || {
            let shared = Arc::new((Parked::new(), AtomicUsize::new(0)));
            let caller = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    let (parked, ring) = &*shared;
                    calls.map(|call| {
                        ring.fetch_add(1, Ordering::Release);
                        usize::from(parked.must_wake(call))
                    })
                }
            });
            let (parked, ring) = &*shared;
            parked.park(waits_for);
            let seen = ring.load(Ordering::Acquire);
            let wakes: usize = caller.join().expect("the caller ends well").iter().sum();
            // What it did not see, it is woken up for; and never twice, or it would be awake for nothing.
            assert!(seen == 2 || wakes == 1, "{seen} seen, {wakes} wake-ups");
            assert!(wakes <= 1);
        });
    }

    #[test]
    fn frames_wake_who_waits_for_frames() {
        sleeper_is_woken_once(Call::Frames, [Call::Frames, Call::Frames]);
    }

    #[test]
    fn frames_and_room_wake_who_waits_for_room() {
        sleeper_is_woken_once(Call::Room, [Call::Frames, Call::Room]);
    }

    #[test]
    fn room_wakes_nobody_who_waits_for_frames() {
        loom::model(|| {
            let parked = Parked::new();
            parked.park(Call::Frames);
            assert!(!parked.must_wake(Call::Room));
            assert!(parked.must_wake(Call::Frames) && !parked.must_wake(Call::Frames));
        });
    }
}
