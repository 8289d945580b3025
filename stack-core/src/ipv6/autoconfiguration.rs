//! Stateless address autoconfiguration (RFC 4862 §5.5): addresses made from the prefixes that routers advertise.

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use crate::time::{Duration, Instant};
use crate::wire::MacAddr;
use crate::wire::ndp::PrefixInformation;

/// The lower half of our addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceId(u64);

impl InterfaceId {
    /// The one that belongs to an Ethernet address (RFC 4291, appendix A: modified EUI-64).
    pub(crate) const fn from_mac(mac: MacAddr) -> Self {
        let MacAddr([a, b, c, d, e, f]) = mac;
        Self(u64::from_be_bytes([a ^ 0x02, b, c, 0xff, 0xfe, d, e, f]))
    }

    /// The address with it that begins with the 64 bits of `prefix`.
    pub(crate) const fn under(self, prefix: Ipv6Addr) -> Ipv6Addr {
        Ipv6Addr::from_bits(prefix.to_bits() >> 64 << 64 | self.0 as u128)
    }

    /// The link-local address with it (RFC 4862 §5.3).
    pub(crate) const fn link_local(self) -> Ipv6Addr {
        self.under(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0))
    }
}

/// The addresses that were made from advertised prefixes.
#[derive(Debug)]
pub(crate) struct Autoconfiguration {
    id: InterfaceId,
    addresses: Vec<Lease>,
    /// The most addresses.
    limit: usize,
    next: Option<Instant>,
}

#[derive(Debug)]
struct Lease {
    address: Ipv6Addr,
    /// Forever where `None`; past and gone where `deprecated`.
    preferred_until: Option<Instant>,
    /// Forever where `None`.
    valid_until: Option<Instant>,
    deprecated: bool,
}

/// What becomes of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Formation {
    /// It is new, to be used once it has proven unique.
    Formed(Ipv6Addr),
    /// New connections may use it again.
    Preferred(Ipv6Addr),
    /// New connections shall not use it where there is another.
    Deprecated(Ipv6Addr),
    /// It is not ours any more.
    Expired(Ipv6Addr),
}

/// The length of the prefixes that addresses are made from: what an [`InterfaceId`] leaves (RFC 4862 §5.5.3 (d)).
pub(crate) const PREFIX_LEN: u8 = 64;

/// RFC 4862 §5.5.3 (e): nobody shortens the validity of an address to less than this, since who says so could be
/// anybody.
const TWO_HOURS: Duration = Duration::from_secs(7_200);

impl Autoconfiguration {
    /// No addresses yet; at most `limit` of them, which end with `id`.
    pub(crate) const fn new(id: InterfaceId, limit: usize) -> Self {
        Self { id, addresses: Vec::new(), limit, next: None }
    }

    /// A router advertises a prefix.
    pub(crate) fn heard(&mut self, now: Instant, told: &PrefixInformation) -> Option<Formation> {
        let lifetimes = (told.preferred_lifetime, told.valid_lifetime);
        // RFC 4862 §5.5.3 (a), (b), (c).
        let longer_preferred = match lifetimes {
            (Some(preferred), Some(valid)) => preferred > valid,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if !told.autonomous || told.prefix.is_unicast_link_local() || longer_preferred {
            return None;
        }
        if told.prefix_len != PREFIX_LEN || told.prefix.is_multicast() || told.prefix.is_unspecified() {
            return None;
        }
        let address = self.id.under(told.prefix);
        let change = match self.addresses.iter_mut().find(|lease| lease.address == address) {
            Some(lease) => lease.renew(now, told),
            None => self.form(now, address, told),
        };
        self.reschedule();
        change
    }

    /// What has become of an address by `now`.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Formation> {
        self.next.filter(|next| *next <= now)?;
        let passed = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        let mut change = None;
        for (at, lease) in self.addresses.iter_mut().enumerate() {
            if passed(lease.valid_until) {
                change = Some(Formation::Expired(lease.address));
                self.addresses.remove(at);
                break;
            }
            if !lease.deprecated && passed(lease.preferred_until) {
                lease.deprecated = true;
                change = Some(Formation::Deprecated(lease.address));
                break;
            }
        }
        self.reschedule();
        change
    }

    /// When to call [`poll`](Self::poll) next.
    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    /// RFC 4862 §5.5.3 (d).
    fn form(&mut self, now: Instant, address: Ipv6Addr, told: &PrefixInformation) -> Option<Formation> {
        if told.valid_lifetime == Some(Duration::ZERO) || self.addresses.len() >= self.limit {
            return None;
        }
        self.addresses.push(Lease {
            address,
            preferred_until: told.preferred_lifetime.map(|lifetime| now + lifetime),
            valid_until: told.valid_lifetime.map(|lifetime| now + lifetime),
            deprecated: false,
        });
        Some(Formation::Formed(address))
    }

    fn reschedule(&mut self) {
        let due = |lease: &Lease| {
            let preferred = lease.preferred_until.filter(|_| !lease.deprecated);
            [preferred, lease.valid_until].into_iter().flatten().min()
        };
        self.next = self.addresses.iter().filter_map(due).min();
    }
}

impl Lease {
    /// RFC 4862 §5.5.3 (e).
    fn renew(&mut self, now: Instant, told: &PrefixInformation) -> Option<Formation> {
        self.preferred_until = told.preferred_lifetime.map(|lifetime| now + lifetime);
        let remaining = self.valid_until.map(|until| until - now);
        match (told.valid_lifetime, remaining) {
            (None, _) => self.valid_until = None,
            (Some(told), None) => self.valid_until = Some(now + told.max(TWO_HOURS)),
            (Some(told), Some(left)) if told > TWO_HOURS || told > left => {
                self.valid_until = Some(now + told);
            }
            (Some(_), Some(left)) if left <= TWO_HOURS => {}
            (Some(_), Some(_)) => self.valid_until = Some(now + TWO_HOURS),
        }
        let deprecated = self.preferred_until.is_some_and(|until| until <= now);
        let was_deprecated = core::mem::replace(&mut self.deprecated, deprecated);
        match (was_deprecated, deprecated) {
            (true, false) => Some(Formation::Preferred(self.address)),
            (false, true) => Some(Formation::Deprecated(self.address)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
