//! The Internet Group Management Protocol: queries of all versions read (RFC 1112 appendix I, RFC 2236, RFC 3376), and
//! the answers to them written.

use core::net::Ipv4Addr;

use super::checksum::sum;
use super::{GroupRecord, Malformed, group_report};
use crate::time::Duration;

/// All hosts, who are asked.
pub const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// All routers, who are told by hosts of version 2 that they leave (RFC 2236 §3).
pub const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// All routers of version 3, who hear reports (RFC 3376 §4.2.14).
pub const ALL_V3_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
/// Bytes of every message of versions 1 and 2.
pub const OLD_LEN: usize = 8;

/// What is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgmpRepr<'a> {
    /// A router asks who listens.
    Query {
        /// The version that the router speaks.
        version: IgmpVersion,
        /// Within what time the answer shall come.
        max_response: Duration,
        /// The group in question; all of them where unspecified.
        group: Ipv4Addr,
        /// The senders in question; all of them where there are none.
        sources: &'a [[u8; 4]],
    },
    /// Another host of version 1 or 2 listens to a group.
    Report {
        /// The group.
        group: Ipv4Addr,
    },
}

/// A version of IGMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IgmpVersion {
    /// RFC 1112.
    V1,
    /// RFC 2236.
    V2,
    /// RFC 3376.
    V3,
}

const QUERY: u8 = 0x11;
const V1_REPORT: u8 = 0x12;
const V2_REPORT: u8 = 0x16;
const LEAVE: u8 = 0x17;
const V3_REPORT: u8 = 0x22;

impl<'a> IgmpRepr<'a> {
    /// Reads a message, given as the whole payload of an IPv4 packet.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::BadChecksum`]; [`Malformed::BadAddress`] if what is called a group is
    /// none; [`Malformed::BadTotalLength`] if the senders are more than what is there; [`Malformed::Unsupported`] for
    /// messages that only routers read.
    pub fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let [kind, code, _, _, a, b, c, d, rest @ ..] = message else { return Err(Malformed::Truncated) };
        // RFC 2236 §2.3, RFC 3376 §4.1.2: over the whole payload.
        if sum(message).finish() != 0 {
            return Err(Malformed::BadChecksum);
        }
        let group = Ipv4Addr::new(*a, *b, *c, *d);
        let about_all = *kind == QUERY && group.is_unspecified();
        if !group.is_multicast() && !about_all {
            return Err(Malformed::BadAddress);
        }
        match *kind {
            QUERY => {
                // RFC 3376 §7.1: the length tells version 3 from the others, and the code these two.
                let (version, max_response, sources) = match (rest, *code) {
                    ([], 0) => (IgmpVersion::V1, tenths(100), &[][..]),
                    ([], code) => (IgmpVersion::V2, tenths(code.into()), &[][..]),
                    ([_, _, high, low, sources @ ..], code) => {
                        let count = usize::from(u16::from_be_bytes([*high, *low]));
                        let sources = sources.as_chunks().0.get(..count).ok_or(Malformed::BadTotalLength)?;
                        (IgmpVersion::V3, tenths(decoded(code)), sources)
                    }
                    _ => return Err(Malformed::Truncated),
                };
                Ok(Self::Query { version, max_response, group, sources })
            }
            V1_REPORT | V2_REPORT => Ok(Self::Report { group }),
            _ => Err(Malformed::Unsupported),
        }
    }
}

/// Writes that we listen to `group`, as hosts of version 1 or 2 do.
#[must_use]
pub fn old_report(version: IgmpVersion, group: Ipv4Addr) -> [u8; OLD_LEN] {
    old(if version == IgmpVersion::V1 { V1_REPORT } else { V2_REPORT }, group)
}

/// Writes that we no longer listen to `group`, as hosts of version 2 do.
#[must_use]
pub fn leave(group: Ipv4Addr) -> [u8; OLD_LEN] {
    old(LEAVE, group)
}

fn old(kind: u8, group: Ipv4Addr) -> [u8; OLD_LEN] {
    let [a, b, c, d] = group.octets();
    let mut message = [kind, 0, 0, 0, a, b, c, d];
    let checksum = sum(&message).finish().to_be_bytes();
    message[2..4].copy_from_slice(&checksum);
    message
}

/// Writes a report of version 3, whose checksum included, to `out`.
///
/// # Panics
/// If `out` does not have [`report_len`](group_report::report_len) bytes.
pub fn emit_report(records: &[GroupRecord], out: &mut [u8]) {
    group_report::emit(V3_REPORT, records, out);
    let checksum = sum(out).finish().to_be_bytes();
    out[2..4].copy_from_slice(&checksum);
}

const fn tenths(count: u64) -> Duration {
    Duration::from_millis(count * 100)
}

/// RFC 3376 §4.1.1: large delays are written as a floating-point number, with 3 bits of exponent and 4 of mantissa.
const fn decoded(code: u8) -> u64 {
    match code {
        0..128 => code as u64,
        _ => ((code & 0x0f | 0x10) as u64) << ((code >> 4 & 0x7) + 3),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    use crate::wire::RecordKind;

    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

    fn query(code: u8, group: Ipv4Addr, more: &[u8]) -> alloc::vec::Vec<u8> {
        let mut message = alloc::vec![QUERY, code, 0, 0];
        message.extend(group.octets());
        message.extend(more);
        let checksum = sum(&message).finish().to_be_bytes();
        message[2..4].copy_from_slice(&checksum);
        message
    }

    fn read(message: &[u8]) -> (IgmpVersion, u128, Ipv4Addr) {
        match IgmpRepr::parse(message).unwrap() {
            IgmpRepr::Query { version, max_response, group, .. } => {
                (version, max_response.as_millis(), group)
            }
            IgmpRepr::Report { .. } => panic!("a report"),
        }
    }

    /// RFC 3376 §7.1.
    #[test]
    fn queries_of_three_versions_are_told_apart() {
        assert_eq!(
            read(&query(0, Ipv4Addr::UNSPECIFIED, &[])),
            (IgmpVersion::V1, 10_000, Ipv4Addr::UNSPECIFIED)
        );
        assert_eq!(read(&query(100, GROUP, &[])), (IgmpVersion::V2, 10_000, GROUP));
        assert_eq!(read(&query(10, GROUP, &[2, 125, 0, 0])), (IgmpVersion::V3, 1_000, GROUP));
        // RFC 3376 §4.1.1: (0x10 | 0) << 3 and (0x10 | 15) << 10 tenths.
        assert_eq!(read(&query(0x80, GROUP, &[2, 125, 0, 0])).1, 12_800);
        assert_eq!(read(&query(0xff, GROUP, &[2, 125, 0, 0])).1, 3_174_400);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(IgmpRepr::parse(&query(1, GROUP, &[])[..7]), Err(Malformed::Truncated));
        assert_eq!(IgmpRepr::parse(&query(1, GROUP, &[2])), Err(Malformed::Truncated));
        assert_eq!(IgmpRepr::parse(&query(1, Ipv4Addr::LOCALHOST, &[])), Err(Malformed::BadAddress));
        let mut damaged = query(1, GROUP, &[]);
        damaged[7] ^= 1;
        assert_eq!(IgmpRepr::parse(&damaged), Err(Malformed::BadChecksum));
        assert_eq!(IgmpRepr::parse(&leave(GROUP)), Err(Malformed::Unsupported));
        let about_two = query(1, GROUP, &[2, 125, 0, 2, 10, 0, 0, 1]);
        assert_eq!(IgmpRepr::parse(&about_two), Err(Malformed::BadTotalLength));
    }

    #[test]
    fn a_query_may_be_about_senders() {
        let bytes = query(1, GROUP, &[2, 125, 0, 2, 10, 0, 0, 1, 10, 0, 0, 2]);
        let Ok(IgmpRepr::Query { sources, .. }) = IgmpRepr::parse(&bytes) else { panic!("no query") };
        assert_eq!(sources, [[10, 0, 0, 1], [10, 0, 0, 2]]);
    }

    /// As Linux sends them for 239.1.2.3, in its modes for versions 2 and 3.
    #[test]
    fn writes_what_linux_writes() {
        assert_eq!(old_report(IgmpVersion::V2, GROUP), [0x16, 0, 0xf8, 0xfa, 239, 1, 2, 3]);
        assert_eq!(leave(GROUP), [0x17, 0, 0xf7, 0xfa, 239, 1, 2, 3]);
        let mut report = [0xaa; 16];
        emit_report(&[GroupRecord::new(RecordKind::ToExclude, GROUP.into())], &mut report);
        assert_eq!(report, [0x22, 0, 0xe8, 0xf9, 0, 0, 0, 1, 4, 0, 0, 0, 239, 1, 2, 3]);
    }

    /// As Linux sends it for a socket that hears 10.0.0.1 in 239.1.2.3 and no one else.
    #[test]
    fn writes_the_senders_of_a_record() {
        let sources = [Ipv4Addr::new(10, 0, 0, 1).into()].into();
        let record = GroupRecord { kind: RecordKind::Allow, group: GROUP.into(), sources };
        let mut report = [0xaa; 20];
        assert_eq!(group_report::report_len(core::slice::from_ref(&record)), report.len());
        emit_report(&[record], &mut report);
        assert_eq!(report[..2], [0x22, 0]);
        assert_eq!(report[4..], [0, 0, 0, 1, 5, 0, 0, 1, 239, 1, 2, 3, 10, 0, 0, 1]);
        assert_eq!(sum(&report).finish(), 0);
    }

    #[test]
    fn reports_of_others_are_read() {
        for version in [IgmpVersion::V1, IgmpVersion::V2] {
            let report = old_report(version, GROUP);
            assert_eq!(IgmpRepr::parse(&report), Ok(IgmpRepr::Report { group: GROUP }));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(mut bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = IgmpRepr::parse(&bytes);
            if bytes.len() >= 4 {
                bytes[2..4].fill(0);
                let checksum = sum(&bytes).finish().to_be_bytes();
                bytes[2..4].copy_from_slice(&checksum);
                prop_assert_ne!(IgmpRepr::parse(&bytes), Err(Malformed::BadChecksum));
            }
        }
    }
}
