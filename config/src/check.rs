//! Values out of their range, and values that do not go together.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::{Backend, Config, LaneCount, Problem};

mod addresses;
mod tcp;

/// All that is wrong with `config`, in the order of its sections. No problem has its place yet.
pub(crate) fn problems(config: &Config) -> Vec<Problem> {
    let mut findings = Findings::default();
    lanes(config, &mut findings);
    backend(config, &mut findings);
    interface(config, &mut findings);
    addresses::check(config, &mut findings);
    limits(config, &mut findings);
    tcp::check(config, &mut findings);
    capture(config, &mut findings);
    findings.problems
}

#[derive(Default)]
struct Findings {
    problems: Vec<Problem>,
}

impl Findings {
    fn add(&mut self, key: impl Into<String>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::new(key, message, help));
    }

    /// Adds a problem unless `value` lies in `range`.
    fn expect_within<T: PartialOrd + Display>(&mut self, key: &str, value: T, range: RangeInclusive<T>) {
        if !range.contains(&value) {
            let (least, most) = range.into_inner();
            self.add(key, format!("{value} is out of range"), format!("choose from {least} to {most}"));
        }
    }

    /// Adds a problem if `value` is below `least`.
    fn expect_at_least<T: PartialOrd + Display>(&mut self, key: &str, value: T, least: T) {
        if value < least {
            self.add(key, format!("{value} is too small"), format!("choose {least} or more"));
        }
    }
}

fn lanes(config: &Config, findings: &mut Findings) {
    let lanes = &config.lanes;
    let most = config.backend.max_lanes();
    let kind = config.backend.kind();
    let too_many = |count| {
        let help = match most {
            1 => "set `lanes.count = 1`, or choose another backend".to_owned(),
            _ => format!("choose from 1 to {most} lanes"),
        };
        (format!("{count} lanes cannot share the {kind} backend, which feeds {most}"), help)
    };
    match lanes.count {
        LaneCount::Fixed(0) => {
            findings.add(
                "lanes.count",
                "a stack without lanes does nothing",
                "choose 1 or more, or \"auto\"",
            );
        }
        LaneCount::Fixed(count) if usize::from(count) > most => {
            let (message, help) = too_many(usize::from(count));
            findings.add("lanes.count", message, help);
        }
        LaneCount::Fixed(count) if !lanes.cpus.is_empty() && lanes.cpus.len() != usize::from(count) => {
            findings.add(
                "lanes.cpus",
                format!("{} CPUs are listed for {count} lanes", lanes.cpus.len()),
                "list one CPU for each lane, or set `lanes.count = \"auto\"` to follow the list",
            );
        }
        LaneCount::Auto if lanes.cpus.len() > most => {
            let (message, help) = too_many(lanes.cpus.len());
            findings.add("lanes.cpus", message, help);
        }
        LaneCount::Fixed(_) | LaneCount::Auto => {}
    }
    for (index, cpu) in lanes.cpus.iter().enumerate() {
        if lanes.cpus[..index].contains(cpu) {
            findings.add(
                format!("lanes.cpus.{index}"),
                format!("CPU {cpu} is listed twice"),
                "give each lane a CPU of its own",
            );
        }
    }
}

fn backend(config: &Config, findings: &mut Findings) {
    match &config.backend {
        Backend::Memory(memory) => {
            findings.expect_within("backend.queue-length", memory.queue_length, 1..=1 << 20);
        }
        Backend::Tap(tap) => {
            // IFNAMSIZ, and dev_valid_name() in Linux's net/core/dev.c. A `%` would have the kernel number the
            // device, each queue's anew.
            let allowed = |c: char| c.is_ascii_graphic() && !"/:%".contains(c);
            let name = &tap.name;
            if name.is_empty()
                || name.len() > 15
                || matches!(&**name, "." | "..")
                || !name.chars().all(allowed)
            {
                findings.add(
                    "backend.name",
                    format!("{name:?} cannot name a network device"),
                    "choose 1 to 15 ASCII characters without blanks, `/`, `:` and `%`",
                );
            }
        }
    }
}

fn interface(config: &Config, findings: &mut Findings) {
    let interface = &config.interface;
    // RFC 791 §3.2: every host takes datagrams of 576 bytes.
    findings.expect_within("interface.mtu", interface.mtu, 576..=config.backend.max_mtu());
    if let Some(vlan) = interface.vlan {
        findings.expect_within("interface.vlan", vlan, 1..=4094);
    }
    if let Some(mac) = interface.mac.filter(|mac| !mac.is_unicast()) {
        findings.add(
            "interface.mac",
            format!("{mac} does not name one station"),
            "choose an address whose first byte is even, such as \"02:00:00:00:00:01\"",
        );
    }
}

fn limits(config: &Config, findings: &mut Findings) {
    let limits = &config.limits;
    findings.expect_within("limits.sockets", limits.sockets, 1..=1 << 31);
    findings.expect_at_least("limits.syn-queue", limits.syn_queue, 1);
    findings.expect_within("limits.syn-cache", limits.syn_cache, 1..=1 << 30);
    findings.expect_at_least("limits.accept-queue", limits.accept_queue, 1);
    findings.expect_at_least("limits.out-of-order-ranges", limits.out_of_order_ranges, 1);
    findings.expect_at_least("limits.in-flight-records", limits.in_flight_records, 16);
    findings.expect_at_least("limits.udp-queue", limits.udp_queue, usize::from(config.interface.mtu));
    findings.expect_at_least("limits.neighbors", limits.neighbors, config.neighbors.len().max(1));
    findings.expect_at_least("limits.neighbor-queue", limits.neighbor_queue, 1);
    findings.expect_at_least("limits.fragmented-packets", limits.fragmented_packets, 1);
    findings.expect_at_least("limits.fragments", limits.fragments, 2);
    // One packet of the largest kind, and what it takes to keep it.
    findings.expect_at_least("limits.fragment-bytes", limits.fragment_bytes, 128 * 1024);
    let routes = config.routes.len() + config.interface.addresses.len();
    findings.expect_at_least("limits.routes", limits.routes, routes.max(1));
    findings.expect_at_least("limits.path-mtus", limits.path_mtus, 1);
    findings.expect_at_least("limits.routers", limits.routers, 1);
    findings.expect_at_least("limits.prefixes", limits.prefixes, 1);
    // One for each address, the link-local one included.
    findings.expect_at_least("limits.groups", limits.groups, config.interface.addresses.len() + 1);
    // A report about one group fits into what every link carries.
    findings.expect_within("limits.group-sources", limits.group_sources, 1..=64);
    findings.expect_at_least("limits.loopback-queue", limits.loopback_queue, 1);
    findings.expect_at_least("limits.errors-per-second", limits.errors_per_second, 1);
    let challenges = limits.challenge_acks_per_second;
    findings.expect_at_least("limits.challenge-acks-per-second", challenges, 1);
    // A burst of 32 each way, and as many on their way.
    findings.expect_at_least("limits.packet-buffers", limits.packet_buffers, 128);
    let one_socket = config.tcp.send_buffer.saturating_add(config.tcp.receive_buffer);
    if limits.memory < one_socket {
        findings.add(
            "limits.memory",
            format!("{} bytes are too few for the buffers of a single connection", limits.memory),
            format!("choose {one_socket} or more, or lower `tcp.send-buffer` and `tcp.receive-buffer`"),
        );
    }
}

fn capture(config: &Config, findings: &mut Findings) {
    let Some(capture) = &config.capture else { return };
    if capture.file.as_os_str().is_empty() {
        findings.add("capture.file", "the file has no name", "name a file, such as \"netlane.pcapng\"");
    }
    // Room for the headers of Ethernet, IPv4 and TCP.
    findings.expect_within("capture.snap-length", capture.snap_length, 54..=262_144);
    if let Some(max) = capture.max_bytes {
        findings.expect_at_least("capture.max-bytes", max, 4_096);
    }
}
