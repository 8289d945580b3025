//! Writing what goes over the wire to a file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A capture of all frames, both ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Capture {
    /// The file to write, in pcapng format. What was in it is lost.
    pub file: PathBuf,
    /// Bytes to keep of each frame, counted from its front.
    #[serde(default = "Capture::default_snap_length")]
    pub snap_length: u32,
    /// The size at which the file grows no more; unbounded where `None`.
    #[serde(default)]
    pub max_bytes: Option<u64>,
}

impl Capture {
    /// A capture of whole frames to `file`, without a bound.
    pub fn to(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), snap_length: Self::default_snap_length(), max_bytes: None }
    }

    /// Room for the largest super-frame.
    fn default_snap_length() -> u32 {
        262_144
    }
}
