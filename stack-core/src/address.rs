//! IP addresses of both families in one form, so that nothing has to ask which family it deals with until a
//! header is read or written.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlane_packet_io::IpVersion;

use crate::wire::{ipv4, ipv6};

/// An IP address. Those of IPv4 are mapped into IPv6 (RFC 4291 §2.5.5.2), so that both families are moved, hashed
/// and compared alike, in two whole registers. Packed, for a connection keeps two of them.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(Rust, packed(2))]
pub(crate) struct Address {
    high: u64,
    low: u64,
}

/// What stands before an IPv4 address in its mapped form.
const MAPPED: u64 = 0xffff;

impl Address {
    /// No address of IPv4, or all of them.
    pub(crate) const ANY_V4: Self = Self::v4(Ipv4Addr::UNSPECIFIED);
    /// All hosts of the link.
    pub(crate) const BROADCAST: Self = Self::v4(Ipv4Addr::BROADCAST);
    /// No address of IPv6, or all of them.
    pub(crate) const ANY_V6: Self = Self::v6(Ipv6Addr::UNSPECIFIED);

    #[inline]
    pub(crate) const fn v4(address: Ipv4Addr) -> Self {
        Self { high: 0, low: MAPPED << 32 | address.to_bits() as u64 }
    }

    /// A mapped address of IPv4 is taken as what it stands for.
    #[inline]
    pub(crate) const fn v6(address: Ipv6Addr) -> Self {
        let bits = address.to_bits();
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }

    /// The address, if it is one of IPv4.
    #[inline]
    pub(crate) const fn as_v4(self) -> Option<Ipv4Addr> {
        if self.is_v4() { Some(Ipv4Addr::from_bits(self.low as u32)) } else { None }
    }

    /// The address as one of IPv6, mapped if it is one of IPv4.
    #[inline]
    pub(crate) const fn to_v6(self) -> Ipv6Addr {
        Ipv6Addr::from_bits((self.high as u128) << 64 | self.low as u128)
    }

    #[inline]
    pub(crate) const fn is_v4(self) -> bool {
        self.high == 0 && self.low >> 32 == MAPPED
    }

    /// Bytes of an IP header of the same family, without options and extension headers.
    #[inline]
    pub(crate) const fn header_len(self) -> usize {
        if self.is_v4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN }
    }

    /// The unspecified address of the same family.
    #[inline]
    pub(crate) const fn anywhere(self) -> Self {
        if self.is_v4() { Self::ANY_V4 } else { Self::ANY_V6 }
    }

    /// The version of IP that it is an address of.
    #[inline]
    pub(crate) const fn version(self) -> IpVersion {
        if self.is_v4() { IpVersion::V4 } else { IpVersion::V6 }
    }

    pub(crate) fn is_unspecified(self) -> bool {
        self == Self::ANY_V4 || self == Self::ANY_V6
    }

    pub(crate) const fn is_multicast(self) -> bool {
        match self.as_v4() {
            Some(v4) => v4.is_multicast(),
            None => self.to_v6().is_multicast(),
        }
    }

    /// Whether the address may be one host's: no group, not everybody, not nobody.
    pub(crate) fn is_host(self) -> bool {
        !self.is_unspecified() && !self.is_multicast() && self != Self::BROADCAST
    }

    pub(crate) const fn is_loopback(self) -> bool {
        match self.as_v4() {
            Some(v4) => v4.is_loopback(),
            None => self.to_v6().is_loopback(),
        }
    }
}

impl From<IpAddr> for Address {
    #[inline]
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::v4(v4),
            IpAddr::V6(v6) => Self::v6(v6),
        }
    }
}

impl From<Ipv4Addr> for Address {
    #[inline]
    fn from(address: Ipv4Addr) -> Self {
        Self::v4(address)
    }
}

impl From<Ipv6Addr> for Address {
    #[inline]
    fn from(address: Ipv6Addr) -> Self {
        Self::v6(address)
    }
}

impl From<Address> for IpAddr {
    #[inline]
    fn from(address: Address) -> Self {
        address.as_v4().map_or_else(|| Self::V6(address.to_v6()), Self::V4)
    }
}

/// In as few words as possible, since every packet pays for it. Addresses of different families may collide: they
/// are still told apart by comparison.
impl Hash for Address {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        if !self.is_v4() {
            state.write_u64(self.high);
        }
        state.write_u64(self.low);
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&IpAddr::from(*self), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_come_back_as_they_were() {
        for text in ["0.0.0.0", "10.0.0.1", "255.255.255.255", "::", "::1", "2001:db8::5:1", "fe80::1"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(IpAddr::from(Address::from(address)), address);
        }
    }

    #[test]
    fn a_mapped_address_is_the_one_that_it_stands_for() {
        let mapped: Ipv6Addr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(Address::v6(mapped), Address::v4(Ipv4Addr::new(10, 0, 0, 1)));
    }

    #[test]
    fn any_address_is_one_of_its_own_family() {
        assert_eq!(Address::v4(Ipv4Addr::LOCALHOST).anywhere(), Address::ANY_V4);
        assert_eq!(Address::v6(Ipv6Addr::LOCALHOST).anywhere(), Address::ANY_V6);
        assert_ne!(Address::ANY_V4, Address::ANY_V6);
    }
}
