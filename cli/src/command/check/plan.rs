//! What would be built from a configuration.

use std::fmt::Display;
use std::io::{self, Write};
use std::num::NonZeroUsize;

use clap::builder::styling::Style;
use ipnet::IpNet;
use netlane_config::{Backend, Config, ConflictDetection, Impairment, Probability};
use serde::Serialize;

use crate::machine::cpu;

/// What would be built: the configuration with all defaults, and what this machine decides.
#[derive(Serialize)]
pub(super) struct Plan {
    /// Lanes that would start here.
    lanes: NonZeroUsize,
    config: Config,
}

impl Plan {
    pub(super) fn of(config: Config) -> Self {
        Self { lanes: config.lane_count(cpu::cores()), config }
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let bold = Style::new().bold();
        for (name, value) in self.lines() {
            writeln!(out, "{bold}{name:<10}{bold:#}  {value}")?;
        }
        Ok(())
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let Config { routes, neighbors, capture, impair, .. } = &self.config;
        let mut lines =
            vec![("lanes", self.lanes()), ("backend", self.backend()), ("interface", self.interface())];
        if let Some(host) = self.config.interface.host_address {
            lines.push(("host", format!("{host} on the kernel's end")));
        }
        lines.extend(routes.iter().map(|route| {
            let metric = if route.metric == 0 { String::new() } else { format!(", metric {}", route.metric) };
            ("route", format!("{} via {}{metric}", route.to, route.via))
        }));
        lines.extend(neighbors.iter().map(|one| ("neighbor", format!("{} at {}", one.address, one.mac))));
        if let Some(capture) = capture {
            lines.push(("capture", format!("to {}", capture.file.display())));
        }
        if let Some(impair) = impair {
            lines.push(("inbound", impairment(&impair.inbound)));
            lines.push(("outbound", impairment(&impair.outbound)));
        }
        lines
    }

    fn lanes(&self) -> String {
        let lanes = &self.config.lanes;
        let place = match lanes.cpus.is_empty() {
            true => "not pinned".to_owned(),
            false => format!("pinned to CPUs {}", listed(&lanes.cpus)),
        };
        let idle = match lanes.busy_poll {
            true => "never park".to_owned(),
            false => format!("park after {:?}", lanes.spin),
        };
        format!("{}, {place}, {idle}", self.lanes)
    }

    fn backend(&self) -> String {
        match &self.config.backend {
            Backend::Memory(memory) => {
                format!("memory, {} frames each way, {}", memory.queue_length, offload(memory.offload))
            }
            Backend::Tap(tap) => {
                format!("tap {}, queues: {}, {}", tap.name, self.lanes, offload(tap.offload))
            }
        }
    }

    fn interface(&self) -> String {
        let interface = &self.config.interface;
        let mut addresses: Vec<String> = interface.addresses.iter().map(IpNet::to_string).collect();
        if interface.dhcp {
            addresses.push("one from a DHCP server".to_owned());
        }
        if interface.autoconfigure {
            addresses.push("those that IPv6 routers advertise".to_owned());
        }
        let mut text = format!("{}, MTU {}", listed(&addresses), interface.mtu);
        if let Some(mac) = interface.mac {
            text += &format!(", MAC {mac}");
        }
        if let Some(vlan) = interface.vlan {
            text += &format!(", VLAN {vlan}");
        }
        match interface.conflict_detection {
            ConflictDetection::Off => {}
            ConflictDetection::Defend => text += ", addresses defended",
            ConflictDetection::Probe => text += ", addresses probed",
        }
        text
    }
}

fn offload(on: bool) -> &'static str {
    if on { "with offload" } else { "without offload" }
}

fn impairment(impairment: &Impairment) -> String {
    let Impairment { loss, duplicate, reorder, reorder_delay, corrupt, delay, jitter, rate, queue } =
        *impairment;
    let mut parts = Vec::new();
    let chances = [("lose", loss), ("duplicate", duplicate), ("corrupt", corrupt)];
    for (what, chance) in chances.into_iter().filter(|(_, chance)| *chance > Probability::NEVER) {
        parts.push(format!("{what} {}", chance.get()));
    }
    if reorder > Probability::NEVER {
        parts.push(format!("reorder {} by {reorder_delay:?}", reorder.get()));
    }
    if !delay.is_zero() {
        parts.push(format!("delay {delay:?}"));
    }
    if !jitter.is_zero() {
        parts.push(format!("jitter {jitter:?}"));
    }
    if let Some(rate) = rate {
        parts.push(format!("{rate} bit/s behind a queue of {queue} bytes"));
    }
    if parts.is_empty() { "not impaired".to_owned() } else { parts.join(", ") }
}

fn listed<T: Display>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}
