//! The table of sockets, and how a packet finds its socket.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use super::bindings::Bindings;
use crate::chunked::Chunked;
use crate::socket::SocketId;
use crate::tcp::FourTuple;

/// Slots that are used again and again, each use with a generation of its own.
#[derive(Debug)]
pub(crate) struct Table<T> {
    slots: Chunked<Slot<T>>,
    /// The free slot that is used next; each knows the one after it. [`NONE`] where there is none.
    free: u32,
    limit: usize,
}

#[derive(Debug)]
pub(crate) struct Slot<T> {
    generation: u32,
    usage: Usage<T>,
}

#[derive(Debug)]
enum Usage<T> {
    Taken(T),
    /// Until it is used again, after this one.
    Free(u32),
}

/// No slot.
const NONE: u32 = u32::MAX;

impl<T> Table<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { slots: Chunked::new(), free: NONE, limit: limit.min(NONE as usize) }
    }

    /// The name that the next value inserted will have; `None` where no slot is left.
    pub(crate) fn vacancy(&self) -> Option<SocketId> {
        match self.slots.get(self.free as usize) {
            Some(slot) => Some(SocketId::new(self.free, slot.generation)),
            None => (self.slots.len() < self.limit).then(|| SocketId::new(self.slots.len() as u32, 0)),
        }
    }

    /// Puts a value into a free slot, or drops it where none is left.
    pub(crate) fn insert(&mut self, value: T) -> Option<SocketId> {
        let id = self.vacancy()?;
        let taken = Usage::Taken(value);
        match self.slots.get_mut(id.slot()) {
            Some(slot) => {
                if let Usage::Free(next) = core::mem::replace(&mut slot.usage, taken) {
                    self.free = next;
                }
            }
            None => self.slots.push(Slot { generation: 0, usage: taken }),
        }
        Some(id)
    }

    #[inline]
    pub(crate) fn get(&self, id: SocketId) -> Option<&T> {
        let slot = self.slots.get(id.slot())?;
        slot.value().filter(|_| slot.generation == id.generation())
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.slot())?;
        if slot.generation == id.generation() { slot.value_mut() } else { None }
    }

    /// The value in a slot, whatever its generation, and its name.
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<(SocketId, &mut T)> {
        let slot = self.slots.get_mut(index as usize)?;
        Some((SocketId::new(index, slot.generation), slot.value_mut()?))
    }

    /// The names of all values that are `wanted`. It looks at every slot: not for what packets can cause.
    pub(crate) fn find_all(&self, wanted: impl Fn(&T) -> bool) -> Vec<SocketId> {
        let is_wanted = |slot: &Slot<T>| slot.value().is_some_and(&wanted);
        let slots = (0..).zip(self.slots.iter()).filter(|(_, slot)| is_wanted(slot));
        slots.map(|(index, slot)| SocketId::new(index, slot.generation)).collect()
    }

    #[inline]
    fn at(&self, index: u32) -> Option<(SocketId, &T)> {
        let slot = self.slots.get(index as usize)?;
        Some((SocketId::new(index, slot.generation), slot.value()?))
    }

    pub(crate) fn remove(&mut self, id: SocketId) -> Option<T> {
        let slot = self.slots.get_mut(id.slot()).filter(|slot| slot.generation == id.generation())?;
        slot.value()?;
        slot.generation = slot.generation.wrapping_add(1);
        let next = core::mem::replace(&mut self.free, id.slot() as u32);
        match core::mem::replace(&mut slot.usage, Usage::Free(next)) {
            Usage::Taken(value) => Some(value),
            Usage::Free(_) => None,
        }
    }
}

impl<T> Slot<T> {
    #[inline]
    fn value(&self) -> Option<&T> {
        match &self.usage {
            Usage::Taken(value) => Some(value),
            Usage::Free(_) => None,
        }
    }

    #[inline]
    fn value_mut(&mut self) -> Option<&mut T> {
        match &mut self.usage {
            Usage::Taken(value) => Some(value),
            Usage::Free(_) => None,
        }
    }
}

/// What an index in [`Demux`] takes at most: a word and a byte of its hash in each bucket, of which seven sixteenths are
/// in use when the table has just doubled.
pub(super) const MOST_BYTES_OF_AN_INDEX: usize = ((size_of::<u32>() + 1) * 16).div_ceil(7);

/// How many connections a shard has where all sockets are in use: what may have to move while one packet waits.
const CONNECTIONS_OF_A_SHARD: usize = 1 << 10;
/// Bits of the hash that tell shards apart reach from the 32nd to below the seven highest.
const MOST_SHARDS: usize = 1 << 16;

/// Finds the socket that a packet is for. The hashes are keyed, so that no peer can choose its ports for them
/// to collide.
#[derive(Debug)]
pub(crate) struct Demux {
    /// The slots of connections, in shards by their hash. A shard that is full grows on its own, so that no packet
    /// waits until millions of connections have moved.
    connections: Box<[HashTable<u32>]>,
    /// Listeners and datagram sockets.
    pub(crate) bindings: Bindings,
    hasher: FixedState,
}

impl Demux {
    /// Finds up to so many sockets.
    pub(crate) fn new(sockets: usize, key: u64) -> Self {
        let hasher = FixedState::with_seed(key);
        let shards = (sockets / CONNECTIONS_OF_A_SHARD).clamp(1, MOST_SHARDS).next_power_of_two();
        Self {
            connections: (0..shards).map(|_| HashTable::new()).collect(),
            bindings: Bindings::new(&hasher),
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
        let index = *self.connections[self.shard(hash)].find(hash, is_it)?;
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
        let hash = self.hasher.hash_one(tuple);
        let shard = self.shard(hash);
        let Self { connections, hasher, .. } = self;
        let rehash = |&index: &u32| {
            table.at(index).and_then(|(_, socket)| name(socket)).map_or(0, |tuple| hasher.hash_one(tuple))
        };
        connections[shard].insert_unique(hash, id.slot() as u32, rehash);
    }

    pub(crate) fn remove_connection(&mut self, tuple: &FourTuple, id: SocketId) {
        let is_it = |&index: &u32| index == id.slot() as u32;
        let hash = self.hasher.hash_one(tuple);
        let shard = self.shard(hash);
        if let Ok(entry) = self.connections[shard].find_entry(hash, is_it) {
            entry.remove();
        }
    }

    /// Where the connections with such a hash stand. The tables within look at its lowest and highest bits.
    #[inline]
    fn shard(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.connections.len() - 1)
    }
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

    #[test]
    fn slots_that_became_free_are_used_again_before_new_ones() {
        let mut table = Table::new(3);
        let ids: Vec<_> = (0..3).map(|n| table.insert(n).unwrap()).collect();
        assert_eq!(table.remove(ids[0]), Some(0));
        assert_eq!(table.remove(ids[2]), Some(2));
        let slots: Vec<_> = (3..5).map(|n| table.insert(n).unwrap().slot()).collect();
        assert_eq!(slots, [2, 0]);
        assert_eq!(table.vacancy(), None);
        assert_eq!(table.get(ids[1]), Some(&1));
    }
}
