//! What a stack is told before it starts: its interface, its limits, and how its TCP behaves.

use alloc::vec::Vec;
use core::net::IpAddr;

use ipnet::IpNet;

use crate::time::Duration;
use crate::wire::ethernet::{MacAddr, VlanId};

/// Everything that a [`Stack`](crate::Stack) is told before it starts.
#[derive(Clone, Debug, Default)]
pub struct StackConfig {
    /// Addresses, routes and neighbours.
    pub interface: InterfaceConfig,
    /// Bounds of every table.
    pub limits: Limits,
    /// How TCP behaves where a socket does not say otherwise.
    pub tcp: TcpConfig,
}

/// The stack's network interface.
#[derive(Clone, Debug)]
pub struct InterfaceConfig {
    /// The stack's Ethernet address; the device's own where `None`.
    pub mac: Option<MacAddr>,
    /// The 802.1Q VLAN that the stack lives in. Frames of other VLANs are not for it.
    pub vlan: Option<VlanId>,
    /// The stack's addresses, each with the length of its subnet's prefix.
    pub addresses: Vec<IpNet>,
    /// Networks beyond the subnets of `addresses`. The longest matching prefix wins.
    pub routes: Vec<Route>,
    /// Neighbours whose Ethernet addresses are known and never asked for.
    pub neighbors: Vec<(IpAddr, MacAddr)>,
    /// Ask a DHCP server for an address, a router and DNS servers; the
    /// [events of the network](crate::Stack::next_network_event) tell of them. Where several stacks share the interface,
    /// the one of the first queue asks, and the others learn of it by its [notices](crate::Stack::next_notice).
    pub dhcp: bool,
    /// Whether to find out that somebody else has one of `addresses`. An address from a DHCP server is always probed.
    pub conflict_detection: ConflictDetection,
    /// How the stack is a host of IPv6.
    pub ipv6: Ipv6Config,
    /// How many stacks share the interface, a queue each. With more than one, segments of connections that this
    /// stack does not know are handed out for the others ([`Stack::next_stray`](crate::Stack::next_stray)).
    pub queues: usize,
    /// Which of the queues this stack drives, from 0 on. Stacks of one interface choose different local ports, so
    /// that no two of them have connections of the same name.
    pub queue: usize,
}

impl Default for InterfaceConfig {
    fn default() -> Self {
        Self {
            mac: None,
            vlan: None,
            addresses: Vec::new(),
            routes: Vec::new(),
            neighbors: Vec::new(),
            dhcp: false,
            conflict_detection: ConflictDetection::Off,
            ipv6: Ipv6Config::default(),
            queues: 1,
            queue: 0,
        }
    }
}

/// What to do about others on the link that may have the same address (RFC 5227). It is for IPv4: over IPv6, hosts
/// always find out (RFC 4862 §5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConflictDetection {
    /// Nothing.
    #[default]
    Off,
    /// Use addresses at once, announce them, and contradict those who claim them too.
    Defend,
    /// The same, but use addresses only after some seconds in which nobody has claimed them.
    Probe,
}

/// How the stack is a host of IPv6. It is one, and has a link-local address, if it has an address of IPv6 or is to make
/// itself some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipv6Config {
    /// Ask for routers, use them, and make addresses from the prefixes that they advertise (RFC 4861 §6.3, RFC 4862
    /// §5.5).
    pub autoconfigure: bool,
    /// Ask whether anybody has an address before it is used (RFC 4862 §5.4), which takes one to two seconds.
    pub duplicate_address_detection: bool,
    /// Follow the first hop to another one where it says so (RFC 4861 §8.3).
    pub accept_redirects: bool,
}

impl Default for Ipv6Config {
    fn default() -> Self {
        Self { autoconfigure: false, duplicate_address_detection: true, accept_redirects: false }
    }
}

/// A network and the gateway that leads there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The network.
    pub to: IpNet,
    /// The gateway, an address in a subnet of the interface.
    pub via: IpAddr,
    /// Of several routes to the same network, the one with the least metric is taken.
    pub metric: u32,
}

/// Bounds of the stack's tables. What would exceed one is refused or dropped, and counted.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sockets of all kinds, connections in TIME-WAIT included, and those that we have begun to open.
    pub sockets: usize,
    /// Connections in their handshake that peers have opened, of one listener.
    pub syn_queue: usize,
    /// The same, of all listeners together. Each takes about 130 bytes.
    pub syn_cache: usize,
    /// Connections of one listener that were opened by data on a SYN, and whose handshake is not complete.
    pub fast_open_queue: usize,
    /// Servers whose Fast Open cookies are remembered.
    pub fast_open_servers: usize,
    /// The greatest backlog that a listener may have, whatever it asks for.
    pub accept_queue: usize,
    /// Ranges of bytes that one connection keeps while it waits for those before them.
    pub out_of_order_ranges: usize,
    /// Records that one connection keeps of what it has in flight. Beyond them it knows less exactly what was lost.
    pub in_flight_records: usize,
    /// Neighbours whose Ethernet addresses are remembered.
    pub neighbors: usize,
    /// Packets that wait for one neighbour's Ethernet address.
    pub neighbor_queue: usize,
    /// Packets of which some fragments have arrived and others have not.
    pub fragmented_packets: usize,
    /// Fragments of one packet.
    pub fragments: usize,
    /// Bytes of all fragments that wait for others.
    pub fragment_bytes: usize,
    /// Multicast groups of all sockets together, and of each; and of IPv6, with one for each address of the stack's.
    pub groups: usize,
    /// Senders that a socket names for one group, to hear only them or all others; 64 at most.
    pub group_sources: usize,
    /// Routes, the ways to our own subnets included.
    pub routes: usize,
    /// Destinations whose path is known to carry smaller packets than the link.
    pub path_mtus: usize,
    /// Packets between our own addresses that are on their way.
    pub loopback_queue: usize,
    /// Routers whose advertisements are remembered.
    pub routers: usize,
    /// Prefixes that routers have advertised, and addresses made from them.
    pub prefixes: usize,
    /// Bytes of memory that the buffers of all sockets shall take together. Where three quarters are taken, peers are
    /// allowed to send little; where all is, nobody may queue more than a little, bytes ahead of others are dropped,
    /// and connections wait in their handshake. Of [`HeapBuffers`](crate::HeapBuffers): other buffers may have bounds of
    /// their own.
    pub memory: usize,
    /// ICMP errors and TCP resets to nobody in particular that the stack sends, per second.
    pub errors_per_second: u32,
    /// Acknowledgements that challenge the sender of a suspicious segment, of all connections together, per
    /// second: so many in the middle, for the bound is drawn anew each second (RFC 5961 §7).
    pub challenge_acks_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sockets: 65_536,
            syn_queue: 1_024,
            syn_cache: 16_384,
            fast_open_queue: 256,
            fast_open_servers: 1_024,
            accept_queue: 4_096,
            out_of_order_ranges: 64,
            in_flight_records: 1_024,
            neighbors: 1_024,
            neighbor_queue: 16,
            fragmented_packets: 1_024,
            fragments: 128,
            fragment_bytes: 4 << 20,
            groups: 256,
            group_sources: 64,
            routes: 4_096,
            path_mtus: 1_024,
            loopback_queue: 256,
            routers: 8,
            prefixes: 16,
            memory: 1 << 30,
            errors_per_second: 1_000,
            challenge_acks_per_second: 1_000,
        }
    }
}

/// How TCP behaves.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    /// The largest segment that we let peers send, in bytes of payload without options; derived from the
    /// interface's MTU where `None`.
    pub mss: Option<u16>,
    /// Offer and accept window scaling (RFC 7323).
    pub window_scaling: bool,
    /// Offer and accept timestamps (RFC 7323).
    pub timestamps: bool,
    /// Offer and accept selective acknowledgements (RFC 2018), with those of duplicates (RFC 2883).
    pub sack: bool,
    /// Hold small segments back while others are unacknowledged (Nagle, RFC 9293 §3.7.4).
    pub nagle: bool,
    /// The longest that an acknowledgement waits for company (RFC 9293 §3.8.6.3: under 500 ms).
    pub delayed_ack: Duration,
    /// How many of a connection's first acknowledgements don't wait, as long as it only receives: a peer in slow
    /// start, or one with small segments and Nagle, gets ahead at once. Each is a segment more.
    pub quick_acks: u8,
    /// The retransmission timeout before a round trip was measured (RFC 6298 §2.1).
    pub rto_initial: Duration,
    /// The least retransmission timeout.
    pub rto_min: Duration,
    /// The greatest retransmission timeout.
    pub rto_max: Duration,
    /// How often a SYN is repeated before the attempt fails. RFC 9293 §3.8.3 asks for at least 3 minutes,
    /// which 7 repetitions are.
    pub syn_retries: u8,
    /// How often a SYN-ACK is repeated before a handshake is forgotten.
    pub syn_ack_retries: u8,
    /// When SYNs are answered without remembering them.
    pub syn_cookies: SynCookies,
    /// All listeners take data that comes with a SYN (RFC 7413), as if
    /// [`tcp_set_fast_open`](crate::Stack::tcp_set_fast_open) was called for them.
    pub fast_open: bool,
    /// Take it without a cookie as well: only where nobody can forge addresses.
    pub fast_open_without_cookie: bool,
    /// The key of Fast Open cookies, for servers that share one address; drawn from the stack's seed, and replaced
    /// every 12 hours, where `None`.
    pub fast_open_key: Option<[u8; 16]>,
    /// Try smaller segments where large ones go unanswered time and again (RFC 4821 §7.7).
    pub black_hole_detection: bool,
    /// How often a segment is repeated, or a zero window probed, before the connection fails.
    pub retries: u8,
    /// How long data may stay unacknowledged before the connection fails, whatever `retries` says, for all
    /// sockets that don't decide themselves.
    pub user_timeout: Option<Duration>,
    /// Tell peers of the user timeout, and let theirs lengthen ours (RFC 5482).
    pub user_timeout_option: bool,
    /// Keep-alive probes for connections that have nothing to say, for all sockets that don't decide
    /// themselves; off where `None`.
    pub keepalive: Option<KeepAlive>,
    /// How long a connection that we closed first is remembered (2 MSL, RFC 9293 §3.6.1).
    pub time_wait: Duration,
    /// How long a closed socket waits in FIN-WAIT-2 for a peer that never closes.
    pub fin_wait_2: Duration,
    /// The most bytes that wait in a socket to be sent or acknowledged.
    pub send_buffer: usize,
    /// The bytes that may wait to be sent at first, in [`HeapBuffers`](crate::HeapBuffers). The limit follows the
    /// congestion window up to `send_buffer`.
    pub send_buffer_start: usize,
    /// The most bytes that wait in a socket to be read: the greatest window that we offer.
    pub receive_buffer: usize,
    /// The window that we offer at first. It follows what the user reads in a round trip, up to `receive_buffer`.
    pub receive_buffer_start: usize,
    /// The initial congestion window, in segments (RFC 6928).
    pub initial_window: u8,
    /// How much may be in flight, for all sockets that don't decide themselves.
    pub congestion_control: CongestionAlgorithm,
    /// Congestion marks instead of losses (RFC 3168).
    pub ecn: Ecn,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            mss: None,
            window_scaling: true,
            timestamps: true,
            sack: true,
            nagle: true,
            delayed_ack: Duration::from_millis(40),
            quick_acks: 0,
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(60),
            syn_retries: 7,
            syn_ack_retries: 5,
            syn_cookies: SynCookies::default(),
            fast_open: false,
            fast_open_without_cookie: false,
            fast_open_key: None,
            black_hole_detection: true,
            retries: 15,
            user_timeout: None,
            user_timeout_option: false,
            keepalive: None,
            time_wait: Duration::from_secs(60),
            fin_wait_2: Duration::from_secs(60),
            send_buffer: 1 << 24,
            send_buffer_start: 1 << 17,
            receive_buffer: 1 << 24,
            receive_buffer_start: 1 << 16,
            initial_window: 10,
            congestion_control: CongestionAlgorithm::default(),
            ecn: Ecn::default(),
        }
    }
}

/// Whether connections understand congestion marks (RFC 3168).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ecn {
    /// Never.
    Off,
    /// Where the peer asks for it.
    #[default]
    Accept,
    /// Where the peer agrees. It is asked for once: a SYN that is repeated does without, since there are paths that
    /// swallow those that ask.
    On,
}

/// When SYNs are answered without remembering them: the answer's sequence number says all that matters (RFC 4987
/// §3.6). Lost answers are not repeated, and without timestamps (RFC 7323) such connections have neither window
/// scaling nor selective acknowledgements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SynCookies {
    /// Where no more handshakes can be remembered ([`Limits::syn_queue`], [`Limits::syn_cache`]).
    #[default]
    WhenFull,
    /// Always.
    Always,
    /// Never: SYNs that cannot be remembered are dropped.
    Off,
}

/// An algorithm that decides how much may be in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CongestionAlgorithm {
    /// Halves the window for a loss, and lets it grow by a segment in each round trip (RFC 5681, RFC 6582).
    NewReno,
    /// Lets the window grow with the cube of the time since it was reduced (RFC 9438), and leaves slow start when the
    /// round trip grows (RFC 9406). For long or fast paths.
    #[default]
    Cubic,
    /// Reduces the window by as much as the network marks (RFC 8257). For networks whose queues all mark early, such as
    /// those of a data centre, and with explicit congestion notification; like [`NewReno`](Self::NewReno) elsewhere.
    Dctcp,
    /// Sends as fast as its model of the path's bandwidth and round trip says (BBRv3, draft-ietf-ccwg-bbr): short
    /// queues, and little harm from losses that are not congestion.
    Bbr,
}

/// When to ask a silent peer whether it still lives (RFC 9293 §3.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes after which the connection fails.
    pub probes: u8,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(7_200), interval: Duration::from_secs(75), probes: 9 }
    }
}
