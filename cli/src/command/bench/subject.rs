//! What is measured: a client and a server, and the network between them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, bail};
use ipnet::{IpNet, Ipv4Net};
use netlane_config::{Backend, Config, Interface, MemoryBackend, TapBackend};
use netlane_posix::Netlane;
use netlane_runtime::Host;

use crate::lab::namespace::NetworkNamespace;
use crate::lab::veth::{self, End};
use crate::network::{Kernel, Network};
use crate::workload::{self, Load, Outcome, Workload, server};

/// A client and a server, and the network between them.
pub(super) struct Subject {
    pub(super) name: String,
    /// Whether others are to be compared with it.
    pub(super) is_yardstick: bool,
    run: Box<dyn Fn(Workload, Load) -> io::Result<Outcome>>,
    /// netlane's part in it.
    hosts: Vec<Host>,
}

impl Subject {
    /// Runs a workload once.
    pub(super) fn run(&self, workload: Workload, load: Load) -> io::Result<Outcome> {
        (self.run)(workload, load)
    }

    /// Ends its stacks. A capture is complete then.
    pub(super) fn end(self) {
        self.hosts.into_iter().for_each(Host::stop);
    }

    /// netlane at both ends of a link in memory.
    pub(super) fn in_memory(threads: usize) -> anyhow::Result<Self> {
        let interface = Interface { addresses: vec![IpNet::V4(Subnet(0).first())], ..Interface::default() };
        let backend = Backend::Memory(MemoryBackend::default());
        Self::configured(&Config { backend, interface, ..Config::default() }, threads)
    }

    /// netlane over a TAP device, with the kernel's TCP as the server.
    pub(super) fn over_tap(offload: bool, threads: usize) -> anyhow::Result<Self> {
        let (subnet, name) = if offload { (Subnet(0), "tap0") } else { (Subnet(1), "tap1") };
        let interface = Interface {
            addresses: vec![IpNet::V4(subnet.first())],
            host_address: Some(IpNet::V4(subnet.second())),
            ..Interface::default()
        };
        let backend = Backend::Tap(TapBackend { name: name.to_owned(), offload });
        Self::configured(&Config { backend, interface, ..Config::default() }, threads)
    }

    /// netlane as a configuration says. The other end is netlane as well where that is in memory, and else the kernel.
    pub(super) fn configured(config: &Config, threads: usize) -> anyhow::Result<Self> {
        match &config.backend {
            Backend::Memory(memory) => {
                let peer = with_address_of_peer(config)?;
                let (client, server) = Host::pair(config, &peer)?;
                let [netlane, peer_network] = [&client, &server].map(|host| Netlane::attach(host.client()));
                let name = format!("netlane in memory{}", with_or_without(memory.offload));
                let address = peer.interface.addresses[0].addr();
                Self::new(name, netlane, &peer_network, address, threads, vec![client, server])
            }
            Backend::Tap(tap) => {
                let Some(host_address) = config.interface.host_address else {
                    bail!(
                        "the kernel's end of {} has no address to connect to: set `interface.host-address`",
                        tap.name
                    );
                };
                let host = Host::start(config)?;
                let name = format!("netlane over TAP{}", with_or_without(tap.offload));
                let netlane = Netlane::attach(host.client());
                Self::new(name, netlane, &Kernel::default(), host_address.addr(), threads, vec![host])
            }
        }
    }

    /// The kernel's TCP at both ends of a veth pair, the server in a namespace of its own.
    pub(super) fn over_veth(offload: bool, threads: usize) -> anyhow::Result<Self> {
        let (subnet, name) = if offload { (Subnet(2), "veth0") } else { (Subnet(3), "veth1") };
        let namespace = Arc::new(NetworkNamespace::new().context("cannot make a network namespace")?);
        let here = End { name, address: IpNet::V4(subnet.first()), offload };
        let there = End { name: "eth0", address: IpNet::V4(subnet.second()), offload };
        veth::join(here, there, &namespace).with_context(|| format!("cannot set up {name}"))?;
        let server = Kernel { namespace: Some(namespace) };
        let name = format!("kernel over veth{}", with_or_without(offload));
        let subject = Self::new(name, Kernel::default(), &server, there.address.addr(), threads, Vec::new())?;
        Ok(Self { is_yardstick: offload, ..subject })
    }

    fn new<N: Network>(
        name: String,
        network: N,
        peer: &impl Network,
        address: IpAddr,
        threads: usize,
        hosts: Vec<Host>,
    ) -> anyhow::Result<Self> {
        let address = SocketAddr::new(address, PORT);
        server::start(peer, address, threads)
            .with_context(|| format!("{name}: cannot listen on {address}"))?;
        let run = move |workload, load| workload::run(workload, &network, address, load);
        Ok(Self { name, is_yardstick: false, run: Box::new(run), hosts })
    }
}

/// The same configuration for the other end of a link in memory, under another address of the same network.
fn with_address_of_peer(config: &Config) -> anyhow::Result<Config> {
    let ours = &config.interface.addresses;
    let others = |net: &IpNet| {
        let prefix_len = net.prefix_len();
        let free = net.hosts().find(|address| ours.iter().all(|taken| taken.addr() != *address));
        free.map(|address| IpNet::new_assert(address, prefix_len))
    };
    let Some(theirs) = ours.iter().find_map(others) else {
        bail!("no network in `interface.addresses` has a second address, for the other end of the link");
    };
    let interface = Interface { addresses: vec![theirs], mac: None, ..config.interface.clone() };
    Ok(Config { interface, routes: Vec::new(), neighbors: Vec::new(), capture: None, ..config.clone() })
}

/// One of the networks that the subjects have in the process's own namespace.
#[derive(Clone, Copy)]
struct Subnet(u8);

impl Subnet {
    fn first(self) -> Ipv4Net {
        self.address(1)
    }

    fn second(self) -> Ipv4Net {
        self.address(2)
    }

    fn address(self, host: u8) -> Ipv4Net {
        Ipv4Net::new_assert(Ipv4Addr::new(10, 77, self.0, host), 24)
    }
}

fn with_or_without(offload: bool) -> &'static str {
    if offload { ", with offload" } else { ", without offload" }
}

const PORT: u16 = 7;
