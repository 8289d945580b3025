//! Listeners, and the limits of what waits in them.

use std::thread;
use std::time::{Duration, Instant};

use netlane_runtime::{BindError, ConnectError, Readiness, RecvError, Socket, SocketError, TcpState};

use crate::two_hosts::{SERVER, TwoHosts, accept, soon};

#[test]
fn a_port_is_listened_on_once_and_is_free_again_afterwards() {
    let hosts = TwoHosts::start();
    let address = format!("{SERVER}:80").parse().unwrap();
    let first = hosts.server().tcp_listen(address, 1).unwrap();
    assert_eq!(first.state(), Ok(TcpState::Listen));
    assert_eq!(hosts.server().tcp_listen(address, 1).unwrap_err(), BindError::InUse);
    let elsewhere = "10.0.0.9:80".parse().unwrap();
    assert_eq!(hosts.server().tcp_listen(elsewhere, 1).unwrap_err(), BindError::NotLocal);
    drop(first);
    assert!(hosts.server().tcp_listen(address, 1).is_ok());
}

#[test]
fn connections_beyond_the_backlog_wait_until_others_are_accepted() {
    let hosts = TwoHosts::start_with(|config| config.tcp.rto_initial = Duration::from_millis(200));
    let listener = hosts.server().tcp_listen(format!("{SERVER}:80").parse().unwrap(), 2).unwrap();
    let remote = listener.local_addr().unwrap();
    // Two wait with the client and three in the stack; the sixth finds no room.
    let first: Vec<_> = (0..5).map(|_| hosts.client().tcp_connect(None, remote, soon()).unwrap()).collect();
    let sixth = hosts.client().tcp_begin_connect(None, remote).unwrap();
    let held_up = || hosts.server().counters(0).unwrap().get("tcp_accept_queue_full").unwrap();
    let deadline = soon().unwrap();
    while held_up() == 0 {
        assert!(Instant::now() < deadline, "the sixth was let in");
        thread::yield_now();
    }
    let accepted: Vec<_> = (0..6).map(|_| accept(&listener)).collect();
    sixth.wait(Readiness::WRITABLE, soon()).unwrap();
    let mut ours: Vec<_> = first.iter().chain([&sixth]).map(Socket::local_addr).collect();
    let mut theirs: Vec<_> = accepted.iter().map(Socket::peer_addr).collect();
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
    assert_eq!(listener.try_accept().unwrap_err(), RecvError::WouldBlock);
}

#[test]
fn connections_that_nobody_accepted_are_reset_with_their_listener() {
    let hosts = TwoHosts::start();
    let listener = hosts.server().tcp_listen(format!("{SERVER}:80").parse().unwrap(), 2).unwrap();
    let remote = listener.local_addr().unwrap();
    let waiting: Vec<_> = (0..4).map(|_| hosts.client().tcp_connect(None, remote, soon()).unwrap()).collect();
    drop(listener);
    for socket in waiting {
        socket.wait(Readiness::READABLE, soon()).unwrap();
        assert_eq!(socket.try_read(&mut [0]), Err(RecvError::Failed(SocketError::Reset)));
    }
}

#[test]
fn sockets_end_where_the_limit_is_and_their_slots_serve_again() {
    const SOCKETS: usize = 16;
    let hosts = TwoHosts::start_with(|config| config.limits.sockets = SOCKETS);
    let bind = || hosts.client().udp_bind("0.0.0.0:0".parse().unwrap());
    for _ in 0..3 {
        let sockets: Vec<_> = (0..SOCKETS).map(|_| bind().unwrap()).collect();
        assert_eq!(bind().unwrap_err(), BindError::NoSlots);
        let remote = format!("{SERVER}:80").parse().unwrap();
        assert_eq!(hosts.client().tcp_begin_connect(None, remote).unwrap_err(), ConnectError::NoSlots);
        drop(sockets);
        // Questions are answered behind the jobs before them.
        hosts.client().counters(0).unwrap();
    }
}

#[test]
fn a_connection_for_which_the_server_has_no_slot_is_not_heard() {
    let hosts = TwoHosts::start_with(|config| config.limits.sockets = 4);
    let listener = hosts.server().tcp_listen(format!("{SERVER}:80").parse().unwrap(), 4).unwrap();
    let others: Vec<_> =
        (0..3).map(|_| hosts.server().udp_bind("0.0.0.0:0".parse().unwrap()).unwrap()).collect();
    let connect = || hosts.client().tcp_connect(None, listener.local_addr().unwrap(), soon());
    let deadline = Some(Instant::now() + Duration::from_millis(50));
    let unheard = hosts.client().tcp_connect(None, listener.local_addr().unwrap(), deadline);
    assert_eq!(unheard.unwrap_err(), ConnectError::TimedOut);
    assert_eq!(hosts.server().counters(0).unwrap().get("sockets_full"), Some(1));
    drop(others);
    hosts.server().counters(0).unwrap();
    let connection = connect().unwrap();
    assert_eq!(accept(&listener).peer_addr(), connection.local_addr());
}

#[test]
fn short_connections_leave_nothing_behind() {
    let hosts = TwoHosts::start_with(|config| {
        config.limits.sockets = 8;
        config.tcp.time_wait = Duration::from_millis(1);
    });
    let listener = hosts.server().tcp_listen(format!("{SERVER}:80").parse().unwrap(), 4).unwrap();
    for _ in 0..200 {
        let deadline = soon().unwrap();
        let ours = loop {
            match hosts.client().tcp_connect(None, listener.local_addr().unwrap(), soon()) {
                Ok(socket) => break socket,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        let theirs = accept(&listener);
        drop(ours);
        theirs.wait(Readiness::READ_CLOSED, soon()).unwrap();
    }
}

#[test]
fn sockets_end_where_the_memory_does_and_give_it_back() {
    const LIMIT: usize = 4 << 20;
    let hosts = TwoHosts::start_with(|config| {
        (config.limits.memory, config.limits.sockets) = (LIMIT, 64);
        config.tcp.time_wait = Duration::from_millis(1);
    });
    let listener = hosts.server().tcp_listen(format!("{SERVER}:80").parse().unwrap(), 64).unwrap();
    let connect = || hosts.client().tcp_connect(None, listener.local_addr().unwrap(), soon());
    let mut full = Vec::new();
    // What the server does not read fills its rings, and then the client's.
    let refused = loop {
        match connect() {
            Ok(socket) => {
                while socket
                    .wait(Readiness::WRITABLE, Some(Instant::now() + Duration::from_millis(50)))
                    .is_ok()
                {
                    let _ = socket.try_write(&[0; 65_536]);
                }
                full.push((socket, accept(&listener)));
            }
            Err(error) => break error,
        }
        assert!(full.len() < 8, "more than 4 MiB are in use");
    };
    assert_eq!(refused, ConnectError::NoBuffers);
    for (ours, theirs) in full.drain(..) {
        ours.abort();
        theirs.abort();
    }
    let deadline = soon().unwrap();
    while let Err(error) = connect() {
        assert!(Instant::now() < deadline, "{error}");
    }
}
