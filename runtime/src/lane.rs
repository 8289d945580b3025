//! A lane: one thread that drives one stack over one queue of packets.
//!
//! Its loop takes turns. In each it does a bounded number of jobs, lets the stack have the frames and timers that are
//! due, and tells clients what changed. With nothing to do it spins for a while, and then parks until a frame
//! arrives, a job comes, or a timer is due.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use netlane_backends::wait::Waitable;
use netlane_core::{Instant, Stack, StackConfig, Turn};
use netlane_packet_io::{LinkDown, PacketIo};
use rustix::event::{PollFd, PollFlags};
use rustix::time::{ClockId, Timespec, clock_gettime};

pub(crate) use buffers::{is_roomy, is_tight};
pub(crate) use gossip::Gossip;
use gossip::News;

use crate::shared::Region;
use buffers::LaneBuffers;

mod buffers;
mod events;
mod gossip;
mod jobs;
mod slots;

/// How a lane is run.
#[derive(Clone, Debug)]
pub(crate) struct LaneConfig {
    pub(crate) stack: StackConfig,
    pub(crate) seed: u64,
    /// How long an idle lane spins before it parks.
    pub(crate) spin: Duration,
    /// Never park.
    pub(crate) busy_poll: bool,
    /// Bytes of shared memory in use above which no socket is opened.
    pub(crate) memory: usize,
}

/// A stack, the packets that it moves, and the clients' memory.
pub(crate) struct Lane<I: PacketIo> {
    stack: Stack<I, LaneBuffers>,
    region: Arc<Region>,
    gossip: Gossip,
    index: usize,
    stop: Arc<AtomicBool>,
    spin: Duration,
    busy_poll: bool,
    /// Since when there has been nothing to do, if there is nothing.
    idle_since: Option<Instant>,
    stats: LaneStats,
}

/// What a lane counts, beside what its stack does.
#[derive(Clone, Copy, Debug, Default)]
struct LaneStats {
    /// Turns of the loop.
    turns: u64,
    /// Jobs of clients.
    jobs: u64,
    /// How often it parked.
    parks: u64,
    /// How often a client, and no packet or timer, ended that.
    wakes: u64,
}

/// The names of what a lane counts, in the order of [`Lane::counted`].
pub(crate) const LANE_COUNTERS: [&str; 4] = ["lane_turns", "lane_jobs", "lane_parks", "lane_wakes"];

/// Jobs that a turn does before it looks at the packets.
const JOBS_PER_TURN: usize = 256;

/// How long a lane waits for a device that takes no more and does not tell when it does.
const RETRY: Duration = Duration::from_millis(1);

/// The longest that a lane waits for its addresses. To find out about one takes two seconds at most (RFC 4862 §5.4).
const SETTLING: Duration = Duration::from_secs(3);

/// How long connections that their users have closed may take to end when the lane stops.
const GRACE: Duration = Duration::from_millis(500);

impl<I: PacketIo + Waitable> Lane<I> {
    /// The lane number `index`, which ends when `stop` is set.
    pub(crate) fn new(
        io: I,
        config: LaneConfig,
        region: Arc<Region>,
        gossip: Gossip,
        index: usize,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let LaneConfig { stack, seed, spin, busy_poll, memory } = config;
        let buffers = LaneBuffers::new(Arc::clone(&region), index, memory);
        let stack = Stack::new(io, buffers, stack, seed);
        Self {
            stack,
            region,
            gossip,
            index,
            stop,
            spin,
            busy_poll,
            idle_since: None,
            stats: LaneStats::default(),
        }
    }

    /// Takes turns until the stack knows which of its addresses it may use, so that whoever waits for the start can
    /// use them at once. It does not take long, and ends after a while whatever comes.
    ///
    /// # Errors
    /// [`LinkDown`] from the backend.
    pub(crate) fn settle(&mut self) -> Result<(), LinkDown> {
        let end = clock() + SETTLING;
        while self.stack.has_tentative_addresses() && !self.stop.load(Ordering::Relaxed) {
            let now = clock();
            if now >= end {
                break;
            }
            let turn = self.turn(now)?;
            self.wait(now, turn);
        }
        Ok(())
    }

    /// Takes turns until the lane is stopped or its link is down.
    ///
    /// # Errors
    /// [`LinkDown`] from the backend.
    pub(crate) fn run(mut self) -> Result<(), LinkDown> {
        while !self.stop.load(Ordering::Relaxed) {
            let now = clock();
            let turn = self.turn(now)?;
            self.wait(now, turn);
        }
        self.wind_down()
    }

    /// Takes one turn.
    fn turn(&mut self, now: Instant) -> Result<Turn, LinkDown> {
        self.stats.turns += 1;
        self.stack.tell_time(now);
        let jobs = self.take_jobs();
        let heard = self.hear_others();
        let turn = self.stack.poll(now)?;
        let events = self.carry_events();
        while let Some((address, mac)) = self.stack.next_learnt() {
            self.gossip.tell_all(&News::Neighbor(address, mac));
        }
        while let Some(event) = self.stack.next_network_event() {
            tracing::info!("lane {}: {event}", self.index);
        }
        while let Some(notice) = self.stack.next_notice() {
            self.gossip.tell_all(&News::Notice(notice));
        }
        while let Some(stray) = self.stack.next_stray() {
            self.gossip.tell_next(News::Stray(stray));
        }
        // What this made us ask of the stack takes effect at the next poll.
        Ok(if jobs || heard || events { Turn::Busy } else { turn })
    }

    /// Takes note of what other lanes tell, and returns whether they did.
    fn hear_others(&mut self) -> bool {
        let mut heard = false;
        while let Some(news) = self.gossip.hear() {
            match news {
                News::Neighbor(address, mac) => self.stack.learn_neighbor(address, mac),
                News::Notice(notice) => self.stack.receive_notice(&notice),
                News::Stray(stray) => self.stack.receive_stray(&stray),
            }
            heard = true;
        }
        heard
    }

    /// Does jobs that wait, and returns whether there were any.
    fn take_jobs(&mut self) -> bool {
        let region = Arc::clone(&self.region);
        let ring = region.jobs(self.index);
        let before = self.stats.jobs;
        for job in std::iter::from_fn(|| ring.pop()).take(JOBS_PER_TURN) {
            self.stats.jobs += 1;
            self.do_job(job);
        }
        self.stats.jobs > before
    }

    /// Lets time pass after a turn that found nothing to do.
    fn wait(&mut self, now: Instant, turn: Turn) {
        let wake_at = match turn {
            Turn::Busy => {
                self.idle_since = None;
                return;
            }
            // The device says when it takes more, as far as it can.
            Turn::Blocked { wake_at } => Some(wake_at.unwrap_or(now + RETRY).min(now + RETRY)),
            Turn::Idle { wake_at } => wake_at,
        };
        let since = *self.idle_since.get_or_insert(now);
        if self.busy_poll || now.saturating_since(since) < self.spin {
            // Whoever else could run on this core may be the one that this lane waits for.
            std::thread::yield_now();
            return;
        }
        self.park(wake_at.map(|at| at.saturating_since(now)));
    }

    /// Sleeps until a frame arrives, a client rings, or `wake_in` has passed.
    fn park(&mut self, wake_in: Option<Duration>) {
        let region = Arc::clone(&self.region);
        let parked = region.lane(self.index).doorbell.announce();
        let has_work = !region.jobs(self.index).is_empty() || self.stop.load(Ordering::SeqCst);
        if has_work || self.hear_others() {
            return;
        }
        if !self.stack.io_mut().arm() {
            return;
        }
        self.stats.parks += 1;
        let io = self.stack.io();
        let wake_in = [wake_in, io.due_in()].into_iter().flatten().min();
        let rung = parked.sleep(|| {
            let events = if io.wants_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            let eventfd = region.eventfd(self.index).as_fd();
            let bell = PollFd::from_borrowed_fd(eventfd, PollFlags::IN);
            let device = io.poll_fd().map(|fd| PollFd::from_borrowed_fd(fd, events));
            // Without a device to poll, the bell is polled twice.
            let mut fds = [bell.clone(), device.unwrap_or(bell)];
            let timeout = wake_in.and_then(|span| Timespec::try_from(span).ok());
            // An interruption is as good a reason to take a turn as any.
            let _ = rustix::event::poll(&mut fds, timeout.as_ref());
            fds[0].revents().contains(PollFlags::IN)
        });
        if rung {
            self.stats.wakes += 1;
            let _ = rustix::io::read(region.eventfd(self.index), &mut [0; 8]);
        }
        self.stack.io_mut().disarm();
    }

    /// Ends what is left: connections that users still hold are reset, and those that users have closed get some
    /// time to end by themselves.
    fn wind_down(mut self) -> Result<(), LinkDown> {
        // Jobs from before the end count: what was written and closed is to be sent.
        self.turn(clock())?;
        // Users learn this, before they could take the end of their connections for the peer's doing.
        self.region.bury(self.index);
        let held: Vec<u32> = self.stack.buffers().slots.held().collect();
        for slot in held {
            self.abort(slot);
        }
        let end = clock() + GRACE;
        loop {
            let now = clock();
            let turn = self.turn(now)?;
            let done = matches!(turn, Turn::Idle { .. }) && !self.stack.buffers().slots.is_lingering();
            if done || now >= end {
                self.stack.dhcp_release();
                self.stack.poll(now)?;
                return Ok(());
            }
            if let Turn::Idle { wake_at } = turn {
                let left = end.saturating_since(now);
                self.park(Some(wake_at.map_or(left, |at| left.min(at.saturating_since(now)))));
            }
        }
    }

    /// What the lane and its stack have counted, in the order of their names.
    fn counted(&self) -> impl Iterator<Item = u64> {
        let LaneStats { turns, jobs, parks, wakes } = self.stats;
        let stack = self.stack.counters().iter().map(|(_, value)| value);
        [turns, jobs, parks, wakes].into_iter().chain(stack)
    }
}

/// The clock by which a lane lives: the system's monotonic one.
pub(crate) fn clock() -> Instant {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    Instant::from_nanos(tv_sec as u64 * 1_000_000_000 + tv_nsec as u64)
}
