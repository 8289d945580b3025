//! netlane's configuration: TOML to typed values.
//!
//! A [`Config`] is plain data. It comes from a file ([`Config::load`]), from text ([`Config::parse`]), or is
//! built field by field by a program that embeds netlane and then [checked](Config::check):
//!
//! ```
//! use netlane_config::{Backend, Config, Interface, MemoryBackend};
//!
//! let config = Config {
//!     backend: Backend::Memory(MemoryBackend::default()),
//!     interface: Interface { addresses: vec!["10.0.0.2/24".parse()?], ..Interface::default() },
//!     ..Config::default()
//! };
//! config.check()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here looks at the machine: that a device or a CPU is missing shows where it is opened. The book's
//! page on the configuration describes every key for those who write such files.
#![forbid(unsafe_code)]

pub use backend::{Backend, MemoryBackend, TapBackend};
pub use capture::Capture;
pub use error::{ConfigError, Place, Problem};
pub use impair::{Impair, Impairment, Probability};
pub use interface::{ConflictDetection, Interface, Neighbor, Route};
pub use lanes::{LaneCount, Lanes};
pub use limits::Limits;
pub use mac::{InvalidMacAddress, MacAddress};
pub use tcp::{CongestionControl, Ecn, KeepAlive, SynCookies, Tcp};

mod backend;
mod capture;
mod check;
mod document;
mod duration;
mod error;
mod impair;
mod interface;
mod lanes;
mod limits;
mod mac;
mod tcp;
mod text;

use std::num::NonZeroUsize;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// All that a netlane stack is told before it starts.
///
/// The default is what an empty file means. It has no address, so it fails its own [check](Self::check).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Seed of everything random, for runs that can be repeated; drawn from the system where `None`.
    pub seed: Option<u64>,
    /// How many lanes there are, where they run and how they wait.
    pub lanes: Lanes,
    /// What moves the packets.
    pub backend: Backend,
    /// The stack's network interface.
    pub interface: Interface,
    /// Networks beyond the interface's own subnets.
    pub routes: Vec<Route>,
    /// Neighbours whose Ethernet addresses are known and never asked for.
    pub neighbors: Vec<Neighbor>,
    /// Bounds of everything that could grow.
    pub limits: Limits,
    /// How TCP behaves where a socket does not say otherwise.
    pub tcp: Tcp,
    /// Where to write what goes over the wire; nowhere where `None`.
    pub capture: Option<Capture>,
    /// How to worsen the link, for tests; not at all where `None`.
    pub impair: Option<Impair>,
}

impl Config {
    /// Reads, parses and checks the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError::Read`] when the file cannot be read, [`ConfigError::Invalid`] when [`parse`](Self::parse)
    /// refuses it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { file: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Parses and checks the TOML in `text`. Errors call it `name`.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with the place of each problem and its remedy: the first that makes the text
    /// unreadable, or else all that [`check`](Self::check) finds.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        document::parse(name, text)
    }

    /// Checks that the values are in their ranges and agree with each other.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with all problems, by their keys.
    pub fn check(&self) -> Result<(), ConfigError> {
        match check::problems(self) {
            problems if problems.is_empty() => Ok(()),
            problems => Err(ConfigError::Invalid { problems }),
        }
    }

    /// The number of lanes to start on a machine with `cores` CPUs to run on.
    #[must_use]
    pub fn lane_count(&self, cores: NonZeroUsize) -> NonZeroUsize {
        let count = match self.lanes.count {
            LaneCount::Fixed(count) => usize::from(count),
            LaneCount::Auto if self.lanes.cpus.is_empty() => cores.get().min(self.backend.max_lanes()),
            LaneCount::Auto => self.lanes.cpus.len(),
        };
        NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
    }
}
