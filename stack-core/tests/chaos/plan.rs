//! What happens in a run: drawn from its seed before it begins.

use std::time::Duration;

use fastrand::Rng;
use netlane_core::{CongestionAlgorithm, Ecn, KeepAlive, StackConfig, SynCookies, VlanId};
use netlane_sim::impairment::{Impairment, Rate};
use netlane_sim::{DeviceConfig, Narrow};

/// All that is decided about a run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Nothing happens that a connection may fail of.
    pub(crate) calm: bool,
    pub(crate) hosts: [HostPlan; 2],
    /// How bad the way from either host is at first.
    pub(crate) weather: [Impairment; 2],
    pub(crate) connections: Vec<ConnectionPlan>,
    /// What else happens, and when.
    pub(crate) events: Vec<(Duration, Event)>,
}

/// A host.
#[derive(Clone, Debug)]
pub(crate) struct HostPlan {
    pub(crate) stack: StackConfig,
    pub(crate) device: DeviceConfig,
    /// Bytes of memory for all buffers.
    pub(crate) budget: Option<usize>,
}

/// A connection, and what its two ends do with it.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionPlan {
    pub(crate) begin: Duration,
    /// The host that opens it, and the one that it leads to: perhaps the same.
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) v6: bool,
    pub(crate) fast_open: bool,
    /// The end that opens it, and the other.
    pub(crate) ends: [EndPlan; 2],
}

/// What the program at one end of a connection does.
#[derive(Clone, Debug)]
pub(crate) struct EndPlan {
    pub(crate) bytes: u64,
    /// The most bytes of one call.
    pub(crate) write: usize,
    pub(crate) read: usize,
    /// How likely it is to pause after a call, and for how long at most.
    pub(crate) pause: (f64, Duration),
    /// Sends its FIN only when the peer's has arrived.
    pub(crate) waits_for_end: bool,
}

/// What happens beside the connections' own doings.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The way from a host gets better or worse.
    Weather(usize, Impairment),
    /// Nothing passes, in one direction or in both.
    Cut {
        from: Option<usize>,
        span: Duration,
    },
    /// A cut may have ended.
    Mend(usize),
    /// The path from a host carries less, or as much as the link again.
    Path(usize, Option<Narrow>),
    /// A host gets no turn.
    Stall(usize, Duration),
    /// A host's clock jumps.
    Jump(usize, Duration),
    /// A host loses an address, and gets it back.
    Renumber {
        host: usize,
        v6: bool,
        back: Duration,
    },
    /// It gets it back.
    Restore {
        host: usize,
        v6: bool,
    },
    /// A host's card is pulled out.
    PullOut(usize),
    /// One end of a connection ends it at once, or closes it whatever is still to come.
    Abort(usize, usize),
    Close(usize, usize),
    /// One end changes its mind about how it sends.
    Algorithm(usize, usize, CongestionAlgorithm),
    NoDelay(usize, usize, bool),
    /// A host sends a datagram of so many bytes.
    Datagram {
        from: usize,
        v6: bool,
        bytes: usize,
    },
}

/// Frames that a run may need for the bytes of one direction, about: what keeps runs short.
const SEGMENTS: u64 = 250;

impl Plan {
    pub(crate) fn draw(seed: u64, calm: bool) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let vlan = (rng.f64() < 0.1).then(|| VlanId::new(rng.u16(1..4_095))).flatten();
        let super_frames = rng.f64() < 0.15;
        let mut hosts = [(); 2].map(|()| HostPlan::draw(rng, calm, super_frames));
        for host in &mut hosts {
            host.stack.interface.vlan = vlan;
        }
        let weather = [(); 2].map(|()| self::weather(rng, calm, super_frames));
        let count = if rng.f64() < 0.8 { 1 } else { rng.usize(2..5) };
        let connections = (0..count).map(|_| ConnectionPlan::draw(rng, &hosts)).collect::<Vec<_>>();
        let mut plan = Self { seed, calm, hosts, weather, connections, events: Vec::new() };
        for _ in 0..rng.usize(0..5) {
            plan.add_event(rng, super_frames);
        }
        plan.events.sort_by_key(|(at, _)| *at);
        plan
    }

    fn add_event(&mut self, rng: &mut Rng, super_frames: bool) {
        let at = Duration::from_micros(log_uniform(rng, 1, 20_000_000));
        let (host, end) = (rng.usize(0..2), rng.usize(0..2));
        let connection = rng.usize(0..self.connections.len());
        let event = match rng.u32(0..if self.calm { 9 } else { 16 }) {
            0 => Event::Weather(host, weather(rng, self.calm, super_frames)),
            1 => Event::Cut { from: choose(rng, &[None, Some(0), Some(1)]), span: millis(rng, 1, 8_000) },
            2 => {
                let mtu = rng.usize(1_280..1_500);
                // The events of a calm run can be survived: a black hole only where it is looked for.
                let finds = self.hosts.iter().all(|host| host.stack.tcp.black_hole_detection);
                let tells = rng.bool() || (self.calm && !finds);
                Event::Path(host, choose(rng, &[None, Some(Narrow { mtu, tells })]))
            }
            3 => Event::Stall(host, millis(rng, 1, 5_000)),
            4 => Event::Jump(host, millis(rng, 1, 60_000)),
            5 => Event::Algorithm(connection, end, algorithm(rng)),
            6 => Event::NoDelay(connection, end, rng.bool()),
            7 | 8 => {
                // Two flipped bits can make up for each other, in different fragments.
                let whole = self.weather.iter().any(|weather| weather.corruption > 0.0);
                let bytes = log_uniform(rng, 1, if whole { 1_000 } else { 6_000 }) as usize;
                Event::Datagram { from: host, v6: rng.bool(), bytes }
            }
            9 | 10 => Event::Abort(connection, end),
            11 => Event::Close(connection, end),
            12 => Event::Renumber { host, v6: rng.bool(), back: millis(rng, 1, 100_000) },
            13 => Event::PullOut(host),
            14 => Event::Cut {
                from: choose(rng, &[None, Some(0), Some(1)]),
                span: millis(rng, 8_000, 8_000_000),
            },
            _ => Event::Jump(host, millis(rng, 60_000, 1_700_000_000)),
        };
        self.events.push((at, event));
    }
}

impl HostPlan {
    pub(crate) fn draw(rng: &mut Rng, calm: bool, super_frames: bool) -> Self {
        let mut stack = StackConfig::default();
        let tcp = &mut stack.tcp;
        let often = |rng: &mut Rng| rng.f64() < 0.8;
        tcp.congestion_control = algorithm(rng);
        tcp.sack = often(rng);
        tcp.timestamps = often(rng);
        tcp.window_scaling = often(rng);
        tcp.ecn = choose(rng, &[Ecn::Off, Ecn::Accept, Ecn::On]);
        tcp.nagle = often(rng);
        let delays = [Duration::ZERO, Duration::from_millis(40), millis(rng, 1, 400)];
        tcp.delayed_ack = choose(rng, &delays);
        tcp.quick_acks = choose(rng, &[0, 1, 16]);
        tcp.mss = (rng.f64() < 0.2).then(|| log_uniform(rng, 64, 1_460) as u16);
        tcp.rto_min = millis(rng, 10, 1_000);
        tcp.initial_window = rng.u8(1..20);
        tcp.syn_cookies =
            choose(rng, &[SynCookies::WhenFull, SynCookies::WhenFull, SynCookies::Always, SynCookies::Off]);
        tcp.fast_open = rng.bool();
        tcp.fast_open_without_cookie = rng.f64() < 0.2;
        tcp.black_hole_detection = often(rng);
        tcp.user_timeout_option = rng.bool();
        tcp.send_buffer = log_uniform(rng, 64, 1 << 20) as usize;
        tcp.send_buffer_start = log_uniform(rng, 64, 1 << 20) as usize;
        tcp.receive_buffer = log_uniform(rng, 64, 1 << 20) as usize;
        tcp.time_wait = millis(rng, 1_000, 60_000);
        // A handshake that is given up for lost acknowledgements ends in a reset.
        tcp.syn_ack_retries = if calm { 12 } else { rng.u8(1..6) };
        if !calm && rng.f64() < 0.3 {
            tcp.retries = rng.u8(1..15);
            tcp.user_timeout = rng.bool().then(|| millis(rng, 100, 100_000));
            let keepalive = KeepAlive {
                idle: millis(rng, 2_000, 100_000),
                interval: millis(rng, 2_000, 10_000),
                probes: 3,
            };
            tcp.keepalive = rng.bool().then_some(keepalive);
        }
        let limits = &mut stack.limits;
        limits.sockets = rng.usize(32..64);
        limits.out_of_order_ranges = log_uniform(rng, 1, 64) as usize;
        limits.in_flight_records = log_uniform(rng, 16, 1_024) as usize;
        limits.neighbor_queue = rng.usize(1..17);
        let segmentation = rng.bool() || super_frames;
        let mtus = [1_280, 1_500, 1_500, 9_000, rng.usize(1_280..5_000)];
        let device = DeviceConfig {
            mtu: choose(rng, &mtus),
            checksum_offload: segmentation || rng.bool(),
            segmentation_offload: segmentation,
            super_frames,
            frames: log_uniform(rng, 24, 4_096) as usize,
            queue: log_uniform(rng, 1, 1_024) as usize,
        };
        // With little memory, ends may wait for each other's: nobody accepts what would let them go on.
        let budget = (!calm && rng.f64() < 0.2).then(|| log_uniform(rng, 1 << 14, 1 << 20) as usize);
        Self { stack, device, budget }
    }
}

impl ConnectionPlan {
    fn draw(rng: &mut Rng, hosts: &[HostPlan; 2]) -> Self {
        let from = rng.usize(0..2);
        let to = if rng.f64() < 0.05 { from } else { 1 - from };
        let patient = choose(rng, &[None, None, Some(0), Some(1)]);
        let ends = [0, 1].map(|end| {
            let (near, far) = if end == 0 { (from, to) } else { (to, from) };
            let (near, far) = (&hosts[near].stack.tcp, &hosts[far].stack.tcp);
            let mss = usize::from(near.mss.unwrap_or(1_000).min(far.mss.unwrap_or(1_000)));
            let unit = mss.min(near.send_buffer).min(near.send_buffer_start).min(far.receive_buffer) as u64;
            EndPlan::draw(rng, unit, patient == Some(end))
        });
        let begin = Duration::from_micros(log_uniform(rng, 1, 3_000_000));
        Self { begin, from, to, v6: rng.bool(), fast_open: rng.bool(), ends }
    }
}

impl EndPlan {
    fn draw(rng: &mut Rng, unit: u64, waits_for_end: bool) -> Self {
        let bytes = if waits_for_end || rng.f64() < 0.9 { log_uniform(rng, 1, unit * SEGMENTS) } else { 0 };
        let span = millis(rng, 1, 3_000);
        Self {
            bytes,
            write: log_uniform(rng, 1 + bytes / 100, 65_536) as usize,
            read: log_uniform(rng, 1 + bytes / 100, 65_536) as usize,
            pause: (if rng.bool() { 0.0 } else { rng.f64() * 0.3 }, span),
            waits_for_end,
        }
    }
}

fn weather(rng: &mut Rng, calm: bool, super_frames: bool) -> Impairment {
    let most = if calm || rng.bool() { 0.1 } else { 0.6 };
    let perhaps = |rng: &mut Rng, most: f64| if rng.bool() { 0.0 } else { rng.f64() * rng.f64() * most };
    let queue_bytes = log_uniform(rng, 20_000, 1_000_000) as usize;
    let rate = Rate { bits_per_second: log_uniform(rng, 200_000, 1_000_000_000), queue_bytes };
    Impairment {
        loss: perhaps(rng, most),
        duplication: perhaps(rng, 0.3),
        reordering: perhaps(rng, 0.3),
        reorder_delay: Duration::from_micros(log_uniform(rng, 1, 300_000)),
        // Nobody verifies what a device has vouched for.
        corruption: if super_frames { 0.0 } else { perhaps(rng, 0.1) },
        delay: Duration::from_micros(log_uniform(rng, 1, 200_000)),
        jitter: if rng.bool() { Duration::ZERO } else { Duration::from_micros(log_uniform(rng, 1, 100_000)) },
        rate: rng.bool().then_some(rate),
        mark_above: rng.bool().then_some(queue_bytes / 4),
    }
}

fn algorithm(rng: &mut Rng) -> CongestionAlgorithm {
    use CongestionAlgorithm::{Bbr, Cubic, Dctcp, NewReno};
    choose(rng, &[NewReno, Cubic, Dctcp, Bbr])
}

fn choose<T: Clone>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(0..of.len())].clone()
}

fn millis(rng: &mut Rng, low: u64, high: u64) -> Duration {
    Duration::from_millis(log_uniform(rng, low, high))
}

/// A number between two others, small ones as likely as those that are many times larger.
fn log_uniform(rng: &mut Rng, low: u64, high: u64) -> u64 {
    let (low, high) = (low as f64, high.max(low) as f64);
    (low * (high / low).powf(rng.f64())) as u64
}
