//! Where everything lies in a region.

use std::alloc::Layout as Memory;

use netlane_ring::MessageRing;

use super::region::{LaneSide, PollerSide};
use super::{Control, Job};

/// How many of everything a region holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Lanes, one at least.
    pub(crate) lanes: usize,
    /// Slots of each lane.
    pub(crate) slots: usize,
    /// Jobs that may wait for each lane, a power of two.
    pub(crate) jobs: usize,
    /// Bytes of the ring that a client fills, a power of two.
    pub(crate) send: usize,
    /// Bytes of the ring that a lane fills with a stream, a power of two.
    pub(crate) receive: usize,
    /// Bytes of the ring that a lane fills with datagrams, a power of two. It has the same place.
    pub(crate) datagrams: usize,
}

/// The most pollers of a client.
pub(crate) const POLLERS: usize = 64;

/// Offsets in bytes from the start of a region. The slots' control blocks stand close together, and apart from the
/// rings' data, which begins with a page.
///
/// ```text
/// for each lane:    lane side, job ring, ring of free slots, control blocks
/// for each poller:  poller side, ring of slots that changed
/// for each slot:    the data of its send ring and its receive ring
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    lane_stride: usize,
    jobs: usize,
    free: usize,
    controls: usize,
    pollers: usize,
    poller_stride: usize,
    poller_ring: usize,
    data: usize,
    data_stride: usize,
    pub(crate) len: usize,
}

const PAGE: usize = 4096;

impl Layout {
    /// `None` where the region would not fit into the address space, or a capacity is none.
    pub(crate) fn of(shape: &Shape) -> Option<Self> {
        let Shape { lanes, slots, jobs, send, receive, datagrams } = *shape;
        let powers = [jobs, send, receive, datagrams].into_iter().all(usize::is_power_of_two);
        if lanes == 0 || slots == 0 || !powers {
            return None;
        }
        let total = lanes.checked_mul(slots).filter(|&total| total <= MAX_SLOTS)?;
        let lane = Memory::new::<LaneSide>();
        let (lane, jobs) = lane.extend(MessageRing::<Job>::layout(jobs).ok()?).ok()?;
        let (lane, free) = lane.extend(MessageRing::<u32>::layout(free_ring(slots)).ok()?).ok()?;
        let (lane, controls) = lane.extend(Memory::array::<Control>(slots).ok()?).ok()?;
        let lane_stride = lane.pad_to_align().size();
        let poller = Memory::new::<PollerSide>();
        let (poller, poller_ring) = poller.extend(MessageRing::<u32>::layout(CHANGES).ok()?).ok()?;
        let poller_stride = poller.pad_to_align().size();
        let pollers = lane_stride.checked_mul(lanes)?;
        let data =
            poller_stride.checked_mul(POLLERS)?.checked_add(pollers)?.checked_next_multiple_of(PAGE)?;
        let data_stride = send.checked_add(receive.max(datagrams))?.checked_next_multiple_of(PAGE)?;
        let len =
            data_stride.checked_mul(total)?.checked_add(data).filter(|&len| isize::try_from(len).is_ok())?;
        Some(Self {
            lane_stride,
            jobs,
            free,
            controls,
            pollers,
            poller_stride,
            poller_ring,
            data,
            data_stride,
            len,
        })
    }

    pub(crate) fn lane(&self, lane: usize) -> usize {
        lane * self.lane_stride
    }

    pub(crate) fn jobs(&self, lane: usize) -> usize {
        self.lane(lane) + self.jobs
    }

    pub(crate) fn free(&self, lane: usize) -> usize {
        self.lane(lane) + self.free
    }

    pub(crate) fn control(&self, lane: usize, nth: usize) -> usize {
        self.lane(lane) + self.controls + nth * size_of::<Control>()
    }

    pub(crate) fn poller(&self, poller: usize) -> usize {
        self.pollers + poller * self.poller_stride
    }

    pub(crate) fn poller_ring(&self, poller: usize) -> usize {
        self.poller(poller) + self.poller_ring
    }

    pub(crate) fn data(&self, slot: usize) -> usize {
        self.data + slot * self.data_stride
    }
}

/// Slots have numbers of 32 bits, of which the greatest is no slot.
const MAX_SLOTS: usize = 1 << 31;

/// The capacity of a ring that all of so many slots find room in.
pub(crate) fn free_ring(slots: usize) -> usize {
    slots.next_power_of_two().max(2)
}

/// Slots that may wait for one poller to look at them. Where more have changed, it looks at all.
pub(crate) const CHANGES: usize = 1024;
