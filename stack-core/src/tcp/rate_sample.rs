//! How fast the path delivers: samples of the delivery rate (draft-ietf-ccwg-bbr §4.1, before that
//! draft-cheng-iccrg-delivery-rate-estimation), and the round trips that they are counted in.

use super::congestion::DeliveryRate;
use crate::time::{Duration, Instant};

/// What was known when a segment left, to be compared with what is known when it has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Departure {
    /// All that was delivered by then, and when the last of it was.
    pub(crate) delivered: u64,
    delivered_at: Instant,
    /// When the segment left whose arrival was the last one known.
    first_sent_at: Instant,
    /// In flight, the segment itself included.
    pub(crate) in_flight: u32,
    /// All that was found lost by then; wraps around.
    lost: u32,
    /// The application may have bounded what was in flight.
    pub(crate) app_limited: bool,
}

impl Departure {
    /// Found lost since, of `lost` altogether.
    pub(crate) fn lost_since(&self, lost: u32) -> u32 {
        lost.wrapping_sub(self.lost)
    }
}

/// The sender's side of the estimate, from when it starts to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateSampler {
    /// All that was delivered, in bytes, and when the last of it was.
    pub(crate) delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    /// All that was found lost, in bytes; wraps around.
    pub(crate) lost: u32,
    /// What leaves is application-limited until so much was delivered.
    app_limited_until: u64,
    /// The round trip ends when a segment arrives that left after so much was delivered.
    round_ends: u64,
}

impl RateSampler {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            delivered: 0,
            delivered_at: now,
            first_sent_at: now,
            lost: 0,
            app_limited_until: 0,
            round_ends: 0,
        }
    }

    /// A segment leaves now, with `before` bytes in flight that left before it, and `in_flight` with it.
    #[inline]
    pub(crate) fn depart(&mut self, before: u32, in_flight: u32, now: Instant) -> Departure {
        if before == 0 {
            // The pause before this segment says nothing about the path.
            (self.first_sent_at, self.delivered_at) = (now, now);
        }
        Departure {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            in_flight,
            lost: self.lost,
            app_limited: self.delivered < self.app_limited_until,
        }
    }

    /// The application has nothing more to send, though the window would allow it, with `in_flight` on its way.
    #[inline]
    pub(crate) fn run_dry(&mut self, in_flight: u32) {
        self.app_limited_until = self.delivered + u64::from(in_flight.max(1));
    }

    /// So many bytes were delivered, the newest of which had left so. Returns whether a new round trip begins.
    #[inline]
    pub(crate) fn arrive(&mut self, bytes: u32, newest: &Departure) -> bool {
        self.delivered += u64::from(bytes);
        let round_start = newest.delivered >= self.round_ends;
        if round_start {
            self.round_ends = self.delivered;
        }
        round_start
    }

    /// The rate at which what has arrived now was delivered, where that means something. The newest of it had left at
    /// `sent_at`.
    pub(crate) fn sample(
        &mut self,
        newest: &Departure,
        sent_at: Instant,
        now: Instant,
        min_rtt: Duration,
    ) -> Option<DeliveryRate> {
        (self.delivered_at, self.first_sent_at) = (now, sent_at);
        // The slower of both phases, so that compressed acknowledgements don't inflate the rate.
        let sending = sent_at - newest.first_sent_at;
        let acknowledging = now - newest.delivered_at;
        let interval = sending.max(acknowledging);
        // An interval shorter than any round trip is no measurement.
        let valid = interval >= min_rtt && interval > Duration::ZERO;
        valid.then(|| DeliveryRate {
            delivered: self.delivered - newest.delivered,
            interval,
            app_limited: newest.app_limited,
            prior_delivered: newest.delivered,
            tx_in_flight: newest.in_flight,
            lost: newest.lost_since(self.lost),
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const MS: fn(u64) -> Instant = Instant::from_millis;

    #[test]
    fn rate_is_what_was_delivered_in_the_slower_of_both_phases() {
        let mut sampler = RateSampler::new(MS(0));
        // Ten segments of 1,000 bytes, one each millisecond, and a round trip of 20 ms.
        let departures: Vec<_> =
            (0..10).map(|n| sampler.depart(1_000 * n, 1_000 * (n + 1), MS(u64::from(n)))).collect();
        // The acknowledgements come at twice the rate, from 20 ms on: too fast to be believed.
        let min_rtt = Duration::from_millis(1);
        let mut rates = Vec::new();
        for (n, departure) in departures.iter().enumerate() {
            let now = MS(20) + Duration::from_micros(500 * n as u64);
            let round_start = sampler.arrive(1_000, departure);
            rates.push((sampler.sample(departure, MS(n as u64), now, min_rtt), round_start));
        }
        let (last, round_start) = rates[9];
        let last = last.expect("a sample");
        assert_eq!(last.delivered, 10_000);
        assert_eq!(last.interval, Duration::from_micros(24_500));
        assert!(!round_start && rates[0].1, "one round for one flight");
    }

    #[test]
    fn what_leaves_after_the_application_ran_dry_is_marked_until_it_has_arrived() {
        let mut sampler = RateSampler::new(MS(0));
        let first = sampler.depart(0, 1_000, MS(0));
        sampler.run_dry(1_000);
        let second = sampler.depart(1_000, 2_000, MS(1));
        assert!(!first.app_limited && second.app_limited);
        sampler.arrive(1_000, &first);
        assert!(!sampler.depart(1_000, 2_000, MS(10)).app_limited);
    }

    #[test]
    fn pause_does_not_slow_the_rate_down() {
        let mut sampler = RateSampler::new(MS(0));
        let first = sampler.depart(0, 1_000, MS(0));
        sampler.arrive(1_000, &first);
        sampler.sample(&first, MS(0), MS(10), Duration::ZERO);
        let second = sampler.depart(0, 1_000, MS(5_000));
        sampler.arrive(1_000, &second);
        let rate = sampler.sample(&second, MS(5_000), MS(5_010), Duration::ZERO);
        assert_eq!(rate.expect("a sample").interval, Duration::from_millis(10));
    }
}
