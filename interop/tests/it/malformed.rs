//! Frames that nobody should send.

use std::io::{Read, Write};
use std::net;
use std::thread;

use netlane_interop::namespace::{alone, with_programs};
use netlane_interop::raw::RawSocket;
use netlane_interop::wire::{KERNEL, NETLANE, Wire, at_netlane};
use netlane_posix::{TcpListener, TcpStream, UdpSocket};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, Ipv4Packet, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

use crate::frames::{
    ARP, GHOST, GHOST_MAC, IPV4, NETLANE_MAC, PORT, VLAN, ethernet, ghost, icmp_packet, silence_the_kernel,
    tcp_packet, udp_packet,
};

/// How many frames of noise are sent.
const NOISE: u64 = 20_000;

#[test]
fn every_malformed_frame_is_dropped_and_counted_and_the_host_serves_on() {
    with_programs(&["ip"], || {
        let wire = quiet_wire();
        let listener = TcpListener::bind(wire.net(), at_netlane(PORT)).expect("a listener");
        let _socket = UdpSocket::bind(wire.net(), at_netlane(PORT)).expect("a socket");
        let raw = RawSocket::open().expect("a raw socket");
        for (what, counter, frame) in malformed_frames() {
            let before = wire.counted(counter);
            raw.send(&frame).unwrap_or_else(|error| panic!("{what}: {error}"));
            catch_up(&wire, &raw);
            assert_eq!(wire.counted(counter), before + 1, "{what} is counted as {counter} once");
        }
        serves(&listener);
    });
}

#[test]
fn noise_is_dropped_and_the_host_serves_on() {
    alone(|| {
        let wire = quiet_wire();
        let listener = TcpListener::bind(wire.net(), at_netlane(PORT)).expect("a listener");
        let _socket = UdpSocket::bind(wire.net(), at_netlane(PORT)).expect("a socket");
        let raw = RawSocket::open().expect("a raw socket");
        let seed = 0x6e65_746c_616e_6531;
        println!("seed {seed:#x}");
        let mut state: u64 = seed;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize
        };
        let frames: Vec<Vec<u8>> = malformed_frames().into_iter().map(|(_, _, frame)| frame).collect();
        for number in 0..NOISE {
            let mut frame = frames[random() % frames.len()].clone();
            frame.truncate(14 + random() % frame.len());
            for _ in 0..random() % 8 {
                // What is not for netlane's Ethernet address goes no further: leave that as it is.
                let place = 6 + random() % (frame.len() - 6);
                frame[place] = random() as u8;
            }
            if random() % 2 == 0 {
                let packet = frame.split_off(14);
                frame.extend(sealed(packet));
            }
            raw.send(&frame).expect("room");
            // The device holds a thousand frames.
            if number % 100 == 0 {
                catch_up(&wire, &raw);
            }
        }
        catch_up(&wire, &raw);
        assert!(wire.counted("rx_frames") > NOISE);
        serves(&listener);
    });
}

#[test]
fn overlapping_segments_make_one_stream() {
    alone(|| {
        let wire = quiet_wire();
        let (raw, mut stream, isn) = connection_by_hand(&wire);
        let text = b"the quick brown fox jumps over the lazy dog";
        let data = |from: usize, to: usize| {
            let mut segment = segment_after(isn);
            segment.seq_number = TcpSeqNumber(FIRST + 1) + from;
            segment.payload = &text[from..to];
            raw.send(&tcp_frame(&segment)).expect("room");
        };
        // Behind a gap, inside of each other, across each other's edges, twice, and at last the gap.
        for (from, to) in
            [(10, 20), (12, 15), (5, 12), (18, 30), (10, 20), (30, 43), (25, 35), (0, 7), (0, 43)]
        {
            data(from, to);
        }
        let mut received = vec![0; text.len()];
        stream.read_exact(&mut received).expect("the text");
        assert_eq!(received, text);
        assert!(wire.counted("tcp_out_of_order") >= 6);
        // Far beyond the window.
        let before = wire.counted("tcp_out_of_window");
        let mut segment = segment_after(isn);
        segment.seq_number = TcpSeqNumber(FIRST + 1) + (1 << 30);
        segment.payload = b"lost";
        raw.send(&tcp_frame(&segment)).expect("room");
        while wire.counted("tcp_out_of_window") == before {
            thread::yield_now();
        }
        // The connection has taken no harm.
        let mut segment = segment_after(isn);
        segment.seq_number = TcpSeqNumber(FIRST + 1) + text.len();
        segment.payload = b"!";
        raw.send(&tcp_frame(&segment)).expect("room");
        stream.read_exact(&mut received[..1]).expect("one byte more");
        assert_eq!(received[0], b'!');
    });
}

/// Frames that are to be dropped, what is wrong with each, and where that is counted.
fn malformed_frames() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut frames = vec![
        ("nothing behind the Ethernet header", "rx_truncated", ethernet(IPV4, &[])),
        ("a tag without an ethertype", "rx_truncated", ethernet(VLAN, &[0])),
        ("a tag of a VLAN that is not ours", "rx_other_vlan", ethernet(VLAN, &[0, 5, 8, 0, 0x45])),
        ("a protocol that nobody speaks", "rx_unknown_protocol", ethernet(0x88b5, &[1; 50])),
        ("half an ARP packet", "rx_truncated", ethernet(ARP, &[0, 1, 8, 0, 6, 4, 0, 1, 2])),
        ("ARP for addresses of other lengths", "rx_malformed", ethernet(ARP, &ODD_ARP)),
    ];
    frames
        .extend(malformed_packets().map(|(what, counter, packet)| (what, counter, ethernet(IPV4, &packet))));
    frames
        .extend(malformed_segments().map(|(what, counter, packet)| (what, counter, ethernet(IPV4, &packet))));
    frames.extend(
        malformed_datagrams().map(|(what, counter, packet)| (what, counter, ethernet(IPV4, &packet))),
    );
    frames
}

/// An ARP request for an address of 8 bytes.
const ODD_ARP: [u8; 32] = {
    let mut packet = [0; 32];
    (packet[1], packet[2], packet[4], packet[5], packet[7]) = (1, 8, 6, 8, 1);
    packet
};

fn malformed_packets() -> impl Iterator<Item = (&'static str, &'static str, Vec<u8>)> {
    let changed = |change: fn(&mut Vec<u8>)| changed(udp_packet(b"datagram"), change);
    [
        ("half an IPv4 header", "rx_truncated", changed(|packet| packet.truncate(10))),
        ("version 6 in an IPv4 frame", "rx_malformed", changed(|packet| packet[0] = 0x65)),
        ("a header of four words", "rx_malformed", changed(|packet| packet[0] = 0x44)),
        ("a header longer than its packet", "rx_malformed", {
            changed(|packet| {
                packet[0] = 0x4f;
                packet[3] = 36;
            })
        }),
        ("a packet shorter than its header", "rx_malformed", changed(|packet| packet[3] = 19)),
        ("a packet longer than its frame", "rx_malformed", changed(|packet| packet[2] = 1)),
        ("a wrong checksum of the header", "rx_bad_checksum", {
            let mut packet = udp_packet(b"datagram");
            packet[10] ^= 1;
            packet
        }),
        ("a fragment", "rx_fragments", changed(|packet| packet[6] = 0x20)),
        ("a later fragment", "rx_fragments", changed(|packet| packet[7] = 9)),
        ("another host's address", "rx_other_address", changed(|packet| packet[19] = 77)),
        ("nobody's address as the source", "rx_bad_source", changed(|packet| packet[12..16].fill(255))),
        ("a group as the source", "rx_bad_source", changed(|packet| packet[12] = 224)),
        ("loopback as the source", "rx_bad_source", changed(|packet| packet[12] = 127)),
        ("netlane as the source: a land attack", "rx_bad_source", changed(|packet| packet[15] = 2)),
        ("a protocol that nobody speaks", "rx_unknown_protocol", changed(|packet| packet[9] = 253)),
        ("an IP option of no length", "rx_bad_options", with_ip_options([7, 0, 0, 0])),
        ("an IP option without an end", "rx_bad_options", with_ip_options([7, 9, 4, 0])),
        ("a source route", "rx_bad_options", with_ip_options([131, 3, 4, 0])),
    ]
    .into_iter()
}

fn malformed_segments() -> impl Iterator<Item = (&'static str, &'static str, Vec<u8>)> {
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut packet = tcp_packet(&SYN, GHOST);
        change(&mut packet);
        let len = packet.len() as u16;
        let mut ip = Ipv4Packet::new_unchecked(&mut packet[..]);
        ip.set_total_len(len);
        ip.fill_checksum();
        TcpPacket::new_unchecked(&mut packet[20..]).fill_checksum(&GHOST.into(), &NETLANE.into());
        packet
    };
    [
        ("half a TCP header", "rx_truncated", {
            let mut packet = tcp_packet(&SYN, GHOST);
            packet.truncate(30);
            packet[3] = 30;
            Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
            packet
        }),
        ("a TCP header of four words", "rx_malformed", changed(|packet| packet[32] = 0x40)),
        ("a TCP header longer than its packet", "rx_malformed", changed(|packet| packet[32] = 0xf0)),
        ("a wrong checksum of a segment", "rx_bad_checksum", {
            let mut packet = tcp_packet(&SYN, GHOST);
            packet[36] ^= 1;
            packet
        }),
        ("a TCP option of no length", "rx_bad_options", with_tcp_options([2, 0, 5, 180])),
        ("a TCP option without an end", "rx_bad_options", with_tcp_options([2, 8, 5, 180])),
        ("an MSS of three bytes", "rx_bad_options", with_tcp_options([2, 3, 5, 0])),
        ("a land attack on a listener", "rx_bad_source", {
            tcp_packet(&TcpRepr { src_port: PORT, ..SYN }, NETLANE)
        }),
        ("SYN and FIN at once", "rx_no_socket", changed(|packet| packet[33] = 0x03)),
        ("no flag at all", "rx_no_socket", changed(|packet| packet[33] = 0)),
        ("all flags at once", "rx_no_socket", changed(|packet| packet[33] = 0x3b)),
    ]
    .into_iter()
}

fn malformed_datagrams() -> impl Iterator<Item = (&'static str, &'static str, Vec<u8>)> {
    let changed = |change: fn(&mut [u8])| {
        let mut packet = udp_packet(b"datagram");
        change(&mut packet[20..]);
        packet
    };
    [
        ("half a UDP header", "rx_truncated", {
            let mut packet = udp_packet(b"datagram");
            packet.truncate(24);
            packet[3] = 24;
            Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
            packet
        }),
        ("a datagram shorter than its header", "rx_malformed", changed(|datagram| datagram[5] = 7)),
        ("a datagram longer than its packet", "rx_malformed", changed(|datagram| datagram[4] = 1)),
        ("a wrong checksum of a datagram", "rx_bad_checksum", changed(|datagram| datagram[7] ^= 1)),
        ("a wrong checksum of an echo request", "rx_bad_checksum", icmp_packet([8, 0, 1, 2, 0, 1, 0, 1])),
        ("an error about half a packet", "rx_truncated", icmp_packet([3, 3, 0xfc, 0xfc, 0, 0, 0, 0])),
    ]
    .into_iter()
}

/// A wire on which the kernel says nothing by itself, and the ghost is a neighbour.
fn quiet_wire() -> Wire {
    silence_the_kernel();
    Wire::configured(|config| config.neighbors = vec![ghost()])
}

/// Waits until netlane has seen all that was sent to it.
fn catch_up(wire: &Wire, raw: &RawSocket) {
    // Frames keep their order: when this one is counted, so are those before.
    let before = wire.counted("rx_other_mac");
    raw.send(&[[2; 12].as_slice(), &[8; 50]].concat()).expect("room");
    while wire.counted("rx_other_mac") == before {
        thread::yield_now();
    }
}

/// The kernel is served as if nothing had happened.
fn serves(listener: &TcpListener) {
    let client = thread::spawn(|| {
        let mut stream = net::TcpStream::connect(at_netlane(PORT)).expect("a connection");
        assert_eq!(stream.local_addr().expect("bound").ip(), KERNEL);
        stream.write_all(b"still there?").expect("room to write");
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"yes");
    });
    let mut stream = loop {
        // Noise may have completed handshakes.
        let (stream, peer) = listener.accept().expect("a connection");
        if peer.ip() == KERNEL {
            break stream;
        }
    };
    stream.read_exact(&mut [0; 12]).expect("a question");
    stream.write_all(b"yes").expect("room to write");
    client.join().expect("a client that is served");
}

/// The ghost's initial sequence number.
const FIRST: i32 = i32::MAX - 20;

const SYN: TcpRepr<'static> = TcpRepr {
    src_port: 4242,
    dst_port: PORT,
    control: TcpControl::Syn,
    seq_number: TcpSeqNumber(FIRST),
    ack_number: None,
    window_len: 60000,
    window_scale: None,
    max_seg_size: None,
    sack_permitted: false,
    sack_ranges: [None, None, None],
    timestamp: None,
    payload: &[],
};

/// The ghost connects. Returns netlane's end, and its initial sequence number.
fn connection_by_hand(wire: &Wire) -> (RawSocket, TcpStream, TcpSeqNumber) {
    let listener = TcpListener::bind(wire.net(), at_netlane(PORT)).expect("a listener");
    let raw = RawSocket::open().expect("a raw socket");
    raw.send(&tcp_frame(&SYN)).expect("room");
    let isn = loop {
        let frame = raw.receive().expect("a frame");
        let frame = EthernetFrame::new_unchecked(&frame[..]);
        if frame.src_addr() == EthernetAddress(NETLANE_MAC) && frame.dst_addr() == EthernetAddress(GHOST_MAC)
        {
            let packet = Ipv4Packet::new_checked(frame.payload()).expect("a packet");
            let segment = TcpPacket::new_checked(packet.payload()).expect("a segment");
            assert!(segment.syn() && segment.ack(), "{segment}");
            break segment.seq_number();
        }
    };
    raw.send(&tcp_frame(&segment_after(isn))).expect("room");
    let (stream, peer) = listener.accept().expect("a connection");
    assert_eq!(peer.ip(), GHOST);
    (raw, stream, isn)
}

/// The ghost's first segment after the handshake.
fn segment_after(isn: TcpSeqNumber) -> TcpRepr<'static> {
    let (control, seq_number) = (TcpControl::None, TcpSeqNumber(FIRST) + 1);
    TcpRepr { control, seq_number, ack_number: Some(isn + 1), ..SYN }
}

fn tcp_frame(segment: &TcpRepr<'_>) -> Vec<u8> {
    ethernet(IPV4, &tcp_packet(segment, GHOST))
}

/// A packet after `change`, with the header's checksum that it has then.
fn changed(mut packet: Vec<u8>, change: fn(&mut Vec<u8>)) -> Vec<u8> {
    change(&mut packet);
    sealed(packet)
}

/// Fills in the checksum of a packet's header, if it has one.
fn sealed(mut packet: Vec<u8>) -> Vec<u8> {
    let header_len = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    if header_len >= 20 && packet.len() >= header_len {
        Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
    }
    packet
}

fn with_ip_options(options: [u8; 4]) -> Vec<u8> {
    let mut packet = udp_packet(b"datagram");
    packet.splice(20..20, options);
    (packet[0], packet[3]) = (0x46, packet.len() as u8);
    Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
    packet
}

fn with_tcp_options(options: [u8; 4]) -> Vec<u8> {
    let mut packet = tcp_packet(&TcpRepr { max_seg_size: Some(1460), ..SYN }, GHOST);
    packet[40..44].copy_from_slice(&options);
    TcpPacket::new_unchecked(&mut packet[20..]).fill_checksum(&GHOST.into(), &NETLANE.into());
    packet
}
