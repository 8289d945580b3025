//! CUBIC (RFC 9438): the window grows with the cube of the time since it was reduced, whatever the round trip.
//!
//! Windows are in bytes. Time runs in milliseconds where the standard has seconds, and fractions of bytes are
//! carried from one acknowledgement to the next.

use super::hystart::{Growth, HyStart};
use super::{Acked, CongestionControl, Idle, MAX_WINDOW, Snapshot, restart_window};
use crate::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cubic {
    cwnd: u32,
    ssthresh: u32,
    hystart: HyStart,
    curve: Curve,
    /// As it was before the last reduction.
    before: Before,
}

/// Where congestion avoidance is on the cubic curve, and what Reno would do in its place.
#[derive(Clone, Copy, Debug)]
struct Curve {
    /// Where the curve is flat: the window before the last reduction, or a little less. Zero where slow start ended
    /// without one.
    w_max: u32,
    /// `w_max` is reached so many milliseconds after the stage of congestion avoidance began.
    k: u32,
    /// The window at the last reduction, above which the estimate of Reno grows as fast as Reno.
    cwnd_prior: u32,
    /// The window that Reno would have.
    w_est: u32,
    /// When this stage of congestion avoidance began, without the times when the window was not used.
    epoch: Option<Instant>,
    last_ack: Instant,
    /// What the window and the estimate have grown since they last grew by a byte, as parts of the window.
    cwnd_fraction: u32,
    w_est_fraction: u32,
}

#[derive(Clone, Copy, Debug)]
struct Before {
    cwnd: u32,
    ssthresh: u32,
    curve: Curve,
}

/// RFC 9438 §4.6: beta_cubic = 0.7.
const BETA: Ratio = Ratio(7, 10);
/// RFC 9438 §4.1: C = 0.4 segments per second³.
const C: Ratio = Ratio(4, 10);
/// RFC 9438 §4.3: alpha_cubic = 3 * (1 - beta_cubic) / (1 + beta_cubic).
const ALPHA: Ratio = Ratio(9, 17);

/// A constant of the standard.
#[derive(Clone, Copy, Debug)]
struct Ratio(u32, u32);

impl Ratio {
    fn of(self, bytes: u32) -> u32 {
        (u64::from(bytes) * u64::from(self.0) / u64::from(self.1)) as u32
    }
}

impl Cubic {
    pub(crate) fn new(cwnd: u32, ssthresh: u32) -> Self {
        let curve = Curve {
            w_max: 0,
            k: 0,
            cwnd_prior: 0,
            w_est: 0,
            epoch: None,
            last_ack: Instant::ZERO,
            cwnd_fraction: 0,
            w_est_fraction: 0,
        };
        let before = Before { cwnd, ssthresh, curve };
        Self { cwnd, ssthresh, hystart: HyStart::new(), curve, before }
    }

    /// RFC 9438 §4.6, §4.7. The window stands for the flight here, as §4.6 allows: it grows only while it is used.
    fn reduce(&mut self, at: &Snapshot) {
        self.before = Before { cwnd: self.cwnd, ssthresh: self.ssthresh, curve: self.curve };
        // Fast convergence: a flow that was reduced before it came as far as last time makes room for others.
        let gives_way = self.cwnd < self.curve.w_max;
        self.curve.w_max = if gives_way { self.cwnd - self.cwnd / 20 * 3 } else { self.cwnd };
        self.curve.cwnd_prior = self.cwnd;
        self.curve.epoch = None;
        self.ssthresh = BETA.of(self.cwnd).max(2 * at.mss);
        self.hystart.end();
    }

    fn avoid_congestion(&mut self, ack: &Acked) {
        if self.curve.epoch.is_none() {
            self.curve.begin(self.cwnd, ack);
        }
        self.cwnd = self.curve.grow(self.cwnd, ack).min(MAX_WINDOW);
    }
}

impl Curve {
    /// A stage of congestion avoidance begins with the window `cwnd`.
    fn begin(&mut self, cwnd: u32, ack: &Acked) {
        self.epoch = Some(ack.now);
        self.last_ack = ack.now;
        self.w_est = cwnd;
        (self.cwnd_fraction, self.w_est_fraction) = (0, 0);
        if cwnd < self.w_max {
            // RFC 9438 §4.2: K = cbrt((W_max - cwnd_epoch) / C), with windows in segments and K in seconds.
            let distance = u64::from(self.w_max - cwnd) * u64::from(C.1) * 1_000_000_000;
            self.k = cube_root(distance / (u64::from(C.0) * u64::from(ack.mss.max(1))));
        } else {
            // RFC 9438 §4.8, §4.10: after a timeout, or a slow start that ended without a loss.
            (self.k, self.w_max) = (0, cwnd);
            self.cwnd_prior = self.cwnd_prior.max(cwnd);
        }
    }

    /// The window after an acknowledgement (RFC 9438 §4.3 to §4.5).
    fn grow(&mut self, cwnd: u32, ack: &Acked) -> u32 {
        self.last_ack = ack.now;
        let since = ack.now - self.epoch.unwrap_or(ack.now);
        let elapsed = since.as_millis() as u64;
        let w_est = self.grow_estimate(cwnd, ack);
        if self.at(elapsed, ack.mss) < w_est {
            return cwnd.max(w_est);
        }
        let rtt = ack.srtt.or(ack.rtt).unwrap_or_default();
        let ahead = (since + rtt).as_millis() as u64;
        let target = self.at(ahead, ack.mss).clamp(cwnd, cwnd.saturating_add(cwnd / 2));
        let growth = advance(&mut self.cwnd_fraction, u64::from(target - cwnd) * u64::from(ack.bytes), cwnd);
        cwnd.saturating_add(growth)
    }

    /// W_cubic(t), `elapsed` milliseconds after the stage began (RFC 9438 §4.2, figure 1).
    fn at(&self, elapsed: u64, mss: u32) -> u32 {
        let k = u64::from(self.k);
        // Beyond a quarter of an hour the curve has long passed all windows. Within it no product overflows.
        let distance = elapsed.abs_diff(k).min(1 << 20);
        let segments_per_million = distance * distance * distance / 1_000 * u64::from(C.0) / u64::from(C.1);
        let difference = segments_per_million / 1_000 * u64::from(mss) / 1_000;
        let difference = u32::try_from(difference).unwrap_or(u32::MAX);
        if elapsed < k {
            self.w_max.saturating_sub(difference)
        } else {
            self.w_max.saturating_add(difference)
        }
    }

    /// W_est (RFC 9438 §4.3): what Reno's window would be by now.
    fn grow_estimate(&mut self, cwnd: u32, ack: &Acked) -> u32 {
        let segment = if self.w_est < self.cwnd_prior { ALPHA.of(ack.mss) } else { ack.mss };
        let growth = advance(&mut self.w_est_fraction, u64::from(segment) * u64::from(ack.bytes), cwnd);
        self.w_est = self.w_est.saturating_add(growth).min(MAX_WINDOW);
        self.w_est
    }

    /// RFC 9438 §5.8: time in which the window was not used does not count.
    #[inline]
    fn pause(&mut self, now: Instant) {
        if let Some(epoch) = &mut self.epoch {
            *epoch += now - self.last_ack;
        }
        self.last_ack = now;
    }
}

impl CongestionControl for Cubic {
    #[inline]
    fn window(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    fn on_ack(&mut self, ack: &Acked) {
        // RFC 3168 §6.1.2: no growth for an acknowledgement that tells of marks.
        if ack.in_recovery || ack.ce > 0 {
            return;
        }
        if !ack.limited {
            return self.curve.pause(ack.now);
        }
        if self.cwnd >= self.ssthresh {
            return self.avoid_congestion(ack);
        }
        match self.hystart.on_ack(ack) {
            Growth::By(bytes) => self.cwnd = self.cwnd.saturating_add(bytes).min(MAX_WINDOW),
            Growth::End => self.ssthresh = self.cwnd,
        }
    }

    #[inline]
    fn on_ack_of_less(&mut self, now: Instant) -> bool {
        self.curve.pause(now);
        true
    }

    fn on_loss(&mut self, at: &Snapshot) {
        self.reduce(at);
        self.cwnd = self.ssthresh;
    }

    fn on_recovered(&mut self, _at: &Snapshot) {
        self.cwnd = self.ssthresh;
    }

    fn on_timeout(&mut self, at: &Snapshot, first: bool) {
        // RFC 9438 §4.8. As in RFC 5681 §3.1, ssthresh stays as it is when the same segment times out again.
        if first {
            self.reduce(at);
        }
        self.curve.epoch = None;
        self.curve.w_max = 0;
        self.cwnd = at.mss;
    }

    fn undo(&mut self) {
        // RFC 9438 §4.9.
        if self.cwnd < self.before.cwnd {
            let Before { cwnd, ssthresh, curve } = self.before;
            (self.cwnd, self.ssthresh, self.curve) = (cwnd, ssthresh, curve);
        }
    }

    fn on_ecn(&mut self, at: &Snapshot) {
        self.on_loss(at);
    }

    #[inline]
    fn on_idle(&mut self, idle: &Idle) {
        self.curve.pause(idle.now);
        (self.cwnd, self.ssthresh) = restart_window(self.cwnd, self.ssthresh, idle);
    }
}

/// Adds `part / whole` to a fraction of `whole`. Returns what is more than a whole.
fn advance(fraction: &mut u32, part: u64, whole: u32) -> u32 {
    let sum = u64::from(*fraction).saturating_add(part);
    let whole = u64::from(whole.max(1));
    *fraction = (sum % whole) as u32;
    (sum / whole).min(u64::from(MAX_WINDOW)) as u32
}

/// The greatest number whose cube is no more than `cube`.
fn cube_root(cube: u64) -> u32 {
    // A bit of the root at a time, from the highest that a cube of 64 bits can have.
    let mut root = 0u64;
    for bit in (0..22).rev() {
        let candidate = root | 1 << bit;
        if candidate.checked_pow(3).is_some_and(|power| power <= cube) {
            root = candidate;
        }
    }
    root as u32
}

#[cfg(test)]
mod tests;
