//! Measurements of netlane's core beside other stacks.
//!
//! Each stack stands behind [`Subject`]: two of it, joined in memory on one thread, without system calls. All
//! subjects get the same MTU, the same socket buffers and the same checksums; what differs is the stack.

pub mod cpu_time;
#[cfg(feature = "lwip")]
pub mod lwip;
#[cfg(not(feature = "lwip"))]
#[path = "lwip/missing.rs"]
pub mod lwip;
pub mod many;
pub mod memory;
pub mod netlane;
pub mod smoltcp;

/// The conditions that hold for all subjects of one comparison.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// Whether the stacks compute and verify TCP checksums. IPv4 header checksums follow the subject's own
    /// switch.
    pub checksums: bool,
    /// The link's MTU, in bytes.
    pub mtu: usize,
    /// Send and receive buffer of each socket, in bytes.
    pub buffer: usize,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { checksums: true, mtu: 1_500, buffer: 256 * 1_024 }
    }
}

/// Two stacks of one kind, joined in memory: a client and a server.
pub trait Subject {
    /// What else holds for it under the default conditions, in a few words: the bytes of its segments, its buffers.
    const TERMS: &'static str;

    /// Why it cannot do a comparison under these conditions, with so many idle connections, where it cannot.
    #[must_use]
    fn refusal(_conditions: Conditions, _idle: usize) -> Option<&'static str> {
        None
    }

    /// Sets the two stacks up, with `idle` established connections that nobody uses.
    fn new(conditions: Conditions, idle: usize) -> Self
    where
        Self: Sized;

    /// Moves `bytes` from the client to the server over one connection, written and read in pieces of 64 KiB.
    /// Returns the segments with payload that crossed, as far as the subject counts them.
    fn bulk(&mut self, bytes: u64) -> u64;

    /// Sends 64 bytes to the server and back over one connection, `count` times, one after the other.
    fn round_trips(&mut self, count: u64);

    /// The same, each over a connection picked at random among all that are open.
    fn round_trips_among(&mut self, count: u64);

    /// Opens a connection, sends 64 bytes to the server and back, and closes it, `count` times, one after the
    /// other.
    fn short_connections(&mut self, count: u64);
}

/// Bytes of a request, and of its answer.
pub const MESSAGE: usize = 64;
/// Bytes of one write or read of a bulk transfer.
pub const PIECE: usize = 64 * 1_024;
/// The port that servers listen on.
pub const PORT: u16 = 7;
