//! How one end of a link in memory wakes the other one up.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering, fence};
use std::thread::{self, ThreadId};

/// Why the bell rings. A parked end hears the calls up to the one that it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Call {
    /// Frames have arrived, or the link was closed.
    Frames = 1,
    /// Buffers came back, or the ring has room again.
    Room = 2,
}

/// One end's bell: that end listens, and the other one rings it.
///
/// No ringing is lost. The listener parks and then looks at the rings once more, and the ringer changes the rings
/// and then looks whether the listener is parked. A sequentially consistent fence stands between the two steps on
/// either side, so that one of them at least sees what the other did.
#[derive(Debug)]
pub(super) struct Bell {
    eventfd: OwnedFd,
    /// [`AWAKE`], or the [`Call`] that the parked listener waits for.
    parked: AtomicU8,
    closed: AtomicBool,
    opened_by: OnceLock<ThreadId>,
}

const AWAKE: u8 = 0;

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let eventfd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self {
            eventfd,
            parked: AtomicU8::new(AWAKE),
            closed: AtomicBool::new(false),
            opened_by: OnceLock::new(),
        })
    }

    /// What becomes readable when the bell rings.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }

    /// The listener: this thread is the one that listens, forever.
    pub(super) fn opened_here(&self) {
        self.opened_by.get_or_init(|| thread::current().id());
    }

    /// Whether the listener is this thread; `None` before there is one.
    pub(super) fn listens_here(&self) -> Option<bool> {
        self.opened_by.get().map(|listener| *listener == thread::current().id())
    }

    /// The listener: from here on, ring for `call`. It looks at the rings once more before it sleeps.
    pub(super) fn park(&self, call: Call) {
        self.parked.store(call as u8, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The listener: it parked and did not sleep after all.
    pub(super) fn stay_awake(&self) {
        self.parked.store(AWAKE, Ordering::Relaxed);
    }

    /// The listener: it slept, and hears no bell any more.
    pub(super) fn wake(&self) {
        self.stay_awake();
        // With nothing to read, it woke up for another reason.
        let _ = rustix::io::read(&self.eventfd, &mut [0; 8]);
    }

    /// The other end: wakes the listener up if it is parked and waits for this. To be called after the rings changed.
    pub(super) fn ring(&self, call: Call) {
        fence(Ordering::SeqCst);
        let heard = self.parked.load(Ordering::Relaxed) >= call as u8;
        if heard && self.parked.swap(AWAKE, Ordering::Relaxed) != AWAKE {
            // It can only fail when the counter is full, and then the listener is being woken up already.
            let _ = rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes());
        }
    }

    /// The listener: it is gone, and sends nothing any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether the listener is gone. All that it sent before is visible then.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
