//! Serves the files below a directory over HTTP/1.1, with a thread for each connection.
//!
//! The parsing and answering is in `src/http.rs`, and works on any stream of bytes. To try it, open a network namespace
//! where you may make devices, run it there, and fetch something through the kernel:
//!
//! ```console
//! $ unshare --user --map-root-user --net
//! # cargo run --release -p netlane-examples --example http_files -- examples/tap.toml . &
//! # curl http://10.0.0.2/README.md
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use netlane_examples::http;
use netlane_posix::{Netlane, TcpListener};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let config = arguments.next().context("usage: http_files CONFIG [DIRECTORY]")?;
    let root = arguments.next().map_or_else(|| PathBuf::from("."), PathBuf::from);
    let net = Netlane::from_file(config)?;
    let listener = TcpListener::bind(&net, "0.0.0.0:80")?;
    println!("serving {} at http://{}/", root.display(), listener.local_addr()?);
    serve(&listener, root.into())?;
    Ok(())
}

/// Serves whoever connects, until the network ends.
pub(crate) fn serve(listener: &TcpListener, root: Arc<Path>) -> io::Result<()> {
    for stream in listener.incoming() {
        let (stream, root) = (stream?, Arc::clone(&root));
        thread::spawn(move || {
            if let Err(error) = http::serve(&stream, &*root) {
                eprintln!("a connection has failed: {error}");
            }
        });
    }
    Ok(())
}
