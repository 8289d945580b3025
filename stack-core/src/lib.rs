//! netlane's TCP/IP stack as a machine without input and output of its own: frames and a clock reading go in,
//! frames and events come out.
//!
//! A [`Stack`] drives one queue of a network interface through [`PacketIo`](netlane_packet_io::PacketIo). It
//! needs no operating system: it has no threads, files, clocks or global state, and allocates only what its
//! tables and buffers need, within the bounds that its [`StackConfig`] sets. Given the same input and seed, it
//! does the same every time.
//!
//! ```text
//!  frames ──▶ ethernet ──▶ arp ─────▶ neighbour cache
//!                     └──▶ ipv4 ──┬─▶ icmp
//!                                 ├─▶ udp ──▶ datagram socket ──▶ buffers ──▶ user
//!                                 └─▶ tcp ──▶ demux ──▶ connection ──▶ buffers ──▶ user
//!                                                           │
//!  frames ◀── link (routes, neighbours, offloads) ◀── sockets that owe output ◀── timer wheel
//! ```
//!
//! # Example
//!
//! Two stacks, joined by a link in memory:
//!
//! ```
//! use netlane_backends::memory::{self, MemoryConfig};
//! use netlane_core::{HeapBuffers, Instant, InterfaceConfig, Stack, StackConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = |address: &str| -> Result<StackConfig, Box<dyn std::error::Error>> {
//!     let interface = InterfaceConfig { addresses: vec![address.parse()?], ..InterfaceConfig::default() };
//!     Ok(StackConfig { interface, ..StackConfig::default() })
//! };
//! let (a, b) = memory::pair(&MemoryConfig::default())?;
//! let mut server = Stack::new(a.open(), HeapBuffers::new(), config("10.0.0.1/24")?, 1);
//! let mut client = Stack::new(b.open(), HeapBuffers::new(), config("10.0.0.2/24")?, 2);
//!
//! let listener = server.tcp_listen("10.0.0.1:80".parse()?, 16)?;
//! let connection = client.tcp_connect(None, "10.0.0.1:80".parse()?)?;
//! client.tcp_send(connection, b"hello")?;
//!
//! let mut received = Vec::new();
//! for millis in 0..10 {
//!     let now = Instant::from_millis(millis);
//!     client.poll(now)?;
//!     server.poll(now)?;
//!     while let Some(event) = server.next_event() {
//!         if event.socket == listener {
//!             while server.tcp_accept(listener)?.is_some() {}
//!         } else {
//!             let mut bytes = [0; 64];
//!             if let Ok(read) = server.tcp_recv(event.socket, &mut bytes) {
//!                 received.extend_from_slice(&bytes[..read]);
//!             }
//!         }
//!     }
//! }
//! assert_eq!(received, b"hello");
//! # Ok(())
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub use netlane_packet_io as packet_io;

mod address;
mod address_conflict;
mod buffers;
mod chunked;
mod config;
mod counters;
mod datagram;
mod datagram_socket;
mod dhcp;
mod fragments;
mod interface;
mod ipv6;
mod multicast;
mod neighbor;
mod path_mtu;
mod rate_limit;
mod recency;
mod route;
mod socket;
mod stack;
mod tcp;
mod time;
mod wheel;
pub mod wire;

pub use buffers::{BufferRequest, Buffers, HeapBuffer, HeapBuffers, Pressure};
pub use config::{
    ConflictDetection, CongestionAlgorithm, Ecn, InterfaceConfig, Ipv6Config, KeepAlive, Limits, Route,
    StackConfig, SynCookies, TcpConfig,
};
pub use counters::Counters;
pub use datagram::{DatagramHeader, MOST_SEGMENTS};
pub use ipv6::host::{AddressChange, AddressEvent};
pub use multicast::joined::{GroupChange, GroupError, GroupLimits, JoinedGroups};
pub use socket::{Event, Readiness, SocketError, SocketId};
pub use stack::{
    AddressError, BindError, BindOptions, ConnectError, NetworkEvent, Notice, RecvError, RouteError,
    SendError, Stack, Stale, Stray, Turn,
};
pub use tcp::connection::TcpState;
pub use tcp::info::{LossRecovery, TcpInfo};
pub use time::{Duration, Instant};
pub use wire::{MacAddr, VlanId};
