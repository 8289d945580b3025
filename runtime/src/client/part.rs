//! A slot that a client holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use netlane_ring::bytes::{Consumer, Producer};

use super::Shared;
use crate::shared::{Capacity, Control, Interest, Request};

/// A client's side of one slot. Dropping it closes the slot.
#[derive(Debug)]
pub(super) struct Part {
    client: Arc<Shared>,
    slot: u32,
    /// Threads that read take turns, and so do threads that write. None waits for the network meanwhile.
    reader: Mutex<Consumer>,
    writer: Mutex<Producer>,
}

impl Part {
    /// Takes the client's side of a slot.
    ///
    /// # Safety
    /// The slot is the caller's, and nobody else's in this process but its lane's.
    pub(super) unsafe fn attach(client: &Arc<Shared>, slot: u32, capacity: Capacity) -> Self {
        // SAFETY: the ends are this part's, which keeps the region.
        let ends = unsafe { client.region.client_ends(slot, capacity) };
        let (writer, reader) = ends.expect("rings as the lane has left them");
        Self { client: Arc::clone(client), slot, reader: Mutex::new(reader), writer: Mutex::new(writer) }
    }

    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    pub(super) fn control(&self) -> &Control {
        self.client.region.control(self.slot)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.client.region.is_gone(self.client.region.lane_of(self.slot))
    }

    pub(super) fn reader(&self) -> MutexGuard<'_, Consumer> {
        // A ring's end is whole between any two of its calls.
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Producer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the lane that something was written, unless it has yet to look for the last time.
    pub(super) fn written(&self) {
        if self.control().ask_look() {
            // A lane that is gone has no use for what was written; whoever waits for an answer learns of it.
            let _ = self.client.submit(self.slot, Request::Look);
        }
    }

    /// Tells the lane that something was read, if it wants to know. `is_tight` says whether too little was.
    pub(super) fn consumed(&self, is_tight: bool) {
        if !is_tight && self.control().is_hungry() && self.control().take_hunger() {
            self.written();
        }
    }

    pub(super) fn request(&self, request: Request) {
        // As above: on a lane that is gone, nothing is left to change.
        let _ = self.client.submit(self.slot, request);
    }

    /// Wakes this program's own threads that wait here.
    pub(super) fn wake_waiters(&self) {
        self.client.region.notify(self.slot, Interest::ANY);
    }
}

impl Drop for Part {
    /// From here on the slot is the lane's, which gives it to the next user when the stack is done with it.
    fn drop(&mut self) {
        self.request(Request::Close);
    }
}
