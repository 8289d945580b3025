//! The bytes of a lane's sockets, in the rings of their slots.

use std::sync::Arc;

use netlane_core::{BufferRequest, Buffers, SocketId};
use netlane_ring::bytes::{Consumer, Producer};

use super::slots::Slots;
use crate::shared::{Capacity, KEPT, Region};

/// The lane's side of the byte rings in shared memory, and what it remembers about the slots that they belong to.
pub(super) struct LaneBuffers {
    region: Arc<Region>,
    pub(super) slots: Slots,
    /// Bytes of shared memory in use above which no socket is opened.
    memory: usize,
}

/// What a client has written and the stack has not released.
pub(super) struct SendRing {
    ring: Consumer,
    slot: u32,
    /// Bytes ever released, as far as it matters how many.
    passed: u32,
}

/// What the stack has received and the client has not read.
pub(super) struct ReceiveRing {
    ring: Producer,
    slot: u32,
    /// Bytes ever committed, as far as it matters how many.
    passed: u32,
}

impl LaneBuffers {
    pub(super) fn new(region: Arc<Region>, lane: usize, memory: usize) -> Self {
        Self { slots: Slots::new(Arc::clone(&region), lane), region, memory }
    }
}

impl Buffers for LaneBuffers {
    type Send = SendRing;
    type Receive = ReceiveRing;

    fn open(&mut self, request: BufferRequest) -> Option<(SendRing, ReceiveRing)> {
        if self.region.committed() > self.memory {
            self.slots.forget_choice();
            return None;
        }
        let (slot, capacity) = match request.listener {
            None => self.slots.open_chosen(request.socket)?,
            Some(_) => (self.slots.open_fresh(request.socket)?, Capacity::Stream),
        };
        // SAFETY: the slot was nobody's, and is this socket's from now on. The buffers have the region's handle.
        match unsafe { self.region.lane_ends(slot, capacity) } {
            Ok((send, receive)) => Some((
                SendRing { ring: send, slot, passed: 0 },
                ReceiveRing { ring: receive, slot, passed: 0 },
            )),
            // The client has broken its own slot.
            Err(_) => {
                self.slots.buffers_closed(slot);
                None
            }
        }
    }

    fn close(&mut self, _: SocketId, send: SendRing, receive: ReceiveRing) {
        let slot = send.slot;
        let used = [send.passed as usize + send.ring.len(), receive.passed as usize];
        if used.into_iter().any(|bytes| bytes > KEPT) {
            self.slots.give_back_when_free(slot);
        }
        self.slots.buffers_closed(slot);
    }

    #[inline]
    fn queued(&self, send: &SendRing) -> usize {
        send.ring.len()
    }

    #[inline]
    fn copy_queued(&self, send: &SendRing, offset: usize, out: &mut [u8]) {
        send.ring.peek_at(offset, out);
    }

    #[inline]
    fn release(&mut self, send: &mut SendRing, n: usize) {
        send.ring.release(n);
        send.passed = send.passed.saturating_add(n as u32);
        if is_roomy(send.ring.capacity(), send.ring.len()) {
            self.slots.note_roomy(send.slot);
        }
    }

    #[inline]
    fn unread(&self, receive: &ReceiveRing) -> usize {
        receive.ring.len()
    }

    #[inline]
    fn room(&self, receive: &ReceiveRing) -> usize {
        receive.ring.room()
    }

    #[inline]
    fn store(&mut self, receive: &mut ReceiveRing, offset: usize, bytes: &[u8]) -> usize {
        receive.ring.write_at(offset, bytes)
    }

    #[inline]
    fn commit(&mut self, receive: &mut ReceiveRing, n: usize) {
        receive.ring.commit(n);
        receive.passed = receive.passed.saturating_add(n as u32);
        if is_tight(receive.ring.capacity(), receive.ring.len()) {
            self.slots.note_tight(receive.slot);
        }
    }
}

/// Whether a stream's send ring has so much room that a writer shall know. Writers that wake up for every
/// acknowledgement would do little else.
pub(crate) const fn is_roomy(capacity: usize, queued: usize) -> bool {
    queued <= capacity - capacity / 4
}

/// Whether so much waits to be read that the peer may soon have no window, and must be told when there is room.
pub(crate) const fn is_tight(capacity: usize, unread: usize) -> bool {
    unread > capacity / 2
}
