//! The extension headers of IPv6 (RFC 8200 §4): what stands between its header and what a packet carries.

use super::{HEADER_LEN, NEXT_HEADER_AT, PAYLOAD_LEN_AT};
use crate::wire::icmpv6::ParameterProblem;
use crate::wire::{Malformed, Protocol};

/// The most extension headers of a packet. RFC 8200 §4.1 expects each at most once, and destination options
/// twice; RFC 8504 §5.3 lets a host limit them.
pub const MAX_HEADERS: usize = 8;
/// The most options, padding included, of one header (RFC 8504 §5.3).
pub const MAX_OPTIONS: usize = 16;

/// What a packet carries behind its extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper<'a> {
    /// What it is.
    pub protocol: Protocol,
    /// Where the packet says so, in bytes from its start: what an error about the protocol points at.
    pub protocol_at: u16,
    /// The bytes.
    pub payload: &'a [u8],
    /// The packet asked the routers on its way to look at it (RFC 2711).
    pub router_alert: bool,
    /// Which part of a packet this is, if it is not the whole.
    pub fragment: Option<Fragment>,
    /// A fragment header stood before it, be it that of the whole (RFC 6946).
    pub fragmented: bool,
}

impl Upper<'_> {
    /// The refusal of a packet that carries something unknown (RFC 8200 §4, RFC 4443 §3.4). Where there is nothing to
    /// carry (RFC 8200 §4.7), there is nothing to complain about.
    #[must_use]
    pub fn unknown_protocol(&self) -> Refusal {
        const NO_NEXT_HEADER: Protocol = Protocol(59);
        match self.protocol {
            NO_NEXT_HEADER => Refusal::Silent(Malformed::Unsupported),
            _ => unrecognized(self.protocol_at),
        }
    }
}

/// A part of a packet that its sender has cut (RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// What fragments of the same packet have in common.
    pub ident: u32,
    /// Where the part begins in the fragmentable part of the whole, in bytes: a multiple of 8.
    pub offset: u16,
    /// Whether more parts follow.
    pub more: bool,
    /// Where the fragment header begins in the packet, in bytes.
    pub header_at: u16,
}

/// Why a packet is not accepted, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Drop it.
    Silent(Malformed),
    /// Drop it, and tell its sender.
    Told {
        /// What is wrong.
        problem: ParameterProblem,
        /// Where, in bytes from the start of the packet.
        pointer: u16,
        /// Its sender is told even where the packet went to a group.
        groups: bool,
    },
}

impl Refusal {
    /// The name under which the dropped packet is counted.
    #[must_use]
    pub const fn malformed(self) -> Malformed {
        match self {
            Self::Silent(malformed) => malformed,
            Self::Told { problem: ParameterProblem::Field, .. } => Malformed::BadHeaderLength,
            Self::Told { problem: ParameterProblem::NextHeader, .. } => Malformed::Unsupported,
            Self::Told { problem: ParameterProblem::Option, .. } => Malformed::BadOption,
        }
    }
}

/// Walks over the extension headers of `packet`, whose IPv6 header is followed by `first`.
#[cold]
pub(in crate::wire) fn walk(first: Protocol, packet: &[u8]) -> Result<Upper<'_>, Refusal> {
    let (mut protocol, mut protocol_at, mut at) = (first, NEXT_HEADER_AT, HEADER_LEN);
    let (mut router_alert, mut fragmented) = (false, false);
    for _ in 0..MAX_HEADERS {
        let rest = packet.get(at..).unwrap_or_default();
        let header = match protocol {
            // RFC 8200 §4.1: it stands right behind the IPv6 header, or is not recognized.
            Protocol::HOP_BY_HOP if at > HEADER_LEN => return Err(unrecognized(protocol_at)),
            Protocol::HOP_BY_HOP | DESTINATION_OPTIONS => {
                let header = sized(rest)?;
                router_alert |= options(header, at)? && protocol == Protocol::HOP_BY_HOP;
                header
            }
            ROUTING => routing(sized(rest)?, at)?,
            FRAGMENT => {
                let header = rest.first_chunk().ok_or(Refusal::Silent(Malformed::Truncated))?;
                if let Some(fragment) = fragment(header, at, rest.len() - header.len())? {
                    let payload = &rest[header.len()..];
                    let (protocol, protocol_at) = (Protocol(header[0]), at as u16);
                    return Ok(Upper {
                        protocol,
                        protocol_at,
                        payload,
                        router_alert,
                        fragment: Some(fragment),
                        fragmented: true,
                    });
                }
                fragmented = true;
                header
            }
            _ => {
                let fragment = None;
                return Ok(Upper {
                    protocol,
                    protocol_at,
                    payload: rest,
                    router_alert,
                    fragment,
                    fragmented,
                });
            }
        };
        (protocol, protocol_at) = (Protocol(header[0]), at as u16);
        at += header.len();
    }
    Err(Refusal::Silent(Malformed::Unsupported))
}

const ROUTING: Protocol = Protocol(43);
/// What a packet carries that is a part of another one.
pub const FRAGMENT: Protocol = Protocol(44);
/// Length of a fragment header in bytes.
pub const FRAGMENT_HEADER_LEN: usize = 8;
const DESTINATION_OPTIONS: Protocol = Protocol(60);

/// The header at the front of `rest` that says its own length: in units of 8 bytes, the first not counted.
fn sized(rest: &[u8]) -> Result<&[u8], Refusal> {
    let &[_, len, ..] = rest else { return Err(Refusal::Silent(Malformed::Truncated)) };
    rest.get(..(usize::from(len) + 1) * 8).ok_or(Refusal::Silent(Malformed::BadHeaderLength))
}

/// Takes note of the options in a header that stands at `at`. Returns whether a router alert is among them.
fn options(header: &[u8], at: usize) -> Result<bool, Refusal> {
    const PAD_1: u8 = 0;
    const PAD_N: u8 = 1;
    const ROUTER_ALERT: u8 = 5;
    let bad = Refusal::Silent(Malformed::BadOption);
    let (mut offset, mut router_alert) = (2, false);
    for _ in 0..MAX_OPTIONS {
        let (kind, len) = match header.get(offset..).unwrap_or_default() {
            [] => return Ok(router_alert),
            [PAD_1, ..] => {
                offset += 1;
                continue;
            }
            &[kind, len, ..] => (kind, usize::from(len)),
            [_] => return Err(bad),
        };
        if offset + 2 + len > header.len() {
            return Err(bad);
        }
        match kind {
            PAD_N => {}
            // RFC 2711 §2.1.
            ROUTER_ALERT if len == 2 => router_alert = true,
            ROUTER_ALERT => return Err(bad),
            _ => unknown_option(kind, (at + offset) as u16)?,
        }
        offset += 2 + len;
    }
    if offset >= header.len() { Ok(router_alert) } else { Err(bad) }
}

/// RFC 8200 §4.2: the two highest bits of an option's kind tell what those do who don't know it.
fn unknown_option(kind: u8, pointer: u16) -> Result<(), Refusal> {
    let problem = ParameterProblem::Option;
    match kind >> 6 {
        0b00 => Ok(()),
        0b01 => Err(Refusal::Silent(Malformed::BadOption)),
        0b10 => Err(Refusal::Told { problem, pointer, groups: true }),
        _ => Err(Refusal::Told { problem, pointer, groups: false }),
    }
}

/// RFC 8200 §4.4: no type of routing is known here, type 0 included (RFC 5095 §3): who still has segments left
/// is refused, and whose route has ended is let through.
fn routing(header: &[u8], at: usize) -> Result<&[u8], Refusal> {
    const TYPE_AT: u16 = 2;
    match header {
        [_, _, _, 0, ..] => Ok(header),
        _ => Err(Refusal::Told {
            problem: ParameterProblem::Field,
            pointer: at as u16 + TYPE_AT,
            groups: false,
        }),
    }
}

/// The part that a fragment header at `at`, with `len` bytes behind it, announces; `None` if that is the whole.
fn fragment(header: &[u8; 8], at: usize, len: usize) -> Result<Option<Fragment>, Refusal> {
    const OFFSET: u16 = 0xfff8;
    const MORE: u16 = 1;
    const OFFSET_AT: u16 = 2;
    let [_, _, high, low, ident @ ..] = *header;
    let field = u16::from_be_bytes([high, low]);
    let (offset, more) = (field & OFFSET, field & MORE != 0);
    // RFC 6946 §4: a packet in one piece is complete, whatever else arrives under the same number.
    if offset == 0 && !more {
        return Ok(None);
    }
    let told = |pointer| Err(Refusal::Told { problem: ParameterProblem::Field, pointer, groups: false });
    // RFC 8200 §4.5: all parts but the last are multiples of 8 bytes, and the whole has at most 65,535.
    if more && (len == 0 || !len.is_multiple_of(8)) {
        return told(PAYLOAD_LEN_AT);
    }
    let before = at - HEADER_LEN;
    if usize::from(offset) + len + before > usize::from(u16::MAX) {
        return told(at as u16 + OFFSET_AT);
    }
    Ok(Some(Fragment { ident: u32::from_be_bytes(ident), offset, more, header_at: at as u16 }))
}

/// The header of the part of a packet that begins at `offset`, a multiple of 8 bytes; `next` names what the whole
/// carries.
#[must_use]
pub fn fragment_header(next: Protocol, offset: u16, more: bool, ident: u32) -> [u8; FRAGMENT_HEADER_LEN] {
    let [high, low] = (offset & 0xfff8 | u16::from(more)).to_be_bytes();
    let [a, b, c, d] = ident.to_be_bytes();
    [next.0, 0, high, low, a, b, c, d]
}

/// Makes a packet of the headers of its first part, which end with a fragment header at `header_at`, and the payload
/// of all parts behind them (RFC 8200 §4.5): the fragment header goes.
///
/// # Panics
/// If `packet` ends before the fragment header does.
pub fn make_whole(packet: &mut alloc::vec::Vec<u8>, header_at: usize) {
    let next = packet[header_at];
    packet.drain(header_at..header_at + FRAGMENT_HEADER_LEN);
    let (mut named_at, mut at) = (usize::from(NEXT_HEADER_AT), HEADER_LEN);
    while at < header_at {
        named_at = at;
        at += (usize::from(packet[at + 1]) + 1) * 8;
    }
    packet[named_at] = next;
    let payload_len = (packet.len() - HEADER_LEN) as u16;
    packet[PAYLOAD_LEN_AT as usize..][..2].copy_from_slice(&payload_len.to_be_bytes());
}

/// RFC 8200 §4: what is no header that can stand here.
const fn unrecognized(pointer: u16) -> Refusal {
    Refusal::Told { problem: ParameterProblem::NextHeader, pointer, groups: false }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const HOP_BY_HOP: Protocol = Protocol(0);

    /// Eight bytes of hop-by-hop options: router alert for MLD, and PadN of nothing.
    const ALERT: [u8; 8] = [58, 0, 5, 2, 0, 0, 1, 0];

    /// A packet whose header is followed by `chain`.
    fn packet(chain: &[&[u8]]) -> Vec<u8> {
        let mut packet = alloc::vec![0; HEADER_LEN];
        packet[0] = 0x60;
        chain.iter().for_each(|header| packet.extend(*header));
        packet
    }

    fn walked(first: Protocol, packet: &[u8]) -> Result<(Protocol, u16, &[u8]), Refusal> {
        walk(first, packet).map(|upper| (upper.protocol, upper.protocol_at, upper.payload))
    }

    fn told(problem: ParameterProblem, pointer: u16) -> Refusal {
        Refusal::Told { problem, pointer, groups: false }
    }

    #[test]
    fn options_are_skipped_and_a_router_alert_is_noticed() {
        let bytes = packet(&[&ALERT, b"mld"]);
        let upper = walk(HOP_BY_HOP, &bytes).unwrap();
        assert_eq!((upper.protocol, upper.payload), (Protocol::ICMPV6, &b"mld"[..]));
        assert!(upper.router_alert);
        let in_destination_options = packet(&[&ALERT, b"mld"]);
        assert!(!walk(DESTINATION_OPTIONS, &in_destination_options).unwrap().router_alert);
    }

    #[test]
    fn a_chain_is_walked_to_its_end() {
        let hop_by_hop = [60, 0, 1, 4, 0, 0, 0, 0];
        let destination = [43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let done_routing = [44, 0, 0, 0, 0, 0, 0, 0];
        let atomic = [6, 0, 0, 0, 1, 2, 3, 4];
        let bytes = packet(&[&hop_by_hop, &destination, &done_routing, &atomic, b"segment"]);
        assert_eq!(walked(HOP_BY_HOP, &bytes), Ok((Protocol::TCP, 72, &b"segment"[..])));
    }

    #[test]
    fn hop_by_hop_options_stand_first_or_are_not_recognized() {
        let bytes = packet(&[&[0, 0, 1, 4, 0, 0, 0, 0], &ALERT]);
        assert_eq!(walked(DESTINATION_OPTIONS, &bytes), Err(told(ParameterProblem::NextHeader, 40)));
    }

    #[test]
    fn rfc_8200_section_4_2_unknown_options_say_themselves_what_to_do() {
        let of_kind = |kind: u8| walk(HOP_BY_HOP, &packet(&[&[6, 0, 0, 0, kind, 2, 0, 0]])).map(drop);
        let problem = ParameterProblem::Option;
        assert_eq!(of_kind(0b0011_1110), Ok(()));
        assert_eq!(of_kind(0b0111_1110), Err(Refusal::Silent(Malformed::BadOption)));
        assert_eq!(of_kind(0b1011_1110), Err(Refusal::Told { problem, pointer: 44, groups: true }));
        assert_eq!(of_kind(0b1111_1110), Err(Refusal::Told { problem, pointer: 44, groups: false }));
    }

    #[test]
    fn rfc_5095_source_routes_with_segments_left_are_refused() {
        let route = |segments_left: u8| {
            let mut header = [0; 24];
            (header[0], header[1], header[3]) = (17, 2, segments_left);
            walk(ROUTING, &packet(&[&header])).map(|upper| upper.protocol)
        };
        assert_eq!(route(0), Ok(Protocol::UDP));
        assert_eq!(route(1), Err(told(ParameterProblem::Field, 42)));
    }

    #[test]
    fn fragments_say_where_they_belong() {
        let part = |field: u16, len: usize| {
            let mut header = [17, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef];
            header[2..4].copy_from_slice(&field.to_be_bytes());
            walk(FRAGMENT, &packet(&[&header, &alloc::vec![0; len]])).map(|upper| upper.fragment)
        };
        let ident = 0xdead_beef;
        assert_eq!(part(1, 16), Ok(Some(Fragment { ident, offset: 0, more: true, header_at: 40 })));
        assert_eq!(part(1448, 5), Ok(Some(Fragment { ident, offset: 1448, more: false, header_at: 40 })));
        assert_eq!(part(0, 5), Ok(None));
        // RFC 8200 §4.5 says where to point.
        assert_eq!(part(1, 15), Err(told(ParameterProblem::Field, 4)));
        assert_eq!(part(0xfff8, 8), Err(told(ParameterProblem::Field, 42)));
    }

    #[test]
    fn what_ends_too_early_or_never_is_dropped() {
        let silent = |malformed| Err(Refusal::Silent(malformed));
        assert_eq!(walked(HOP_BY_HOP, &packet(&[&[6]])), silent(Malformed::Truncated));
        assert_eq!(walked(FRAGMENT, &packet(&[&[6, 0, 0, 1, 0, 0, 0]])), silent(Malformed::Truncated));
        assert_eq!(
            walked(HOP_BY_HOP, &packet(&[&[6, 1, 1, 4, 0, 0, 0, 0]])),
            silent(Malformed::BadHeaderLength)
        );
        assert_eq!(walked(HOP_BY_HOP, &packet(&[&[6, 0, 1, 5, 0, 0, 0, 0]])), silent(Malformed::BadOption));
        let again = [60, 0, 1, 4, 0, 0, 0, 0];
        let last = [6, 0, 1, 4, 0, 0, 0, 0];
        let mut chain = alloc::vec![&again[..]; MAX_HEADERS];
        assert_eq!(walked(DESTINATION_OPTIONS, &packet(&chain)), silent(Malformed::Unsupported));
        chain.truncate(MAX_HEADERS - 2);
        chain.push(&last);
        assert!(walked(DESTINATION_OPTIONS, &packet(&chain)).is_ok());
    }

    #[test]
    fn more_options_than_anybody_needs_are_refused() {
        let mut header = alloc::vec![0; 24];
        (header[0], header[1]) = (6, 2);
        assert_eq!(walked(HOP_BY_HOP, &packet(&[&header])), Err(Refusal::Silent(Malformed::BadOption)));
        header.truncate(16);
        header[1] = 1;
        assert!(walked(HOP_BY_HOP, &packet(&[&header])).is_ok(), "14 bytes of padding");
    }

    proptest! {
        #[test]
        fn any_chain_is_answered(
            first in prop::sample::select(alloc::vec![0_u8, 43, 44, 60, 6]),
            headers in prop::collection::vec((0_usize..5, 0..2_u8, any::<[u8; 14]>()), 0..12),
        ) {
            let kinds = [0_u8, 43, 44, 60, 17];
            let mut bytes = packet(&[]);
            for (next, len, body) in headers {
                bytes.extend([kinds[next], len]);
                bytes.extend(body);
            }
            if let Ok(upper) = walk(Protocol(first), &bytes) {
                prop_assert!(bytes.ends_with(upper.payload));
                prop_assert!(usize::from(upper.protocol_at) < bytes.len());
            }
        }
    }
}
