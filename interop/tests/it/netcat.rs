//! nc at the kernel's end.

use std::fs::File;
use std::io::{Read, Seek};

use netlane_interop::bytes::{Summary, receive, send};
use netlane_interop::namespace::with_programs;
use netlane_interop::program::{Program, command};
use netlane_interop::wire::{KERNEL, NETLANE, Wire, at_kernel, at_netlane};
use netlane_posix::{TcpListener, TcpStream};

const LEN: u64 = 16 << 20;
const PORT: u16 = 4000;

#[test]
fn nc_sends_a_file_to_netlane() {
    with_programs(&["nc"], || {
        let (wire, (file, sent)) = (Wire::new(), file());
        let listener = TcpListener::bind(wire.net(), at_netlane(PORT)).expect("a listener");
        let mut nc = command(&format!("nc -N {NETLANE} {PORT}"));
        nc.stdin(file);
        let nc = Program::start(nc);
        let (mut stream, _) = listener.accept().expect("a connection");
        assert_eq!(receive(&mut stream).expect("all arrives"), sent);
        drop(stream);
        assert_eq!(nc.succeed(), "");
    });
}

#[test]
fn nc_receives_from_netlane() {
    with_programs(&["nc"], || {
        let (wire, mut received) = (Wire::new(), empty_file());
        let listener = TcpListener::bind(wire.net(), at_netlane(PORT)).expect("a listener");
        let stdout = received.try_clone().expect("a second handle");
        let nc = Program::start_into(command(&format!("nc -d {NETLANE} {PORT}")), stdout);
        let (mut stream, _) = listener.accept().expect("a connection");
        let sent = send(&mut stream, LEN).expect("all is sent");
        drop(stream);
        assert_eq!(nc.succeed(), "");
        assert_eq!(summary(&mut received), sent);
    });
}

#[test]
fn netlane_sends_to_nc() {
    with_programs(&["nc"], || {
        let (wire, mut received) = (Wire::new(), empty_file());
        let stdout = received.try_clone().expect("a second handle");
        let mut nc = Program::start_into(command(&format!("nc -n -v -d -l {KERNEL} {PORT}")), stdout);
        nc.wait_for("Listening");
        let mut stream = TcpStream::connect(wire.net(), at_kernel(PORT)).expect("a connection");
        let sent = send(&mut stream, LEN).expect("all is sent");
        drop(stream);
        assert!(nc.succeed().contains(&NETLANE.to_string()), "nc says who came");
        assert_eq!(summary(&mut received), sent);
    });
}

#[test]
fn netlane_receives_a_file_from_nc() {
    with_programs(&["nc"], || {
        let (wire, (file, sent)) = (Wire::new(), file());
        let mut nc = command(&format!("nc -n -v -N -l {KERNEL} {PORT}"));
        nc.stdin(file);
        let mut nc = Program::start(nc);
        nc.wait_for("Listening");
        let mut stream = TcpStream::connect(wire.net(), at_kernel(PORT)).expect("a connection");
        assert_eq!(receive(&mut stream).expect("all arrives"), sent);
        drop(stream);
        assert!(nc.succeed().contains(&NETLANE.to_string()), "nc says who came");
    });
}

fn file() -> (File, Summary) {
    let mut file = empty_file();
    let written = send(&mut file, LEN).expect("room on the disk");
    file.rewind().expect("a file");
    (file, written)
}

fn empty_file() -> File {
    tempfile::tempfile().expect("a file")
}

fn summary(file: &mut (impl Read + Seek)) -> Summary {
    file.rewind().expect("a file");
    receive(file).expect("a file")
}
