//! Segments by hand: what a scripted peer sends, and what it expects.

use netlane_core::wire::{FastOpen, SackBlock, TcpFlags, TcpOptions, Timestamps, UserTimeout};

use crate::seed::pattern;
use crate::trace::segment_line;

/// A segment of a script. Sequence numbers count from the SYN of whoever sends the bytes, so that the first byte
/// of data has number 1.
#[derive(Clone, Debug)]
pub struct Seg {
    pub(crate) flags: TcpFlags,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    /// `None`: the default when sent, anything when expected.
    pub(crate) window: Option<u16>,
    pub(crate) options: TcpOptions,
    /// The options matter when the segment is expected.
    pub(crate) check_options: bool,
    pub(crate) payload: Vec<u8>,
    /// The peer's port; `None` for the one of the script.
    pub(crate) port: Option<u16>,
}

/// The peer's SYN: sequence number 0.
#[must_use]
pub fn syn() -> Seg {
    Seg::new(TcpFlags::SYN, 0, 0)
}

/// A SYN that acknowledges one.
#[must_use]
pub fn syn_ack() -> Seg {
    Seg::new(TcpFlags::SYN | TcpFlags::ACK, 0, 1)
}

/// An acknowledgement of everything before `ack`, with sequence number 1.
#[must_use]
pub fn ack(ack: u32) -> Seg {
    Seg::new(TcpFlags::ACK, 1, ack)
}

/// `len` bytes of the stream that all tests send (see [`pattern`]), the first with the sequence number `seq`, and
/// an acknowledgement of everything before 1.
#[must_use]
pub fn data(seq: u32, len: usize) -> Seg {
    Seg { payload: pattern(u64::from(seq.wrapping_sub(1)), len), ..Seg::new(TcpFlags::ACK, seq, 1) }
}

/// A FIN with the sequence number `seq`, and an acknowledgement of everything before 1.
#[must_use]
pub fn fin(seq: u32) -> Seg {
    Seg::new(TcpFlags::FIN | TcpFlags::ACK, seq, 1)
}

/// A reset with the sequence number `seq` that acknowledges nothing.
#[must_use]
pub fn rst(seq: u32) -> Seg {
    Seg::new(TcpFlags::RST, seq, 0)
}

/// A reset with the sequence number `seq` that acknowledges everything before `ack`.
#[must_use]
pub fn rst_ack(seq: u32, ack: u32) -> Seg {
    Seg::new(TcpFlags::RST | TcpFlags::ACK, seq, ack)
}

/// The options with the sequence numbers in them counted from `origin`.
pub(crate) fn options_from(origin: u32, options: &TcpOptions) -> TcpOptions {
    let sack = options.sack.as_slice().iter().map(|block| SackBlock {
        left: block.left.wrapping_sub(origin),
        right: block.right.wrapping_sub(origin),
    });
    TcpOptions { sack: sack.collect(), ..*options }
}

impl Seg {
    fn new(flags: TcpFlags, seq: u32, ack: u32) -> Self {
        Self {
            flags,
            seq,
            ack,
            window: None,
            options: TcpOptions::default(),
            check_options: false,
            payload: Vec::new(),
            port: None,
        }
    }

    /// With another sequence number.
    #[must_use]
    pub fn seq(self, seq: u32) -> Self {
        Self { seq, ..self }
    }

    /// With another acknowledgement.
    #[must_use]
    pub fn ack(self, ack: u32) -> Self {
        Self { ack, flags: self.flags | TcpFlags::ACK, ..self }
    }

    /// With this field in the window's place, not scaled.
    #[must_use]
    pub fn win(self, window: u16) -> Self {
        Self { window: Some(window), ..self }
    }

    /// With other flags besides.
    #[must_use]
    pub fn with(self, flags: TcpFlags) -> Self {
        Self { flags: self.flags | flags, ..self }
    }

    /// Without some flags.
    #[must_use]
    pub fn without(self, flags: TcpFlags) -> Self {
        Self { flags: self.flags - flags, ..self }
    }

    /// With a FIN behind its data.
    #[must_use]
    pub fn fin(self) -> Self {
        self.with(TcpFlags::FIN)
    }

    /// With these bytes as its data.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        Self { payload: bytes.to_vec(), ..self }
    }

    /// With the maximum segment size.
    #[must_use]
    pub fn mss(self, mss: u16) -> Self {
        self.options(|options| options.mss = Some(mss))
    }

    /// With a window scale.
    #[must_use]
    pub fn wscale(self, shift: u8) -> Self {
        self.options(|options| options.window_scale = Some(shift))
    }

    /// With timestamps.
    #[must_use]
    pub fn ts(self, value: u32, echo: u32) -> Self {
        self.options(|options| options.timestamps = Some(Timestamps { value, echo }))
    }

    /// With selective acknowledgements permitted.
    #[must_use]
    pub fn sack_permitted(self) -> Self {
        self.options(|options| options.sack_permitted = true)
    }

    /// With these runs of bytes selectively acknowledged: the first sequence number of each, and the one behind it.
    #[must_use]
    pub fn sack(self, runs: &[(u32, u32)]) -> Self {
        let blocks = runs.iter().map(|&(left, right)| SackBlock { left, right });
        self.options(|options| options.sack = blocks.collect())
    }

    /// With a Fast Open cookie, or the wish for one.
    #[must_use]
    pub fn fast_open(self, fast_open: FastOpen) -> Self {
        self.options(|options| options.fast_open = Some(fast_open))
    }

    /// With the sender's user timeout.
    #[must_use]
    pub fn user_timeout(self, timeout: std::time::Duration) -> Self {
        self.options(|options| options.user_timeout = Some(UserTimeout::new(timeout)))
    }

    /// Expected with no options but those given.
    #[must_use]
    pub fn exact_options(self) -> Self {
        Self { check_options: true, ..self }
    }

    /// From, or expected to, this port of the peer.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        Self { port: Some(port), ..self }
    }

    fn options(mut self, change: impl FnOnce(&mut TcpOptions)) -> Self {
        change(&mut self.options);
        Self { check_options: true, ..self }
    }
}

impl std::fmt::Display for Seg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let window = self.window.unwrap_or(0);
        f.write_str(&segment_line(self.flags, self.seq, self.ack, window, &self.options, self.payload.len()))
    }
}
