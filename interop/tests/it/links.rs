//! Links that are not the usual one: in a VLAN, with large frames and with small ones.

use std::io::{Read, Write};
use std::net;
use std::thread;

use netlane_config::{Backend, Capture, Config};
use netlane_interop::bytes::{receive, send};
use netlane_interop::namespace::{skip, with_programs};
use netlane_interop::program::{run, start};
use netlane_interop::raw::RawSocket;
use netlane_interop::tshark::{BROKEN, packets};
use netlane_interop::wire::{DEVICE, KERNEL, NETLANE, Wire, at_kernel, ip};
use netlane_posix::TcpStream;

use crate::frames::{IPV4, VLAN, ethernet, ghost, icmp_packet, silence_the_kernel};

const LEN: u64 = 32 << 20;

#[test]
fn a_vlan_carries_everything() {
    with_programs(&["ip", "ping"], || in_vlan(|_| {}));
}

#[test]
fn a_vlan_carries_everything_without_offloads() {
    with_programs(&["ip", "ping"], || in_vlan(without_offloads));
}

#[test]
fn a_vlan_is_kept_apart_by_its_tag() {
    with_programs(&["tshark"], || {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("vlan.pcapng");
        silence_the_kernel();
        let wire = Wire::configured(|config| {
            config.interface.vlan = Some(5);
            config.neighbors = vec![ghost()];
            config.capture = Some(Capture::to(&file));
        });
        let raw = RawSocket::open().expect("a raw socket");
        let request = icmp_packet([8, 0, 0xf7, 0xfd, 0, 1, 0, 1]);
        let in_vlan =
            |tag: u16| ethernet(VLAN, &[&tag.to_be_bytes(), &IPV4.to_be_bytes(), &request[..]].concat());
        raw.send(&ethernet(IPV4, &request)).expect("room");
        raw.send(&in_vlan(6)).expect("room");
        // Priorities make no other VLAN.
        for tag in [5, 7 << 13 | 5] {
            raw.send(&in_vlan(tag)).expect("room");
        }
        while wire.counted("tx_frames") < 2 {
            thread::yield_now();
        }
        assert_eq!(wire.counted("rx_other_vlan"), 2);
        drop(wire);
        assert_eq!(packets(&file, BROKEN), [""; 0]);
        assert_eq!(packets(&file, "icmp.type == 8").len(), 4);
        assert_eq!(packets(&file, "icmp.type == 0").len(), 2);
        assert_eq!(packets(&file, "icmp.type == 0 && vlan.id == 5 && ip.dst == 10.9.0.66").len(), 2);
    });
}

#[test]
fn large_frames_carry_everything() {
    with_programs(&["ping"], || with_mtu(9000, |_| {}));
}

#[test]
fn large_frames_carry_everything_without_offloads() {
    with_programs(&["ping"], || with_mtu(9000, without_offloads));
}

#[test]
fn small_frames_carry_everything() {
    with_programs(&["ping"], || with_mtu(576, |_| {}));
}

#[test]
fn small_frames_carry_everything_without_offloads() {
    with_programs(&["ping"], || with_mtu(576, without_offloads));
}

fn without_offloads(config: &mut Config) {
    let Backend::Tap(tap) = &mut config.backend else { unreachable!("a wire is a TAP device") };
    tap.offload = false;
}

fn in_vlan(change: impl FnOnce(&mut Config)) {
    let wire = Wire::configured(|config| {
        config.interface.vlan = Some(5);
        config.interface.host_address = None;
        change(config);
    });
    let (made, said) = start(&format!("ip link add link {DEVICE} name vlan5 type vlan id 5")).end();
    if !made.success() {
        skip(&format!("the kernel makes no VLAN: {said}"));
    }
    ip(&format!("address add {KERNEL}/24 dev vlan5"));
    ip("link set vlan5 up");
    carries_everything(&wire, 1500);
}

fn with_mtu(mtu: u16, change: impl FnOnce(&mut Config)) {
    let wire = Wire::configured(|config| {
        config.interface.mtu = mtu;
        change(config);
    });
    carries_everything(&wire, mtu);
}

fn carries_everything(wire: &Wire, mtu: u16) {
    let said = run(&format!("ping -M do -c 2 -i 0.01 -W 5 -s {} {NETLANE}", mtu - 28));
    assert!(said.contains("2 received, 0% packet loss"), "{said}");
    let listener = net::TcpListener::bind(at_kernel(0)).expect("a listener");
    let address = listener.local_addr().expect("bound");
    let kernel = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let sent = send(&mut stream, LEN).expect("all is sent");
        stream.shutdown(net::Shutdown::Write).expect("a connection");
        let received = receive(&mut stream).expect("all arrives");
        assert_eq!(received, sent, "it comes back as it went");
    });
    let mut stream = TcpStream::connect(wire.net(), address).expect("a connection");
    echo(&mut stream);
    drop(stream);
    kernel.join().expect("the kernel's side");
    assert_eq!(wire.counted("tcp_retransmission_timeouts"), 0);
}

/// Sends back what comes, as it comes, while a sender that does not read yet may fill all buffers.
fn echo(stream: &mut TcpStream) {
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("all arrives");
    stream.write_all(&received).expect("room to write");
}
