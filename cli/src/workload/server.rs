//! The server: it does what each connection asks for.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::MESSAGE;
use super::bulk::PIECE;
use super::order::Order;
use crate::network::{Network, Stream};

/// Starts a server of that many threads, each with one connection at a time. They run for as long as the network or the
/// process does. Returns the address that it listens on, where a port of 0 has become the one that was free.
pub(crate) fn start<N: Network>(network: &N, address: SocketAddr, threads: usize) -> io::Result<SocketAddr> {
    let listener = Arc::new(network.listen(address)?);
    let address = N::local_address(&listener)?;
    for _ in 0..threads {
        let listener = Arc::clone(&listener);
        let serve = move || {
            while let Ok(stream) = N::accept(&listener) {
                // The client sees for itself what goes wrong.
                if let Err(error) = obey(stream) {
                    tracing::debug!("a connection ends: {error}");
                }
            }
        };
        thread::Builder::new().name("bench-server".to_owned()).spawn(serve)?;
    }
    Ok(address)
}

fn obey(mut stream: impl Stream) -> io::Result<()> {
    stream.limit_waiting()?;
    stream.send_at_once()?;
    match Order::read(&mut stream)? {
        Order::Sink => {
            let bytes = drain(&mut stream)?;
            stream.write_all(&bytes.to_be_bytes())
        }
        Order::Source(duration) => {
            let (piece, start) = (vec![7; PIECE], Instant::now());
            while start.elapsed() < duration {
                stream.write_all(&piece)?;
            }
            Ok(())
        }
        Order::Echo => {
            while echo(&mut stream)? {}
            Ok(())
        }
        Order::EchoOnce => echo(&mut stream).map(|_| ()),
    }
}

/// Reads to the end of the stream, and returns how much that was.
pub(super) fn drain(stream: &mut impl Read) -> io::Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut bytes = 0;
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(bytes),
            len => bytes += len as u64,
        }
    }
}

/// Sends a message back. Returns whether there was one.
fn echo(stream: &mut impl Stream) -> io::Result<bool> {
    let mut message = [0; MESSAGE];
    let len = stream.read(&mut message)?;
    if len == 0 {
        return Ok(false);
    }
    stream.read_exact(&mut message[len..])?;
    stream.write_all(&message)?;
    Ok(true)
}
