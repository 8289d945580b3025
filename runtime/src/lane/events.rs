//! What a lane tells its clients.

use netlane_backends::wait::Waitable;
use netlane_core::{Event, Readiness, SocketId};
use netlane_packet_io::PacketIo;

use super::Lane;
use super::slots::Kind;
use crate::shared::{Interest, Status};

/// Bytes of the number of an accepted connection's slot.
const RECORD: usize = 4;

impl<I: PacketIo + Waitable> Lane<I> {
    /// Tells clients which of their sockets changed, and returns whether any did.
    pub(super) fn carry_events(&mut self) -> bool {
        let mut any = false;
        while let Some(Event { socket, ready }) = self.stack.next_event() {
            any = true;
            let Some(slot) = self.stack.buffers().slots.slot_of(socket) else { continue };
            let Some(entry) = self.stack.buffers().slots.get(slot) else { continue };
            match entry.kind {
                Kind::Listener(_) => self.accept(slot, socket),
                Kind::Datagrams => self.on_datagrams(slot, socket, ready),
                Kind::Connection => self.on_connection(slot, socket, ready),
            }
        }
        any
    }

    fn on_connection(&mut self, slot: u32, socket: SocketId, ready: Readiness) {
        let Some(entry) = self.stack.buffers_mut().slots.get_mut(slot) else { return };
        let (roomy, tight) = (std::mem::take(&mut entry.roomy), std::mem::take(&mut entry.tight));
        let established = ready.contains(Readiness::WRITABLE) && !entry.connected;
        entry.connected |= established;
        let control = self.region.control(slot);
        if established {
            control.tell(Status::CONNECTED);
        }
        if tight {
            control.set_hungry();
            // What was read before that is looked at now; of what is read from here on, the client tells.
            let _ = self.stack.tcp_consumed(socket);
        }
        if ready.contains(Readiness::ERROR)
            && let Ok(Some(error)) = self.stack.take_error(socket)
        {
            control.set_error(error);
        }
        if ready.contains(Readiness::READ_CLOSED) {
            control.tell(Status::READ_CLOSED);
        }
        if ready.contains(Readiness::CLOSED) {
            control.tell(Status::CLOSED);
        }
        let ended = ready.intersects(Readiness::CLOSED | Readiness::ERROR);
        let what = Interest::NONE
            .with(Interest::READ, ready.intersects(Readiness::READABLE | Readiness::READ_CLOSED))
            .with(Interest::WRITE, established || roomy)
            .with(Interest::ANY, ended);
        if what != Interest::NONE {
            self.notify(slot, what);
        }
    }

    fn on_datagrams(&mut self, slot: u32, socket: SocketId, ready: Readiness) {
        // An error of a datagram may come with any event.
        let error = self.stack.take_error(socket).ok().flatten();
        if let Some(error) = error {
            self.region.control(slot).set_error(error);
        }
        let what = Interest::NONE
            .with(Interest::READ, ready.contains(Readiness::READABLE))
            .with(Interest::WRITE, ready.contains(Readiness::WRITABLE))
            .with(Interest::ANY, error.is_some());
        if what != Interest::NONE {
            self.notify(slot, what);
        }
    }

    /// Accepts connections for the client, as far as its listener has room for them. The others wait in the stack.
    pub(super) fn accept(&mut self, listener: u32, socket: SocketId) {
        let mut accepted = false;
        loop {
            if !self.has_room_for_accepted(listener) {
                self.region.control(listener).set_hungry();
                // The client may have made room just before it could see that.
                if !self.has_room_for_accepted(listener) {
                    break;
                }
            }
            let Ok(Some(connection)) = self.stack.tcp_accept(socket) else { break };
            accepted |= self.hand_over(listener, connection);
        }
        if accepted {
            self.notify(listener, Interest::READ);
        }
    }

    fn has_room_for_accepted(&self, listener: u32) -> bool {
        match self.stack.buffers().slots.get(listener).map(|entry| &entry.kind) {
            Some(Kind::Listener(accepted)) => {
                accepted.ring.room() >= RECORD && accepted.ring.len() / RECORD < accepted.backlog
            }
            _ => false,
        }
    }

    /// Gives a connection to the client of its listener.
    fn hand_over(&mut self, listener: u32, connection: SocketId) -> bool {
        let Some(slot) = self.stack.buffers().slots.slot_of(connection) else { return false };
        let control = self.region.control(slot);
        let local = self.stack.local_addr(connection).ok();
        control.set_ends(local, self.stack.peer_addr(connection).ok().flatten());
        control.tell(Status::OPEN);
        control.tell(Status::CONNECTED);
        let slots = &mut self.stack.buffers_mut().slots;
        slots.hand_over(slot);
        if let Some(Kind::Listener(accepted)) = slots.get_mut(listener).map(|entry| &mut entry.kind) {
            accepted.ring.write(&slot.to_ne_bytes());
        }
        true
    }
}
