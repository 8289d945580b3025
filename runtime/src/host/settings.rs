//! What a configuration means to the parts that a host is made of.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use ipnet::IpNet;
use netlane_backends::tap::TapConfig;
use netlane_backends::wrap::impair::{ImpairConfig, Impairment, Rate};
use netlane_config::{Config, CongestionControl, Impair, MacAddress, TapBackend};
use netlane_core::{
    ConflictDetection, CongestionAlgorithm, Ecn, InterfaceConfig, Ipv6Config, KeepAlive, Limits, MacAddr,
    Route, StackConfig, SynCookies, TcpConfig, VlanId,
};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::lane::LaneConfig;
use crate::shared::Shape;

/// Jobs that may wait for a lane. With their ring's sequence numbers they take 64 KiB, which stay in the cache.
const JOBS: usize = 1024;

/// How the lane number `index` is run.
pub(super) fn lane(
    config: &Config,
    seed: u64,
    fast_open_key: [u8; 16],
    index: usize,
    shape: &Shape,
) -> LaneConfig {
    LaneConfig {
        stack: stack(config, shape, index, fast_open_key),
        seed: for_lane(seed, index),
        spin: config.lanes.spin,
        busy_poll: config.lanes.busy_poll,
        // The lanes' sockets share their memory.
        memory: config.limits.memory.saturating_mul(shape.lanes),
    }
}

/// The memory that the lanes share with their client.
pub(super) fn shape(config: &Config, lanes: usize) -> Shape {
    // Half a ring holds at least two segments, so that a window that is worth telling of always fits.
    let least = 4 * usize::from(config.interface.mtu);
    let ring = |bytes: usize| bytes.max(least).next_power_of_two();
    Shape {
        lanes,
        slots: config.limits.sockets,
        jobs: JOBS,
        send: ring(config.tcp.send_buffer),
        receive: ring(config.tcp.receive_buffer),
        datagrams: ring(config.limits.udp_queue),
    }
}

fn stack(config: &Config, shape: &Shape, index: usize, fast_open_key: [u8; 16]) -> StackConfig {
    StackConfig {
        interface: interface(config, shape.lanes, index),
        limits: limits(&config.limits),
        tcp: tcp(&config.tcp, shape, fast_open_key),
    }
}

fn interface(config: &Config, queues: usize, queue: usize) -> InterfaceConfig {
    let Config { interface, routes, neighbors, .. } = config;
    InterfaceConfig {
        mac: interface.mac.map(|MacAddress(mac)| MacAddr(mac)),
        vlan: interface.vlan.and_then(VlanId::new),
        addresses: interface.addresses.clone(),
        dhcp: interface.dhcp,
        conflict_detection: match interface.conflict_detection {
            netlane_config::ConflictDetection::Off => ConflictDetection::Off,
            netlane_config::ConflictDetection::Defend => ConflictDetection::Defend,
            netlane_config::ConflictDetection::Probe => ConflictDetection::Probe,
        },
        routes: routes
            .iter()
            .map(|route| Route { to: route.to, via: route.via, metric: route.metric })
            .collect(),
        neighbors: neighbors.iter().map(|one| (one.address, MacAddr(one.mac.0))).collect(),
        ipv6: Ipv6Config {
            autoconfigure: interface.autoconfigure,
            duplicate_address_detection: interface.duplicate_address_detection,
            accept_redirects: interface.accept_redirects,
        },
        queues,
        queue,
    }
}

fn limits(limits: &netlane_config::Limits) -> Limits {
    Limits {
        sockets: limits.sockets,
        syn_queue: limits.syn_queue,
        syn_cache: limits.syn_cache,
        fast_open_queue: limits.fast_open_queue,
        fast_open_servers: limits.fast_open_servers,
        accept_queue: limits.accept_queue,
        out_of_order_ranges: limits.out_of_order_ranges,
        in_flight_records: limits.in_flight_records,
        neighbors: limits.neighbors,
        neighbor_queue: limits.neighbor_queue,
        fragmented_packets: limits.fragmented_packets,
        fragments: limits.fragments,
        fragment_bytes: limits.fragment_bytes,
        groups: limits.groups,
        group_sources: limits.group_sources,
        routes: limits.routes,
        path_mtus: limits.path_mtus,
        routers: limits.routers,
        prefixes: limits.prefixes,
        loopback_queue: limits.loopback_queue,
        errors_per_second: limits.errors_per_second,
        challenge_acks_per_second: limits.challenge_acks_per_second,
        memory: limits.memory,
    }
}

fn tcp(tcp: &netlane_config::Tcp, shape: &Shape, fast_open_key: [u8; 16]) -> TcpConfig {
    TcpConfig {
        mss: tcp.mss,
        window_scaling: tcp.window_scaling,
        timestamps: tcp.timestamps,
        sack: tcp.sack,
        nagle: tcp.nagle,
        delayed_ack: tcp.delayed_ack,
        quick_acks: tcp.quick_acks,
        rto_initial: tcp.rto_initial,
        rto_min: tcp.rto_min,
        rto_max: tcp.rto_max,
        syn_retries: tcp.syn_retries,
        syn_ack_retries: tcp.syn_ack_retries,
        syn_cookies: syn_cookies(tcp.syn_cookies),
        fast_open: tcp.fast_open,
        fast_open_without_cookie: tcp.fast_open_without_cookie,
        fast_open_key: Some(fast_open_key),
        black_hole_detection: tcp.black_hole_detection,
        retries: tcp.retries,
        user_timeout: (!tcp.user_timeout.is_zero()).then_some(tcp.user_timeout),
        user_timeout_option: tcp.user_timeout_option,
        keepalive: tcp.keepalive.map(|keepalive| KeepAlive {
            idle: keepalive.idle,
            interval: keepalive.interval,
            probes: keepalive.probes,
        }),
        time_wait: tcp.time_wait,
        fin_wait_2: tcp.fin_wait_2,
        // The rings are what there is.
        send_buffer: shape.send,
        receive_buffer: shape.receive,
        send_buffer_start: shape.send,
        receive_buffer_start: shape.receive,
        initial_window: tcp.initial_window,
        congestion_control: match tcp.congestion_control {
            CongestionControl::NewReno => CongestionAlgorithm::NewReno,
            CongestionControl::Cubic => CongestionAlgorithm::Cubic,
            CongestionControl::Dctcp => CongestionAlgorithm::Dctcp,
            CongestionControl::Bbr => CongestionAlgorithm::Bbr,
        },
        ecn: match tcp.ecn {
            netlane_config::Ecn::Off => Ecn::Off,
            netlane_config::Ecn::Accept => Ecn::Accept,
            netlane_config::Ecn::On => Ecn::On,
        },
    }
}

/// The key of Fast Open cookies, which the lanes share, since no client knows which lane it will meet. It follows from
/// the configuration's seed only where there is one.
pub(super) fn fast_open_key(config: &Config) -> io::Result<[u8; 16]> {
    if let Some(seed) = config.seed {
        return Ok((u128::from(seed) << 64 | u128::from(!seed)).to_ne_bytes());
    }
    let mut key = [0; 16];
    getrandom(&mut key, GetRandomFlags::empty())?;
    Ok(key)
}

const fn syn_cookies(cookies: netlane_config::SynCookies) -> SynCookies {
    match cookies {
        netlane_config::SynCookies::WhenFull => SynCookies::WhenFull,
        netlane_config::SynCookies::Always => SynCookies::Always,
        netlane_config::SynCookies::Off => SynCookies::Off,
    }
}

/// The TAP device with a queue for each lane.
pub(super) fn tap(config: &Config, device: &TapBackend, queues: usize) -> TapConfig {
    TapConfig {
        name: device.name.clone(),
        queues,
        // An impaired link hides offloads from the stack, and cannot keep the device from joining frames.
        offload: device.offload && config.impair.is_none(),
        udp_segmentation: true,
        mtu: usize::from(config.interface.mtu),
        mac: mac(config),
        frames: config.limits.packet_buffers,
    }
}

/// The stack's Ethernet address: the configured one, or else a locally administered one that follows from the first
/// IP address, which no other station on the link has either; or else from the machine and the process, which a DHCP
/// server tells from others.
pub(super) fn mac(config: &Config) -> [u8; 6] {
    if let Some(MacAddress(mac)) = config.interface.mac {
        return mac;
    }
    let [a, b, c, d] = match config.interface.addresses.first() {
        Some(IpNet::V4(v4)) => v4.addr().octets(),
        Some(IpNet::V6(v6)) => (v6.addr().to_bits() as u32).to_be_bytes(),
        None => stranger(),
    };
    [0x02, 0x00, a, b, c, d]
}

/// Four bytes that follow from the machine and the process.
fn stranger() -> [u8; 4] {
    let mut hasher = DefaultHasher::new();
    std::fs::read("/etc/machine-id").unwrap_or_default().hash(&mut hasher);
    std::process::id().hash(&mut hasher);
    (hasher.finish() as u32).to_be_bytes()
}

/// How bad the link of the lane number `index` is.
pub(super) fn impair(config: &Config, impair: &Impair, seed: u64, index: usize) -> ImpairConfig {
    ImpairConfig {
        rx: impairment(&impair.inbound),
        tx: impairment(&impair.outbound),
        seed: for_lane(impair.seed.unwrap_or(seed), index),
        // What the link holds is missing from the pool: some must be left for what is sent and received.
        max_held: config.limits.packet_buffers / 4,
    }
}

fn impairment(impairment: &netlane_config::Impairment) -> Impairment {
    let netlane_config::Impairment {
        loss,
        duplicate,
        reorder,
        reorder_delay,
        corrupt,
        delay,
        jitter,
        rate,
        queue,
    } = *impairment;
    Impairment {
        loss: loss.get(),
        duplication: duplicate.get(),
        reordering: reorder.get(),
        reorder_delay,
        corruption: corrupt.get(),
        delay,
        jitter,
        rate: rate.map(|rate| Rate { bits_per_second: rate.get(), queue_bytes: queue }),
        mark_above: None,
    }
}

/// A seed that nobody can guess.
pub(super) fn random_seed() -> io::Result<u64> {
    let mut seed = [0; 8];
    getrandom(&mut seed, GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(seed))
}

/// A seed of its own for each lane.
fn for_lane(seed: u64, index: usize) -> u64 {
    // The golden ratio's fraction: no two lanes' seeds lie close to each other.
    seed.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
