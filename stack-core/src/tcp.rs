//! TCP (RFC 9293), split by what it does.
//!
//! A connection is a [`Connection`]: who it joins, and one of a few [`State`]s, each a struct that holds only
//! what that state has. A segment, a timer or a call is given to the state, and the answer is a [`Decision`]:
//! a value that says which state comes next, what to answer and what to tell the user. The stack carries
//! decisions out, in one place.
//!
//! | file | what it decides |
//! |---|---|
//! | `handshake` | SYN-SENT, SYN-RECEIVED, and what their options agree on |
//! | `listener`, `syn_cache`, `syn_cookie` | connections that peers open, until they are accepted |
//! | `synchronized` | ESTABLISHED to LAST-ACK: which segments count, and what they acknowledge |
//! | `prediction` | the same for the segment that was to be expected next, in fewer steps |
//! | `time_wait`, `reset` | the states after, and the answer to segments of no connection |
//! | `send`, `receive`, `reassembly` | the two sequence spaces |
//! | `tuning` | how much may wait to be read |
//! | `path_mtu` | how large segments may be on a path that carries less than the link |
//! | `output` | what a connection sends next |
//! | `flight` | what is in flight, and all that is needed only while something is |
//! | `scoreboard`, `recovery`, `rack`, `tail_loss_probe`, `spurious` | what has arrived and what was lost |
//! | `congestion`, `prr`, `rate_sample`, `pacing`, `ecn` | how much may be in flight, and how fast it leaves |
//! | `rtt`, `timers` | when to do something without being told |

use core::hash::{Hash, Hasher};
use core::net::SocketAddr;

pub(crate) use seq::SeqNumber;

pub(crate) mod congestion;
pub(crate) mod connection;
pub(crate) mod ecn;
mod expected_ack;
pub(crate) mod express;
pub(crate) mod fast_open;
pub(crate) mod flight;
pub(crate) mod handshake;
pub(crate) mod info;
pub(crate) mod isn;
pub(crate) mod listener;
pub(crate) mod output;
pub(crate) mod pacing;
pub(crate) mod path_mtu;
pub(crate) mod prediction;
pub(crate) mod prr;
pub(crate) mod rack;
pub(crate) mod rate_sample;
pub(crate) mod reassembly;
pub(crate) mod receive;
pub(crate) mod recovery;
pub(crate) mod reset;
pub(crate) mod rtt;
pub(crate) mod scoreboard;
pub(crate) mod send;
pub(crate) mod seq;
pub(crate) mod spurious;
pub(crate) mod syn_cache;
pub(crate) mod syn_cookie;
pub(crate) mod synchronized;
pub(crate) mod tail_loss_probe;
pub(crate) mod time_wait;
mod timeouts;
pub(crate) mod timers;
pub(crate) mod timestamps;
pub(crate) mod tuning;
pub(crate) mod user_timeout;

use crate::address::Address;
use crate::buffers::Buffers;
use crate::config::{Limits, TcpConfig};
use crate::counters::Counters;
use crate::rate_limit::VagueLimit;
use crate::socket::{Readiness, SocketError, SocketId};
use crate::time::Instant;
use crate::wire::tcp::TcpFlags;
use crate::wire::tcp_options::TcpOptions;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) port: u16,
}

impl Endpoint {
    pub(crate) const fn new(address: Address, port: u16) -> Self {
        Self { address, port }
    }

    pub(crate) const fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The same port of all our addresses.
    pub(crate) const fn anywhere(self) -> Self {
        Self { address: self.address.anywhere(), ..self }
    }

    pub(crate) fn socket_addr(self) -> SocketAddr {
        SocketAddr::new(self.address.into(), self.port)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self::new(addr.ip().into(), addr.port())
    }
}

/// Both ends of a connection: its name on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FourTuple {
    pub(crate) local: Endpoint,
    pub(crate) remote: Endpoint,
}

/// In as few words as possible, since every segment pays for it. Ends of different families may collide: they are
/// still told apart by comparison.
impl Hash for FourTuple {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { local, remote } = self;
        match (local.address.as_v4(), remote.address.as_v4()) {
            (Some(local), Some(remote)) => {
                state.write_u64(u64::from(local.to_bits()) << 32 | u64::from(remote.to_bits()));
            }
            _ => (local.address, remote.address).hash(state),
        }
        state.write_u32(u32::from(local.port) << 16 | u32::from(remote.port));
    }
}

/// A segment that arrived, its checksum verified and its options parsed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) seq: SeqNumber,
    /// Meaningful where `flags` has ACK.
    pub(crate) ack: SeqNumber,
    pub(crate) flags: TcpFlags,
    /// As in the header: not scaled.
    pub(crate) window: u16,
    pub(crate) options: &'a TcpOptions,
    pub(crate) payload: &'a [u8],
    /// Segments on the wire that the device joined into this one.
    pub(crate) joined: u32,
    /// It met congestion on its way (RFC 3168 §5).
    pub(crate) ce: bool,
}

impl Segment<'_> {
    /// Places that the segment takes in the sequence space (RFC 9293 §3.4): SYN and FIN count.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.payload.len() as u32
            + u32::from(self.flags.contains(TcpFlags::SYN))
            + u32::from(self.flags.contains(TcpFlags::FIN))
    }
}

/// What a connection needs of the stack around it while it decides.
pub(crate) struct Context<'a, B: Buffers> {
    /// The connection's own name.
    pub(crate) socket: SocketId,
    pub(crate) now: Instant,
    pub(crate) config: &'a TcpConfig,
    pub(crate) limits: &'a Limits,
    pub(crate) buffers: &'a mut B,
    pub(crate) counters: &'a mut Counters,
    /// Bounds the answers to segments that may be forged (RFC 5961 §7).
    pub(crate) challenges: &'a mut VagueLimit,
}

/// What a segment, a timer or a call leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Decision {
    pub(crate) next: Next,
    pub(crate) answer: Answer,
    pub(crate) ready: Readiness,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It remains in its state.
    Stay,
    /// The handshake that we began is complete.
    Synchronized,
    /// Both ends tried to open at once: from SYN-SENT to SYN-RECEIVED.
    SynReceived,
    /// The peer has acknowledged the SYN-ACK of a connection that was opened before (RFC 7413).
    Confirmed,
    /// To TIME-WAIT.
    TimeWait,
    /// It is over, for a reason that the user is told where there is one.
    Closed(Option<SocketError>),
    /// A new connection between the same ends may begin: this one is forgotten, and the segment looked at
    /// once more. Its own sequence numbers ended before `snd_nxt`.
    Reopen { snd_nxt: SeqNumber },
}

/// What the peer is told at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing.
    Nothing,
    /// Whatever the connection now has to send, an acknowledgement perhaps.
    Output,
    /// A reset with this sequence number, and this acknowledgement where there is one.
    Reset { seq: SeqNumber, ack: Option<SeqNumber> },
}

impl Decision {
    /// Nothing changes, nothing is said.
    pub(crate) const IGNORE: Self =
        Self { next: Next::Stay, answer: Answer::Nothing, ready: Readiness::empty() };

    /// The connection has something to send.
    pub(crate) const OUTPUT: Self =
        Self { next: Next::Stay, answer: Answer::Output, ready: Readiness::empty() };

    /// The connection is over.
    pub(crate) const fn closed(error: Option<SocketError>) -> Self {
        Self { next: Next::Closed(error), answer: Answer::Nothing, ready: Readiness::empty() }
    }

    /// The segment is answered with a reset (see [`reset`]), and nothing else happens.
    pub(crate) fn reset(segment: &Segment<'_>) -> Self {
        let (seq, ack) = reset::answer(segment);
        Self { next: Next::Stay, answer: Answer::Reset { seq, ack }, ready: Readiness::empty() }
    }
}
