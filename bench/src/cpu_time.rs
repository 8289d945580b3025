//! The time that the calling thread has spent on a processor: unlike the time of day, it leaves out what other programs
//! take meanwhile, though not what they do to the caches.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time that this thread has run since it began.
#[must_use]
pub fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
