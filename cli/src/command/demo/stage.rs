//! Where the demonstration takes place.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use ipnet::IpNet;
use netlane_config::{Backend, Capture, Config, Interface, MemoryBackend, TapBackend};
use netlane_posix::Netlane;
use netlane_runtime::Host;

use super::report::Link;
use crate::lab::namespace::{self, Isolation};

/// netlane's address.
pub(super) const NETLANE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));
/// The address of the other side.
pub(super) const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
const PREFIX_LEN: u8 = 24;

/// netlane at one end of a link, and at the other one the kernel, or netlane once more.
pub(super) struct Stage {
    pub(super) link: Link,
    netlane: Host,
    peer: Option<Host>,
}

impl Stage {
    /// Sets it up: over a TAP device where that may be, and in memory otherwise. This process must have one thread.
    pub(super) fn set(no_tap: bool, capture: Option<&Path>) -> anyhow::Result<Self> {
        if no_tap {
            return Self::in_memory(capture, None);
        }
        match Self::over_tap(capture) {
            Ok(stage) => Ok(stage),
            Err(denied) => {
                let fallback = format!("{denied}. Two of netlane's stacks are joined in memory instead.");
                Self::in_memory(capture, Some(fallback))
            }
        }
    }

    fn over_tap(capture: Option<&Path>) -> anyhow::Result<Self> {
        let isolation = namespace::enter()?;
        let tap = TapBackend::default();
        let place = match isolation {
            Isolation::Network => "a network namespace of its own",
            Isolation::UserAndNetwork => "a user and network namespace of its own",
        };
        let description =
            format!("TAP device {} with offload, in {place}: kernel {PEER}, netlane {NETLANE}", tap.name);
        let mut config = config(NETLANE, Backend::Tap(tap), capture);
        config.interface.host_address = Some(subnet_of(PEER));
        let link = Link { backend: "tap", description, fallback: None };
        Ok(Self { link, netlane: Host::start(&config)?, peer: None })
    }

    fn in_memory(capture: Option<&Path>, fallback: Option<String>) -> anyhow::Result<Self> {
        let backend = || Backend::Memory(MemoryBackend { offload: true, ..MemoryBackend::default() });
        let (netlane, peer) =
            Host::pair(&config(NETLANE, backend(), capture), &config(PEER, backend(), None))?;
        let description =
            format!("memory with offload, between two of netlane's stacks: peer {PEER}, netlane {NETLANE}");
        let link = Link { backend: "memory", description, fallback };
        Ok(Self { link, netlane, peer: Some(peer) })
    }

    pub(super) fn netlane(&self) -> Netlane {
        Netlane::attach(self.netlane.client())
    }

    /// The other side, if that is netlane as well.
    pub(super) fn peer(&self) -> Option<Netlane> {
        self.peer.as_ref().map(|peer| Netlane::attach(peer.client()))
    }

    /// Ends the stacks, and with them the link. A capture is complete then.
    pub(super) fn clear(self) {
        self.netlane.stop();
        if let Some(peer) = self.peer {
            peer.stop();
        }
    }
}

fn config(address: IpAddr, backend: Backend, capture: Option<&Path>) -> Config {
    let interface = Interface { addresses: vec![subnet_of(address)], ..Interface::default() };
    Config { backend, interface, capture: capture.map(Capture::to), ..Config::default() }
}

fn subnet_of(address: IpAddr) -> IpNet {
    IpNet::new_assert(address, PREFIX_LEN)
}
