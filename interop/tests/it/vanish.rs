//! A peer that is not there any more.

use std::io::{ErrorKind, Read, Write};
use std::net::{self, SocketAddr};
use std::time::Duration;

use netlane_config::{Config, KeepAlive};
use netlane_interop::namespace::with_programs;
use netlane_interop::wire::{DEVICE, KERNEL, Wire, at_kernel, ip};
use netlane_posix::TcpStream;

#[test]
fn a_silent_connection_ends_when_keep_alives_go_unanswered() {
    with_programs(&["ip"], || {
        let (wire, mut ours, _theirs) = connection();
        the_kernel_forgets_its_address();
        let error = ours.read(&mut [0; 16]).expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert_eq!(wire.counted("tcp_keepalive_probes"), 3);
    });
}

#[test]
fn a_connection_ends_when_retransmissions_go_unanswered() {
    with_programs(&["ip"], || {
        let (wire, mut ours, _theirs) = connection();
        the_kernel_forgets_its_address();
        ours.write_all(b"anybody?").expect("room to write");
        let error = ours.read(&mut [0; 16]).expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert_eq!(wire.counted("tcp_retransmission_timeouts"), 3);
    });
}

#[test]
fn a_connection_ends_when_the_cable_is_pulled() {
    with_programs(&["ip"], || {
        let (_wire, mut ours, _theirs) = connection();
        ip(&format!("link set {DEVICE} down"));
        ours.write_all(b"anybody?").expect("room to write");
        let error = ours.read(&mut [0; 16]).expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    });
}

#[test]
fn a_connection_outlives_a_cable_that_is_put_back() {
    with_programs(&["ip"], || {
        let (_wire, mut ours, mut theirs) = connection_configured(|config| {
            hasten(config);
            config.tcp.retries = 15;
        });
        ip(&format!("link set {DEVICE} down"));
        ours.write_all(b"still there?").expect("room to write");
        ip(&format!("link set {DEVICE} up"));
        let mut said = [0; 12];
        theirs.read_exact(&mut said).expect("it is sent once more");
        assert_eq!(&said, b"still there?");
        theirs.write_all(b"yes").expect("a connection");
        let mut answer = [0; 3];
        ours.read_exact(&mut answer).expect("a connection");
        assert_eq!(&answer, b"yes");
    });
}

#[test]
fn connecting_to_a_neighbour_who_is_not_there_fails() {
    with_programs(&["ip"], || {
        let wire = Wire::new();
        let nobody = SocketAddr::new([10, 9, 0, 77].into(), 80);
        let error = TcpStream::connect(wire.net(), nobody).expect_err("no such neighbour");
        assert_eq!(error.kind(), ErrorKind::HostUnreachable, "{error}");
    });
}

#[test]
fn connecting_to_a_neighbour_who_is_silent_fails() {
    with_programs(&["ip"], || {
        let (wire, ours, _theirs) = connection();
        the_kernel_forgets_its_address();
        let address = ours.peer_addr().expect("a connection");
        let error = TcpStream::connect(wire.net(), address).expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    });
}

/// A connection from its end at netlane and the one at the kernel, which can be silent and still be there.
fn connection() -> (Wire, TcpStream, net::TcpStream) {
    connection_configured(hasten)
}

fn connection_configured(change: impl FnOnce(&mut Config)) -> (Wire, TcpStream, net::TcpStream) {
    let wire = Wire::configured(change);
    let listener = net::TcpListener::bind(at_kernel(0)).expect("a listener");
    let address = listener.local_addr().expect("bound");
    let ours = TcpStream::connect(wire.net(), address).expect("a connection");
    let (theirs, _) = listener.accept().expect("a connection");
    (wire, ours, theirs)
}

/// Timers of milliseconds instead of minutes.
fn hasten(config: &mut Config) {
    let ms = Duration::from_millis;
    config.tcp.rto_initial = ms(50);
    config.tcp.rto_min = ms(20);
    config.tcp.syn_retries = 2;
    config.tcp.retries = 3;
    config.tcp.keepalive = Some(KeepAlive { idle: ms(200), interval: ms(50), probes: 3 });
}

/// From now on the kernel drops what comes to its address, and says nothing.
fn the_kernel_forgets_its_address() {
    ip(&format!("address delete {KERNEL}/24 dev {DEVICE}"));
}
