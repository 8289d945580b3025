//! What a client may write to the memory that it shares with its lanes, and how little that does.

use std::time::{Duration, Instant};

use netlane_backends::memory::{MemoryConfig, pair};
use netlane_config::{Config, Interface};
use netlane_core::{BindOptions, Readiness};

use super::Host;
use crate::shared::{Question, Request};

/// A host, and a peer to keep its link up.
fn hosts() -> (Host, Host) {
    let config = |address: &str| {
        let addresses = vec![address.parse().expect("an address")];
        let mut config = Config {
            seed: Some(1),
            interface: Interface { addresses, ..Interface::default() },
            ..Config::default()
        };
        config.limits.sockets = 32;
        config
    };
    let (a, b) = pair(&MemoryConfig::default()).expect("a link");
    let start = |address, port| Host::start_with(&config(address), vec![port]).expect("a host");
    (start("10.0.0.1/24", a), start("10.0.0.2/24", b))
}

#[test]
fn jobs_that_make_no_sense_harm_nobody() {
    let (host, peer) = hosts();
    let client = host.client();
    let listener = client.tcp_listen("10.0.0.1:80".parse().unwrap(), 4).unwrap();
    let udp = client.udp_bind("10.0.0.1:53".parse().unwrap()).unwrap();
    let any = "0.0.0.0:0".parse().unwrap();
    let requests = [
        Request::Look,
        Request::Connect { local: None, remote: "10.0.0.2:1".parse().unwrap() },
        Request::Listen { local: any, options: BindOptions::default(), backlog: u32::MAX, wake: u32::MAX },
        Request::BindUdp { local: any, options: BindOptions::default(), wake: 31 },
        Request::Shutdown,
        Request::NoDelay(true),
        Request::KeepAlive(None),
        Request::ConnectUdp { peer: None },
        Request::Ask { question: Question::State, ticket: 77 },
    ];
    // Slots that are in use, that never were, and that there are not.
    for slot in [0, 1, 30, 32, 1 << 20, u32::MAX] {
        for request in requests {
            host.region.push_job(0, request.into_job(slot)).expect("room for a job");
        }
    }
    for slot in [5, 30, 32, u32::MAX] {
        for request in [Request::Close, Request::Abort, Request::Close] {
            host.region.push_job(0, request.into_job(slot)).expect("room for a job");
        }
    }
    client.counters(0).expect("a living lane");
    let soon = Some(Instant::now() + Duration::from_secs(20));
    let stream = peer.client().tcp_connect(None, listener.local_addr().unwrap(), soon).unwrap();
    listener.wait(Readiness::READABLE, soon).unwrap();
    assert_eq!(listener.try_accept().unwrap().peer_addr(), stream.local_addr());
    let other = peer.client().udp_bind("10.0.0.2:0".parse().unwrap()).unwrap();
    other.try_send_to(b"x", udp.local_addr().unwrap()).unwrap();
    udp.wait(Readiness::READABLE, soon).unwrap();
}

#[test]
fn a_slot_that_is_offered_twice_is_used_once() {
    let (host, peer) = hosts();
    let listener = host.client().tcp_listen("10.0.0.1:80".parse().unwrap(), 8).unwrap();
    let used = 0;
    for slot in [used, used, 32, u32::MAX] {
        host.region.offer_slot(0, slot);
    }
    let soon = Some(Instant::now() + Duration::from_secs(20));
    let stream = peer.client().tcp_connect(None, listener.local_addr().unwrap(), soon).unwrap();
    listener.wait(Readiness::READABLE, soon).unwrap();
    assert_eq!(listener.try_accept().unwrap().peer_addr(), stream.local_addr());
    assert!(listener.state().is_ok());
}
