//! Hosts on links, under a clock that jumps from one event to the next.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{Index, IndexMut};

use netlane_core::wire::{EthernetRepr, MacAddr};
use netlane_core::{Duration, HeapBuffers, Instant, Stack, StackConfig, Turn};
use netlane_packet_io::PacketBuf;

use crate::device::{DeviceConfig, SimDevice, SimFrame};
use crate::impairment::{Fate, ImpairedLink, Impairment, LinkStats, PacketOps, mark_frame};
use crate::narrow::{Narrow, Passage};
use crate::offload::onto_wire;
use crate::trace::Trace;

/// The stack of a simulated host.
pub type SimStack = Stack<SimDevice, HeapBuffers>;

/// Hosts, the links between them, and their time, which is zero at first.
///
/// Time passes in [`run_for`](Self::run_for) and [`run_until`](Self::run_until) only. Index the world with a
/// [`HostId`] to get at a host's stack. When a test panics, the last frames are printed.
#[derive(Debug)]
pub struct World {
    seed: u64,
    now: Instant,
    hosts: Vec<Node>,
    digest: DefaultHasher,
    trace: Option<Trace>,
    watcher: Option<Watcher>,
    largest_frame: usize,
    turns: u64,
}

/// A host of a [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(usize);

impl HostId {
    /// The host's place in the order in which hosts were added, from 0 on.
    #[must_use]
    pub fn number(self) -> usize {
        self.0
    }
}

/// A host before it joins a [`World`].
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    config: StackConfig,
    device: DeviceConfig,
}

/// A host, and the way from it to all others of its link.
struct Node {
    name: String,
    mac: MacAddr,
    stack: SimStack,
    /// Hosts with the same number reach each other.
    link: usize,
    outbound: ImpairedLink<SimFrame>,
    /// A link on the way that carries less than this one.
    narrow: Option<Narrow>,
    /// How far the host's clock is ahead of the world's.
    ahead: Duration,
    /// Until then the host takes no turn.
    stalled_until: Instant,
    wake_at: Option<Instant>,
}

/// Sees each frame as it is put onto a link.
struct Watcher(Box<Watch>);

type Watch = dyn FnMut(Instant, HostId, &SimFrame);

/// A host that is still busy after so many turns at the same instant waits for the next one.
const TURNS_AT_ONCE: usize = 10_000;
/// When a host that is busy and gets nowhere, because its device takes no more, is given its next turn.
const BUSY_PAUSE: Duration = Duration::from_micros(10);

impl Host {
    /// A host with the one address `address`, such as `10.0.0.1/24`. One of IPv6 can be used at once: nobody else has
    /// it, and the host does not ask.
    ///
    /// # Panics
    /// If that is no address with a prefix.
    #[must_use]
    pub fn new(name: &str, address: &str) -> Self {
        let mut config = StackConfig::default();
        config.interface.addresses = vec![address.parse().expect("an address and the length of its prefix")];
        config.interface.ipv6.duplicate_address_detection = false;
        Self { name: name.into(), config, device: DeviceConfig::default() }
    }

    /// Changes the stack's configuration.
    #[must_use]
    pub fn stack(mut self, change: impl FnOnce(&mut StackConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes the network card.
    #[must_use]
    pub fn device(mut self, change: impl FnOnce(&mut DeviceConfig)) -> Self {
        change(&mut self.device);
        self
    }
}

impl World {
    /// A world without hosts. All chance in it comes from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            now: Instant::ZERO,
            hosts: Vec::new(),
            digest: DefaultHasher::new(),
            trace: None,
            watcher: None,
            largest_frame: 0,
            turns: 0,
        }
    }

    /// Two hosts, "a" at 10.0.0.1 and "b" at 10.0.0.2, joined by a perfect link, both changed by `change`.
    #[must_use]
    pub fn pair(seed: u64, change: impl Fn(Host) -> Host) -> (Self, HostId, HostId) {
        let mut world = Self::new(seed);
        let a = world.add(change(Host::new("a", "10.0.0.1/24")));
        let b = world.add(change(Host::new("b", "10.0.0.2/24")));
        (world, a, b)
    }

    /// Adds a host to the one link that all hosts share.
    pub fn add(&mut self, host: Host) -> HostId {
        self.add_to(0, host)
    }

    /// Adds a host to the link with the number `link`: a switch that hands each frame to the host whose address it
    /// bears, and frames for everybody to everybody.
    pub fn add_to(&mut self, link: usize, host: Host) -> HostId {
        let Host { name, config, device } = host;
        let number = self.hosts.len() + 1;
        let mac = config.interface.mac.unwrap_or(MacAddr([2, 0, 0, 0, (number >> 8) as u8, number as u8]));
        let seed = self.seed.wrapping_mul(31).wrapping_add(number as u64);
        let stack = Stack::new(SimDevice::new(mac.0, &device), HeapBuffers::new(), config, seed);
        let outbound = ImpairedLink::new(Impairment::default(), !seed);
        self.hosts.push(Node {
            name,
            mac,
            stack,
            link,
            outbound,
            narrow: None,
            ahead: Duration::ZERO,
            stalled_until: Instant::ZERO,
            wake_at: None,
        });
        HostId(self.hosts.len() - 1)
    }

    /// Changes what becomes of frames from `host`, from now on.
    pub fn impair(&mut self, host: HostId, impairment: Impairment) {
        self.hosts[host.0].outbound.set_impairment(impairment);
    }

    /// Changes what becomes of all frames, from now on.
    pub fn impair_all(&mut self, impairment: &Impairment) {
        for node in &mut self.hosts {
            node.outbound.set_impairment(impairment.clone());
        }
    }

    /// Loses everything that `host` sends from now on, or nothing.
    pub fn cut_off(&mut self, host: HostId, cut: bool) {
        let outbound = &mut self.hosts[host.0].outbound;
        let loss = if cut { 1.0 } else { 0.0 };
        outbound.set_impairment(Impairment { loss, ..outbound.impairment().clone() });
    }

    /// Packets from `host` meet a link on their way that carries less than its own, or don't any more.
    pub fn narrow(&mut self, host: HostId, narrow: Option<Narrow>) {
        self.hosts[host.0].narrow = narrow;
    }

    /// Sets a host's clock forward. The world's time stays.
    pub fn jump(&mut self, host: HostId, span: Duration) {
        self.hosts[host.0].ahead += span;
    }

    /// Gives a host no turn for `span`: what arrives waits in its card.
    pub fn stall(&mut self, host: HostId, span: Duration) {
        self.hosts[host.0].stalled_until = self.now + span;
    }

    /// Shows `watcher` each frame that a host sends, before the link does anything to it.
    pub fn watch(&mut self, watcher: impl FnMut(Instant, HostId, &SimFrame) + 'static) {
        self.watcher = Some(Watcher(Box::new(watcher)));
    }

    /// Turns that all hosts together have taken.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// What the link has done to the frames from `host`.
    #[must_use]
    pub fn link_stats(&self, host: HostId) -> LinkStats {
        self.hosts[host.0].outbound.stats()
    }

    /// Bytes from `host` that wait in front of its link.
    #[must_use]
    pub fn queue(&self, host: HostId) -> usize {
        self.hosts[host.0].outbound.waiting(self.now.as_nanos()) as usize
    }

    /// All hosts, in the order in which they were added.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId)
    }

    /// The longest frame that was put onto the link, in bytes.
    #[must_use]
    pub fn largest_frame(&self) -> usize {
        self.largest_frame
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A number that differs for any two runs in which not exactly the same frames were sent at the same times.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// Begins to record frames, to be printed when a test fails.
    pub fn record(&mut self) {
        self.trace = Some(Trace::default());
    }

    /// What was recorded.
    #[must_use]
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// Lets `span` pass.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(|_| false, span);
    }

    /// Runs until `done`, which is asked after each event and may act on the hosts; for no longer than `limit`.
    /// Returns whether it was done in time.
    pub fn run_until(&mut self, mut done: impl FnMut(&mut Self) -> bool, limit: Duration) -> bool {
        let deadline = self.now + limit;
        loop {
            self.settle();
            let is_done = done(self);
            // What was asked of the stacks happens at the same instant, and what that leads to as well.
            let moved = self.settle();
            if is_done {
                return true;
            }
            if moved {
                continue;
            }
            match self.next_event() {
                Some(next) if next <= deadline => self.now = next,
                _ => {
                    self.now = deadline;
                    self.settle();
                    return done(self);
                }
            }
        }
    }

    /// Lets all happen that happens at this instant. Returns whether any frame moved.
    fn settle(&mut self) -> bool {
        let mut moved = false;
        for _ in 0..TURNS_AT_ONCE {
            let mut again = self.arrive();
            for host in 0..self.hosts.len() {
                again |= self.turn(host);
            }
            if !again {
                break;
            }
            moved = true;
        }
        moved
    }

    /// Delivers what has arrived by now.
    fn arrive(&mut self) -> bool {
        let now = self.now.as_nanos();
        let mut arrived = false;
        for host in 0..self.hosts.len() {
            while let Some(frame) = self.hosts[host].outbound.pop_due(now) {
                arrived = true;
                self.deliver(host, frame);
            }
        }
        arrived
    }

    fn deliver(&mut self, from: usize, frame: SimFrame) {
        let dst = EthernetRepr::parse(frame.bytes()).map(|(ethernet, _)| ethernet.dst);
        let link = self.hosts[from].link;
        let others = self.hosts.iter_mut().enumerate();
        let mut others =
            others.filter(|(host, node)| *host != from && node.link == link).map(|(_, node)| node);
        if let Ok(dst) = dst
            && let Some(node) = others.by_ref().find(|node| node.mac == dst)
        {
            return node.stack.io_mut().deliver(frame);
        }
        // For everybody, or for somebody unknown. A frame damaged on the way may be both.
        let others = self.hosts.iter_mut().enumerate();
        for (_, node) in others.filter(|(host, node)| *host != from && node.link == link) {
            node.stack.io_mut().deliver(frame.clone());
        }
    }

    /// Gives a host turns until it is idle or stuck, and puts what it sends onto the link. Returns whether it sent
    /// anything.
    fn turn(&mut self, host: usize) -> bool {
        let mut sent = false;
        let Node { ahead, stalled_until, .. } = self.hosts[host];
        if self.now < stalled_until {
            self.hosts[host].wake_at = Some(stalled_until);
            return false;
        }
        for _ in 0..TURNS_AT_ONCE {
            self.turns += 1;
            // A host whose card was pulled out does nothing any more.
            let Ok(turn) = self.hosts[host].stack.poll(self.now + ahead) else {
                self.hosts[host].wake_at = None;
                return sent;
            };
            let progress = self.transmit(host);
            sent |= progress;
            let soon = Some(self.now + BUSY_PAUSE);
            let (wake_at, at_rest) = match turn {
                Turn::Idle { wake_at } => {
                    let nanos = wake_at.map(|at| at.as_nanos().saturating_sub(ahead.as_nanos() as u64));
                    (nanos.map(Instant::from_nanos), true)
                }
                Turn::Blocked { .. } => (soon, !progress),
                Turn::Busy => (soon, false),
            };
            self.hosts[host].wake_at = wake_at;
            if at_rest {
                break;
            }
        }
        sent
    }

    fn transmit(&mut self, host: usize) -> bool {
        let link = self.hosts[host].link;
        let mut peers =
            self.hosts.iter().enumerate().filter(|(other, node)| *other != host && node.link == link);
        let narrow = self.hosts[host].narrow;
        let takes_super_frames =
            narrow.is_none() && peers.all(|(_, node)| node.stack.io().takes_super_frames());
        let mut any = false;
        while let Some(frame) = self.hosts[host].stack.io_mut().take_sent() {
            any = true;
            for frame in onto_wire(frame, takes_super_frames) {
                (self.now.as_nanos(), host, frame.bytes()).hash(&mut self.digest);
                self.largest_frame = self.largest_frame.max(frame.bytes().len());
                if let Some(Watcher(watcher)) = &mut self.watcher {
                    watcher(self.now, HostId(host), &frame);
                }
                match narrow.map_or(Passage::Whole, |narrow| narrow.pass(&frame)) {
                    Passage::Whole => self.put_onto_link(host, frame, ""),
                    Passage::Pieces(pieces) => {
                        pieces.into_iter().for_each(|piece| self.put_onto_link(host, piece, "piece"));
                    }
                    Passage::Refused(answer) => self.refuse(host, &frame, answer),
                }
            }
        }
        any
    }

    fn put_onto_link(&mut self, host: usize, frame: SimFrame, note: &str) {
        let len = frame.bytes().len();
        let copy = self.trace.is_some().then(|| frame.bytes().to_vec());
        let fate = self.hosts[host].outbound.push(self.now.as_nanos(), frame, len, &mut Ops);
        let note = match fate {
            Fate::Carried => note,
            Fate::Lost => "LOST",
            Fate::QueueFull => "LOST: queue full",
        };
        if let Some(copy) = copy {
            self.record_frame(host, &copy, note);
        }
    }

    /// A frame of `host` was too large for its path. The answer comes the way that those of others come.
    fn refuse(&mut self, host: usize, frame: &SimFrame, answer: Option<SimFrame>) {
        self.record_frame(host, frame.bytes(), "LOST: too large");
        let link = self.hosts[host].link;
        let other = self.hosts.iter().enumerate().position(|(at, node)| at != host && node.link == link);
        if let Some((other, answer)) = other.zip(answer) {
            self.put_onto_link(other, answer, "from a router");
        }
    }

    fn record_frame(&mut self, host: usize, frame: &[u8], note: &str) {
        if let Some(trace) = &mut self.trace {
            trace.record(self.now, &self.hosts[host].name, frame, note);
        }
    }

    fn next_event(&self) -> Option<Instant> {
        let wakes = self.hosts.iter().filter_map(|node| node.wake_at);
        let arrivals = self.hosts.iter().filter_map(|node| node.outbound.next_due()).map(Instant::from_nanos);
        // A stack may ask to be woken a little early, but time must pass.
        wakes.chain(arrivals).min().map(|next| next.max(self.now + Duration::from_nanos(1)))
    }
}

impl Index<HostId> for World {
    type Output = SimStack;

    fn index(&self, host: HostId) -> &SimStack {
        &self.hosts[host.0].stack
    }
}

impl IndexMut<HostId> for World {
    fn index_mut(&mut self, host: HostId) -> &mut SimStack {
        &mut self.hosts[host.0].stack
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the world of seed {:#x} ended at {} µs", self.seed, self.now.as_micros());
            if let Some(trace) = &self.trace {
                eprintln!("{trace}");
            }
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("name", &self.name).field("mac", &self.mac).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

struct Ops;

impl PacketOps<SimFrame> for Ops {
    fn duplicate(&mut self, frame: &SimFrame) -> Option<SimFrame> {
        Some(frame.clone())
    }

    fn flip_bit(&mut self, frame: &mut SimFrame, bit: usize) {
        frame.bytes_mut()[bit / 8] ^= 1 << (bit % 8);
    }

    fn mark(&mut self, frame: &mut SimFrame) -> bool {
        mark_frame(frame.bytes_mut())
    }
}
