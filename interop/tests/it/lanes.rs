//! Two lanes, each on a queue of its own of one device.

use std::io::{Read, Write};
use std::net;
use std::thread;
use std::time::Duration;

use netlane_config::{Config, LaneCount};
use netlane_interop::namespace::{alone, with_programs};
use netlane_interop::program::run;
use netlane_interop::wire::{DEVICE, NETLANE, Wire, at_kernel, at_netlane, ip};
use netlane_posix::{ListenOptions, TcpListener, TcpStream, UdpSocket};

const CONNECTIONS: usize = 200;

fn two_lanes(config: &mut Config) {
    config.lanes.count = LaneCount::Fixed(2);
}

#[test]
fn connections_come_to_both_lanes() {
    alone(|| {
        let wire = Wire::configured(two_lanes);
        let backlog = ListenOptions { backlog: CONNECTIONS, ..ListenOptions::default() };
        let listener = TcpListener::bind_with(wire.net(), at_netlane(0), backlog).expect("a listener");
        let address = listener.local_addr().expect("bound");
        let kernel = thread::spawn(move || {
            let connect = |_| net::TcpStream::connect(address).expect("a connection");
            ask_all((0..CONNECTIONS).map(connect).collect());
        });
        let streams = (0..CONNECTIONS).map(|_| listener.accept().expect("a connection").0);
        echo_all(streams.collect());
        kernel.join().expect("the kernel's side");
        each_lane(&wire, "tcp_passive_opens");
    });
}

#[test]
fn connections_leave_from_both_lanes() {
    alone(|| {
        let wire = Wire::configured(two_lanes);
        let listener = net::TcpListener::bind(at_kernel(0)).expect("a listener");
        let address = listener.local_addr().expect("bound");
        let kernel = thread::spawn(move || {
            let streams = (0..CONNECTIONS).map(|_| listener.accept().expect("a connection").0);
            echo_all(streams.collect());
        });
        let connect = |_| TcpStream::connect(wire.net(), address).expect("a connection");
        ask_all((0..CONNECTIONS).map(connect).collect());
        kernel.join().expect("the kernel's side");
        each_lane(&wire, "tcp_active_opens");
    });
}

#[test]
fn datagrams_come_to_both_lanes() {
    alone(|| {
        let wire = Wire::configured(two_lanes);
        let netlane = UdpSocket::bind(wire.net(), at_netlane(0)).expect("a socket");
        netlane.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
        let address = netlane.local_addr().expect("bound");
        for number in 0..CONNECTIONS {
            let kernel = net::UdpSocket::bind(at_kernel(0)).expect("a socket");
            kernel.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
            let said = number.to_ne_bytes();
            kernel.send_to(&said, address).expect("room");
            let mut received = [0; 16];
            let (len, from) = netlane.recv_from(&mut received).expect("a datagram");
            assert_eq!((&received[..len], from), (&said[..], kernel.local_addr().expect("bound")));
            netlane.send_to(&said, from).expect("room");
            let (len, from) = kernel.recv_from(&mut received).expect("a datagram");
            assert_eq!((&received[..len], from), (&said[..], address));
        }
        each_lane(&wire, "rx_frames");
    });
}

#[test]
fn either_lane_answers_ping() {
    with_programs(&["ip", "ping"], || {
        let wire = Wire::configured(two_lanes);
        for host in 10..20 {
            ip(&format!("address add 10.9.0.{host}/24 dev {DEVICE}"));
            let said = run(&format!("ping -c 2 -i 0.01 -W 5 -I 10.9.0.{host} {NETLANE}"));
            assert!(said.contains("2 received, 0% packet loss"), "{said}");
        }
        each_lane(&wire, "tx_frames");
    });
}

fn ask_all<S: Read + Write>(mut streams: Vec<S>) {
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&[number as u8; 3000]).expect("room to write");
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        let mut echo = [0; 3000];
        stream.read_exact(&mut echo).expect("an echo");
        assert_eq!(echo, [number as u8; 3000]);
    }
}

fn echo_all<S: Read + Write>(mut streams: Vec<S>) {
    for stream in &mut streams {
        let mut message = [0; 3000];
        stream.read_exact(&mut message).expect("a message");
        stream.write_all(&message).expect("room to write");
    }
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0]).expect("the end"), 0, "nothing more is said");
    }
}

/// Both lanes have counted something.
fn each_lane(wire: &Wire, counter: &str) {
    let client = wire.net().client();
    assert_eq!(client.lanes(), 2);
    for lane in 0..2 {
        let counted = client.counters(lane).expect("a lane that runs").get(counter);
        assert!(counted > Some(0), "lane {lane} has no {counter}");
    }
}
