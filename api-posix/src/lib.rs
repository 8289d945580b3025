//! Sockets with POSIX semantics over netlane, in the shape of [`std::net`].
//!
//! A program changes its `use` lines, starts a [`Netlane`], and names it where it opens sockets:
//!
//! ```
//! use std::io::{Read, Write};
//!
//! use netlane_config::{Backend, Config, Interface, MemoryBackend};
//! use netlane_posix::{Netlane, TcpListener, TcpStream};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Two hosts, joined by a link in memory. A program with a device has one: `Netlane::from_file("tap.toml")?`.
//! let config = |address: &str| -> Result<Config, Box<dyn std::error::Error>> {
//!     let interface = Interface { addresses: vec![address.parse()?], ..Interface::default() };
//!     Ok(Config { backend: Backend::Memory(MemoryBackend::default()), interface, ..Config::default() })
//! };
//! let (here, there) = Netlane::pair(&config("10.0.0.1/24")?, &config("10.0.0.2/24")?)?;
//!
//! let listener = TcpListener::bind(&here, "10.0.0.1:7")?;
//! let server = std::thread::spawn(move || -> std::io::Result<()> {
//!     let (mut stream, _peer) = listener.accept()?;
//!     let mut line = [0; 5];
//!     stream.read_exact(&mut line)?;
//!     stream.write_all(&line)
//! });
//!
//! let mut stream = TcpStream::connect(&there, "10.0.0.1:7")?;
//! stream.write_all(b"hello")?;
//! let mut echo = String::new();
//! stream.read_to_string(&mut echo)?;
//! assert_eq!(echo, "hello");
//! # server.join().unwrap()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is as in `std::net`
//!
//! Any thread may use any socket. Clones ([`try_clone`](TcpStream::try_clone)) are the same socket, and share its
//! timeouts and whether it blocks. Errors have the `errno` that Linux gives. Bytes that were written before a socket
//! was dropped are still sent. No call is ever interrupted, so
//! [`ErrorKind::Interrupted`](std::io::ErrorKind::Interrupted) does not occur, and no signal is raised when a peer is
//! gone.
//!
//! # What is not
//!
//! Sockets have no file descriptor: a [`Poller`] waits for many of them. Names are resolved by the system, over the
//! kernel's network. The book's page on deviations lists what else differs.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod errno;
mod net;
mod ping;
mod poll;
mod shared;
mod tcp;
mod udp;

pub use net::Netlane;
pub use netlane_runtime::{
    BindOptions, CongestionAlgorithm, GroupChange, KeepAlive, LossRecovery, StartError, TcpInfo, TcpState,
};
pub use ping::{EchoReply, PingSocket};
pub use poll::{AsSocket, PollEvent, Poller, Readiness, Socket};
pub use tcp::listener::{Incoming, ListenOptions, TcpListener};
pub use tcp::stream::TcpStream;
pub use udp::UdpSocket;
