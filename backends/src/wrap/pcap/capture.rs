//! The capture file.

use crate::inspect::fill_checksum;
use netlane_packet_io::{Batch, TxChecksum};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, PcapError};
use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a capture file says and holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureConfig {
    /// The interface's name, as `if_name` in the file.
    pub interface: String,
    /// What kind of interface it is, as `if_description`; nothing is written if it is empty.
    pub description: String,
    /// The most bytes that are kept of each frame; `None` for all.
    pub snap_len: Option<u32>,
    /// The most bytes that the file may have. The capture ends with the frame that would exceed it.
    pub max_bytes: Option<u64>,
}

/// What became of the frames of a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureStats {
    /// Frames handed to the file. After a failure, the last of them may be missing there.
    pub written: u64,
    /// Frames for which the file had no room any more.
    pub over_limit: u64,
    /// Frames that could not be written because of an error, then or before.
    pub failed: u64,
}

/// A capture file that is being written.
pub struct Capture {
    file: PcapNgWriter<Sink>,
    clock: Box<dyn FnMut() -> Duration + Send>,
    snap_len: usize,
    /// How much more the file may grow.
    bytes_left: u64,
    state: State,
    snapshots: Snapshots,
    stats: CaptureStats,
}

/// The file's blocks are written in small pieces; the buffer joins them.
type Sink = BufWriter<Box<dyn Write + Send>>;

/// Which way a frame goes: the lowest two bits of `epb_flags` (draft-ietf-opsawg-pcapng §4.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Inbound = 1,
    Outbound = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Full,
    Failed,
}

impl Capture {
    /// Starts a capture in a new file, in place of one that may be there.
    ///
    /// # Errors
    /// When the file cannot be made or written.
    pub fn create(path: impl AsRef<Path>, config: &CaptureConfig) -> io::Result<Self> {
        Self::new(File::create(path)?, config)
    }

    /// Starts a capture that goes to `sink`.
    ///
    /// # Errors
    /// When `sink` cannot be written.
    pub fn new(sink: impl Write + Send + 'static, config: &CaptureConfig) -> io::Result<Self> {
        let sink: Sink = BufWriter::with_capacity(BUFFER, Box::new(sink));
        let mut file = PcapNgWriter::new(sink).map_err(into_io)?;
        let interface = file.write_pcapng_block(describe(config)).map_err(into_io)?;
        file.get_mut().flush()?;
        let header = SECTION_HEADER + interface as u64;
        Ok(Self {
            file,
            clock: Box::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            snap_len: config.snap_len.map_or(usize::MAX, |len| len as usize),
            bytes_left: config.max_bytes.map_or(u64::MAX, |max| max.saturating_sub(header)),
            state: State::Open,
            snapshots: Snapshots::default(),
            stats: CaptureStats::default(),
        })
    }

    /// Takes the timestamps from `clock`: time since the Unix epoch. Without it, they come from the system. The
    /// frames of a burst share one.
    #[must_use]
    pub fn with_clock(mut self, clock: impl FnMut() -> Duration + Send + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// What has been captured so far.
    #[must_use]
    pub fn stats(&self) -> CaptureStats {
        self.stats
    }

    /// Brings the file up to date.
    pub fn flush(&mut self) {
        if self.state != State::Failed
            && let Err(error) = self.file.get_mut().flush()
        {
            self.fail(&error);
        }
    }

    /// Keeps a copy of a frame to be written, at most a burst of them, with the checksum filled in that it lacks.
    pub(super) fn snap(&mut self, frame: &[u8], unfilled: Option<TxChecksum>) {
        if self.state == State::Open {
            self.snapshots.take(frame, unfilled, self.snap_len);
        }
    }

    /// Writes the first `count` copies and forgets all of them.
    pub(super) fn write(&mut self, direction: Direction, count: usize) {
        if count > 0 && self.state == State::Open {
            let timestamp = (self.clock)();
            let snapshots = std::mem::take(&mut self.snapshots);
            for (data, original_len) in snapshots.iter().take(count) {
                self.write_frame(direction, timestamp, data, original_len);
            }
            self.snapshots = snapshots;
        } else {
            self.count_missed(count as u64);
        }
        self.snapshots.clear();
    }

    fn write_frame(&mut self, direction: Direction, timestamp: Duration, data: &[u8], original_len: u32) {
        let size = PACKET_BLOCK + data.len().next_multiple_of(4) as u64;
        if self.state == State::Open && size > self.bytes_left {
            self.state = State::Full;
            tracing::warn!(frames = self.stats.written, "the capture file has reached its limit");
        }
        if self.state != State::Open {
            return self.count_missed(1);
        }
        let options = vec![EnhancedPacketOption::Flags(direction as u32)];
        let data = Cow::Borrowed(data);
        let block = EnhancedPacketBlock { interface_id: 0, timestamp, original_len, data, options };
        match self.file.write_pcapng_block(block) {
            Ok(_) => {
                self.bytes_left -= size;
                self.stats.written += 1;
            }
            Err(error) => {
                self.fail(&into_io(error));
                self.count_missed(1);
            }
        }
    }

    fn count_missed(&mut self, frames: u64) {
        match self.state {
            State::Open => {}
            State::Full => self.stats.over_limit += frames,
            State::Failed => self.stats.failed += frames,
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.state = State::Failed;
        tracing::warn!(%error, frames = self.stats.written, "the capture file cannot be written any more");
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("state", &self.state)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

/// Bytes that are collected before they are written to the file.
const BUFFER: usize = 256 << 10;

/// Bytes of the block that begins a file: type, length, magic, version, section length, length.
const SECTION_HEADER: u64 = 28;

/// Bytes of a frame's block beside the frame: type, length, interface, timestamp and two lengths; `epb_flags` and the
/// end of the options; length.
const PACKET_BLOCK: u64 = 28 + 12 + 4;

fn describe(config: &CaptureConfig) -> InterfaceDescriptionBlock<'_> {
    let mut options = vec![InterfaceDescriptionOption::IfName(Cow::Borrowed(&config.interface))];
    if !config.description.is_empty() {
        options.push(InterfaceDescriptionOption::IfDescription(Cow::Borrowed(&config.description)));
    }
    // Timestamps count in 10^-9 seconds.
    options.push(InterfaceDescriptionOption::IfTsResol(9));
    // In the file, zero means that there is no limit.
    let snaplen = config.snap_len.unwrap_or(0);
    InterfaceDescriptionBlock { linktype: DataLink::ETHERNET, snaplen, options }
}

fn into_io(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// Copies of the frames of a burst.
#[derive(Default)]
struct Snapshots {
    bytes: Vec<u8>,
    /// Where each one's bytes are, and how many the frame itself has.
    frames: Batch<(Range<usize>, u32)>,
}

impl Snapshots {
    fn take(&mut self, frame: &[u8], unfilled: Option<TxChecksum>, snap_len: usize) {
        let start = self.bytes.len();
        // A checksum covers the frame to its end, so all of it is needed for a moment.
        let needed = if unfilled.is_some() { frame.len() } else { frame.len().min(snap_len) };
        self.bytes.extend_from_slice(&frame[..needed]);
        if let Some(checksum) = unfilled {
            fill_checksum(&mut self.bytes[start..], checksum);
            self.bytes.truncate(start.saturating_add(snap_len));
        }
        self.frames.push((start..self.bytes.len(), frame.len() as u32));
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.frames.iter().map(|(range, original_len)| (&self.bytes[range.clone()], *original_len))
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
    }
}
