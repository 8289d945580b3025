//! netlane's packet I/O backends: what moves frames between the stack and the world.
//!
//! Each backend implements [`PacketIo`](netlane_packet_io::PacketIo) for one queue and [`wait::Waitable`] for
//! the lane that drives it, and stands behind a feature of its own name:
//!
//! | module | what it moves frames through |
//! |---|---|
//! | [`memory`] | rings in this process: two stacks joined without a kernel |
//! | [`tap`] | a Linux TAP device, with several queues and offloads |
//! | [`wrap::pcap`] | any other one, and a capture file beside it |
//! | [`wrap::impair`] | any other one, made as bad as one likes |
//!
//! What drives a queue belongs to one thread, and its buffers do too. So a backend hands out *ports*, which may
//! be sent to the thread that shall drive them, and each port opens into its `PacketIo` there.
//!
//! Whoever writes a backend without packet memory of its own finds some in [`pool`].
#![deny(missing_docs)]

pub mod inspect;
#[cfg(feature = "memory")]
pub mod memory;
pub mod pool;
#[cfg(feature = "tap")]
pub mod tap;
pub mod wait;
pub mod wrap;
