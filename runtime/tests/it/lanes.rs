//! Lanes: their start, their rest and their end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use netlane_config::Capture;
use netlane_runtime::{ConnectError, Host, LaneGone, Readiness, RecvError, SendError, StartError, WaitError};

use crate::stream::{read_full, write_all};
use crate::two_hosts::{SERVER, TwoHosts, config, soon};

#[test]
fn a_stopped_lane_leaves_nobody_waiting() {
    let hosts = TwoHosts::start();
    let (client, _server) = hosts.connection();
    let listener = hosts.client().tcp_listen("10.0.0.2:80".parse().unwrap(), 1).unwrap();
    let udp = hosts.client().udp_bind("10.0.0.2:0".parse().unwrap()).unwrap();
    let poller = hosts.client().poller().unwrap();
    poller.add(&udp, 0, Readiness::READABLE).unwrap();
    let handle = hosts.client();
    let TwoHosts { client: host, server: _peer } = hosts;
    let gone = Err(WaitError::LaneGone(LaneGone));
    thread::scope(|scope| {
        let waiters = [&client, &listener, &udp].map(|socket| {
            scope.spawn(|| {
                loop {
                    match socket.wait(Readiness::READABLE, soon()) {
                        // The connection is reset before the lane ends.
                        Ok(ready) if ready.contains(Readiness::CLOSED) => thread::yield_now(),
                        outcome => return outcome,
                    }
                }
            })
        });
        let connecting = scope.spawn(|| handle.tcp_connect(None, "10.0.0.99:1".parse().unwrap(), soon()));
        let polling = scope.spawn(|| poller.wait(&mut Vec::new(), soon()));
        host.stop();
        for waiter in waiters {
            assert_eq!(waiter.join().expect("a waiter"), gone);
        }
        assert!(connecting.join().expect("a waiter").is_err());
        assert_eq!(polling.join().expect("a waiter"), 1);
    });
    assert_eq!(udp.try_recv_from(&mut [0]).unwrap_err(), RecvError::LaneGone(LaneGone));
    assert_eq!(udp.try_send_to(b"x", "10.0.0.1:1".parse().unwrap()), Err(SendError::LaneGone(LaneGone)));
    assert_eq!(client.try_write(b"x"), Err(SendError::LaneGone(LaneGone)));
    assert_eq!(client.state(), Err(LaneGone));
    assert_eq!(handle.counters(0), Err(LaneGone));
    let late = handle.tcp_begin_connect(None, "10.0.0.1:1".parse().unwrap()).unwrap_err();
    assert_eq!(late, ConnectError::LaneGone(LaneGone));
}

#[test]
fn a_lane_ends_with_its_link() {
    let TwoHosts { server, client } = TwoHosts::start();
    let udp = client.client().udp_bind("10.0.0.2:0".parse().unwrap()).unwrap();
    assert!(client.is_running());
    server.stop();
    assert_eq!(udp.wait(Readiness::READABLE, soon()), Err(WaitError::LaneGone(LaneGone)));
    assert!(!client.is_running());
}

#[test]
fn what_was_written_and_closed_is_sent_before_the_end() {
    let hosts = TwoHosts::start();
    let (client, server) = hosts.connection();
    write_all(&client, &[7; 300_000]);
    drop(client);
    let TwoHosts { client: host, server: peer } = hosts;
    thread::scope(|scope| {
        let reader = scope.spawn(|| read_full(&server, &mut vec![0; 300_000]));
        host.stop();
        assert_eq!(reader.join().expect("the reader"), 300_000);
    });
    peer.stop();
}

#[test]
fn idle_lanes_take_no_time() {
    let hosts = TwoHosts::start();
    let (_client, _server) = hosts.connection();
    // Let what follows the handshake settle: until both lanes have parked once more.
    let parks =
        || [hosts.client(), hosts.server()].map(|host| host.counters(0).unwrap().get("lane_parks").unwrap());
    parks();
    let silent = hosts.client().udp_bind("10.0.0.2:0".parse().unwrap()).unwrap();
    // A machine whose own CPU was taken away counts that as used: of a few seconds, one must be quiet.
    let spent = (0..5).map(|_| {
        let begin = lane_ticks();
        let deadline = Some(Instant::now() + Duration::from_secs(1));
        assert_eq!(silent.wait(Readiness::READABLE, deadline), Err(WaitError::TimedOut));
        lane_ticks() - begin
    });
    // A tick is a hundredth of a second: both lanes together may take 3 % of one core.
    let quiet = spent.into_iter().any(|ticks| ticks <= 3);
    assert!(quiet, "{:?}, {:?}", hosts.client().counters(0), hosts.server().counters(0));
    assert!(parks().into_iter().all(|parks| parks > 0));
}

/// The CPU time of this process's lanes, in ticks (proc_pid_stat(5)).
fn lane_ticks() -> u64 {
    let mut ticks = 0;
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
        let Some((name, rest)) = stat.rsplit_once(')') else { continue };
        if name.contains("netlane-lane") {
            ticks += rest.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum::<u64>();
        }
    }
    ticks
}

#[test]
fn a_full_job_ring_loses_no_job() {
    let hosts = TwoHosts::start();
    let (client, server) = hosts.connection();
    const THREADS: usize = 8;
    const EACH: u64 = 5_000;
    let before = hosts.client().counters(0).unwrap().get("lane_jobs").unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // Jobs come five at a time faster than a lane that also moves bytes does them.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                write_all(&client, &[0; 10_000]);
                read_full(&server, &mut [0; 10_000]);
            }
        });
        let threads: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| (0..EACH).for_each(|n| client.set_no_delay(n % 2 == 0))))
            .collect();
        for thread in threads {
            thread.join().expect("a thread");
        }
        stop.store(true, Ordering::Relaxed);
    });
    let done = hosts.client().counters(0).unwrap().get("lane_jobs").unwrap() - before;
    assert!(done >= THREADS as u64 * EACH, "{done} jobs");
}

#[test]
fn lanes_run_where_they_are_pinned() {
    let hosts = TwoHosts::start_with(|config| {
        config.lanes.cpus = vec![0];
        config.lanes.busy_poll = true;
    });
    let (client, server) = hosts.connection();
    write_all(&client, b"x");
    assert_eq!(read_full(&server, &mut [0]), 1);
    assert_eq!(hosts.client().counters(0).unwrap().get("lane_parks"), Some(0), "it never parks");
    let pinned = fs::read_dir("/proc/self/task").unwrap().filter(|task| {
        let status = fs::read_to_string(task.as_ref().unwrap().path().join("status")).unwrap_or_default();
        status.contains("netlane-lane0") && status.contains("Cpus_allowed_list:\t0\n")
    });
    assert_eq!(pinned.count(), 2);
}

#[test]
fn a_host_that_cannot_start_says_what_to_do() {
    let error = Host::start(&config(SERVER)).unwrap_err();
    assert!(matches!(error, StartError::OneEnd), "{error}");
    let wrong = Host::start(&netlane_config::Config::default()).unwrap_err();
    assert!(matches!(wrong, StartError::Config(_)), "{wrong}");
    let mut pinned = config(SERVER);
    pinned.lanes.cpus = vec![100_000];
    let error = Host::pair(&pinned, &config("10.0.0.2")).unwrap_err();
    assert!(matches!(error, StartError::Pin { cpu: 100_000, .. }), "{error}");
    let mut capture = config(SERVER);
    capture.capture = Some(Capture::to("/nowhere/at/all.pcapng"));
    let error = Host::pair(&capture, &config("10.0.0.2")).unwrap_err();
    assert!(matches!(error, StartError::Capture { .. }), "{error}");
    assert!(error.to_string().contains("/nowhere/at/all.pcapng"), "{error}");
}

#[test]
fn what_goes_over_the_wire_is_captured() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wire.pcapng");
    let hosts = {
        let mut captured = config(SERVER);
        captured.capture = Some(Capture::to(&file));
        let (server, client) = Host::pair(&captured, &config("10.0.0.2")).unwrap();
        TwoHosts { server, client }
    };
    let (client, server) = hosts.connection();
    write_all(&client, b"a conspicuous sequence");
    read_full(&server, &mut [0; 22]);
    drop((client, server));
    drop(hosts);
    let capture = fs::read(&file).unwrap();
    assert!(capture.windows(22).any(|window| window == b"a conspicuous sequence"));
}
