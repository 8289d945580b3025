//! Connections.

use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netlane_runtime::{
    CongestionAlgorithm, ConnectError, Readiness, RecvError, SendError, Socket, SocketError, TcpState,
    WaitError,
};
use sha2::{Digest, Sha256};

use crate::two_hosts::{SERVER, TwoHosts, accept, soon};

/// Writes all of `bytes`.
pub(crate) fn write_all(socket: &Socket, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match socket.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(SendError::WouldBlock) => {
                socket.wait(Readiness::WRITABLE, soon()).expect("room to write");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads until `out` is full, or to the end of the stream, and returns how much that was.
pub(crate) fn read_full(socket: &Socket, out: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < out.len() {
        match socket.try_read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(RecvError::WouldBlock) => {
                socket.wait(Readiness::READABLE, soon()).expect("bytes to read");
            }
            Err(error) => panic!("{error}"),
        }
    }
    filled
}

#[test]
fn what_is_said_is_echoed() {
    let hosts = TwoHosts::start();
    let (client, server) = hosts.connection();
    assert_eq!(client.peer_addr(), server.local_addr());
    assert_eq!(server.peer_addr(), client.local_addr());
    assert_eq!(client.state(), Ok(TcpState::Established));
    write_all(&client, b"hello");
    let mut bytes = [0; 5];
    assert_eq!(read_full(&server, &mut bytes), 5);
    write_all(&server, &bytes);
    assert_eq!(read_full(&client, &mut bytes), 5);
    assert_eq!(&bytes, b"hello");
}

/// Writes so many bytes that only the seed decides, and returns their checksum.
fn write_noise(socket: &Socket, seed: u64, len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut hash, mut left, mut chunk) = (Sha256::new(), len, vec![0; 100_000]);
    while left > 0 {
        let n = chunk.len().min(left);
        rng.fill(&mut chunk[..n]);
        hash.update(&chunk[..n]);
        write_all(socket, &chunk[..n]);
        left -= n;
    }
    socket.shutdown(Shutdown::Write);
    hash.finalize().to_vec()
}

/// Reads to the end of the stream, and returns how much that was and its checksum.
fn read_noise(socket: &Socket) -> (usize, Vec<u8>) {
    let (mut hash, mut len, mut chunk) = (Sha256::new(), 0, vec![0; 70_000]);
    loop {
        let n = read_full(socket, &mut chunk);
        if n == 0 {
            return (len, hash.finalize().to_vec());
        }
        hash.update(&chunk[..n]);
        len += n;
    }
}

fn carries_noise_both_ways(hosts: &TwoHosts, len: usize) {
    let ends = hosts.connection();
    let ends = [&ends.0, &ends.1];
    thread::scope(|scope| {
        let writers = [0, 1].map(|end| scope.spawn(move || write_noise(ends[end], end as u64, len)));
        let readers = [1, 0].map(|end| scope.spawn(move || read_noise(ends[end])));
        for (writer, reader) in writers.into_iter().zip(readers) {
            let written = writer.join().expect("a writer");
            assert_eq!(reader.join().expect("a reader"), (len, written));
        }
    });
}

#[test]
fn megabytes_arrive_unharmed_both_ways_at_once() {
    carries_noise_both_ways(&TwoHosts::start(), 64 << 20);
}

#[test]
fn megabytes_arrive_unharmed_in_large_frames() {
    let hosts = TwoHosts::start_with(|config| {
        let backend = netlane_config::MemoryBackend { offload: true, ..Default::default() };
        config.backend = netlane_config::Backend::Memory(backend);
    });
    carries_noise_both_ways(&hosts, 64 << 20);
}

#[test]
fn small_buffers_stall_nobody() {
    let hosts = TwoHosts::start_with(|config| {
        (config.tcp.send_buffer, config.tcp.receive_buffer) = (1_460, 1_460);
    });
    carries_noise_both_ways(&hosts, 4 << 20);
}

#[test]
fn a_bad_link_harms_no_byte() {
    let hosts = TwoHosts::start_with(|config| {
        let some = |chance| netlane_config::Probability::new(chance).expect("a probability");
        let bad = netlane_config::Impairment {
            loss: some(0.01),
            duplicate: some(0.01),
            reorder: some(0.01),
            reorder_delay: Duration::from_millis(1),
            corrupt: some(0.001),
            ..Default::default()
        };
        config.impair = Some(netlane_config::Impair { seed: Some(7), inbound: bad, outbound: bad });
        config.tcp.rto_min = Duration::from_millis(10);
    });
    carries_noise_both_ways(&hosts, 2 << 20);
}

#[test]
fn many_threads_use_sockets_of_their_own() {
    let hosts = TwoHosts::start();
    let listener = hosts.server().tcp_listen(format!("{SERVER}:7").parse().unwrap(), 64).unwrap();
    const THREADS: usize = 32;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let socket = accept_shared(&listener);
                let mut bytes = vec![0; 100_000];
                let n = read_full(&socket, &mut bytes);
                write_all(&socket, &bytes[..n]);
            });
            scope.spawn(|| {
                let socket =
                    hosts.client().tcp_connect(None, listener.local_addr().unwrap(), soon()).unwrap();
                let sent: Vec<u8> = (0..100_000).map(|n| n as u8 ^ fastrand::u8(..)).collect();
                write_all(&socket, &sent);
                let mut echo = vec![0; sent.len()];
                assert_eq!(read_full(&socket, &mut echo), sent.len());
                assert!(echo == sent);
            });
        }
    });
}

/// Accepts while others do.
fn accept_shared(listener: &Socket) -> Socket {
    loop {
        listener.wait(Readiness::READABLE, soon()).expect("a connection to accept");
        match listener.try_accept() {
            Ok(socket) => return socket,
            Err(RecvError::WouldBlock) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn many_threads_use_one_socket() {
    let hosts = TwoHosts::start();
    let (client, server) = hosts.connection();
    let (client, server) = (&client, &server);
    const THREADS: usize = 8;
    const EACH: usize = 1 << 20;
    let read = AtomicUsize::new(0);
    let sum = AtomicUsize::new(0);
    thread::scope(|scope| {
        let writers: Vec<_> = (1..=THREADS)
            .map(|value| scope.spawn(move || write_all(client, &vec![value as u8; EACH])))
            .collect();
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut chunk = [0; 5_000];
                loop {
                    let n = read_full(server, &mut chunk);
                    if n == 0 {
                        break;
                    }
                    read.fetch_add(n, Ordering::Relaxed);
                    let added: usize = chunk[..n].iter().map(|&byte| usize::from(byte)).sum();
                    sum.fetch_add(added, Ordering::Relaxed);
                }
            });
        }
        for writer in writers {
            writer.join().expect("a writer");
        }
        client.shutdown(Shutdown::Write);
    });
    assert_eq!(read.into_inner(), THREADS * EACH, "each byte is read once");
    assert_eq!(sum.into_inner(), EACH * THREADS * (THREADS + 1) / 2);
}

#[test]
fn nobody_listens_there() {
    let hosts = TwoHosts::start();
    let remote = format!("{SERVER}:9").parse().unwrap();
    let refused = hosts.client().tcp_connect(None, remote, soon());
    assert_eq!(refused.unwrap_err(), ConnectError::Failed(SocketError::Refused));
}

#[test]
fn a_peer_that_is_not_there_costs_no_more_than_the_deadline() {
    let hosts = TwoHosts::start();
    let deadline = Instant::now() + Duration::from_millis(50);
    let nobody = hosts.client().tcp_connect(None, "10.0.0.99:80".parse().unwrap(), Some(deadline));
    assert_eq!(nobody.unwrap_err(), ConnectError::TimedOut);
    assert!(Instant::now() >= deadline);
}

#[test]
fn what_cannot_be_is_refused_at_once() {
    let hosts = TwoHosts::start();
    let client = hosts.client();
    let connect = |local: Option<&str>, remote: &str| {
        let local = local.map(|text| text.parse().unwrap());
        client.tcp_begin_connect(local, remote.parse().unwrap()).unwrap_err()
    };
    assert_eq!(connect(None, "192.0.2.1:80"), ConnectError::NoRoute);
    assert_eq!(connect(Some("10.0.0.77:0"), "10.0.0.1:80"), ConnectError::NotLocal);
}

#[test]
fn waiting_ends_at_the_deadline() {
    let hosts = TwoHosts::start();
    let (client, _server) = hosts.connection();
    let deadline = Instant::now() + Duration::from_millis(20);
    assert_eq!(client.wait(Readiness::READABLE, Some(deadline)), Err(WaitError::TimedOut));
    assert!(Instant::now() >= deadline);
    assert_eq!(client.try_read(&mut [0]), Err(RecvError::WouldBlock));
    assert!(client.wait(Readiness::WRITABLE, soon()).unwrap().contains(Readiness::WRITABLE));
}

#[test]
fn peeking_takes_nothing() {
    let hosts = TwoHosts::start();
    let (client, server) = hosts.connection();
    write_all(&client, b"abc");
    client.shutdown(Shutdown::Write);
    server.wait(Readiness::READ_CLOSED, soon()).unwrap();
    let mut bytes = [0; 8];
    assert_eq!(server.try_peek(&mut bytes), Ok(3));
    assert_eq!(server.try_read(&mut bytes), Ok(3));
    assert_eq!(&bytes[..3], b"abc");
    assert_eq!(server.try_peek(&mut bytes), Ok(0), "the stream has ended");
    assert_eq!(server.try_read(&mut bytes), Ok(0));
    // The other direction is open still.
    write_all(&server, b"answer");
    assert_eq!(read_full(&client, &mut bytes[..6]), 6);
}

#[test]
fn shutting_down_ends_the_waits_of_other_threads() {
    let hosts = TwoHosts::start();
    let (client, _server) = hosts.connection();
    thread::scope(|scope| {
        let reader = scope.spawn(|| read_full(&client, &mut [0]));
        client.shutdown(Shutdown::Both);
        assert_eq!(reader.join().expect("the reader"), 0);
    });
    assert_eq!(client.try_write(b"more"), Err(SendError::Closed));
}

#[test]
fn aborting_ends_the_waits_of_all() {
    let hosts = TwoHosts::start();
    let (client, server) = hosts.connection();
    thread::scope(|scope| {
        let here = scope.spawn(|| client.wait(Readiness::READABLE, soon()));
        let there = scope.spawn(|| server.wait(Readiness::READABLE, soon()));
        client.abort();
        assert!(here.join().unwrap().unwrap().contains(Readiness::CLOSED));
        assert!(there.join().unwrap().unwrap().contains(Readiness::CLOSED | Readiness::ERROR));
    });
    assert_eq!(client.try_read(&mut [0]), Err(RecvError::Closed));
    assert_eq!(server.try_read(&mut [0]), Err(RecvError::Failed(SocketError::Reset)));
    assert_eq!(server.try_read(&mut [0]), Ok(0), "an error is told once");
    assert_eq!(server.try_write(b"x"), Err(SendError::Closed));
}

#[test]
fn dropping_a_socket_closes_the_connection_behind_what_was_written() {
    let hosts = TwoHosts::start();
    let (client, server) = hosts.connection();
    let sent = vec![7; 500_000];
    write_all(&client, &sent);
    drop(client);
    let mut received = vec![0; sent.len()];
    assert_eq!(read_full(&server, &mut received), sent.len());
    assert!(received == sent);
    assert_eq!(
        server.try_read(&mut [0]).or_else(|_| Ok::<_, RecvError>(read_full(&server, &mut [0]))),
        Ok(0)
    );
    assert_eq!(server.state(), Ok(TcpState::CloseWait));
}

#[test]
fn dropping_a_socket_with_unread_bytes_resets_the_connection() {
    let hosts = TwoHosts::start();
    let (client, server) = hosts.connection();
    write_all(&server, b"never read");
    client.wait(Readiness::READABLE, soon()).unwrap();
    drop(client);
    let ready = server.wait(Readiness::READ_CLOSED, soon()).unwrap();
    assert!(ready.contains(Readiness::ERROR), "{ready:?}");
    assert_eq!(server.take_error(), Some(SocketError::Reset));
}

#[test]
fn a_silent_peer_is_probed() {
    let hosts = TwoHosts::start();
    let (client, server) = hosts.connection();
    let often = Duration::from_millis(5);
    client.set_keepalive(Some(netlane_runtime::KeepAlive { idle: often, interval: often, probes: 100 }));
    client.set_no_delay(true);
    let deadline = soon().unwrap();
    while hosts.client().counters(0).unwrap().get("tcp_keepalive_probes").unwrap() < 3 {
        assert!(Instant::now() < deadline, "no probes were sent");
        thread::yield_now();
    }
    assert_eq!(server.state(), Ok(TcpState::Established));
}

#[test]
fn an_attempt_to_connect_ends_with_its_user_timeout() {
    let hosts = TwoHosts::start_with(|config| config.tcp.rto_initial = Duration::from_millis(200));
    // An address that nobody has.
    let socket = hosts.client().tcp_begin_connect(None, "10.0.0.77:80".parse().unwrap()).unwrap();
    socket.set_user_timeout(Some(Duration::from_millis(300)));
    socket.wait(Readiness::ERROR, soon()).unwrap();
    assert_eq!(socket.take_error(), Some(SocketError::TimedOut));
}

#[test]
fn a_connection_that_is_begun_tells_when_it_is_established() {
    let hosts = TwoHosts::start();
    let listener = hosts.server().tcp_listen(format!("{SERVER}:80").parse().unwrap(), 1).unwrap();
    let socket = hosts.client().tcp_begin_connect(None, listener.local_addr().unwrap()).unwrap();
    let mut bytes = [0; 1];
    assert!(matches!(socket.try_read(&mut bytes), Err(RecvError::WouldBlock)));
    socket.wait(Readiness::WRITABLE, soon()).unwrap();
    assert_eq!(socket.take_error(), None);
    assert_eq!(socket.try_write(b"x"), Ok(1));
    assert_eq!(read_full(&accept(&listener), &mut bytes), 1);
}

#[test]
fn connection_tells_how_it_fares_and_is_told_how_to() {
    let hosts = TwoHosts::start();
    let (client, server) = hosts.connection();
    client.set_congestion_control(CongestionAlgorithm::Bbr);
    client.set_max_segment(700);
    client.set_cork(true);
    write_all(&client, &[7; 1_000]);
    let info = client.info().unwrap().expect("it is established");
    assert_eq!(info.state, TcpState::Established);
    assert_eq!(info.congestion_control, CongestionAlgorithm::Bbr);
    assert!((600..=700).contains(&info.send_mss), "{info:?}");
    client.set_cork(false);
    assert_eq!(read_full(&server, &mut [0; 1_000]), 1_000);
    server.abort();
    client.wait(Readiness::ERROR, soon()).unwrap();
    assert_eq!(client.info(), Ok(None));
}
