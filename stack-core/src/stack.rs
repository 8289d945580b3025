//! The stack: a machine that takes frames and the time, and gives frames and events.

use alloc::collections::VecDeque;
use core::net::IpAddr;

use arrayvec::ArrayVec;
use netlane_packet_io::{Batch, LinkDown, PacketIo};

use crate::buffers::{Buffers, HeapBuffers, Pressure};
use crate::config::{Limits, StackConfig, TcpConfig};
use crate::counters::Counters;
use crate::fragments::{FragmentLimits, Reassembly};
use crate::interface::Interface;
use crate::ipv6::host::Ipv6Host;
use crate::multicast::memberships::Memberships;
use crate::neighbor::{NeighborCache, NeighborLimits};
use crate::path_mtu::PathMtus;
use crate::rate_limit::{RateLimit, VagueLimit};
use crate::socket::Event;
use crate::tcp::fast_open::{CookieKeys, Servers};
use crate::tcp::isn::Secret;
use crate::tcp::syn_cache::SynCache;
use crate::time::Instant;
use crate::wire::MacAddr;
use dhcp::Claims;
use last_flow::LastFlow;
use link::Link;
use ports::PortCounters;
use socket_table::Sockets;

mod addresses;
mod bindings;
mod calls;
mod datagrams;
mod departure;
mod dhcp;
mod fast_open;
mod fragmentation;
mod fragments;
mod groups;
mod header_template;
mod host_v6;
mod icmp;
mod icmpv6;
mod info;
mod ingress;
mod last_flow;
mod link;
mod local;
mod ndp;
mod neighbors;
mod passive_open;
mod ports;
mod routers;
mod segments;
mod socket_options;
mod socket_table;
mod strays;
mod table;

pub use addresses::{AddressError, RouteError};
pub use bindings::BindOptions;
pub(crate) use bindings::Suited;
pub use calls::{BindError, ConnectError, Stale};
pub use dhcp::NetworkEvent;
pub(crate) use link::Fragmentation;
pub use local::{RecvError, SendError};
pub use strays::{Notice, Stray};

/// Bursts of frames that one turn takes from the device before it looks at anything else.
const BURSTS_PER_TURN: usize = 4;

/// Neighbours that answered and are kept to be told to other stacks.
const LEARNT: usize = 16;

/// A TCP/IP stack on one queue of one network interface.
///
/// It has no thread, no clock and no socket of the operating system. Its owner calls [`poll`](Self::poll)
/// with the time whenever frames have arrived, a deadline has come or a call was made, and learns from
/// [`next_event`](Self::next_event) which sockets changed. Calls take effect at the next poll; none of them
/// blocks, and all bounds are set by the configuration. Given the same frames, times, calls and seed, it does the
/// same, every time.
///
/// The bytes of its sockets lie in the `B` that its owner supplies. With [`HeapBuffers`], owners use
/// [`tcp_send`](Self::tcp_send) and its like; with buffers of their own, they move bytes there and tell the
/// stack to look ([`tcp_queued`](Self::tcp_queued), [`tcp_consumed`](Self::tcp_consumed)).
pub struct Stack<I: PacketIo, B: Buffers = HeapBuffers> {
    now: Instant,
    tcp: TcpConfig,
    limits: Limits,
    link: Link<I>,
    sockets: Sockets<B>,
    fragments: Reassembly,
    /// The groups of IPv4 that we listen to.
    groups: Memberships,
    claims: Claims,
    /// Connections that peers have begun to open.
    handshakes: SynCache,
    /// What Fast Open cookies are made with.
    cookie_keys: CookieKeys,
    /// What is known of servers that may take data on SYNs.
    servers: Servers,
    ipv6: Ipv6Host,
    /// Until when a SYN cookie may come back.
    cookies_until: Instant,
    counters: Counters,
    /// Neighbours that answered, for the stacks of other queues.
    learnt: ArrayVec<(IpAddr, MacAddr), LEARNT>,
    /// How many stacks share the interface.
    queues: usize,
    /// Which of their queues is this one's.
    queue: usize,
    last_flow: LastFlow,
    /// What may be for the stack of another queue.
    strays: VecDeque<Stray>,
    /// What all stacks of the interface have to hear.
    notices: VecDeque<Notice>,
    /// Bounds what strangers can make us send.
    errors: RateLimit,
    /// Bounds what forged segments of connections can make us send.
    challenges: VagueLimit,
    secret: Secret,
    /// How far the searches for a connection's local port have come.
    ports_tried: PortCounters,
    rng: fastrand::Rng,
}

/// What a turn of the stack came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There was work, and there may be more: poll again soon.
    Busy,
    /// There is something to send, but the device takes no more, or has no buffer. Nothing else is left to do
    /// until it does, a frame arrives, a call is made, or this time comes.
    Blocked {
        /// When the next timer is due, if any is set.
        wake_at: Option<Instant>,
    },
    /// Nothing is left to do until a frame arrives, a call is made, or this time comes.
    Idle {
        /// When the next timer is due, if any is set.
        wake_at: Option<Instant>,
    },
}

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// A stack that drives `io`. `seed` decides everything that others must not guess, such as sequence
    /// numbers and ports: take it from a good source of randomness, except to repeat a run.
    pub fn new(io: I, buffers: B, config: StackConfig, seed: u64) -> Self {
        let StackConfig { mut interface, limits, tcp } = config;
        let mut rng = fastrand::Rng::with_seed(seed);
        let caps = io.caps();
        let mac = interface.mac.unwrap_or(MacAddr(caps.mac));
        let claims = Claims::new(&mut interface, mac, rng.u64(..));
        let mut neighbors = NeighborCache::new(
            NeighborLimits {
                neighbors: limits.neighbors,
                waiting: limits.neighbor_queue,
                ..NeighborLimits::default()
            },
            rng.u64(..),
        );
        for &(address, mac) in &interface.neighbors {
            neighbors.insert_permanent(address.into(), mac);
        }
        let shared = (interface.queues.max(1), interface.queue);
        let mac = interface.mac.unwrap_or(MacAddr(caps.mac));
        let ipv6 = Ipv6Host::new(&interface, &limits, mac, rng.u64(..));
        let interface = Interface::new(&interface, mac, caps.mtu, limits.routes, rng.u64(..));
        let paths = PathMtus::new(limits.path_mtus, rng.u64(..));
        Self {
            now: Instant::ZERO,
            link: Link::new(io, interface, neighbors, paths, limits.loopback_queue, rng.u64(..)),
            sockets: Sockets::new(buffers, &limits, rng.u64(..)),
            fragments: Reassembly::new(
                FragmentLimits {
                    packets: limits.fragmented_packets,
                    parts: limits.fragments,
                    bytes: limits.fragment_bytes,
                },
                rng.u64(..),
            ),
            ipv6,
            handshakes: SynCache::new(limits.syn_cache, rng.u64(..)),
            cookie_keys: CookieKeys::new(tcp.fast_open_key),
            servers: Servers::new(limits.fast_open_servers, rng.u64(..)),
            cookies_until: Instant::ZERO,
            groups: Memberships::new(limits.groups, rng.u64(..)),
            claims,
            counters: Counters::default(),
            learnt: ArrayVec::new(),
            queues: shared.0,
            queue: shared.1,
            strays: VecDeque::new(),
            notices: VecDeque::new(),
            last_flow: LastFlow::NONE,
            errors: RateLimit::per_second(limits.errors_per_second),
            challenges: VagueLimit::per_second(limits.challenge_acks_per_second, rng.u64(..)),
            secret: Secret::new(&mut rng),
            ports_tried: PortCounters::new(&mut rng),
            rng,
            tcp,
            limits,
        }
    }

    /// Takes a turn at `now`: frames in, timers, frames out. Times must not go back from one call to the next.
    ///
    /// # Errors
    /// [`LinkDown`] when the device is gone. Connections live on until their own timers end them, but no
    /// packet moves any more.
    pub fn poll(&mut self, now: Instant) -> Result<Turn, LinkDown> {
        self.tell_time(now);
        self.counters.memory_pressure += u64::from(self.sockets.buffers.pressure() > Pressure::None);
        if self.ipv6.is_due(now) {
            self.run_ipv6();
        }
        let received = self.receive()?;
        self.run_timers();
        let stalled = self.send_owed().is_err();
        self.run_neighbors();
        self.run_fragments();
        self.run_groups();
        self.run_claims();
        self.link.flush()?;
        let wake_at = self.next_deadline();
        let blocked = stalled || self.link.is_backlogged();
        if received || self.link.looped() > 0 || (self.sockets.owing() > 0 && !blocked) {
            return Ok(Turn::Busy);
        }
        Ok(if blocked { Turn::Blocked { wake_at } } else { Turn::Idle { wake_at } })
    }

    /// When the first timer is due, if any is set. Every turn asks, so it is spelt out.
    #[inline]
    fn next_deadline(&self) -> Option<Instant> {
        let sockets = sooner(self.sockets.next_deadline(), self.handshakes.next_deadline());
        let network = sooner(self.link.neighbors.next_deadline(), self.fragments.next_deadline());
        let addresses = sooner(self.groups.next_deadline(), self.claims.next_deadline());
        sooner(sooner(sockets, network), sooner(addresses, self.ipv6.next_deadline()))
    }

    /// Tells the time without taking a turn. Calls start their timers from the time that the stack knows, which
    /// else is that of the last poll: tell it before calls that follow a long sleep.
    pub fn tell_time(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Has TCP behave as `config` says from now on. What a connection has agreed on with its peer, and what was set
    /// on its socket, stays.
    pub fn set_tcp_config(&mut self, config: TcpConfig) {
        self.tcp = config;
    }

    /// The next socket that changed since its last event, and what it became ready for.
    pub fn next_event(&mut self) -> Option<Event> {
        self.sockets.next_event()
    }

    /// A neighbour that has answered. Where one interface has several queues, the answer may come to any of
    /// them: hand it to the other stacks' [`learn_neighbor`](Self::learn_neighbor). No more than the first 16
    /// are kept until they are taken.
    pub fn next_learnt(&mut self) -> Option<(IpAddr, MacAddr)> {
        self.learnt.pop_at(0)
    }

    /// What the stack has counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The device.
    pub fn io(&self) -> &I {
        &self.link.io
    }

    /// The device, to change.
    pub fn io_mut(&mut self) -> &mut I {
        &mut self.link.io
    }

    /// The sockets' bytes.
    pub fn buffers(&self) -> &B {
        &self.sockets.buffers
    }

    /// The sockets' bytes, to change.
    pub fn buffers_mut(&mut self) -> &mut B {
        &mut self.sockets.buffers
    }

    /// Takes what has arrived, and returns whether that was anything.
    fn receive(&mut self) -> Result<bool, LinkDown> {
        let mut received = self.receive_looped();
        for _ in 0..BURSTS_PER_TURN {
            let mut burst = Batch::<I::Buf>::new();
            let outcome = self.link.io.rx_burst(&mut burst);
            for frame in &burst {
                self.receive_frame(frame);
            }
            received |= !burst.is_empty();
            outcome?;
            if !burst.is_full() {
                break;
            }
        }
        Ok(received)
    }
}

#[inline]
fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, None) => a,
        (None, b) => b,
    }
}
