//! A model for tests of algorithms alone: flows with always more to send, through one bottleneck with a queue.
//!
//! Every segment is acknowledged by itself. A segment is found lost when the third after it is acknowledged; what
//! was lost is replaced by new data, and the window is obeyed as it is.

use alloc::collections::{BTreeMap, BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::{Acked, Congestion, CongestionControl, DeliveryRate, LostSegment, Snapshot};
use crate::time::{Duration, Instant};

/// The one link that all flows share.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Bits per second.
    pub(crate) rate: u64,
    /// The round trip of an empty queue.
    pub(crate) rtt: Duration,
    /// Bytes that the queue holds.
    pub(crate) queue: u64,
    /// Segments that find more than so many bytes in the queue are marked.
    pub(crate) mark_above: Option<u64>,
    /// The share of segments that are lost whatever the queue.
    pub(crate) loss: f64,
    /// Where it is not 0, each so many-th segment is lost.
    pub(crate) lose_every: u64,
}

/// What a flow got in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Share {
    /// Bits per second.
    pub(crate) goodput: f64,
    /// The average and the greatest of what waited in front of its segments, in bytes.
    pub(crate) queue: f64,
    pub(crate) worst_queue: u64,
}

/// Flows and their bottleneck, at a time that starts with zero.
pub(crate) struct Bottleneck {
    link: Link,
    flows: Vec<Flow>,
    now: Instant,
    /// When the link has sent all that waits in front of it.
    idle_at: Instant,
    /// What happens next: when, in which order, to which flow.
    agenda: BinaryHeap<Reverse<(Instant, u64, usize, What)>>,
    order: u64,
    carried: u64,
    rng: fastrand::Rng,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// The acknowledgement of a segment arrives, and tells whether it was marked.
    Ack { number: u64, ce: bool },
    /// The pacer lets another segment go.
    Send,
    /// Perhaps nothing was acknowledged for too long.
    Timeout,
}

struct Flow {
    algorithm: Congestion,
    in_flight: BTreeMap<u64, Sent>,
    next: u64,
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    lost: u64,
    round_ends: u64,
    /// Recovery lasts until this segment or a later one is acknowledged.
    recover: Option<u64>,
    /// The window is not reduced for a mark before this segment is acknowledged.
    reduced_until: u64,
    paced_until: Instant,
    wakes: bool,
    watched: bool,
    min_rtt: Duration,
    srtt: Duration,
    recent: VecDeque<u64>,
    tally: Tally,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Instant,
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    tx_in_flight: u32,
    lost: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    delivered: u64,
    queues: u64,
    sends: u64,
    worst_queue: u64,
}

/// Bytes of every segment.
pub(crate) const MSS: u32 = 1_000;
/// Segments that must be acknowledged after one for it to be lost.
const REORDERING: usize = 3;
/// The retransmission timeout.
const TIMEOUT: Duration = Duration::from_secs(1);

impl Link {
    /// A link that loses nothing, of `rate` bits per second, a round trip of `rtt` milliseconds and `queue` bytes.
    pub(crate) const fn new(rate: u64, rtt: u64, queue: u64) -> Self {
        Self { rate, rtt: Duration::from_millis(rtt), queue, mark_above: None, loss: 0.0, lose_every: 0 }
    }
}

impl Bottleneck {
    pub(crate) fn new(link: Link, seed: u64) -> Self {
        Self {
            link,
            flows: Vec::new(),
            now: Instant::ZERO,
            idle_at: Instant::ZERO,
            agenda: BinaryHeap::new(),
            order: 0,
            carried: 0,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Another flow begins now.
    pub(crate) fn add(&mut self, algorithm: Congestion) -> usize {
        self.flows.push(Flow::new(algorithm, self.now));
        let flow = self.flows.len() - 1;
        self.send(flow);
        flow
    }

    pub(crate) fn algorithm(&self, flow: usize) -> &Congestion {
        &self.flows[flow].algorithm
    }

    pub(crate) fn set_link(&mut self, change: impl FnOnce(&mut Link)) {
        change(&mut self.link);
    }

    /// Lets `span` pass. Returns what each flow got in it.
    pub(crate) fn run(&mut self, span: Duration) -> Vec<Share> {
        let end = self.now + span;
        for flow in &mut self.flows {
            flow.tally = Tally::default();
        }
        while let Some(Reverse((at, ..))) = self.agenda.peek()
            && *at <= end
        {
            let Some(Reverse((at, _, flow, what))) = self.agenda.pop() else { break };
            self.now = at;
            match what {
                What::Ack { number, ce } => self.flows[flow].acknowledge(number, ce, at),
                What::Send => self.flows[flow].wakes = false,
                What::Timeout => self.flows[flow].time_out(at),
            }
            self.send(flow);
        }
        self.now = end;
        self.flows.iter().map(|flow| flow.tally.share(span)).collect()
    }

    /// Sends what a flow may send now.
    fn send(&mut self, flow: usize) {
        self.send_paced(flow);
        let this = &mut self.flows[flow];
        if !this.watched && !this.in_flight.is_empty() {
            this.watched = true;
            let at = this.delivered_at.max(self.now) + TIMEOUT;
            self.at(at, flow, What::Timeout);
        }
    }

    fn send_paced(&mut self, flow: usize) {
        loop {
            let this = &mut self.flows[flow];
            if this.bytes_in_flight() + MSS > this.algorithm.window() {
                return;
            }
            if this.paced_until > self.now {
                if !this.wakes {
                    this.wakes = true;
                    let at = this.paced_until;
                    self.at(at, flow, What::Send);
                }
                return;
            }
            let number = this.transmit(self.now);
            self.carry(flow, number);
        }
    }

    /// Puts a segment in the queue, if there is room for it.
    fn carry(&mut self, flow: usize, number: u64) {
        let backlog = self.idle_at - self.now;
        let waiting = (backlog.as_nanos() * u128::from(self.link.rate) / 8_000_000_000) as u64;
        self.flows[flow].tally.count_queue(waiting);
        self.carried += 1;
        let periodic = self.link.lose_every > 0 && self.carried.is_multiple_of(self.link.lose_every);
        let unlucky = self.rng.f64() < self.link.loss;
        if periodic || unlucky || waiting + u64::from(MSS) > self.link.queue {
            return;
        }
        let transmission = Duration::from_nanos(u64::from(MSS) * 8_000_000_000 / self.link.rate);
        self.idle_at = self.idle_at.max(self.now) + transmission;
        let ce = self.link.mark_above.is_some_and(|threshold| waiting > threshold);
        self.at(self.idle_at + self.link.rtt, flow, What::Ack { number, ce });
    }

    fn at(&mut self, at: Instant, flow: usize, what: What) {
        self.order += 1;
        self.agenda.push(Reverse((at, self.order, flow, what)));
    }
}

impl Flow {
    fn new(algorithm: Congestion, now: Instant) -> Self {
        Self {
            algorithm,
            in_flight: BTreeMap::new(),
            next: 0,
            delivered: 0,
            delivered_at: now,
            first_sent_at: now,
            lost: 0,
            round_ends: 0,
            recover: None,
            reduced_until: 0,
            paced_until: now,
            wakes: false,
            watched: false,
            min_rtt: Duration::MAX,
            srtt: Duration::ZERO,
            recent: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    fn bytes_in_flight(&self) -> u32 {
        self.in_flight.len() as u32 * MSS
    }

    fn transmit(&mut self, now: Instant) -> u64 {
        if self.in_flight.is_empty() {
            (self.first_sent_at, self.delivered_at) = (now, now);
        }
        let number = self.next;
        self.next += 1;
        let sent = Sent {
            at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            tx_in_flight: self.bytes_in_flight() + MSS,
            lost: self.lost,
        };
        self.in_flight.insert(number, sent);
        if let Some(rate) = self.algorithm.pacing_rate() {
            let pause = Duration::from_nanos(u64::from(MSS) * 1_000_000_000 / rate.max(1));
            self.paced_until = self.paced_until.max(now) + pause;
        }
        number
    }

    fn acknowledge(&mut self, number: u64, ce: bool, now: Instant) {
        let Some(sent) = self.in_flight.remove(&number) else { return };
        let prior_in_flight = self.bytes_in_flight() + MSS;
        let limited = prior_in_flight + 2 * MSS > self.algorithm.window();
        self.delivered += u64::from(MSS);
        self.delivered_at = now;
        self.first_sent_at = sent.at;
        self.tally.delivered += u64::from(MSS);
        let rtt = now - sent.at;
        self.min_rtt = self.min_rtt.min(rtt);
        self.srtt = if self.srtt.is_zero() { rtt } else { (self.srtt * 7 + rtt) / 8 };
        let round_start = sent.delivered >= self.round_ends;
        if round_start {
            self.round_ends = self.delivered;
        }
        let newly_lost = self.lose_before(number, prior_in_flight);
        if ce && number >= self.reduced_until {
            self.reduced_until = self.next;
            self.algorithm.on_ecn(&Snapshot { in_flight: prior_in_flight, mss: MSS });
        }
        let ended = self.recover.filter(|recover| number >= *recover).is_some();
        let interval = (now - sent.delivered_at).max(sent.at - sent.first_sent_at);
        let ack = Acked {
            now,
            delivered: self.delivered,
            newly_lost,
            ce: if ce { MSS } else { 0 },
            in_flight: self.bytes_in_flight(),
            rtt: Some(rtt),
            srtt: Some(self.srtt),
            rate: Some(DeliveryRate {
                delivered: self.delivered - sent.delivered,
                interval,
                app_limited: false,
                prior_delivered: sent.delivered,
                tx_in_flight: sent.tx_in_flight,
                lost: (self.lost - sent.lost) as u32,
            }),
            limited,
            in_recovery: self.recover.is_some() && !ended,
            round_start,
            ..Acked::of(MSS, MSS)
        };
        if ended {
            self.recover = None;
            let in_flight = self.bytes_in_flight();
            self.algorithm.on_recovered(&Snapshot { in_flight, mss: MSS });
        }
        self.algorithm.on_ack(&ack);
    }

    /// All is lost where nothing was acknowledged for long.
    fn time_out(&mut self, now: Instant) {
        self.watched = false;
        if self.in_flight.is_empty() || now - self.delivered_at < TIMEOUT {
            return;
        }
        let in_flight = self.bytes_in_flight();
        self.lost += u64::from(in_flight);
        self.in_flight.clear();
        self.recent.clear();
        self.recover = None;
        self.delivered_at = now;
        self.algorithm.on_timeout(&Snapshot { in_flight, mss: MSS }, true);
    }

    /// Finds those lost that three later ones have overtaken; returns their bytes.
    fn lose_before(&mut self, number: u64, in_flight: u32) -> u32 {
        self.recent.push_back(number);
        if self.recent.len() > REORDERING {
            self.recent.pop_front();
        }
        let Some(oldest) = self.recent.front().copied().filter(|_| self.recent.len() == REORDERING) else {
            return 0;
        };
        let mut newly_lost = 0;
        while let Some((&lost, &sent)) = self.in_flight.iter().next()
            && lost < oldest
        {
            self.in_flight.remove(&lost);
            self.lost += u64::from(MSS);
            newly_lost += MSS;
            self.algorithm.on_segment_lost(&LostSegment {
                len: MSS,
                tx_in_flight: sent.tx_in_flight,
                lost: (self.lost - sent.lost) as u32,
                app_limited: false,
            });
            if self.recover.is_none() {
                self.recover = Some(self.next);
                self.algorithm.on_loss(&Snapshot { in_flight, mss: MSS });
            }
        }
        newly_lost
    }
}

impl Tally {
    fn count_queue(&mut self, waiting: u64) {
        self.sends += 1;
        self.queues += waiting;
        self.worst_queue = self.worst_queue.max(waiting);
    }

    fn share(&self, span: Duration) -> Share {
        Share {
            goodput: self.delivered as f64 * 8.0 / span.as_secs_f64(),
            queue: self.queues as f64 / self.sends.max(1) as f64,
            worst_queue: self.worst_queue,
        }
    }
}
