//! The neighbour cache: which Ethernet address answers to an IP address on the link, and the packets that
//! wait until that is known.
//!
//! It knows neither ARP nor NDP. Whoever speaks them tells what was [heard](NeighborCache::learn), and sends
//! the probes that [`poll`](NeighborCache::poll) asks for. The states are those of RFC 4861 §7.3.2 without
//! its delay; for ARP they amount to the unicast polls of RFC 1122 §2.3.2.1.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use crate::address::Address;
use crate::recency::Recency;
use crate::time::{Duration, Instant};
use crate::wheel::TimerWheel;
use crate::wire::MacAddr;

/// The neighbours of a link, and packets of type `P` that wait for them.
///
/// Ask only for addresses on the link that belong to one host: groups have Ethernet addresses of their own.
#[derive(Debug)]
pub(crate) struct NeighborCache<P> {
    limits: NeighborLimits,
    /// Slots by IP address. Nothing iterates over it, since its order is random.
    slots: HashMap<Address, u32, FixedState>,
    neighbors: Vec<Option<Neighbor<P>>>,
    /// Slots of `neighbors` that hold `None`.
    free: Vec<u32>,
    /// Slots whose Ethernet address is known and may be forgotten.
    resolved: Recency,
    /// How many are incomplete.
    unresolved: usize,
    timers: TimerWheel,
}

/// What a [`NeighborCache`] may hold, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeighborLimits {
    /// The most neighbours, without the permanent ones. Of those that are resolved, the one that was not used
    /// for the longest time gives way to a new one.
    pub(crate) neighbors: usize,
    /// The most neighbours that are being resolved at the same time.
    pub(crate) unresolved: usize,
    /// The most packets that wait for the same neighbour; at least one does (RFC 1122 §2.3.2.2).
    pub(crate) waiting: usize,
    /// How long a neighbour that has answered is believed to be there (RFC 4861 §6.3.2: BaseReachableTime).
    pub(crate) reachable_time: Duration,
    /// Time between two probes, and from the last one to giving up (RFC 4861 §6.3.2: RetransTimer). RFC 1122
    /// §2.3.2.1 allows no more than one ARP request a second for the same address.
    pub(crate) probe_interval: Duration,
}

impl Default for NeighborLimits {
    fn default() -> Self {
        // RFC 4861 §10: REACHABLE_TIME, RETRANS_TIMER.
        Self {
            neighbors: 1024,
            unresolved: 64,
            waiting: 8,
            reachable_time: Duration::from_secs(30),
            probe_interval: Duration::from_secs(1),
        }
    }
}

/// What was heard of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It answers, whether asked or not: an ARP reply to us.
    Reply,
    /// It asks for one of our addresses, and tells its own: an ARP request to us.
    Request,
    /// It tells others: an ARP announcement, or a request for somebody else.
    Announcement,
}

/// What [`NeighborCache::poll`] wants done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NeighborAction<P> {
    /// Ask for `ip`.
    Probe {
        /// The address in question.
        ip: Address,
        /// Whom to ask: the Ethernet address that was right so far, or everybody if there is none.
        mac: Option<MacAddr>,
    },
    /// Nobody answered: these packets cannot be delivered.
    Unreachable {
        /// The address that nobody answers for.
        ip: Address,
        /// What has waited for it, oldest first.
        packets: VecDeque<P>,
    },
}

/// How often a neighbour is asked before it counts as gone (RFC 4861 §10: MAX_MULTICAST_SOLICIT and
/// MAX_UNICAST_SOLICIT).
const MAX_PROBES: u8 = 3;

/// A deadline that has always passed: the next poll takes it.
const AT_ONCE: Instant = Instant::ZERO;

#[derive(Debug)]
struct Neighbor<P> {
    ip: Address,
    state: State<P>,
}

#[derive(Debug)]
enum State<P> {
    /// Nobody has answered yet. A timer runs for the next probe.
    Incomplete { waiting: VecDeque<P>, probes: u8 },
    /// It has answered lately. A timer runs until that is long ago.
    Reachable(MacAddr),
    /// It was there once; to be verified when it is used next.
    Stale(MacAddr),
    /// Used while stale, and being asked whether it is still there. A timer runs for the next probe.
    Probed { mac: MacAddr, probes: u8 },
    /// From the configuration, and above doubt.
    Permanent(MacAddr),
}

impl<P> State<P> {
    const fn mac(&self) -> Option<MacAddr> {
        match self {
            Self::Incomplete { .. } => None,
            Self::Reachable(mac) | Self::Stale(mac) | Self::Probed { mac, .. } | Self::Permanent(mac) => {
                Some(*mac)
            }
        }
    }
}

impl<P> NeighborCache<P> {
    /// An empty cache. `seed` keys its hash table: to be kept from the neighbours, and without influence on
    /// what the cache does.
    #[must_use]
    pub(crate) fn new(limits: NeighborLimits, seed: u64) -> Self {
        Self {
            limits,
            slots: HashMap::with_hasher(FixedState::with_seed(seed)),
            neighbors: Vec::new(),
            free: Vec::new(),
            resolved: Recency::new(),
            unresolved: 0,
            timers: TimerWheel::new(),
        }
    }

    /// The Ethernet address for packets to `ip`, if it is known; else give the packet to
    /// [`enqueue`](Self::enqueue). To look it up is to use it: if it is stale, probes go out to verify it.
    #[inline]
    pub(crate) fn lookup(&mut self, ip: Address) -> Option<MacAddr> {
        let slot = *self.slots.get(&ip)?;
        let state = &mut self.neighbors[slot as usize].as_mut()?.state;
        let mac = state.mac()?;
        match state {
            State::Permanent(_) => return Some(mac),
            State::Stale(_) => {
                *state = State::Probed { mac, probes: 0 };
                self.timers.set(slot, AT_ONCE);
            }
            State::Incomplete { .. } | State::Reachable(_) | State::Probed { .. } => {}
        }
        self.resolved.touch(slot);
        Some(mac)
    }

    /// Keeps `packet` until the Ethernet address for `ip` is known, and begins to ask for it.
    ///
    /// Returns the packet that finds no room: the oldest one that waits for the same neighbour, or `packet`
    /// itself if too many neighbours are being resolved or if this one needs no resolving.
    #[must_use = "a dropped packet is counted"]
    pub(crate) fn enqueue(&mut self, ip: Address, packet: P) -> Option<P> {
        let Some(slot) = self.slots.get(&ip).copied().or_else(|| self.resolve(ip)) else {
            return Some(packet);
        };
        let Some(Neighbor { state: State::Incomplete { waiting, .. }, .. }) =
            &mut self.neighbors[slot as usize]
        else {
            return Some(packet);
        };
        // RFC 1122 §2.3.2.2: the latest packet is the one to save.
        let oldest = if waiting.len() >= self.limits.waiting { waiting.pop_front() } else { None };
        waiting.push_back(packet);
        oldest
    }

    /// Takes note that `ip` has the Ethernet address `mac`, both of a single host on the link. Returns the
    /// packets that have waited for it, oldest first: send them.
    ///
    /// Only an answer to our own question makes a neighbour reachable. What comes unasked may correct an
    /// address, which is then verified when it is used. Nobody makes the cache remember more neighbours than
    /// the stack has to do with, but for those who ask for us (RFC 826, "Packet Reception"); and these give
    /// way to each other before anyone that the stack has used.
    pub(crate) fn learn(&mut self, now: Instant, ip: Address, mac: MacAddr, heard: Heard) -> VecDeque<P> {
        let Some(&slot) = self.slots.get(&ip) else {
            if heard == Heard::Request {
                self.remember_asker(ip, mac);
            }
            return VecDeque::new();
        };
        let Some(Neighbor { state, .. }) = &mut self.neighbors[slot as usize] else { return VecDeque::new() };
        let asked = matches!(state, State::Incomplete { .. } | State::Probed { .. });
        let state_now = match (&*state, heard) {
            (State::Permanent(_), _) => return VecDeque::new(),
            (_, Heard::Reply) if asked => {
                self.timers.set(slot, now + self.limits.reachable_time);
                State::Reachable(mac)
            }
            (state, _) if state.mac() == Some(mac) => return VecDeque::new(),
            _ => {
                self.timers.cancel(slot);
                State::Stale(mac)
            }
        };
        match core::mem::replace(state, state_now) {
            State::Incomplete { waiting, .. } => {
                self.unresolved -= 1;
                self.resolved.push_newest(slot);
                waiting
            }
            _ => VecDeque::new(),
        }
    }

    /// Changes how long a neighbour that has answered is believed to be there, from its next answer on.
    pub(crate) fn set_reachable_time(&mut self, time: Duration) {
        self.limits.reachable_time = time;
    }

    /// Changes the time between two probes.
    pub(crate) fn set_probe_interval(&mut self, interval: Duration) {
        self.limits.probe_interval = interval;
    }

    /// The Ethernet address for packets to `ip`, if it is known. To ask for it is not to use it.
    pub(crate) fn known(&self, ip: Address) -> Option<MacAddr> {
        let slot = *self.slots.get(&ip)?;
        self.neighbors[slot as usize].as_ref()?.state.mac()
    }

    /// What is known of `ip` may not hold any more (RFC 4861 §7.2.5, I): it is verified when it is used next.
    pub(crate) fn doubt(&mut self, ip: Address) {
        let Some(&slot) = self.slots.get(&ip) else { return };
        if let Some(Neighbor { state, .. }) = &mut self.neighbors[slot as usize]
            && let State::Reachable(mac) = *state
        {
            *state = State::Stale(mac);
            self.timers.cancel(slot);
        }
    }

    /// Fixes the Ethernet address for `ip` for good. Returns packets that have waited for it: send them.
    pub(crate) fn insert_permanent(&mut self, ip: Address, mac: MacAddr) -> VecDeque<P> {
        let waiting = self.slots.get(&ip).copied().map(|slot| self.remove(slot)).unwrap_or_default();
        self.insert(ip, State::Permanent(mac));
        waiting
    }

    /// The next thing to do at `now`. Call it until it returns `None`, in each turn after packets were
    /// enqueued or looked up, and when [`next_deadline`](Self::next_deadline) has come.
    #[inline]
    pub(crate) fn poll(&mut self, now: Instant) -> Option<NeighborAction<P>> {
        while let Some(slot) = self.timers.expire(now) {
            let Some(Neighbor { ip, state }) = &mut self.neighbors[slot as usize] else { continue };
            let (ip, mac) = (*ip, state.mac());
            match state {
                State::Incomplete { probes, .. } | State::Probed { probes, .. } if *probes < MAX_PROBES => {
                    *probes += 1;
                    self.timers.set(slot, now + self.limits.probe_interval);
                    return Some(NeighborAction::Probe { ip, mac });
                }
                State::Incomplete { .. } => {
                    let packets = self.remove(slot);
                    return Some(NeighborAction::Unreachable { ip, packets });
                }
                // RFC 1122 §2.3.2.1 (2): who does not answer to several polls is forgotten.
                State::Probed { .. } => drop(self.remove(slot)),
                State::Reachable(mac) => *state = State::Stale(*mac),
                State::Stale(_) | State::Permanent(_) => {}
            }
        }
        None
    }

    /// When to call [`poll`](Self::poll) next, if nothing else happens before. It may be a little early, and
    /// the past if there is something to do at once.
    #[must_use]
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// Begins to ask for `ip`, if the limits allow.
    fn resolve(&mut self, ip: Address) -> Option<u32> {
        if self.unresolved >= self.limits.unresolved || !self.make_room() {
            return None;
        }
        self.unresolved += 1;
        let slot = self.insert(ip, State::Incomplete { waiting: VecDeque::new(), probes: 0 });
        self.timers.set(slot, AT_ONCE);
        Some(slot)
    }

    fn remember_asker(&mut self, ip: Address, mac: MacAddr) {
        if self.make_room() {
            let slot = self.insert(ip, State::Stale(mac));
            self.resolved.push_oldest(slot);
        }
    }

    /// Makes room for one more neighbour. Returns whether there is any.
    fn make_room(&mut self) -> bool {
        if self.unresolved + self.resolved.len() < self.limits.neighbors {
            return true;
        }
        let Some(oldest) = self.resolved.oldest() else { return false };
        self.remove(oldest);
        true
    }

    fn insert(&mut self, ip: Address, state: State<P>) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.neighbors.push(None);
            (self.neighbors.len() - 1) as u32
        });
        self.neighbors[slot as usize] = Some(Neighbor { ip, state });
        self.slots.insert(ip, slot);
        slot
    }

    /// Forgets a neighbour. Returns the packets that have waited for it.
    fn remove(&mut self, slot: u32) -> VecDeque<P> {
        let Some(Neighbor { ip, state }) = self.neighbors[slot as usize].take() else {
            return VecDeque::new();
        };
        self.slots.remove(&ip);
        self.free.push(slot);
        self.timers.cancel(slot);
        match state {
            State::Incomplete { waiting, .. } => {
                self.unresolved -= 1;
                return waiting;
            }
            State::Reachable(_) | State::Stale(_) | State::Probed { .. } => self.resolved.remove(slot),
            State::Permanent(_) => {}
        }
        VecDeque::new()
    }
}

#[cfg(test)]
mod tests;
