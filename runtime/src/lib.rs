//! netlane's lanes, and the clients that talk to them.
//!
//! A [`Host`] runs the lanes of a program, each on a thread of its own. A [`Client`] opens [`Socket`]s on them, which
//! any thread may use; a [`Poller`] waits for many of them at once.
//!
//! ```
//! use netlane_config::{Backend, Config, Interface, MemoryBackend};
//! use netlane_core::Readiness;
//! use netlane_runtime::Host;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = |address: &str| -> Result<Config, Box<dyn std::error::Error>> {
//!     let interface = Interface { addresses: vec![address.parse()?], ..Interface::default() };
//!     Ok(Config { backend: Backend::Memory(MemoryBackend::default()), interface, ..Config::default() })
//! };
//! let (server, client) = Host::pair(&config("10.0.0.1/24")?, &config("10.0.0.2/24")?)?;
//!
//! let listener = server.client().tcp_listen("10.0.0.1:80".parse()?, 16)?;
//! let stream = client.client().tcp_connect(None, "10.0.0.1:80".parse()?, None)?;
//! listener.wait(Readiness::READABLE, None)?;
//! let accepted = listener.try_accept()?;
//!
//! stream.try_write(b"hello")?;
//! accepted.wait(Readiness::READABLE, None)?;
//! let mut bytes = [0; 16];
//! let n = accepted.try_read(&mut bytes)?;
//! assert_eq!(&bytes[..n], b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! ```text
//!  thread   thread   thread                 the program's
//!     │        │        │
//!  ┌──┴────────┴────────┴───────────────┐
//!  │ Client, Socket, Poller             │
//!  └──┬───────────┬───────────▲─────────┘
//!   jobs      send rings   receive rings    memory that both sides have mapped,
//!  ┌──▼───────────▼───────────┴─────────┐   without a pointer in it
//!  │ lane: jobs, packets, timers, events│
//!  └────────────────┬───────────────────┘
//!            queue of packets
//! ```
//!
//! The memory has a fixed number of *slots*, each with a control block and a ring of bytes each way. A socket has one
//! slot, or one on each lane where it can hear from any of them: a listener, and a socket for datagrams. Slots take
//! memory when they are used, and those that have been used before are used first.
//!
//! Bytes go straight between the program's memory and the rings. A job tells the lane to look when something was
//! written, unless it is about to look anyway. The lane sleeps when it has nothing to do and is woken only then.
//! Threads of the program sleep on a futex in the control block, and are woken only if they do.
#![deny(missing_docs)]

mod client;
mod counters;
mod host;
mod lane;
mod shared;

pub use client::{
    BindError, Client, ConnectError, LaneGone, NetworkError, PollError, PollEvent, Poller, RecvError,
    SendError, Socket, SocketKind, WaitError,
};
pub use counters::Counters;
pub use host::{Host, Port, StartError};
pub use netlane_core::packet_io::IpVersion;
pub use netlane_core::{
    BindOptions, CongestionAlgorithm, DatagramHeader, GroupChange, GroupError, GroupLimits, JoinedGroups,
    KeepAlive, LossRecovery, Readiness, Route, SocketError, TcpInfo, TcpState,
};
