//! Two hosts on one link.

use netlane_config::{Backend, Config, Interface, MemoryBackend};
use netlane_posix::Netlane;

/// The first host's address.
pub(crate) const SERVER: &str = "10.0.0.1";
/// The second host's address.
pub(crate) const CLIENT: &str = "10.0.0.2";

pub(crate) fn config(address: &str) -> Config {
    let interface =
        Interface { addresses: vec![format!("{address}/24").parse().unwrap()], ..Interface::default() };
    Config { backend: Backend::Memory(MemoryBackend::default()), interface, ..Config::default() }
}

pub(crate) fn two_hosts() -> (Netlane, Netlane) {
    two_hosts_with(|_| {})
}

pub(crate) fn two_hosts_with(change: impl Fn(&mut Config)) -> (Netlane, Netlane) {
    let [a, b] = [SERVER, CLIENT].map(|address| {
        let mut config = config(address);
        change(&mut config);
        config
    });
    Netlane::pair(&a, &b).unwrap()
}
