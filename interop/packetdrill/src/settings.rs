//! What the stack is like that a script meets: its addresses, and the system-wide settings that the script asks for.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlane_core::{InterfaceConfig, MacAddr, Route};

use crate::device::GATEWAY_MAC;

/// The environment variable that names the file of settings: a line `key=value` for each.
pub const SYSCTLS: &str = "NETLANE_PACKETDRILL_SYSCTLS";

/// The key of a line that is no setting but a command.
pub const COMMAND: &str = "command";
/// The command after which nothing is known of peers any more.
pub const FORGET_PEERS: &str = "ip tcp_metrics flush";

/// The interface that the stack under test has, and where its settings stand.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    local: Vec<IpAddr>,
    pub(crate) mtu: usize,
    sysctls: Option<PathBuf>,
    /// How many of its lines have been read.
    seen: usize,
}

impl Settings {
    /// Reads `local=ADDRESS,mtu=BYTES`, the value of packetdrill's `--so_flags`. Without it, the addresses are those
    /// that packetdrill's own runner chooses.
    pub(crate) fn parse(flags: &str) -> Result<Self, String> {
        let mut settings = Self {
            local: Vec::new(),
            mtu: 1_500,
            sysctls: std::env::var_os(SYSCTLS).map(PathBuf::from),
            seen: 0,
        };
        for flag in flags.split(',').filter(|flag| !flag.is_empty()) {
            let (key, value) = flag.split_once('=').ok_or_else(|| format!("{flag}: no `key=value`"))?;
            let wrong = |error: &dyn std::fmt::Display| format!("{flag}: {error}");
            match key {
                "local" => settings.local.push(value.parse().map_err(|error| wrong(&error))?),
                "mtu" => settings.mtu = value.parse().map_err(|error| wrong(&error))?,
                _ => return Err(format!("{key}: no such flag; there are local and mtu")),
            }
        }
        if settings.local.is_empty() {
            let both: [IpAddr; 2] = [[192, 168, 0, 1].into(), [0xfd3d, 0xa0b, 0x17d6, 0, 0, 0, 0, 1].into()];
            settings.local.extend(both);
        }
        Ok(settings)
    }

    /// Whether an address is the stack's own.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        self.local.contains(&address)
    }

    /// The interface of the stack. Everybody else lives behind a gateway, the only other host on the link.
    pub(crate) fn interface(&self) -> InterfaceConfig {
        let mut interface = InterfaceConfig::default();
        // Nobody else is on the link, and the script does not wait.
        interface.ipv6.duplicate_address_detection = false;
        for &local in &self.local {
            let (gateway, link, everywhere) = link_of(local);
            interface.addresses.push(link);
            interface.routes.push(Route { to: everywhere, via: gateway, metric: 0 });
            interface.neighbors.push((gateway, MacAddr(GATEWAY_MAC)));
        }
        interface
    }

    /// What a script has set since this was last asked, in order.
    pub(crate) fn news(&mut self) -> Vec<(String, String)> {
        let Some(text) = self.sysctls.as_ref().and_then(|path| fs::read_to_string(path).ok()) else {
            return Vec::new();
        };
        let lines = text.lines().skip(self.seen);
        let news: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once('=').map(|(key, value)| (key.into(), value.into())))
            .collect();
        self.seen = text.lines().count();
        news
    }
}

/// The gateway that shares a link of two addresses with `local` (RFC 3021, RFC 6164), the link, and the way to
/// everybody.
fn link_of(local: IpAddr) -> (IpAddr, IpNet, IpNet) {
    match local {
        IpAddr::V4(ip) => (
            Ipv4Addr::from_bits(ip.to_bits() ^ 1).into(),
            Ipv4Net::new_assert(ip, 31).into(),
            Ipv4Net::default().into(),
        ),
        IpAddr::V6(ip) => (
            Ipv6Addr::from_bits(ip.to_bits() ^ 1).into(),
            Ipv6Net::new_assert(ip, 127).into(),
            Ipv6Net::default().into(),
        ),
    }
}
