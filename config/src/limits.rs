//! Bounds of everything that could grow.

use serde::{Deserialize, Serialize};

/// Bounds of a lane's tables and queues. What would exceed one is refused or dropped, and counted.
///
/// All of them hold for each lane by itself, since lanes share nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Sockets of all kinds, connections in TIME-WAIT included.
    pub sockets: usize,
    /// Connections in their handshake that peers have opened, of one listener.
    pub syn_queue: usize,
    /// The same, of all listeners together. Each takes about 130 bytes.
    pub syn_cache: usize,
    /// Connections of one listener that were opened by data on a SYN, and whose handshake is not complete.
    pub fast_open_queue: usize,
    /// Servers whose Fast Open cookies are remembered.
    pub fast_open_servers: usize,
    /// The greatest backlog that a listener may have, whatever it asks for.
    pub accept_queue: usize,
    /// Ranges of bytes that one connection keeps while it waits for those before them.
    pub out_of_order_ranges: usize,
    /// Records that one connection keeps of what it has in flight. Beyond them it knows less exactly what was lost.
    pub in_flight_records: usize,
    /// Bytes of datagrams that wait to be read from one UDP socket.
    pub udp_queue: usize,
    /// Neighbours whose Ethernet addresses are remembered.
    pub neighbors: usize,
    /// Packets that wait for one neighbour's Ethernet address.
    pub neighbor_queue: usize,
    /// Packets of which some fragments have arrived and others have not.
    pub fragmented_packets: usize,
    /// Fragments of one packet.
    pub fragments: usize,
    /// Bytes of all fragments that wait for others.
    pub fragment_bytes: usize,
    /// Multicast groups of all sockets together, and of each; and of IPv6, with one for each address of the stack's.
    pub groups: usize,
    /// Senders that a socket names for one group, to hear only them or all others.
    pub group_sources: usize,
    /// Routes, the ways to the interface's own subnets included.
    pub routes: usize,
    /// Destinations whose path is known to carry smaller packets than the link.
    pub path_mtus: usize,
    /// IPv6 routers that are remembered.
    pub routers: usize,
    /// Prefixes that IPv6 routers have advertised, and addresses made from them.
    pub prefixes: usize,
    /// Packets between the stack's own addresses that are on their way.
    pub loopback_queue: usize,
    /// ICMP errors and TCP resets for nobody's connection that are sent in a second.
    pub errors_per_second: u32,
    /// Acknowledgements that challenge the sender of a suspicious segment, in a second (RFC 5961 §7).
    pub challenge_acks_per_second: u32,
    /// Frames that the backend's pool holds: those in its rings, and those on their way.
    pub packet_buffers: usize,
    /// Bytes that wait in the buffers of all sockets together.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sockets: 65_536,
            syn_queue: 1_024,
            syn_cache: 16_384,
            fast_open_queue: 256,
            fast_open_servers: 1_024,
            accept_queue: 4_096,
            out_of_order_ranges: 64,
            in_flight_records: 1_024,
            udp_queue: 256 * 1024,
            neighbors: 1_024,
            neighbor_queue: 16,
            fragmented_packets: 1_024,
            fragments: 128,
            fragment_bytes: 4 << 20,
            groups: 256,
            group_sources: 64,
            routes: 4_096,
            path_mtus: 1_024,
            routers: 8,
            prefixes: 16,
            loopback_queue: 256,
            errors_per_second: 1_000,
            challenge_acks_per_second: 1_000,
            packet_buffers: 4_096,
            memory: 1 << 30,
        }
    }
}
