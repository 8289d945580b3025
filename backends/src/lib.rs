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
//! ```
//! # #[cfg(feature = "memory")] {
//! use netlane_backends::memory::{MemoryConfig, pair};
//! use netlane_packet_io::{Batch, PacketBuf, PacketIo};
//!
//! let (here, there) = pair(&MemoryConfig::default())?;
//! let receiver = std::thread::spawn(move || {
//!     let (mut io, mut batch) = (there.open(), Batch::new());
//!     while batch.is_empty() {
//!         io.rx_burst(&mut batch).expect("the other end waits for this thread");
//!     }
//!     batch[0].bytes().to_vec()
//! });
//! let mut io = here.open();
//! let mut frame = io.alloc().expect("a fresh pool has buffers");
//! frame.append(5).expect("there is room").copy_from_slice(b"hello");
//! io.tx_burst(&mut Batch::from_iter([frame])).expect("the other end is there");
//! assert_eq!(receiver.join().expect("it ends well"), b"hello");
//! # }
//! # Ok::<(), std::io::Error>(())
//! ```
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
