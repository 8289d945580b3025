//! ICMP for IPv6 (RFC 4443): echoes and errors. Messages of neighbour discovery and of group membership, which
//! travel in the same format, are told apart here and read in [`ndp`](super::ndp) and [`mld`].

use core::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::sum;
use super::ipv6::{self, Ipv6Repr};
use super::mld::{self, MldQuery};
use super::ndp::NdpRepr;
use super::{Malformed, Protocol, Sum};

/// Length of the fixed part of every message in bytes.
pub const HEADER_LEN: usize = size_of::<Header>();

/// An ICMPv6 message. Errors quote the front of the packet that they are about: see [`quote`] and
/// [`Quoted::parse_v6`](super::Quoted::parse_v6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmpv6Repr<'a> {
    /// Are you there?
    EchoRequest {
        /// Which program asks.
        ident: u16,
        /// Which of its questions this is.
        seq: u16,
        /// What shall come back.
        data: &'a [u8],
    },
    /// I am.
    EchoReply {
        /// As in the request.
        ident: u16,
        /// As in the request.
        seq: u16,
        /// As in the request.
        data: &'a [u8],
    },
    /// A packet could not be delivered.
    DestinationUnreachable {
        /// Why.
        reason: Unreachable,
        /// The front of that packet.
        quote: &'a [u8],
    },
    /// A packet is too large for a link on its way.
    PacketTooBig {
        /// The MTU of that link in bytes.
        mtu: u32,
        /// The front of that packet.
        quote: &'a [u8],
    },
    /// A packet took too long.
    TimeExceeded {
        /// Where.
        reason: TimeExceeded,
        /// The front of that packet.
        quote: &'a [u8],
    },
    /// A packet's header made no sense to somebody.
    ParameterProblem {
        /// In what way.
        problem: ParameterProblem,
        /// The offset of the byte that made none.
        pointer: u32,
        /// The front of that packet.
        quote: &'a [u8],
    },
    /// Neighbours and routers find each other.
    Ndp(NdpRepr<'a>),
    /// A router asks who listens to which groups.
    MldQuery(MldQuery<'a>),
    /// Another host tells, in version 1, that it listens to this group.
    MldReport(Ipv6Addr),
}

/// Why a packet could not be delivered (RFC 4443 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// No route leads there.
    NoRoute,
    /// A filter forbids it.
    Prohibited,
    /// The sender's address does not reach as far as the receiver's.
    BeyondScope,
    /// The host does not answer on its link, or another reason that has no code.
    Address,
    /// Nobody listens on the port.
    Port,
    /// Another code (RFC 4443 §3.1: source address policy, a route that rejects; RFC 6550, RFC 8883).
    Other(OtherCode),
}

/// A code of "destination unreachable" that has no name in [`Unreachable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherCode(u8);

/// Where a packet took too long (RFC 4443 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeExceeded {
    /// On its way: its hop limit reached zero.
    InTransit,
    /// At its destination, where parts of it did not arrive.
    Reassembly,
}

/// What in a packet made no sense (RFC 4443 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterProblem {
    /// The value of a field.
    Field,
    /// A protocol or extension header that is not known.
    NextHeader,
    /// An option that is not known.
    Option,
}

impl<'a> Icmpv6Repr<'a> {
    /// Reads an ICMPv6 message, given as the whole of what a packet with the header `ip` carries.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::BadChecksum`]; what [`NdpRepr::parse`] and [`MldQuery::parse`]
    /// return; [`Malformed::Unsupported`] for other messages. RFC 4443 §2.4 (b): those that inform are dropped
    /// silently; (a): errors would have to be passed to the upper layer, which none of ours would understand.
    #[inline]
    pub fn parse(ip: &Ipv6Repr, message: &'a [u8]) -> Result<Self, Malformed> {
        let (header, rest) = Header::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
        // RFC 4443 §2.3: the checksum covers the pseudo-header too, and is not optional.
        let pseudo = Sum::pseudo_v6(ip.src, ip.dst, Protocol::ICMPV6, message.len());
        if pseudo.add(sum(message)).finish() != 0 {
            return Err(Malformed::BadChecksum);
        }
        let (ident, seq) = ((header.word.get() >> 16) as u16, header.word.get() as u16);
        match (header.kind, header.code) {
            (ECHO_REQUEST, 0) => Ok(Self::EchoRequest { ident, seq, data: rest }),
            (ECHO_REPLY, 0) => Ok(Self::EchoReply { ident, seq, data: rest }),
            (DESTINATION_UNREACHABLE, code) => {
                Ok(Self::DestinationUnreachable { reason: Unreachable::from_code(code), quote: rest })
            }
            // RFC 4443 §3.2: its code is ignored.
            (PACKET_TOO_BIG, _) => Ok(Self::PacketTooBig { mtu: header.word.get(), quote: rest }),
            (TIME_EXCEEDED, 0) => Ok(Self::TimeExceeded { reason: TimeExceeded::InTransit, quote: rest }),
            (TIME_EXCEEDED, 1) => Ok(Self::TimeExceeded { reason: TimeExceeded::Reassembly, quote: rest }),
            (PARAMETER_PROBLEM, code) => {
                let problem = ParameterProblem::from_code(code).ok_or(Malformed::Unsupported)?;
                Ok(Self::ParameterProblem { problem, pointer: header.word.get(), quote: rest })
            }
            (MldQuery::KIND, _) => MldQuery::parse(ip, message).map(Self::MldQuery),
            (mld::OLD_REPORT, _) => mld::parse_old_report(ip, message).map(Self::MldReport),
            (NdpRepr::FIRST_KIND..=NdpRepr::LAST_KIND, _) => NdpRepr::parse(ip, message).map(Self::Ndp),
            _ => Err(Malformed::Unsupported),
        }
    }

    /// Bytes that [`emit`](Self::emit) writes; none for a query, which a host does not send.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a message is never without its header")]
    pub const fn len(&self) -> usize {
        match self {
            Self::Ndp(ndp) => ndp.len(),
            Self::MldQuery(_) | Self::MldReport(_) => 0,
            _ => HEADER_LEN + self.data().len(),
        }
    }

    /// Writes the message with its checksum to the front of `out`, for a packet whose pseudo-header has the sum
    /// `pseudo`.
    ///
    /// # Panics
    /// If `out` is shorter than [`len`](Self::len).
    #[inline]
    pub fn emit(&self, pseudo: Sum, out: &mut [u8]) {
        let (kind, code, word) = match *self {
            Self::EchoRequest { ident, seq, .. } => (ECHO_REQUEST, 0, pair(ident, seq)),
            Self::EchoReply { ident, seq, .. } => (ECHO_REPLY, 0, pair(ident, seq)),
            Self::DestinationUnreachable { reason, .. } => (DESTINATION_UNREACHABLE, reason.code(), 0),
            Self::PacketTooBig { mtu, .. } => (PACKET_TOO_BIG, 0, mtu),
            Self::TimeExceeded { reason: TimeExceeded::InTransit, .. } => (TIME_EXCEEDED, 0, 0),
            Self::TimeExceeded { reason: TimeExceeded::Reassembly, .. } => (TIME_EXCEEDED, 1, 0),
            Self::ParameterProblem { problem, pointer, .. } => (PARAMETER_PROBLEM, problem.code(), pointer),
            Self::Ndp(ndp) => {
                ndp.emit(out);
                return fill_checksum(&mut out[..ndp.len()], pseudo);
            }
            Self::MldQuery(_) | Self::MldReport(_) => return,
        };
        let (front, rest) = out.split_at_mut(HEADER_LEN);
        let header = Header { kind, code, checksum: 0.into(), word: word.into() };
        header.write_to(front).expect("the front has the header's size");
        self.data().write_to_prefix(rest).expect("room for the data");
        fill_checksum(&mut out[..HEADER_LEN + self.data().len()], pseudo);
    }

    const fn data(&self) -> &'a [u8] {
        match *self {
            Self::EchoReply { data, .. } | Self::EchoRequest { data, .. } => data,
            Self::DestinationUnreachable { quote, .. }
            | Self::PacketTooBig { quote, .. }
            | Self::TimeExceeded { quote, .. }
            | Self::ParameterProblem { quote, .. } => quote,
            Self::Ndp(_) | Self::MldQuery(_) | Self::MldReport(_) => &[],
        }
    }
}

impl Unreachable {
    const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::NoRoute,
            1 => Self::Prohibited,
            2 => Self::BeyondScope,
            3 => Self::Address,
            4 => Self::Port,
            code => Self::Other(OtherCode(code)),
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::NoRoute => 0,
            Self::Prohibited => 1,
            Self::BeyondScope => 2,
            Self::Address => 3,
            Self::Port => 4,
            Self::Other(OtherCode(code)) => code,
        }
    }
}

impl ParameterProblem {
    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Field),
            1 => Some(Self::NextHeader),
            2 => Some(Self::Option),
            _ => None,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Field => 0,
            Self::NextHeader => 1,
            Self::Option => 2,
        }
    }
}

/// Writes the header of an echo request to the front of `message`, whose data stands behind it already, for a
/// packet whose pseudo-header has the sum `pseudo`.
///
/// # Panics
/// If `message` is shorter than [`HEADER_LEN`].
pub fn emit_echo_request(ident: u16, seq: u16, message: &mut [u8], pseudo: Sum) {
    let (front, data) = message.split_at_mut(HEADER_LEN);
    let word = pair(ident, seq).into();
    let mut header = Header { kind: ECHO_REQUEST, code: 0, checksum: 0.into(), word };
    header.checksum = pseudo.add(sum(header.as_bytes())).add(sum(data)).finish().into();
    header.write_to(front).expect("the front has the header's size");
}

/// Computes the checksum of `message` and writes it to its place. `pseudo` is the sum of the pseudo-header; the
/// place must hold zero.
///
/// # Panics
/// If `message` is shorter than 4 bytes.
pub fn fill_checksum(message: &mut [u8], pseudo: Sum) {
    let checksum = pseudo.add(sum(message)).finish();
    message[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// What an error quotes of the packet that it is about: as much as fits into a packet that every link carries
/// (RFC 4443 §2.4 (c)).
#[must_use]
pub fn quote(packet: &[u8]) -> &[u8] {
    packet.get(..ipv6::MIN_MTU - ipv6::HEADER_LEN - HEADER_LEN).unwrap_or(packet)
}

/// Whether a packet carries an ICMPv6 error, or what is not known to be none: it must not be answered with an error
/// (RFC 4443 §2.4 (e)).
#[must_use]
pub fn is_about_an_error(packet: &[u8]) -> bool {
    let Ok((header, _)) = ipv6::Header::ref_from_prefix(packet) else { return true };
    let next_header = Protocol(header.next_header);
    match ipv6::extensions::walk(next_header, packet) {
        Ok(upper) => upper.protocol == Protocol::ICMPV6 && is_error(upper.payload),
        Err(_) => true,
    }
}

/// Whether an ICMPv6 message is an error: the highest bit of its kind is not set (RFC 4443 §2.1).
#[must_use]
pub fn is_error(message: &[u8]) -> bool {
    message.first().is_some_and(|kind| kind & 0x80 == 0)
}

const DESTINATION_UNREACHABLE: u8 = 1;
const PACKET_TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
const PARAMETER_PROBLEM: u8 = 4;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;

/// Where every message has its checksum, in bytes.
const CHECKSUM_OFFSET: usize = 2;

/// Two halves of the word whose meaning depends on the message.
const fn pair(high: u16, low: u16) -> u32 {
    (high as u32) << 16 | low as u32
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    kind: u8,
    code: u8,
    checksum: U16,
    /// What it means depends on the message.
    word: U32,
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Quoted, QuotedTransport};

    const A: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
    const B: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
    /// `ping -6 -s 8 fd00::2` on fd00::1, from Linux.
    const PING: [u8; 16] = [0x80, 0x00, 0x08, 0x82, 0x71, 0x1d, 0, 1, 0, 1, 2, 3, 4, 5, 6, 7];
    /// "Port unreachable" from Linux on fd00::2, after a datagram from fd00::1, port 40000 to port 5353.
    const PORT_UNREACHABLE: [u8; 61] = [
        0x01, 0x04, 0x1e, 0x1c, 0, 0, 0, 0, //
        0x60, 0x00, 0x75, 0x34, 0x00, 0x0d, 0x11, 0x40, //
        0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, //
        0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
        0x9c, 0x40, 0x14, 0xe9, 0x00, 0x0d, 0x10, 0xd4, b'h', b'e', b'l', b'l', b'o',
    ];

    fn between(src: Ipv6Addr, dst: Ipv6Addr) -> Ipv6Repr {
        Ipv6Repr {
            src,
            dst,
            next_header: Protocol::ICMPV6,
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            payload_len: 0,
        }
    }

    fn pseudo(src: Ipv6Addr, dst: Ipv6Addr, len: usize) -> Sum {
        Sum::pseudo_v6(src, dst, Protocol::ICMPV6, len)
    }

    fn written(repr: Icmpv6Repr<'_>) -> Vec<u8> {
        let mut out = alloc::vec![0xaa; repr.len()];
        repr.emit(pseudo(A, B, out.len()), &mut out);
        out
    }

    #[test]
    fn reads_and_writes_a_ping_from_linux() {
        let repr = Icmpv6Repr::EchoRequest { ident: 0x711d, seq: 1, data: &[0, 1, 2, 3, 4, 5, 6, 7] };
        assert_eq!(Icmpv6Repr::parse(&between(A, B), &PING), Ok(repr));
        assert_eq!(written(repr), PING);
        let mut in_place = PING;
        in_place[..8].fill(0xaa);
        emit_echo_request(0x711d, 1, &mut in_place, pseudo(A, B, 16));
        assert_eq!(in_place, PING);
    }

    #[test]
    fn reads_and_writes_an_error_from_linux_and_finds_the_socket() {
        let repr = Icmpv6Repr::parse(&between(B, A), &PORT_UNREACHABLE).unwrap();
        let quote = &PORT_UNREACHABLE[8..];
        assert_eq!(repr, Icmpv6Repr::DestinationUnreachable { reason: Unreachable::Port, quote });
        assert!(is_error(&PORT_UNREACHABLE) && !is_error(&PING));
        let mut out = [0; 61];
        repr.emit(pseudo(B, A, 61), &mut out);
        assert_eq!(out, PORT_UNREACHABLE);
        let quoted = Quoted::parse_v6(quote).unwrap();
        assert_eq!((quoted.src, quoted.dst, quoted.len), (A.into(), B.into(), 53));
        assert_eq!(quoted.transport, QuotedTransport::Udp { src_port: 40_000, dst_port: 5353 });
    }

    #[test]
    fn rfc_4443_section_2_3_the_checksum_covers_the_addresses() {
        let mut ping = PING;
        ping[9] ^= 1;
        assert_eq!(Icmpv6Repr::parse(&between(A, B), &ping), Err(Malformed::BadChecksum));
        assert_eq!(Icmpv6Repr::parse(&between(A, A), &PING), Err(Malformed::BadChecksum));
        let mut without = PING;
        without[2..4].fill(0);
        assert_eq!(Icmpv6Repr::parse(&between(A, B), &without), Err(Malformed::BadChecksum));
    }

    #[test]
    fn short_and_unknown_messages_are_refused() {
        assert_eq!(Icmpv6Repr::parse(&between(A, B), &PING[..7]), Err(Malformed::Truncated));
        for kind in [100, 132, 143, 200] {
            let mut message = [kind, 0, 0, 0, 0, 0, 0, 0];
            fill_checksum(&mut message, pseudo(A, B, 8));
            assert_eq!(Icmpv6Repr::parse(&between(A, B), &message), Err(Malformed::Unsupported), "{kind}");
        }
    }

    #[test]
    fn a_quote_fits_into_the_least_mtu() {
        let packet = [0; 1500];
        let message = written(Icmpv6Repr::PacketTooBig { mtu: 1400, quote: quote(&packet) });
        assert_eq!(message.len() + 40, 1280);
        // RFC 4443 §3.2: type 2, code 0, and the MTU in the second word.
        assert_eq!(message[..2], [2, 0]);
        assert_eq!(message[4..8], [0, 0, 0x05, 0x78]);
        assert_eq!(quote(&packet[..100]).len(), 100);
    }

    #[test]
    fn quotes_that_name_no_socket_are_refused() {
        let quote = &PORT_UNREACHABLE[8..];
        assert_eq!(Quoted::parse_v6(&quote[..39]), Err(Malformed::Truncated));
        assert_eq!(Quoted::parse_v6(&quote[..47]), Err(Malformed::Truncated));
        let mut ipv4 = Vec::from(quote);
        ipv4[0] = 0x45;
        assert_eq!(Quoted::parse_v6(&ipv4), Err(Malformed::BadVersion));
        let mut later_part = Vec::from(quote);
        later_part[6] = 44;
        later_part[40..48].copy_from_slice(&[17, 0, 0x05, 0xa8, 0, 0, 0, 1]);
        assert_eq!(Quoted::parse_v6(&later_part), Err(Malformed::Unsupported));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            kind in 0..6, word: u32, code: u8, data in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let data = data.as_slice();
            let (ident, seq) = ((word >> 16) as u16, word as u16);
            let repr = match kind {
                0 => Icmpv6Repr::EchoRequest { ident, seq, data },
                1 => Icmpv6Repr::EchoReply { ident, seq, data },
                2 => {
                    let reason = Unreachable::from_code(code);
                    Icmpv6Repr::DestinationUnreachable { reason, quote: data }
                }
                3 => Icmpv6Repr::PacketTooBig { mtu: word, quote: data },
                4 => {
                    let in_transit = code.is_multiple_of(2);
                    let reason = if in_transit { TimeExceeded::InTransit } else { TimeExceeded::Reassembly };
                    Icmpv6Repr::TimeExceeded { reason, quote: data }
                }
                _ => {
                    let problem = ParameterProblem::from_code(code % 3).unwrap();
                    Icmpv6Repr::ParameterProblem { problem, pointer: word, quote: data }
                }
            };
            let message = written(repr);
            prop_assert_eq!(Icmpv6Repr::parse(&between(A, B), &message), Ok(repr));
        }

        #[test]
        fn any_bytes_are_answered(
            mut bytes in prop::collection::vec(any::<u8>(), 0..120),
            kind in prop::sample::select(alloc::vec![1_u8, 4, 129, 130, 133, 134, 135, 136, 137]),
        ) {
            let ip = Ipv6Repr { hop_limit: 255, ..between(A, B) };
            let _ = Icmpv6Repr::parse(&ip, &bytes);
            let _ = Quoted::parse_v6(&bytes);
            if bytes.len() >= 4 {
                (bytes[0], bytes[1]) = (kind, 0);
                bytes[2..4].fill(0);
                let pseudo = pseudo(A, B, bytes.len());
                fill_checksum(&mut bytes, pseudo);
                prop_assert_ne!(Icmpv6Repr::parse(&ip, &bytes), Err(Malformed::BadChecksum));
            }
        }
    }
}
