//! How a lane with nothing to do waits for its backend.

use std::os::fd::BorrowedFd;
use std::time::Duration;

/// What a lane asks its backend before it parks, and tells it after it woke up.
///
/// A lane parks like this, and no frame is ever waited for that already arrived:
///
/// 1. [`arm`](Self::arm) the backend. When that says `false`, go on instead.
/// 2. Poll [`poll_fd`](Self::poll_fd) for input, and for output too if [`wants_write`](Self::wants_write),
///    for at most [`due_in`](Self::due_in).
/// 3. [`disarm`](Self::disarm) it, and take a turn.
pub trait Waitable {
    /// What to poll: it becomes readable when frames have arrived or buffers came back. `None` while nothing
    /// that could happen there would help, as for a device whose whole pool is in the stack's hands. Ask again
    /// before each wait.
    fn poll_fd(&self) -> Option<BorrowedFd<'_>>;

    /// Whether to poll for output as well, since the device refused frames because it was full.
    fn wants_write(&self) -> bool {
        false
    }

    /// How long until this backend needs a turn of its own accord, counted from now: an
    /// [impaired link](crate::wrap::impair) delivers frames that it held back. `None` if it never does.
    fn due_in(&self) -> Option<Duration> {
        None
    }

    /// Announces that the lane is about to park. `false` when there is something to do already: don't park.
    fn arm(&mut self) -> bool;

    /// Takes the announcement back. Also after a wait that ended for another reason, and harmless at any time.
    fn disarm(&mut self);
}
