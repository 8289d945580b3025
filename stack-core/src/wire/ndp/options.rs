//! The options of neighbour discovery (RFC 4861 §4.6).

use core::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::time::Duration;
use crate::wire::{MacAddr, Malformed};

/// What the options of a message say; those that netlane has no use for are skipped (RFC 4861 §4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Options<'a> {
    pub(super) source_mac: Option<MacAddr>,
    pub(super) target_mac: Option<MacAddr>,
    pub(super) mtu: Option<u32>,
    pub(super) prefixes: Prefixes<'a>,
}

/// The prefixes that a router advertises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes<'a> {
    /// Options that have been found whole.
    options: &'a [u8],
}

/// A prefix of the link (RFC 4861 §4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixInformation {
    /// The prefix; the bits behind its length are zero.
    pub prefix: Ipv6Addr,
    /// Its length in bits, at most 128.
    pub prefix_len: u8,
    /// Addresses with this prefix are neighbours.
    pub on_link: bool,
    /// Hosts may make themselves addresses with this prefix.
    pub autonomous: bool,
    /// How long the prefix is valid; forever where `None`.
    pub valid_lifetime: Option<Duration>,
    /// How long addresses with this prefix are as good as others; forever where `None`.
    pub preferred_lifetime: Option<Duration>,
}

impl<'a> Options<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut options =
            Self { source_mac: None, target_mac: None, mtu: None, prefixes: Prefixes { options: bytes } };
        let mut rest = bytes;
        while !rest.is_empty() {
            let (kind, body);
            (kind, body, rest) = split_first(rest)?;
            match kind {
                SOURCE_MAC => options.source_mac = Some(mac(body)?),
                TARGET_MAC => options.target_mac = Some(mac(body)?),
                MTU => {
                    let body = Mtu::read_from_bytes(body).map_err(|_| Malformed::BadOption)?;
                    options.mtu = Some(body.mtu.get());
                }
                PREFIX_INFORMATION if body.len() != size_of::<Prefix>() => return Err(Malformed::BadOption),
                _ => {}
            }
        }
        Ok(options)
    }
}

impl Iterator for Prefixes<'_> {
    type Item = PrefixInformation;

    fn next(&mut self) -> Option<PrefixInformation> {
        while !self.options.is_empty() {
            let (kind, body, rest) = split_first(self.options).ok()?;
            self.options = rest;
            if kind == PREFIX_INFORMATION
                && let Some(prefix) = Prefix::read_from_bytes(body).ok().and_then(|prefix| prefix.read())
            {
                return Some(prefix);
            }
        }
        None
    }
}

/// Bytes of an option that tells an Ethernet address, if it is told.
pub(super) const fn mac_len(mac: Option<MacAddr>) -> usize {
    if mac.is_some() { UNIT } else { 0 }
}

/// Writes the option that tells an Ethernet address, if it is told.
pub(super) fn emit_mac(kind: u8, mac: Option<MacAddr>, out: &mut [u8]) {
    if let Some(MacAddr([a, b, c, d, e, f])) = mac {
        out[..UNIT].copy_from_slice(&[kind, 1, a, b, c, d, e, f]);
    }
}

pub(super) const SOURCE_MAC: u8 = 1;
pub(super) const TARGET_MAC: u8 = 2;
const PREFIX_INFORMATION: u8 = 3;
const MTU: u8 = 5;

/// What lengths of options are counted in, in bytes.
const UNIT: usize = 8;

/// The kind and the body of the first option, and what follows it.
fn split_first(options: &[u8]) -> Result<(u8, &[u8], &[u8]), Malformed> {
    let &[kind, units, ..] = options else { return Err(Malformed::BadOption) };
    // RFC 4861 §4.6: an option without length makes the whole packet invalid.
    if units == 0 {
        return Err(Malformed::BadOption);
    }
    let (option, rest) = options.split_at_checked(usize::from(units) * UNIT).ok_or(Malformed::BadOption)?;
    Ok((kind, option.get(2..).unwrap_or_default(), rest))
}

fn mac(body: &[u8]) -> Result<MacAddr, Malformed> {
    let mac = MacAddr::read_from_bytes(body).map_err(|_| Malformed::BadOption)?;
    if mac.is_multicast() { Err(Malformed::BadAddress) } else { Ok(mac) }
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Mtu {
    _reserved: U16,
    mtu: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Prefix {
    len: u8,
    flags: u8,
    /// In seconds.
    valid: U32,
    /// In seconds.
    preferred: U32,
    _reserved: U32,
    prefix: [u8; 16],
}

impl Prefix {
    /// What the option says, if that can be: no prefix is longer than an address.
    fn read(&self) -> Option<PrefixInformation> {
        const ON_LINK: u8 = 0x80;
        const AUTONOMOUS: u8 = 0x40;
        let hidden = 128_u32.checked_sub(u32::from(self.len))?;
        let mask = u128::MAX.checked_shl(hidden).unwrap_or(0);
        Some(PrefixInformation {
            prefix: Ipv6Addr::from_bits(u128::from_be_bytes(self.prefix) & mask),
            prefix_len: self.len,
            on_link: self.flags & ON_LINK != 0,
            autonomous: self.flags & AUTONOMOUS != 0,
            valid_lifetime: lifetime(self.valid),
            preferred_lifetime: lifetime(self.preferred),
        })
    }
}

/// RFC 4861 §4.6.2: all bits stand for infinity.
fn lifetime(seconds: U32) -> Option<Duration> {
    (seconds.get() < u32::MAX).then(|| Duration::from_secs(u64::from(seconds.get())))
}
