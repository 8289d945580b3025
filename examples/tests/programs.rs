//! The example programs, over a link in memory.
#![allow(dead_code, reason = "their `main` functions are not called here")]

use std::fs;
use std::io::{self, Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use netlane_config::{Backend, Config, Interface, MemoryBackend};
use netlane_posix::{Netlane, TcpListener, TcpStream, UdpSocket};

#[path = "../http_files.rs"]
mod http_files;
#[path = "../tcp_echo.rs"]
mod tcp_echo;
#[path = "../udp_echo.rs"]
mod udp_echo;

fn two_hosts() -> (Netlane, Netlane) {
    let config = |address: &str| Config {
        backend: Backend::Memory(MemoryBackend::default()),
        interface: Interface { addresses: vec![address.parse().unwrap()], ..Interface::default() },
        ..Config::default()
    };
    Netlane::pair(&config("10.0.0.2/24"), &config("10.0.0.1/24")).unwrap()
}

#[test]
fn tcp_echo_says_the_same_to_many_at_once() {
    let (server, client) = two_hosts();
    let listener = TcpListener::bind(&server, "0.0.0.0:7").unwrap();
    thread::spawn(move || tcp_echo::serve(&listener));
    thread::scope(|scope| {
        for n in 0..8_u8 {
            let client = &client;
            scope.spawn(move || {
                let mut stream = TcpStream::connect(client, "10.0.0.2:7").unwrap();
                let said = vec![n; 300_000];
                let mut heard = vec![0; said.len()];
                let mut writer = stream.try_clone().unwrap();
                thread::scope(|scope| {
                    scope.spawn(|| writer.write_all(&said).unwrap());
                    stream.read_exact(&mut heard).unwrap();
                });
                assert!(heard == said, "connection {n}");
            });
        }
    });
}

#[test]
fn udp_echo_says_the_same_to_whoever_asks() {
    let (server, client) = two_hosts();
    let socket = UdpSocket::bind(&server, "0.0.0.0:7").unwrap();
    thread::spawn(move || udp_echo::serve(&socket));
    let socket = UdpSocket::bind(&client, "0.0.0.0:0").unwrap();
    for said in [&b"once"[..], b"", b"more"] {
        socket.send_to(said, "10.0.0.2:7").unwrap();
        let mut heard = [0; 16];
        let (len, from) = socket.recv_from(&mut heard).unwrap();
        assert_eq!((&heard[..len], from.to_string().as_str()), (said, "10.0.0.2:7"));
    }
}

#[test]
fn http_files_serves_a_large_file_and_refuses_what_lies_outside() {
    let site = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    fs::write(site.path().join("large.bin"), &large).unwrap();
    let (server, client) = two_hosts();
    let listener = TcpListener::bind(&server, "0.0.0.0:80").unwrap();
    let root = Arc::from(site.path());
    thread::spawn(move || http_files::serve(&listener, root));
    let get = |target: &str| -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&client, "10.0.0.2:80")?;
        write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = get("/large.bin").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(answer.ends_with(&large));
    assert!(get("/../etc/passwd").unwrap().starts_with(b"HTTP/1.1 404 "));
}

/// Cargo builds the examples for the tests of their package, beside them.
#[test]
fn embed_echoes_and_ends() {
    let tests = std::env::current_exe().unwrap();
    let embed = tests.ancestors().nth(2).unwrap().join("examples/embed");
    let output = Command::new(embed).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"hello over a wire of one's own\n");
}

#[test]
fn the_sample_configuration_is_sound() {
    let config = Config::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tap.toml")).unwrap();
    assert!(matches!(config.backend, Backend::Tap(_)));
}
