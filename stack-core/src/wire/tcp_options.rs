//! The options of TCP (RFC 9293 §3.1 and §3.2, RFC 7323, RFC 2018).

use super::Malformed;
use super::tcp::MAX_OPTIONS_LEN;

/// The options of a segment that netlane knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// The largest segment that the sender is able to receive, in bytes; only on a SYN.
    pub mss: Option<u16>,
    /// How many bits the sender's windows are to be shifted by, as it says; only on a SYN. Values beyond 14
    /// mean 14 (RFC 7323 §2.3).
    pub window_scale: Option<u8>,
    /// Whether the sender takes selective acknowledgments; only on a SYN.
    pub sack_permitted: bool,
    /// The sender's clock, and ours as it heard it last.
    pub timestamps: Option<Timestamps>,
    /// What the sender has received beyond the acknowledged bytes.
    pub sack: SackBlocks,
    /// How long the sender keeps trying.
    pub user_timeout: Option<UserTimeout>,
    /// The wish for a Fast Open cookie, or one; only on a SYN.
    pub fast_open: Option<FastOpen>,
}

/// The user timeout option (RFC 5482 §2): how long the sender waits for data to be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserTimeout {
    /// The highest bit says that the others count minutes, and not seconds.
    field: u16,
}

impl UserTimeout {
    /// The option for a timeout, in seconds as long as those find room, and rounded up.
    #[must_use]
    pub const fn new(timeout: core::time::Duration) -> Self {
        let seconds = timeout.as_secs().saturating_add((timeout.subsec_nanos() > 0) as u64);
        if seconds <= Self::MOST as u64 {
            return Self { field: seconds as u16 };
        }
        let minutes = seconds.div_ceil(60);
        let minutes = if minutes > Self::MOST as u64 { Self::MOST } else { minutes as u16 };
        Self { field: Self::MINUTES | minutes }
    }

    /// The timeout.
    #[must_use]
    pub const fn duration(self) -> core::time::Duration {
        let count = (self.field & Self::MOST) as u64;
        core::time::Duration::from_secs(if self.field & Self::MINUTES == 0 { count } else { 60 * count })
    }

    const MINUTES: u16 = 1 << 15;
    const MOST: u16 = Self::MINUTES - 1;
}

/// The timestamps option (RFC 7323 §3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    /// The sender's clock (TSval).
    pub value: u32,
    /// The clock reading that the sender sends back (TSecr).
    pub echo: u32,
}

/// A run of bytes that has arrived (RFC 2018 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlock {
    /// The first sequence number of the run.
    pub left: u32,
    /// The first sequence number after it.
    pub right: u32,
}

/// Up to four [`SackBlock`]s: as many as a header has room for.
#[derive(Clone, Copy, Default)]
pub struct SackBlocks {
    len: u8,
    blocks: [SackBlock; Self::MOST],
}

impl TcpOptions {
    /// Reads a header's options. Those that are unknown are skipped (RFC 9293 §3.1, MUST-6); so is an MSS of
    /// zero, which nobody could meet.
    ///
    /// # Errors
    /// [`Malformed::BadOption`] if an option's length leads beyond the header or is not that of its kind.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut options = Self::default();
        options.read(bytes)?;
        Ok(options)
    }

    /// As [`parse`](Self::parse), into options that are empty yet: every segment pays for moving them.
    #[inline]
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        // RFC 7323 appendix A: what nearly every segment of a connection carries, and nothing else.
        if let Ok([NO_OPERATION, NO_OPERATION, TIMESTAMPS, TIMESTAMPS_LEN, clocks @ ..]) =
            <&[u8; ALIGNED_TIMESTAMPS_LEN]>::try_from(bytes)
        {
            self.timestamps = Some(Timestamps::read(clocks));
            return Ok(());
        }
        self.read_any(bytes)
    }

    fn read_any(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        loop {
            bytes = match bytes {
                [] | [END, ..] => return Ok(()),
                [NO_OPERATION, rest @ ..] => rest,
                // RFC 9293 §3.1 (MUST-7): an illegal length must do no harm.
                [kind, len @ 2..=u8::MAX, ..] => {
                    let (option, rest) =
                        bytes.split_at_checked(usize::from(*len)).ok_or(Malformed::BadOption)?;
                    self.take(*kind, option.get(2..).unwrap_or_default())?;
                    rest
                }
                _ => return Err(Malformed::BadOption),
            };
        }
    }

    fn take(&mut self, kind: u8, data: &[u8]) -> Result<(), Malformed> {
        match (kind, data) {
            (MAXIMUM_SEGMENT_SIZE, [high, low]) => {
                self.mss = Some(u16::from_be_bytes([*high, *low])).filter(|mss| *mss > 0);
            }
            (WINDOW_SCALE, [shift]) => self.window_scale = Some(*shift),
            (SACK_PERMITTED, []) => self.sack_permitted = true,
            (TIMESTAMPS, data) => {
                let clocks = data.try_into().map_err(|_| Malformed::BadOption)?;
                self.timestamps = Some(Timestamps::read(clocks));
            }
            (SACK, data) => self.sack = SackBlocks::read(data)?,
            (FAST_OPEN, cookie) => self.fast_open = FastOpen::new(cookie, false),
            (EXPERIMENT, [FAST_OPEN_HIGH, FAST_OPEN_LOW, cookie @ ..]) => {
                self.fast_open = FastOpen::new(cookie, true);
            }
            // RFC 5482 §2: a timeout of zero is ignored.
            (USER_TIMEOUT, [high, low]) => {
                let field = u16::from_be_bytes([*high, *low]);
                self.user_timeout = Some(UserTimeout { field }).filter(|_| field & UserTimeout::MOST != 0);
            }
            (MAXIMUM_SEGMENT_SIZE | WINDOW_SCALE | SACK_PERMITTED, _) => return Err(Malformed::BadOption),
            _ => {}
        }
        Ok(())
    }

    /// Bytes that [`emit`](Self::emit) writes: a multiple of 4, at most 40.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub const fn len(&self) -> usize {
        if self.sack.len == 0 {
            return self.len_without_sack();
        }
        let blocks = self.sack_room();
        self.len_without_sack() + if blocks > 0 { SACK_HEADER_LEN + blocks * SackBlock::LEN } else { 0 }
    }

    /// Writes the options to the front of `out`, each aligned to words of 4 bytes, and returns how many bytes
    /// they take. SACK blocks that find no room beside the other options are left out, the last ones first
    /// (RFC 2018 §3 has room for three beside timestamps).
    ///
    /// # Panics
    /// If `out` is shorter than [`len`](Self::len).
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let Self { mss, window_scale, sack_permitted, timestamps, sack, user_timeout, fast_open } = self;
        let mut out = Writer { out, written: 0 };
        if let Some(mss) = mss {
            let [high, low] = mss.to_be_bytes();
            out.word([MAXIMUM_SEGMENT_SIZE, 4, high, low]);
        }
        // What pads the timestamps to whole words is room enough for the option without data.
        match (sack_permitted, timestamps) {
            (true, Some(_)) => out.word([SACK_PERMITTED, 2, TIMESTAMPS, TIMESTAMPS_LEN]),
            (false, Some(_)) => out.word([NO_OPERATION, NO_OPERATION, TIMESTAMPS, TIMESTAMPS_LEN]),
            (true, None) => out.word([NO_OPERATION, NO_OPERATION, SACK_PERMITTED, 2]),
            (false, None) => {}
        }
        if let Some(Timestamps { value, echo }) = timestamps {
            out.word(value.to_be_bytes());
            out.word(echo.to_be_bytes());
        }
        if let Some(shift) = window_scale {
            out.word([NO_OPERATION, WINDOW_SCALE, 3, *shift]);
        }
        if let Some(UserTimeout { field }) = user_timeout {
            let [high, low] = field.to_be_bytes();
            out.word([USER_TIMEOUT, 4, high, low]);
        }
        if let Some(fast_open) = fast_open {
            fast_open.emit(&mut out);
        }
        if sack.len == 0 {
            return out.written;
        }
        let blocks = self.sack_room();
        if blocks > 0 {
            out.word([NO_OPERATION, NO_OPERATION, SACK, (2 + blocks * SackBlock::LEN) as u8]);
        }
        for SackBlock { left, right } in sack.as_slice().iter().take(blocks) {
            out.word(left.to_be_bytes());
            out.word(right.to_be_bytes());
        }
        out.written
    }

    /// The timestamps, where there is no other option.
    #[inline]
    pub(crate) fn lone_timestamps(&self) -> Option<Timestamps> {
        let Self { mss, window_scale, sack_permitted, timestamps, sack, user_timeout, fast_open } = self;
        let others = mss.is_some()
            || window_scale.is_some()
            || *sack_permitted
            || sack.len > 0
            || user_timeout.is_some()
            || fast_open.is_some();
        timestamps.filter(|_| !others)
    }

    const fn len_without_sack(&self) -> usize {
        let mut len = 0;
        if self.mss.is_some() {
            len += 4;
        }
        if self.timestamps.is_some() {
            len += ALIGNED_TIMESTAMPS_LEN;
        } else if self.sack_permitted {
            len += 4;
        }
        if self.window_scale.is_some() {
            len += 4;
        }
        if self.user_timeout.is_some() {
            len += 4;
        }
        if let Some(fast_open) = &self.fast_open {
            len += fast_open.padded_len();
        }
        len
    }

    /// How many of the SACK blocks find room.
    const fn sack_room(&self) -> usize {
        let room = self.most_sack_blocks();
        let blocks = self.sack.len as usize;
        if blocks < room { blocks } else { room }
    }

    /// How many SACK blocks find room beside the other options.
    #[inline]
    #[must_use]
    pub const fn most_sack_blocks(&self) -> usize {
        MAX_OPTIONS_LEN.saturating_sub(self.len_without_sack() + SACK_HEADER_LEN) / SackBlock::LEN
    }
}

impl Timestamps {
    #[inline]
    pub(super) fn read(bytes: &[u8; 8]) -> Self {
        let [value, echo] = two_words(bytes);
        Self { value, echo }
    }
}

impl SackBlock {
    /// Length of a block in bytes.
    pub const LEN: usize = 8;

    fn read(bytes: &[u8; Self::LEN]) -> Self {
        let [left, right] = two_words(bytes);
        Self { left, right }
    }
}

impl SackBlocks {
    /// The most blocks that a header has room for.
    pub const MOST: usize = 4;

    /// Adds a block at the end. Returns whether there was room for it.
    pub const fn push(&mut self, block: SackBlock) -> bool {
        let has_room = (self.len as usize) < Self::MOST;
        if has_room {
            self.blocks[self.len as usize] = block;
            self.len += 1;
        }
        has_room
    }

    /// Whether there is no block.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The blocks, in the order in which they stand in the header.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[SackBlock] {
        self.blocks.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn read(data: &[u8]) -> Result<Self, Malformed> {
        let (blocks, rest) = data.as_chunks::<{ SackBlock::LEN }>();
        if blocks.is_empty() || blocks.len() > Self::MOST || !rest.is_empty() {
            return Err(Malformed::BadOption);
        }
        Ok(blocks.iter().map(SackBlock::read).collect())
    }
}

impl FromIterator<SackBlock> for SackBlocks {
    /// The first four blocks.
    fn from_iter<I: IntoIterator<Item = SackBlock>>(blocks: I) -> Self {
        let mut all = Self::default();
        for block in blocks.into_iter().take(Self::MOST) {
            all.push(block);
        }
        all
    }
}

impl PartialEq for SackBlocks {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for SackBlocks {}

impl core::fmt::Debug for SackBlocks {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

#[inline]
fn two_words(&[a, b, c, d, e, f, g, h]: &[u8; 8]) -> [u32; 2] {
    [u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])]
}

/// The Fast Open option (RFC 7413 §4.1.1): a cookie, or the wish for one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FastOpen {
    /// In the form that it had as an experiment.
    experimental: bool,
    len: u8,
    cookie: [u8; Self::MOST],
}

impl FastOpen {
    /// The most bytes of a cookie.
    pub const MOST: usize = 16;

    /// The wish for a cookie; `experimental` in the form that the option had before it was a standard.
    #[must_use]
    pub const fn request(experimental: bool) -> Self {
        Self { experimental, len: 0, cookie: [0; Self::MOST] }
    }

    /// The option with a cookie, or the wish for one where that is empty; `None` if no cookie is so long.
    #[must_use]
    pub fn new(cookie: &[u8], experimental: bool) -> Option<Self> {
        let len = cookie.len();
        if len != 0 && (!(4..=Self::MOST).contains(&len) || !len.is_multiple_of(2)) {
            return None;
        }
        let mut option = Self::request(experimental);
        option.len = len as u8;
        option.cookie[..len].copy_from_slice(cookie);
        Some(option)
    }

    /// The cookie; empty where one is wished for.
    #[must_use]
    pub fn cookie(&self) -> &[u8] {
        self.cookie.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether the option has the form that it had as an experiment.
    #[must_use]
    pub const fn is_experimental(&self) -> bool {
        self.experimental
    }

    const fn unpadded_len(&self) -> usize {
        2 + 2 * self.experimental as usize + self.len as usize
    }

    const fn padded_len(&self) -> usize {
        self.unpadded_len().next_multiple_of(4)
    }

    fn emit(&self, out: &mut Writer<'_>) {
        let mut bytes = [NO_OPERATION; 4 + Self::MOST];
        let len = self.unpadded_len();
        bytes[1] = len as u8;
        if self.experimental {
            bytes[0] = EXPERIMENT;
            [bytes[2], bytes[3]] = [FAST_OPEN_HIGH, FAST_OPEN_LOW];
        } else {
            bytes[0] = FAST_OPEN;
        }
        bytes[len - usize::from(self.len)..len].copy_from_slice(self.cookie());
        for word in bytes[..self.padded_len()].as_chunks().0 {
            out.word(*word);
        }
    }
}

impl core::fmt::Debug for FastOpen {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "FastOpen({:02x?}{})", self.cookie(), if self.experimental { ", experimental" } else { "" })
    }
}

/// Writes words one after another.
struct Writer<'a> {
    out: &'a mut [u8],
    written: usize,
}

impl Writer<'_> {
    #[inline]
    fn word(&mut self, word: [u8; 4]) {
        self.out[self.written..][..4].copy_from_slice(&word);
        self.written += 4;
    }
}

/// Kinds of options (IANA's TCP parameters).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const USER_TIMEOUT: u8 = 28;
const FAST_OPEN: u8 = 34;
/// Shared by experiments (RFC 6994), of which the next two bytes name one: Fast Open before it had its own kind.
const EXPERIMENT: u8 = 254;
const FAST_OPEN_HIGH: u8 = 0xf9;
const FAST_OPEN_LOW: u8 = 0x89;

/// What the timestamps option says of its length (RFC 7323 §3.2).
const TIMESTAMPS_LEN: u8 = 10;
/// The timestamps option and the padding before it (RFC 7323 appendix A).
pub(super) const ALIGNED_TIMESTAMPS_LEN: usize = 12;
/// What stands before their values then.
pub(super) const TIMESTAMPS_ALIGNED: [u8; 4] = [NO_OPERATION, NO_OPERATION, TIMESTAMPS, TIMESTAMPS_LEN];
/// Kind and length of the SACK option, and the padding before them.
const SACK_HEADER_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn written(options: &TcpOptions) -> Vec<u8> {
        let mut out = alloc::vec![0xaa; options.len()];
        assert_eq!(options.emit(&mut out), options.len());
        out
    }

    fn blocks(n: u32) -> SackBlocks {
        (0..n).map(|i| SackBlock { left: 1000 * i, right: 1000 * i + 500 }).collect()
    }

    #[test]
    fn the_options_of_a_syn_from_linux() {
        let bytes = [2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0x3d, 0x6d, 0x42, 0x19, 0, 0, 0, 0, 1, 3, 3, 10];
        let options = TcpOptions::parse(&bytes).unwrap();
        let expected = TcpOptions {
            mss: Some(1460),
            window_scale: Some(10),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: 0x3d6d_4219, echo: 0 }),
            ..TcpOptions::default()
        };
        assert_eq!(options, expected);
        assert_eq!(written(&options), bytes);
    }

    #[test]
    fn timestamps_alone_are_padded_as_rfc_7323_recommends() {
        let timestamps = Some(Timestamps { value: 0x0102_0304, echo: 0x0506_0708 });
        let options = TcpOptions { timestamps, ..TcpOptions::default() };
        let bytes = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(written(&options), bytes);
        assert_eq!(TcpOptions::parse(&bytes), Ok(options));
        // The same, in another place, is read on the long way.
        assert_eq!(TcpOptions::parse(&[8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]), Ok(options));
    }

    #[test]
    fn user_timeout_counts_seconds_or_minutes() {
        // RFC 5482 §2: the granularity bit, and 15 bits of time.
        let secs = core::time::Duration::from_secs;
        for (bytes, timeout) in [
            ([28, 4, 0x00, 0x1e], secs(30)),
            ([28, 4, 0x80, 0x1e], secs(1_800)),
            ([28, 4, 0x7f, 0xff], secs(32_767)),
        ] {
            assert_eq!(TcpOptions::parse(&bytes).unwrap().user_timeout.unwrap().duration(), timeout);
        }
        assert_eq!(UserTimeout::new(core::time::Duration::from_millis(1)).duration(), secs(1));
        assert_eq!(UserTimeout::new(secs(32_768)).duration(), secs(32_820));
        assert_eq!(UserTimeout::new(core::time::Duration::MAX).duration(), secs(60 * 32_767));
        assert_eq!(TcpOptions::parse(&[28, 4, 0x80, 0]).unwrap().user_timeout, None);
    }

    #[test]
    fn fast_open_has_two_forms_each_with_a_cookie_or_the_wish_for_one() {
        // RFC 7413 §4.1.1, and its appendix's experimental form.
        let cookie = [1, 2, 3, 4, 5, 6, 7, 8];
        let forms: [(&[u8], FastOpen); 4] = [
            (&[34, 2, 1, 1], FastOpen::request(false)),
            (&[254, 4, 0xf9, 0x89], FastOpen::request(true)),
            (&[34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1], FastOpen::new(&cookie, false).unwrap()),
            (&[254, 12, 0xf9, 0x89, 1, 2, 3, 4, 5, 6, 7, 8], FastOpen::new(&cookie, true).unwrap()),
        ];
        for (bytes, fast_open) in forms {
            let options = TcpOptions { fast_open: Some(fast_open), ..TcpOptions::default() };
            assert_eq!(written(&options), bytes);
            assert_eq!(TcpOptions::parse(bytes), Ok(options));
        }
        // Cookies have 4 to 16 bytes, and an even number of them.
        for bytes in [
            &[34, 4, 1, 2][..],
            &[34, 7, 1, 2, 3, 4, 5],
            &[34, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(TcpOptions::parse(bytes).unwrap().fast_open, None);
        }
    }

    #[test]
    fn three_sack_blocks_fit_beside_timestamps_and_four_without() {
        let alone = TcpOptions { sack: blocks(4), ..TcpOptions::default() };
        assert_eq!(alone.len(), 36);
        assert_eq!(TcpOptions::parse(&written(&alone)), Ok(alone));

        let timestamps = Some(Timestamps { value: 1, echo: 2 });
        let beside = TcpOptions { sack: blocks(4), timestamps, ..TcpOptions::default() };
        assert_eq!(beside.len(), 40);
        let expected = TcpOptions { sack: blocks(3), ..beside };
        assert_eq!(TcpOptions::parse(&written(&beside)), Ok(expected));
        assert!(!blocks(4).push(SackBlock::default()));
    }

    #[test]
    fn unknown_options_are_skipped_and_nothing_counts_after_the_end() {
        // RFC 9293 §3.1: kind 254 is an experiment's, kind 30 is MPTCP's.
        let bytes = [254, 4, 0xe2, 0xd4, 30, 2, 1, 3, 3, 7, 0, 2, 4];
        let options = TcpOptions::parse(&bytes).unwrap();
        assert_eq!(options, TcpOptions { window_scale: Some(7), ..TcpOptions::default() });
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        let wrong: [&[u8]; 12] = [
            &[254, 0],
            &[254, 1],
            &[254, 3],
            &[1, 1, 2],
            &[2, 3, 5],
            &[2, 5, 0, 0, 0],
            &[3, 2],
            &[4, 3, 0],
            &[8, 9, 0, 0, 0, 0, 0, 0, 0],
            &[5, 2],
            &[5, 9, 0, 0, 0, 0, 0, 0, 0],
            &[5; 42],
        ];
        for bytes in wrong {
            assert_eq!(TcpOptions::parse(bytes), Err(Malformed::BadOption), "{bytes:?}");
        }
    }

    #[test]
    fn an_mss_of_zero_counts_as_none() {
        assert_eq!(TcpOptions::parse(&[2, 4, 0, 0]).unwrap().mss, None);
    }

    prop_compose! {
        fn any_options()(
            mss in prop::option::of(1..=u16::MAX), window_scale: Option<u8>, sack_permitted: bool,
            clocks: Option<(u32, u32)>, sack in prop::collection::vec(any::<(u32, u32)>(), 0..=4),
            user_timeout in prop::option::of(1..1_000_000_u64),
            fast_open in prop::option::of((prop::collection::vec(any::<u8>(), 0..=14), any::<bool>())),
        ) -> TcpOptions {
            let timestamps = clocks.map(|(value, echo)| Timestamps { value, echo });
            let sack: SackBlocks =
                sack.into_iter().map(|(left, right)| SackBlock { left, right }).collect();
            let user_timeout =
                user_timeout.map(|secs| UserTimeout::new(core::time::Duration::from_secs(secs)));
            let fast_open = fast_open.filter(|_| user_timeout.is_none() && sack.len == 0);
            let fast_open = fast_open.and_then(|(cookie, experimental)| FastOpen::new(&cookie, experimental));
            TcpOptions { mss, window_scale, sack_permitted, timestamps, sack, user_timeout, fast_open }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(options in any_options()) {
            let bytes = written(&options);
            prop_assert!(bytes.len().is_multiple_of(4) && bytes.len() <= MAX_OPTIONS_LEN);
            let sack = options.sack.as_slice().iter().copied().take(options.sack_room()).collect();
            prop_assert_eq!(TcpOptions::parse(&bytes), Ok(TcpOptions { sack, ..options }));
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = TcpOptions::parse(&bytes);
        }

        #[test]
        fn options_of_any_length_are_answered(bytes in prop::collection::vec(0..12_u8, 0..=40)) {
            if let Ok(options) = TcpOptions::parse(&bytes) {
                prop_assert!(options.len() <= MAX_OPTIONS_LEN);
            }
        }
    }
}
