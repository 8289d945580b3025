//! Connections that end in the middle of a transfer.

use std::io::{ErrorKind, Read, Write};
use std::net;
use std::time::Duration;

use netlane_interop::namespace::alone;
use netlane_interop::wire::{Wire, at_kernel};
use netlane_posix::TcpStream;

/// How much arrives before the end.
const SOME: usize = 3 << 20;

#[test]
fn the_kernel_resets_while_netlane_sends() {
    alone(|| {
        let (_wire, mut ours, mut theirs) = connection();
        let kernel = std::thread::spawn(move || {
            theirs.read_exact(&mut vec![0; SOME]).expect("some arrives");
            reset(theirs);
        });
        let error = write_until_it_fails(&mut ours);
        assert_eq!(error, ErrorKind::ConnectionReset);
        kernel.join().expect("the kernel's side");
    });
}

#[test]
fn the_kernel_resets_while_it_sends() {
    alone(|| {
        let (_wire, mut ours, mut theirs) = connection();
        let kernel = std::thread::spawn(move || {
            theirs.write_all(&vec![0; SOME]).expect("some is sent");
            reset(theirs);
        });
        let error = read_until_it_fails(&mut ours);
        assert_eq!(error, ErrorKind::ConnectionReset);
        kernel.join().expect("the kernel's side");
    });
}

#[test]
fn netlane_resets_while_the_kernel_sends() {
    alone(|| {
        let (_wire, mut ours, mut theirs) = connection();
        let kernel = std::thread::spawn(move || write_until_it_fails(&mut theirs));
        ours.read_exact(&mut vec![0; SOME]).expect("some arrives");
        ours.set_linger(Some(Duration::ZERO)).expect("a connection");
        drop(ours);
        assert_eq!(kernel.join().expect("the kernel's side"), ErrorKind::ConnectionReset);
    });
}

#[test]
fn netlane_resets_while_it_sends() {
    alone(|| {
        let (_wire, mut ours, mut theirs) = connection();
        let kernel = std::thread::spawn(move || read_until_it_fails(&mut theirs));
        ours.write_all(&vec![0; SOME]).expect("some is sent");
        ours.set_linger(Some(Duration::ZERO)).expect("a connection");
        drop(ours);
        assert_eq!(kernel.join().expect("the kernel's side"), ErrorKind::ConnectionReset);
    });
}

/// A connection from its end at netlane and the one at the kernel.
fn connection() -> (Wire, TcpStream, net::TcpStream) {
    let wire = Wire::new();
    let listener = net::TcpListener::bind(at_kernel(0)).expect("a listener");
    let address = listener.local_addr().expect("bound");
    let ours = TcpStream::connect(wire.net(), address).expect("a connection");
    let (theirs, _) = listener.accept().expect("a connection");
    (wire, ours, theirs)
}

fn reset(stream: net::TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("a connection");
}

fn write_until_it_fails(stream: &mut impl Write) -> ErrorKind {
    loop {
        if let Err(error) = stream.write_all(&[0; 4096]) {
            return error.kind();
        }
    }
}

fn read_until_it_fails(stream: &mut impl Read) -> ErrorKind {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => panic!("the stream ends in order"),
            Ok(_) => {}
            Err(error) => return error.kind(),
        }
    }
}
