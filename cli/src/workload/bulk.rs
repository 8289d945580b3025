//! Bulk bytes.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Part;
use super::order::Order;
use super::server::drain;
use crate::network::{Network, Stream};

/// Bytes that are written, or read at most, in one call.
pub(super) const PIECE: usize = 128 * 1024;

/// Sends until the deadline, and then waits until the server has it all.
pub(super) fn send(network: &impl Network, server: SocketAddr, deadline: Instant) -> io::Result<Part> {
    let mut stream = network.connect(server)?;
    stream.limit_waiting()?;
    stream.write_all(&Order::Sink.bytes())?;
    let piece = vec![7; PIECE];
    while Instant::now() < deadline {
        stream.write_all(&piece)?;
    }
    stream.finish()?;
    let mut received = [0; 8];
    stream.read_exact(&mut received)?;
    Ok(Part::bytes(u64::from_be_bytes(received)))
}

/// Receives what the server sends in `duration`.
pub(super) fn receive(network: &impl Network, server: SocketAddr, duration: Duration) -> io::Result<Part> {
    let mut stream = network.connect(server)?;
    stream.limit_waiting()?;
    stream.write_all(&Order::Source(duration).bytes())?;
    drain(&mut stream).map(Part::bytes)
}
