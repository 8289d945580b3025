//! Echoes what TCP clients say (RFC 862), with a thread for each connection.
//!
//! But for the line that starts the network, this is a program for `std::net`. To try it, open a network namespace where
//! you may make devices, run it there, and talk to it through the kernel:
//!
//! ```console
//! $ unshare --user --map-root-user --net
//! # cargo run --release -p netlane-examples --example tcp_echo -- examples/tap.toml &
//! # nc 10.0.0.2 7
//! ```

use std::io::{self, Read, Write};
use std::thread;

use anyhow::Context;
use netlane_posix::{Netlane, TcpListener, TcpStream};

fn main() -> anyhow::Result<()> {
    let config = std::env::args().nth(1).context("usage: tcp_echo CONFIG")?;
    let net = Netlane::from_file(config)?;
    let listener = TcpListener::bind(&net, "0.0.0.0:7")?;
    println!("echoing at {}", listener.local_addr()?);
    serve(&listener)?;
    Ok(())
}

/// Serves whoever connects, until the network ends.
pub(crate) fn serve(listener: &TcpListener) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            if let Err(error) = echo(stream) {
                eprintln!("a connection has failed: {error}");
            }
        });
    }
    Ok(())
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            n => stream.write_all(&bytes[..n])?,
        }
    }
}
