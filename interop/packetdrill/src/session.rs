//! The threads that drive a world: one lock, virtual time, and calls that wait.
//!
//! packetdrill's main thread moves the time, when it sleeps or waits for a packet. Calls that block come from a
//! second thread, at most one at a time. Time must not go on before such a call has seen what happened: the main
//! thread stirs it after every step, and waits until it sleeps again or is done.

use std::ffi::c_int;
use std::os::fd::IntoRawFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration as RealDuration, Instant as RealInstant};

use netlane_core::{Duration, Instant};

use crate::errno::Errno;
use crate::settings::Settings;
use crate::world::{World, complain};

/// A run of one script.
pub(crate) struct Session {
    shared: Mutex<Shared>,
    /// The thread that moves the time: nothing would ever wake it.
    mover: libc::pid_t,
    /// Told to the sleeper: something may have happened.
    stirred: Condvar,
    /// Told to who stirs: the sleeper has looked.
    looked: Condvar,
}

struct Shared {
    world: World,
    sleeper: Option<Sleeper>,
    /// A thread whose call is done, and which has yet to tell packetdrill's main thread what came of it.
    woken: Option<libc::pid_t>,
    /// Counts the times that the sleeper was told to look.
    stirs: u64,
}

/// A thread in a call that waits.
#[derive(Clone, Copy)]
struct Sleeper {
    thread: libc::pid_t,
    /// When it wants to be woken in any case.
    until: Option<Instant>,
    /// What it has seen of [`Shared::stirs`].
    seen: u64,
}

/// Why a call is not done.
pub(crate) enum Stop {
    /// It has failed.
    Error(Errno),
    /// It waits for something to happen, or for this time.
    Wait(Option<Instant>),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Error(errno)
    }
}

/// How long, in real time, one thread waits for the other to do what takes no time.
const PATIENCE: RealDuration = RealDuration::from_secs(2);
/// How long, in virtual time, a packet is waited for: longer than any timer of TCP but those of keep-alive.
const LONGEST_SILENCE: Duration = Duration::from_secs(3 * 3_600);

impl Session {
    pub(crate) fn new(settings: Settings) -> Self {
        let shared = Shared { world: World::new(settings), sleeper: None, woken: None, stirs: 0 };
        Self {
            shared: Mutex::new(shared),
            mover: this_thread(),
            stirred: Condvar::new(),
            looked: Condvar::new(),
        }
    }

    /// Makes a call. What it asks of the stack happens before it returns; while it has to wait, others may call.
    pub(crate) fn call<T>(&self, mut attempt: impl FnMut(&mut World) -> Result<T, Stop>) -> Result<T, Errno> {
        let mut shared = self.lock();
        shared.world.follow_settings();
        let began = shared.world.now();
        loop {
            shared.world.call_began = began;
            let outcome = attempt(&mut shared.world);
            shared.world.turn();
            let until = match outcome {
                Err(Stop::Wait(until)) => until,
                Err(Stop::Error(errno)) => {
                    self.stir(shared);
                    return Err(errno);
                }
                Ok(done) => {
                    self.stir(shared);
                    return Ok(done);
                }
            };
            if this_thread() == self.mover {
                complain("the script does not let a call wait that has to");
                self.stir(shared);
                return Err(Errno(libc::EDEADLK));
            }
            shared = self.sleep(shared, until);
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, time: Duration) {
        let mut shared = self.lock();
        // The main thread lets go of packetdrill's own lock while it sleeps.
        if let Some(thread) = shared.woken.take() {
            drop(shared);
            await_rest(thread);
            shared = self.lock();
        }
        let until = shared.world.now() + time;
        while shared.world.now() < until {
            shared = self.step(shared, until);
        }
    }

    /// The time, a microsecond later than it was: whoever asks again and again gets there.
    pub(crate) fn time(&self) -> Instant {
        let mut shared = self.lock();
        let later = shared.world.now() + Duration::from_micros(1);
        shared.world.proceed(later);
        later
    }

    /// An IP packet arrives.
    pub(crate) fn deliver(&self, packet: &[u8]) {
        let mut shared = self.lock();
        shared.world.follow_settings();
        shared.world.deliver(packet);
        self.stir(shared);
    }

    /// Lets time pass until the stack has sent a packet. `None` when it sends nothing for very long.
    pub(crate) fn next_sent(&self) -> Option<(Instant, Vec<u8>)> {
        let mut shared = self.lock();
        let give_up = shared.world.now() + LONGEST_SILENCE;
        while !shared.world.has_sent() {
            if shared.world.now() >= give_up || shared.next_deadline().is_none() {
                complain("the stack sends nothing, and nothing will make it");
                return None;
            }
            shared = self.step(shared, give_up);
        }
        shared.world.take_sent()
    }

    /// Lets time pass until something happens by itself, or to `until`.
    fn step<'a>(&'a self, mut shared: MutexGuard<'a, Shared>, until: Instant) -> MutexGuard<'a, Shared> {
        let soonest = shared.world.now() + Duration::from_micros(1);
        let next = shared.next_deadline().map_or(until, |next| next.max(soonest).min(until));
        shared.world.proceed(next);
        self.stir(shared);
        self.lock()
    }

    /// Waits to be stirred.
    fn sleep<'a>(
        &'a self,
        mut shared: MutexGuard<'a, Shared>,
        until: Option<Instant>,
    ) -> MutexGuard<'a, Shared> {
        let seen = shared.stirs;
        shared.sleeper = Some(Sleeper { thread: this_thread(), until, seen });
        self.looked.notify_all();
        while shared.stirs == seen {
            shared = self.stirred.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
        shared
    }

    /// Has the thread that waits look whether it waits in vain, and returns when it has.
    fn stir(&self, mut shared: MutexGuard<'_, Shared>) {
        let Some(sleeper) = shared.sleeper.filter(|sleeper| sleeper.thread != this_thread()) else {
            // Who was woken and is done waits no more.
            shared.sleeper = None;
            self.looked.notify_all();
            return;
        };
        shared.stirs += 1;
        self.stirred.notify_all();
        let stirs = shared.stirs;
        let started = RealInstant::now();
        while shared.sleeper.is_some_and(|sleeper| sleeper.seen < stirs) {
            let left = PATIENCE.saturating_sub(started.elapsed());
            if left.is_zero() {
                complain("a call that waits does not wake up");
                return;
            }
            (shared, _) = self.looked.wait_timeout(shared, left).unwrap_or_else(PoisonError::into_inner);
        }
        let done = shared.sleeper.is_none();
        shared.woken = done.then_some(sleeper.thread);
        drop(shared);
        if done {
            await_rest(sleeper.thread);
        }
    }

    /// Whether a descriptor is one of this session's.
    pub(crate) fn owns(&self, fd: c_int) -> bool {
        self.lock().world.descriptors.contains_key(&fd)
    }

    /// Ends a session whose descriptors were closed by somebody else.
    pub(crate) fn let_go(self) {
        let shared = self.shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        for descriptor in shared.world.descriptors.into_values() {
            let _ = descriptor.file.into_raw_fd();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn next_deadline(&self) -> Option<Instant> {
        let awaited = self.sleeper.and_then(|sleeper| sleeper.until);
        [self.world.next_deadline(), awaited].into_iter().flatten().min()
    }
}

/// Waits until packetdrill's other thread has noted when its call returned, and waits for the next one: until then it
/// runs.
fn await_rest(thread: libc::pid_t) {
    let started = RealInstant::now();
    while started.elapsed() < PATIENCE && !rests(thread) {
        std::thread::yield_now();
    }
}

fn this_thread() -> libc::pid_t {
    // SAFETY: the call has no conditions.
    unsafe { libc::gettid() }
}

/// Whether a thread of this process sleeps: proc(5), the state in `stat`.
fn rests(thread: c_int) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
    let state = stat.ok().and_then(|stat| stat.rsplit(')').next()?.trim_start().chars().next());
    state.is_none_or(|state| state == 'S')
}
