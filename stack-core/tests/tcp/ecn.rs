//! Explicit congestion notification (RFC 3168), and the precise feedback of DCTCP (RFC 8257).

use std::time::Duration;

use netlane_core::wire::TcpFlags;
use netlane_core::{CongestionAlgorithm, Ecn, SocketId};
use netlane_sim::impairment::{Impairment, Rate};
use netlane_sim::{Script, Seg, World, ack, data, seed, syn, syn_ack};

use crate::app::{Mover, connection, header_of};

const MS: fn(u64) -> Duration = Duration::from_millis;
const MSS: usize = 1_460;
const ECE: TcpFlags = TcpFlags::ECE;
const CWR: TcpFlags = TcpFlags::CWR;
const SETUP: TcpFlags = TcpFlags::ECE.union(TcpFlags::CWR);

/// RFC 3168 §5: the codepoints of the IP header.
const NOT_ECT: u8 = 0b00;
const ECT_0: u8 = 0b10;
const CE: u8 = 0b11;

fn at(n: u32) -> u32 {
    1 + n * MSS as u32
}

fn full(n: u32) -> Seg {
    data(at(n), MSS)
}

fn with(ecn: Ecn, algorithm: CongestionAlgorithm) -> Script {
    Script::builder()
        .stack(|config| {
            config.tcp.ecn = ecn;
            config.tcp.congestion_control = algorithm;
        })
        .start()
}

/// A connection whose ends understand marks.
fn agreed(algorithm: CongestionAlgorithm) -> (Script, SocketId) {
    let mut script = with(Ecn::On, algorithm);
    let socket = script.connect();
    script.expect(syn().with(SETUP));
    script.inject(syn_ack().mss(1_460).with(ECE));
    script.expect(ack(1));
    (script, socket)
}

/// The codepoint of the next frame that the stack sends.
fn codepoint(script: &mut Script) -> u8 {
    script.next_frame().expect("a frame")[15] & 0b11
}

/// The peer's segment, as it arrives after it met congestion.
fn marked(script: &Script, segment: &Seg) -> Vec<u8> {
    let mut frame = script.frame(segment);
    frame[15] |= CE;
    frame[24..26].fill(0);
    let sum: u32 = frame[14..34].chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame
}

#[test]
fn who_asks_and_is_answered_marks_its_data_capable_and_nothing_else() {
    // RFC 3168 §6.1.1, §6.1.4.
    let (mut script, socket) = agreed(CongestionAlgorithm::NewReno);
    script.send(socket, MSS);
    assert_eq!(codepoint(&mut script), ECT_0);
    script.inject(data(1, 100).ack(at(1)));
    script.run_for(MS(100));
    assert_eq!(codepoint(&mut script), NOT_ECT, "an acknowledgement");
}

#[test]
fn who_accepts_does_not_ask() {
    let mut script = with(Ecn::Accept, CongestionAlgorithm::NewReno);
    let socket = script.connect();
    script.expect(syn());
    script.inject(syn_ack().mss(1_460).with(ECE));
    script.expect(ack(1));
    script.send(socket, MSS);
    assert_eq!(codepoint(&mut script), NOT_ECT);
}

#[test]
fn listener_answers_who_asks_unless_it_is_off() {
    for (ecn, asked, answered) in [
        (Ecn::Accept, SETUP, true),
        (Ecn::On, SETUP, true),
        (Ecn::Accept, TcpFlags::empty(), false),
        // RFC 3168 §6.1.1: a SYN with one of both flags asks for nothing.
        (Ecn::Accept, ECE, false),
        (Ecn::Off, SETUP, false),
    ] {
        let mut script = with(ecn, CongestionAlgorithm::NewReno);
        let listener = script.listen();
        script.inject(syn().mss(1_460).with(asked));
        let answer = if answered { syn_ack().with(ECE) } else { syn_ack() };
        script.expect(answer);
        script.inject(ack(1));
        let socket = script.stack().tcp_accept(listener).expect("it listens").expect("it is established");
        script.send(socket, MSS);
        assert_eq!(codepoint(&mut script), if answered { ECT_0 } else { NOT_ECT }, "{ecn:?} {asked:?}");
    }
}

#[test]
fn syn_that_is_repeated_asks_no_more() {
    // RFC 3168 §6.1.1.1.
    let mut script = with(Ecn::On, CongestionAlgorithm::NewReno);
    let socket = script.connect();
    script.expect(syn().with(SETUP));
    script.expect_after(Duration::from_secs(1), syn());
    // The answer is to the first one.
    script.inject(syn_ack().mss(1_460).with(ECE));
    script.expect(ack(1));
    script.send(socket, MSS);
    assert_eq!(codepoint(&mut script), NOT_ECT);
}

#[test]
fn listener_takes_a_repeated_syn_that_asks_no_more_at_its_word() {
    let mut script = with(Ecn::Accept, CongestionAlgorithm::NewReno);
    let listener = script.listen();
    script.inject(syn().mss(1_460).with(SETUP));
    script.expect(syn_ack().with(ECE));
    script.inject(syn().mss(1_460));
    script.expect(syn_ack());
    script.inject(ack(1));
    let socket = script.stack().tcp_accept(listener).expect("it listens").expect("it is established");
    script.send(socket, MSS);
    assert_eq!(codepoint(&mut script), NOT_ECT);
}

#[test]
fn mark_is_echoed_until_the_sender_says_that_it_slowed_down() {
    // RFC 3168 §6.1.3.
    let (mut script, _) = agreed(CongestionAlgorithm::NewReno);
    let segment = |n: u32| data(at(n), MSS);
    let frame = marked(&script, &segment(0));
    script.inject_frame(&frame);
    script.inject(segment(1));
    script.expect(ack(at(2)).with(ECE));
    script.inject(segment(2));
    script.inject(segment(3));
    script.expect(ack(at(4)).with(ECE));
    script.inject(segment(4).with(CWR));
    script.inject(segment(5));
    script.expect(ack(at(6)));
    assert_eq!(script.stack().counters().tcp_congestion_marks, 1);
}

#[test]
fn sender_slows_down_once_for_a_flight_and_says_so_in_its_next_new_data() {
    // RFC 3168 §6.1.2: as for a loss, once for a window of data.
    let (mut script, socket) = agreed(CongestionAlgorithm::NewReno);
    script.send(socket, 100 * MSS);
    for n in 0..10 {
        script.expect(full(n));
    }
    script.inject(ack(at(2)).with(ECE));
    script.inject(ack(at(4)).with(ECE));
    // Eight were in flight: the window is four.
    script.expect_nothing();
    script.inject(ack(at(7)).with(ECE));
    script.expect(full(10).with(CWR));
    script.inject(ack(at(8)).with(ECE));
    script.expect(full(11));
    script.inject(ack(at(10)).with(ECE));
    assert_eq!(script.stack().counters().tcp_congestion_reductions, 1);
    script.expect(full(12));
    script.expect(full(13));
    // The peer has heard of it, and a new mark counts again.
    script.inject(ack(at(11)));
    script.skip();
    script.inject(ack(at(12)).with(ECE));
    assert_eq!(script.stack().counters().tcp_congestion_reductions, 2);
}

#[test]
fn what_is_sent_again_is_not_capable_and_the_loss_is_told_as_well() {
    // RFC 3168 §6.1.5, §6.1.2.
    let (mut script, socket) = agreed(CongestionAlgorithm::NewReno);
    script.send(socket, 100 * MSS);
    for _ in 0..10 {
        assert_eq!(codepoint(&mut script), ECT_0);
    }
    script.run_for(MS(300));
    let frame = script.next_frame().expect("the first segment once more");
    assert_eq!(frame[15] & CE, NOT_ECT);
    script.inject(ack(at(10)));
    let frame = script.next_frame().expect("new data");
    assert_eq!(frame[15] & CE, ECT_0);
    assert!(header_of(&frame).flags.contains(CWR), "RFC 3168 §6.1.2: reduced for any reason");
    assert!(!header_of(&script.next_frame().expect("more")).flags.contains(CWR));
}

#[test]
fn frame_that_tells_of_slowing_down_is_not_cut_by_the_device() {
    let mut script = Script::builder()
        .stack(|config| config.tcp.ecn = Ecn::On)
        .device(|device| (device.checksum_offload, device.segmentation_offload) = (true, true))
        .start();
    let socket = script.connect();
    script.expect(syn().with(SETUP));
    script.inject(syn_ack().mss(1_460).with(ECE));
    script.expect(ack(1));
    script.send(socket, 100 * MSS);
    assert_eq!(script.skip(), 10);
    assert!(script.stack().counters().tcp_super_segments_sent > 0, "the device cuts");
    script.inject(ack(at(2)).with(ECE));
    script.inject(ack(at(10)));
    let frames = script.frames();
    let told = frames.iter().filter(|frame| header_of(frame).flags.contains(CWR)).count();
    assert_eq!(told, 1, "of {} frames", frames.len());
}

#[test]
fn dctcp_acknowledges_at_once_where_marks_begin_and_end() {
    // RFC 8257 §3.2, figure 1.
    let (mut script, _) = agreed(CongestionAlgorithm::Dctcp);
    script.inject(data(at(0), MSS));
    script.expect_nothing();
    let frame = marked(&script, &data(at(1), MSS));
    script.inject_frame(&frame);
    script.expect(ack(at(1)));
    script.expect_nothing();
    let frame = marked(&script, &data(at(2), MSS));
    script.inject_frame(&frame);
    script.expect(ack(at(3)).with(ECE));
    let frame = marked(&script, &data(at(3), MSS));
    script.inject_frame(&frame);
    script.inject(data(at(4), MSS));
    script.expect(ack(at(4)).with(ECE));
    script.inject(data(at(5), MSS));
    script.expect(ack(at(6)));
}

/// Sends `bytes` over 50 Mbit/s with a round trip of 10 ms, through a queue of 400 kB that marks above `mark_above`, with
/// marks understood. Returns Mbit/s, and the queue's average in its second half.
fn through_marks(algorithm: CongestionAlgorithm, mark_above: usize, bytes: u64) -> (f64, f64) {
    let (mut world, a, b) = World::pair(seed(3), |host| {
        host.stack(|config| {
            config.tcp.ecn = Ecn::On;
            config.tcp.congestion_control = algorithm;
        })
    });
    let (near, far) = connection(&mut world, a, b, 80);
    let rate = Rate { bits_per_second: 50_000_000, queue_bytes: 400_000 };
    let delay = MS(5);
    world.impair_all(&Impairment {
        delay,
        rate: Some(rate),
        mark_above: Some(mark_above),
        ..Impairment::default()
    });
    let begin = world.now();
    let mut ends = [Mover::new(a, near, bytes), Mover::new(b, far, 0)];
    let (mut queues, mut samples) = (0, 0);
    let step = |world: &mut World| {
        let all = ends.iter_mut().fold(true, |all, end| end.step(world) & all);
        if ends[1].received > bytes / 2 {
            queues += world.queue(a);
            samples += 1;
        }
        all
    };
    assert!(world.run_until(step, Duration::from_secs(600)));
    assert_eq!(world.link_stats(a).queue_full, 0);
    assert!(world.link_stats(a).marked > 0);
    assert_eq!(world[a].counters().tcp_retransmissions, 0, "nothing was lost");
    let rate = bytes as f64 * 8.0 / (world.now() - begin).as_secs_f64() / 1e6;
    (rate, queues as f64 / f64::from(samples))
}

#[test]
fn marks_stand_for_losses_and_nothing_is_repeated() {
    for algorithm in [CongestionAlgorithm::NewReno, CongestionAlgorithm::Cubic] {
        let (rate, _) = through_marks(algorithm, 60_000, 30_000_000);
        assert!(rate > 40.0, "{algorithm:?}: {rate} Mbit/s");
    }
}

#[test]
fn dctcp_keeps_the_queue_near_the_threshold() {
    // The product of bandwidth and delay is 62,500 bytes; the DCTCP paper §3.4 wants a threshold above a seventh.
    let (rate, queue) = through_marks(CongestionAlgorithm::Dctcp, 20_000, 30_000_000);
    assert!(rate > 46.0, "{rate} Mbit/s");
    assert!((8_000.0..30_000.0).contains(&queue), "{queue} bytes");
}
