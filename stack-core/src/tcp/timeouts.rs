//! What the timers of a synchronised connection lead to: data that was not acknowledged, a window that stays closed, a peer
//! that stays silent.

use super::connection::Patience;
use super::synchronized::{Phase, Synchronized};
use super::timers::{Deadline, Timer};
use super::user_timeout::UserTimeout;
use super::{Answer, Context, Decision, Next};
use crate::buffers::Buffers;
use crate::config::KeepAlive;
use crate::socket::SocketError;
use crate::time::{Duration, Instant};

impl<B: Buffers> Synchronized<B> {
    /// What the timers that are due lead to.
    pub(crate) fn on_timer(&mut self, cx: &mut Context<'_, B>, patience: &Patience) -> Decision {
        let mut decision = Decision::IGNORE;
        while let Some(timer) = self.expire(cx.now) {
            let led_to = match timer {
                Timer::Retransmit => self.on_retransmit(cx, patience),
                Timer::Reorder | Timer::TailProbe | Timer::Pace => self.on_flight_timer(cx, timer),
                Timer::Persist => self.on_persist(cx, patience),
                Timer::DelayedAck => self.acknowledge(),
                Timer::Idle => self.on_idle(cx, patience.keepalive()),
            };
            if matches!(led_to.next, Next::Closed(_)) {
                return led_to;
            }
            if led_to.answer != Answer::Nothing {
                decision = led_to;
            }
        }
        decision
    }

    /// Takes one timer that is due and clears it.
    fn expire(&mut self, now: Instant) -> Option<Timer> {
        let sending = self.flight.as_mut().and_then(|flight| flight.timer.expire(now));
        sending.or_else(|| self.timers.expire(now))
    }

    /// When the earliest timer goes off.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Deadline {
        let sending = self.flight.as_ref().map_or(Deadline::NEVER, |flight| flight.timer.deadline());
        sending.min(self.timers.next())
    }

    /// Time left until what was repeated so often is given up; `None` where that is now. Data may stay
    /// unacknowledged for as long as the user wants, or for a number of repetitions (RFC 9293 §3.8.3, RFC 5482).
    fn time_left(&self, cx: &Context<'_, B>, patience: &Patience) -> Option<Duration> {
        let Some(limit) = patience.user_timeout().and_then(UserTimeout::limit) else {
            return (self.unanswered < cx.config.retries).then_some(Duration::MAX);
        };
        let waited = self.rtt.waited(self.unanswered.saturating_add(1), cx.config);
        limit.checked_sub(waited).filter(|left| !left.is_zero() && self.unanswered < u8::MAX)
    }

    /// RFC 6298 §5.4 to §5.6.
    fn on_retransmit(&mut self, cx: &mut Context<'_, B>, patience: &Patience) -> Decision {
        let left = self.time_left(cx, patience);
        let Some(flight) = &mut self.flight else { return Decision::IGNORE };
        if flight.is_empty() {
            // Nothing was in flight for a whole timeout.
            let kept = flight.is_kept_until(u32::from(self.snd.mss), cx.config);
            if cx.now < kept {
                flight.timer.set(Timer::Retransmit, kept);
                return Decision::IGNORE;
            }
            self.ssthresh = flight.remembered_ssthresh();
            self.flight = None;
            return Decision::IGNORE;
        }
        let Some(left) = left else {
            return Decision::closed(Some(SocketError::TimedOut));
        };
        cx.counters.tcp_retransmission_timeouts += 1;
        let first = self.unanswered == 0;
        self.unanswered = self.unanswered.saturating_add(1);
        self.rtt.back_off();
        let next = cx.now + self.rtt.rto(cx.config).min(left);
        flight.on_timeout(&self.rtt, first, u32::from(self.snd.mss), cx.now, next);
        flight.timer.set(Timer::Retransmit, next);
        self.suspect_black_hole(cx);
        Decision::OUTPUT
    }

    /// RFC 8985 §6.2 step 5 and §7.3: time has passed, or nothing has come back for too long; or data may leave at its
    /// pace.
    fn on_flight_timer(&mut self, cx: &mut Context<'_, B>, timer: Timer) -> Decision {
        let Some(flight) = &mut self.flight else { return Decision::IGNORE };
        match timer {
            Timer::Pace => flight.on_pace_timer(),
            Timer::Reorder => flight.on_reorder_timer(&self.rtt, u32::from(self.snd.mss), cx.now),
            _ => {
                flight.on_probe_timer();
                // Should the probe not leave, the timeout comes.
                flight.timer.set(Timer::Retransmit, self.rtt.timeout(cx.now, cx.config));
                return Decision::OUTPUT;
            }
        }
        self.arm(cx);
        Decision::OUTPUT
    }

    /// RFC 9293 §3.8.6.1. A peer that answers probes keeps the connection, however long its window is closed.
    fn on_persist(&mut self, cx: &mut Context<'_, B>, patience: &Patience) -> Decision {
        if self.time_left(cx, patience).is_none() {
            return Decision::closed(Some(SocketError::TimedOut));
        }
        self.unanswered = self.unanswered.saturating_add(1);
        cx.counters.tcp_window_probes += 1;
        self.rtt.back_off();
        self.push = true;
        Decision::OUTPUT
    }

    /// The peer was silent, or has not closed in time.
    fn on_idle(&mut self, cx: &mut Context<'_, B>, keepalive: Option<&KeepAlive>) -> Decision {
        if self.detached && self.phase == Phase::FinWait2 {
            return Decision::closed(None);
        }
        let Some(keepalive) = keepalive else { return Decision::IGNORE };
        if let Some(left) =
            keepalive.idle.checked_sub(self.rcv.silence(cx.now)).filter(|left| !left.is_zero())
        {
            self.timers.idle = Deadline::at(cx.now + left);
            return Decision::IGNORE;
        }
        self.timers.idle = Deadline::at(cx.now + keepalive.interval);
        // Retransmissions and window probes watch the peer already.
        let probes_window = self.flight.as_ref().is_some_and(|flight| flight.timer.is_set(Timer::Persist));
        if self.snd.max != self.snd.una || probes_window {
            return Decision::IGNORE;
        }
        if self.unanswered >= keepalive.probes {
            return Decision::closed(Some(SocketError::TimedOut));
        }
        self.unanswered += 1;
        cx.counters.tcp_keepalive_probes += 1;
        self.probe = true;
        Decision::OUTPUT
    }
}
