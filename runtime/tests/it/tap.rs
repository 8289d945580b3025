//! The kernel's own TCP as the peer, over a TAP device in a network of the test's own.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, exit};
use std::time::Duration;
use std::{env, thread};

use netlane_config::{Backend, Config, LaneCount, Lanes, TapBackend};
use netlane_runtime::{Host, Socket};

use crate::stream::{read_full, write_all};
use crate::two_hosts::{accept, config, soon};

const INSIDE: &str = "NETLANE_TEST_IN_NAMESPACE";
/// Unlike the exit code of a run that found no test.
const PASSED: i32 = 70;

/// Runs the body in a process with a user and network namespace of its own. Where none may be made, the test says so
/// and passes.
fn in_namespace(name: &str, body: impl FnOnce()) {
    if env::var(INSIDE).is_ok() {
        body();
        exit(PASSED);
    }
    let enter = |program: &str| {
        let mut command = Command::new("timeout");
        command.args(["60", "unshare", "--user", "--map-root-user", "--net", program]);
        command
    };
    if !enter("true").status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED {name}: no user and network namespace may be made here");
        return;
    }
    let program = env::current_exe().expect("the test's own program");
    let mut command = enter(program.to_str().expect("a path in UTF-8"));
    let status = command.args([name, "--exact", "--nocapture"]).env(INSIDE, "1").status().expect("a process");
    assert_eq!(status.code(), Some(PASSED), "{name} failed in its namespace: {status}");
}

/// A host on a TAP device whose end in the kernel is 10.0.0.1.
fn host(lanes: u16) -> Host {
    let backend = Backend::Tap(TapBackend::default());
    let lanes = Lanes { count: LaneCount::Fixed(lanes), ..Lanes::default() };
    let mut config = Config { backend, lanes, ..config("10.0.0.2") };
    config.interface.host_address = Some("10.0.0.1/24".parse().unwrap());
    Host::start(&config).expect("a host")
}

fn echo(socket: &Socket) {
    let mut bytes = vec![0; 100_000];
    loop {
        let n = read_full(socket, &mut bytes[..10_000]);
        if n == 0 {
            return socket.shutdown(Shutdown::Write);
        }
        write_all(socket, &bytes[..n]);
    }
}

/// Sends noise by the kernel's TCP and compares its echo.
fn exchange(stream: &mut TcpStream, seed: u64) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut sent = vec![0; 3_000_000];
    fastrand::Rng::with_seed(seed).fill(&mut sent);
    let mut writer = stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert!(received == sent, "{} bytes came back", received.len());
    });
}

/// Has the kernel connect to listeners of a host.
fn is_reached_by_the_kernel(host: &Host) {
    let listener = host.client().tcp_listen("10.0.0.2:7".parse().unwrap(), 16).unwrap();
    thread::scope(|scope| {
        for seed in 0..8 {
            scope.spawn(move || exchange(&mut TcpStream::connect("10.0.0.2:7").unwrap(), seed));
        }
        for _ in 0..8 {
            let socket = accept(&listener);
            scope.spawn(move || echo(&socket));
        }
    });
}

/// The host's lanes connect to the kernel in turn, and echo.
fn reaches_the_kernel(host: &Host, times: u64) {
    let kernel = TcpListener::bind("10.0.0.1:0").unwrap();
    let address: SocketAddr = kernel.local_addr().unwrap();
    let client = host.client();
    for seed in 0..times {
        thread::scope(|scope| {
            scope.spawn(|| {
                echo(&client.tcp_connect(None, address, soon()).expect("a connection to the kernel"));
            });
            exchange(&mut kernel.accept().unwrap().0, seed);
        });
    }
}

#[test]
fn a_lane_talks_with_the_kernel() {
    in_namespace("tap::a_lane_talks_with_the_kernel", || {
        let host = host(1);
        assert_eq!(host.device(), Some("netlane0"));
        is_reached_by_the_kernel(&host);
        reaches_the_kernel(&host, 4);
        host.stop();
    });
}

#[test]
fn the_kernel_reaches_several_lanes() {
    in_namespace("tap::the_kernel_reaches_several_lanes", || {
        let host = host(3);
        is_reached_by_the_kernel(&host);
        let lanes =
            (0..3).map(|lane| host.client().counters(lane).unwrap().get("tcp_passive_opens").unwrap());
        assert_eq!(lanes.sum::<u64>(), 8);
        host.stop();
    });
}

#[test]
fn several_lanes_reach_the_kernel_whichever_queue_the_answers_come_to() {
    in_namespace("tap::several_lanes_reach_the_kernel_whichever_queue_the_answers_come_to", || {
        let host = host(3);
        reaches_the_kernel(&host, 24);
        let count = |name: &str| -> u64 {
            (0..3).map(|lane| host.client().counters(lane).unwrap().get(name).unwrap()).sum()
        };
        assert_eq!(count("tcp_active_opens"), 24);
        assert!(count("rx_strays") > 0, "the kernel chose the right queue each time: nothing was tried");
        assert_eq!(count("tcp_resets_sent"), 0);
        host.stop();
    });
}
