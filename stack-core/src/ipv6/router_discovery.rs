//! Router discovery for hosts (RFC 4861 §6.3): who leads off the link, and which addresses are on it.

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use ipnet::Ipv6Net;

use crate::time::{Duration, Instant};
use crate::wire::ndp::{PrefixInformation, RouterAdvertisement};

/// What routers have told about the link.
#[derive(Debug)]
pub(crate) struct RouterDiscovery {
    search: Search,
    /// Routers that lead off the link; the first one is in use (RFC 4861 §5.1: the default router list).
    routers: Vec<Router>,
    /// RFC 4861 §5.1: the prefix list.
    prefixes: Vec<OnLink>,
    limits: RouterLimits,
    /// When the next router or prefix is too old.
    expiry: Option<Instant>,
}

/// What a [`RouterDiscovery`] may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouterLimits {
    /// The most routers.
    pub(crate) routers: usize,
    /// The most prefixes.
    pub(crate) prefixes: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct Router {
    address: Ipv6Addr,
    until: Instant,
}

#[derive(Debug, PartialEq, Eq)]
struct OnLink {
    prefix: Ipv6Addr,
    len: u8,
    /// Forever where `None`.
    until: Option<Instant>,
}

/// How far the search for routers has come (RFC 4861 §6.3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    /// Nobody looks for routers.
    Off,
    /// The next question is due.
    Asking {
        at: Instant,
        /// How long to wait for an answer to it.
        wait: Duration,
    },
    /// A router has answered.
    Found,
}

/// RFC 4861 §10: RTR_SOLICITATION_INTERVAL. RFC 7559 §2 lets the questions go on, ever less often, until a router
/// answers.
const FIRST_WAIT: Duration = Duration::from_secs(4);
/// RFC 7559 §2: MRT.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

impl RouterDiscovery {
    /// Knows nobody, and looks for nobody.
    pub(crate) const fn new(limits: RouterLimits) -> Self {
        Self { search: Search::Off, routers: Vec::new(), prefixes: Vec::new(), limits, expiry: None }
    }

    /// Begins to ask for routers at `at`.
    pub(crate) fn begin(&mut self, at: Instant) {
        self.search = Search::Asking { at, wait: FIRST_WAIT };
    }

    /// A router at `from` has told about itself and the link.
    pub(crate) fn heard(&mut self, now: Instant, from: Ipv6Addr, advertisement: &RouterAdvertisement<'_>) {
        let lifetime = advertisement.router_lifetime;
        if !lifetime.is_zero() {
            // RFC 4861 §6.3.7: an advertisement with a lifetime ends the search.
            self.search = Search::Found;
        }
        self.hear_router(from, (!lifetime.is_zero()).then(|| now + lifetime));
        for prefix in advertisement.prefixes {
            self.hear_prefix(now, &prefix);
        }
        self.reschedule();
    }

    /// The router through which packets leave the link.
    pub(crate) fn default_router(&self) -> Option<Ipv6Addr> {
        self.routers.first().map(|router| router.address)
    }

    /// Whether `address` is that of a router that leads off the link.
    pub(crate) fn is_router(&self, address: Ipv6Addr) -> bool {
        self.routers.iter().any(|router| router.address == address)
    }

    /// `address` does not answer, or says that it is no router (RFC 4861 §6.3.6, §7.2.5): if it was in use, another
    /// one takes its place.
    pub(crate) fn avoid(&mut self, address: Ipv6Addr) {
        if let Some(at) = self.routers.iter().position(|router| router.address == address) {
            let router = self.routers.remove(at);
            self.routers.push(router);
        }
    }

    /// `address` says that it is no router any more.
    pub(crate) fn forget(&mut self, address: Ipv6Addr) {
        self.routers.retain(|router| router.address != address);
        self.reschedule();
    }

    /// The prefixes whose addresses are on the link, as routers have told.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = Ipv6Net> {
        self.prefixes.iter().filter_map(|known| Ipv6Net::new(known.prefix, known.len).ok())
    }

    /// Forgets what is too old, and returns whether routers are to be asked for now.
    pub(crate) fn poll(&mut self, now: Instant) -> bool {
        if self.expiry.is_some_and(|expiry| expiry <= now) {
            self.routers.retain(|router| router.until > now);
            self.prefixes.retain(|prefix| prefix.until.is_none_or(|until| until > now));
            self.reschedule();
        }
        let Search::Asking { at, wait } = self.search else { return false };
        if at > now {
            return false;
        }
        self.search = Search::Asking { at: now + wait, wait: (wait * 2).min(LONGEST_WAIT) };
        true
    }

    /// When to call [`poll`](Self::poll) next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let question = match self.search {
            Search::Asking { at, .. } => Some(at),
            Search::Off | Search::Found => None,
        };
        [question, self.expiry].into_iter().flatten().min()
    }

    /// RFC 4861 §6.3.4: a router is known until its lifetime ends, and forgotten when it says so.
    fn hear_router(&mut self, address: Ipv6Addr, until: Option<Instant>) {
        let known = self.routers.iter().position(|router| router.address == address);
        match (known, until) {
            (Some(at), Some(until)) => self.routers[at].until = until,
            (Some(at), None) => drop(self.routers.remove(at)),
            (None, Some(until)) if self.routers.len() < self.limits.routers => {
                self.routers.push(Router { address, until });
            }
            (None, _) => {}
        }
    }

    fn hear_prefix(&mut self, now: Instant, told: &PrefixInformation) {
        // RFC 4861 §6.3.4: without the flag, nothing is said; the link-local prefix is not a router's to tell.
        if !told.on_link || told.prefix.is_unicast_link_local() {
            return;
        }
        let (prefix, len) = (told.prefix, told.prefix_len);
        let known = self.prefixes.iter().position(|known| known.prefix == prefix && known.len == len);
        let until = told.valid_lifetime.map(|lifetime| now + lifetime);
        match known {
            Some(at) if told.valid_lifetime == Some(Duration::ZERO) => drop(self.prefixes.remove(at)),
            Some(at) => self.prefixes[at].until = until,
            None if told.valid_lifetime == Some(Duration::ZERO) => {}
            None if self.prefixes.len() < self.limits.prefixes => {
                self.prefixes.push(OnLink { prefix, len, until });
            }
            None => {}
        }
    }

    fn reschedule(&mut self) {
        let routers = self.routers.iter().map(|router| router.until);
        let prefixes = self.prefixes.iter().filter_map(|prefix| prefix.until);
        self.expiry = routers.chain(prefixes).min();
    }
}

#[cfg(test)]
mod tests;
