//! Multicast listener discovery (RFC 3810): queries read, and reports of version 2 written.

use core::net::Ipv6Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::ipv6::Ipv6Repr;
use super::{GroupRecord, Malformed, group_report};
use crate::time::Duration;

/// Where reports go: all routers that speak MLDv2 (RFC 3810 §5.2.14).
pub const ALL_MLDV2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// The hop-by-hop header that every report carries: a router alert for MLD (RFC 2711 §2.1) and padding. Its first
/// byte names ICMPv6 as what follows.
pub const HOP_BY_HOP: [u8; 8] = [58, 0, 5, 2, 0, 0, 1, 0];

/// A router's question: who listens to which groups?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MldQuery<'a> {
    /// Within what time the answer shall come.
    pub max_response: Duration,
    /// The group in question; all of them where unspecified.
    pub group: Ipv6Addr,
    /// The senders in question; all of them where there are none.
    pub sources: &'a [[u8; 16]],
    /// The router speaks version 1 (RFC 3810 §8.1).
    pub old: bool,
}

impl<'a> MldQuery<'a> {
    /// The type of the ICMPv6 message.
    pub const KIND: u8 = 130;

    /// Reads a query of either version, given as the whole message; its checksum has been verified.
    ///
    /// # Errors
    /// [`Malformed::Truncated`]; [`Malformed::BadAddress`] unless it comes from a neighbour (RFC 3810 §5.1.14);
    /// [`Malformed::BadTotalLength`] if the sources are more than what is there.
    pub fn parse(ip: &Ipv6Repr, message: &'a [u8]) -> Result<Self, Malformed> {
        if !ip.src.is_unicast_link_local() || ip.hop_limit != 1 {
            return Err(Malformed::BadAddress);
        }
        let (query, rest) = Query::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
        let group = Ipv6Addr::from_octets(query.group);
        if !group.is_unspecified() && !group.is_multicast() {
            return Err(Malformed::BadAddress);
        }
        // RFC 3810 §8.1: 24 bytes make a query of version 1, whose delay is in plain milliseconds.
        if rest.is_empty() {
            let max_response = Duration::from_millis(u64::from(query.max_response.get()));
            return Ok(Self { max_response, group, sources: &[], old: true });
        }
        let [_robustness, _interval, high, low, sources @ ..] = rest else {
            return Err(Malformed::Truncated);
        };
        let count = usize::from(u16::from_be_bytes([*high, *low]));
        let sources = sources.as_chunks().0.get(..count).ok_or(Malformed::BadTotalLength)?;
        let max_response = response_delay(query.max_response.get());
        Ok(Self { max_response, group, sources, old: false })
    }
}

/// Where those go that leave a group, in version 1: all routers (RFC 2710 §3.7).
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Bytes of a message of version 1 (RFC 2710 §3).
pub const OLD_LEN: usize = 24;
/// The type of a report of version 1.
pub(super) const OLD_REPORT: u8 = 131;
const DONE: u8 = 132;

/// Reads another host's report of version 1, given as the whole message; its checksum has been verified.
///
/// # Errors
/// [`Malformed::Truncated`]; [`Malformed::BadAddress`] unless it comes from a neighbour and is about a group (RFC 2710 §3).
pub fn parse_old_report(ip: &Ipv6Repr, message: &[u8]) -> Result<Ipv6Addr, Malformed> {
    let (report, _) = Query::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
    let group = Ipv6Addr::from_octets(report.group);
    if !ip.src.is_unicast_link_local() || ip.hop_limit != 1 || !group.is_multicast() {
        return Err(Malformed::BadAddress);
    }
    Ok(group)
}

/// Writes that we listen to `group`, or no longer do, as hosts of version 1 do; with zero in the checksum's place.
#[must_use]
pub fn old_message(group: Ipv6Addr, listens: bool) -> [u8; OLD_LEN] {
    let mut message = [0; OLD_LEN];
    message[0] = if listens { OLD_REPORT } else { DONE };
    message[8..].copy_from_slice(&group.octets());
    message
}

/// Writes a report to the front of `out`, with zero in the checksum's place: see
/// [`icmpv6::fill_checksum`](super::icmpv6::fill_checksum).
///
/// # Panics
/// If `out` is shorter than [`report_len`](group_report::report_len).
pub fn emit_report(records: &[GroupRecord], out: &mut [u8]) {
    const REPORT: u8 = 143;
    group_report::emit(REPORT, records, out);
}

/// RFC 3810 §5.1.3: large delays are written as a floating-point number, with 3 bits of exponent and 12 of mantissa.
const fn response_delay(code: u16) -> Duration {
    let millis = match code {
        0..0x8000 => code as u64,
        _ => ((code & 0x0fff | 0x1000) as u64) << ((code >> 12 & 0x7) + 3),
    };
    Duration::from_millis(millis)
}

/// The fixed part of a query of both versions.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Query {
    _header: [u8; 4],
    max_response: U16,
    _reserved: U16,
    group: [u8; 16],
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::wire::{Protocol, RecordKind, Sum, icmpv6};

    const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 2);

    fn from_router() -> Ipv6Repr {
        Ipv6Repr {
            src: ROUTER,
            dst: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
            next_header: Protocol::ICMPV6,
            hop_limit: 1,
            traffic_class: 0,
            flow_label: 0,
            payload_len: 0,
        }
    }

    fn query(max_response: u16, group: Ipv6Addr, more: &[u8]) -> Vec<u8> {
        let mut query = alloc::vec![130, 0, 0, 0];
        query.extend(max_response.to_be_bytes());
        query.extend([0, 0]);
        query.extend(group.octets());
        query.extend(more);
        query
    }

    #[test]
    fn both_versions_of_queries_are_read() {
        let old = query(10_000, GROUP, &[]);
        let read = MldQuery::parse(&from_router(), &old).unwrap();
        assert_eq!((read.max_response, read.group), (Duration::from_secs(10), GROUP));
        let new = query(1_000, Ipv6Addr::UNSPECIFIED, &[2, 125, 0, 0]);
        let read = MldQuery::parse(&from_router(), &new).unwrap();
        assert_eq!((read.max_response, read.group), (Duration::from_secs(1), Ipv6Addr::UNSPECIFIED));
    }

    #[test]
    fn rfc_3810_section_5_1_3_long_delays_are_floating_point() {
        let delay = |code| {
            let bytes = query(code, GROUP, &[2, 125, 0, 0]);
            MldQuery::parse(&from_router(), &bytes).unwrap().max_response
        };
        assert_eq!(delay(32_767), Duration::from_millis(32_767));
        // Exponent 0, mantissa 0: (0x1000 | 0) << 3.
        assert_eq!(delay(0x8000), Duration::from_millis(0x1000 << 3));
        assert_eq!(delay(0xffff), Duration::from_millis(0x1fff << 10));
    }

    #[test]
    fn only_neighbours_may_ask() {
        let bytes = query(1_000, GROUP, &[]);
        let refused = |ip: Ipv6Repr| MldQuery::parse(&ip, &bytes) == Err(Malformed::BadAddress);
        assert!(refused(Ipv6Repr { hop_limit: 2, ..from_router() }));
        assert!(refused(Ipv6Repr { src: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), ..from_router() }));
        let about_a_host = query(1_000, ROUTER, &[]);
        assert_eq!(MldQuery::parse(&from_router(), &about_a_host), Err(Malformed::BadAddress));
    }

    #[test]
    fn queries_that_end_too_early_are_refused() {
        let parse = |bytes: &[u8]| MldQuery::parse(&from_router(), bytes).map(drop);
        assert_eq!(parse(&query(1, GROUP, &[])[..23]), Err(Malformed::Truncated));
        assert_eq!(parse(&query(1, GROUP, &[2, 125, 0])), Err(Malformed::Truncated));
        assert_eq!(parse(&query(1, GROUP, &[2, 125, 0, 1])), Err(Malformed::BadTotalLength));
        assert_eq!(parse(&query(1, GROUP, &[[2, 125, 0, 1].as_slice(), &[0; 16]].concat())), Ok(()));
    }

    #[test]
    fn writes_the_report_that_linux_writes() {
        // Of the solicited-node group of fe80::ff:fe00:2, from that address.
        let from_linux = [
            0x8f, 0x00, 0x72, 0x05, 0, 0, 0, 1, 4, 0, 0, 0, //
            0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 2,
        ];
        let mut out = [0xaa; 28];
        emit_report(&[GroupRecord::new(RecordKind::ToExclude, GROUP.into())], &mut out);
        let own = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 2);
        icmpv6::fill_checksum(&mut out, Sum::pseudo_v6(own, ALL_MLDV2_ROUTERS, Protocol::ICMPV6, 28));
        assert_eq!(out, from_linux);
    }

    #[test]
    fn a_report_lists_its_records() {
        let sources = [ROUTER.into()].into();
        let records = [
            GroupRecord { kind: RecordKind::IsInclude, group: GROUP.into(), sources },
            GroupRecord::new(RecordKind::ToInclude, GROUP.into()),
        ];
        let mut out = [0; 64];
        assert_eq!(group_report::report_len(&records), out.len());
        emit_report(&records, &mut out);
        assert_eq!((out[7], &out[8..12], &out[44..48]), (2, &[1, 0, 0, 1][..], &[3, 0, 0, 0][..]));
        assert_eq!((&out[12..28], &out[28..44]), (&GROUP.octets()[..], &ROUTER.octets()[..]));
    }

    /// RFC 2710 §3.
    #[test]
    fn messages_of_version_1_are_written_and_read() {
        let report = old_message(GROUP, true);
        assert_eq!((report[0], &report[8..]), (131, &GROUP.octets()[..]));
        assert_eq!(old_message(GROUP, false)[0], 132);
        assert_eq!(parse_old_report(&from_router(), &report), Ok(GROUP));
        assert_eq!(parse_old_report(&from_router(), &report[..23]), Err(Malformed::Truncated));
        let from_afar = Ipv6Repr { hop_limit: 2, ..from_router() };
        assert_eq!(parse_old_report(&from_afar, &report), Err(Malformed::BadAddress));
    }
}
