//! How much may wait to be read: dynamic right-sizing (M. Fisk and W. Feng, "Dynamic right-sizing in TCP", 2001).
//!
//! A sender in slow start doubles what it sends with each round trip. A window of twice what the user reads in one leaves
//! room for that, and one that is larger serves nobody. Nothing beyond a window can arrive within a round trip of its
//! announcement: so the shortest time in which the user has read a whole window is a bound of the round trip, also where
//! we send nothing and there are no timestamps. Where a window takes less than two of them, it is doubled; and twice where it
//! takes about one, so that a sender that doubles meanwhile does not meet its end.

use super::rtt::RttEstimator;
use super::seq::{SeqNumber, WindowScale};
use crate::config::TcpConfig;
use crate::time::{Duration, Instant};

/// How far the receive buffer of a connection has grown. Kept small, since idle connections have it too.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed)]
pub(crate) struct Tuning {
    /// Where the user had read to when this measurement began, scaled as windows are.
    from: u16,
    /// When that was, in [ticks](ticks).
    began: u16,
    /// The fewest ticks in which a window was read.
    shortest: u16,
    /// How often the limit was doubled.
    doublings: u8,
}

impl Tuning {
    /// The state before anything is read from `from` on.
    pub(crate) fn new(from: SeqNumber, scale: WindowScale, now: Instant) -> Self {
        Self { from: scaled(from, scale), began: ticks_at(now), shortest: u16::MAX, doublings: 0 }
    }

    /// The bytes that may wait.
    #[inline]
    pub(crate) fn limit(&self, config: &TcpConfig) -> usize {
        let start = config.receive_buffer_start.min(config.receive_buffer);
        (start << self.doublings).min(config.receive_buffer)
    }

    /// The user has read up to `read_to`.
    #[inline]
    pub(crate) fn on_read(
        &mut self,
        read_to: SeqNumber,
        scale: WindowScale,
        rtt: &RttEstimator,
        config: &TcpConfig,
        now: Instant,
    ) {
        let window = (self.limit(config) >> scale.shift()).min(usize::from(u16::MAX)) as u16;
        if scaled(read_to, scale).wrapping_sub(self.from) > window {
            self.finish(rtt, now);
            self.from = scaled(read_to, scale);
        }
    }

    /// More than a window was read since the measurement began: doubles the limit where that was quick, and begins the
    /// next.
    fn finish(&mut self, rtt: &RttEstimator, now: Instant) {
        let took = ticks_at(now).wrapping_sub(self.began).max(1);
        self.began = ticks_at(now);
        self.shortest = took.min(self.shortest);
        let measured = ticks(rtt.smoothed().unwrap_or(Duration::ZERO).as_nanos() as u64);
        let (took, round_trip) = (u32::from(took), u32::from(measured.max(self.shortest)));
        let grows_by = if 4 * took <= 5 * round_trip { 2 } else { u8::from(took < 2 * round_trip) };
        self.doublings = (self.doublings + grows_by).min(MOST_DOUBLINGS);
    }
}

/// From one byte to the greatest window there is.
const MOST_DOUBLINGS: u8 = 30;

fn scaled(seq: SeqNumber, scale: WindowScale) -> u16 {
    (seq.0 >> scale.shift()) as u16
}

fn ticks_at(now: Instant) -> u16 {
    ticks(now.as_nanos())
}

/// Nanoseconds in ticks of 2^18 (262 µs), which wrap around after 17 s.
const fn ticks(nanos: u64) -> u16 {
    (nanos >> 18) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit, which begins with 65,536 and may be a million, after each of some reads: at this many milliseconds, up to
    /// there. The handshake took so many milliseconds.
    fn limits<const N: usize>(handshake: u64, reads: [(u64, u32); N]) -> [usize; N] {
        let config =
            TcpConfig { receive_buffer_start: 65_536, receive_buffer: 1_000_000, ..TcpConfig::default() };
        let scale = WindowScale::for_buffer(config.receive_buffer);
        let mut rtt = RttEstimator::new(&config);
        rtt.measure(Duration::from_millis(handshake), &config);
        let start = SeqNumber(u32::MAX - 100_000);
        let mut tuning = Tuning::new(start, scale, Instant::ZERO);
        reads.map(|(at, read)| {
            tuning.on_read(start + read, scale, &rtt, &config, Instant::from_millis(at));
            tuning.limit(&config)
        })
    }

    #[test]
    fn windows_that_are_read_within_two_round_trips_grow_up_to_the_greatest() {
        let reads = [(50, 65_000), (150, 66_000), (250, 200_000), (400, 330_000), (600, 900_000)];
        assert_eq!(limits(100, reads), [65_536, 262_144, 262_144, 524_288, 1_000_000]);
    }

    #[test]
    fn windows_that_take_longer_stay() {
        assert_eq!(limits(100, [(190, 66_000), (600, 330_000), (1_000, 600_000)]), [262_144; 3]);
    }

    #[test]
    fn shortest_time_of_a_window_stands_for_a_round_trip_that_was_never_measured() {
        // The path got longer after the handshake.
        let reads = [(300, 66_000), (400, 330_000), (610, 1_400_000)];
        assert_eq!(limits(1, reads), [262_144, 1_000_000, 1_000_000]);
    }

    #[test]
    fn state_takes_seven_bytes() {
        assert_eq!(size_of::<Tuning>(), 7);
    }
}
