//! What acknowledgements and timeouts tell of what is in flight: what has arrived, what was lost, and how the window
//! answers. By SACK and RACK (RFC 6675, RFC 8985), or by counting duplicates where the peer has no SACK (RFC 6582).

use super::congestion::{Acked, CongestionControl, DeliveryRate, LostSegment, Snapshot};
use super::flight::Flight;
use super::prr::{Progress, Prr};
use super::rate_sample::{Departure, RateSampler};
use super::rtt::RttEstimator;
use super::scoreboard::Sent;
use super::seq::SeqNumber;
use super::spurious::{Doubt, Frto, Hint};
use super::timestamps::Timestamps;
use crate::config::TcpConfig;
use crate::counters::Counters;
use crate::time::{Duration, Instant};
use crate::wire::tcp_options::{SackBlock, SackBlocks};

/// Duplicate acknowledgements that stand for a lost segment (RFC 5681 §3.2, RFC 6675 §2).
const DUPLICATE_THRESHOLD: u32 = 3;

/// How the connection fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is known to be lost.
    Open,
    /// Something was lost, until `recover` is acknowledged.
    Fast,
    /// After a timeout, until `recover` is acknowledged.
    Timeout,
}

/// An acceptable acknowledgement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack<'a> {
    pub(crate) now: Instant,
    /// Everything before it has arrived.
    pub(crate) number: SeqNumber,
    pub(crate) blocks: &'a SackBlocks,
    /// RFC 5681 §2: it says nothing but what was said before.
    pub(crate) duplicate: bool,
    /// Our timestamp that it echoes, where both ends use them.
    pub(crate) echo: Option<(&'a Timestamps, u32)>,
    /// There is new data that the peer has room for.
    pub(crate) has_new_data: bool,
    /// It tells of congestion marks (RFC 3168 §6.1).
    pub(crate) ece: bool,
    pub(crate) mss: u32,
}

/// What of an acknowledgement is news.
#[derive(Debug)]
struct News {
    now: Instant,
    /// Bytes that have arrived for all that was known before.
    bytes: u32,
    /// Of them, what is acknowledged selectively only.
    sacked: bool,
    /// When the first and the last of what was sent only once had left.
    first: Option<Instant>,
    last: Option<Instant>,
    /// What left last of all that has arrived.
    newest: Option<(Instant, Departure)>,
    /// Something has arrived that was sent before `recover`, and only once.
    original: bool,
    /// Something has arrived that was sent again.
    resent: bool,
    /// The end of what has arrived.
    end: Option<SeqNumber>,
}

impl News {
    const fn new(now: Instant) -> Self {
        Self {
            now,
            bytes: 0,
            sacked: false,
            first: None,
            last: None,
            newest: None,
            original: false,
            resent: false,
            end: None,
        }
    }

    #[inline]
    fn note(&mut self, len: u32, sent: &Sent, recover: SeqNumber) {
        self.bytes += len;
        if sent.resent {
            self.resent = true;
        } else {
            self.first = self.first.or(Some(sent.at));
            self.last = self.last.max(Some(sent.at));
            self.original |= !sent.end.after(recover);
        }
        if self.newest.is_none_or(|(at, _)| sent.at >= at) {
            self.newest = Some((sent.at, sent.departure));
        }
        self.end = Some(self.end.map_or(sent.end, |end| end.max(sent.end)));
    }
}

/// What was known before an acknowledgement.
#[derive(Clone, Copy, Debug)]
struct Before {
    una: SeqNumber,
    in_flight: u32,
    phase: Phase,
}

impl Flight {
    /// Takes an acknowledgement. Returns whether it told anything of what is in flight.
    pub(crate) fn on_ack(
        &mut self,
        ack: &Ack<'_>,
        rtt: &mut RttEstimator,
        config: &TcpConfig,
        limit: usize,
        counters: &mut Counters,
    ) -> bool {
        let before = Before { una: self.board.una(), in_flight: self.in_flight(), phase: self.phase };
        let mut news = News::new(ack.now);
        let told_twice =
            if ack.blocks.is_empty() { None } else { self.take_blocks(ack, limit, &mut news, counters) };
        self.take_number(ack, &mut news);
        let una = self.board.una();
        let advanced = una.after(before.una);
        if !self.sack {
            self.count_duplicates(ack, before.una, &mut news);
        }
        let counts = ack.duplicate && (!self.sack || self.probe.is_outstanding());
        if !advanced && news.bytes == 0 && told_twice.is_none() && !counts {
            return false;
        }
        let latest = self.measure(&news, ack, advanced, rtt, config);
        if advanced {
            self.timeout = rtt.timeout(ack.now, config);
        }
        let bare = !advanced && ack.blocks.is_empty() && ack.duplicate;
        if self.probe.on_ack(ack.number, told_twice, bare) {
            self.answer_to_repaired_loss(before.in_flight, ack);
        }
        self.advance_phase(ack, advanced, &news, rtt, counters);
        let lost = self.detect(ack.now, ack.mss, advanced, news.resent, rtt, limit);
        if self.phase == Phase::Open && self.board.lost() > 0 {
            self.enter_recovery(before.in_flight, ack.mss);
        }
        self.tell_congestion_control(ack, &before, &news, latest, lost, rtt);
        advanced || news.bytes > 0
    }

    /// Whether what was in flight from `una` on, `in_flight` bytes at the most, needed the window: it kept data from
    /// leaving; or, in slow start, more than half of it was in use, as Linux has it. Else it does not grow (RFC 9438 §5.8).
    #[inline]
    pub(super) fn uses_window(&self, una: SeqNumber, in_flight: u32) -> bool {
        let window = self.congestion.window();
        una.before(self.limited_until) || (window < self.congestion.ssthresh() && window < 2 * in_flight)
    }

    /// RFC 2018 and RFC 2883. Returns the end of what the peer tells to have received twice, if anything.
    fn take_blocks(
        &mut self,
        ack: &Ack<'_>,
        limit: usize,
        news: &mut News,
        counters: &mut Counters,
    ) -> Option<SeqNumber> {
        if !self.sack {
            return None;
        }
        let blocks = ack.blocks.as_slice();
        let mut told_twice = None;
        let mut rest = blocks;
        if let [first, others @ ..] = blocks
            && is_duplicate(first, others.first(), ack.number)
        {
            rest = others;
            let (left, right) = (SeqNumber(first.left), SeqNumber(first.right));
            if right.after(left) && !right.after(self.board.end()) {
                counters.tcp_duplicates_told += 1;
                told_twice = Some(right);
                self.on_duplicate(left, right);
            }
        }
        let Self { board, rack, recover, .. } = self;
        let recover = *recover;
        for block in rest {
            let (left, right) = (SeqNumber(block.left).max(board.una()), SeqNumber(block.right));
            // What was never sent, or ends before it begins, is not believed.
            if !right.after(left) || right.after(board.end()) {
                continue;
            }
            board.sack(left, right, limit, |len, sent| {
                news.sacked = true;
                news.note(len, sent, recover);
                // The timestamp that is echoed belongs to what has arrived in order.
                rack.on_arrival(sent, false, news.now);
            });
        }
        told_twice
    }

    /// Everything before the acknowledgement number has arrived.
    #[inline]
    fn take_number(&mut self, ack: &Ack<'_>, news: &mut News) {
        let Self { board, rack, recover, .. } = self;
        if ack.number.after(board.una()) {
            let recover = *recover;
            board.acknowledge(ack.number, |len, sent| {
                news.note(len, sent, recover);
                rack.on_arrival(sent, is_answered_earlier(ack, sent), news.now);
            });
        }
        if let Some(end) = news.end {
            rack.advance(end);
        }
    }

    /// The peer has received something twice: if we have sent it twice, the window for reordering was too small, and the
    /// last reduction of the congestion window perhaps needless.
    fn on_duplicate(&mut self, left: SeqNumber, right: SeqNumber) {
        if self.doubt.on_duplicate(left, right) {
            self.rack.on_duplicate(self.board.una(), self.board.end());
        }
    }

    /// Without SACK, a duplicate says that some segment has arrived, but not which one (RFC 5681 §3.2). It counts as
    /// delivered then, and no more when it is acknowledged.
    fn count_duplicates(&mut self, ack: &Ack<'_>, una: SeqNumber, news: &mut News) {
        if self.board.una().after(una) {
            self.duplicate_acks = 0;
            let covered = news.bytes;
            news.bytes = covered.saturating_sub(self.duplicates).max(covered.min(ack.mss));
            self.duplicates = self.duplicates.saturating_sub(covered.saturating_sub(ack.mss));
        } else if ack.duplicate && self.phase != Phase::Timeout {
            // The oldest segment has not arrived.
            let room = self.in_flight().saturating_sub(ack.mss);
            news.bytes = ack.mss.min(room);
            self.duplicates += news.bytes;
            self.duplicate_acks = self.duplicate_acks.saturating_add(1);
        }
    }

    /// RFC 6298 §3: takes the round trip of what was sent only once (Karn's algorithm), or the one that the timestamp
    /// tells (RFC 7323 §4.1). Returns the one of what left last.
    #[inline]
    fn measure(
        &mut self,
        news: &News,
        ack: &Ack<'_>,
        advanced: bool,
        rtt: &mut RttEstimator,
        config: &TcpConfig,
    ) -> Option<Duration> {
        let latest = news.last.map(|at| ack.now.nanos_since(at));
        if let Some(latest) = latest {
            self.rack.measure(latest, ack.now);
        }
        let latest = latest.map(Duration::from_nanos);
        let measured = match (news.first, ack.echo) {
            (Some(at), _) => Some(ack.now - at),
            (None, Some((timestamps, echo))) if advanced => Some(timestamps.since(echo, ack.now)),
            _ => None,
        };
        if let Some(measured) = measured {
            rtt.measure(measured, config);
        }
        latest
    }

    /// Ends a recovery that is complete, or that turns out to have been needless.
    #[inline]
    fn advance_phase(
        &mut self,
        ack: &Ack<'_>,
        advanced: bool,
        news: &News,
        rtt: &mut RttEstimator,
        counters: &mut Counters,
    ) {
        let complete = !self.board.una().before(self.recover);
        if self.phase == Phase::Open {
            if self.doubt.is_cleared_by_duplicates() {
                self.undo(rtt, counters);
            }
            return;
        }
        let mut spurious =
            self.doubt.is_cleared_by_duplicates() || (advanced && self.doubt.is_cleared_by_echo(ack.echo));
        if self.phase == Phase::Timeout && !complete {
            spurious |= self.frto.on_ack(&Hint {
                advanced,
                original: news.original,
                ahead: news.sacked || ack.duplicate,
                has_new_data: ack.has_new_data,
                nxt: self.board.end(),
            });
        }
        if spurious {
            self.undo(rtt, counters);
        } else if complete {
            self.finish(ack);
        }
    }

    /// All that was in flight when the recovery began is acknowledged.
    fn finish(&mut self, ack: &Ack<'_>) {
        if self.phase == Phase::Fast {
            let at = Snapshot { in_flight: self.in_flight(), mss: ack.mss };
            self.congestion.on_recovered(&at);
        }
        self.rack.on_recovered();
        self.settle();
    }

    /// The last reduction answered to nothing.
    fn undo(&mut self, rtt: &mut RttEstimator, counters: &mut Counters) {
        counters.tcp_spurious_recoveries += 1;
        self.board.unmark_lost();
        self.congestion.undo();
        rtt.end_back_off();
        self.doubt.end();
        self.settle();
    }

    fn settle(&mut self) {
        self.phase = Phase::Open;
        self.frto = Frto::Off;
        self.must_resend = false;
        (self.duplicates, self.duplicate_acks) = (0, 0);
    }

    /// Looks for what was lost, and returns how much more that is.
    #[inline]
    fn detect(
        &mut self,
        now: Instant,
        mss: u32,
        advanced: bool,
        resent_arrived: bool,
        rtt: &RttEstimator,
        limit: usize,
    ) -> u32 {
        if !self.sack {
            return self.detect_by_duplicates(mss, advanced, limit);
        }
        // What is acknowledged in order was sent before all that is not, unless something was sent again.
        let in_order = self.board.sacked() == 0
            && self.board.lost() == 0
            && !resent_arrived
            && !self.resent_until.after(self.board.una());
        if in_order && self.look_again.is_none() {
            return 0;
        }
        self.detect_by_time(now, mss, rtt)
    }

    /// RFC 8985 §6.2 step 5.
    fn detect_by_time(&mut self, now: Instant, mss: u32, rtt: &RttEstimator) -> u32 {
        // RFC 6675 §4, IsLost: more than (DupThresh - 1) * SMSS bytes have arrived ahead.
        let certain = self.phase != Phase::Open || self.board.sacked() > (DUPLICATE_THRESHOLD - 1) * mss;
        let window = self.rack.window(certain, rtt.smoothed().unwrap_or_default());
        let Self { rack, board, rate, congestion, .. } = self;
        let detected = rack.detect(board, window, now, |len, sent| note_loss(len, sent, rate, congestion));
        self.look_again = detected.again;
        detected.lost
    }

    /// RFC 6582: the third duplicate tells of a loss, and each partial acknowledgement of a further one. Duplicates of
    /// what an earlier recovery has sent again start no new one (§3.2 step 2).
    fn detect_by_duplicates(&mut self, mss: u32, advanced: bool, limit: usize) -> u32 {
        let lost = match self.phase {
            Phase::Open => self.duplicate_acks >= DUPLICATE_THRESHOLD && self.board.una().after(self.recover),
            // §3.2 step 3: the next hole is filled at once.
            Phase::Fast => {
                self.must_resend |= advanced;
                advanced
            }
            Phase::Timeout => false,
        };
        let lost = if lost { self.board.mark_front_lost(mss, limit) } else { 0 };
        self.rate.lost = self.rate.lost.wrapping_add(lost);
        lost
    }

    /// Something was lost, with `flight` bytes in flight before: the window comes down once for all of it.
    fn enter_recovery(&mut self, flight: u32, mss: u32) {
        self.phase = Phase::Fast;
        self.recover = self.board.end();
        self.prr = Prr::new(flight);
        self.doubt = Doubt::begin();
        self.probe.cancel();
        self.congestion.on_loss(&Snapshot { in_flight: flight, mss });
    }

    /// What is in flight met congestion. Returns whether the window comes down for it: not where a loss has seen to that.
    pub(crate) fn on_congestion_echo(&mut self, mss: u32) -> bool {
        if self.phase != Phase::Open {
            return false;
        }
        self.congestion.on_ecn(&Snapshot { in_flight: self.in_flight(), mss });
        true
    }

    /// RFC 8985 §7.4.1: a tail loss probe has made up for a loss, and nothing else would have the window come down.
    fn answer_to_repaired_loss(&mut self, flight: u32, ack: &Ack<'_>) {
        if self.phase != Phase::Open {
            return;
        }
        let at = Snapshot { in_flight: flight, mss: ack.mss };
        self.congestion.on_loss(&at);
        self.congestion.on_recovered(&at);
    }

    #[inline]
    fn tell_congestion_control(
        &mut self,
        ack: &Ack<'_>,
        before: &Before,
        news: &News,
        latest: Option<Duration>,
        lost: u32,
        rtt: &RttEstimator,
    ) {
        let (rate, round_start) = self.sample_rate(news);
        let in_flight = self.in_flight();
        let in_recovery = self.phase == Phase::Fast;
        let advanced = self.board.una().after(before.una);
        let at_departure = news.newest.map_or(0, |(_, departure)| departure.in_flight);
        // What merely arrives ahead leaves the window as it is.
        let limited = advanced && self.uses_window(before.una, at_departure);
        if advanced {
            self.limited_until = self.limited_until.max(self.board.una());
        }
        self.congestion.on_ack(&Acked {
            now: ack.now,
            bytes: news.bytes,
            delivered: self.rate.delivered,
            newly_lost: lost,
            ce: if ack.ece { news.bytes } else { 0 },
            in_flight,
            rtt: latest,
            srtt: rtt.smoothed(),
            rate,
            limited,
            // What was sent before the window came down does not widen it again.
            in_recovery: in_recovery || before.phase == Phase::Fast,
            round_start,
            mss: ack.mss,
        });
        if in_recovery && self.congestion.uses_prr() {
            self.prr.on_ack(&Progress {
                delivered: news.bytes,
                pipe: in_flight,
                ssthresh: self.congestion.ssthresh(),
                safe: advanced && lost == 0,
                mss: ack.mss,
            });
        }
    }

    #[inline]
    fn sample_rate(&mut self, news: &News) -> (Option<DeliveryRate>, bool) {
        let Some((sent_at, departure)) = &news.newest else {
            self.rate.delivered += u64::from(news.bytes);
            return (None, false);
        };
        let min_rtt = self.rack.min_rtt().unwrap_or_default();
        let round_start = self.rate.arrive(news.bytes, departure);
        let wanted = self.congestion.samples_rate();
        (if wanted { self.rate.sample(departure, *sent_at, news.now, min_rtt) } else { None }, round_start)
    }

    /// Time has passed in which what is missing might have arrived (RFC 8985 §6.2 step 5).
    pub(crate) fn on_reorder_timer(&mut self, rtt: &RttEstimator, mss: u32, now: Instant) {
        let flight = self.in_flight();
        self.look_again = None;
        if self.detect_by_time(now, mss, rtt) == 0 {
            return;
        }
        if self.phase == Phase::Open {
            self.enter_recovery(flight, mss);
        }
        if self.phase == Phase::Fast {
            let (pipe, ssthresh) = (self.in_flight(), self.congestion.ssthresh());
            self.prr.on_ack(&Progress { delivered: 0, pipe, ssthresh, safe: false, mss });
        }
    }

    /// The end of what is in flight shall be probed.
    pub(crate) fn on_probe_timer(&mut self) {
        self.probe.on_timer();
    }

    /// The retransmission timer went off, and will do so again at `next`; `first` where it had not since something was
    /// acknowledged.
    pub(crate) fn on_timeout(
        &mut self,
        rtt: &RttEstimator,
        first: bool,
        mss: u32,
        now: Instant,
        next: Instant,
    ) {
        self.timeout = next;
        let flight = self.in_flight();
        if self.board.is_reneged() {
            // RFC 2018 §8: the peer has thrown away what it had; so it may have done with everything.
            self.board.forget_sacks();
        }
        // RFC 5682 §3.1 step 1: not if a recovery was under way.
        self.frto = if self.phase == Phase::Open && self.sack { Frto::Repeated } else { Frto::Off };
        if self.phase != Phase::Timeout {
            self.doubt = Doubt::begin();
        }
        self.phase = Phase::Timeout;
        self.recover = self.board.end();
        (self.duplicates, self.duplicate_acks) = (0, 0);
        self.probe.cancel();
        self.look_again = None;
        self.must_resend = true;
        self.mark_lost_on_timeout(rtt, now);
        self.congestion.on_timeout(&Snapshot { in_flight: flight, mss }, first);
    }

    /// The path dropped everything, though not for congestion: it is sent again, and the window stays as it is
    /// (RFC 1191 §6.4).
    pub(crate) fn lose_all(&mut self) {
        self.board.mark_lost(|_| true, |_, _| {});
        self.phase = Phase::Timeout;
        self.recover = self.board.end();
        self.frto = Frto::Off;
        self.doubt.end();
        self.probe.cancel();
    }

    /// RFC 8985 §6.3: the oldest segment is lost, and what had time enough to arrive. Without SACK, everything is
    /// (RFC 5681 §3.1).
    fn mark_lost_on_timeout(&mut self, rtt: &RttEstimator, now: Instant) {
        let window = self.rack.window(true, rtt.smoothed().unwrap_or_default());
        let Self { rack, board, rate, congestion, sack, .. } = self;
        let mut oldest = true;
        board.mark_lost(
            |sent| core::mem::take(&mut oldest) || !*sack || rack.is_lost_on_timeout(sent, window, now),
            |len, sent| note_loss(len, sent, rate, congestion),
        );
    }
}

fn note_loss(len: u32, sent: &Sent, rate: &mut RateSampler, congestion: &mut impl CongestionControl) {
    rate.lost = rate.lost.wrapping_add(len);
    congestion.on_segment_lost(&LostSegment {
        len,
        tx_in_flight: sent.departure.in_flight,
        lost: sent.departure.lost_since(rate.lost),
        app_limited: sent.departure.app_limited,
    });
}

/// RFC 2883 §5: whether the first block tells of a duplicate. It lies before the acknowledgement number then, or in the
/// second block.
fn is_duplicate(first: &SackBlock, second: Option<&SackBlock>, number: SeqNumber) -> bool {
    let (left, right) = (SeqNumber(first.left), SeqNumber(first.right));
    left.before(number)
        || second.is_some_and(|second| {
            !left.before(SeqNumber(second.left)) && !right.after(SeqNumber(second.right))
        })
}

/// Whether an acknowledgement echoes a timestamp from before a record's last transmission.
fn is_answered_earlier(ack: &Ack<'_>, sent: &Sent) -> bool {
    sent.resent && ack.echo.is_some_and(|(timestamps, echo)| timestamps.is_from_before(echo, sent.at))
}
