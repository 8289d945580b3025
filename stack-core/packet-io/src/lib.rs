//! The one boundary between netlane's stack and whatever moves packets.
//!
//! A backend (AF_XDP, DPDK, netmap, PF_RING, TAP, memory, or one of your own) implements [`PacketIo`] for a
//! single NIC queue, with its own kind of [`PacketBuf`]. The stack is generic over it and never learns which
//! one it drives.
//!
//! Three rules hold everywhere:
//!
//! - **Owned buffers.** A buffer belongs to whoever holds it. Dropping it gives it back to its pool.
//! - **Bursts.** Packets move in [`Batch`]es of up to [`BURST`], so that a crossing is paid once a burst.
//! - **Nothing blocks.** No call waits, and no call fails because a ring is full: what could not be taken
//!   stays with the caller.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

use arrayvec::ArrayVec;

/// The most packets that one call moves.
pub const BURST: usize = 32;

/// A burst of packets on their way across the boundary.
pub type Batch<B> = ArrayVec<B, BURST>;

/// The link below is gone for good: the device was removed, or its driver reported an error that no retry
/// mends. A lane that sees it stops using this `PacketIo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkDown;

impl core::fmt::Display for LinkDown {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the link is down: its device was removed or failed")
    }
}

impl core::error::Error for LinkDown {}

/// One NIC queue, driven by one core.
pub trait PacketIo {
    /// A packet buffer of this backend: an mbuf, a UMEM frame, a netmap slot, pooled bytes.
    type Buf: PacketBuf;

    /// What the device can do. Fixed for the lifetime of the `PacketIo`.
    fn caps(&self) -> &Caps;

    /// Appends frames that have arrived to `out`, as many as wait and as fit.
    ///
    /// # Errors
    /// [`LinkDown`] when no frame will ever arrive again.
    fn rx_burst(&mut self, out: &mut Batch<Self::Buf>) -> Result<(), LinkDown>;

    /// An empty buffer (no bytes, full headroom, nothing asked of the device) to build a frame in, or `None` when the pool is used up.
    /// That is back-pressure and not an error: buffers come back as frames leave and readers catch up.
    fn alloc(&mut self) -> Option<Self::Buf>;

    /// Sends the frames of `batch` from its front, in order. Those that the device accepted are removed, and
    /// those that it refused stay in the batch, to be offered again.
    ///
    /// # Errors
    /// [`LinkDown`] when no frame will ever be sent again.
    fn tx_burst(&mut self, batch: &mut Batch<Self::Buf>) -> Result<(), LinkDown>;
}

/// A frame, from its Ethernet header on, in memory that its holder owns.
///
/// The bytes stand in a larger space with headroom before them and tailroom after them.
pub trait PacketBuf {
    /// The frame's bytes.
    fn bytes(&self) -> &[u8];

    /// The frame's bytes, to change.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Grows the frame by `n` bytes at its front and lends them, their contents undefined; `None` when the
    /// headroom is smaller than that.
    fn prepend(&mut self, n: usize) -> Option<&mut [u8]>;

    /// Grows the frame by `n` bytes at its end and lends them, their contents undefined; `None` when the
    /// tailroom is smaller than that.
    fn append(&mut self, n: usize) -> Option<&mut [u8]>;

    /// Drops `n` bytes from the front, at most all of them. They become headroom.
    fn trim_front(&mut self, n: usize);

    /// What the device found out about this frame when it received it.
    fn rx_offload(&self) -> RxOffload;

    /// What the device shall do to this frame when it sends it. Ask only for what [`Caps`] offers.
    fn set_tx_offload(&mut self, offload: TxOffload);
}

/// What a device can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The interface's Ethernet address.
    pub mac: [u8; 6],
    /// The largest IP packet that the link carries, in bytes, without the Ethernet header.
    pub mtu: usize,
    /// The device fills in TCP and UDP checksums ([`TxOffload::checksum`]).
    pub tx_checksum: bool,
    /// The device cuts TCP over IPv4 into segments ([`TxOffload::segmentation`]).
    pub tso_v4: bool,
    /// The device cuts TCP over IPv6 into segments.
    pub tso_v6: bool,
    /// The device cuts UDP over either version into datagrams of equal size.
    pub uso: bool,
    /// The most bytes of a frame that asks for segmentation, Ethernet header included; at least the MTU and
    /// its Ethernet header where the device segments nothing.
    pub max_frame: usize,
}

impl Caps {
    /// A plain Ethernet device without any offload.
    #[must_use]
    pub const fn plain(mac: [u8; 6], mtu: usize) -> Self {
        // 14 bytes of Ethernet header and 4 of an 802.1Q tag.
        Self { mac, mtu, tx_checksum: false, tso_v4: false, tso_v6: false, uso: false, max_frame: mtu + 18 }
    }
}

/// What a device knows of the transport checksum of a frame that it received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RxChecksum {
    /// Nobody looked: the stack verifies it.
    #[default]
    Unknown,
    /// The device verified it, or the frame never left this machine and has none filled in yet.
    Good,
    /// The device verified it and it is wrong.
    Bad,
}

/// What a device found out about a frame that it received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxOffload {
    /// What is known of the TCP or UDP checksum.
    pub checksum: RxChecksum,
    /// Where the device joined several segments or datagrams into this frame (LRO, GRO): the payload bytes of each
    /// but the last. Zero where it joined none.
    pub segment_size: u16,
}

/// What a device shall do to a frame when it sends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxOffload {
    /// The checksum to fill in.
    pub checksum: Option<TxChecksum>,
    /// How to cut the frame into segments. Asks for `checksum` as well.
    pub segmentation: Option<Segmentation>,
}

/// A checksum for the device to fill in: the Internet checksum (RFC 1071) over all bytes from `start` to the
/// frame's end, written at `start + offset`, where the sum of the pseudo-header already stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxChecksum {
    /// The first byte to sum, counted from the frame's first byte.
    pub start: u16,
    /// Where the checksum goes, counted from `start`.
    pub offset: u16,
}

/// How the device shall cut one large frame into TCP segments or UDP datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// The protocol that is cut.
    pub transport: Transport,
    /// The Internet protocol that carries it.
    pub ip: IpVersion,
    /// Bytes of all headers, Ethernet included, which each segment repeats.
    pub header_len: u16,
    /// Payload bytes of each segment; the last may have fewer.
    pub segment_size: u16,
}

/// A protocol that devices cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A version of the Internet protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}
