//! netlane at one end of a TAP device, the kernel at the other.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use netlane_config::{Backend, Config, Interface, TapBackend};
use netlane_posix::Netlane;

use crate::{namespace, program};

/// The kernel's address.
pub const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// netlane's address.
pub const NETLANE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// The device's name.
pub const DEVICE: &str = "netlane0";

const TUN: &str = "/dev/net/tun";

/// A TAP device with netlane at one end and the kernel at the other. It is gone when this is dropped.
#[derive(Debug)]
pub struct Wire {
    net: Netlane,
}

impl Wire {
    /// A wire with the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::configured(|_| {})
    }

    /// A wire between ends whose settings, beside the addresses, `change` has changed. Where this user may have no TAP
    /// device, the test is skipped.
    pub fn configured(change: impl FnOnce(&mut Config)) -> Self {
        if let Err(error) = File::options().read(true).write(true).open(TUN) {
            namespace::skip(&format!("{TUN}: {error}"));
        }
        let interface = Interface {
            addresses: vec![format!("{NETLANE}/24").parse().expect("an address")],
            host_address: Some(format!("{KERNEL}/24").parse().expect("an address")),
            ..Interface::default()
        };
        let backend = Backend::Tap(TapBackend { name: DEVICE.to_owned(), offload: true });
        let mut config = Config { backend, interface, ..Config::default() };
        change(&mut config);
        let net = Netlane::start(&config).unwrap_or_else(|error| panic!("{error}"));
        Self { net }
    }

    /// netlane's network, for its sockets.
    #[must_use]
    pub fn net(&self) -> &Netlane {
        &self.net
    }

    /// What all lanes have counted under this name.
    ///
    /// # Panics
    /// If no counter has the name.
    #[must_use]
    pub fn counted(&self, name: &str) -> u64 {
        let client = self.net.client();
        (0..client.lanes())
            .map(|lane| client.counters(lane).expect("a lane that runs").get(name).expect("a counter"))
            .sum()
    }
}

impl Default for Wire {
    fn default() -> Self {
        Self::new()
    }
}

/// A port at netlane's end; 0 for any.
#[must_use]
pub fn at_netlane(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(NETLANE), port)
}

/// A port at the kernel's end; 0 for any.
#[must_use]
pub fn at_kernel(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(KERNEL), port)
}

/// Has ip(8) change the kernel's end.
pub fn ip(arguments: &str) {
    let said = program::run(&format!("ip {arguments}"));
    assert_eq!(said, "", "ip {arguments}");
}
