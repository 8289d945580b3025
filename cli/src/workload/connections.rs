//! Connections that have little to say.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use super::order::Order;
use super::{MESSAGE, Part};
use crate::network::{Network, Stream};

/// Opens connections one after the other until the deadline. Each has one round trip, and ends when the server has
/// closed it: so the server, which has one port only, is the one that remembers it (TIME-WAIT).
pub(super) fn run(network: &impl Network, server: SocketAddr, deadline: Instant) -> io::Result<Part> {
    let mut part = Part::default();
    loop {
        let start = Instant::now();
        if start >= deadline {
            return Ok(part);
        }
        let mut stream = network.connect(server)?;
        stream.limit_waiting()?;
        stream.send_at_once()?;
        let mut message = [7; MESSAGE];
        stream.write_all(&[&Order::EchoOnce.bytes(), message.as_slice()].concat())?;
        stream.read_exact(&mut message)?;
        if stream.read(&mut message)? != 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the server sends more than it was asked for",
            ));
        }
        part.done_since(start);
    }
}
