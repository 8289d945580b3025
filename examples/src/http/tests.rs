//! The server, with a peer that has said everything before it listens.

use std::io::{self, Cursor, Read, Write};
use std::os::unix::fs::symlink;
use std::{fs, str};

use tempfile::TempDir;

use super::serve;

/// A stream with all that the peer sends, and what it is answered.
struct Peer {
    sends: Cursor<Vec<u8>>,
    gets: Vec<u8>,
}

impl Read for Peer {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // Few at a time, so that heads come in pieces.
        let len = out.len().min(7);
        self.sends.read(&mut out[..len])
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gets.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn site() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("site");
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(directory.path().join("secret"), "not for you").unwrap();
    fs::write(root.join("index.html"), "<p>hello").unwrap();
    fs::write(root.join("sub/a b.txt"), "spaced").unwrap();
    fs::write(root.join("large.bin"), vec![7; 200_000]).unwrap();
    symlink(directory.path().join("secret"), root.join("link")).unwrap();
    directory
}

fn answers(requests: &str) -> Vec<u8> {
    let directory = site();
    let mut peer = Peer { sends: Cursor::new(requests.into()), gets: Vec::new() };
    let stream = &mut peer;
    serve(stream, directory.path().join("site").as_path()).unwrap();
    peer.gets
}

/// The status line and the body of the only answer.
fn answer(request: &str) -> (String, Vec<u8>) {
    let bytes = answers(request);
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let status = str::from_utf8(&bytes[..head]).unwrap().lines().next().unwrap().to_owned();
    (status, bytes[head..].to_vec())
}

fn get(target: &str) -> (String, Vec<u8>) {
    answer(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

#[test]
fn files_are_served_whole_with_their_type_and_length() {
    assert_eq!(get("/"), ("HTTP/1.1 200 OK".into(), b"<p>hello".to_vec()));
    assert_eq!(get("/sub/a%20b.txt?query#part").1, b"spaced");
    assert_eq!(get("/large.bin").1, vec![7; 200_000]);
    let head = String::from_utf8(answers("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")).unwrap();
    assert!(head.contains("Content-Length: 8\r\n") && head.contains("Content-Type: text/html"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "a body came with a head: {head}");
}

#[test]
fn nothing_outside_the_root_is_found() {
    for target in [
        "/../secret",
        "/..%2fsecret",
        "/%2e%2e/secret",
        "//../secret",
        "/sub/../../secret",
        "/link",
        "/%00",
        "/sub",
        "/absent",
    ] {
        let (status, body) = get(target);
        assert_eq!(status, "HTTP/1.1 404 Not Found", "{target}");
        assert_eq!(body, b"404 Not Found\n", "{target}");
    }
}

#[test]
fn a_connection_serves_requests_until_it_is_asked_to_close() {
    let once = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let count =
        |requests: &str| String::from_utf8(answers(requests)).unwrap().matches("HTTP/1.1 200 OK").count();
    assert_eq!(count(&[once, once, once].concat()), 3);
    assert_eq!(count(&[once, last, once].concat()), 2);
    let old = "GET / HTTP/1.0\r\n\r\n";
    assert_eq!(count(&[old, old].concat()), 1, "HTTP/1.0 closes");
    let kept = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    assert_eq!(count(&[kept, old].concat()), 2, "unless asked not to");
}

#[test]
fn what_is_not_understood_is_refused_and_the_connection_closed() {
    let refusals = [
        ("PUT / HTTP/1.1\r\nHost: x\r\n\r\n", "405 Method Not Allowed"),
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("nonsense\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "413 Content Too Large"),
        ("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "413 Content Too Large"),
    ];
    for (request, status) in refusals {
        let repeated = answer(&[request, request].concat());
        assert_eq!(repeated.0, format!("HTTP/1.1 {status}"), "{request}");
        assert_eq!(repeated.1, format!("{status}\n").as_bytes(), "{request}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(20_000));
    assert_eq!(answer(&long).0, "HTTP/1.1 431 Request Header Fields Too Large");
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(100));
    assert_eq!(answer(&many).0, "HTTP/1.1 431 Request Header Fields Too Large");
}

#[test]
fn a_peer_that_leaves_in_the_middle_of_a_head_gets_no_answer() {
    assert_eq!(answers("GET / HTTP/1.1\r\nHo"), b"");
    assert_eq!(answers(""), b"");
}
