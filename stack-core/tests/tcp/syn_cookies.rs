//! SYN cookies: handshakes of which nothing is remembered (RFC 4987 §3.6).

use std::time::Duration;

use netlane_core::wire::{
    EtherType, EthernetRepr, Ipv4Packet, Ipv4Repr, Protocol, Sum, TcpFlags, TcpHeader, TcpOptions, ethernet,
    ipv4, tcp,
};
use netlane_core::{Route, SynCookies};
use netlane_sim::{Script, ScriptBuilder, ack, data, rst, syn, syn_ack};

use crate::app;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn always() -> ScriptBuilder {
    Script::builder().stack(|config| config.tcp.syn_cookies = SynCookies::Always)
}

#[test]
fn cookie_that_comes_back_opens_the_connection() {
    let mut script = always().start();
    let listener = script.listen();
    script.inject(syn().mss(1_000));
    script.expect(syn_ack().mss(1_460).exact_options());
    // Nothing is remembered, so nothing is repeated.
    script.expect_silence(MS(10_000));
    script.inject(ack(1));
    let socket = script.stack().tcp_accept(listener).unwrap().expect("a connection");
    script.send(socket, 1_500);
    // A cookie rounds the segment size down.
    script.expect(data(1, 536));
    assert_eq!(script.stack().counters().tcp_syn_cookies_sent, 1);
    assert_eq!(script.stack().counters().tcp_syn_cookies_accepted, 1);
}

#[test]
fn cookies_are_sent_only_once_no_more_handshakes_can_be_remembered() {
    let mut script = Script::builder().stack(|config| config.limits.syn_queue = 1).start();
    let listener = script.listen();
    for port in [1_001, 1_002] {
        script.inject(syn().port(port));
        script.expect(syn_ack().port(port));
    }
    assert_eq!(script.stack().counters().tcp_syn_cookies_sent, 1);
    assert_eq!(script.stack().counters().tcp_syn_queue_full, 0);
    for port in [1_002, 1_001] {
        script.inject(ack(1).port(port));
        assert!(script.stack().tcp_accept(listener).unwrap().is_some());
    }
    // There is room again.
    script.inject(syn().port(1_003));
    script.expect(syn_ack().port(1_003));
    assert_eq!(script.stack().counters().tcp_syn_cookies_sent, 1);
}

#[test]
fn lost_acknowledgement_is_made_up_for_by_the_data_behind_it() {
    let mut script = always().start();
    let listener = script.listen();
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460));
    script.inject(data(1, 100));
    let socket = script.stack().tcp_accept(listener).unwrap().expect("a connection");
    assert_eq!(script.read(socket), 100);
}

#[test]
fn timestamps_carry_window_scale_and_sack() {
    let mut script = always()
        .stack(|config| {
            config.tcp.window_scaling = true;
            config.tcp.timestamps = true;
            config.tcp.sack = true;
            config.tcp.receive_buffer = 1 << 20;
        })
        .start();
    let listener = script.listen();
    script.run_for(MS(12_345));
    script.inject(syn().mss(1_460).wscale(7).sack_permitted().ts(50, 0));
    let offered = app::options_of(&script.next_frame().expect("a SYN-ACK"));
    assert_eq!((offered.window_scale, offered.sack_permitted), (Some(5), true));
    let stamps = offered.timestamps.expect("timestamps");
    assert_eq!(stamps.echo, 50);
    script.inject(ack(1).ts(51, stamps.value).win(16));
    let socket = script.stack().tcp_accept(listener).unwrap().expect("a connection");
    // 16 << 7 bytes of window: one full segment, and the rest is not worth one.
    script.send(socket, 4_000);
    let first = script.next_frame().expect("data");
    let stamped = app::options_of(&first).timestamps.expect("timestamps");
    assert_eq!(stamped.echo, 51);
    // RFC 7323 §5.3: time does not run backwards for the peer.
    assert!(stamped.value.wrapping_sub(stamps.value) < 1 << 6);
    script.expect_nothing();
    // What is out of order is told of by SACK.
    script.inject(data(1_001, 100).ts(52, stamped.value));
    let told = app::options_of(&script.next_frame().expect("an acknowledgement"));
    assert_eq!(told.sack.as_slice().len(), 1);
}

#[test]
fn without_timestamps_nothing_is_agreed_on_that_a_cookie_cannot_carry() {
    let mut script = always().stack(|config| config.tcp.window_scaling = true).start();
    script.listen();
    script.inject(syn().mss(1_460).wscale(7).sack_permitted());
    script.expect(syn_ack().mss(1_460).exact_options());
}

#[test]
fn acknowledgement_that_is_no_cookie_opens_nothing() {
    let mut script = always().start();
    let listener = script.listen();
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460));
    script.inject(ack(2));
    script.expect_nothing();
    assert_eq!(script.stack().counters().tcp_syn_cookies_refused, 1);
    assert_eq!(script.stack().tcp_accept(listener), Ok(None));
}

#[test]
fn data_that_overtakes_the_cookie_does_not_end_the_connection() {
    let mut script = always().start();
    let listener = script.listen();
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460));
    // The segment with the cookie is lost. Those behind it say nothing of where the stream begins.
    script.inject(data(101, 100));
    script.inject(data(201, 100).fin());
    script.inject(ack(1).seq(302));
    script.expect_nothing();
    assert_eq!(script.stack().counters().tcp_syn_cookies_refused, 3);
    script.inject(data(1, 100));
    script.inject(data(101, 100));
    let socket = script.stack().tcp_accept(listener).unwrap().expect("a connection");
    assert_eq!(script.read(socket), 200);
    // Who has no cookie to bring any more is reset.
    script.run_for(Duration::from_secs(128));
    script.skip();
    script.inject(data(101, 100).port(1_001));
    script.expect(rst(1).port(1_001));
}

#[test]
fn cookie_is_too_old_after_128_seconds() {
    let mut script = always().start();
    let listener = script.listen();
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460));
    script.run_for(Duration::from_secs(128));
    script.inject(ack(1));
    script.expect(rst(1));
    assert_eq!(script.stack().tcp_accept(listener), Ok(None));
}

#[test]
fn nobody_tries_cookies_where_none_were_sent() {
    let mut script = Script::new();
    script.listen();
    script.inject(ack(1));
    script.expect(rst(1));
    assert_eq!(script.stack().counters().tcp_syn_cookies_refused, 0);
}

#[test]
fn client_that_brings_its_cookie_to_a_full_accept_queue_is_let_in_later() {
    let mut script = always().start();
    let listener = script.stack().tcp_listen(Script::STACK, 0).unwrap();
    for port in [1_001, 1_002] {
        script.inject(syn().port(port));
        script.expect(syn_ack().port(port));
    }
    for port in [1_001, 1_002] {
        script.inject(ack(1).port(port));
    }
    assert!(script.stack().tcp_accept(listener).unwrap().is_some());
    // The second waits for us to speak. It is remembered now, so its SYN-ACK is repeated.
    script.expect_after(Duration::from_secs(1), syn_ack().port(1_002));
    script.inject(ack(1).port(1_002));
    assert!(script.stack().tcp_accept(listener).unwrap().is_some());
}

#[test]
fn flood_of_spoofed_syns_does_not_stop_a_true_client() {
    const SPOOFED: u32 = 100_000;
    let mut script = Script::builder()
        .stack(|config| {
            let to = "0.0.0.0/0".parse().unwrap();
            config.interface.routes = vec![Route { to, via: Script::PEER.ip(), metric: 0 }];
        })
        .start();
    let listener = script.listen();
    let true_client = SPOOFED / 2;
    for n in 0..SPOOFED {
        script.inject_frame(&spoofed_syn(n));
        if n == true_client {
            script.skip();
            script.inject(syn().mss(1_460));
            script.expect(syn_ack().mss(1_460));
        }
        if n == true_client + 1_000 {
            script.inject(ack(1));
            assert!(script.stack().tcp_accept(listener).unwrap().is_some());
        }
        if n % 1_000 == 0 {
            script.skip();
        }
    }
    let counters = script.stack().counters();
    let remembered = u64::from(SPOOFED) + 1 - counters.tcp_syn_cookies_sent;
    assert_eq!(remembered, 1_024, "`limits.syn-queue`");
    assert_eq!((counters.tcp_passive_opens, counters.tcp_resets_sent), (1, 0));
}

/// A SYN from an address and port that nobody else has.
fn spoofed_syn(n: u32) -> Vec<u8> {
    let [a, b, c, d] = n.to_be_bytes();
    let (src, dst) = ([172, 16 + b, c, d].into(), [10, 0, 0, 1].into());
    let len = tcp::HEADER_LEN;
    let mut frame = vec![0; ethernet::HEADER_LEN + ipv4::HEADER_LEN + len];
    EthernetRepr { dst: Script::STACK_MAC, src: Script::PEER_MAC, ethertype: EtherType::IPV4, vlan: None }
        .emit(&mut frame);
    let packet = Ipv4Repr {
        src,
        dst,
        protocol: Protocol::TCP,
        ttl: 64,
        tos: 0,
        ident: 0,
        dont_fragment: true,
        fragment: None,
        payload_len: len as u16,
    };
    packet.emit(&mut frame[ethernet::HEADER_LEN..]);
    let header = TcpHeader {
        src_port: 1_024 + u16::from(a),
        dst_port: Script::STACK.port(),
        seq: n.wrapping_mul(0x9e37_79b9),
        ack: 0,
        flags: TcpFlags::SYN,
        window: 1_024,
        urgent: 0,
    };
    let bytes = &mut frame[ethernet::HEADER_LEN + ipv4::HEADER_LEN..];
    header.emit(&TcpOptions::default(), bytes);
    tcp::fill_checksum(bytes, Sum::pseudo_v4(src, dst, Protocol::TCP, len));
    frame
}

#[test]
fn timestamps_carry_that_marks_are_understood() {
    for understood in [true, false] {
        let mut script = always().stack(|config| config.tcp.timestamps = true).start();
        let listener = script.listen();
        let asks = if understood { TcpFlags::ECE | TcpFlags::CWR } else { TcpFlags::empty() };
        script.inject(syn().mss(1_460).ts(50, 0).with(asks));
        let answer = script.next_frame().expect("a SYN-ACK");
        assert_eq!(app::header_of(&answer).flags.contains(TcpFlags::ECE), understood);
        let stamps = app::options_of(&answer).timestamps.expect("timestamps");
        script.inject(ack(1).ts(51, stamps.value));
        let socket = script.stack().tcp_accept(listener).unwrap().expect("a connection");
        // A mark is echoed only where both understand it.
        script.send(socket, 100);
        let frame = script.next_frame().expect("data");
        let packet = Ipv4Packet::parse(&frame[14..]).expect("an IPv4 header");
        // RFC 3168 §5: ECT(0) is 0b10.
        assert_eq!(packet.repr.ecn() == 0b10, understood);
    }
}
