//! A program's network.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use netlane_config::Config;
use netlane_runtime::{Client, Host, StartError};

/// A program's own network: what the kernel's is to a program that uses [`std::net`].
///
/// Clones are the same network. It lives as long as one of them, or one of its sockets, does.
#[derive(Clone, Debug)]
pub struct Netlane {
    client: Client,
    /// Ends its lanes when the last one lets go.
    host: Option<Arc<Host>>,
}

impl Netlane {
    /// Opens the backend that the configuration names, and starts its lanes.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: &Config) -> Result<Self, StartError> {
        Host::start(config).map(Self::from)
    }

    /// Starts as the configuration file at `path` says.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, StartError> {
        Self::start(&Config::load(path.as_ref())?)
    }

    /// Starts two networks that are joined by a link in memory.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn pair(a: &Config, b: &Config) -> Result<(Self, Self), StartError> {
        let (a, b) = Host::pair(a, b)?;
        Ok((Self::from(a), Self::from(b)))
    }

    /// Uses the lanes of a host that is kept, and ended, elsewhere.
    #[must_use]
    pub fn attach(client: Client) -> Self {
        Self { client, host: None }
    }

    /// The client behind the sockets, for what this crate does not offer.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The host, unless it is kept elsewhere.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        self.host.as_deref()
    }
}

impl From<Host> for Netlane {
    fn from(host: Host) -> Self {
        Self { client: host.client(), host: Some(Arc::new(host)) }
    }
}

/// Tries `open` with each address that `addresses` stands for until it succeeds, and returns the last error when it
/// never does.
pub(crate) fn each_address<T>(
    addresses: impl ToSocketAddrs,
    mut open: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for address in addresses.to_socket_addrs()? {
        match open(address) {
            Ok(opened) => return Ok(opened),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the name stands for no address")))
}
