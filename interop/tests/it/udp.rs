//! Datagrams, and what is said about those that nobody wants.

use std::io::ErrorKind;
use std::net;
use std::time::Duration;

use netlane_interop::namespace::alone;
use netlane_interop::wire::{Wire, at_kernel, at_netlane};
use netlane_posix::{TcpStream, UdpSocket};

/// The first three fit into a frame of 1500 bytes, and the last one is the largest that there is.
const SIZES: [usize; 6] = [0, 1, 1472, 1473, 20_000, 65_507];
const LIMIT: Option<Duration> = Some(Duration::from_secs(5));
/// Where nobody listens.
const CLOSED: u16 = 9;

#[test]
fn datagrams_of_every_size_cross_both_ways() {
    alone(|| {
        let wire = Wire::new();
        let kernel = net::UdpSocket::bind(at_kernel(0)).expect("a socket");
        kernel.set_read_timeout(LIMIT).expect("a time limit");
        let netlane = UdpSocket::bind(wire.net(), at_netlane(0)).expect("a socket");
        netlane.set_read_timeout(LIMIT).expect("a time limit");
        let (ours, theirs) = (netlane.local_addr().expect("bound"), kernel.local_addr().expect("bound"));
        let mut received = vec![0; 70_000];
        for size in SIZES {
            let payload: Vec<u8> = (0..size).map(|i| i as u8).collect();
            kernel.send_to(&payload, ours).expect("room");
            assert_eq!(netlane.recv_from(&mut received).expect("a datagram"), (size, theirs));
            assert_eq!(received[..size], payload);
            netlane.send_to(&payload, theirs).expect("room");
            assert_eq!(kernel.recv_from(&mut received).expect("a datagram"), (size, ours));
            assert_eq!(received[..size], payload);
        }
    });
}

#[test]
fn the_kernel_learns_that_nobody_listens_at_netlanes_port() {
    alone(|| {
        let wire = Wire::new();
        let kernel = net::UdpSocket::bind(at_kernel(0)).expect("a socket");
        kernel.connect(at_netlane(CLOSED)).expect("a route");
        kernel.set_read_timeout(LIMIT).expect("a time limit");
        kernel.send(b"anybody?").expect("room");
        let error = kernel.recv(&mut [0; 16]).expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        assert_eq!(wire.counted("rx_no_socket"), 1);
        let error = net::TcpStream::connect(at_netlane(CLOSED)).expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        assert_eq!(wire.counted("tcp_resets_sent"), 1);
    });
}

#[test]
fn netlane_learns_that_nobody_listens_at_the_kernels_port() {
    alone(|| {
        let wire = Wire::new();
        let netlane = UdpSocket::bind(wire.net(), at_netlane(0)).expect("a socket");
        netlane.connect(at_kernel(CLOSED)).expect("a route");
        netlane.set_read_timeout(LIMIT).expect("a time limit");
        netlane.send(b"anybody?").expect("room");
        let error = netlane.recv(&mut [0; 16]).expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        let error = TcpStream::connect(wire.net(), at_kernel(CLOSED)).expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    });
}
