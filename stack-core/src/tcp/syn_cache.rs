//! Connections that peers have begun to open (RFC 4987 §3.5): a small record each, until the handshake is
//! complete. Only then does a connection take a place in the table of sockets, and buffers.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use super::handshake::{Exchange, Offer};
use super::rtt::RttEstimator;
use super::{FourTuple, SeqNumber};
use crate::config::TcpConfig;
use crate::socket::SocketId;
use crate::time::{Duration, Instant};
use crate::wheel::TimerWheel;

/// The handshakes that wait for the peer to acknowledge our SYN-ACK.
pub(crate) struct SynCache {
    records: Vec<Option<Handshake>>,
    free: Vec<u32>,
    by_ends: HashTable<u32>,
    hasher: FixedState,
    /// When each SYN-ACK is repeated.
    wheel: TimerWheel,
    /// Records whose SYN-ACK shall be sent now.
    owing: VecDeque<u32>,
    limit: usize,
}

/// A SYN has come to a listener, and our SYN-ACK is not acknowledged yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handshake {
    pub(crate) tuple: FourTuple,
    pub(crate) listener: SocketId,
    pub(crate) iss: SeqNumber,
    pub(crate) irs: SeqNumber,
    pub(crate) peers: Offer,
    /// The connection that was opened already (RFC 7413).
    pub(crate) opened: Option<SocketId>,
    /// The SYN-ACK brings a Fast Open cookie.
    pub(crate) cookie: Option<CookieForm>,
    /// When the first SYN-ACK was sent.
    first_sent: Instant,
    sent: bool,
    repeated: u8,
    owes: bool,
}

/// In which form a Fast Open cookie was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieForm {
    Standard,
    Experimental,
}

/// What a spoofed SYN can make us remember, beside its place in the tables.
const _: () = assert!(size_of::<Handshake>() <= 104);

impl SynCache {
    /// Room for `limit` handshakes. `key` keeps peers from choosing ports that collide.
    pub(crate) fn new(limit: usize, key: u64) -> Self {
        Self {
            records: Vec::new(),
            free: Vec::new(),
            by_ends: HashTable::new(),
            hasher: FixedState::with_seed(key),
            wheel: TimerWheel::new(),
            owing: VecDeque::new(),
            limit: limit.min(1 << 30),
        }
    }

    /// The handshake between two ends.
    #[inline]
    pub(crate) fn find(&self, tuple: &FourTuple) -> Option<u32> {
        if self.by_ends.is_empty() {
            return None;
        }
        let is_it = |&index: &u32| self.get(index).is_some_and(|record| record.tuple == *tuple);
        self.by_ends.find(self.hasher.hash_one(tuple), is_it).copied()
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Handshake> {
        self.records.get(index as usize)?.as_ref()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.by_ends.len() >= self.limit
    }

    /// Adds a handshake that [`find`](Self::find) does not know, if there is room.
    pub(crate) fn insert(&mut self, handshake: Handshake, now: Instant, config: &TcpConfig) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.records.push(None);
            self.records.len() as u32 - 1
        });
        let Self { records, by_ends, hasher, .. } = self;
        let hash = hasher.hash_one(handshake.tuple);
        records[index as usize] = Some(handshake);
        by_ends.insert_unique(hash, index, |&index| {
            records[index as usize].as_ref().map_or(0, |record| hasher.hash_one(record.tuple))
        });
        self.wheel.set(index, now + handshake.pause(config));
        Some(index)
    }

    /// The handshake is complete, or given up.
    pub(crate) fn remove(&mut self, index: u32) -> Option<Handshake> {
        let record = self.records.get_mut(index as usize)?.take()?;
        self.wheel.cancel(index);
        let is_it = |&other: &u32| other == index;
        if let Ok(entry) = self.by_ends.find_entry(self.hasher.hash_one(record.tuple), is_it) {
            entry.remove();
        }
        self.free.push(index);
        Some(record)
    }

    /// The peer has repeated its SYN and no longer asks for ECN (RFC 3168 §6.1.1.1).
    pub(crate) fn forgo_ecn(&mut self, index: u32) {
        if let Some(Some(record)) = self.records.get_mut(index as usize) {
            record.peers.ecn = false;
        }
    }

    /// The SYN-ACK shall be sent now.
    pub(crate) fn owe(&mut self, index: u32) {
        // Records that have gone leave their places in the queue behind. What finds no place is for the timer.
        if self.owing.len() > self.limit {
            return;
        }
        if let Some(Some(record)) = self.records.get_mut(index as usize)
            && !core::mem::replace(&mut record.owes, true)
        {
            self.owing.push_back(index);
        }
    }

    /// The record whose SYN-ACK is to be sent next. It is asked for again until it is [`sent`](Self::sent).
    pub(crate) fn next_owing(&mut self) -> Option<u32> {
        while let Some(&index) = self.owing.front() {
            if self.get(index).is_some_and(|record| record.owes) {
                return Some(index);
            }
            self.owing.pop_front();
        }
        None
    }

    /// The SYN-ACK of the record that was [`next_owing`](Self::next_owing) has left.
    pub(crate) fn sent(&mut self, now: Instant) {
        let Some(index) = self.owing.pop_front() else { return };
        let Some(Some(record)) = self.records.get_mut(index as usize) else { return };
        record.owes = false;
        if !core::mem::replace(&mut record.sent, true) {
            record.first_sent = now;
        }
    }

    /// Owes once more the SYN-ACKs that were not answered in time. Returns a record that is to be given up
    /// instead; call it until it returns `None`.
    #[inline]
    pub(crate) fn run_timers(&mut self, now: Instant, config: &TcpConfig) -> Option<u32> {
        while let Some(index) = self.wheel.expire(now) {
            let Some(Some(record)) = self.records.get_mut(index as usize) else { continue };
            if record.repeated >= config.syn_ack_retries {
                return Some(index);
            }
            record.repeated += 1;
            let pause = record.pause(config);
            self.wheel.set(index, now + pause);
            self.owe(index);
        }
        None
    }

    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }
}

impl Handshake {
    /// What begins with a SYN `irs` that offers `peers`, and ours at `iss`.
    pub(crate) const fn new(
        tuple: FourTuple,
        listener: SocketId,
        iss: SeqNumber,
        irs: SeqNumber,
        peers: Offer,
    ) -> Self {
        Self {
            tuple,
            listener,
            iss,
            irs,
            peers,
            opened: None,
            cookie: None,
            first_sent: Instant::ZERO,
            sent: false,
            repeated: 0,
            owes: false,
        }
    }

    /// What both ends have said, where we have offered `ours`.
    pub(crate) const fn exchange(&self, ours: Offer) -> Exchange {
        Exchange { iss: self.iss, irs: self.irs, ours, peers: self.peers }
    }

    /// The round trip of the handshake as the first measurement, unless a repetition makes it ambiguous.
    pub(crate) fn measure(&self, now: Instant, config: &TcpConfig) -> RttEstimator {
        let mut rtt = RttEstimator::new(config);
        if self.repeated == 0 && self.sent {
            rtt.measure(now - self.first_sent, config);
        } else {
            rtt.distrust_handshake(config);
        }
        rtt
    }

    /// Time until the SYN-ACK is repeated (RFC 6298 §2.1, §5.5).
    fn pause(&self, config: &TcpConfig) -> Duration {
        config.rto_initial.saturating_mul(1 << self.repeated.min(16)).min(config.rto_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::tcp::Endpoint;
    use core::net::Ipv4Addr;

    fn handshake(port: u16) -> Handshake {
        let end = |last, port| Endpoint::new(Address::v4(Ipv4Addr::new(10, 0, 0, last)), port);
        let tuple = FourTuple { local: end(1, 80), remote: end(2, port) };
        Handshake::new(tuple, SocketId::new(0, 0), SeqNumber(1), SeqNumber(2), Offer::NOTHING)
    }

    #[test]
    fn handshake_is_found_by_its_ends_until_it_is_removed() {
        let config = TcpConfig::default();
        let mut cache = SynCache::new(2, 7);
        assert!(cache.insert(handshake(1), Instant::ZERO, &config).is_some());
        assert!(cache.insert(handshake(2), Instant::ZERO, &config).is_some());
        assert_eq!(cache.insert(handshake(3), Instant::ZERO, &config), None, "there is room for two");
        let first = cache.find(&handshake(1).tuple).unwrap();
        assert!(cache.remove(first).is_some());
        assert_eq!(cache.find(&handshake(1).tuple), None);
        assert!(cache.insert(handshake(3), Instant::ZERO, &config).is_some());
        assert_ne!(cache.find(&handshake(2).tuple), cache.find(&handshake(3).tuple));
    }

    #[test]
    fn place_in_the_queue_of_one_that_has_gone_sends_nothing_for_its_successor() {
        let config = TcpConfig::default();
        let mut cache = SynCache::new(1, 7);
        for port in [1, 2] {
            let index = cache.insert(handshake(port), Instant::ZERO, &config).unwrap();
            cache.owe(index);
            assert_eq!(cache.next_owing(), Some(index));
            if port == 1 {
                cache.remove(index);
            }
        }
        cache.sent(Instant::ZERO);
        assert_eq!(cache.next_owing(), None);
    }
}
