//! Echoes UDP datagrams (RFC 862).
//!
//! To try it, open a network namespace where you may make devices, run it there, and talk to it through the kernel:
//!
//! ```console
//! $ unshare --user --map-root-user --net
//! # cargo run --release -p netlane-examples --example udp_echo -- examples/tap.toml &
//! # nc -u 10.0.0.2 7
//! ```

use std::io;

use anyhow::Context;
use netlane_posix::{Netlane, UdpSocket};

fn main() -> anyhow::Result<()> {
    let config = std::env::args().nth(1).context("usage: udp_echo CONFIG")?;
    let net = Netlane::from_file(config)?;
    let socket = UdpSocket::bind(&net, "0.0.0.0:7")?;
    println!("echoing at {}", socket.local_addr()?);
    serve(&socket)?;
    Ok(())
}

/// Echoes to whoever sends, until the network ends.
pub(crate) fn serve(socket: &UdpSocket) -> io::Result<()> {
    let mut bytes = vec![0; 65_535];
    loop {
        let (len, from) = socket.recv_from(&mut bytes)?;
        if let Err(error) = socket.send_to(&bytes[..len], from) {
            eprintln!("no echo to {from}: {error}");
        }
    }
}
