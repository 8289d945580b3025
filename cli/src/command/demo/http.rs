//! HTTP over any network: a server on threads, and a client.

use std::io::{self, Cursor, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use netlane_examples::http;

use super::site::{Checksum, DemoSite, checksum};
use crate::network::{Network, Stream};

/// Serves a site at `address`, with a thread for each connection, for as long as the network or the process lasts.
pub(super) fn serve<N: Network>(network: &N, address: SocketAddr, site: DemoSite) -> io::Result<()> {
    let listener = network.listen(address)?;
    let accept = move || {
        while let Ok(stream) = N::accept(&listener) {
            let site = site.clone();
            thread::spawn(move || {
                // The client sees for itself what goes wrong.
                if let Err(error) = http::serve(stream, &site) {
                    tracing::debug!("a connection ends: {error}");
                }
            });
        }
    };
    thread::Builder::new().name("demo-accept".to_owned()).spawn(accept)?;
    Ok(())
}

/// What a client has received.
pub(super) struct Received {
    pub(super) len: u64,
    pub(super) checksum: Checksum,
    /// From the attempt to connect until the last byte was there and part of the checksum.
    pub(super) time: Duration,
}

/// Fetches what stands at `path`. `progress` hears of each piece of the body.
pub(super) fn get(
    network: &impl Network,
    server: SocketAddr,
    path: &str,
    mut progress: impl FnMut(u64),
) -> io::Result<Received> {
    let start = Instant::now();
    let mut stream = network.connect(server)?;
    stream.limit_waiting()?;
    // In one piece: Nagle's algorithm would hold the second one back.
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let (content_length, beginning) = read_head(&mut stream)?;
    let mut len = 0;
    let body = Cursor::new(beginning).chain(stream);
    let checksum = checksum(body, |piece| {
        len += piece;
        progress(piece);
    })?;
    if len != content_length {
        let message = format!("the server announced {content_length} bytes and sent {len}");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    Ok(Received { len, checksum, time: start.elapsed() })
}

/// Reads an answer's head. Returns the length that it gives, and what has come of the body.
fn read_head(stream: &mut impl Read) -> io::Result<(u64, Vec<u8>)> {
    let mut received = Vec::new();
    loop {
        let before = received.len();
        received.resize(before + LONGEST_HEAD, 0);
        let len = stream.read(&mut received[before..])?;
        received.truncate(before + len);
        if let Some((head_len, content_length)) = parse_head(&received)? {
            return Ok((content_length, received.split_off(head_len)));
        }
        if len == 0 || received.len() >= LONGEST_HEAD {
            return Err(malformed("the answer's head has no end"));
        }
    }
}

/// An answer's length with and without its body, or `None` while it is not all there.
fn parse_head(received: &[u8]) -> io::Result<Option<(usize, u64)>> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    let status = response.parse(received).map_err(|error| malformed(&error.to_string()))?;
    let httparse::Status::Complete(len) = status else { return Ok(None) };
    if response.code != Some(200) {
        return Err(malformed(&format!("the server answers with status {:?}", response.code)));
    }
    let mut headers = response.headers.iter();
    let length = headers.find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| str::from_utf8(header.value).ok()?.parse().ok());
    Ok(Some((len, length.ok_or_else(|| malformed("the answer does not say how long it is"))?)))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const LONGEST_HEAD: usize = 16 * 1024;
