//! Neighbour discovery (RFC 4861): how hosts and routers of a link find each other.

mod options;

use core::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ipv6::Ipv6Repr;
use super::{MacAddr, Malformed};
use crate::time::Duration;
use options::Options;
pub use options::{PrefixInformation, Prefixes};

/// All hosts of the link (RFC 4291 §2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers of the link (RFC 4291 §2.7.1).
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// The hop limit of every message: one that has passed a router cannot have it.
pub const HOP_LIMIT: u8 = 255;

/// The group of the hosts whose addresses end as `address` does (RFC 4291 §2.7.1): who looks for one of them
/// asks there.
#[must_use]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | a as u16, (b as u16) << 8 | c as u16)
}

/// A message of neighbour discovery that has passed the checks of RFC 4861.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdpRepr<'a> {
    /// Are there routers?
    RouterSolicitation {
        /// The sender's Ethernet address.
        source_mac: Option<MacAddr>,
    },
    /// The sender is a router, and says how its link works.
    RouterAdvertisement(RouterAdvertisement<'a>),
    /// Who has `target`?
    NeighborSolicitation {
        /// The address in question.
        target: Ipv6Addr,
        /// The sender's Ethernet address; none where it asks whether anybody has `target`, to take it for itself.
        source_mac: Option<MacAddr>,
    },
    /// The sender has `target`.
    NeighborAdvertisement {
        /// The address.
        target: Ipv6Addr,
        /// Its Ethernet address.
        target_mac: Option<MacAddr>,
        /// The sender is a router.
        router: bool,
        /// It answers a question.
        solicited: bool,
        /// What was known before shall be forgotten.
        override_known: bool,
    },
    /// There is a better first hop.
    Redirect {
        /// The better one; the destination itself if that is on the link.
        target: Ipv6Addr,
        /// For packets to whom.
        destination: Ipv6Addr,
        /// The Ethernet address of `target`.
        target_mac: Option<MacAddr>,
    },
}

/// What a router tells of itself and its link (RFC 4861 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterAdvertisement<'a> {
    /// The hop limit that packets shall have, if it says.
    pub hop_limit: Option<u8>,
    /// How long it serves as a default router; zero if it does not.
    pub router_lifetime: Duration,
    /// How long a neighbour that has answered is believed to be there, if it says.
    pub reachable_time: Option<Duration>,
    /// The time between two questions to the same neighbour, if it says.
    pub retrans_timer: Option<Duration>,
    /// The router's Ethernet address.
    pub source_mac: Option<MacAddr>,
    /// The MTU of the link in bytes, if it says.
    pub mtu: Option<u32>,
    /// The prefixes of the link.
    pub prefixes: Prefixes<'a>,
}

impl<'a> NdpRepr<'a> {
    /// The first type of ICMPv6 messages that are neighbour discovery's.
    pub const FIRST_KIND: u8 = ROUTER_SOLICITATION;
    /// The last one.
    pub const LAST_KIND: u8 = REDIRECT;

    /// Whether an ICMPv6 message is one of neighbour discovery.
    #[must_use]
    pub fn is_one(message: &[u8]) -> bool {
        message.first().is_some_and(|kind| (Self::FIRST_KIND..=Self::LAST_KIND).contains(kind))
    }

    /// Reads a message, given whole, from a packet with the header `ip`; its checksum has been verified.
    ///
    /// # Errors
    /// [`Malformed::FromAfar`] if it has passed a router; [`Malformed::Truncated`]; [`Malformed::BadOption`];
    /// [`Malformed::BadAddress`] for addresses of which RFC 4861 says that they cannot stand where they do;
    /// [`Malformed::Unsupported`] for codes that mean nothing.
    pub fn parse(ip: &Ipv6Repr, message: &'a [u8]) -> Result<Self, Malformed> {
        // RFC 4861 §6.1.1, §6.1.2, §7.1.1, §7.1.2, §8.1: the same for all of them.
        if ip.hop_limit != HOP_LIMIT {
            return Err(Malformed::FromAfar);
        }
        let &[kind, code, ..] = message else { return Err(Malformed::Truncated) };
        if code != 0 {
            return Err(Malformed::Unsupported);
        }
        match kind {
            ROUTER_SOLICITATION => router_solicitation(ip, message),
            ROUTER_ADVERTISEMENT => router_advertisement(ip, message),
            NEIGHBOR_SOLICITATION => neighbor_solicitation(ip, message),
            NEIGHBOR_ADVERTISEMENT => neighbor_advertisement(ip, message),
            REDIRECT => redirect(ip, message),
            _ => Err(Malformed::Unsupported),
        }
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a message is never without its header")]
    pub const fn len(&self) -> usize {
        match self {
            Self::RouterSolicitation { source_mac } => {
                size_of::<RouterSolicitation>() + options::mac_len(*source_mac)
            }
            Self::NeighborSolicitation { source_mac: mac, .. }
            | Self::NeighborAdvertisement { target_mac: mac, .. } => {
                size_of::<Neighbor>() + options::mac_len(*mac)
            }
            Self::RouterAdvertisement(_) | Self::Redirect { .. } => 0,
        }
    }

    /// Writes the message to the front of `out`, with zero in the checksum's place. Only what hosts send is
    /// written: nothing of what routers tell.
    ///
    /// # Panics
    /// If `out` is shorter than [`len`](Self::len).
    pub fn emit(&self, out: &mut [u8]) {
        match *self {
            Self::RouterSolicitation { source_mac } => {
                let fixed = RouterSolicitation { front: Front::of(ROUTER_SOLICITATION), _reserved: 0.into() };
                let rest = write(&fixed, out);
                options::emit_mac(options::SOURCE_MAC, source_mac, rest);
            }
            Self::NeighborSolicitation { target, source_mac } => {
                let fixed = Neighbor {
                    front: Front::of(NEIGHBOR_SOLICITATION),
                    flags: 0.into(),
                    target: target.octets(),
                };
                let rest = write(&fixed, out);
                options::emit_mac(options::SOURCE_MAC, source_mac, rest);
            }
            Self::NeighborAdvertisement { target, target_mac, router, solicited, override_known } => {
                let flag = |set: bool, flag| if set { flag } else { 0 };
                let flags =
                    flag(router, ROUTER) | flag(solicited, SOLICITED) | flag(override_known, OVERRIDE);
                let fixed = Neighbor {
                    front: Front::of(NEIGHBOR_ADVERTISEMENT),
                    flags: flags.into(),
                    target: target.octets(),
                };
                let rest = write(&fixed, out);
                options::emit_mac(options::TARGET_MAC, target_mac, rest);
            }
            Self::RouterAdvertisement(_) | Self::Redirect { .. } => {}
        }
    }
}

fn router_solicitation<'a>(ip: &Ipv6Repr, message: &'a [u8]) -> Result<NdpRepr<'a>, Malformed> {
    let (_, options) = RouterSolicitation::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
    let source_mac = Options::parse(options)?.source_mac;
    // RFC 4861 §6.1.1.
    if ip.src.is_unspecified() && source_mac.is_some() {
        return Err(Malformed::BadOption);
    }
    Ok(NdpRepr::RouterSolicitation { source_mac })
}

fn router_advertisement<'a>(ip: &Ipv6Repr, message: &'a [u8]) -> Result<NdpRepr<'a>, Malformed> {
    let (fixed, options) = Router::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
    // RFC 4861 §6.1.2.
    if !ip.src.is_unicast_link_local() {
        return Err(Malformed::BadAddress);
    }
    let options = Options::parse(options)?;
    let millis = |field: U32| (field.get() > 0).then(|| Duration::from_millis(u64::from(field.get())));
    Ok(NdpRepr::RouterAdvertisement(RouterAdvertisement {
        hop_limit: (fixed.hop_limit > 0).then_some(fixed.hop_limit),
        router_lifetime: Duration::from_secs(u64::from(fixed.lifetime.get())),
        reachable_time: millis(fixed.reachable_time),
        retrans_timer: millis(fixed.retrans_timer),
        source_mac: options.source_mac,
        mtu: options.mtu,
        prefixes: options.prefixes,
    }))
}

fn neighbor_solicitation<'a>(ip: &Ipv6Repr, message: &'a [u8]) -> Result<NdpRepr<'a>, Malformed> {
    let (fixed, options) = Neighbor::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
    let target = target(fixed.target)?;
    let source_mac = Options::parse(options)?.source_mac;
    // RFC 4861 §7.1.1: who has no address yet asks the group, and does not tell who it is.
    if ip.src.is_unspecified() {
        if ip.dst != solicited_node(target) {
            return Err(Malformed::BadAddress);
        }
        if source_mac.is_some() {
            return Err(Malformed::BadOption);
        }
    }
    Ok(NdpRepr::NeighborSolicitation { target, source_mac })
}

fn neighbor_advertisement<'a>(ip: &Ipv6Repr, message: &'a [u8]) -> Result<NdpRepr<'a>, Malformed> {
    let (fixed, options) = Neighbor::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
    let target = target(fixed.target)?;
    let has = |flag| fixed.flags.get() & flag != 0;
    // RFC 4861 §7.1.2: an answer goes to the one who asked.
    if ip.dst.is_multicast() && has(SOLICITED) {
        return Err(Malformed::BadAddress);
    }
    Ok(NdpRepr::NeighborAdvertisement {
        target,
        target_mac: Options::parse(options)?.target_mac,
        router: has(ROUTER),
        solicited: has(SOLICITED),
        override_known: has(OVERRIDE),
    })
}

fn redirect<'a>(ip: &Ipv6Repr, message: &'a [u8]) -> Result<NdpRepr<'a>, Malformed> {
    let (fixed, options) = RedirectMessage::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
    let destination = Ipv6Addr::from_octets(fixed.destination);
    let target = target(fixed.target)?;
    // RFC 4861 §8.1: routers speak from link-local addresses, and name each other by them.
    let to_router_or_neighbor = target.is_unicast_link_local() || target == destination;
    if !ip.src.is_unicast_link_local() || destination.is_multicast() || !to_router_or_neighbor {
        return Err(Malformed::BadAddress);
    }
    Ok(NdpRepr::Redirect { target, destination, target_mac: Options::parse(options)?.target_mac })
}

/// An address that belongs to one host.
fn target(octets: [u8; 16]) -> Result<Ipv6Addr, Malformed> {
    let target = Ipv6Addr::from_octets(octets);
    if target.is_multicast() { Err(Malformed::BadAddress) } else { Ok(target) }
}

/// Writes the fixed part of a message, and returns the room behind it.
fn write<'o, T: IntoBytes + Immutable>(fixed: &T, out: &'o mut [u8]) -> &'o mut [u8] {
    let (front, rest) = out.split_at_mut(size_of::<T>());
    fixed.write_to(front).expect("the front has the message's size");
    rest
}

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

/// Flags of an advertisement (RFC 4861 §4.4).
const ROUTER: u32 = 1 << 31;
const SOLICITED: u32 = 1 << 30;
const OVERRIDE: u32 = 1 << 29;

/// What every ICMPv6 message begins with.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Front {
    kind: u8,
    code: u8,
    checksum: U16,
}

impl Front {
    fn of(kind: u8) -> Self {
        Self { kind, code: 0, checksum: 0.into() }
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RouterSolicitation {
    front: Front,
    _reserved: U32,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Router {
    _front: Front,
    hop_limit: u8,
    /// Whether DHCPv6 is to be had, which netlane does not speak.
    _flags: u8,
    /// In seconds.
    lifetime: U16,
    /// In milliseconds.
    reachable_time: U32,
    /// In milliseconds.
    retrans_timer: U32,
}

/// A neighbour's solicitation or advertisement.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Neighbor {
    front: Front,
    flags: U32,
    target: [u8; 16],
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RedirectMessage {
    _front: Front,
    _reserved: U32,
    target: [u8; 16],
    destination: [u8; 16],
}

#[cfg(test)]
mod tests;
