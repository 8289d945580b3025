//! A peer that keeps to TCP only as far as it likes: it sends what it has in any order and as often as it likes, tells of
//! bytes that have not arrived, takes back what it told, opens and shrinks its window, and forges what others might.
//! In the end it comes to its senses, and both streams have to arrive.

use std::time::Duration;

use fastrand::Rng;
use netlane_core::wire::{EthernetRepr, Ipv4Packet, TcpFlags, TcpOptions, TcpSegment};
use netlane_core::{RecvError, SocketError, SocketId, TcpState};
use netlane_sim::{Script, Seg, ack, data, fin, pattern, rst, syn};

use crate::plan::HostPlan;

/// A run.
struct Run {
    script: Script,
    socket: SocketId,
    rng: Rng,
    /// Both ends stamp their segments.
    stamped: bool,
    /// Bytes of the streams of the peer and of the stack.
    streams: (u32, u32),
    /// Bytes that the stack's user has queued, and read.
    queued: u32,
    read: u32,
    ended: bool,
    /// What the peer has acknowledged, and the end of what the stack has sent.
    acked: u32,
    sent: u32,
    /// What the stack has acknowledged, the window behind that, and its last timestamp.
    taken: u32,
    window: u32,
    echo: u32,
}

/// What the peer has done that ends the connection.
#[derive(PartialEq, Eq)]
enum Mood {
    GoesOn,
    HasReset,
}

const STEPS: usize = 120;
/// The time in which a peer that behaves gets everything across, at a timeout of a minute now and then.
const PATIENCE: usize = 3_000;

/// Makes a run.
pub(crate) fn run(seed: u64) {
    let mut run = Run::new(Rng::with_seed(seed));
    for _ in 0..STEPS {
        if run.misbehave() == Mood::HasReset {
            return run.expect_reset();
        }
        run.use_socket();
        run.listen();
        if run.is_over() {
            break;
        }
    }
    run.come_to_senses();
}

impl Run {
    fn new(mut rng: Rng) -> Self {
        let planned = HostPlan::draw(&mut rng, true, false).stack;
        let (stamped, stamps) = (planned.tcp.timestamps, rng.bool());
        let mut script = Script::builder()
            .stack(|config| {
                config.tcp = planned.tcp;
                config.limits = planned.limits;
            })
            .start();
        let mut offer = syn().mss(rng.u16(100..1_461));
        if rng.bool() {
            offer = offer.sack_permitted();
        }
        if stamps {
            offer = offer.ts(1, 0);
        }
        let socket = accept(&mut script, offer, stamped && stamps);
        let streams = (rng.u32(1..20_000), rng.u32(1..20_000));
        Self {
            script,
            socket,
            rng,
            stamped: stamped && stamps,
            streams,
            queued: 0,
            read: 0,
            ended: false,
            acked: 1,
            sent: 1,
            taken: 1,
            window: 0,
            echo: 0,
        }
    }

    /// The peer's clock, in milliseconds.
    fn clock(&self) -> u32 {
        self.script.now().as_millis() as u32 + 100
    }

    fn inject(&mut self, segment: Seg) {
        let segment = if self.stamped { segment.ts(self.clock(), self.echo) } else { segment };
        self.script.inject(segment);
    }

    /// The peer does anything.
    fn misbehave(&mut self) -> Mood {
        let (rng, end) = (&mut self.rng, self.streams.0 + 1);
        let window = if rng.bool() { 65_535 } else { rng.u16(..) >> rng.u32(0..16) };
        // What it acknowledges was sent, though it may not have arrived; and it never takes that back.
        self.acked = if rng.bool() { self.acked } else { rng.u32(self.acked..self.sent + 1) };
        let number = if rng.f64() < 0.1 { rng.u32(1..self.sent + 2_000) } else { self.acked };
        let near = |rng: &mut Rng, at: u32| at.saturating_add_signed(rng.i32(-3_000..3_000)).clamp(1, end);
        match rng.u32(0..20) {
            0..8 => {
                let from = if rng.bool() { self.taken.min(end) } else { near(rng, self.taken) };
                let len = rng.u32(0..1_461).min(end - from);
                let segment = data(from, len as usize).ack(self.acked).win(window);
                self.inject(if from + len == end { segment.fin() } else { segment });
            }
            8..12 => {
                let blocks = self.any_blocks();
                let segment = ack(number).seq(self.taken).win(window);
                self.inject(if blocks.is_empty() { segment } else { segment.sack(&blocks) });
            }
            12 => self.inject(fin(end).ack(self.acked).win(window)),
            13 => {
                let at = near(rng, self.taken);
                self.inject(ack(self.acked).seq(at).with(TcpFlags::SYN));
            }
            14 => {
                let at = self.taken + rng.u32(1..5_000);
                self.inject(rst(at));
            }
            15 if rng.f64() < 0.05 => {
                // Only the number that is expected next resets: all that has arrived is acknowledged before.
                self.script.run_for(Duration::from_millis(500));
                self.listen();
                self.script.inject(rst(self.taken));
                return Mood::HasReset;
            }
            15 => {
                let at = near(rng, self.taken);
                self.inject(data(at, 10.min((end - at) as usize)).without(TcpFlags::ACK));
            }
            16 if self.stamped => {
                // Something old, from before the last time the numbers went round.
                let (at, old) = (near(rng, self.taken), self.clock().wrapping_sub(1 << 20));
                self.script.inject(data(at, 0).bytes(b"from long ago").ts(old, 0));
            }
            _ => {
                let magnitude = rng.u32(1..24);
                let span = Duration::from_micros(rng.u64(1..1 << magnitude));
                self.script.run_for(span);
            }
        }
        Mood::GoesOn
    }

    /// What may be told to have arrived: something that was sent, or that never was, or twice.
    fn any_blocks(&mut self) -> Vec<(u32, u32)> {
        let rng = &mut self.rng;
        (0..rng.usize(0..3))
            .map(|_| {
                let left = rng.u32(self.acked.saturating_sub(3_000).max(1)..self.sent + 2_000);
                (left, left + rng.u32(1..3_000))
            })
            .collect()
    }

    /// The stack's user sends and reads a little.
    fn use_socket(&mut self) {
        let (most, chunk) = (self.rng.usize(0..5_000), self.rng.u32(0..5_000));
        self.send(chunk);
        self.read(most);
    }

    fn send(&mut self, most: u32) {
        let len = most.min(self.streams.1 - self.queued);
        let bytes = pattern(u64::from(self.queued), len as usize);
        if let Ok(n) = self.script.stack().tcp_send(self.socket, &bytes) {
            self.queued += n as u32;
        }
    }

    fn read(&mut self, most: usize) {
        let mut out = vec![0; most];
        match self.script.stack().tcp_recv(self.socket, &mut out) {
            Ok(0) => self.ended |= most > 0,
            Ok(n) => {
                assert!(out[..n] == pattern(u64::from(self.read), n), "the bytes from {} on", self.read);
                self.read += n as u32;
            }
            Err(RecvError::WouldBlock) => {}
            Err(error) => panic!("receiving: {error:?}"),
        }
    }

    /// The peer hears what the stack has sent, and returns where each piece begins and ends.
    fn listen(&mut self) -> Vec<(u32, u32)> {
        let mut pieces = Vec::new();
        for frame in self.script.frames() {
            let (_, at) = EthernetRepr::parse(&frame).expect("an Ethernet header");
            let Ok(packet) = Ipv4Packet::parse(&frame[at..]) else { continue };
            let segment = TcpSegment::parse(packet.payload).expect("a segment");
            let options = TcpOptions::parse(segment.options).expect("options");
            if segment.header.flags.contains(TcpFlags::RST) {
                continue;
            }
            let begin = segment.header.seq.wrapping_sub(self.script.stack_isn());
            let fin = u32::from(segment.header.flags.contains(TcpFlags::FIN));
            let end = begin + segment.payload.len() as u32 + fin;
            if !segment.payload.is_empty() {
                let expected = pattern(u64::from(begin - 1), segment.payload.len());
                assert!(segment.payload == expected, "the bytes from {begin} on are not the stream's");
            }
            assert_eq!(options.timestamps.is_some(), self.stamped, "timestamps as agreed on");
            self.sent = self.sent.max(end);
            let taken = segment.header.ack.wrapping_sub(self.script.peer_isn());
            assert!(taken >= self.taken, "{taken} is acknowledged after {}", self.taken);
            assert!(taken <= self.streams.0 + 2, "{taken} is acknowledged of {}", self.streams.0);
            (self.taken, self.window) = (taken, u32::from(segment.header.window));
            self.echo = options.timestamps.map_or(0, |stamps| stamps.value);
            pieces.push((begin, end));
        }
        pieces
    }

    fn is_over(&mut self) -> bool {
        matches!(self.script.stack().tcp_state(self.socket), Ok(TcpState::Closed | TcpState::TimeWait))
    }

    /// From now on the peer is an honest one, without SACK.
    fn come_to_senses(&mut self) {
        let end = self.streams.0 + 1;
        let mut shut_down = false;
        self.script.set_window(65_535);
        for _ in 0..PATIENCE {
            self.send(u32::MAX);
            if self.queued == self.streams.1 && !shut_down {
                shut_down = true;
                self.script.stack().tcp_shutdown(self.socket).expect("it is open");
            }
            self.read(1 << 16);
            for (begin, end) in self.listen() {
                if begin <= self.acked {
                    self.acked = self.acked.max(end);
                }
            }
            if self.ended && self.acked == self.streams.1 + 2 {
                assert_eq!(self.read, self.streams.0, "an end before the last byte");
                return;
            }
            // Windows are scaled only where the peer has offered that, and it never does.
            let len = self.window.min(end.saturating_sub(self.taken)).clamp(0, 1_000);
            let segment = data(self.taken, len as usize).ack(self.acked);
            self.inject(if self.taken + len == end { segment.fin() } else { segment });
            self.script.run_for(Duration::from_millis(self.rng.u64(1..500)));
        }
        let info = self.script.stack().tcp_info(self.socket);
        panic!(
            "{} of {} bytes are read, {} of {} acknowledged: {info:?}\n{}",
            self.read,
            self.streams.0,
            self.acked,
            self.streams.1,
            self.script.trace()
        );
    }

    /// The stack tells its user of the reset, behind what had arrived before.
    fn expect_reset(&mut self) {
        let mut out = vec![0; 1 << 20];
        let told = std::iter::repeat_with(|| self.script.stack().tcp_recv(self.socket, &mut out))
            .find(|told| !matches!(told, Ok(1..)));
        // A peer that had ended its stream is believed to have read all of ours.
        assert!(matches!(told, Some(Ok(0) | Err(RecvError::Failed(SocketError::Reset)))), "{told:?}");
        assert_eq!(self.script.stack().tcp_state(self.socket), Ok(TcpState::Closed));
    }
}

/// Completes a handshake that the peer begins.
fn accept(script: &mut Script, offer: Seg, stamped: bool) -> SocketId {
    let listener = script.listen();
    script.inject(offer);
    let answer = script.next_frame().expect("a SYN-ACK");
    let (_, at) = EthernetRepr::parse(&answer).expect("an Ethernet header");
    let packet = Ipv4Packet::parse(&answer[at..]).expect("a packet");
    let segment = TcpSegment::parse(packet.payload).expect("a segment");
    let options = TcpOptions::parse(segment.options).expect("options");
    let stamps = options.timestamps.map_or(0, |stamps| stamps.value);
    assert_eq!(options.timestamps.is_some(), stamped, "timestamps as agreed on");
    script.inject(if stamped { ack(1).ts(2, stamps) } else { ack(1) });
    script.stack().tcp_accept(listener).expect("it is a listener").expect("the handshake is complete")
}
