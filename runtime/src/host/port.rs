//! Queues that lanes shall drive, bare and wrapped.

use std::io;
use std::path::{Path, PathBuf};

use netlane_backends::inspect::InspectBuf;
use netlane_backends::memory::{Memory, MemoryPort};
use netlane_backends::tap::{Tap, TapPort};
use netlane_backends::wait::Waitable;
use netlane_backends::wrap::impair::{Impair, ImpairConfig};
use netlane_backends::wrap::pcap::{Capture, CaptureConfig, Pcap};
use netlane_packet_io::PacketIo;

use super::StartError;
use crate::lane;

/// A queue that is not in use yet. It is sent to the thread of its lane and opened there, since what drives a queue
/// need not bear being sent.
pub trait Port: Send + 'static {
    /// What drives the queue.
    type Io: PacketIo<Buf: InspectBuf> + Waitable;

    /// Starts using the queue, on this thread.
    fn open(self) -> Self::Io;
}

impl Port for MemoryPort {
    type Io = Memory;

    fn open(self) -> Memory {
        self.open()
    }
}

impl Port for TapPort {
    type Io = Tap;

    fn open(self) -> Tap {
        self.open()
    }
}

/// A queue whose frames are captured.
pub(super) struct Captured<P> {
    port: P,
    capture: Capture,
}

impl<P> Captured<P> {
    /// Captures the frames of lane number `lane`, or nothing where no capture is configured.
    pub(super) fn new(
        port: P,
        config: Option<&netlane_config::Capture>,
        lane: usize,
    ) -> Result<Self, StartError> {
        let interface = format!("netlane-lane{lane}");
        let Some(config) = config else {
            let nothing = CaptureConfig { interface, max_bytes: Some(0), ..CaptureConfig::default() };
            let failed = |source| StartError::Capture { file: "nowhere".to_owned(), source };
            return Ok(Self { port, capture: Capture::new(io::sink(), &nothing).map_err(failed)? });
        };
        let file = file_of_lane(&config.file, lane);
        let settings = CaptureConfig {
            interface,
            description: String::new(),
            snap_len: Some(config.snap_length),
            max_bytes: config.max_bytes,
        };
        let failed = |source| StartError::Capture { file: file.display().to_string(), source };
        Ok(Self { port, capture: Capture::create(&file, &settings).map_err(failed)? })
    }
}

impl<P: Port> Port for Captured<P> {
    type Io = Pcap<P::Io>;

    fn open(self) -> Self::Io {
        Pcap::new(self.port.open(), self.capture)
    }
}

/// The first lane writes to the configured file, and each further one to a file of its own beside it.
fn file_of_lane(file: &Path, lane: usize) -> PathBuf {
    if lane == 0 {
        return file.to_owned();
    }
    let mut name = file.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-lane{lane}"));
    if let Some(extension) = file.extension() {
        name.push(".");
        name.push(extension);
    }
    file.with_file_name(name)
}

/// A queue behind a bad link.
pub(super) struct Impaired<P> {
    port: P,
    config: ImpairConfig,
}

impl<P> Impaired<P> {
    pub(super) fn new(port: P, config: ImpairConfig) -> Self {
        Self { port, config }
    }
}

impl<P: Port> Port for Impaired<P> {
    type Io = Impair<P::Io, fn() -> u64>;

    fn open(self) -> Self::Io {
        Impair::new(self.port.open(), self.config, || lane::clock().as_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lane_captures_to_a_file_of_its_own() {
        let file = Path::new("/tmp/a.b/wire.pcapng");
        assert_eq!(file_of_lane(file, 0), file);
        assert_eq!(file_of_lane(file, 2), Path::new("/tmp/a.b/wire-lane2.pcapng"));
        assert_eq!(file_of_lane(Path::new("wire"), 1), Path::new("wire-lane1"));
    }
}
