//! Two hosts of one program, joined by a link in memory.

use std::time::{Duration, Instant};

use netlane_config::{Backend, Config, Interface, Lanes, MemoryBackend};
use netlane_runtime::{Client, Host, Readiness, Socket};

pub(crate) const SERVER: &str = "10.0.0.1";
pub(crate) const CLIENT: &str = "10.0.0.2";

/// The server's host and the client's.
pub(crate) struct TwoHosts {
    pub(crate) server: Host,
    pub(crate) client: Host,
}

impl TwoHosts {
    /// Two hosts with the default settings.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Two hosts whose settings, but for their address, `change` has changed.
    pub(crate) fn start_with(change: impl Fn(&mut Config)) -> Self {
        let [server, client] = [SERVER, CLIENT].map(|address| {
            let mut config = config(address);
            change(&mut config);
            config.check().expect("a sound configuration");
            config
        });
        let (server, client) = Host::pair(&server, &client).expect("two hosts");
        Self { server, client }
    }

    pub(crate) fn server(&self) -> Client {
        self.server.client()
    }

    pub(crate) fn client(&self) -> Client {
        self.client.client()
    }

    /// A connection, from the client's end and the server's.
    pub(crate) fn connection(&self) -> (Socket, Socket) {
        let any = format!("{SERVER}:0").parse().expect("an address");
        let listener = self.server().tcp_listen(any, 1).expect("a listener");
        let address = listener.local_addr().expect("a bound listener");
        let ours = self.client().tcp_connect(None, address, soon()).expect("a connection");
        (ours, accept(&listener))
    }
}

pub(crate) fn config(address: &str) -> Config {
    Config {
        seed: Some(1),
        lanes: Lanes { spin: Duration::from_micros(5), ..Lanes::default() },
        backend: Backend::Memory(MemoryBackend::default()),
        interface: Interface {
            addresses: vec![format!("{address}/24").parse().expect("an address")],
            ..Interface::default()
        },
        ..Config::default()
    }
}

/// By when anything that is to happen in a test has happened.
pub(crate) fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

pub(crate) fn accept(listener: &Socket) -> Socket {
    listener.wait(Readiness::READABLE, soon()).expect("a connection to accept");
    listener.try_accept().expect("a connection")
}
