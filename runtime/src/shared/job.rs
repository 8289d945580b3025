//! What clients ask of a lane: fixed-size messages of plain data.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use netlane_core::packet_io::IpVersion;
use netlane_core::{BindOptions, CongestionAlgorithm, GroupChange, KeepAlive, Route};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A [`Request`] for one slot, as it travels through a job ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
pub(crate) struct Job {
    kind: u32,
    pub(crate) slot: u32,
    wake: u32,
    value: u32,
    words: [u64; 5],
}

// A message of 56 bytes fills a cache line together with its slot's sequence number.
const _: () = assert!(size_of::<Job>() == 56);

/// What a client asks a lane to do with one of its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Look at the slot's rings: something was written, or read where the lane wanted to know.
    Look,
    /// Begin to connect.
    Connect { local: Option<SocketAddr>, remote: SocketAddr },
    /// Listen. Like all sockets that have a part on each lane, it wakes those who wait at the slot `wake`.
    Listen { local: SocketAddr, options: BindOptions, backlog: u32, wake: u32 },
    /// Take UDP datagrams.
    BindUdp { local: SocketAddr, options: BindOptions, wake: u32 },
    /// Take ICMP echo replies to the identifier that stands in the port's place.
    BindEcho { local: SocketAddr, wake: u32 },
    /// Take datagrams from this peer only, or from all.
    ConnectUdp { peer: Option<SocketAddr> },
    /// Take datagrams to this group, from everybody or some.
    Group { group: IpAddr, change: GroupChange },
    /// How many routers datagrams to groups of a family may pass.
    GroupHops { family: IpVersion, hops: u8 },
    /// Whether datagrams to groups of a family reach the stack's own members.
    GroupLoop { family: IpVersion, on: bool },
    /// Whether datagrams larger than their path carries are refused, and not cut.
    DontFragment(bool),
    /// Whether datagrams that have arrived joined are taken so.
    TakeJoined(bool),
    /// Send a FIN behind what is queued.
    Shutdown,
    /// Reset the connection. The client keeps the slot.
    Abort,
    /// The client has no use for the slot any more.
    Close,
    /// Send small segments at once, or not.
    NoDelay(bool),
    /// Probe a silent peer, or not.
    KeepAlive(Option<KeepAlive>),
    /// Give up once data was not acknowledged for so long, or after the usual number of repetitions.
    UserTimeout(Option<Duration>),
    /// Hold segments back that are not full, or not.
    Cork(bool),
    /// Send and announce no segments larger than this.
    MaxSegment(u16),
    /// Repeat the SYN so often.
    SynRetries(u8),
    /// Let this algorithm decide how much may be in flight.
    CongestionControl(CongestionAlgorithm),
    /// Answer in the lane's report, under this number.
    Ask { question: Question, ticket: u32 },
}

/// What a client wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// The TCP state of the slot's socket.
    State,
    /// How its connection fares.
    Info,
    /// What the lane has counted.
    Counters,
    /// What becomes of a change to the stack's addresses and routes.
    Network(NetworkChange),
}

/// A change to what a lane's stack has on its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkChange {
    AddAddress(IpNet),
    RemoveAddress(IpAddr),
    AddRoute(Route),
    RemoveRoute(Route),
}

impl NetworkChange {
    /// The number of the change, and its addresses: a network's prefix length stands in its port's place, and a metric in
    /// the word of its own that asking leaves.
    fn into_job(self, ticket: u32, slot: u32) -> Job {
        let end = |address, port: u8| SocketAddr::new(address, u16::from(port));
        let of_route = |Route { to, via, metric }| {
            (Ends::to_words(Some(end(to.addr(), to.prefix_len())), Some(end(via, 0))), metric)
        };
        let (kind, (words, wake)) = match self {
            Self::AddAddress(net) => {
                (ADD_ADDRESS, (Ends::to_words(Some(end(net.addr(), net.prefix_len())), None), 0))
            }
            Self::RemoveAddress(address) => {
                (REMOVE_ADDRESS, (Ends::to_words(Some(end(address, 0)), None), 0))
            }
            Self::AddRoute(route) => (ADD_ROUTE, of_route(route)),
            Self::RemoveRoute(route) => (REMOVE_ROUTE, of_route(route)),
        };
        Job { kind, slot, wake, value: ticket, words }
    }

    fn of_job(kind: u32, ends: Ends, metric: u32) -> Option<Self> {
        let local = ends.local?;
        let net = || IpNet::new(local.ip(), u8::try_from(local.port()).ok()?).ok();
        let route = || Some(Route { to: net()?, via: ends.remote?.ip(), metric });
        Some(match kind {
            ADD_ADDRESS => Self::AddAddress(net()?),
            REMOVE_ADDRESS => Self::RemoveAddress(local.ip()),
            ADD_ROUTE => Self::AddRoute(route()?),
            REMOVE_ROUTE => Self::RemoveRoute(route()?),
            _ => return None,
        })
    }
}

impl Request {
    pub(crate) fn into_job(self, slot: u32) -> Job {
        let job = |kind, wake, value, words| Job { kind, slot, wake, value, words };
        let none = [0; 5];
        match self {
            Self::Look => job(LOOK, 0, 0, none),
            Self::Connect { local, remote } => job(CONNECT, 0, 0, Ends::to_words(local, Some(remote))),
            Self::Listen { local, options, backlog, wake } => {
                job(LISTEN, wake, backlog, bind_words(local, options))
            }
            Self::BindUdp { local, options, wake } => job(BIND_UDP, wake, 0, bind_words(local, options)),
            Self::BindEcho { local, wake } => job(BIND_ECHO, wake, 0, Ends::to_words(Some(local), None)),
            Self::ConnectUdp { peer } => job(CONNECT_UDP, 0, 0, Ends::to_words(None, peer)),
            Self::Group { group, change } => {
                let (value, source) = group_change_parts(change);
                let end = |address| SocketAddr::new(address, 0);
                job(GROUP, 0, value, Ends::to_words(source.map(end), Some(end(group))))
            }
            Self::GroupHops { family, hops } => job(GROUP_HOPS, 0, of_family(family, hops), none),
            Self::GroupLoop { family, on } => job(GROUP_LOOP, 0, of_family(family, u8::from(on)), none),
            Self::DontFragment(on) => job(DONT_FRAGMENT, 0, u32::from(on), none),
            Self::TakeJoined(on) => job(TAKE_JOINED, 0, u32::from(on), none),
            Self::Shutdown => job(SHUTDOWN, 0, 0, none),
            Self::Abort => job(ABORT, 0, 0, none),
            Self::Close => job(CLOSE, 0, 0, none),
            Self::NoDelay(on) => job(NO_DELAY, 0, u32::from(on), none),
            Self::KeepAlive(None) => job(NO_KEEP_ALIVE, 0, 0, none),
            Self::KeepAlive(Some(KeepAlive { idle, interval, probes })) => {
                let words = [nanos(idle), nanos(interval), 0, 0, 0];
                job(KEEP_ALIVE, 0, u32::from(probes), words)
            }
            Self::UserTimeout(None) => job(NO_USER_TIMEOUT, 0, 0, none),
            Self::UserTimeout(Some(timeout)) => job(USER_TIMEOUT, 0, 0, [nanos(timeout), 0, 0, 0, 0]),
            Self::Cork(on) => job(CORK, 0, u32::from(on), none),
            Self::MaxSegment(bytes) => job(MAX_SEGMENT, 0, u32::from(bytes), none),
            Self::SynRetries(times) => job(SYN_RETRIES, 0, u32::from(times), none),
            Self::CongestionControl(algorithm) => job(CONGESTION_CONTROL, 0, algorithm_code(algorithm), none),
            Self::Ask { question: Question::State, ticket } => job(ASK_STATE, 0, ticket, none),
            Self::Ask { question: Question::Info, ticket } => job(ASK_INFO, 0, ticket, none),
            Self::Ask { question: Question::Counters, ticket } => job(ASK_COUNTERS, 0, ticket, none),
            Self::Ask { question: Question::Network(change), ticket } => change.into_job(ticket, slot),
        }
    }
}

impl Job {
    /// The request, or `None` where there is no such.
    pub(crate) fn request(&self) -> Option<Request> {
        let Self { kind, slot: _, wake, value, words } = *self;
        let ends = Ends::from_words(words);
        Some(match kind {
            LOOK => Request::Look,
            CONNECT => Request::Connect { local: ends.local, remote: ends.remote? },
            LISTEN => {
                Request::Listen { local: ends.local?, options: bind_options(words), backlog: value, wake }
            }
            BIND_UDP => Request::BindUdp { local: ends.local?, options: bind_options(words), wake },
            BIND_ECHO => Request::BindEcho { local: ends.local?, wake },
            CONNECT_UDP => Request::ConnectUdp { peer: ends.remote },
            GROUP => {
                let source = ends.local.map(|source| source.ip());
                Request::Group { group: ends.remote?.ip(), change: group_change(value, source)? }
            }
            GROUP_HOPS => Request::GroupHops { family: family_of(value), hops: value as u8 },
            GROUP_LOOP => Request::GroupLoop { family: family_of(value), on: value as u8 != 0 },
            DONT_FRAGMENT => Request::DontFragment(value != 0),
            TAKE_JOINED => Request::TakeJoined(value != 0),
            SHUTDOWN => Request::Shutdown,
            ABORT => Request::Abort,
            CLOSE => Request::Close,
            NO_DELAY => Request::NoDelay(value != 0),
            NO_KEEP_ALIVE => Request::KeepAlive(None),
            KEEP_ALIVE => Request::KeepAlive(Some(KeepAlive {
                idle: Duration::from_nanos(words[0]),
                interval: Duration::from_nanos(words[1]),
                probes: u8::try_from(value).ok()?,
            })),
            NO_USER_TIMEOUT => Request::UserTimeout(None),
            USER_TIMEOUT => Request::UserTimeout(Some(Duration::from_nanos(words[0]))),
            CORK => Request::Cork(value != 0),
            MAX_SEGMENT => Request::MaxSegment(u16::try_from(value).ok()?),
            SYN_RETRIES => Request::SynRetries(u8::try_from(value).ok()?),
            CONGESTION_CONTROL => Request::CongestionControl(algorithm_of(value)?),
            ASK_INFO => Request::Ask { question: Question::Info, ticket: value },
            ASK_STATE => Request::Ask { question: Question::State, ticket: value },
            ASK_COUNTERS => Request::Ask { question: Question::Counters, ticket: value },
            ADD_ADDRESS | REMOVE_ADDRESS | ADD_ROUTE | REMOVE_ROUTE => {
                let change = NetworkChange::of_job(kind, ends, wake)?;
                Request::Ask { question: Question::Network(change), ticket: value }
            }
            _ => return None,
        })
    }
}

const LOOK: u32 = 0;
const CONNECT: u32 = 1;
const LISTEN: u32 = 2;
const BIND_UDP: u32 = 3;
const BIND_ECHO: u32 = 4;
const CONNECT_UDP: u32 = 5;
const SHUTDOWN: u32 = 6;
const ABORT: u32 = 7;
const CLOSE: u32 = 8;
const NO_DELAY: u32 = 9;
const NO_KEEP_ALIVE: u32 = 10;
const KEEP_ALIVE: u32 = 11;
const ASK_STATE: u32 = 12;
const ASK_COUNTERS: u32 = 13;
const GROUP: u32 = 14;
const GROUP_HOPS: u32 = 15;
const GROUP_LOOP: u32 = 16;
const DONT_FRAGMENT: u32 = 17;
const NO_USER_TIMEOUT: u32 = 18;
const USER_TIMEOUT: u32 = 19;
const TAKE_JOINED: u32 = 20;
const ADD_ADDRESS: u32 = 21;
const REMOVE_ADDRESS: u32 = 22;
const ADD_ROUTE: u32 = 23;
const REMOVE_ROUTE: u32 = 24;
const CORK: u32 = 25;
const MAX_SEGMENT: u32 = 26;
const SYN_RETRIES: u32 = 27;
const CONGESTION_CONTROL: u32 = 28;
const ASK_INFO: u32 = 29;

const ALGORITHMS: [CongestionAlgorithm; 4] = [
    CongestionAlgorithm::NewReno,
    CongestionAlgorithm::Cubic,
    CongestionAlgorithm::Dctcp,
    CongestionAlgorithm::Bbr,
];

/// An algorithm as a number.
pub(super) fn algorithm_code(algorithm: CongestionAlgorithm) -> u32 {
    ALGORITHMS.iter().position(|&known| known == algorithm).map_or(0, |index| index as u32)
}

/// The algorithm of a number.
pub(super) fn algorithm_of(code: u32) -> Option<CongestionAlgorithm> {
    ALGORITHMS.get(code as usize).copied()
}

/// A socket that is to be bound has no peer, whose first word has the options, a bit each.
fn bind_words(local: SocketAddr, options: BindOptions) -> [u64; 5] {
    let BindOptions { reuse_address, reuse_port, only_v6 } = options;
    let mut words = Ends::to_words(Some(local), None);
    words[2] = u64::from(reuse_address) | u64::from(reuse_port) << 1 | u64::from(only_v6) << 2;
    words
}

fn bind_options(words: [u64; 5]) -> BindOptions {
    let has = |bit: u32| words[2] & 1 << bit != 0;
    BindOptions { reuse_address: has(0), reuse_port: has(1), only_v6: has(2) }
}

/// A number for the kind of change, and the sender that it is about.
fn group_change_parts(change: GroupChange) -> (u32, Option<IpAddr>) {
    match change {
        GroupChange::Join => (0, None),
        GroupChange::Leave => (1, None),
        GroupChange::JoinSource(source) => (2, Some(source)),
        GroupChange::LeaveSource(source) => (3, Some(source)),
        GroupChange::Block(source) => (4, Some(source)),
        GroupChange::Unblock(source) => (5, Some(source)),
    }
}

fn group_change(value: u32, source: Option<IpAddr>) -> Option<GroupChange> {
    Some(match value {
        0 => GroupChange::Join,
        1 => GroupChange::Leave,
        2 => GroupChange::JoinSource(source?),
        3 => GroupChange::LeaveSource(source?),
        4 => GroupChange::Block(source?),
        5 => GroupChange::Unblock(source?),
        _ => return None,
    })
}

/// A value for one family, which stands above it.
fn of_family(family: IpVersion, value: u8) -> u32 {
    u32::from(family == IpVersion::V6) << 8 | u32::from(value)
}

fn family_of(value: u32) -> IpVersion {
    if value >> 8 == 0 { IpVersion::V4 } else { IpVersion::V6 }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The two ends of a socket, as far as they are known, and how they are written in five words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) local: Option<SocketAddr>,
    pub(crate) remote: Option<SocketAddr>,
}

impl Ends {
    /// Two words for each address, and one for both ports and IP versions. A version of 0 means that there is none.
    pub(crate) fn to_words(local: Option<SocketAddr>, remote: Option<SocketAddr>) -> [u64; 5] {
        let ([a, b], c) = address_words(local);
        let ([d, e], f) = address_words(remote);
        [a, b, d, e, u64::from(c) << 32 | u64::from(f)]
    }

    pub(crate) fn from_words([a, b, c, d, ports]: [u64; 5]) -> Self {
        Self { local: address([a, b], (ports >> 32) as u32), remote: address([c, d], ports as u32) }
    }
}

fn address_words(address: Option<SocketAddr>) -> ([u64; 2], u32) {
    let Some(address) = address else { return ([0; 2], 0) };
    let (bits, version) = match address.ip() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 4),
        IpAddr::V6(v6) => (v6.to_bits(), 6),
    };
    ([(bits >> 64) as u64, bits as u64], version << 16 | u32::from(address.port()))
}

fn address([high, low]: [u64; 2], port: u32) -> Option<SocketAddr> {
    let bits = u128::from(high) << 64 | u128::from(low);
    let ip = match port >> 16 {
        4 => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
        6 => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        let keepalive =
            KeepAlive { idle: Duration::from_secs(7_200), interval: Duration::from_millis(1), probes: 9 };
        let net: IpNet = "fd00::1/64".parse().expect("a network");
        let route = Route { to: net, via: any("[fd00::2]:0").ip(), metric: u32::MAX };
        let network = |change| Request::Ask { question: Question::Network(change), ticket: 7 };
        let [group, source] = ["[ff05::1]:0", "[fd00::1]:0"].map(|end| any(end).ip());
        let shared = BindOptions { reuse_address: true, ..BindOptions::default() };
        let divided = BindOptions { reuse_port: true, only_v6: true, ..BindOptions::default() };
        for request in [
            Request::Look,
            Request::Connect { local: None, remote: any("10.0.0.1:80") },
            Request::Connect { local: Some(any("[fe80::1]:0")), remote: any("[2001:db8::1]:65535") },
            Request::Listen { local: any("[::]:80"), options: divided, backlog: 128, wake: 7 },
            Request::BindUdp { local: any("10.0.0.1:53"), options: shared, wake: 1 },
            Request::BindEcho { local: any("0.0.0.0:0"), wake: 2 },
            Request::ConnectUdp { peer: None },
            Request::ConnectUdp { peer: Some(any("10.0.0.1:53")) },
            Request::Group { group, change: GroupChange::Join },
            Request::Group { group, change: GroupChange::Leave },
            Request::Group { group, change: GroupChange::JoinSource(source) },
            Request::Group { group, change: GroupChange::LeaveSource(source) },
            Request::Group { group, change: GroupChange::Block(source) },
            Request::Group { group, change: GroupChange::Unblock(source) },
            Request::GroupHops { family: IpVersion::V6, hops: 255 },
            Request::GroupLoop { family: IpVersion::V4, on: false },
            Request::GroupLoop { family: IpVersion::V6, on: true },
            Request::DontFragment(true),
            Request::TakeJoined(true),
            Request::Shutdown,
            Request::Abort,
            Request::Close,
            Request::NoDelay(true),
            Request::NoDelay(false),
            Request::KeepAlive(None),
            Request::KeepAlive(Some(keepalive)),
            Request::Cork(true),
            Request::MaxSegment(1_400),
            Request::SynRetries(3),
            Request::CongestionControl(CongestionAlgorithm::Bbr),
            Request::Ask { question: Question::Info, ticket: 4 },
            Request::UserTimeout(None),
            Request::UserTimeout(Some(Duration::from_millis(1_500))),
            Request::Ask { question: Question::State, ticket: 3 },
            Request::Ask { question: Question::Counters, ticket: u32::MAX },
            network(NetworkChange::AddAddress(net)),
            network(NetworkChange::RemoveAddress(net.addr())),
            network(NetworkChange::AddRoute(route)),
            network(NetworkChange::RemoveRoute(route)),
        ] {
            let job = request.into_job(5);
            assert_eq!((job.slot, job.request()), (5, Some(request)));
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let garbage = Job { kind: 99, ..Request::Look.into_job(0) };
        assert_eq!(garbage.request(), None);
        let nowhere = Job { kind: CONNECT, ..Request::Look.into_job(0) };
        assert_eq!(nowhere.request(), None, "a connection needs a peer");
    }
}
