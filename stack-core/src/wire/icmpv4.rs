//! ICMP for IPv4 (RFC 792).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::sum;
use super::{Malformed, Protocol, ipv4};

/// Length of the fixed part of every message in bytes.
pub const HEADER_LEN: usize = size_of::<Header>();

/// An ICMP message. Errors quote the front of the packet that they are about: see [`quote`] and
/// [`Quoted::parse_v4`](super::Quoted::parse_v4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmpv4Repr<'a> {
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
    /// A packet took too long.
    TimeExceeded {
        /// Where.
        reason: TimeExceeded,
        /// The front of that packet.
        quote: &'a [u8],
    },
    /// A packet's header made no sense to somebody.
    ParameterProblem {
        /// The offset of the byte that made none.
        pointer: u8,
        /// The front of that packet.
        quote: &'a [u8],
    },
}

/// Why a packet could not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// No route to the network.
    Network,
    /// The host does not answer on its link.
    Host,
    /// The host does not speak the protocol.
    Protocol,
    /// Nobody listens on the port.
    Port,
    /// The packet is too large for the next link and must not be cut.
    FragmentationNeeded {
        /// The MTU of that link in bytes (RFC 1191 §4); 0 from routers older than that.
        mtu: u16,
    },
    /// A source route led nowhere.
    SourceRouteFailed,
    /// A filter forbids it (codes 9, 10 and 13; RFC 1812 §5.2.7.1).
    Prohibited,
    /// Another code (RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1).
    Other(OtherCode),
}

/// A code of "destination unreachable" that has no name in [`Unreachable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherCode(u8);

/// Where a packet took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeExceeded {
    /// On its way: its time to live reached zero.
    InTransit,
    /// At its destination, where parts of it did not arrive.
    Reassembly,
}

impl<'a> Icmpv4Repr<'a> {
    /// Reads an ICMP message, given as the whole payload of an IPv4 packet.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::BadChecksum`]; [`Malformed::Unsupported`] for other messages,
    /// which a host silently discards (RFC 1122 §3.2.2).
    #[inline]
    pub fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let (header, rest) = Header::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
        if sum(message).finish() != 0 {
            return Err(Malformed::BadChecksum);
        }
        let [high, low] = [header.high.get(), header.low.get()];
        match (header.kind, header.code) {
            (ECHO_REPLY, 0) => Ok(Self::EchoReply { ident: high, seq: low, data: rest }),
            (ECHO_REQUEST, 0) => Ok(Self::EchoRequest { ident: high, seq: low, data: rest }),
            (DESTINATION_UNREACHABLE, code) => {
                Ok(Self::DestinationUnreachable { reason: Unreachable::from_code(code, low), quote: rest })
            }
            (TIME_EXCEEDED, 0) => Ok(Self::TimeExceeded { reason: TimeExceeded::InTransit, quote: rest }),
            (TIME_EXCEEDED, 1) => Ok(Self::TimeExceeded { reason: TimeExceeded::Reassembly, quote: rest }),
            (PARAMETER_PROBLEM, _) => Ok(Self::ParameterProblem { pointer: (high >> 8) as u8, quote: rest }),
            _ => Err(Malformed::Unsupported),
        }
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        HEADER_LEN + self.data().len()
    }

    /// Whether the message has no byte; never.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Writes the message with its checksum to the front of `out`.
    ///
    /// # Panics
    /// If `out` is shorter than [`len`](Self::len).
    #[inline]
    pub fn emit(&self, out: &mut [u8]) {
        let (kind, code, high, low) = match *self {
            Self::EchoReply { ident, seq, .. } => (ECHO_REPLY, 0, ident, seq),
            Self::EchoRequest { ident, seq, .. } => (ECHO_REQUEST, 0, ident, seq),
            Self::DestinationUnreachable { reason, .. } => {
                (DESTINATION_UNREACHABLE, reason.code(), 0, reason.next_hop_mtu())
            }
            Self::TimeExceeded { reason: TimeExceeded::InTransit, .. } => (TIME_EXCEEDED, 0, 0, 0),
            Self::TimeExceeded { reason: TimeExceeded::Reassembly, .. } => (TIME_EXCEEDED, 1, 0, 0),
            Self::ParameterProblem { pointer, .. } => (PARAMETER_PROBLEM, 0, u16::from(pointer) << 8, 0),
        };
        let mut header = Header { kind, code, checksum: 0.into(), high: high.into(), low: low.into() };
        header.checksum = sum(header.as_bytes()).add(sum(self.data())).finish().into();
        let (front, rest) = out.split_at_mut(HEADER_LEN);
        header.write_to(front).expect("the front has the header's size");
        self.data().write_to_prefix(rest).expect("room for the data");
    }

    const fn data(&self) -> &'a [u8] {
        match *self {
            Self::EchoReply { data, .. } | Self::EchoRequest { data, .. } => data,
            Self::DestinationUnreachable { quote, .. }
            | Self::TimeExceeded { quote, .. }
            | Self::ParameterProblem { quote, .. } => quote,
        }
    }
}

impl Unreachable {
    const fn from_code(code: u8, next_hop_mtu: u16) -> Self {
        match code {
            0 => Self::Network,
            1 => Self::Host,
            2 => Self::Protocol,
            3 => Self::Port,
            4 => Self::FragmentationNeeded { mtu: next_hop_mtu },
            5 => Self::SourceRouteFailed,
            9 | 10 | 13 => Self::Prohibited,
            code => Self::Other(OtherCode(code)),
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Network => 0,
            Self::Host => 1,
            Self::Protocol => 2,
            Self::Port => 3,
            Self::FragmentationNeeded { .. } => 4,
            Self::SourceRouteFailed => 5,
            Self::Prohibited => 13,
            Self::Other(OtherCode(code)) => code,
        }
    }

    const fn next_hop_mtu(self) -> u16 {
        match self {
            Self::FragmentationNeeded { mtu } => mtu,
            _ => 0,
        }
    }
}

/// Writes the header of an echo request to the front of `message`, whose data stands behind it already.
///
/// # Panics
/// If `message` is shorter than [`HEADER_LEN`].
pub fn emit_echo_request(ident: u16, seq: u16, message: &mut [u8]) {
    let (front, data) = message.split_at_mut(HEADER_LEN);
    let mut header =
        Header { kind: ECHO_REQUEST, code: 0, checksum: 0.into(), high: ident.into(), low: seq.into() };
    header.checksum = sum(header.as_bytes()).add(sum(data)).finish().into();
    header.write_to(front).expect("the front has the header's size");
}

/// Whether an IPv4 packet carries an ICMP message that must not be answered with an error: an error itself, or
/// one whose kind is not known to be none (RFC 1122 §3.2.2).
#[must_use]
pub fn is_about_an_error(packet: &[u8]) -> bool {
    let Ok((header, _)) = ipv4::Header::ref_from_prefix(packet) else { return true };
    let header_len = usize::from(header.version_ihl & 0x0f) * 4;
    Protocol(header.protocol) == Protocol::ICMP
        && !matches!(packet.get(header_len), Some(&(ECHO_REQUEST | ECHO_REPLY)))
}

/// What an error quotes of the packet that it is about: its header and the first 8 bytes of its payload
/// (RFC 792, RFC 1122 §3.2.2).
#[must_use]
pub fn quote(packet: &[u8]) -> &[u8] {
    let header_len = packet.first().map_or(0, |version_ihl| usize::from(version_ihl & 0x0f) * 4);
    packet.get(..header_len + QUOTED_LEN).unwrap_or(packet)
}

const ECHO_REPLY: u8 = 0;
const DESTINATION_UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

/// Bytes of a payload that every error quotes.
const QUOTED_LEN: usize = 8;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    kind: u8,
    code: u8,
    checksum: U16,
    /// The two halves of the word whose meaning depends on the message.
    high: U16,
    low: U16,
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Quoted, QuotedTransport};

    /// `ping -s 8`, from Linux.
    const PING: [u8; 16] = [0x08, 0x00, 0xd5, 0x14, 0x16, 0xda, 0, 1, 0, 1, 2, 3, 4, 5, 6, 7];
    /// "Port unreachable" from Linux, after a datagram from 10.7.0.2:4000 to 10.7.0.1:9.
    const PORT_UNREACHABLE: [u8; 40] = [
        0x03, 0x03, 0x0e, 0x77, 0, 0, 0, 0, //
        0x45, 0x00, 0x00, 0x20, 0x00, 0x01, 0x00, 0x00, 0x40, 0x11, 0x66, 0xbc, 10, 7, 0, 2, 10, 7, 0,
        1, //
        0x0f, 0xa0, 0x00, 0x09, 0x00, 0x0c, 0x00, 0x00, b'p', b'i', b'n', b'g',
    ];
    /// The front of a SYN from Linux, 10.7.0.1:47986 to 10.7.0.2:80.
    const SYN: [u8; 30] = [
        0x45, 0x00, 0x00, 0x3c, 0xde, 0xa2, 0x40, 0x00, 0x40, 0x06, 0x48, 0x09, 10, 7, 0, 1, 10, 7, 0,
        2, //
        0xbb, 0x72, 0x00, 0x50, 0x63, 0x15, 0x23, 0x6e, 0x00, 0x00,
    ];

    fn written(repr: Icmpv4Repr<'_>) -> Vec<u8> {
        let mut out = alloc::vec![0xaa; repr.len()];
        repr.emit(&mut out);
        out
    }

    #[test]
    fn reads_and_writes_a_ping_from_linux() {
        let repr = Icmpv4Repr::EchoRequest { ident: 0x16da, seq: 1, data: &[0, 1, 2, 3, 4, 5, 6, 7] };
        assert_eq!(Icmpv4Repr::parse(&PING), Ok(repr));
        assert_eq!(written(repr), PING);
    }

    #[test]
    fn reads_and_writes_an_error_from_linux_and_finds_the_socket() {
        let repr = Icmpv4Repr::parse(&PORT_UNREACHABLE).unwrap();
        let quote = &PORT_UNREACHABLE[8..];
        assert_eq!(repr, Icmpv4Repr::DestinationUnreachable { reason: Unreachable::Port, quote });
        assert_eq!(written(repr), PORT_UNREACHABLE);
        let quoted = Quoted::parse_v4(quote).unwrap();
        assert_eq!(
            (quoted.src, quoted.dst),
            (Ipv4Addr::new(10, 7, 0, 2).into(), Ipv4Addr::new(10, 7, 0, 1).into())
        );
        assert_eq!(quoted.transport, QuotedTransport::Udp { src_port: 4000, dst_port: 9 });
    }

    #[test]
    fn a_quoted_segment_tells_its_sequence_number() {
        let quoted = Quoted::parse_v4(quote(&SYN)).unwrap();
        assert_eq!(
            quoted.transport,
            QuotedTransport::Tcp { src_port: 47986, dst_port: 80, seq: 0x6315_236e }
        );
        let other = Icmpv4Repr::EchoReply { ident: 1, seq: 2, data: b"" };
        let mut packet = Vec::from(&SYN[..20]);
        packet[9] = 1;
        packet.extend(written(other));
        assert_eq!(Quoted::parse_v4(&packet).unwrap().transport, QuotedTransport::Other(Protocol::ICMP));
    }

    #[test]
    fn a_quote_is_the_header_and_8_bytes() {
        assert_eq!(quote(&SYN), &SYN[..28]);
        assert_eq!(quote(&SYN[..25]), &SYN[..25]);
        assert_eq!(quote(&[]), &[] as &[u8]);
        let mut with_options = SYN;
        with_options[0] = 0x46;
        assert_eq!(quote(&with_options), &with_options, "32 bytes are wanted and 30 are there");
    }

    #[test]
    fn quotes_that_name_no_socket_are_refused() {
        let changed = |at: usize, to: u8| {
            let mut packet = SYN;
            packet[at] = to;
            Quoted::parse_v4(&packet)
        };
        assert_eq!(Quoted::parse_v4(&SYN[..19]), Err(Malformed::Truncated));
        assert_eq!(Quoted::parse_v4(&SYN[..27]), Err(Malformed::Truncated));
        assert_eq!(changed(0, 0x65), Err(Malformed::BadVersion));
        assert_eq!(changed(0, 0x44), Err(Malformed::BadHeaderLength));
        assert_eq!(changed(0, 0x4f), Err(Malformed::Truncated));
        assert_eq!(changed(7, 1), Err(Malformed::Unsupported));
    }

    #[test]
    fn a_router_tells_the_next_mtu() {
        let message = written(Icmpv4Repr::DestinationUnreachable {
            reason: Unreachable::FragmentationNeeded { mtu: 1400 },
            quote: quote(&SYN),
        });
        // RFC 1191 §4: the low 16 bits of the second word.
        assert_eq!(message[..2], [3, 4]);
        assert_eq!(message[4..8], [0, 0, 0x05, 0x78]);
    }

    #[test]
    fn wrong_checksums_short_and_unknown_messages_are_refused() {
        let mut ping = PING;
        ping[9] ^= 1;
        assert_eq!(Icmpv4Repr::parse(&ping), Err(Malformed::BadChecksum));
        assert_eq!(Icmpv4Repr::parse(&PING[..7]), Err(Malformed::Truncated));
        // Redirect: 5, 0, and a checksum that fits.
        assert_eq!(Icmpv4Repr::parse(&[5, 0, 0xfa, 0xff, 0, 0, 0, 0]), Err(Malformed::Unsupported));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            kind in 0..5, word: (u16, u16), code: u8, data in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let data = data.as_slice();
            let repr = match kind {
                0 => Icmpv4Repr::EchoRequest { ident: word.0, seq: word.1, data },
                1 => Icmpv4Repr::EchoReply { ident: word.0, seq: word.1, data },
                2 => {
                    let reason = Unreachable::from_code(code, word.1);
                    Icmpv4Repr::DestinationUnreachable { reason, quote: data }
                }
                3 => {
                    let in_transit = code.is_multiple_of(2);
                    let reason = if in_transit { TimeExceeded::InTransit } else { TimeExceeded::Reassembly };
                    Icmpv4Repr::TimeExceeded { reason, quote: data }
                }
                _ => Icmpv4Repr::ParameterProblem { pointer: code, quote: data },
            };
            let message = written(repr);
            prop_assert_eq!(Icmpv4Repr::parse(&message), Ok(repr));
        }

        #[test]
        fn any_bytes_are_answered(mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Icmpv4Repr::parse(&bytes);
            let _ = Quoted::parse_v4(&bytes);
            prop_assert!(quote(&bytes).len() <= bytes.len());
            if bytes.len() >= 4 {
                bytes[2..4].fill(0);
                let checksum = sum(&bytes).finish();
                bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
                prop_assert_ne!(Icmpv4Repr::parse(&bytes), Err(Malformed::BadChecksum));
            }
        }
    }
}
