//! Which listener or datagram socket has which port: who may share one, and who gets what comes to it.

use alloc::vec::Vec;
use core::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use crate::address::Address;
use crate::socket::SocketId;
use crate::tcp::Endpoint;
use crate::wire::Protocol;

/// With whom a listener or datagram socket shares its port, and to which addresses.
///
/// Two sockets have the same port in common where one of them is bound to all addresses of a family, or both to the
/// same one. Either all of them agree to that, or the second is refused. What comes then goes to the socket that names
/// its address, if there is one; among several that do, see [`reuse_port`](Self::reuse_port).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindOptions {
    /// Share a port with datagram sockets that do so too (`SO_REUSEADDR`). Of those on the same address the last one
    /// that was bound gets what is for one, and all of them what is for a group or for everybody. Listeners share none
    /// by it, as in Linux.
    pub reuse_address: bool,
    /// Share a port with sockets that do so too (`SO_REUSEPORT`). Those on the same address get an equal part each: which
    /// one, the peer's address and port decide.
    pub reuse_port: bool,
    /// A socket on all addresses of IPv6 does not take what comes to those of IPv4 (`IPV6_V6ONLY`, RFC 3493 §5.3).
    pub only_v6: bool,
}

/// The sockets that are bound to a port.
#[derive(Debug)]
pub(crate) struct Bindings {
    sharers: HashMap<(Protocol, Endpoint), Vec<Sharer>, FixedState>,
    /// The addresses on which a port is taken, for whoever wants it on all of them.
    addresses: HashMap<(Protocol, u16), Vec<Address>, FixedState>,
    hasher: FixedState,
}

/// One of the sockets that are bound to the same address and port.
#[derive(Clone, Copy, Debug)]
struct Sharer {
    id: SocketId,
    options: BindOptions,
}

impl Bindings {
    pub(crate) fn new(hasher: &FixedState) -> Self {
        Self {
            sharers: HashMap::with_hasher(hasher.clone()),
            addresses: HashMap::with_hasher(hasher.clone()),
            hasher: hasher.clone(),
        }
    }

    /// Whether a socket on `local` would share its port with one that does not agree.
    pub(crate) fn conflicts(&self, protocol: Protocol, local: Endpoint, options: BindOptions) -> bool {
        names(local, options).any(|name| {
            let taken = |address| self.sharers(protocol, Endpoint { address, ..name });
            let agree = |sharer: &Sharer| agree(protocol, options, sharer.options);
            if !name.address.is_unspecified() {
                return !taken(name.address).iter().chain(taken(name.address.anywhere())).all(agree);
            }
            let addresses = self.addresses.get(&(protocol, name.port)).map_or(&[][..], Vec::as_slice);
            let of_family = |address: &&Address| address.is_v4() == name.address.is_v4();
            !addresses.iter().filter(of_family).all(|&address| taken(address).iter().all(agree))
        })
    }

    /// Adds a socket that [`conflicts`](Self::conflicts) with none.
    pub(crate) fn add(&mut self, protocol: Protocol, local: Endpoint, options: BindOptions, id: SocketId) {
        for name in names(local, options) {
            let sharers = self.sharers.entry((protocol, name)).or_default();
            if sharers.is_empty() {
                self.addresses.entry((protocol, name.port)).or_default().push(name.address);
            }
            sharers.push(Sharer { id, options });
        }
    }

    /// Removes a socket, if it is there.
    pub(crate) fn remove(&mut self, protocol: Protocol, local: Endpoint, id: SocketId) {
        for name in names(local, BindOptions::default()) {
            let Some(sharers) = self.sharers.get_mut(&(protocol, name)) else { continue };
            sharers.retain(|sharer| sharer.id != id);
            if !sharers.is_empty() {
                continue;
            }
            self.sharers.remove(&(protocol, name));
            let port = (protocol, name.port);
            let Some(addresses) = self.addresses.get_mut(&port) else { continue };
            addresses.retain(|address| *address != name.address);
            if addresses.is_empty() {
                self.addresses.remove(&port);
            }
        }
    }

    /// The socket for what comes from `remote` to `local`: of those that are `suited`, one on that address, else one on
    /// all.
    #[inline]
    pub(crate) fn find(
        &self,
        protocol: Protocol,
        local: Endpoint,
        remote: Endpoint,
        suited: impl Fn(SocketId) -> Suited,
    ) -> Option<SocketId> {
        [local, local.anywhere()].into_iter().find_map(|end| match self.sharers(protocol, end) {
            [] => None,
            [one] => (suited(one.id) != Suited::Not).then_some(one.id),
            many => self.choose(many, remote, &suited),
        })
    }

    /// The socket number `n` of those that are bound to `local`, whoever may send to it, on that address or on all.
    pub(crate) fn nth(&self, protocol: Protocol, local: Endpoint, n: usize) -> Option<SocketId> {
        let closest = self.sharers(protocol, local);
        let sharer = match n.checked_sub(closest.len()) {
            None => closest.get(n),
            Some(beyond) => self.sharers(protocol, local.anywhere()).get(beyond),
        };
        sharer.map(|sharer| sharer.id)
    }

    #[inline]
    fn sharers(&self, protocol: Protocol, end: Endpoint) -> &[Sharer] {
        self.sharers.get(&(protocol, end)).map_or(&[], Vec::as_slice)
    }

    /// One of several on the same address: one that has chosen this peer, else the one that the peer's address and port
    /// decide on, else the last one that was bound.
    #[cold]
    fn choose(
        &self,
        sharers: &[Sharer],
        remote: Endpoint,
        suited: &impl Fn(SocketId) -> Suited,
    ) -> Option<SocketId> {
        let of = |wanted: Suited| sharers.iter().filter(move |sharer| suited(sharer.id) == wanted);
        if let Some(own) = of(Suited::Own).next_back() {
            return Some(own.id);
        }
        let last = of(Suited::Any).next_back()?;
        if !last.options.reuse_port {
            return Some(last.id);
        }
        let count = of(Suited::Any).count() as u64;
        let number = self.hasher.hash_one(remote) % count;
        of(Suited::Any).nth(number as usize).map(|sharer| sharer.id)
    }
}

/// How a socket suits a packet that could be for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suited {
    /// It hears another peer only.
    Not,
    /// It hears any peer.
    Any,
    /// It has chosen the packet's sender for its peer.
    Own,
}

/// Whether two sockets may have a port in common.
fn agree(protocol: Protocol, one: BindOptions, other: BindOptions) -> bool {
    (one.reuse_port && other.reuse_port)
        || (protocol != Protocol::TCP && one.reuse_address && other.reuse_address)
}

/// The ends under which a socket on `local` is found: who takes what comes to any address of IPv6 takes what comes to
/// those of IPv4 as well (RFC 3493 §3.7), unless it does not want to.
fn names(local: Endpoint, options: BindOptions) -> impl Iterator<Item = Endpoint> {
    let both = local.address == Address::ANY_V6 && !options.only_v6;
    let v4 = both.then_some(Endpoint { address: Address::ANY_V4, ..local });
    core::iter::once(local).chain(v4)
}
