//! The table of sockets, and how a packet finds its socket.

use alloc::vec::Vec;
use core::hash::{BuildHasher, Hash};

use foldhash::quality::FixedState;
use hashbrown::{HashMap, HashTable};

use crate::address::Address;
use crate::socket::SocketId;
use crate::tcp::{Endpoint, FourTuple};
use crate::wire::Protocol;

/// Slots that are used again and again, each use with a generation of its own.
#[derive(Debug)]
pub(crate) struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    limit: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Table<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), limit: limit.min(u32::MAX as usize) }
    }

    /// The name that the next value inserted will have; `None` where no slot is left.
    pub(crate) fn vacancy(&self) -> Option<SocketId> {
        match self.free.last() {
            Some(&index) => Some(SocketId::new(index, self.slots[index as usize].generation)),
            None => (self.slots.len() < self.limit).then(|| SocketId::new(self.slots.len() as u32, 0)),
        }
    }

    /// Puts a value into a free slot, or drops it where none is left.
    pub(crate) fn insert(&mut self, value: T) -> Option<SocketId> {
        let id = self.vacancy()?;
        if self.free.pop().is_none() {
            self.slots.push(Slot { generation: 0, value: None });
        }
        self.slots[id.slot()].value = Some(value);
        Some(id)
    }

    #[inline]
    pub(crate) fn get(&self, id: SocketId) -> Option<&T> {
        let slot = self.slots.get(id.slot())?;
        slot.value.as_ref().filter(|_| slot.generation == id.generation())
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.slot())?;
        if slot.generation == id.generation() { slot.value.as_mut() } else { None }
    }

    /// The value in a slot, whatever its generation, and its name.
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<(SocketId, &mut T)> {
        let slot = self.slots.get_mut(index as usize)?;
        Some((SocketId::new(index, slot.generation), slot.value.as_mut()?))
    }

    /// The names of all values that are `wanted`. It looks at every slot: not for what packets can cause.
    pub(crate) fn find_all(&self, wanted: impl Fn(&T) -> bool) -> Vec<SocketId> {
        let is_wanted = |slot: &Slot<T>| slot.value.as_ref().is_some_and(&wanted);
        let slots = (0..).zip(&self.slots).filter(|(_, slot)| is_wanted(slot));
        slots.map(|(index, slot)| SocketId::new(index, slot.generation)).collect()
    }

    #[inline]
    fn at(&self, index: u32) -> Option<(SocketId, &T)> {
        let slot = self.slots.get(index as usize)?;
        Some((SocketId::new(index, slot.generation), slot.value.as_ref()?))
    }

    pub(crate) fn remove(&mut self, id: SocketId) -> Option<T> {
        let slot = self.slots.get_mut(id.slot()).filter(|slot| slot.generation == id.generation())?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot() as u32);
        Some(value)
    }
}

/// Finds the socket that a packet is for. The hashes are keyed, so that no peer can choose its ports for them
/// to collide.
#[derive(Debug)]
pub(crate) struct Demux {
    connections: HashTable<u32>,
    listeners: HashMap<Endpoint, SocketId, FixedState>,
    datagrams: HashMap<(Protocol, Endpoint), SocketId, FixedState>,
    hasher: FixedState,
}

impl Demux {
    pub(crate) fn new(key: u64) -> Self {
        let hasher = FixedState::with_seed(key);
        Self {
            connections: HashTable::new(),
            listeners: HashMap::with_hasher(hasher.clone()),
            datagrams: HashMap::with_hasher(hasher.clone()),
            hasher,
        }
    }

    /// The connection between two ends. `name` tells the ends of the socket in a slot.
    #[inline]
    pub(crate) fn connection<T>(
        &self,
        table: &Table<T>,
        tuple: &FourTuple,
        name: impl Fn(&T) -> Option<&FourTuple>,
    ) -> Option<SocketId> {
        let hash = self.hasher.hash_one(tuple);
        let is_it = |&index: &u32| table.at(index).and_then(|(_, socket)| name(socket)) == Some(tuple);
        let index = *self.connections.find(hash, is_it)?;
        table.at(index).map(|(id, _)| id)
    }

    /// Adds a connection that [`connection`](Self::connection) does not find yet.
    pub(crate) fn add_connection<T>(
        &mut self,
        table: &Table<T>,
        tuple: &FourTuple,
        id: SocketId,
        name: impl Fn(&T) -> Option<&FourTuple>,
    ) {
        let Self { connections, hasher, .. } = self;
        let rehash = |&index: &u32| {
            table.at(index).and_then(|(_, socket)| name(socket)).map_or(0, |tuple| hasher.hash_one(tuple))
        };
        connections.insert_unique(hasher.hash_one(tuple), id.slot() as u32, rehash);
    }

    pub(crate) fn remove_connection(&mut self, tuple: &FourTuple, id: SocketId) {
        let is_it = |&index: &u32| index == id.slot() as u32;
        if let Ok(entry) = self.connections.find_entry(self.hasher.hash_one(tuple), is_it) {
            entry.remove();
        }
    }

    /// The listener for connections to `local`: one on that address, else one on all.
    pub(crate) fn listener(&self, local: Endpoint) -> Option<SocketId> {
        bound(&self.listeners, local, |end| end)
    }

    /// The datagram socket for packets of `protocol` to `local`: one on that address, else one on all.
    pub(crate) fn datagram(&self, protocol: Protocol, local: Endpoint) -> Option<SocketId> {
        bound(&self.datagrams, local, |end| (protocol, end))
    }

    /// The datagram sockets for packets of `protocol` to `local`: one on that address, and one on all.
    pub(crate) fn datagrams(&self, protocol: Protocol, local: Endpoint) -> [Option<SocketId>; 2] {
        [local, local.anywhere()].map(|end| self.datagrams.get(&(protocol, end)).copied())
    }

    /// Whether a listener on `local` would take connections from another one.
    pub(crate) fn listener_conflicts(&self, local: Endpoint) -> bool {
        names(local).any(|local| self.listeners.contains_key(&local))
    }

    /// Whether a socket on `local` would take datagrams from another one.
    pub(crate) fn datagram_conflicts(&self, protocol: Protocol, local: Endpoint) -> bool {
        names(local).any(|local| self.datagrams.contains_key(&(protocol, local)))
    }

    pub(crate) fn add_listener(&mut self, local: Endpoint, id: SocketId) {
        self.listeners.extend(names(local).map(|local| (local, id)));
    }

    pub(crate) fn remove_listener(&mut self, local: Endpoint) {
        for local in names(local) {
            self.listeners.remove(&local);
        }
    }

    pub(crate) fn add_datagram(&mut self, protocol: Protocol, local: Endpoint, id: SocketId) {
        self.datagrams.extend(names(local).map(|local| ((protocol, local), id)));
    }

    pub(crate) fn remove_datagram(&mut self, protocol: Protocol, local: Endpoint, id: SocketId) {
        for local in names(local) {
            // A socket that was closed with datagrams left to send may have a successor here.
            if self.datagrams.get(&(protocol, local)) == Some(&id) {
                self.datagrams.remove(&(protocol, local));
            }
        }
    }
}

/// The ends under which a socket on `local` is found: who takes what comes to any address of IPv6 takes what comes to
/// those of IPv4 as well (RFC 3493 §3.7).
fn names(local: Endpoint) -> impl Iterator<Item = Endpoint> {
    let both = local.address == Address::ANY_V6;
    let v4 = both.then_some(Endpoint { address: Address::ANY_V4, ..local });
    core::iter::once(local).chain(v4)
}

fn bound<K: Hash + Eq>(
    map: &HashMap<K, SocketId, FixedState>,
    local: Endpoint,
    key: impl Fn(Endpoint) -> K,
) -> Option<SocketId> {
    let anywhere = local.anywhere();
    map.get(&key(local)).or_else(|| map.get(&key(anywhere))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_kept_for_too_long_names_nothing() {
        let mut table = Table::new(1);
        let first = table.insert(1).unwrap();
        assert!(table.insert(2).is_none(), "the table is full");
        assert_eq!(table.remove(first), Some(1));
        let second = table.insert(2).unwrap();
        assert_eq!(second.slot(), first.slot());
        assert_eq!(table.get(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get(second), Some(&2));
    }
}
