use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use proptest::prelude::*;

use super::Plain;
use crate::buffers::{BufferRequest, Buffers, HeapBuffers};
use crate::config::{Limits, TcpConfig};
use crate::counters::Counters;
use crate::rate_limit::VagueLimit;
use crate::socket::SocketId;
use crate::tcp::connection::{Connection, Holds, Options, Patience, State};
use crate::tcp::express::Express;
use crate::tcp::handshake::{Exchange, Offer};
use crate::tcp::output::Plan;
use crate::tcp::rtt::RttEstimator;
use crate::tcp::send::Fin;
use crate::tcp::synchronized::Synchronized;
use crate::tcp::{Context, Decision, Endpoint, FourTuple, Segment, SeqNumber};
use crate::time::{Duration, Instant};
use crate::wire::tcp_options::{SackBlock, TcpOptions};
use crate::wire::{TcpFlags, Timestamps};

const ISS: SeqNumber = SeqNumber(u32::MAX - 2_000);
const IRS: SeqNumber = SeqNumber(u32::MAX - 5_000);
const BUFFER: usize = 16_384;

/// A segment that has left.
#[derive(Debug, PartialEq)]
struct Left {
    seq: SeqNumber,
    ack: SeqNumber,
    flags: TcpFlags,
    window: u16,
    options: TcpOptions,
    /// Where the payload begins in the send buffer, and how long it is.
    data: Option<(u32, u32)>,
}

/// An established connection with all that it needs around it.
struct End {
    connection: Connection<HeapBuffers>,
    buffers: HeapBuffers,
    config: TcpConfig,
    limits: Limits,
    counters: Counters,
    challenges: VagueLimit,
    now: Instant,
}

impl End {
    fn new(timestamps: bool) -> Self {
        let config =
            TcpConfig { send_buffer: BUFFER, receive_buffer: BUFFER, nagle: false, ..TcpConfig::default() };
        let mut buffers = HeapBuffers::new();
        let socket = SocketId::new(0, 0);
        let request = BufferRequest { socket, listener: None, send_limit: BUFFER, receive_limit: BUFFER };
        let pair = buffers.open(request).unwrap();
        let tuple = FourTuple {
            local: Endpoint::new(Ipv4Addr::new(10, 0, 0, 1).into(), 1),
            remote: Endpoint::new(Ipv4Addr::new(10, 0, 0, 2).into(), 2),
        };
        let stamp = timestamps.then_some(0);
        let offer = Offer { mss: 1_000, sack: true, timestamps: stamp, window: 16_000, ..Offer::NOTHING };
        let exchange = Exchange { iss: ISS, irs: IRS, ours: offer, peers: offer };
        let (mut limits, mut counters) = (Limits::default(), Counters::default());
        limits.out_of_order_ranges = 8;
        let mut challenges = VagueLimit::per_second(100, 7);
        let now = Instant::from_millis(1_000);
        let cx = Context {
            socket,
            now,
            config: &config,
            limits: &limits,
            buffers: &mut buffers,
            counters: &mut counters,
            challenges: &mut challenges,
        };
        let options = TcpOptions::default();
        let ack = Segment {
            seq: IRS + 1,
            ack: ISS + 1,
            flags: TcpFlags::ACK,
            window: 16_000,
            options: &options,
            payload: &[],
            joined: 1,
            ce: false,
        };
        let state = exchange.into_synchronized(&cx, &ack, RttEstimator::new(&config), pair);
        let (options, patience) = (Options::new(&config), Patience::new(&config));
        let state = State::Synchronized(state);
        let connection = Connection { tuple, options, patience, error: None, detached: false, state };
        Self { connection, buffers, config, limits, counters, challenges, now }
    }

    fn apart(&mut self) -> (&mut Connection<HeapBuffers>, Context<'_, HeapBuffers>) {
        let Self { connection, buffers, config, limits, counters, challenges, now } = self;
        let socket = SocketId::new(0, 0);
        (connection, Context { socket, now: *now, config, limits, buffers, counters, challenges })
    }

    fn state_and_buffers(&mut self) -> (&mut Synchronized<HeapBuffers>, &mut HeapBuffers) {
        match &mut self.connection.state {
            State::Synchronized(state) => (state, &mut self.buffers),
            _ => panic!("the connection stays synchronised"),
        }
    }

    fn state(&mut self) -> &mut Synchronized<HeapBuffers> {
        self.state_and_buffers().0
    }

    /// Writes `len` bytes, and sends what may be sent, the usual segment straight if `express`. Returns what has left.
    fn send(&mut self, len: usize, express: bool) -> Vec<Left> {
        self.write(len);
        let (connection, mut cx) = self.apart();
        let mut left = Vec::new();
        loop {
            if let Some(segment) = connection.express(&cx).filter(|_| express) {
                let Express { seq, ack, flags, window, stamps, offset, len } = segment;
                let options = TcpOptions { timestamps: Some(stamps), ..TcpOptions::default() };
                left.push(Left {
                    seq,
                    ack,
                    flags,
                    window,
                    options,
                    data: (len > 0).then_some((offset, len)),
                });
                connection.sent_express(&mut cx, &segment);
            } else if let Some(plan) = connection.plan(&mut cx, 0) {
                let Plan { seq, ack, flags, window, options, offset, len, .. } = plan;
                left.push(Left {
                    seq,
                    ack,
                    flags,
                    window,
                    options,
                    data: (len > 0).then_some((offset, len)),
                });
                connection.sent(&mut cx, &plan);
            } else {
                return left;
            }
        }
    }

    fn write(&mut self, len: usize) {
        let (state, buffers) = self.state_and_buffers();
        buffers.write(&mut state.send, &vec![7; len]);
    }

    fn shut_down(&mut self) {
        self.state().shut_down();
    }

    fn read(&mut self) -> Vec<u8> {
        let (state, buffers) = self.state_and_buffers();
        let mut out = vec![0; BUFFER];
        let n = buffers.read(&mut state.receive, &mut out);
        out.truncate(n);
        out
    }

    /// All that the connection remembers.
    fn memory(&mut self) -> String {
        let counters = format!("{:?}", self.counters);
        let Synchronized {
            phase,
            detached,
            fast_open,
            snd,
            rcv,
            timestamps,
            ecn,
            rtt,
            flight,
            ssthresh,
            timers,
            unanswered,
            push,
            probe,
            objected,
            tuning,
            send,
            receive,
        } = self.state();
        format!(
            "{phase:?} {detached} {fast_open:?} {snd:?} {rcv:?} {timestamps:?} {ecn:?} {rtt:?} {flight:?} {ssthresh} \
             {timers:?} {unanswered} {push} {probe} {objected:?} {tuning:?} {send:?} {receive:?} \
             {counters}"
        )
    }
}

/// A segment in terms of what its receiver expects.
#[derive(Clone, Debug)]
struct Step {
    send: usize,
    pause: u64,
    /// Distance from RCV.NXT.
    seq: i32,
    /// Distance from SND.UNA, in tenths of what is in flight.
    ack: u32,
    flags: u8,
    len: usize,
    window: u16,
    stamp: Option<i32>,
    sack: bool,
    read: bool,
}

/// Mostly what is to be expected next, since nothing else is predicted.
fn step() -> impl Strategy<Value = Step> {
    let seq = prop_oneof![8 => Just(0), 1 => -2_000..2_000_i32];
    let ack = prop_oneof![4 => Just(10_u32), 2 => Just(0), 1 => 0..12_u32];
    let flags = prop_oneof![6 => Just(TcpFlags::ACK), 4 => Just(TcpFlags::ACK | TcpFlags::PSH),
        1 => Just(TcpFlags::ACK | TcpFlags::URG), 1 => Just(TcpFlags::ACK | TcpFlags::SYN), 1 => Just(TcpFlags::PSH)];
    let len = prop_oneof![2 => Just(0_usize), 4 => 1..1_200_usize];
    let window = prop_oneof![6 => Just(16_000_u16), 1 => Just(0_u16), 1 => any::<u16>()];
    let stamp = prop_oneof![8 => Just(Some(1)), 1 => Just(None), 1 => (-5..5).prop_map(Some)];
    let sack = prop_oneof![9 => Just(false), 1 => Just(true)];
    let send = prop_oneof![1 => Just(0_usize), 2 => 1..3_000_usize];
    ((send, 0..300_u64, seq, ack, flags), (len, window, stamp, sack, any::<bool>())).prop_map(
        |((send, pause, seq, ack, flags), (len, window, stamp, sack, read))| Step {
            send,
            pause,
            seq,
            ack,
            flags: flags.bits(),
            len,
            window,
            stamp,
            sack,
            read,
        },
    )
}

/// Has `end` do a step; its segment takes the whole path, or else the short one where it is predicted. Returns what was
/// decided, and whether it was predicted.
fn take(end: &mut End, step: &Step, stamp: u32, whole_path: bool) -> (Decision, bool) {
    end.now += Duration::from_micros(step.pause);
    end.send(step.send, false);
    let in_flight = end.state().snd.flight();
    let state = end.state();
    let (una, nxt) = (state.snd.una, state.rcv.nxt);
    let timestamps =
        step.stamp.map(|ahead| Timestamps { value: stamp.wrapping_add_signed(ahead), echo: 1_000 });
    let mut options = TcpOptions { timestamps, ..TcpOptions::default() };
    if step.sack && in_flight > 10 {
        options.sack = [SackBlock { left: (una + 5).0, right: (una + 10).0 }].into_iter().collect();
    }
    let payload = vec![9; step.len];
    let segment = Segment {
        seq: SeqNumber(nxt.0.wrapping_add_signed(step.seq)),
        ack: una + in_flight / 10 * step.ack + if step.ack == 10 { in_flight % 10 } else { 0 },
        flags: TcpFlags::from_bits_retain(step.flags),
        window: step.window,
        options: &options,
        payload: &payload,
        joined: 1,
        ce: false,
    };
    let (connection, mut cx) = end.apart();
    let State::Synchronized(state) = &mut connection.state else { panic!("synchronised") };
    if whole_path {
        return (state.on_any_segment(&mut cx, &segment), false);
    }
    match Plain::of(&segment).is_some_and(|plain| state.predicts(&plain)) {
        true => (state.on_segment(&mut cx, &segment), true),
        false => (state.on_any_segment(&mut cx, &segment), false),
    }
}

proptest! {
    #[test]
    fn both_paths_lead_to_the_same(timestamps: bool, steps in prop::collection::vec(step(), 1..60)) {
        let (mut short, mut whole) = (End::new(timestamps), End::new(timestamps));
        for (stamp, step) in (1_000..).zip(&steps) {
            let (predicted, _) = take(&mut short, step, stamp, false);
            let (decided, _) = take(&mut whole, step, stamp, true);
            prop_assert_eq!(predicted, decided);
            if step.read {
                prop_assert_eq!(short.read(), whole.read());
            }
            prop_assert_eq!(short.memory(), whole.memory());
        }
    }
}

proptest! {
    #[test]
    fn express_segment_is_the_one_that_was_to_be_planned(
        timestamps: bool, nagle: bool, steps in prop::collection::vec((step(), 0..40_u8), 1..60),
    ) {
        let (mut short, mut whole) = (End::new(timestamps), End::new(timestamps));
        let mut holds = Holds::empty();
        holds.set(Holds::NAGLE, nagle);
        (short.connection.options.holds, whole.connection.options.holds) = (holds, holds);
        for (stamp, (step, close)) in (1_000..).zip(&steps) {
            if *close == 0 {
                short.shut_down();
                whole.shut_down();
            }
            let open = short.state().snd.fin == Fin::Open;
            let len = if open { step.send % 1_500 } else { 0 };
            prop_assert_eq!(short.send(len, true), whole.send(len, false));
            let rest = Step { send: 0, ..step.clone() };
            let (one, other) = (take(&mut short, &rest, stamp, true), take(&mut whole, &rest, stamp, true));
            prop_assert_eq!(one, other);
            if step.read {
                prop_assert_eq!(short.read(), whole.read());
            }
            prop_assert_eq!(short.memory(), whole.memory());
        }
    }
}

#[test]
fn acknowledgement_and_answer_leave_straight() {
    let mut end = End::new(true);
    end.state().rcv.ack_now();
    let (connection, cx) = end.apart();
    let bare = connection.express(&cx).expect("an acknowledgement");
    assert_eq!((bare.seq, bare.len, bare.flags), (ISS + 1, 0, TcpFlags::ACK));
    end.write(64);
    let (connection, cx) = end.apart();
    let answer = connection.express(&cx).expect("an answer");
    assert_eq!((answer.seq, answer.len, answer.flags), (ISS + 1, 64, TcpFlags::ACK | TcpFlags::PSH));
}

#[test]
fn requests_and_answers_are_predicted() {
    let mut end = End::new(true);
    for stamp in 1_000..1_100 {
        let step = Step {
            send: 64,
            pause: 10,
            seq: 0,
            ack: 10,
            flags: (TcpFlags::ACK | TcpFlags::PSH).bits(),
            len: 64,
            window: 16_000,
            stamp: Some(0),
            sack: false,
            read: true,
        };
        assert!(take(&mut end, &step, stamp, false).1);
        assert_eq!(end.read(), [9; 64]);
    }
}
