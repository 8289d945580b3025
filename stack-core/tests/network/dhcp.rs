//! Addresses from a DHCP server, and others on the link who have them already: RFC 2131, RFC 5227.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use netlane_core::wire::{ArpOperation, EtherType, EthernetRepr, MacAddr, UdpRepr, udp};
use netlane_core::{ConflictDetection, ConnectError, NetworkEvent, SocketError, StackConfig};
use netlane_sim::Script;

use crate::frames::{PEER, STACK, arp, ethernet_to, header, parse_arp, parse_ip, parse_udp};

const LEASED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x77]);

/// A stack without an address, whose peer is a DHCP server.
fn nameless() -> Script {
    Script::builder()
        .stack(|config| {
            config.interface.addresses.clear();
            config.interface.dhcp = true;
        })
        .start()
}

/// What a client has said: its options are behind the first 240 bytes (RFC 2131 §2).
struct Message {
    bytes: Vec<u8>,
    from: Ipv4Addr,
    to: Ipv4Addr,
}

impl Message {
    fn kind(&self) -> u8 {
        self.option(53).expect("a DHCP message")[0]
    }

    fn xid(&self) -> [u8; 4] {
        self.bytes[4..8].try_into().unwrap()
    }

    fn option(&self, wanted: u8) -> Option<&[u8]> {
        let mut rest = &self.bytes[240..];
        while let [code, len, more @ ..] = rest {
            let (value, behind) = more.split_at(usize::from(*len));
            if *code == wanted {
                return Some(value);
            }
            rest = behind;
        }
        None
    }
}

/// The next message of the client, within `span`. What else it sends is ARP.
fn message(script: &mut Script, span: Duration) -> Option<Message> {
    for _ in 0..100 {
        while let Some(frame) = script.next_frame() {
            let (ethernet, _) = EthernetRepr::parse(&frame).unwrap();
            if ethernet.ethertype == EtherType::IPV4 {
                let (_, packet) = parse_ip(&frame);
                let datagram = parse_udp(&frame);
                assert_eq!((datagram.repr.src_port, datagram.repr.dst_port), (68, 67));
                let (from, to) = (packet.repr.src, packet.repr.dst);
                return Some(Message { bytes: datagram.payload.to_vec(), from, to });
            }
        }
        script.run_for(span / 100);
    }
    None
}

/// A server's answer.
fn answer(script: &mut Script, to: &Message, kind: u8, address: Ipv4Addr, lease: u32) {
    let mut bytes = vec![0; 240];
    bytes[..3].copy_from_slice(&[2, 1, 6]);
    bytes[4..8].copy_from_slice(&to.xid());
    bytes[16..20].copy_from_slice(&address.octets());
    bytes[28..34].copy_from_slice(&Script::STACK_MAC.0);
    bytes[236..240].copy_from_slice(&[99, 130, 83, 99]);
    bytes.extend([53, 1, kind, 54, 4, 10, 0, 0, 2, 1, 4, 255, 255, 255, 0]);
    bytes.extend([3, 4, 10, 0, 0, 2, 6, 4, 10, 0, 0, 3, 51, 4]);
    bytes.extend(lease.to_be_bytes());
    bytes.push(255);
    let everybody = to.from.is_unspecified();
    let target = if everybody { Ipv4Addr::BROADCAST } else { to.from };
    let repr = UdpRepr { src_port: 67, dst_port: 68, payload_len: bytes.len() as u16 };
    let mut datagram = vec![0; udp::HEADER_LEN];
    repr.emit(&mut datagram);
    datagram.extend(bytes);
    let ip = header(PEER, target, netlane_core::wire::Protocol::UDP, datagram.len());
    let mut packet = vec![0; 20];
    ip.emit(&mut packet);
    packet.extend(datagram);
    let mac = if everybody { MacAddr::BROADCAST } else { Script::STACK_MAC };
    script.inject_frame(&ethernet_to(mac, EtherType::IPV4, &packet));
}

/// The server offers and acknowledges; the client is left to its probes.
fn acknowledged(script: &mut Script, lease: u32) {
    let discover = message(script, Duration::from_secs(2)).expect("a DHCPDISCOVER");
    assert_eq!(
        (discover.kind(), discover.from, discover.to),
        (1, Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST)
    );
    answer(script, &discover, 2, LEASED, lease);
    let request = message(script, Duration::from_secs(1)).expect("a DHCPREQUEST");
    assert_eq!((request.kind(), request.option(50)), (3, Some(&LEASED.octets()[..])));
    answer(script, &request, 5, LEASED, lease);
}

fn leased(lease: u32) -> Script {
    let mut script = nameless();
    acknowledged(&mut script, lease);
    script.run_for(Duration::from_secs(10));
    script
}

fn events(script: &mut Script) -> Vec<NetworkEvent> {
    std::iter::from_fn(|| script.stack().next_network_event()).collect()
}

fn conflict() -> Vec<u8> {
    arp(ArpOperation::Request, (OTHER, LEASED), (MacAddr::ZERO, LEASED))
}

#[test]
fn address_router_and_name_servers_come_from_the_server_once_nobody_has_the_address() {
    let mut script = nameless();
    acknowledged(&mut script, 3_600);
    assert_eq!(script.stack().tcp_connect(None, Script::PEER), Err(ConnectError::Unreachable));
    script.run_for(Duration::from_secs(10));
    // RFC 5227 §2.1.1, §2.3: three probes from nobody, two announcements.
    let senders: Vec<_> = std::iter::from_fn(|| script.next_frame())
        .map(|frame| parse_arp(&frame))
        .map(|(to, arp)| {
            assert_eq!(
                (to, arp.operation, arp.target_ip),
                (MacAddr::BROADCAST, ArpOperation::Request, LEASED)
            );
            arp.sender_ip
        })
        .collect();
    let nobody = Ipv4Addr::UNSPECIFIED;
    assert_eq!(senders, [nobody, nobody, nobody, LEASED, LEASED]);
    assert_eq!(
        events(&mut script),
        [
            NetworkEvent::AddressGained("10.0.0.9/24".parse().unwrap()),
            NetworkEvent::RouterGained(PEER.into()),
            NetworkEvent::DnsServers(vec![IpAddr::from([10, 0, 0, 3])]),
        ]
    );
    let socket = script.stack().tcp_connect(None, "192.0.2.1:80".parse().unwrap()).unwrap();
    assert_eq!(script.stack().local_addr(socket).unwrap().ip(), IpAddr::V4(LEASED));
}

/// RFC 2131 §4.4.5.
#[test]
fn lease_is_renewed_from_the_address_itself() {
    let mut script = leased(3_600);
    script.skip();
    script.run_for(Duration::from_secs(1_780));
    let renewal = message(&mut script, Duration::from_secs(30)).expect("a DHCPREQUEST");
    assert_eq!((renewal.kind(), renewal.from, renewal.to), (3, LEASED, PEER));
    assert_eq!(renewal.bytes[12..16], LEASED.octets());
    answer(&mut script, &renewal, 5, LEASED, 3_600);
    events(&mut script);
    script.run_for(Duration::from_secs(1_700));
    assert!(message(&mut script, Duration::from_secs(10)).is_none());
    assert_eq!(events(&mut script), []);
}

#[test]
fn address_and_what_used_it_go_when_the_lease_is_over() {
    let mut script = leased(60);
    let socket = script.stack().udp_bind(SocketAddr::from((LEASED, 53))).unwrap();
    events(&mut script);
    script.run_for(Duration::from_secs(60));
    let lost =
        [NetworkEvent::RouterLost(PEER.into()), NetworkEvent::AddressLost("10.0.0.9/24".parse().unwrap())];
    assert_eq!(events(&mut script), lost);
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::AddressRemoved)));
    script.skip();
    assert_eq!(message(&mut script, Duration::from_secs(80)).expect("another try").kind(), 1);
}

/// RFC 2131 §3.1, point 5.
#[test]
fn address_that_somebody_has_is_declined() {
    let mut script = nameless();
    acknowledged(&mut script, 3_600);
    script.run_for(Duration::from_millis(1_500));
    script.inject_frame(&conflict());
    let decline = message(&mut script, Duration::from_secs(1)).expect("a DHCPDECLINE");
    assert_eq!((decline.kind(), decline.option(50)), (4, Some(&LEASED.octets()[..])));
    let taken = NetworkEvent::AddressConflict { address: LEASED.into(), mac: OTHER };
    assert_eq!(events(&mut script), [taken]);
    assert!(message(&mut script, Duration::from_secs(9)).is_none());
    assert_eq!(message(&mut script, Duration::from_secs(5)).expect("another try").kind(), 1);
}

/// RFC 5227 §2.4 (b).
#[test]
fn leased_address_is_defended_once_and_then_given_up() {
    let mut script = leased(3_600);
    script.skip();
    events(&mut script);
    script.inject_frame(&conflict());
    let (_, defence) = parse_arp(&script.next_frame().expect("a defence"));
    assert_eq!((defence.sender_ip, defence.target_ip), (LEASED, LEASED));
    script.inject_frame(&conflict());
    assert!(events(&mut script).contains(&NetworkEvent::AddressLost("10.0.0.9/24".parse().unwrap())));
    assert_eq!(message(&mut script, Duration::from_secs(1)).expect("a DHCPDECLINE").kind(), 4);
}

#[test]
fn address_is_given_back_when_it_is_needed_no_more() {
    let mut script = leased(3_600);
    script.skip();
    script.stack().dhcp_release();
    let release = message(&mut script, Duration::from_millis(1)).expect("a DHCPRELEASE");
    assert_eq!((release.kind(), release.from, release.to), (7, LEASED, PEER));
    assert!(message(&mut script, Duration::from_secs(7_200)).is_none());
}

#[test]
fn configured_address_is_probed_announced_and_held_on_to_as_the_configuration_says() {
    let start = |detection| {
        let mut script =
            Script::builder().stack(|config| config.interface.conflict_detection = detection).start();
        script.run_for(Duration::from_secs(10));
        let sent = std::iter::from_fn(|| script.next_frame()).map(|frame| parse_arp(&frame).1.sender_ip);
        let sent: Vec<_> = sent.collect();
        (script, sent)
    };
    let nobody = Ipv4Addr::UNSPECIFIED;
    assert_eq!(start(ConflictDetection::Off).1, [nobody; 0]);
    assert_eq!(start(ConflictDetection::Probe).1, [nobody, nobody, nobody, STACK, STACK]);
    let (mut script, sent) = start(ConflictDetection::Defend);
    assert_eq!(sent, [STACK, STACK]);
    for defences in [1, 0] {
        script.inject_frame(&arp(ArpOperation::Request, (OTHER, STACK), (MacAddr::ZERO, STACK)));
        assert_eq!(script.skip(), defences);
    }
    assert_eq!(script.stack().counters().address_conflicts, 2);
    assert!(script.stack().tcp_connect(None, Script::PEER).is_ok(), "RFC 5227 §2.4 (c)");
}

#[test]
fn probed_address_that_somebody_has_is_never_used() {
    let mut script = Script::builder()
        .stack(|config| config.interface.conflict_detection = ConflictDetection::Probe)
        .start();
    script.run_for(Duration::from_millis(1_500));
    script.inject_frame(&arp(ArpOperation::Reply, (OTHER, STACK), (Script::STACK_MAC, STACK)));
    script.run_for(Duration::from_secs(60));
    assert_eq!(script.stack().tcp_connect(None, Script::PEER), Err(ConnectError::Unreachable));
    assert_eq!(events(&mut script), [NetworkEvent::AddressConflict { address: STACK.into(), mac: OTHER }]);
}

/// A stack on one of two queues of an interface.
fn on_queue(queue: usize, change: impl Fn(&mut StackConfig)) -> Script {
    Script::builder()
        .stack(|config| {
            config.interface.addresses.clear();
            (config.interface.queues, config.interface.queue) = (2, queue);
            change(config);
        })
        .start()
}

/// What each has found out that concerns the other.
fn exchange(one: &mut Script, other: &mut Script) {
    loop {
        let (here, there) = (one.stack().next_notice(), other.stack().next_notice());
        if here.is_none() && there.is_none() {
            return;
        }
        here.iter().for_each(|notice| other.stack().receive_notice(notice));
        there.iter().for_each(|notice| one.stack().receive_notice(notice));
    }
}

#[test]
fn of_several_queues_the_first_asks_and_all_learn_the_address_wherever_the_answers_arrive() {
    let dhcp = |config: &mut StackConfig| config.interface.dhcp = true;
    let (mut first, mut second) = (on_queue(0, dhcp), on_queue(1, dhcp));
    assert!(message(&mut second, Duration::from_secs(30)).is_none(), "the second asks for nothing");
    let discover = message(&mut first, Duration::from_secs(2)).expect("a DHCPDISCOVER");
    answer(&mut second, &discover, 2, LEASED, 600);
    exchange(&mut first, &mut second);
    let request = message(&mut first, Duration::from_secs(1)).expect("a DHCPREQUEST");
    answer(&mut second, &request, 5, LEASED, 600);
    exchange(&mut first, &mut second);
    first.run_for(Duration::from_secs(20));
    exchange(&mut first, &mut second);
    for script in [&mut first, &mut second] {
        let socket = script.stack().udp_bind(SocketAddr::from((LEASED, 53)));
        assert!(socket.is_ok(), "the address is both stacks'");
        let events: Vec<_> = std::iter::from_fn(|| script.stack().next_network_event()).collect();
        assert!(events.contains(&NetworkEvent::AddressGained("10.0.0.9/24".parse().unwrap())), "{events:?}");
        assert!(events.contains(&NetworkEvent::RouterGained(PEER.into())), "{events:?}");
    }
    // Without the server, the address goes as it came.
    first.run_for(Duration::from_secs(700));
    exchange(&mut first, &mut second);
    for script in [&mut first, &mut second] {
        assert!(script.stack().udp_bind(SocketAddr::from((LEASED, 54))).is_err(), "the address is nobody's");
    }
}

#[test]
fn of_several_queues_the_first_probes_and_hears_of_conflicts_wherever_they_arrive() {
    let probe = |config: &mut StackConfig| {
        config.interface.addresses.push(format!("{LEASED}/24").parse().unwrap());
        config.interface.conflict_detection = ConflictDetection::Probe;
    };
    let (mut first, mut second) = (on_queue(0, probe), on_queue(1, probe));
    second.run_for(Duration::from_secs(2));
    second.expect_nothing();
    first.run_for(Duration::from_secs(2));
    assert!(first.skip() > 0, "the first probes");
    second.inject_frame(&arp(
        ArpOperation::Reply,
        (OTHER, LEASED),
        (Script::STACK_MAC, Ipv4Addr::UNSPECIFIED),
    ));
    exchange(&mut first, &mut second);
    first.run_for(Duration::from_secs(20));
    exchange(&mut first, &mut second);
    for script in [&mut first, &mut second] {
        assert!(script.stack().udp_bind(SocketAddr::from((LEASED, 53))).is_err(), "somebody else has it");
    }
    let (mut first, mut second) = (on_queue(0, probe), on_queue(1, probe));
    first.run_for(Duration::from_secs(20));
    exchange(&mut first, &mut second);
    assert!(second.stack().udp_bind(SocketAddr::from((LEASED, 53))).is_ok(), "nobody else has it");
}
