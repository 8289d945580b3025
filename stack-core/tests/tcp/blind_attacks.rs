//! Segments that somebody who cannot see the connection may have sent: RFC 5961, RFC 7323 §5.

use std::time::Duration;

use netlane_core::packet_io::PacketBuf;
use netlane_core::wire::{Ipv4Packet, Protocol, Sum, TcpFlags, ethernet, ipv4, tcp};
use netlane_core::{SocketError, SocketId, TcpState};
use netlane_sim::impairment::Impairment;
use netlane_sim::{Host, Script, SimFrame, World, ack, data, fin, rst, rst_ack, syn, syn_ack};

use crate::app::connection;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn established(script: &mut Script, socket: SocketId) -> bool {
    script.stack().tcp_state(socket) == Ok(TcpState::Established)
}

#[test]
fn reset_outside_of_the_window_is_dropped() {
    let mut script = Script::new();
    let socket = script.accepted();
    for seq in [0, 65_536, 0x8000_0000] {
        script.inject(rst(seq));
        script.expect_nothing();
    }
    assert!(established(&mut script, socket));
    assert_eq!(script.stack().counters().tcp_out_of_window, 3);
}

#[test]
fn reset_in_the_window_is_challenged() {
    let mut script = Script::new();
    let socket = script.accepted();
    for seq in [2, 1_000, 65_535] {
        script.inject(rst(seq));
        script.expect(ack(1));
    }
    assert!(established(&mut script, socket));
    assert_eq!(script.stack().counters().tcp_challenge_acks, 3);
}

#[test]
fn reset_with_the_exact_number_is_believed() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.inject(rst(1));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Reset)));
    script.expect_nothing();
}

#[test]
fn syn_on_a_connection_is_challenged_wherever_it_lies() {
    let mut script = Script::new();
    let socket = script.accepted();
    for seq in [0, 1, 1_000, 100_000] {
        script.inject(syn().seq(seq));
        script.expect(ack(1));
        script.inject(syn_ack().seq(seq));
        script.expect(ack(1));
    }
    assert!(established(&mut script, socket));
}

#[test]
fn acknowledgement_of_what_was_never_sent_is_challenged() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.send(socket, 100);
    script.expect(data(1, 100));
    script.inject(ack(102));
    script.expect(ack(101).seq(101).ack(1));
    // Not each time, though, where it carries nothing.
    script.inject(ack(0x8000_0000));
    script.expect_nothing();
    // Its data does not count either.
    script.inject(data(1, 10).ack(102));
    script.expect(ack(101).seq(101).ack(1));
    assert_eq!(script.read(socket), 0);
    assert_eq!(script.stack().counters().tcp_challenge_acks, 3);
}

#[test]
fn acknowledgement_older_than_a_window_is_challenged_and_a_younger_one_is_taken() {
    let mut script = Script::builder().window(1_000).start();
    let socket = script.accept(syn().mss(1_460).win(1_000));
    for n in 0..3 {
        script.send(socket, 1_000);
        script.expect(data(1 + n * 1_000, 1_000));
        script.inject(ack(1 + (n + 1) * 1_000));
    }
    script.inject(data(1, 10).ack(2_001));
    assert_eq!(script.read(socket), 10);
    script.inject(data(11, 10).ack(2_000));
    assert_eq!(script.read(socket), 0);
    assert_eq!(script.stack().counters().tcp_challenge_acks, 1);
}

#[test]
fn data_outside_of_the_window_is_answered_with_an_acknowledgement() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.inject(data(65_537, 10));
    script.expect(ack(1));
    script.inject(data(0u32.wrapping_sub(100), 10));
    script.expect(ack(1));
    assert_eq!(script.read(socket), 0);
    assert_eq!(script.stack().counters().tcp_out_of_window, 2);
}

#[test]
fn segment_without_acknowledgement_is_dropped() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.inject(data(1, 10).without(TcpFlags::ACK));
    script.inject(fin(1).without(TcpFlags::ACK));
    script.expect_nothing();
    assert!(established(&mut script, socket));
    assert_eq!(script.stack().counters().tcp_without_ack, 2);
}

#[test]
fn old_timestamp_is_answered_with_an_acknowledgement() {
    let mut script = Script::builder().stack(|config| config.tcp.timestamps = true).start();
    let socket = script.accept(syn().mss(1_460).ts(1_000, 0));
    script.inject(data(1, 10).ts(1_010, 0));
    assert_eq!(script.read(socket), 10);
    script.inject(data(11, 10).ts(1_009, 0));
    script.expect(ack(1).ack(11));
    assert_eq!(script.read(socket), 0);
    assert_eq!(script.stack().counters().tcp_outdated_timestamp, 1);
    script.inject(data(11, 10).ts(1_010, 0));
    assert_eq!(script.read(socket), 10);
    // RFC 7323 §5.2: resets are believed whatever their timestamp.
    script.inject(rst(21).ts(1, 0));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Closed));
}

#[test]
fn segment_without_timestamps_is_dropped_silently_where_they_were_agreed_on() {
    // RFC 7323 §3.2.
    let mut script = Script::builder().stack(|config| config.tcp.timestamps = true).start();
    let socket = script.accept(syn().mss(1_460).ts(1_000, 0));
    script.inject(data(1, 10));
    script.expect_silence(MS(1_000));
    assert_eq!(script.read(socket), 0);
    assert_eq!(script.stack().counters().tcp_without_timestamp, 1);
    // A reset needs none.
    script.inject(rst(1));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Closed));
}

#[test]
fn timestamps_protect_a_handshake_too() {
    let mut script = Script::builder().stack(|config| config.tcp.timestamps = true).start();
    let listener = script.listen();
    script.inject(syn().mss(1_460).ts(1_000, 0));
    assert_eq!(script.skip(), 1);
    script.inject(ack(1));
    script.expect_nothing();
    // RFC 7323 §5.3: an acknowledgement, which is our SYN-ACK here, and the segment is dropped.
    script.inject(ack(1).ts(999, 0));
    assert_eq!(script.skip(), 1);
    assert_eq!(script.stack().tcp_accept(listener), Ok(None));
    let counters = script.stack().counters();
    assert_eq!((counters.tcp_without_timestamp, counters.tcp_outdated_timestamp), (1, 1));
    script.inject(ack(1).ts(1_000, 0));
    assert!(script.stack().tcp_accept(listener).unwrap().is_some());
}

#[test]
fn challenges_are_limited_for_all_connections_together_and_nobody_can_tell_to_how_many() {
    // RFC 5961 §7, and CVE-2016-5696: whoever counts the challenges to himself learns nothing of others.
    const LIMIT: u32 = 40;
    let mut script =
        Script::builder().stack(|config| config.limits.challenge_acks_per_second = LIMIT).start();
    let socket = script.accepted();
    let mut counts = Vec::new();
    for _ in 0..20 {
        for _ in 0..100 {
            script.inject(rst(1_000));
        }
        counts.push(script.skip());
        script.run_for(MS(1_000));
    }
    assert!(counts.iter().all(|count| (20..=60).contains(count)), "{counts:?}");
    assert!(counts.iter().any(|count| *count != counts[0]), "{counts:?}");
    let challenges = counts.iter().sum::<usize>() as u64;
    assert_eq!(script.stack().counters().tcp_challenge_acks, challenges);
    assert_eq!(script.stack().counters().tx_suppressed, 2_000 - challenges);
    assert!(established(&mut script, socket));
}

#[test]
fn reset_of_a_handshake_must_be_exact_as_well() {
    let mut script = Script::new();
    script.listen();
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460));
    script.inject(rst(100_000));
    script.expect_nothing();
    script.inject(rst(2));
    script.expect(syn_ack().mss(1_460));
    script.inject(ack(1));
    assert_eq!(script.stack().counters().tcp_passive_opens, 1);
}

#[test]
fn wrong_acknowledgement_of_a_handshake_is_reset() {
    let mut script = Script::new();
    script.listen();
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460));
    script.inject(ack(2));
    script.expect(rst(2));
    script.inject(ack(1));
    assert_eq!(script.stack().counters().tcp_passive_opens, 1);
}

#[test]
fn segments_of_no_connection_are_reset_so_that_their_sender_believes_it() {
    let mut script = Script::new();
    script.inject(ack(77));
    script.expect(rst(77));
    script.inject(data(1, 10).without(TcpFlags::ACK));
    script.expect(rst_ack(0, 11));
    script.inject(rst(1));
    script.inject(rst_ack(1, 1));
    script.expect_nothing();
    script.inject(syn().with(TcpFlags::FIN));
    script.expect(rst_ack(0, 2));
}

#[test]
fn syn_with_fin_opens_nothing() {
    let mut script = Script::new();
    script.listen();
    script.inject(syn().with(TcpFlags::FIN));
    script.expect(rst_ack(0, 2));
}

#[test]
fn resets_to_strangers_are_limited_and_to_our_own_peers_they_are_not() {
    let mut script = Script::builder().stack(|config| config.limits.errors_per_second = 3).start();
    let socket = script.accepted();
    for _ in 0..10 {
        script.inject(ack(1).port(77));
    }
    assert_eq!(script.skip(), 3);
    assert_eq!(script.stack().counters().tx_suppressed, 7);
    script.stack().tcp_abort(socket).unwrap();
    script.expect(rst_ack(1, 1));
    script.run_for(std::time::Duration::from_secs(1));
    script.inject(ack(1).port(77));
    assert_eq!(script.skip(), 1);
}

#[test]
fn ends_that_were_made_to_disagree_do_not_answer_each_other_without_end() {
    let (mut world, a, b) = World::pair(1, |host: Host| host.stack(|config| config.tcp.timestamps = false));
    world.impair_all(&Impairment { delay: MS(1), ..Impairment::default() });
    let (near, far) = connection(&mut world, a, b, 80);
    world.run_for(MS(100));
    world[a].tcp_send(near, b"0123456789").unwrap();
    let now = world.now();
    world[a].poll(now).unwrap();
    let genuine = world[a].io_mut().take_sent().expect("a segment");
    // Ten bytes that nobody sent follow the ten that were sent.
    let forged = with_later_sequence_number(genuine.bytes(), 10);
    world[b].io_mut().deliver(genuine);
    world[b].io_mut().deliver(SimFrame::loose(&forged));
    world.run_for(Duration::from_secs(5));
    assert_eq!(world[b].tcp_recv(far, &mut [0; 100]), Ok(20), "the attack has succeeded so far");
    let frames = world[a].counters().tx_frames + world[b].counters().tx_frames;
    assert!(frames < 100, "{frames} frames");
}

fn with_later_sequence_number(frame: &[u8], by: u32) -> Vec<u8> {
    const TCP: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;
    let mut frame = frame.to_vec();
    let packet = Ipv4Packet::parse(&frame[ethernet::HEADER_LEN..]).expect("an IPv4 header").repr;
    let segment = &mut frame[TCP..];
    let seq = u32::from_be_bytes(segment[4..8].try_into().expect("four bytes")).wrapping_add(by);
    segment[4..8].copy_from_slice(&seq.to_be_bytes());
    segment[tcp::CHECKSUM_OFFSET..tcp::CHECKSUM_OFFSET + 2].fill(0);
    tcp::fill_checksum(segment, Sum::pseudo_v4(packet.src, packet.dst, Protocol::TCP, segment.len()));
    frame
}
