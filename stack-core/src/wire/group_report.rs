//! Reports of multicast groups, which IGMPv3 and MLDv2 write alike but for the length of addresses (RFC 3376 §4.2,
//! RFC 3810 §5.2).

use alloc::vec::Vec;
use core::net::IpAddr;

/// What a report tells of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    /// What is told.
    pub kind: RecordKind,
    /// The group.
    pub group: IpAddr,
    /// The senders that it is about, of the group's family.
    pub sources: Vec<IpAddr>,
}

/// What is told of a group (RFC 3376 §4.2.12, RFC 3810 §5.2.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// We hear these senders; asked for.
    IsInclude = 1,
    /// We hear all but these senders; asked for.
    IsExclude = 2,
    /// From now on we hear these senders; nobody, where there are none.
    ToInclude = 3,
    /// From now on we hear all but these senders.
    ToExclude = 4,
    /// We hear these senders as well.
    Allow = 5,
    /// We do not hear these senders any more.
    Block = 6,
}

/// Bytes before the first record.
const HEADER_LEN: usize = 8;

impl GroupRecord {
    /// A record without senders.
    #[must_use]
    pub const fn new(kind: RecordKind, group: IpAddr) -> Self {
        Self { kind, group, sources: Vec::new() }
    }

    /// Bytes of the record.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        4 + address_len(self.group) * (1 + self.sources.len())
    }
}

/// Bytes of a report.
#[must_use]
pub fn report_len(records: &[GroupRecord]) -> usize {
    HEADER_LEN + records.iter().map(GroupRecord::encoded_len).sum::<usize>()
}

/// Writes a report as a message of the type `kind`, with zero in the checksum's place.
///
/// # Panics
/// If `out` does not have [`report_len`] bytes.
pub(super) fn emit(kind: u8, records: &[GroupRecord], out: &mut [u8]) {
    let [high, low] = (records.len() as u16).to_be_bytes();
    let (header, mut rest) = out.split_at_mut(HEADER_LEN);
    header.copy_from_slice(&[kind, 0, 0, 0, 0, 0, high, low]);
    for record in records {
        let (room, behind) = rest.split_at_mut(record.encoded_len());
        emit_record(record, room);
        rest = behind;
    }
}

fn emit_record(record: &GroupRecord, out: &mut [u8]) {
    let [high, low] = (record.sources.len() as u16).to_be_bytes();
    let (head, addresses) = out.split_at_mut(4);
    // No auxiliary data (RFC 3376 §4.2.6).
    head.copy_from_slice(&[record.kind as u8, 0, high, low]);
    let len = address_len(record.group);
    for (address, room) in
        core::iter::once(&record.group).chain(&record.sources).zip(addresses.chunks_exact_mut(len))
    {
        match address {
            IpAddr::V4(v4) => room.copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => room.copy_from_slice(&v6.octets()),
        }
    }
}

const fn address_len(address: IpAddr) -> usize {
    if address.is_ipv4() { 4 } else { 16 }
}
