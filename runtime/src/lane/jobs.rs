//! What clients ask of a lane.
//!
//! Jobs come from memory that any client can write to, so a job that makes no sense is passed over.

use netlane_backends::wait::Waitable;
use netlane_core::{BindError, SocketId};
use netlane_packet_io::PacketIo;

use super::Lane;
use super::slots::{Accepted, Kind};
use crate::client::NetworkError;
use crate::shared::{
    Capacity, Failure, Interest, Job, NetworkChange, Question, Request, Status, info_words, state_code,
};

impl<I: PacketIo + Waitable> Lane<I> {
    pub(super) fn do_job(&mut self, job: Job) {
        let slot = job.slot;
        match job.request() {
            None => {}
            Some(Request::Ask { question, ticket }) => self.answer(slot, question, ticket),
            Some(Request::Connect { local, remote }) => {
                self.open(slot, slot, Kind::Connection, Capacity::Stream, |lane| {
                    Ok(lane.stack.tcp_connect(local, remote)?)
                });
            }
            Some(Request::BindUdp { local, options, wake }) => {
                self.open(slot, wake, Kind::Datagrams, Capacity::Datagrams, |lane| {
                    Ok(lane.stack.udp_bind_with(local, options)?)
                });
            }
            Some(Request::BindEcho { local, wake }) => {
                self.open(slot, wake, Kind::Datagrams, Capacity::Datagrams, |lane| {
                    Ok(lane.stack.echo_bind(local.ip(), local.port())?)
                });
            }
            Some(Request::Listen { local, options, backlog, wake }) => {
                self.listen(slot, wake, backlog as usize, |lane| {
                    lane.stack.tcp_listen_with(local, backlog as usize, options)
                });
            }
            Some(Request::Look) => self.look(slot),
            Some(Request::Close) => self.close(slot),
            Some(Request::Abort) => self.abort(slot),
            Some(request) => self.change(slot, request),
        }
    }

    /// Changes a socket that there is.
    fn change(&mut self, slot: u32, request: Request) {
        let Some(socket) = self.stack.buffers().slots.get(slot).and_then(|slot| slot.socket) else { return };
        // A socket of another kind is not changed: its client is mistaken.
        let _ = match request {
            Request::Shutdown => self.stack.tcp_shutdown(socket),
            Request::NoDelay(on) => self.stack.tcp_set_no_delay(socket, on),
            Request::KeepAlive(keepalive) => self.stack.tcp_set_keepalive(socket, keepalive),
            Request::UserTimeout(timeout) => self.stack.tcp_set_user_timeout(socket, timeout),
            Request::Cork(on) => self.stack.tcp_set_cork(socket, on),
            Request::MaxSegment(bytes) => self.stack.tcp_set_max_segment(socket, bytes),
            Request::SynRetries(times) => self.stack.tcp_set_syn_retries(socket, times),
            Request::CongestionControl(algorithm) => self.stack.tcp_set_congestion_control(socket, algorithm),
            Request::ConnectUdp { peer } => self.stack.udp_connect(socket, peer),
            Request::DontFragment(on) => self.stack.udp_set_dont_fragment(socket, on),
            Request::TakeJoined(on) => self.stack.udp_set_takes_joined(socket, on),
            // A client that asks for what it cannot have goes without.
            Request::Group { group, change } => self.stack.udp_change_group(socket, group, change).or(Ok(())),
            Request::GroupHops { family, hops } => {
                self.stack.udp_set_multicast_hops(socket, family, hops).or(Ok(()))
            }
            Request::GroupLoop { family, on } => {
                self.stack.udp_set_multicast_loop(socket, family, on).or(Ok(()))
            }
            _ => Ok(()),
        };
    }

    /// Opens a socket with buffers in a slot that a client brought.
    fn open(
        &mut self,
        slot: u32,
        wake: u32,
        kind: Kind,
        capacity: Capacity,
        call: impl FnOnce(&mut Self) -> Result<SocketId, Failure>,
    ) {
        let slots = &mut self.stack.buffers_mut().slots;
        let Some(entry) = slots.take(slot, wake) else { return };
        entry.kind = kind;
        slots.choose(slot, capacity);
        let outcome = call(self);
        self.stack.buffers_mut().slots.forget_choice();
        self.opened(slot, outcome);
    }

    fn listen(
        &mut self,
        slot: u32,
        wake: u32,
        backlog: usize,
        call: impl FnOnce(&mut Self) -> Result<SocketId, BindError>,
    ) {
        let Some(entry) = self.stack.buffers_mut().slots.take(slot, wake) else { return };
        // SAFETY: the slot was nobody's and the lane has no other ends of it; they go when the slot does, and the
        // lane holds the region longer.
        let Ok((_, ring)) = (unsafe { self.region.lane_ends(slot, Capacity::Stream) }) else {
            return self.opened(slot, Err(Failure::NoBuffers));
        };
        entry.kind = Kind::Listener(Accepted { ring, backlog: backlog.max(1) });
        let outcome = call(self);
        if let Ok(socket) = outcome {
            self.stack.buffers_mut().slots.name(socket, slot);
        }
        self.opened(slot, outcome.map_err(Failure::from));
    }

    /// Tells the client what became of its call.
    fn opened(&mut self, slot: u32, outcome: Result<SocketId, Failure>) {
        let control = self.region.control(slot);
        match outcome {
            Ok(socket) => {
                let local = self.stack.local_addr(socket).ok();
                control.set_ends(local, self.stack.peer_addr(socket).ok().flatten());
                control.tell(Status::OPEN);
            }
            Err(failure) => control.fail(failure),
        }
        self.notify(slot, Interest::ANY);
    }

    /// A client has written, or made room.
    fn look(&mut self, slot: u32) {
        let Some(entry) = self.stack.buffers().slots.get(slot) else { return };
        self.region.control(slot).looking();
        let Some(socket) = entry.socket else { return };
        // The socket is of the kind that the lane remembers.
        let _ = match entry.kind {
            Kind::Listener(_) => return self.accept(slot, socket),
            Kind::Datagrams => self.stack.datagrams_queued(socket),
            Kind::Connection => self.stack.tcp_queued(socket).and_then(|()| self.stack.tcp_consumed(socket)),
        };
    }

    /// The client has closed a slot.
    fn close(&mut self, slot: u32) {
        let Some(entry) = self.stack.buffers_mut().slots.get_mut(slot) else { return };
        let socket = entry.socket;
        match std::mem::take(&mut entry.kind) {
            Kind::Listener(_) => {
                entry.socket = None;
                self.refuse_accepted(slot);
                let _ = socket.map(|socket| self.stack.tcp_close(socket));
            }
            Kind::Datagrams => {
                let _ = socket.map(|socket| self.stack.datagram_close(socket));
            }
            Kind::Connection => {
                let _ = socket.map(|socket| self.stack.tcp_close(socket));
            }
        }
        self.stack.buffers_mut().slots.let_go(slot);
    }

    /// Resets the connections that a client did not accept before it closed their listener.
    fn refuse_accepted(&mut self, listener: u32) {
        // SAFETY: the client has closed its end, and the lane's other one is dropped.
        let Ok((_, mut ring)) = (unsafe { self.region.client_ends(listener, Capacity::Stream) }) else {
            return;
        };
        let mut record = [0; 4];
        let mut waiting = Vec::new();
        while ring.read(&mut record) == record.len() {
            waiting.push(u32::from_ne_bytes(record));
        }
        for slot in waiting {
            self.abort(slot);
            self.stack.buffers_mut().slots.let_go(slot);
        }
    }

    /// Ends a socket at once. Its slot stays the client's.
    pub(super) fn abort(&mut self, slot: u32) {
        let Some(entry) = self.stack.buffers_mut().slots.get_mut(slot) else { return };
        let Some(socket) = entry.socket else { return };
        let _ = match entry.kind {
            Kind::Connection => self.stack.tcp_abort(socket),
            Kind::Datagrams => self.stack.datagram_close(socket),
            Kind::Listener(_) => {
                entry.socket = None;
                self.stack.tcp_close(socket)
            }
        };
        self.region.control(slot).tell(Status::CLOSED);
        self.notify(slot, Interest::ANY);
    }

    fn answer(&mut self, slot: u32, question: Question, ticket: u32) {
        let report = &self.region.lane(self.index).report;
        match question {
            Question::Counters => report.answer(ticket, self.counted()),
            Question::Network(change) => {
                let outcome = self.change_network(change);
                let report = &self.region.lane(self.index).report;
                report.answer(ticket, std::iter::once(NetworkError::code(outcome)));
            }
            Question::State => {
                let socket = self.stack.buffers().slots.get(slot).and_then(|slot| slot.socket);
                let state = socket.and_then(|socket| self.stack.tcp_state(socket).ok());
                report.answer(ticket, std::iter::once(state.map_or(0, state_code)));
            }
            Question::Info => {
                let socket = self.stack.buffers().slots.get(slot).and_then(|slot| slot.socket);
                let info = socket.and_then(|socket| self.stack.tcp_info(socket).ok().flatten());
                // Without one, the state is 0.
                report.answer(ticket, info.map(|info| info_words(&info)).into_iter().flatten().chain([0]));
            }
        }
    }

    fn change_network(&mut self, change: NetworkChange) -> Result<(), NetworkError> {
        let there = |was: bool| if was { Ok(()) } else { Err(NetworkError::NotThere) };
        match change {
            NetworkChange::AddAddress(net) => Ok(self.stack.add_address(net)?),
            NetworkChange::RemoveAddress(address) => there(self.stack.remove_address(address)),
            NetworkChange::AddRoute(route) => Ok(self.stack.add_route(route)?),
            NetworkChange::RemoveRoute(route) => there(self.stack.remove_route(&route)),
        }
    }

    /// Wakes those who wait for a slot.
    pub(super) fn notify(&self, slot: u32, what: Interest) {
        self.region.notify(self.stack.buffers().slots.wake_slot(slot), what);
    }
}
