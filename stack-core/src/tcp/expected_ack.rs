//! The acknowledgement that nearly always comes where requests and answers take turns: of all that is in flight.

use super::congestion::CongestionControl;
use super::flight::Flight;
use super::recovery::Phase;
use super::rtt::RttEstimator;
use super::seq::SeqNumber;
use crate::config::TcpConfig;
use crate::time::Instant;

impl Flight {
    /// Takes an acknowledgement in the common case: it has no blocks, and everything in flight was sent once and at one
    /// time, had not needed the window, and has arrived, with nothing lost or in doubt before. Returns whether this is it;
    /// if not, nothing was taken, and [`on_ack`](Self::on_ack) is to be told.
    #[inline]
    pub(crate) fn on_expected_ack(
        &mut self,
        number: SeqNumber,
        now: Instant,
        rtt: &mut RttEstimator,
        config: &TcpConfig,
    ) -> bool {
        let calm = self.sack
            && self.phase == Phase::Open
            && self.look_again.is_none()
            && !self.probe.is_outstanding()
            && !self.doubt.is_cleared_by_duplicates();
        let Some(sent) = self.board.whole(number).filter(|_| calm) else { return false };
        let una = self.board.una();
        let (at, end, departure) = (sent.at, sent.end, sent.departure);
        if self.uses_window(una, departure.in_flight) || !self.congestion.on_ack_of_less(now) {
            return false;
        }
        self.rack.on_expected_arrival(at, end, now);
        self.board.clear(end);
        rtt.measure_nanos(now.nanos_since(at), config);
        self.timeout = rtt.timeout(now, config);
        self.rate.arrive(end.since(una), &departure);
        self.limited_until = end;
        true
    }
}
