//! What a fuzzer writes: a stack's configuration, and what befalls it one after the other.

use arbitrary::Arbitrary;

/// A run.
#[derive(Arbitrary, Debug)]
pub struct Script {
    /// How the stack is set up.
    pub setup: Setup,
    /// What happens.
    pub steps: Vec<Step>,
}

/// A choice of configurations.
#[derive(Arbitrary, Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the configuration's own names")]
pub struct Setup {
    pub seed: u8,
    /// Some connections are there from the beginning.
    pub connected: bool,
    pub timestamps: bool,
    pub window_scaling: bool,
    pub nagle: bool,
    pub keepalive: bool,
    pub offloads: bool,
    pub large_buffers: bool,
    /// Few packet buffers, so that the device runs out of them.
    pub scarce: bool,
}

/// Something that happens.
#[derive(Arbitrary, Debug)]
pub enum Step {
    /// Time passes.
    Wait {
        /// How long.
        millis: u16,
        /// A thousand times as long.
        long: bool,
    },
    /// Time passes until the stack's next timer.
    Timer,
    /// A frame arrives, just as it is.
    Frame(Vec<u8>),
    /// An IPv4 packet arrives with its checksums in order.
    Packet {
        /// Of the header.
        protocol: u8,
        /// What it carries.
        payload: Vec<u8>,
    },
    /// A segment arrives that has to do with a connection.
    Segment(Segment),
    /// A datagram arrives.
    Datagram {
        /// From somebody whom the stack has to ask for.
        stranger: bool,
        /// To a port where nobody listens.
        closed: bool,
        /// Bytes of payload.
        len: u16,
    },
    /// Somebody tells his Ethernet address, or asks for ours.
    Arp {
        /// A reply.
        reply: bool,
        /// The last byte of the sender's IP address.
        sender: u8,
        /// The sender's Ethernet address.
        mac: [u8; 6],
        /// To us.
        to_us: bool,
    },
    /// An error arrives about a frame that the stack has sent.
    Error {
        /// The ICMP type is "destination unreachable" and this its code.
        code: u8,
        /// Which frame, counted back from the last.
        about: u8,
    },
    /// A frame that the stack has sent comes back, turned round and changed.
    Echo {
        /// Which one, counted back from the last.
        which: u8,
        /// Where and to what bytes are changed.
        edits: Vec<(u8, u8)>,
        /// The checksums are put right afterwards.
        repair: bool,
    },
    /// The user does something.
    Call {
        /// With which of its sockets.
        socket: u8,
        /// What.
        call: Call,
    },
    /// The device takes only so many frames from now on; all of them again where `None`.
    Device(Option<u8>),
}

/// A segment of a connection. Its numbers are counted from what would be right.
#[derive(Arbitrary, Debug)]
#[expect(missing_docs, reason = "the header's own names")]
pub struct Segment {
    pub flow: u8,
    pub flags: Flags,
    pub seq: Distance,
    pub ack: Distance,
    pub window: u16,
    pub options: Options,
    pub len: u16,
    /// The device has joined segments of this size.
    pub joined: Option<u16>,
    pub urgent: u16,
}

/// How far a number is from the right one.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Distance {
    /// It is right.
    None,
    /// As far as segments are from each other.
    Near(i16),
    /// Anywhere.
    Far(u32),
}

impl Distance {
    /// The number, where `right` would be right.
    pub fn from(self, right: u32) -> u32 {
        match self {
            Self::None => right,
            Self::Near(by) => right.wrapping_add_signed(by.into()),
            Self::Far(by) => right.wrapping_add(by),
        }
    }
}

/// Flags of a segment: those that make sense, and any.
#[derive(Arbitrary, Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the flags' own names")]
pub enum Flags {
    Ack,
    Push,
    Syn,
    SynAck,
    Fin,
    Reset,
    Any(u8),
}

/// Options of a segment.
#[derive(Arbitrary, Debug)]
pub enum Options {
    /// None at all.
    None,
    /// Timestamps, this many milliseconds ahead of the clock.
    Timestamps(i16),
    /// What a SYN has.
    Syn {
        /// The largest segment.
        mss: u16,
        /// The window's shift.
        shift: u8,
        /// Timestamps too.
        timestamps: bool,
    },
    /// Any bytes.
    Any(Vec<u8>),
}

/// What a user does with a socket.
#[derive(Arbitrary, Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the calls' own names")]
pub enum Call {
    Accept,
    Connect { stranger: bool },
    Send(u16),
    Receive(u16),
    Peek(u16),
    Shutdown,
    Close,
    Abort,
    NoDelay(bool),
    KeepAlive(bool),
    SendTo { stranger: bool, len: u16 },
    ReceiveFrom(u16),
    Ping { stranger: bool, len: u16 },
    TakeError,
}
