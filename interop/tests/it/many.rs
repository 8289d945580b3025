//! A thousand connections at once.

use std::io::{Read, Write};
use std::net;
use std::thread;

use netlane_interop::namespace::with_programs;
use netlane_interop::program::run;
use netlane_interop::wire::{Wire, at_kernel, at_netlane};
use netlane_posix::{ListenOptions, TcpListener, TcpStream};

const CONNECTIONS: usize = 1000;
/// How much each says at once.
const MESSAGES: [usize; 3] = [1, 1000, 5000];

#[test]
fn netlane_serves_a_thousand_connections_at_once() {
    with_programs(&["ss"], || {
        let wire = Wire::new();
        let backlog = ListenOptions { backlog: CONNECTIONS, ..ListenOptions::default() };
        let listener = TcpListener::bind_with(wire.net(), at_netlane(0), backlog).expect("a listener");
        let address = listener.local_addr().expect("bound");
        let clients = thread::spawn(move || talk(|| net::TcpStream::connect(address)));
        let streams = (0..CONNECTIONS).map(|_| listener.accept().expect("a connection").0);
        echo_all(streams.collect());
        clients.join().expect("clients that are content");
        assert_eq!(wire.counted("tcp_passive_opens"), CONNECTIONS as u64);
        all_is_closed();
    });
}

#[test]
fn netlane_opens_a_thousand_connections_at_once() {
    with_programs(&["ss"], || {
        let wire = Wire::new();
        let listener = net::TcpListener::bind(at_kernel(0)).expect("a listener");
        // The standard library asks for fewer: the kernel would drop SYNs, and netlane repeat them a second later.
        rustix::net::listen(&listener, CONNECTIONS as i32).expect("a longer backlog");
        let address = listener.local_addr().expect("bound");
        let net = wire.net().clone();
        let clients = thread::spawn(move || talk(|| TcpStream::connect(&net, address)));
        let streams = (0..CONNECTIONS).map(|_| listener.accept().expect("a connection").0);
        echo_all(streams.collect());
        clients.join().expect("clients that are content");
        assert_eq!(wire.counted("tcp_active_opens"), CONNECTIONS as u64);
        all_is_closed();
    });
}

/// Opens all connections, says something on all before it listens on any, and ends all.
fn talk<S: Read + Write>(connect: impl Fn() -> std::io::Result<S>) {
    let mut streams: Vec<S> = (0..CONNECTIONS).map(|_| connect().expect("a connection")).collect();
    for len in MESSAGES {
        let message = |number: usize| vec![number as u8; len];
        for (number, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&message(number)).expect("room to write");
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            let mut echo = vec![0; len];
            stream.read_exact(&mut echo).expect("an echo");
            assert_eq!(echo, message(number), "connection {number}");
        }
    }
}

/// Echoes on each connection as much as is said there, until it ends.
fn echo_all<S: Read + Write>(mut streams: Vec<S>) {
    for len in MESSAGES {
        for stream in &mut streams {
            let mut message = vec![0; len];
            stream.read_exact(&mut message).expect("a message");
            stream.write_all(&message).expect("room to write");
        }
    }
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0]).expect("the end"), 0, "nothing more is said");
    }
}

/// The kernel has no connection left but in TIME-WAIT. The last segments may be under way still.
fn all_is_closed() {
    while !run("ss -H -t -n").is_empty() {
        thread::yield_now();
    }
}
