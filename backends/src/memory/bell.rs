//! How one end of a link in memory wakes the other one up.

use super::parked::{Call, Parked};
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ThreadId};

/// One end's bell: that end listens, and the other one rings it.
#[derive(Debug)]
pub(super) struct Bell {
    eventfd: OwnedFd,
    parked: Parked,
    closed: AtomicBool,
    opened_by: OnceLock<ThreadId>,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let eventfd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self {
            eventfd,
            parked: Parked::new(),
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
        self.parked.park(call);
    }

    /// The listener: it parked and did not sleep after all.
    pub(super) fn stay_awake(&self) {
        self.parked.unpark();
    }

    /// The listener: it slept, and hears no bell any more.
    pub(super) fn wake(&self) {
        self.parked.unpark();
        // With nothing to read, it woke up for another reason.
        let _ = rustix::io::read(&self.eventfd, &mut [0; 8]);
    }

    /// The other end: wakes the listener up if it is parked and waits for this. To be called after the rings changed.
    pub(super) fn ring(&self, call: Call) {
        if self.parked.must_wake(call) {
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
