//! Packets that arrive in parts (RFC 791 §3.2, RFC 8200 §4.5), put together again.
//!
//! Parts of one packet must not overlap (RFC 5722): whoever lets them can show a filter one packet and its
//! target another. RFC 5722 says so for IPv6; here it holds for IPv4 as well, where no honest sender overlaps its
//! parts either. A packet with overlapping parts is forgotten, and its name poisoned until its time is over. The
//! same part twice does no harm and counts once.

use alloc::boxed::Box;
use alloc::vec::Vec;

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use crate::address::Address;
use crate::recency::Recency;
use crate::time::{Duration, Instant};

/// Packets of which some parts have arrived.
///
/// Where a packet finds no room, the oldest one gives way: the parts of an honest packet arrive within moments
/// of each other, so that a flood of lone parts pushes out itself.
#[derive(Debug)]
pub(crate) struct Reassembly {
    limits: FragmentLimits,
    slots: HashMap<PacketKey, u32, FixedState>,
    packets: Vec<Option<Packet>>,
    free: Vec<u32>,
    /// In the order of their first part, which is that of their deadlines.
    order: Recency,
    /// What all packets take together.
    bytes: usize,
    evicted: u64,
}

/// Bounds of a [`Reassembly`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct FragmentLimits {
    /// Packets in parts.
    pub(crate) packets: usize,
    /// Parts of one packet.
    pub(crate) parts: usize,
    /// Bytes of all parts together, with what it takes to keep them.
    pub(crate) bytes: usize,
}

/// What parts of the same packet have in common (RFC 791 §3.2, RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PacketKey {
    pub(crate) source: Address,
    pub(crate) destination: Address,
    /// The protocol's number over IPv4; 0 over IPv6, whose parts are told apart without it.
    pub(crate) protocol: u8,
    pub(crate) ident: u32,
}

/// A part of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) key: PacketKey,
    /// Where it begins in the payload of the whole.
    pub(crate) offset: u16,
    /// Whether more parts follow it.
    pub(crate) more: bool,
    /// What stands before `payload`. That of the first part becomes the header of the whole.
    pub(crate) header: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// What came of a part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It waits for the others.
    Kept,
    /// It was the last one missing.
    Whole(Whole),
    /// It is here already.
    Duplicate,
    /// It, or an earlier part of the same packet, overlaps another or contradicts it about the end.
    Overlap,
    /// The whole would be longer than a packet can be: the ping of death.
    TooLong,
    /// It is one part too many of its packet, or larger than all the room there is.
    NoRoom,
}

/// A packet put together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// The first part's header as it arrived, and the payload of all.
    pub(crate) bytes: Vec<u8>,
    pub(crate) header_len: usize,
}

/// A packet whose parts did not come in time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) key: PacketKey,
    /// Header and payload of its first part, if that has come: only then is the sender told (RFC 792, RFC 4443
    /// §3.3).
    pub(crate) first: Option<Vec<u8>>,
}

/// How long parts wait for each other: RFC 8200 §4.5; RFC 1122 §3.3.2 allows 60 to 120 s.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// What it takes to keep a part, beside its payload: its place in a list, and what an allocation costs.
const PART_COST: usize = size_of::<Kept>() + 16;
/// What it takes to keep a packet without its parts.
const PACKET_COST: usize = size_of::<Option<Packet>>() + size_of::<(PacketKey, u32)>() + 16;

#[derive(Debug)]
struct Packet {
    key: PacketKey,
    deadline: Instant,
    parts: Parts,
}

#[derive(Debug)]
enum Parts {
    Waiting(Waiting),
    /// They overlapped: those that still come are dropped (RFC 5722 §4).
    Poisoned,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By offset, without overlaps.
    kept: Vec<Kept>,
    /// Of the first part.
    header: Option<Box<[u8]>>,
    /// The length of the whole payload, once the last part has come.
    total: Option<usize>,
    /// Bytes of payload that have come.
    held: usize,
}

#[derive(Debug)]
struct Kept {
    offset: usize,
    payload: Box<[u8]>,
}

/// Why a part does not join the others.
enum Misfit {
    Duplicate,
    Overlap,
}

impl Reassembly {
    /// Nothing yet. `seed` keys the hash table, and has no influence on what comes of parts.
    pub(crate) fn new(limits: FragmentLimits, seed: u64) -> Self {
        Self {
            limits,
            slots: HashMap::with_hasher(FixedState::with_seed(seed)),
            packets: Vec::new(),
            free: Vec::new(),
            order: Recency::new(),
            bytes: 0,
            evicted: 0,
        }
    }

    /// How many packets gave way to younger ones since the last call.
    pub(crate) fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }

    /// Takes a part that arrived at `now`.
    pub(crate) fn insert(&mut self, now: Instant, part: &Part<'_>) -> Outcome {
        let end = usize::from(part.offset) + part.payload.len();
        if part.header.len() + end > part.key.longest() {
            // RFC 8200 §4.5 for IPv6. What came before cannot become a packet either, but its time ends it.
            return Outcome::TooLong;
        }
        if PACKET_COST + PART_COST + part.header.len() + part.payload.len() > self.limits.bytes {
            return Outcome::NoRoom;
        }
        let slot = match self.slots.get(&part.key) {
            Some(&slot) => slot,
            None => self.begin(part.key, now + TIMEOUT),
        };
        let most = self.limits.parts;
        let Some(Packet { parts: Parts::Waiting(waiting), .. }) = self.packet(slot) else {
            return Outcome::Overlap;
        };
        let at = match waiting.place(part, end) {
            Ok(_) if waiting.kept.len() >= most => return Outcome::NoRoom,
            Ok(at) => at,
            Err(Misfit::Duplicate) => return Outcome::Duplicate,
            Err(Misfit::Overlap) => {
                self.poison(slot);
                return Outcome::Overlap;
            }
        };
        let cost_before = waiting.cost();
        waiting.add(at, part, end);
        let cost = waiting.cost();
        let whole = waiting.join();
        self.bytes = self.bytes + cost - cost_before;
        if let Some(whole) = whole {
            self.remove(slot);
            let fits = whole.bytes.len() <= part.key.longest();
            return if fits { Outcome::Whole(whole) } else { Outcome::TooLong };
        }
        while self.bytes > self.limits.bytes {
            self.evict();
        }
        Outcome::Kept
    }

    /// A packet whose time is over at `now`. Call it until there is none.
    #[inline]
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Expired> {
        if self.order.len() == 0 {
            return None;
        }
        self.expire_oldest(now)
    }

    fn expire_oldest(&mut self, now: Instant) -> Option<Expired> {
        let slot = self.order.oldest()?;
        if self.packet(slot)?.deadline > now {
            return None;
        }
        let Packet { key, parts, .. } = self.remove(slot)?;
        Some(Expired { key, first: parts.first() })
    }

    /// When [`expire`](Self::expire) has something to do, unless parts come before.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.order.len() == 0 {
            return None;
        }
        let slot = self.order.oldest()?;
        Some(self.packets[slot as usize].as_ref()?.deadline)
    }

    /// Begins a packet, whose parts may then lie in the slot that is returned.
    fn begin(&mut self, key: PacketKey, deadline: Instant) -> u32 {
        while self.order.len() >= self.limits.packets.max(1) {
            self.evict();
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.packets.push(None);
            (self.packets.len() - 1) as u32
        });
        let parts = Parts::Waiting(Waiting::default());
        self.packets[slot as usize] = Some(Packet { key, deadline, parts });
        self.slots.insert(key, slot);
        self.order.push_newest(slot);
        self.bytes += PACKET_COST;
        slot
    }

    /// Forgets the oldest packet.
    fn evict(&mut self) {
        if let Some(oldest) = self.order.oldest() {
            self.remove(oldest);
            self.evicted += 1;
        }
    }

    fn poison(&mut self, slot: u32) {
        let Some(packet) = self.packet(slot) else { return };
        let parts = core::mem::replace(&mut packet.parts, Parts::Poisoned);
        self.bytes -= parts.cost();
    }

    fn packet(&mut self, slot: u32) -> Option<&mut Packet> {
        self.packets[slot as usize].as_mut()
    }

    fn remove(&mut self, slot: u32) -> Option<Packet> {
        let packet = self.packets[slot as usize].take()?;
        self.slots.remove(&packet.key);
        self.free.push(slot);
        self.order.remove(slot);
        self.bytes -= PACKET_COST + packet.parts.cost();
        Some(packet)
    }
}

impl PacketKey {
    /// The most bytes of a packet, header included.
    const fn longest(&self) -> usize {
        /// Bytes of IPv6 that its length field does not count (RFC 8200 §3), and those of the fragment header, which
        /// the whole does not have.
        const NOT_COUNTED: usize = 40 + 8;
        if self.source.is_v4() { u16::MAX as usize } else { u16::MAX as usize + NOT_COUNTED }
    }
}

impl Waiting {
    /// Where among the others `part`, which ends at `end`, belongs.
    fn place(&self, part: &Part<'_>, end: usize) -> Result<usize, Misfit> {
        let offset = usize::from(part.offset);
        let at = self.kept.partition_point(|kept| kept.offset < offset);
        if self.kept.get(at).is_some_and(|kept| kept.offset == offset && *kept.payload == *part.payload) {
            let same_end = part.more != (self.total == Some(end));
            return Err(if same_end { Misfit::Duplicate } else { Misfit::Overlap });
        }
        let overlaps_last = at > 0 && self.kept[at - 1].end() > offset;
        let overlaps_next = self.kept.get(at).is_some_and(|next| next.offset < end);
        let reach = self.kept.last().map_or(0, Kept::end);
        let contradicts = match self.total {
            Some(total) => end > total || (!part.more && end != total),
            None => !part.more && reach > end,
        };
        if overlaps_last || overlaps_next || contradicts { Err(Misfit::Overlap) } else { Ok(at) }
    }

    fn add(&mut self, at: usize, part: &Part<'_>, end: usize) {
        if !part.more {
            self.total = Some(end);
        }
        if part.offset == 0 {
            self.header = Some(part.header.into());
        }
        if !part.payload.is_empty() {
            let kept = Kept { offset: usize::from(part.offset), payload: part.payload.into() };
            self.kept.insert(at, kept);
            self.held += part.payload.len();
        }
    }

    /// What it takes to keep the parts.
    fn cost(&self) -> usize {
        self.header.as_ref().map_or(0, |header| header.len()) + self.kept.len() * PART_COST + self.held
    }

    /// The packet, if all parts are there.
    fn join(&self) -> Option<Whole> {
        let header = self.header.as_ref().filter(|_| self.total == Some(self.held))?;
        let mut bytes = Vec::with_capacity(header.len() + self.held);
        bytes.extend_from_slice(header);
        for kept in &self.kept {
            bytes.extend_from_slice(&kept.payload);
        }
        Some(Whole { bytes, header_len: header.len() })
    }
}

impl Parts {
    /// What it takes to keep them.
    fn cost(&self) -> usize {
        match self {
            Self::Waiting(waiting) => waiting.cost(),
            Self::Poisoned => 0,
        }
    }

    /// Header and payload of the first part.
    fn first(self) -> Option<Vec<u8>> {
        let Self::Waiting(Waiting { kept, header, .. }) = self else { return None };
        let mut bytes = header?.into_vec();
        bytes.extend_from_slice(&kept.first().filter(|kept| kept.offset == 0)?.payload);
        Some(bytes)
    }
}

impl Kept {
    fn end(&self) -> usize {
        self.offset + self.payload.len()
    }
}

#[cfg(test)]
mod tests;
