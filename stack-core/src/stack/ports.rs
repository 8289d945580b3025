//! The choice of local ports.

use netlane_packet_io::PacketIo;

use super::Stack;
use super::bindings::BindOptions;
use crate::address::Address;
use crate::buffers::Buffers;
use crate::tcp::{Endpoint, FourTuple};
use crate::wire::Protocol;

/// Ports to choose from (RFC 6335 §6: the dynamic ports).
const FIRST: u16 = 49_152;
const COUNT: u16 = u16::MAX - FIRST + 1;

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// A local port for a connection from `local` to `remote`, or `None` if each is taken. RFC 6056 §3.3.4: each
    /// remote end has a starting point of its own, hidden from others. The search goes on where it ended before,
    /// so that it does not pass all ports in use each time; one of many counters tells where, so that peers
    /// learn little of how many connections lead elsewhere.
    pub(super) fn free_connection_port(&mut self, local: Address, remote: Endpoint) -> Option<u16> {
        let tuple = |port| FourTuple { local: Endpoint::new(local, port), remote };
        let hash = self.secret.port_hash(&tuple(0));
        let tried = self.ports_tried.of(hash);
        let start = (hash as u32).wrapping_add(*tried);
        let (passed, port) = (0..).zip(ports_from(start)).find(|&(_, port)| {
            usize::from(port) % self.queues == self.queue
                && self.sockets.connection_between(&tuple(port)).is_none()
                && self.sockets.listener(&tuple(port)).is_none()
        })?;
        *tried = tried.wrapping_add(passed + 1);
        Some(port)
    }

    /// A local port for datagrams, or an identifier for echoes, that no other socket on `local` has.
    pub(super) fn free_datagram_port(&mut self, protocol: Protocol, local: Address) -> Option<u16> {
        let start = self.rng.u32(..);
        let bindings = &self.sockets.demux.bindings;
        ports_from(start)
            .find(|&port| !bindings.conflicts(protocol, Endpoint::new(local, port), BindOptions::default()))
    }
}

/// How far the searches have come, those of one counter together (RFC 6056 §3.3.4).
pub(super) struct PortCounters([u32; 256]);

impl PortCounters {
    pub(super) fn new(rng: &mut fastrand::Rng) -> Self {
        Self(core::array::from_fn(|_| rng.u32(..)))
    }

    /// The counter of the remote ends with such a hash.
    fn of(&mut self, hash: u64) -> &mut u32 {
        &mut self.0[(hash >> 56) as usize]
    }
}

/// Every port once, from one that `start` decides on.
fn ports_from(start: u32) -> impl Iterator<Item = u16> {
    (0..u32::from(COUNT)).map(move |n| FIRST + (start.wrapping_add(n) % u32::from(COUNT)) as u16)
}
