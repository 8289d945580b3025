//! HyStart++ (RFC 9406): slow start ends when the round trip grows, before the queue overflows.

use super::Acked;
use crate::time::Duration;

/// How far the first slow start of a connection has come. Times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HyStart {
    phase: Phase,
    /// The least round trip of this round and of the one before it; [`UNKNOWN`] until one was measured.
    current_min: u32,
    last_min: u32,
    /// Round trips measured in this round, as far as they matter.
    samples: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Standard slow start, and the round trip does not grow.
    SlowStart,
    /// Conservative slow start: the round trip has grown beyond `baseline`; `rounds` of it have begun.
    Conservative { baseline: u32, rounds: u8 },
    /// RFC 9406 §4.3: only the first slow start of a connection is watched.
    Off,
}

/// What a slow start does with the bytes of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// The window grows by this many bytes.
    By(u32),
    /// Slow start ends here.
    End,
}

/// RFC 9406 §4.3, its constants.
const MIN_RTT_THRESH: u32 = 4_000;
const MAX_RTT_THRESH: u32 = 16_000;
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u8 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;

const UNKNOWN: u32 = u32::MAX;

impl HyStart {
    pub(crate) fn new() -> Self {
        Self { phase: Phase::SlowStart, current_min: UNKNOWN, last_min: UNKNOWN, samples: 0 }
    }

    /// Slow start was left by a loss or a mark: those that follow are standard ones.
    pub(crate) fn end(&mut self) {
        self.phase = Phase::Off;
    }

    /// An acknowledgement came in slow start.
    ///
    /// RFC 9406 §4.2 would count no more than eight segments of it where data is not paced (its L). Here
    /// acknowledgements cover whole bursts, so that the limit would slow down every slow start.
    pub(crate) fn on_ack(&mut self, ack: &Acked) -> Growth {
        if self.phase == Phase::Off {
            return Growth::By(ack.bytes);
        }
        if ack.round_start {
            self.last_min = self.current_min;
            self.current_min = UNKNOWN;
            self.samples = 0;
            if let Phase::Conservative { rounds, .. } = &mut self.phase {
                *rounds += 1;
            }
        }
        if let Some(rtt) = ack.rtt {
            self.current_min = self.current_min.min(micros(rtt));
            self.samples = self.samples.saturating_add(1);
        }
        self.judge();
        match self.phase {
            Phase::SlowStart | Phase::Off => Growth::By(ack.bytes),
            Phase::Conservative { rounds, .. } if rounds >= CSS_ROUNDS => {
                self.end();
                Growth::End
            }
            Phase::Conservative { .. } => Growth::By(ack.bytes / CSS_GROWTH_DIVISOR),
        }
    }

    /// Between the two slow starts, once enough round trips were measured.
    fn judge(&mut self) {
        if self.samples < N_RTT_SAMPLE {
            return;
        }
        match self.phase {
            Phase::SlowStart if self.last_min != UNKNOWN => {
                let threshold = (self.last_min / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                if self.current_min >= self.last_min.saturating_add(threshold) {
                    self.phase = Phase::Conservative { baseline: self.current_min, rounds: 0 };
                }
            }
            // It grew for another reason than a queue of our making.
            Phase::Conservative { baseline, .. } if self.current_min < baseline => {
                self.phase = Phase::SlowStart;
            }
            Phase::SlowStart | Phase::Conservative { .. } | Phase::Off => {}
        }
    }
}

fn micros(span: Duration) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(UNKNOWN - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_000;

    /// A round of ten acknowledgements of four segments each, all after `rtt`; how the last one lets grow.
    fn round(hystart: &mut HyStart, rtt: u64) -> Growth {
        let mut growth = Growth::End;
        for ack in 0..10 {
            let rtt = Some(Duration::from_millis(rtt));
            growth = hystart.on_ack(&Acked { rtt, round_start: ack == 0, ..Acked::of(4 * MSS, MSS) });
            if growth == Growth::End {
                break;
            }
        }
        growth
    }

    #[test]
    fn round_trip_that_does_not_grow_leaves_slow_start_alone() {
        let mut hystart = HyStart::new();
        for _ in 0..20 {
            assert_eq!(round(&mut hystart, 100), Growth::By(4 * MSS));
        }
    }

    #[test]
    fn growth_by_an_eighth_of_the_round_trip_slows_down_to_a_quarter() {
        // RFC 9406 §4.3: MIN_RTT_DIVISOR = 8, and CSS_GROWTH_DIVISOR = 4.
        let mut hystart = HyStart::new();
        round(&mut hystart, 80);
        assert_eq!(round(&mut hystart, 89), Growth::By(4 * MSS), "less than 80 / 8 = 10 ms more");
        round(&mut hystart, 80);
        assert_eq!(round(&mut hystart, 90), Growth::By(MSS));
    }

    #[test]
    fn threshold_lies_between_4_and_16_ms() {
        // RFC 9406 §4.3: MIN_RTT_THRESH = 4 ms, MAX_RTT_THRESH = 16 ms.
        for (base, threshold) in [(1, 4), (16, 4), (400, 16)] {
            let mut hystart = HyStart::new();
            round(&mut hystart, base);
            assert_eq!(round(&mut hystart, base + threshold - 1), Growth::By(4 * MSS));
            let mut hystart = HyStart::new();
            round(&mut hystart, base);
            assert_eq!(round(&mut hystart, base + threshold), Growth::By(MSS));
        }
    }

    #[test]
    fn eight_samples_decide() {
        // RFC 9406 §4.3: N_RTT_SAMPLE = 8.
        let mut hystart = HyStart::new();
        round(&mut hystart, 80);
        for ack in 1..=8 {
            let rtt = Some(Duration::from_millis(200));
            let growth = hystart.on_ack(&Acked { rtt, round_start: ack == 1, ..Acked::of(4 * MSS, MSS) });
            assert_eq!(growth, Growth::By(if ack < 8 { 4 * MSS } else { MSS }), "after {ack}");
        }
    }

    #[test]
    fn five_conservative_rounds_end_slow_start() {
        // RFC 9406 §4.3: CSS_ROUNDS = 5.
        let mut hystart = HyStart::new();
        round(&mut hystart, 80);
        for _ in 0..5 {
            assert_eq!(round(&mut hystart, 100), Growth::By(MSS));
        }
        assert_eq!(round(&mut hystart, 100), Growth::End);
        assert_eq!(round(&mut hystart, 200), Growth::By(4 * MSS), "a later slow start is a standard one");
    }

    #[test]
    fn round_trip_that_comes_down_again_resumes_slow_start() {
        // RFC 9406 §4.2: currentRoundMinRTT below cssBaselineMinRtt.
        let mut hystart = HyStart::new();
        round(&mut hystart, 80);
        assert_eq!(round(&mut hystart, 100), Growth::By(MSS));
        assert_eq!(round(&mut hystart, 99), Growth::By(4 * MSS));
    }
}
