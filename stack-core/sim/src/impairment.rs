//! What a bad link does to packets: it loses, doubles, reorders, corrupts, delays and throttles them.
//!
//! [`ImpairedLink`] is one direction of such a link as a machine without a clock: packets go in with the time
//! at which they were sent and come out when they are due. All chance comes from a seed, and every packet
//! consumes the same number of draws whatever the settings are. So the same seed and the same packets give the
//! same run, and turning up one impairment does not reshuffle the others.

use core::cmp::Reverse;
use core::time::Duration;
use fastrand::Rng;
use std::collections::BinaryHeap;

/// How bad one direction of a link is. The default is a perfect link.
///
/// Probabilities are from 0 (never) to 1 (always), each drawn anew for every packet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Impairment {
    /// The probability that a packet is lost.
    pub loss: f64,
    /// The probability that a packet arrives twice.
    pub duplication: f64,
    /// The probability that a packet is held back by `reorder_delay` while later ones overtake it.
    pub reordering: f64,
    /// How much longer a reordered packet takes.
    pub reorder_delay: Duration,
    /// The probability that one random bit of a packet is flipped.
    pub corruption: f64,
    /// How long each packet takes from end to end.
    pub delay: Duration,
    /// The most by which a packet may take longer than `delay`: uniformly distributed from zero to this.
    /// Jitter alone reorders nothing; a packet that would overtake another one arrives right behind it.
    pub jitter: Duration,
    /// How fast the link is; `None` for infinitely fast.
    pub rate: Option<Rate>,
    /// Packets that find more than so many bytes waiting in front of a link with a `rate` are marked, if their sender
    /// understands marks (RFC 3168); `None` marks nothing.
    pub mark_above: Option<usize>,
}

/// A link's speed, and how much may wait in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bits per second, at least one.
    pub bits_per_second: u64,
    /// The most bytes that may wait to be sent. A packet that finds no room for itself is lost (drop tail);
    /// one that finds the link idle is sent whatever its size.
    pub queue_bytes: usize,
}

/// How the link doubles and damages its user's packets.
pub trait PacketOps<P> {
    /// A second packet with the same contents, or `None` where there is no memory for one.
    fn duplicate(&mut self, packet: &P) -> Option<P>;

    /// Flips bit `bit` of the packet, counted from its first byte; below eight times its length.
    fn flip_bit(&mut self, packet: &mut P, bit: usize);

    /// Marks the packet as one that met congestion, if its sender understands that ([`mark_frame`] does it for an
    /// Ethernet frame). Returns whether it was marked.
    fn mark(&mut self, packet: &mut P) -> bool;
}

/// Sets the congestion experienced codepoint in the IP header of an Ethernet frame, if its sender set a capable one
/// (RFC 3168 §5). Returns whether it did.
pub fn mark_frame(frame: &mut [u8]) -> bool {
    let tagged = frame.get(12..14) == Some(&[0x81, 0x00]);
    let Some(ip) = frame.get_mut(if tagged { 18 } else { 14 }..) else { return false };
    // The field is the low bits of the second byte in IPv4, and in the middle of it in IPv6.
    let (version, shift) = match ip.first().map(|byte| byte >> 4) {
        Some(4) if ip.len() >= 20 => (4, 0),
        Some(6) if ip.len() >= 40 => (6, 4),
        _ => return false,
    };
    let capable = ip[1] >> shift & EXPERIENCED;
    if !matches!(capable, 1 | 2) {
        return false;
    }
    ip[1] |= EXPERIENCED << shift;
    if version == 4 {
        // RFC 1624 §3: the sum takes in the difference.
        let checksum = u32::from(u16::from_be_bytes([ip[10], ip[11]]));
        let sum = (!checksum & 0xffff) + u32::from(EXPERIENCED - capable);
        let folded = (sum & 0xffff) + (sum >> 16);
        ip[10..12].copy_from_slice(&(!folded as u16).to_be_bytes());
    }
    true
}

/// Both bits of the field (RFC 3168 §5).
const EXPERIENCED: u8 = 0b11;

/// What became of a packet that was pushed into the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fate {
    /// It is on its way, once or twice.
    Carried,
    /// Chance took it.
    Lost,
    /// The queue in front of the link was full.
    QueueFull,
}

/// What a link has done since it was made, in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Packets pushed.
    pub pushed: u64,
    /// Packets that chance took.
    pub lost: u64,
    /// Packets that found the queue full.
    pub queue_full: u64,
    /// Extra copies made.
    pub duplicated: u64,
    /// Copies that were due but for which there was no memory.
    pub duplication_failed: u64,
    /// Packets held back behind later ones.
    pub reordered: u64,
    /// Packets with a flipped bit.
    pub corrupted: u64,
    /// Packets marked for the congestion that they met.
    pub marked: u64,
}

/// One direction of a link, and the packets that are on it.
///
/// Times are nanoseconds since an origin of the caller's choice; they never go back.
#[derive(Debug)]
pub struct ImpairedLink<P> {
    impairment: Impairment,
    rng: Rng,
    in_flight: BinaryHeap<Reverse<InFlight<P>>>,
    sequence: u64,
    /// When the link has sent all that waits in front of it.
    idle_at: u64,
    /// When the last packet that keeps its place arrives.
    last_due: u64,
    stats: LinkStats,
}

impl<P> ImpairedLink<P> {
    /// An empty link whose chance comes from `seed`.
    #[must_use]
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        Self {
            impairment,
            rng: Rng::with_seed(seed),
            in_flight: BinaryHeap::new(),
            sequence: 0,
            idle_at: 0,
            last_due: 0,
            stats: LinkStats::default(),
        }
    }

    /// Sends a packet of `len` bytes at the time `now`.
    pub fn push(&mut self, now: u64, mut packet: P, len: usize, ops: &mut impl PacketOps<P>) -> Fate {
        let chance = Chance::draw(&mut self.rng, &self.impairment);
        self.stats.pushed += 1;
        if chance.lose {
            self.stats.lost += 1;
            return Fate::Lost;
        }
        let congested =
            self.impairment.mark_above.is_some_and(|threshold| self.waiting(now) > threshold as u128);
        let Some(sent) = self.transmit(now, len) else {
            self.stats.queue_full += 1;
            return Fate::QueueFull;
        };
        self.stats.marked += u64::from(congested && ops.mark(&mut packet));
        let due = self.arrival(sent, &chance);
        if chance.corrupt && len > 0 {
            ops.flip_bit(&mut packet, (chance.bit % (len as u64 * 8)) as usize);
            self.stats.corrupted += 1;
        }
        let copy = if chance.duplicate { self.copy(&packet, ops) } else { None };
        self.enqueue(due, packet);
        if let Some(copy) = copy {
            self.enqueue(due, copy);
        }
        Fate::Carried
    }

    /// The next packet that has arrived by the time `now`.
    pub fn pop_due(&mut self, now: u64) -> Option<P> {
        if self.next_due()? > now {
            return None;
        }
        self.in_flight.pop().map(|Reverse(flight)| flight.packet)
    }

    /// When the next packet arrives; `None` when the link is empty.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.in_flight.peek().map(|Reverse(flight)| flight.due)
    }

    /// How many packets are on the link.
    #[must_use]
    pub fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether no packet is on the link.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// The settings.
    #[must_use]
    pub fn impairment(&self) -> &Impairment {
        &self.impairment
    }

    /// Changes the settings for the packets pushed from now on.
    pub fn set_impairment(&mut self, impairment: Impairment) {
        self.impairment = impairment;
    }

    /// What the link has done so far.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Bytes that wait in front of a link with a [`rate`](Impairment::rate).
    #[must_use]
    pub fn waiting(&self, now: u64) -> u128 {
        let rate = self.impairment.rate.map_or(0, |rate| rate.bits_per_second.max(1));
        u128::from(self.idle_at.saturating_sub(now)) * u128::from(rate) / BITS_NANOS
    }

    /// When the last bit of a packet sent at `now` has left, or `None` when the queue has no room for it.
    fn transmit(&mut self, now: u64, len: usize) -> Option<u64> {
        let Some(rate) = self.impairment.rate else { return Some(now) };
        let bits_per_second = u128::from(rate.bits_per_second.max(1));
        if self.idle_at > now && self.waiting(now) + len as u128 > rate.queue_bytes as u128 {
            return None;
        }
        let duration = (len as u128 * BITS_NANOS).div_ceil(bits_per_second);
        self.idle_at = now.max(self.idle_at).saturating_add(u64::try_from(duration).unwrap_or(u64::MAX));
        Some(self.idle_at)
    }

    /// When a packet arrives whose last bit left at `sent`.
    fn arrival(&mut self, sent: u64, chance: &Chance) -> u64 {
        let delay = nanos(self.impairment.delay).saturating_add(chance.jitter);
        let due = sent.saturating_add(delay).max(self.last_due);
        if chance.reorder {
            self.stats.reordered += 1;
            return due.saturating_add(nanos(self.impairment.reorder_delay));
        }
        self.last_due = due;
        due
    }

    fn copy(&mut self, packet: &P, ops: &mut impl PacketOps<P>) -> Option<P> {
        let copy = ops.duplicate(packet);
        match copy {
            Some(_) => self.stats.duplicated += 1,
            None => self.stats.duplication_failed += 1,
        }
        copy
    }

    fn enqueue(&mut self, due: u64, packet: P) {
        self.in_flight.push(Reverse(InFlight { due, sequence: self.sequence, packet }));
        self.sequence += 1;
    }
}

/// Bits in a byte times nanoseconds in a second.
const BITS_NANOS: u128 = 8 * 1_000_000_000;

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// All that chance decides about one packet.
struct Chance {
    lose: bool,
    duplicate: bool,
    reorder: bool,
    corrupt: bool,
    bit: u64,
    jitter: u64,
}

impl Chance {
    /// Always the same number of draws, so that packet `n` meets the same luck under any settings.
    fn draw(rng: &mut Rng, impairment: &Impairment) -> Self {
        Self {
            lose: rng.f64() < impairment.loss,
            duplicate: rng.f64() < impairment.duplication,
            reorder: rng.f64() < impairment.reordering,
            corrupt: rng.f64() < impairment.corruption,
            bit: rng.u64(..),
            jitter: (rng.f64() * nanos(impairment.jitter) as f64) as u64,
        }
    }
}

/// A packet on the link, ordered by when it arrives, and then by when it was sent.
#[derive(Debug)]
struct InFlight<P> {
    due: u64,
    sequence: u64,
    packet: P,
}

impl<P> Ord for InFlight<P> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

impl<P> PartialOrd for InFlight<P> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> PartialEq for InFlight<P> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<P> Eq for InFlight<P> {}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 0x6e65_746c_616e_6531;
    const MILLISECOND: u64 = 1_000_000;

    /// Packets that are byte vectors.
    struct Bytes;

    impl PacketOps<Vec<u8>> for Bytes {
        fn mark(&mut self, packet: &mut Vec<u8>) -> bool {
            mark_frame(packet)
        }

        fn duplicate(&mut self, packet: &Vec<u8>) -> Option<Vec<u8>> {
            Some(packet.clone())
        }

        fn flip_bit(&mut self, packet: &mut Vec<u8>, bit: usize) {
            packet[bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// Sends `count` numbered packets, one per millisecond, and returns what arrives and when.
    fn run(impairment: &Impairment, seed: u64, count: u32) -> (Vec<(u64, Vec<u8>)>, LinkStats) {
        let mut link = ImpairedLink::new(impairment.clone(), seed);
        let mut arrived = Vec::new();
        for number in 0..count {
            let now = u64::from(number) * MILLISECOND;
            drain(&mut link, now, &mut arrived);
            let _ = link.push(now, number.to_be_bytes().to_vec(), 4, &mut Bytes);
        }
        drain(&mut link, u64::MAX, &mut arrived);
        (arrived, link.stats())
    }

    fn drain(link: &mut ImpairedLink<Vec<u8>>, until: u64, arrived: &mut Vec<(u64, Vec<u8>)>) {
        while let Some(due) = link.next_due().filter(|&due| due <= until) {
            assert!(due == 0 || link.pop_due(due - 1).is_none(), "early");
            arrived.push((due, link.pop_due(due).expect("it is due")));
        }
    }

    fn numbers(arrived: &[(u64, Vec<u8>)]) -> Vec<u32> {
        arrived.iter().map(|(_, bytes)| u32::from_be_bytes(bytes[..].try_into().unwrap())).collect()
    }

    #[test]
    fn perfect_link_delivers_everything_at_once_and_in_order() {
        let (arrived, stats) = run(&Impairment::default(), SEED, 1000);
        assert_eq!(numbers(&arrived), (0..1000).collect::<Vec<_>>());
        assert!(arrived.iter().enumerate().all(|(number, (due, _))| *due == number as u64 * MILLISECOND));
        assert_eq!(stats, LinkStats { pushed: 1000, ..LinkStats::default() });
    }

    #[test]
    fn loss_and_duplication_happen_as_often_as_asked() {
        let impairment = Impairment { loss: 0.1, duplication: 0.05, ..Impairment::default() };
        let (arrived, stats) = run(&impairment, SEED, 20_000);
        // Four standard deviations of a binomial distribution around the mean.
        assert!(stats.lost.abs_diff(2000) < 170, "{} lost, seed {SEED:#x}", stats.lost);
        assert!(stats.duplicated.abs_diff(900) < 120, "{} duplicated, seed {SEED:#x}", stats.duplicated);
        assert_eq!(arrived.len() as u64, 20_000 - stats.lost + stats.duplicated);
        assert!(numbers(&arrived).is_sorted());
    }

    #[test]
    fn reordered_packets_are_overtaken_and_the_others_keep_their_order() {
        let impairment = Impairment {
            reordering: 0.02,
            reorder_delay: Duration::from_micros(3500),
            ..Impairment::default()
        };
        let (arrived, stats) = run(&impairment, SEED, 10_000);
        assert!(stats.reordered.abs_diff(200) < 57, "{} reordered, seed {SEED:#x}", stats.reordered);
        let (mut late, mut highest) = (0, 0);
        for number in numbers(&arrived) {
            late += u64::from(number < highest);
            highest = highest.max(number);
        }
        // The last packets have nothing behind them to be overtaken by; one behind another of its kind isn't late.
        assert!(late <= stats.reordered && late > stats.reordered * 9 / 10, "{late} of {}", stats.reordered);
        assert_eq!(arrived.len(), 10_000);
    }

    #[test]
    fn jitter_spreads_arrivals_without_changing_their_order() {
        let impairment = Impairment {
            delay: Duration::from_millis(20),
            jitter: Duration::from_millis(10),
            ..Impairment::default()
        };
        let (arrived, _) = run(&impairment, SEED, 5000);
        assert_eq!(numbers(&arrived), (0..5000).collect::<Vec<_>>());
        let delays = arrived.iter().enumerate().map(|(number, (due, _))| due - number as u64 * MILLISECOND);
        let (shortest, longest) =
            delays.fold((u64::MAX, 0), |(low, high), delay| (low.min(delay), high.max(delay)));
        assert!(shortest >= 20 * MILLISECOND && longest <= 30 * MILLISECOND, "{shortest} to {longest}");
        assert!(longest - shortest > 5 * MILLISECOND, "{shortest} to {longest}");
    }

    #[test]
    fn corruption_flips_exactly_one_bit() {
        let impairment = Impairment { corruption: 1.0, ..Impairment::default() };
        let (arrived, stats) = run(&impairment, SEED, 1000);
        assert_eq!(stats.corrupted, 1000);
        let mut places = [0; 32];
        for (sent, got) in numbers(&arrived).into_iter().enumerate() {
            let difference = got ^ sent as u32;
            assert_eq!(difference.count_ones(), 1, "packet {sent}, seed {SEED:#x}");
            places[difference.trailing_zeros() as usize] += 1;
        }
        assert!(places.iter().all(|&hits| hits > 0), "some bit was never hit: {places:?}");
    }

    #[test]
    fn rate_spaces_packets_and_a_full_queue_drops_the_tail() {
        // 8 Mbit/s is one byte per microsecond.
        let rate = Rate { bits_per_second: 8_000_000, queue_bytes: 3000 };
        let mut link = ImpairedLink::new(Impairment { rate: Some(rate), ..Impairment::default() }, SEED);
        let fates: Vec<_> = (0..5).map(|_| link.push(0, vec![0; 1000], 1000, &mut Bytes)).collect();
        // What is being sent counts as waiting until its last bit has left.
        assert_eq!(fates, [Fate::Carried, Fate::Carried, Fate::Carried, Fate::QueueFull, Fate::QueueFull]);
        let mut arrived = Vec::new();
        drain(&mut link, u64::MAX, &mut arrived);
        let dues: Vec<_> = arrived.iter().map(|(due, _)| *due).collect();
        assert_eq!(dues, [MILLISECOND, 2 * MILLISECOND, 3 * MILLISECOND]);

        assert_eq!(link.push(3 * MILLISECOND, vec![0; 9000], 9000, &mut Bytes), Fate::Carried);
        assert_eq!(link.next_due(), Some(12 * MILLISECOND));
    }

    #[test]
    fn same_seed_gives_the_same_run_and_another_seed_another_one() {
        let bad = Impairment {
            loss: 0.05,
            duplication: 0.05,
            reordering: 0.05,
            reorder_delay: Duration::from_millis(4),
            corruption: 0.05,
            delay: Duration::from_millis(1),
            jitter: Duration::from_millis(2),
            rate: Some(Rate { bits_per_second: 100_000, queue_bytes: 64 }),
            mark_above: Some(1_000),
        };
        assert_eq!(run(&bad, SEED, 2000), run(&bad, SEED, 2000));
        assert_ne!(run(&bad, SEED, 2000), run(&bad, SEED + 1, 2000));
    }

    #[test]
    fn more_loss_only_adds_losses() {
        let arrived = |loss| numbers(&run(&Impairment { loss, ..Impairment::default() }, SEED, 2000).0);
        let (few, many) = (arrived(0.01), arrived(0.2));
        assert!(many.len() < few.len());
        assert!(many.iter().all(|number| few.binary_search(number).is_ok()));
    }

    #[test]
    fn copies_without_memory_are_counted() {
        struct NoMemory;
        impl PacketOps<Vec<u8>> for NoMemory {
            fn mark(&mut self, _: &mut Vec<u8>) -> bool {
                false
            }

            fn duplicate(&mut self, _: &Vec<u8>) -> Option<Vec<u8>> {
                None
            }
            fn flip_bit(&mut self, _: &mut Vec<u8>, _: usize) {}
        }
        let mut link = ImpairedLink::new(Impairment { duplication: 1.0, ..Impairment::default() }, SEED);
        assert_eq!(link.push(0, vec![1], 1, &mut NoMemory), Fate::Carried);
        assert_eq!((link.len(), link.stats().duplicated, link.stats().duplication_failed), (1, 0, 1));
    }

    /// A frame with an IPv4 header, or what follows a VLAN tag.
    fn ipv4_frame(ecn: u8) -> Vec<u8> {
        let mut frame = vec![0; 14];
        frame[12..].copy_from_slice(&[0x08, 0x00]);
        let mut header = [0x45, ecn, 0, 20, 1, 2, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let checksum = !sum(&header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        frame.extend(header);
        frame
    }

    fn sum(header: &[u8]) -> u16 {
        let sum: u32 = header.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
        ((sum & 0xffff) + (sum >> 16)) as u16
    }

    #[test]
    fn frames_of_capable_senders_are_marked_and_keep_a_right_checksum() {
        for (ecn, marked) in [(0b00, false), (0b01, true), (0b10, true), (0b11, false)] {
            let mut frame = ipv4_frame(ecn);
            assert_eq!(mark_frame(&mut frame), marked, "codepoint {ecn:02b}");
            assert_eq!(frame[15], if marked { 0b11 } else { ecn });
            assert_eq!(sum(&frame[14..]), 0xffff);
        }
        let mut tagged = ipv4_frame(0b10);
        tagged.splice(12..12, [0x81, 0x00, 0x00, 0x07]);
        assert!(mark_frame(&mut tagged) && tagged[19] == 0b11);
        let mut v6 = vec![0; 54];
        v6[12..16].copy_from_slice(&[0x86, 0xdd, 0x60, 0x20]);
        assert!(mark_frame(&mut v6) && v6[14..16] == [0x60, 0x30]);
        assert!(!mark_frame(&mut [0; 20]), "too short");
    }

    #[test]
    fn queue_marks_above_its_threshold_only() {
        let rate = Rate { bits_per_second: 8_000_000, queue_bytes: 10_000 };
        let impairment = Impairment { rate: Some(rate), mark_above: Some(100), ..Impairment::default() };
        let mut link = ImpairedLink::new(impairment, 1);
        // The first finds nothing waiting, the next ones 34, 68, 102, ... bytes.
        for _ in 0..6 {
            assert_eq!(link.push(0, ipv4_frame(0b10), 34, &mut Bytes), Fate::Carried);
        }
        assert_eq!(link.stats().marked, 3);
        let arrived: Vec<u8> = std::iter::from_fn(|| link.pop_due(u64::MAX)).map(|frame| frame[15]).collect();
        assert_eq!(arrived, [0b10, 0b10, 0b10, 0b11, 0b11, 0b11]);
    }
}
