//! Requests and responses on a connection that stays.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use super::order::Order;
use super::{MESSAGE, Part};
use crate::network::{Network, Stream};

/// Sends messages and waits for each to come back, until the deadline.
pub(super) fn run(network: &impl Network, server: SocketAddr, deadline: Instant) -> io::Result<Part> {
    let mut stream = network.connect(server)?;
    stream.limit_waiting()?;
    stream.send_at_once()?;
    stream.write_all(&Order::Echo.bytes())?;
    let mut message = [7; MESSAGE];
    let mut part = Part::default();
    loop {
        let start = Instant::now();
        if start >= deadline {
            return Ok(part);
        }
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        part.done_since(start);
    }
}
