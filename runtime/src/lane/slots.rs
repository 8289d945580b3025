//! What a lane remembers about its slots.
//!
//! A client can write anything to shared memory, so nothing that matters is read back from there: which slots are in
//! use, for what, and by which of the stack's sockets, the lane knows by itself.

use std::sync::Arc;

use netlane_core::SocketId;
use netlane_ring::bytes::Producer;

use crate::shared::{Capacity, Region};

/// The slots of a lane, and the sockets that have them.
pub(super) struct Slots {
    region: Arc<Region>,
    lane: usize,
    /// By the slot's number within the lane, as far as slots were ever used.
    uses: Vec<Use>,
    /// The slot of each of the stack's sockets, by the stack's number for it.
    by_socket: Vec<u32>,
    /// The slot for the next socket that is opened, since its client chose it.
    chosen: Option<(u32, Capacity)>,
}

/// What a slot is used for.
#[derive(Default)]
pub(super) struct Use {
    /// The stack's socket, while it has one.
    pub(super) socket: Option<SocketId>,
    pub(super) kind: Kind,
    /// The slot at which those who wait for this one wait.
    wake: u32,
    /// A client holds the slot, and has not closed it.
    held: bool,
    /// The stack has the ends of its rings.
    buffered: bool,
    /// The connection is established, or was.
    pub(super) connected: bool,
    /// So much was acknowledged that a writer shall know.
    pub(super) roomy: bool,
    /// So much has arrived that the peer must be told when it was read.
    pub(super) tight: bool,
    /// So much went through its rings that their memory is to be given back.
    large: bool,
}

/// The kind of a slot's socket.
#[derive(Default)]
pub(super) enum Kind {
    #[default]
    Connection,
    Datagrams,
    Listener(Accepted),
}

/// Where a listener's connections wait to be accepted by the client: the numbers of their slots, 4 bytes each.
pub(super) struct Accepted {
    pub(super) ring: Producer,
    /// The most that wait.
    pub(super) backlog: usize,
}

/// A slot that nobody has.
const NOBODY: u32 = u32::MAX;

impl Slots {
    pub(super) fn new(region: Arc<Region>, lane: usize) -> Self {
        Self { region, lane, uses: Vec::new(), by_socket: Vec::new(), chosen: None }
    }

    /// A slot in use; `None` for any other number that a client may have made up.
    pub(super) fn get(&self, slot: u32) -> Option<&Use> {
        self.uses.get(self.index(slot)?).filter(|slot| slot.is_taken())
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Use> {
        let index = self.index(slot)?;
        self.uses.get_mut(index).filter(|slot| slot.is_taken())
    }

    /// The slot of a socket.
    pub(super) fn slot_of(&self, socket: SocketId) -> Option<u32> {
        let slot = *self.by_socket.get(socket.slot())?;
        (self.get(slot)?.socket == Some(socket)).then_some(slot)
    }

    /// The sockets that clients hold.
    pub(super) fn held(&self) -> impl Iterator<Item = u32> {
        let numbers = self.uses.iter().zip(self.first()..);
        numbers.filter(|(slot, _)| slot.held).map(|(_, number)| number)
    }

    /// Whether the stack still has buffers of a socket that its client has closed.
    pub(super) fn is_lingering(&self) -> bool {
        self.uses.iter().any(|slot| slot.buffered && !slot.held)
    }

    /// A client brings a slot for a new socket: it is taken if it was free.
    pub(super) fn take(&mut self, slot: u32, wake: u32) -> Option<&mut Use> {
        let index = self.index(slot)?;
        let wake = if (wake as usize) < self.region.slots() { wake } else { slot };
        if self.uses.len() <= index {
            self.uses.resize_with(index + 1, Use::default);
        }
        let entry = self.uses.get_mut(index).filter(|slot| !slot.is_taken())?;
        *entry = Use { held: true, wake, ..Use::default() };
        Some(entry)
    }

    /// The next socket that is opened for a client gets this slot.
    pub(super) fn choose(&mut self, slot: u32, capacity: Capacity) {
        self.chosen = Some((slot, capacity));
    }

    /// No socket was opened after all.
    pub(super) fn forget_choice(&mut self) {
        self.chosen = None;
    }

    /// The socket gets the slot that was chosen for it.
    pub(super) fn open_chosen(&mut self, socket: SocketId) -> Option<(u32, Capacity)> {
        let (slot, capacity) = self.chosen.take()?;
        self.name(socket, slot);
        self.get_mut(slot)?.buffered = true;
        Some((slot, capacity))
    }

    /// The socket, which arrived on a listener, gets a free slot.
    pub(super) fn open_fresh(&mut self, socket: SocketId) -> Option<u32> {
        // A client may have filled its ring of free slots with others: look at a few.
        for _ in 0..ATTEMPTS {
            let slot = self.region.take_slot(self.lane)?;
            if let Some(entry) = self.take(slot, slot) {
                (entry.held, entry.buffered) = (false, true);
                self.name(socket, slot);
                return Some(slot);
            }
        }
        None
    }

    /// From now on the socket is found by its slot and the slot by its socket.
    pub(super) fn name(&mut self, socket: SocketId, slot: u32) {
        if self.by_socket.len() <= socket.slot() {
            self.by_socket.resize(socket.slot() + 1, NOBODY);
        }
        self.by_socket[socket.slot()] = slot;
        if let Some(entry) = self.get_mut(slot) {
            entry.socket = Some(socket);
        }
    }

    /// A connection was accepted: its slot is the client's now.
    pub(super) fn hand_over(&mut self, slot: u32) {
        if let Some(entry) = self.get_mut(slot) {
            (entry.held, entry.connected) = (true, true);
        }
    }

    #[inline]
    pub(super) fn note_roomy(&mut self, slot: u32) {
        if let Some(entry) = self.get_mut(slot) {
            entry.roomy = true;
        }
    }

    #[inline]
    pub(super) fn note_tight(&mut self, slot: u32) {
        if let Some(entry) = self.get_mut(slot) {
            entry.tight = true;
        }
    }

    pub(super) fn give_back_when_free(&mut self, slot: u32) {
        if let Some(entry) = self.get_mut(slot) {
            entry.large = true;
        }
    }

    /// The stack has given the buffers back.
    pub(super) fn buffers_closed(&mut self, slot: u32) {
        let Some(entry) = self.get_mut(slot) else { return };
        (entry.buffered, entry.socket) = (false, None);
        self.free_if_unused(slot);
    }

    /// The client has closed the slot. If the stack has its buffers still, it is free when they are given back.
    pub(super) fn let_go(&mut self, slot: u32) {
        let Some(entry) = self.get_mut(slot) else { return };
        entry.held = false;
        self.free_if_unused(slot);
    }

    /// Gives a slot back that was in use until now.
    fn free_if_unused(&mut self, slot: u32) {
        let Some(index) = self.index(slot) else { return };
        let Some(entry) = self.uses.get_mut(index).filter(|slot| !slot.is_taken()) else { return };
        if std::mem::take(entry).large {
            self.region.give_back(slot);
        }
        self.region.free_slot(slot);
    }

    /// The slot at which those who wait for this one wait.
    pub(super) fn wake_slot(&self, slot: u32) -> u32 {
        self.get(slot).map_or(slot, |entry| entry.wake)
    }

    /// The lane's first slot.
    fn first(&self) -> u32 {
        (self.lane * self.region.shape().slots) as u32
    }

    fn index(&self, slot: u32) -> Option<usize> {
        let index = slot.checked_sub(self.first())? as usize;
        (index < self.region.shape().slots).then_some(index)
    }
}

/// Slots to look at for a free one.
const ATTEMPTS: usize = 16;

impl Use {
    fn is_taken(&self) -> bool {
        self.held || self.buffered
    }
}
