//! The round-trip time and the retransmission timeout that follows from it (RFC 6298).

use crate::config::TcpConfig;
use crate::time::{Duration, Instant};

/// Estimates the round-trip time of a connection. Times are in microseconds.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed)]
pub(crate) struct RttEstimator {
    /// The smoothed round-trip time; zero before the first measurement.
    srtt: u32,
    rttvar: u32,
    /// The timeout before back-off.
    rto: u32,
    /// How often the timeout has been doubled.
    backoff: u8,
}

impl RttEstimator {
    pub(crate) fn new(config: &TcpConfig) -> Self {
        let rto = micros(config.rto_initial).min(micros(config.rto_max));
        Self { srtt: 0, rttvar: 0, rto, backoff: 0 }
    }

    /// Takes a measurement of a segment that was sent only once (RFC 6298 §3, Karn's algorithm).
    #[inline]
    pub(crate) fn measure(&mut self, rtt: Duration, config: &TcpConfig) {
        self.measure_micros(micros(rtt), config);
    }

    /// As [`measure`](Self::measure), in nanoseconds.
    #[inline]
    pub(crate) fn measure_nanos(&mut self, rtt: u64, config: &TcpConfig) {
        self.measure_micros(u32::try_from(rtt / 1_000).unwrap_or(u32::MAX), config);
    }

    #[inline]
    fn measure_micros(&mut self, rtt: u32, config: &TcpConfig) {
        let rtt = rtt.max(1);
        if self.srtt == 0 {
            // RFC 6298 §2.2.
            self.srtt = rtt;
            self.rttvar = rtt / 2;
        } else {
            // RFC 6298 §2.3: alpha = 1/8, beta = 1/4.
            let error = self.srtt.abs_diff(rtt);
            self.rttvar = self.rttvar - self.rttvar / 4 + error / 4;
            self.srtt = (self.srtt - self.srtt / 8 + rtt / 8).max(1);
        }
        let rto = self.srtt.saturating_add(self.rttvar.saturating_mul(4));
        self.rto = rto.clamp(micros(config.rto_min), micros(config.rto_max));
        self.backoff = 0;
    }

    /// The timeout for the segment that is sent now.
    pub(crate) fn rto(&self, config: &TcpConfig) -> Duration {
        let backed_off = u64::from(self.rto) << self.backoff.min(16);
        Duration::from_micros(backed_off).min(config.rto_max)
    }

    /// When the timeout of the segment that is sent now ends.
    #[inline]
    pub(crate) fn timeout(&self, now: Instant, config: &TcpConfig) -> Instant {
        if self.backoff > 0 {
            return now + self.rto(config);
        }
        now.plus_nanos(u64::from(self.rto) * 1_000)
    }

    /// Time that passed until the timer went off so many times in a row.
    pub(crate) fn waited(&self, times: u8, config: &TcpConfig) -> Duration {
        let rto =
            |doubled: u8| Duration::from_micros(u64::from(self.rto) << doubled.min(16)).min(config.rto_max);
        (0..times).map(rto).sum()
    }

    /// The timer went off: the next timeout is twice as long (RFC 6298 §5.5).
    pub(crate) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// What was measured last holds again.
    pub(crate) fn end_back_off(&mut self) {
        self.backoff = 0;
    }

    /// The smoothed round-trip time, once there was a measurement.
    #[inline]
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        (self.srtt != 0).then(|| Duration::from_micros(u64::from(self.srtt)))
    }

    /// The smoothed round-trip time in nanoseconds; zero before there was a measurement.
    #[inline]
    pub(crate) fn smoothed_nanos(&self) -> u64 {
        u64::from(self.srtt) * 1_000
    }

    /// How far measurements vary (RFC 6298 §2, RTTVAR).
    pub(crate) fn variation(&self) -> Duration {
        Duration::from_micros(u64::from(self.rttvar))
    }

    /// How often the timeout is doubled.
    pub(crate) fn backoff(&self) -> u8 {
        self.backoff
    }

    /// RFC 6298 §5.7: a SYN had to be repeated, so data starts with a timeout of 3 s.
    pub(crate) fn distrust_handshake(&mut self, config: &TcpConfig) {
        self.rto = 3_000_000.max(micros(config.rto_initial)).min(micros(config.rto_max));
        self.backoff = 0;
    }
}

fn micros(span: Duration) -> u32 {
    let seconds = u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    seconds.saturating_mul(1_000_000).saturating_add(span.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> TcpConfig {
        TcpConfig { rto_min: Duration::from_millis(1), ..TcpConfig::default() }
    }

    #[test]
    fn first_measurement_sets_rto_to_three_round_trips() {
        // RFC 6298 §2.2: SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 * RTTVAR.
        let mut rtt = RttEstimator::new(&config());
        assert_eq!(rtt.rto(&config()), Duration::from_secs(1));
        rtt.measure(Duration::from_millis(100), &config());
        assert_eq!(rtt.rto(&config()), Duration::from_millis(300));
        assert_eq!(rtt.smoothed(), Some(Duration::from_millis(100)));
    }

    #[test]
    fn later_measurements_are_weighed_an_eighth_and_a_quarter() {
        let mut rtt = RttEstimator::new(&config());
        rtt.measure(Duration::from_millis(80), &config());
        rtt.measure(Duration::from_millis(160), &config());
        // RTTVAR = 3/4 * 40 + 1/4 * 80 = 50, SRTT = 7/8 * 80 + 1/8 * 160 = 90.
        assert_eq!(rtt.smoothed(), Some(Duration::from_millis(90)));
        assert_eq!(rtt.rto(&config()), Duration::from_millis(290));
    }

    #[test]
    fn timeouts_double_up_to_the_greatest_and_end_with_a_measurement() {
        let mut rtt = RttEstimator::new(&config());
        rtt.back_off();
        assert_eq!(rtt.rto(&config()), Duration::from_secs(2));
        for _ in 0..300 {
            rtt.back_off();
        }
        assert_eq!(rtt.rto(&config()), Duration::from_secs(60));
        rtt.measure(Duration::from_millis(10), &config());
        assert_eq!(rtt.rto(&config()), Duration::from_millis(30));
    }
}
