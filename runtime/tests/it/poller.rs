//! Waiting for many sockets at once.

use std::thread;
use std::time::{Duration, Instant};

use netlane_runtime::{PollError, Readiness, Socket};

use crate::stream::{read_full, write_all};
use crate::two_hosts::{CLIENT, SERVER, TwoHosts, soon};

#[test]
fn hundreds_of_connections_are_served_by_one_thread() {
    let hosts = TwoHosts::start();
    let listener = hosts.server().tcp_listen(format!("{SERVER}:80").parse().unwrap(), 16).unwrap();
    const CONNECTIONS: usize = 300;
    let poller = hosts.server().poller().unwrap();
    poller.add(&listener, u64::MAX, Readiness::READABLE).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let connect =
                || hosts.client().tcp_connect(None, listener.local_addr().unwrap(), soon()).unwrap();
            let sockets: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
            for (number, socket) in sockets.iter().enumerate() {
                write_all(socket, &(number as u32).to_be_bytes());
            }
            for (number, socket) in sockets.iter().enumerate() {
                let mut echo = [0; 4];
                assert_eq!(read_full(socket, &mut echo), 4);
                assert_eq!(u32::from_be_bytes(echo), number as u32);
            }
        });
        let mut sockets: Vec<Option<Socket>> = Vec::new();
        let (mut events, mut closed) = (Vec::new(), 0);
        while closed < CONNECTIONS {
            events.clear();
            assert!(poller.wait(&mut events, soon()) > 0, "{closed} of {CONNECTIONS} are done");
            for event in &events {
                if event.token == u64::MAX {
                    while let Ok(socket) = listener.try_accept() {
                        poller.add(&socket, sockets.len() as u64, Readiness::READABLE).unwrap();
                        sockets.push(Some(socket));
                    }
                    continue;
                }
                let place = &mut sockets[event.token as usize];
                let mut bytes = [0; 100];
                match place.as_ref().expect("an open socket").try_read(&mut bytes) {
                    Ok(0) | Err(_) => {
                        *place = None;
                        closed += 1;
                    }
                    Ok(n) => write_all(place.as_ref().unwrap(), &bytes[..n]),
                }
            }
        }
    });
}

#[test]
fn what_is_ready_is_told_until_it_is_not() {
    let hosts = TwoHosts::start();
    let (client, server) = hosts.connection();
    let poller = hosts.server().poller().unwrap();
    write_all(&client, b"ab");
    server.wait(Readiness::READABLE, soon()).unwrap();
    poller.add(&server, 5, Readiness::READABLE).unwrap();
    for _ in 0..3 {
        let mut events = Vec::new();
        assert_eq!(poller.wait(&mut events, soon()), 1);
        assert_eq!((events[0].token, events[0].ready), (5, Readiness::READABLE));
    }
    assert_eq!(read_full(&server, &mut [0; 2]), 2);
    let past = Some(Instant::now());
    assert_eq!(poller.wait(&mut Vec::new(), past), 0);
    poller.modify(&server, 6, Readiness::READABLE | Readiness::WRITABLE).unwrap();
    let mut events = Vec::new();
    assert_eq!(poller.wait(&mut events, soon()), 1);
    assert_eq!((events[0].token, events[0].ready), (6, Readiness::WRITABLE));
}

#[test]
fn a_socket_is_in_one_poller_and_leaves_it_when_it_is_removed_or_closed() {
    let hosts = TwoHosts::start();
    let (client, server) = hosts.connection();
    let [first, second] = [(); 2].map(|()| hosts.server().poller().unwrap());
    let all = Readiness::READABLE | Readiness::WRITABLE;
    first.add(&server, 1, all).unwrap();
    assert_eq!(second.add(&server, 1, all), Err(PollError::Registered));
    assert_eq!(second.remove(&server), Err(PollError::NotRegistered));
    first.remove(&server).unwrap();
    second.add(&server, 2, all).unwrap();
    write_all(&client, b"x");
    assert_eq!(first.wait(&mut Vec::new(), Some(Instant::now() + Duration::from_millis(20))), 0);
    assert_eq!(second.wait(&mut Vec::new(), soon()), 1);
    drop(server);
    assert_eq!(second.wait(&mut Vec::new(), Some(Instant::now() + Duration::from_millis(20))), 0);
}

#[test]
fn a_poller_is_woken_by_another_thread() {
    let hosts = TwoHosts::start();
    let poller = hosts.client().poller().unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| poller.wait(&mut Vec::new(), None));
        poller.wake();
        assert_eq!(waiter.join().expect("the waiter"), 0);
    });
}

#[test]
fn pollers_end_where_the_limit_is() {
    let hosts = TwoHosts::start();
    let mut pollers: Vec<_> = (0..64).map(|_| hosts.client().poller().unwrap()).collect();
    assert_eq!(hosts.client().poller().unwrap_err(), PollError::TooMany);
    pollers.swap_remove(17);
    let again = hosts.client().poller().unwrap();
    assert_eq!(hosts.client().poller().unwrap_err(), PollError::TooMany);
    drop(again);
}

#[test]
fn more_changes_than_a_poller_is_told_of_are_found_all_the_same() {
    let hosts = TwoHosts::start();
    let poller = hosts.server().poller().unwrap();
    const SOCKETS: usize = 1_500;
    let bind = || hosts.server().udp_bind(format!("{SERVER}:0").parse().unwrap()).unwrap();
    let sockets: Vec<_> = (0..SOCKETS).map(|_| bind()).collect();
    for (token, socket) in sockets.iter().enumerate() {
        poller.add(socket, token as u64, Readiness::READABLE).unwrap();
    }
    let client = hosts.client().udp_bind(format!("{CLIENT}:0").parse().unwrap()).unwrap();
    for socket in &sockets {
        while client.try_send_to(b"x", socket.local_addr().unwrap()).is_err() {
            client.wait(Readiness::WRITABLE, soon()).unwrap();
        }
        socket.wait(Readiness::READABLE, soon()).unwrap();
    }
    let mut events = Vec::new();
    assert_eq!(poller.wait(&mut events, soon()), SOCKETS);
    events.sort_by_key(|event| event.token);
    assert!(events.iter().map(|event| event.token).eq(0..SOCKETS as u64));
}
