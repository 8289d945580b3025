//! RACK: what was sent some time before something that has arrived, is lost (RFC 8985 §6).

use super::scoreboard::{Scoreboard, Sent};
use super::seq::SeqNumber;
use crate::time::{Duration, Instant};

/// What RACK knows of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rack {
    /// RACK.xmit_ts and RACK.end_seq: the segment that was sent last among those that have arrived.
    newest: (Instant, SeqNumber),
    /// RACK.rtt: how long that took, in nanoseconds.
    rtt: u64,
    /// RACK.fack: the end of the highest segment that has arrived.
    fack: SeqNumber,
    /// RACK.reordering_seen.
    reordering_seen: bool,
    /// RACK.reo_wnd_mult: quarters of the least round trip that the reordering window has.
    quarters: u32,
    /// RACK.reo_wnd_persist: recoveries until the window is small again.
    persist: u8,
    /// RACK.dsack_round: until this is acknowledged, further duplicates don't widen the window.
    dsack_round: Option<SeqNumber>,
    min_rtt: MinRtt,
    /// No answer comes sooner, as far as is known while nothing was measured, in nanoseconds.
    soonest: u64,
}

/// RFC 8985 §6.2 step 4: recoveries for which a widened window lasts.
const PERSISTENCE: u8 = 16;
/// No window needs more: it is bounded by the smoothed round trip as well.
const MOST_QUARTERS: u32 = 1 << 16;

/// What a walk over the scoreboard found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Detected {
    /// Places that were found lost.
    pub(crate) lost: u32,
    /// When to look again, where something may turn out to be lost merely because time passes.
    pub(crate) again: Option<Instant>,
}

impl Rack {
    /// A connection that has nothing in flight, and a smoothed round trip of `srtt` if one was ever measured.
    pub(crate) fn new(una: SeqNumber, srtt: Option<Duration>) -> Self {
        Self {
            newest: (Instant::ZERO, una),
            rtt: 0,
            fack: una,
            reordering_seen: false,
            quarters: 1,
            persist: 0,
            dsack_round: None,
            min_rtt: MinRtt { least: None, candidate: u64::MAX, since: Instant::ZERO },
            soonest: (srtt.unwrap_or_default() / 2).as_nanos() as u64,
        }
    }

    pub(crate) fn min_rtt(&self) -> Option<Duration> {
        self.min_rtt.least.map(Duration::from_nanos)
    }

    /// RFC 8985 §6.2 step 1, in nanoseconds.
    #[inline]
    pub(crate) fn measure(&mut self, rtt: u64, now: Instant) {
        self.min_rtt.measure(rtt, now);
    }

    /// RFC 8985 §6.2 steps 2 and 3, for a record that has arrived. `answered_earlier` says that the timestamp which
    /// the acknowledgement echoes is older than the record's last transmission.
    #[inline]
    pub(crate) fn on_arrival(&mut self, sent: &Sent, answered_earlier: bool, now: Instant) {
        let rtt = now.nanos_since(sent.at);
        if sent.resent {
            // The acknowledgement may be for an earlier transmission, which says nothing about this one.
            if answered_earlier || rtt < self.min_rtt.least.unwrap_or(self.soonest) {
                return;
            }
        } else if sent.end.before(self.fack) {
            self.reordering_seen = true;
        }
        if is_after((sent.at, sent.end), self.newest) {
            self.newest = (sent.at, sent.end);
            self.rtt = rtt;
        }
    }

    /// As [`measure`](Self::measure), [`on_arrival`](Self::on_arrival) and [`advance`](Self::advance), for what was sent
    /// once, at `at`, and is everything up to `end`.
    #[inline]
    pub(crate) fn on_expected_arrival(&mut self, at: Instant, end: SeqNumber, now: Instant) {
        let rtt = now.nanos_since(at);
        self.min_rtt.measure(rtt, now);
        self.fack = self.fack.max(end);
        if is_after((at, end), self.newest) {
            (self.newest, self.rtt) = ((at, end), rtt);
        }
    }

    /// An acknowledgement told that everything up to `end` or parts of it have arrived; called after all its records.
    #[inline]
    pub(crate) fn advance(&mut self, end: SeqNumber) {
        self.fack = self.fack.max(end);
    }

    /// RFC 8985 §6.2 step 4: the peer has received something twice, so the original came late, and the window was too
    /// small. It widens once a round trip, that is until `nxt` is acknowledged.
    pub(crate) fn on_duplicate(&mut self, una: SeqNumber, nxt: SeqNumber) {
        self.reordering_seen = true;
        if self.dsack_round.is_some_and(|round| una.before(round)) {
            return;
        }
        self.dsack_round = Some(nxt);
        self.quarters = (self.quarters + 1).min(MOST_QUARTERS);
        self.persist = PERSISTENCE;
    }

    /// A recovery is over.
    pub(crate) fn on_recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.quarters = 1;
        }
    }

    /// RACK.reo_wnd (RFC 8985 §6.2 step 4). `certain` says that recovery is under way, or that enough has arrived
    /// ahead for counting to tell a loss as well.
    pub(crate) fn window(&self, certain: bool, srtt: Duration) -> Duration {
        if !self.reordering_seen && certain {
            return Duration::ZERO;
        }
        let Some(least) = self.min_rtt() else { return srtt };
        (least / 4).saturating_mul(self.quarters).min(srtt)
    }

    /// RFC 8985 §6.2 step 5: marks what is lost. Tells `lost` of each record.
    pub(crate) fn detect(
        &self,
        board: &mut Scoreboard,
        window: Duration,
        now: Instant,
        lost: impl FnMut(u32, &Sent),
    ) -> Detected {
        let patience = Duration::from_nanos(self.rtt) + window;
        let mut again = None;
        let is_lost = |sent: &Sent| {
            if !is_after(self.newest, (sent.at, sent.end)) {
                return false;
            }
            let due = sent.at + patience;
            if due > now {
                again = again.max(Some(due));
            }
            due <= now
        };
        let lost = board.mark_lost(is_lost, lost);
        Detected { lost, again }
    }

    /// RFC 8985 §6.3: whether a record other than the oldest is lost, now that the retransmission timer went off.
    pub(crate) fn is_lost_on_timeout(&self, sent: &Sent, window: Duration, now: Instant) -> bool {
        sent.at.plus_nanos(self.rtt) + window <= now
    }
}

/// RFC 8985 §6.2, RACK_sent_after: what was sent at the same time was sent in order.
fn is_after(a: (Instant, SeqNumber), b: (Instant, SeqNumber)) -> bool {
    a.0 > b.0 || (a.0 == b.0 && a.1.after(b.1))
}

/// The least round trip of the last one or two [`MEMORY`]s.
#[derive(Clone, Copy, Debug)]
struct MinRtt {
    /// In nanoseconds.
    least: Option<u64>,
    /// The least since `since`.
    candidate: u64,
    since: Instant,
}

/// A path may change. RFC 8985 §6.2 step 1 wants the estimate to forget, and leaves open when.
const MEMORY: u64 = Duration::from_secs(60).as_nanos() as u64;

impl MinRtt {
    #[inline]
    fn measure(&mut self, rtt: u64, now: Instant) {
        if now.nanos_since(self.since) > MEMORY {
            self.least = self.least.map(|_| self.candidate);
            (self.candidate, self.since) = (rtt, now);
        }
        self.candidate = self.candidate.min(rtt);
        if self.least.is_none_or(|least| rtt < least) {
            self.least = Some(rtt);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::rate_sample::RateSampler;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn seq(n: u32) -> SeqNumber {
        SeqNumber(n)
    }

    /// Five segments of 10 places, sent a millisecond apart over a path of 40 ms.
    fn flight() -> (Rack, Scoreboard) {
        let mut board = Scoreboard::new(seq(0));
        let departure = RateSampler::new(Instant::ZERO).depart(1, 1, Instant::ZERO);
        for n in 0..5 {
            board.push(10, at(100 + n), departure, 100);
        }
        let mut rack = Rack::new(seq(0), None);
        rack.measure(40_000_000, at(50));
        (rack, board)
    }

    fn sack(rack: &mut Rack, board: &mut Scoreboard, left: u32, right: u32, now: Instant) {
        board.sack(seq(left), seq(right), 100, |_, sent| rack.on_arrival(sent, false, now));
        rack.advance(seq(right));
    }

    #[test]
    fn what_was_sent_a_quarter_of_a_round_trip_before_what_has_arrived_is_lost() {
        // RFC 8985 §6.2: reo_wnd = min_RTT / 4 = 10 ms.
        let (mut rack, mut board) = flight();
        sack(&mut rack, &mut board, 20, 30, at(142));
        let window = rack.window(false, MS(40));
        assert_eq!(window, MS(10));
        let found = rack.detect(&mut board, window, at(142), |_, _| {});
        // The youngest of those before it was sent at 101 ms, and its time is up after 40 + 10 ms.
        assert_eq!(found, Detected { lost: 0, again: Some(at(151)) });
        let found = rack.detect(&mut board, window, at(150), |_, _| {});
        assert_eq!(found, Detected { lost: 10, again: Some(at(151)) });
        let found = rack.detect(&mut board, window, at(151), |_, _| {});
        assert_eq!(found, Detected { lost: 10, again: None });
    }

    #[test]
    fn where_nothing_was_ever_reordered_no_time_is_lost_once_a_loss_is_certain() {
        let (rack, _) = flight();
        assert_eq!(rack.window(true, MS(40)), Duration::ZERO);
    }

    #[test]
    fn reordering_is_noticed_and_gets_its_window() {
        let (mut rack, mut board) = flight();
        sack(&mut rack, &mut board, 20, 30, at(142));
        sack(&mut rack, &mut board, 10, 20, at(143));
        assert_eq!(rack.window(true, MS(40)), MS(10));
    }

    #[test]
    fn duplicates_widen_the_window_once_a_round_trip_for_sixteen_recoveries() {
        let (mut rack, _) = flight();
        rack.on_duplicate(seq(0), seq(50));
        rack.on_duplicate(seq(20), seq(50));
        assert_eq!(rack.window(false, MS(40)), MS(20));
        rack.on_duplicate(seq(50), seq(90));
        assert_eq!(rack.window(false, MS(40)), MS(30));
        // Never beyond the smoothed round trip.
        assert_eq!(rack.window(false, MS(25)), MS(25));
        for _ in 0..15 {
            rack.on_recovered();
        }
        assert_eq!(rack.window(false, MS(40)), MS(30));
        rack.on_recovered();
        assert_eq!(rack.window(false, MS(40)), MS(10));
    }

    #[test]
    fn lost_repetition_is_noticed_by_what_was_sent_after_it() {
        let (mut rack, mut board) = flight();
        let departure = RateSampler::new(Instant::ZERO).depart(1, 1, Instant::ZERO);
        sack(&mut rack, &mut board, 10, 50, at(144));
        rack.detect(&mut board, Duration::ZERO, at(144), |_, _| {});
        board.resent(seq(0), 10, at(145), departure, 100);
        board.push(10, at(146), departure, 100);
        // What was sent after the repetition has arrived, and the repetition has not.
        sack(&mut rack, &mut board, 50, 60, at(186));
        let found = rack.detect(&mut board, Duration::ZERO, at(186), |_, _| {});
        assert_eq!(found.lost, 10);
    }

    #[test]
    fn answer_to_the_first_transmission_is_not_taken_for_one_to_the_second() {
        let (mut rack, mut board) = flight();
        let departure = RateSampler::new(Instant::ZERO).depart(1, 1, Instant::ZERO);
        board.mark_lost(|sent| sent.end == seq(10), |_, _| {});
        board.resent(seq(0), 10, at(139), departure, 100);
        // RFC 8985 §6.2 step 2: 1 ms is less than any round trip.
        board.acknowledge(seq(10), |_, sent| rack.on_arrival(sent, false, at(140)));
        assert_eq!(rack.detect(&mut board, Duration::ZERO, at(140), |_, _| {}), Detected::default());
    }

    #[test]
    fn least_round_trip_is_forgotten_when_the_path_has_become_longer() {
        let (mut rack, _) = flight();
        rack.measure(90_000_000, at(70_000));
        rack.measure(80_000_000, at(100_000));
        rack.measure(95_000_000, at(131_000));
        assert_eq!(rack.min_rtt(), Some(MS(80)));
    }
}
