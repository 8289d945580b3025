//! Backends: what moves the packets.

use serde::{Deserialize, Serialize};

/// The packet I/O framework that lanes drive, with its own settings. In a file, `kind` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Backend {
    /// A link within the process.
    Memory(MemoryBackend),
    /// A TAP device: an Ethernet link to the kernel's own stack.
    Tap(TapBackend),
}

impl Backend {
    /// The `kind`s that there are.
    pub const KINDS: &[&str] = &["memory", "tap"];

    /// The `kind` that names this backend in a file.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Tap(_) => "tap",
        }
    }

    /// The most lanes that it feeds, each from a queue of its own.
    #[must_use]
    pub fn max_lanes(&self) -> usize {
        match self {
            Self::Memory(_) => 1,
            // MAX_TAP_QUEUES in Linux's drivers/net/tun.c.
            Self::Tap(_) => 256,
        }
    }

    /// The largest MTU that it carries, in bytes.
    #[must_use]
    pub fn max_mtu(&self) -> u16 {
        match self {
            Self::Memory(_) => u16::MAX,
            // Linux keeps the Ethernet header within 65,535 bytes too: drivers/net/tun.c, tun_net_initialize.
            Self::Tap(_) => u16::MAX - 14,
        }
    }
}

impl Default for Backend {
    fn default() -> Self {
        Self::Tap(TapBackend::default())
    }
}

/// A link within the process: the stack holds one end, the program the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MemoryBackend {
    /// Frames that may be under way in each direction. A full link refuses more.
    pub queue_length: usize,
    /// Offer checksum and segmentation offload: frames of up to 64 KiB cross in one piece and without checksums.
    pub offload: bool,
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self { queue_length: 1_024, offload: false }
    }
}

/// A TAP device. It has a queue for each lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TapBackend {
    /// The device's name. It is created where it does not exist.
    pub name: String,
    /// Let the kernel fill checksums and cut segments, and take super-frames of up to 64 KiB from it.
    pub offload: bool,
}

impl Default for TapBackend {
    fn default() -> Self {
        Self { name: "netlane0".to_owned(), offload: true }
    }
}
