//! The memory that a client shares with its lanes: a mapped memfd.

use std::ffi::c_void;
use std::io;
use std::os::fd::OwnedFd;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use netlane_ring::bytes::{AttachError, Consumer, Producer};
use netlane_ring::{Counters, Doorbell, Full, MessageRing};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use super::layout::{CHANGES, Layout, POLLERS, Shape, free_ring};
use super::{Bell, Control, Interest, Job};

/// The memory that a client shares with its lanes, and this process's handles of what lies in it.
///
/// It holds no pointers. Slots are numbered through: those of the first lane come first. Nothing takes memory before
/// it is used.
#[derive(Debug)]
pub(crate) struct Region {
    memory: Mapping,
    shape: Shape,
    layout: Layout,
    lanes: Vec<LaneRings>,
    /// Each one's slots that changed, once it is used.
    pollers: Vec<OnceLock<MessageRing<u32>>>,
}

/// A lane's rings, and what it sleeps on beside its backend.
#[derive(Debug)]
struct LaneRings {
    jobs: MessageRing<Job>,
    free: MessageRing<u32>,
    eventfd: OwnedFd,
}

/// What a lane and its client share beside slots and rings. All-zero bytes are that of a lane that runs.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct LaneSide {
    pub(crate) doorbell: Doorbell,
    /// Not 0 when the lane has ended.
    gone: AtomicU32,
    /// The slots below this were in use at some time. Those are used again first, so that no more memory is touched
    /// than sockets were open at the same time.
    fresh: AtomicU32,
    pub(crate) report: Report,
}

/// Where a lane answers questions, one at a time.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) bell: Bell,
    /// The number of the question that was answered last.
    answered: AtomicU32,
    values: [AtomicU64; REPORT_VALUES],
}

/// What a poller and those who tell it of changes share.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub(crate) struct PollerSide {
    pub(crate) bell: Bell,
    /// A slot did not fit into the ring: any of them may have changed.
    overflow: AtomicU32,
}

impl Region {
    /// Makes the memory for lanes and slots of this shape.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::OutOfMemory`] also where the shape does not fit into the address space.
    pub(crate) fn create(shape: Shape) -> io::Result<Self> {
        let layout = Layout::of(&shape).ok_or(io::ErrorKind::OutOfMemory)?;
        let memory = Mapping::create(layout.len)?;
        let lanes = (0..shape.lanes).map(|lane| {
            // SAFETY: the layout has room for such a ring there, and nobody else has seen the memory.
            let jobs = unsafe { MessageRing::create(memory.at(layout.jobs(lane)), shape.jobs) };
            let free = free_ring(shape.slots);
            // SAFETY: as above.
            let free = unsafe { MessageRing::create(memory.at(layout.free(lane)), free) };
            Ok(LaneRings {
                jobs: jobs.map_err(io::Error::other)?,
                free: free.map_err(io::Error::other)?,
                eventfd: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            })
        });
        let lanes = lanes.collect::<io::Result<_>>()?;
        let pollers = (0..POLLERS).map(|_| OnceLock::new()).collect();
        Ok(Self { memory, shape, layout, lanes, pollers })
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The slots of all lanes.
    pub(crate) fn slots(&self) -> usize {
        self.shape.lanes * self.shape.slots
    }

    /// The lane whose slot this is.
    pub(crate) fn lane_of(&self, slot: u32) -> usize {
        slot as usize / self.shape.slots
    }

    pub(crate) fn lane(&self, lane: usize) -> &LaneSide {
        assert!(lane < self.shape.lanes, "there is no lane {lane}");
        let place = self.memory.at(self.layout.lane(lane)).cast();
        // SAFETY: the lane's side lies there, and any bytes are one: it is nothing but atomics.
        unsafe { place.as_ref() }
    }

    pub(crate) fn jobs(&self, lane: usize) -> &MessageRing<Job> {
        &self.lanes[lane].jobs
    }

    pub(crate) fn eventfd(&self, lane: usize) -> &OwnedFd {
        &self.lanes[lane].eventfd
    }

    /// The control block of a slot that there is.
    pub(crate) fn control(&self, slot: u32) -> &Control {
        assert!((slot as usize) < self.slots(), "there is no slot {slot}");
        let (lane, nth) = (self.lane_of(slot), slot as usize % self.shape.slots);
        let place = self.memory.at(self.layout.control(lane, nth)).cast();
        // SAFETY: the control block lies there, and any bytes are one: it is nothing but atomics.
        unsafe { place.as_ref() }
    }

    /// Takes a free slot of a lane, if there is one. A lane does not rely on the answer, since a client may have
    /// written anything to the ring.
    pub(crate) fn take_slot(&self, lane: usize) -> Option<u32> {
        if let Some(slot) = self.lanes[lane].free.pop() {
            return Some(slot);
        }
        let next = |fresh| if (fresh as usize) < self.shape.slots { Some(fresh + 1) } else { None };
        let fresh = self.lane(lane).fresh.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        Some((lane * self.shape.slots) as u32 + fresh)
    }

    /// Gives a slot back that nobody uses.
    pub(crate) fn free_slot(&self, slot: u32) {
        self.control(slot).reset();
        // The ring has room for all slots. One that somebody filled with garbage loses this slot, and it is theirs.
        let _ = self.lanes[self.lane_of(slot)].free.push(slot);
    }

    /// Puts any number among a lane's free slots, as a client could.
    #[cfg(test)]
    pub(crate) fn offer_slot(&self, lane: usize, slot: u32) {
        self.lanes[lane].free.push(slot).expect("room for a slot");
    }

    /// Queues a job, and wakes the lane if it is parked.
    pub(crate) fn push_job(&self, lane: usize, job: Job) -> Result<(), Full<Job>> {
        self.lanes[lane].jobs.push(job)?;
        if self.lane(lane).doorbell.must_wake() {
            self.wake_lane(lane);
        }
        Ok(())
    }

    /// Wakes the lane, whether it is parked or about to.
    pub(crate) fn wake_lane(&self, lane: usize) {
        // It can only fail when the counter is full, and then the lane is being woken up already.
        let _ = rustix::io::write(&self.lanes[lane].eventfd, &1_u64.to_ne_bytes());
    }

    /// Wakes those who wait at this slot, and tells its poller.
    pub(crate) fn notify(&self, slot: u32, what: Interest) {
        let control = self.control(slot);
        control.bell.ring(what);
        if let Some(poller) = control.poller_to_tell() {
            self.tell_poller(poller, slot);
        }
    }

    /// Tells a poller to look at a slot. A poller that there is not is told nothing.
    pub(crate) fn tell_poller(&self, poller: usize, slot: u32) {
        let Some(ring) = self.pollers.get(poller).and_then(OnceLock::get) else { return };
        let side = self.poller(poller);
        if ring.push(slot).is_err() {
            side.overflow.store(1, Ordering::Release);
        }
        side.bell.ring(Interest::ANY);
    }

    pub(crate) fn poller(&self, poller: usize) -> &PollerSide {
        assert!(poller < POLLERS, "there is no poller {poller}");
        let place = self.memory.at(self.layout.poller(poller)).cast();
        // SAFETY: the poller's side lies there, and any bytes are one: it is nothing but atomics.
        unsafe { place.as_ref() }
    }

    /// The slots that a poller shall look at. It asks for them before slots are told of it.
    pub(crate) fn poller_ring(&self, poller: usize) -> &MessageRing<u32> {
        self.pollers[poller].get_or_init(|| {
            // SAFETY: the layout has room for such a ring there, and this is the only place that makes it.
            let ring =
                unsafe { MessageRing::create(self.memory.at(self.layout.poller_ring(poller)), CHANGES) };
            ring.expect("a capacity that the layout was made for")
        })
    }

    /// The lane has ended: whoever waits for anything looks again.
    pub(crate) fn bury(&self, lane: usize) {
        self.lane(lane).gone.store(1, Ordering::Relaxed);
        // Who takes a fresh slot, or begins to wait, does so before it looks whether the lane is gone.
        fence(Ordering::SeqCst);
        self.lane(lane).report.bell.ring(Interest::ANY);
        // Those who wait for a socket with a part on this lane may wait at a slot of another.
        for lane in 0..self.shape.lanes {
            let fresh = (self.lane(lane).fresh.load(Ordering::Relaxed) as usize).min(self.shape.slots);
            for nth in 0..fresh {
                self.notify((lane * self.shape.slots + nth) as u32, Interest::ANY);
            }
        }
    }

    /// Whether the lane has ended.
    pub(crate) fn is_gone(&self, lane: usize) -> bool {
        self.lane(lane).gone.load(Ordering::Relaxed) != 0
    }

    /// The bytes of memory in use.
    pub(crate) fn committed(&self) -> usize {
        // A memfd's blocks are of 512 bytes (stat(2)). It has a size as long as it is open.
        rustix::fs::fstat(&self.memory.file).map_or(0, |stat| stat.st_blocks as usize * 512)
    }

    /// Gives the memory of a slot's rings back, beyond the first bytes of each that its next user needs anyway.
    /// Nobody uses the slot.
    pub(crate) fn give_back(&self, slot: u32) {
        let send = self.layout.data(slot as usize);
        let receive = self.shape.receive.max(self.shape.datagrams);
        for (start, len) in [(send, self.shape.send), (send + self.shape.send, receive)] {
            let (offset, len) = (start + KEPT.min(len), len.saturating_sub(KEPT));
            if len > 0 {
                let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                // Memory that cannot be given back now is used again by the slot's next user.
                let _ = rustix::fs::fallocate(&self.memory.file, how, offset as u64, len as u64);
            }
        }
    }

    /// The ends that a client has of a slot's rings: what it fills, and what it empties.
    ///
    /// # Safety
    /// The ends are not used after the region is gone, and the slot has no other client's ends at the same time.
    pub(crate) unsafe fn client_ends(
        &self,
        slot: u32,
        capacity: Capacity,
    ) -> Result<(Producer, Consumer), AttachError> {
        let Places { send, receive } = self.places(slot, capacity);
        // SAFETY: the ring lies in memory that lives as long as the region, of a file that cannot shrink.
        let producer = unsafe { Producer::attach(send.counters, send.data, send.capacity) }?;
        // SAFETY: as above.
        let consumer = unsafe { Consumer::attach(receive.counters, receive.data, receive.capacity) }?;
        Ok((producer, consumer))
    }

    /// The ends that a lane has of a slot's rings: what it empties, and what it fills.
    ///
    /// # Safety
    /// The ends are not used after the region is gone, and the slot has no other ends of its lane at the same time.
    pub(crate) unsafe fn lane_ends(
        &self,
        slot: u32,
        capacity: Capacity,
    ) -> Result<(Consumer, Producer), AttachError> {
        let Places { send, receive } = self.places(slot, capacity);
        // SAFETY: the ring lies in memory that lives as long as the region, of a file that cannot shrink.
        let consumer = unsafe { Consumer::attach(send.counters, send.data, send.capacity) }?;
        // SAFETY: as above.
        let producer = unsafe { Producer::attach(receive.counters, receive.data, receive.capacity) }?;
        Ok((consumer, producer))
    }

    fn places(&self, slot: u32, capacity: Capacity) -> Places {
        let control = self.control(slot);
        let data = self.layout.data(slot as usize);
        let receive = match capacity {
            Capacity::Stream => self.shape.receive,
            Capacity::Datagrams => self.shape.datagrams,
        };
        let place = |counters, offset, capacity| Place {
            counters: NonNull::from(counters),
            data: self.memory.at(offset),
            capacity,
        };
        Places {
            send: place(&control.send, data, self.shape.send),
            receive: place(&control.receive, data + self.shape.send, receive),
        }
    }
}

/// What a slot's rings carry, which decides how large they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capacity {
    Stream,
    Datagrams,
}

/// Where the two rings of a slot lie.
struct Places {
    send: Place,
    receive: Place,
}

struct Place {
    counters: NonNull<Counters>,
    data: NonNull<u8>,
    capacity: usize,
}

/// The most values of a lane's answer.
pub(crate) const REPORT_VALUES: usize = 126;

/// Bytes of a ring that stay in memory when its slot is free.
pub(crate) const KEPT: usize = 64 * 1024;

impl Report {
    /// The lane: answers question number `ticket`.
    pub(crate) fn answer(&self, ticket: u32, values: impl Iterator<Item = u64>) {
        for (shared, value) in self.values.iter().zip(values) {
            shared.store(value, Ordering::Relaxed);
        }
        self.answered.store(ticket, Ordering::Release);
        self.bell.ring(Interest::ANY);
    }

    /// The values of the answer to question number `ticket`, once it is there.
    pub(crate) fn answer_to(&self, ticket: u32) -> Option<impl Iterator<Item = u64>> {
        let answered = self.answered.load(Ordering::Acquire) == ticket;
        answered.then(|| self.values.iter().map(|value| value.load(Ordering::Relaxed)))
    }
}

impl PollerSide {
    /// Whether a slot did not fit into the ring since this was last asked.
    pub(crate) fn take_overflow(&self) -> bool {
        self.overflow.swap(0, Ordering::Acquire) != 0
    }
}

/// A memfd, mapped to be shared.
#[derive(Debug)]
struct Mapping {
    file: OwnedFd,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is memory as any other; what lies in it takes care of itself.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn create(len: usize) -> io::Result<Self> {
        let file = rustix::fs::memfd_create("netlane", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&file, len as u64)?;
        // Whoever could shrink the file would end all others by SIGBUS.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::NORESERVE;
        // SAFETY: the system chooses a free place.
        let start = unsafe { rustix::mm::mmap(ptr::null_mut(), len, access, flags, &file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { file, start, len })
    }

    fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.len, "{offset} lies beyond the {} bytes of the region", self.len);
        // SAFETY: the place lies in the mapping, as just seen.
        unsafe { self.start.add(offset) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped once, with this length; all handles of what lies in it are gone, as they have promised.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast::<c_void>(), self.len) };
    }
}
