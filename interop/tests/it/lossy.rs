//! Each algorithm of congestion control against the kernel over a link that loses packets, with every choice of SACK,
//! timestamps and ECN that the kernel leaves, over both families.

use std::fs;
use std::net::{self, IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use netlane_config::{CongestionControl, Ecn, Impair, Impairment, Probability};
use netlane_interop::bytes::{receive, send};
use netlane_interop::namespace::{skip, with_programs};
use netlane_interop::wire::{DEVICE, KERNEL, Wire, ip};
use netlane_posix::TcpStream;

const KERNEL_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
const NETLANE_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);
/// Bytes each way, of each connection.
const LEN: u64 = 300_000;

#[test]
fn new_reno_gets_everything_across() {
    with_programs(&["ip"], || everything_gets_across(CongestionControl::NewReno));
}

#[test]
fn cubic_gets_everything_across() {
    with_programs(&["ip"], || everything_gets_across(CongestionControl::Cubic));
}

#[test]
fn bbr_gets_everything_across() {
    with_programs(&["ip"], || everything_gets_across(CongestionControl::Bbr));
}

#[test]
fn dctcp_gets_everything_across() {
    with_programs(&["ip"], || everything_gets_across(CongestionControl::Dctcp));
}

fn everything_gets_across(algorithm: CongestionControl) {
    let wire = Wire::configured(|config| {
        config.tcp.congestion_control = algorithm;
        config.tcp.ecn = Ecn::On;
        config.interface.addresses.push(format!("{NETLANE_V6}/64").parse().expect("an address"));
        let chance = |value| Probability::new(value).expect("a probability");
        let both = Impairment {
            loss: chance(0.02),
            reorder: chance(0.01),
            reorder_delay: Duration::from_millis(1),
            ..Impairment::default()
        };
        config.impair = Some(Impair { seed: Some(1), inbound: both, outbound: both });
    });
    ip(&format!("-6 address add {KERNEL_V6}/64 dev {DEVICE} nodad"));
    let mut marked = 0;
    for choice in 0..8 {
        let options = [("tcp_sack", SACK), ("tcp_timestamps", TIMESTAMPS), ("tcp_ecn", ECN)];
        let mut chosen = 0;
        for (n, (name, bit)) in options.into_iter().enumerate() {
            let on = choice >> n & 1;
            chosen |= on * bit;
            if let Err(error) = fs::write(format!("/proc/sys/net/ipv4/{name}"), on.to_string()) {
                skip(&format!("{name}: {error}"));
            }
        }
        for kernel in [IpAddr::V4(KERNEL), IpAddr::V6(KERNEL_V6)] {
            let began = Instant::now();
            let agreed = exchange(&wire, kernel);
            // RFC 3168 §6.1.1.1: a SYN that is sent once more asks for no ECN, so that a lost one may cost it.
            assert_eq!(
                agreed & (SACK | TIMESTAMPS),
                chosen & (SACK | TIMESTAMPS),
                "{algorithm:?} over {kernel}"
            );
            assert_eq!(agreed & ECN & !chosen, 0, "{algorithm:?} over {kernel}");
            marked += u32::from(agreed & ECN != 0);
            let took = began.elapsed().as_millis();
            println!("MEASURED {algorithm:?} over {kernel} with options {chosen:#06b}: {took} ms");
        }
    }
    assert!(marked > 0, "ECN is agreed on where no SYN is lost");
}

/// Moves bytes both ways at once over a connection with the kernel, and says which options it has.
fn exchange(wire: &Wire, kernel: IpAddr) -> u8 {
    let listener = net::TcpListener::bind(SocketAddr::new(kernel, 0)).expect("a listener");
    let address = listener.local_addr().expect("bound");
    let ours = TcpStream::connect(wire.net(), address).expect("a connection");
    let (theirs, _) = listener.accept().expect("a connection");
    let agreed = options_of(&theirs);
    thread::scope(|scope| {
        let (mut into_kernel, mut from_kernel) = (ours.try_clone().expect("a handle"), ours);
        let (mut reads, mut writes) = (theirs.try_clone().expect("a handle"), theirs);
        let sent = scope.spawn(move || {
            let sent = send(&mut into_kernel, LEN).expect("all is sent");
            into_kernel.shutdown(net::Shutdown::Write).expect("an end");
            sent
        });
        let sent_by_kernel = scope.spawn(move || {
            let sent = send(&mut writes, LEN).expect("all is sent");
            writes.shutdown(net::Shutdown::Write).expect("an end");
            sent
        });
        let received = scope.spawn(move || receive(&mut from_kernel).expect("all arrives"));
        assert_eq!(receive(&mut reads).expect("all arrives"), sent.join().expect("our side"));
        assert_eq!(received.join().expect("our side"), sent_by_kernel.join().expect("the kernel's side"));
    });
    agreed
}

// Bits of `tcpi_options` in tcp(7)'s TCP_INFO.
const TIMESTAMPS: u8 = 1;
const SACK: u8 = 2;
const ECN: u8 = 8;

/// The options that the kernel has agreed on with its peer.
fn options_of(stream: &net::TcpStream) -> u8 {
    // SAFETY: zeros make a valid structure of numbers.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&info) as libc::socklen_t;
    let out = (&raw mut info).cast();
    // SAFETY: `out` points to `len` bytes that the kernel may write, and both outlive the call.
    let result =
        unsafe { libc::getsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, out, &raw mut len) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    info.tcpi_options
}
