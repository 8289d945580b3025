//! TAP devices, with the kernel at the other end.

use crate::contract::{self, Pooled};
use crate::namespace::{in_namespace, skip, test_name};
use crate::peer::{KERNEL, NETWORK_HEADERS, Peer, STACK, STACK_MAC};
use netlane_backends::inspect::{InspectBuf, fill_checksum};
use netlane_backends::tap::{Tap, TapConfig, TapError, TapStats, open};
use netlane_backends::wait::Waitable;
use netlane_packet_io::{
    Batch, IpVersion, LinkDown, PacketBuf, PacketIo, RxChecksum, RxOffload, Segmentation, Transport,
    TxChecksum, TxOffload,
};
use smoltcp::wire::{TcpControl, TcpRepr, TcpSeqNumber, UdpRepr};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

/// The port of the host by hand.
const PORT: u16 = 7;

/// A test in a namespace with TAP devices.
pub(crate) fn tap_test<F: FnOnce()>(body: F) {
    let name = test_name(&body);
    in_namespace(name, || {
        if let Some(error @ (TapError::NoTun | TapError::TunDenied)) = open(&config(false)).err() {
            skip(name, &error.to_string());
        }
        body();
    });
}

pub(crate) fn config(offload: bool) -> TapConfig {
    TapConfig { offload, frames: 256, ..TapConfig::new("lane%d", STACK_MAC) }
}

/// A socket of the kernel's end.
pub(crate) fn kernel_socket() -> UdpSocket {
    let socket = UdpSocket::bind((KERNEL, 0)).expect("the kernel's end has this address");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    socket
}

#[test]
fn keeps_the_contract_of_buffers() {
    tap_test(|| {
        for offload in [false, true] {
            let (_interface, ports) = open(&config(offload)).expect("a TAP device");
            for port in ports {
                let mut tap = port.open();
                contract::buffers_grow_both_ways_and_come_back_clean(&mut tap);
                contract::exhausted_pool_lends_again_what_comes_back(&mut tap, 256);
            }
        }
    });
}

#[test]
fn datagrams_go_both_ways_with_and_without_offload() {
    tap_test(|| {
        for offload in [false, true] {
            let mut peer = Peer::new(&config(offload));
            let socket = kernel_socket();
            socket.send_to(b"to the stack", (STACK, PORT)).expect("sent");
            let datagram = peer.receive_udp();
            assert_eq!(datagram.payload(), b"to the stack");
            peer.send_udp(0, datagram.answer_ports(), b"to the kernel");
            let mut answer = [0; 64];
            let (len, from) = socket.recv_from(&mut answer).expect("the kernel takes the frame");
            assert_eq!((&answer[..len], from), (&b"to the kernel"[..], (STACK, PORT).into()));
            drop(datagram);
            assert_eq!(peer.finish()[0].stats(), TapStats::default());
        }
    });
}

#[test]
fn checksum_is_filled_in_by_the_kernel_unless_the_stack_takes_it_unfilled() {
    tap_test(|| {
        let mut peer = Peer::new(&config(false));
        kernel_socket().send_to(b"checked", (STACK, PORT)).expect("sent");
        let datagram = peer.receive_udp();
        assert_eq!(datagram.buf.rx_offload(), RxOffload::default());
        assert!(datagram.packet().verify_checksum(&KERNEL.into(), &STACK.into()));
        drop(datagram);
        peer.finish();

        let mut peer = Peer::new(&config(true));
        kernel_socket().send_to(b"unfilled", (STACK, PORT)).expect("sent");
        let mut datagram = peer.receive_udp();
        assert_eq!(datagram.buf.rx_offload(), RxOffload { checksum: RxChecksum::Good, segment_size: 0 });
        assert!(!datagram.packet().verify_checksum(&KERNEL.into(), &STACK.into()));
        let unfilled = datagram.buf.rx_unfilled().expect("the kernel says where it goes");
        assert_eq!(unfilled, TxChecksum { start: NETWORK_HEADERS as u16, offset: 6 });
        fill_checksum(datagram.buf.bytes_mut(), unfilled);
        assert!(datagram.packet().verify_checksum(&KERNEL.into(), &STACK.into()));
    });
}

#[test]
fn bursts_keep_their_order_both_ways() {
    tap_test(|| {
        const COUNT: u16 = 100;
        let mut peer = Peer::new(&config(true));
        let socket = kernel_socket();
        // The first one waits for the address, and the kernel lets only a few wait with it.
        socket.send_to(b"first", (STACK, PORT)).expect("sent");
        let ports = peer.receive_udp().answer_ports();
        for number in 0..COUNT {
            socket.send_to(&number.to_be_bytes(), (STACK, PORT)).expect("sent");
        }
        for number in 0..COUNT {
            assert_eq!(peer.receive_udp().payload(), number.to_be_bytes());
        }
        for number in 0..COUNT {
            peer.send_udp(0, ports, &number.to_be_bytes());
        }
        for number in 0..COUNT {
            let mut payload = [0; 2];
            socket.recv(&mut payload).expect("the kernel takes the frame");
            assert_eq!(payload, number.to_be_bytes());
        }
        peer.finish();
    });
}

#[test]
fn tcp_super_frames_go_both_ways() {
    tap_test(|| {
        let mut peer = Peer::new(&config(true));
        exchange_super_frames(&mut peer);
        peer.finish();
    });
}

/// A TCP connection whose one end is played by hand, until 20,000 bytes went each way in super-frames.
pub(crate) fn exchange_super_frames<I: Pooled>(peer: &mut Peer<I>) {
    let data: Vec<u8> = (0..20_000_u32).map(|at| (at / 7) as u8).collect();
    let kernel = thread::spawn(move || {
        let mut stream = TcpStream::connect((STACK, PORT)).expect("the handshake completes");
        let mut received = vec![0; 20_000];
        stream.read_exact(&mut received).expect("the super-frame's bytes arrive");
        stream.write_all(&received).expect("sent");
        (stream, received)
    });
    let mut segment = shake_hands(peer);
    let iss = segment.ack_number.expect("the handshake is done");
    let header_len = (NETWORK_HEADERS + 20) as u16;
    let offload = TxOffload {
        checksum: Some(TxChecksum { start: NETWORK_HEADERS as u16, offset: 16 }),
        segmentation: Some(Segmentation {
            transport: Transport::Tcp,
            ip: IpVersion::V4,
            header_len,
            segment_size: 1460,
        }),
    };
    peer.send_tcp(&TcpRepr { payload: &data, ..segment }, offload);
    segment.seq_number += data.len();

    let (mut echoed, mut largest) = (Vec::new(), 0);
    while echoed.len() < data.len() {
        let arrived = peer.receive_tcp();
        let joined = arrived.buf.rx_offload().segment_size;
        assert_eq!(joined, if arrived.payload().len() > 1460 { 1460 } else { 0 });
        largest = largest.max(arrived.payload().len());
        echoed.extend_from_slice(arrived.payload());
        segment.ack_number = Some(iss + echoed.len());
        peer.send_tcp(&segment, TxOffload::default());
    }
    let (_open, received) = kernel.join().expect("the kernel's end is content");
    assert!(largest > 3 * 1460, "the kernel sent at most {largest} bytes at once");
    assert!(received == data && echoed == data);
}

/// Accepts the kernel's connection, and gives the segment to go on with.
fn shake_hands<I: Pooled>(peer: &mut Peer<I>) -> TcpRepr<'static> {
    let syn = peer.receive_tcp();
    let syn_ack = TcpRepr {
        src_port: PORT,
        dst_port: syn.packet().src_port(),
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(1000),
        ack_number: Some(syn.packet().seq_number() + 1),
        window_len: 65535,
        window_scale: Some(4),
        max_seg_size: Some(1460),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    peer.send_tcp(&syn_ack, TxOffload::default());
    assert!(peer.receive_tcp().packet().ack());
    let seq_number = syn_ack.seq_number + 1;
    TcpRepr { control: TcpControl::None, seq_number, window_scale: None, max_seg_size: None, ..syn_ack }
}

#[test]
fn joined_datagrams_arrive_in_one_piece_where_the_kernel_can() {
    tap_test(|| {
        let config = TapConfig { udp_segmentation: true, ..config(true) };
        let mut peer = Peer::new(&config);
        if !peer.queues[0].caps().uso {
            return eprintln!(
                "SKIPPED joined_datagrams_arrive_in_one_piece_where_the_kernel_can: Linux before 6.2"
            );
        }
        let socket = kernel_socket();
        let segment_size: libc::c_int = 1000;
        // SAFETY: UDP_SEGMENT reads an `int`.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_UDP,
                libc::UDP_SEGMENT,
                (&raw const segment_size).cast(),
                4,
            )
        };
        assert_eq!(result, 0);
        socket.send_to(&[5; 4500], (STACK, PORT)).expect("sent");
        let datagram = peer.receive_udp();
        assert_eq!(datagram.payload(), [5; 4500]);
        assert_eq!(datagram.buf.rx_offload(), RxOffload { checksum: RxChecksum::Good, segment_size: 1000 });
    });
}

#[test]
fn answers_come_on_the_queue_that_the_flow_came_from() {
    tap_test(|| {
        let mut peer = Peer::new(&TapConfig { queues: 4, ..config(true) });
        let socket = kernel_socket();
        let dst_port = socket.local_addr().expect("an address").port();
        for flow in 0..32 {
            let queue = usize::from(flow % 4);
            let ports = UdpRepr { src_port: 1000 + flow, dst_port };
            // Once, so that the kernel learns the flow; after that, it knows where to answer.
            for _ in 0..2 {
                peer.send_udp(queue, ports, b"which queue?");
                let mut payload = [0; 64];
                let (len, from) = socket.recv_from(&mut payload).expect("the kernel takes the frame");
                socket.send_to(&payload[..len], from).expect("sent");
            }
            let first = peer.receive_udp();
            assert_eq!(first.packet().dst_port(), 1000 + flow);
            assert_eq!(peer.receive_udp().queue, queue, "flow {flow}");
        }
        peer.finish();
    });
}

#[test]
fn device_without_buffers_is_not_worth_polling() {
    tap_test(|| {
        let (_interface, ports) = open(&TapConfig { frames: 2, ..config(true) }).expect("a TAP device");
        let mut tap = ports.into_iter().next().expect("one queue").open();
        let held = (tap.alloc(), tap.alloc());
        assert!(held.1.is_some() && tap.poll_fd().is_none());
        drop(held);
        assert!(tap.poll_fd().is_some());
    });
}

#[test]
fn frames_are_lost_while_the_interface_is_down_and_pass_again_when_it_is_up() {
    tap_test(|| {
        let mut peer = Peer::new(&config(true));
        let socket = kernel_socket();
        let ports = UdpRepr { src_port: PORT, dst_port: socket.local_addr().expect("an address").port() };
        peer.interface.down().expect("down");
        peer.send_udp(0, ports, b"lost");
        assert_eq!(peer.queues[0].stats(), TapStats { tx_interface_down: 1, ..TapStats::default() });
        assert_eq!(peer.queues[0].rx_burst(&mut Batch::new()), Ok(()));
        peer.interface.up().expect("up");
        peer.send_udp(0, ports, b"found");
        let mut payload = [0; 64];
        let len = socket.recv(&mut payload).expect("the kernel takes the frame");
        assert_eq!(&payload[..len], b"found");
    });
}

#[test]
fn removed_interface_is_a_link_that_is_down() {
    tap_test(|| {
        let (interface, ports) = open(&config(true)).expect("a TAP device");
        let mut tap = ports.into_iter().next().expect("one queue").open();
        remove_link(interface.index().expect("an index"));
        assert_eq!(tap.rx_burst(&mut Batch::new()), Err(LinkDown));
        let mut batch = Batch::from_iter([contract::frame(&mut tap, 1)]);
        assert_eq!((tap.tx_burst(&mut batch), batch.len()), (Err(LinkDown), 1));
    });
}

/// What `ip link del` does: RTM_DELLINK over rtnetlink(7).
fn remove_link(index: u32) {
    const RTM_DELLINK: u16 = 17;
    const NLM_F_REQUEST_ACK: u16 = 1 | 4;
    let mut message = Vec::new();
    message.extend(32_u32.to_ne_bytes());
    message.extend(RTM_DELLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend([0; 12]);
    message.extend(index.to_ne_bytes());
    message.extend([0; 8]);
    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, socket};
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None).expect("a netlink socket");
    send(&socket, &message, SendFlags::empty()).expect("sent");
    let mut answer = [0; 256];
    recv(&socket, &mut answer, RecvFlags::empty()).expect("an answer");
    assert_eq!(answer[16..20], [0; 4], "the kernel removed the link");
}

#[test]
fn frames_that_the_kernel_refuses_or_that_are_too_long_are_counted() {
    tap_test(|| {
        let mut peer = Peer::new(&config(false));
        let tap: &mut Tap = &mut peer.queues[0];
        let mut buf = tap.alloc().expect("a buffer");
        buf.append(3).expect("tailroom").fill(0);
        let mut batch = Batch::from_iter([buf]);
        tap.tx_burst(&mut batch).expect("the device is there");
        assert_eq!((batch.len(), tap.stats().tx_refused), (0, 1));

        let socket = kernel_socket();
        socket.send_to(b"fits", (STACK, PORT)).expect("sent");
        peer.receive_udp();
        peer.interface.set_mtu(4000).expect("the kernel's end may send more than the stack's takes");
        socket.send_to(&[0; 3000], (STACK, PORT)).expect("sent");
        socket.send_to(b"fits again", (STACK, PORT)).expect("sent");
        assert_eq!(peer.receive_udp().payload(), b"fits again");
        assert_eq!(
            peer.finish()[0].stats(),
            TapStats { tx_refused: 1, rx_too_long: 1, ..TapStats::default() }
        );
    });
}

#[test]
fn interface_takes_its_settings() {
    tap_test(|| {
        let (interface, ports) =
            open(&TapConfig { mtu: 9000, queues: 2, ..config(true) }).expect("a TAP device");
        assert_eq!((interface.name(), ports.len()), ("lane0", 2));
        assert_eq!(interface.mtu().expect("an MTU"), 9000);
        assert_ne!(interface.mac().expect("an address"), STACK_MAC);
        interface.set_mac([2, 9, 8, 7, 6, 5]).expect("another address");
        assert_eq!(interface.mac().expect("an address"), [2, 9, 8, 7, 6, 5]);
        interface.set_address("10.9.0.1".parse().expect("an address"), 30).expect("an IPv4 address");
        interface.set_address("fd00::1".parse().expect("an address"), 64).expect("an IPv6 address");
        interface.up().expect("up");
        UdpSocket::bind("10.9.0.1:0").expect("the IPv4 address is there");
        let route = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        route.connect("10.9.0.2:9").expect("the network is reached through the interface");
        assert!(route.connect("10.9.0.9:9").is_err(), "and no more than the network");
        let name = interface.name().to_owned();
        drop(ports);
        assert!(matches!(interface.up(), Err(TapError::Setting { .. })), "{name} is gone with its queues");
    });
}

#[test]
fn errors_say_what_is_wrong_and_what_to_do() {
    tap_test(|| {
        let named = |name: &str| TapConfig { name: name.into(), ..config(true) };
        let error = |config: &TapConfig| open(config).expect_err("it cannot be made");
        let (_interface, _ports) = open(&named("mine")).expect("a TAP device");
        assert!(matches!(error(&named("mine")), TapError::Busy { .. }));
        let several = TapConfig { queues: 2, ..named("mine") };
        assert!(matches!(error(&several), TapError::Incompatible { .. }), "{}", error(&several));
        assert!(matches!(error(&named("lo")), TapError::Incompatible { .. }));
        for name in ["", "sixteen-bytes-xx", "a/b", "a b", ".", "a:1"] {
            assert!(matches!(error(&named(name)), TapError::Name { .. }), "{name:?}");
        }
        for queues in [0, 257] {
            let config = TapConfig { queues, ..named("other") };
            assert!(matches!(error(&config), TapError::QueueCount(_)));
        }
        assert!(error(&named("mine")).to_string().contains("choose another name"));
    });
}
