//! Links that are not the usual one: in a VLAN, with large frames and with small ones.

use std::io::{Read, Write};
use std::net;
use std::thread;

use netlane_config::{Backend, Config};
use netlane_interop::bytes::{receive, send};
use netlane_interop::namespace::{skip, with_programs};
use netlane_interop::program::{run, start};
use netlane_interop::wire::{DEVICE, KERNEL, NETLANE, Wire, at_kernel, ip};
use netlane_posix::TcpStream;

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
