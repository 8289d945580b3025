use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::time::Duration;

const TICK: u64 = TimerWheel::TICK_NANOS;

fn ticks(n: u64) -> Instant {
    Instant::from_nanos(n * TICK)
}

fn expired(wheel: &mut TimerWheel, now: Instant) -> Vec<u32> {
    core::iter::from_fn(|| wheel.expire(now)).collect()
}

#[test]
fn a_deadline_fires_once_and_at_the_first_tick_that_is_not_before_it() {
    let mut wheel = TimerWheel::new();
    wheel.set(3, Instant::from_nanos(5 * TICK + 1));
    assert_eq!(wheel.next_deadline(), Some(ticks(6)));
    assert_eq!(wheel.expire(Instant::from_nanos(6 * TICK - 1)), None);
    assert_eq!(wheel.expire(ticks(6)), Some(3));
    assert_eq!(wheel.expire(ticks(6)), None);
    assert_eq!(wheel.expire(ticks(1_000_000)), None);
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn a_new_deadline_takes_the_place_of_the_old_one() {
    let mut wheel = TimerWheel::new();
    wheel.set(0, ticks(10));
    wheel.set(0, ticks(100_000));
    assert_eq!(expired(&mut wheel, ticks(99_999)), []);
    wheel.set(0, ticks(200_000));
    wheel.set(0, ticks(100_001));
    assert_eq!(expired(&mut wheel, ticks(100_001)), [0]);
}

#[test]
fn a_cancelled_deadline_never_fires() {
    let mut wheel = TimerWheel::new();
    for slot in 0..3 {
        wheel.set(slot, ticks(70));
    }
    wheel.cancel(1);
    wheel.cancel(1);
    wheel.cancel(77);
    let mut slots = expired(&mut wheel, ticks(70));
    slots.sort_unstable();
    assert_eq!(slots, [0, 2]);
    wheel.set(0, ticks(80));
    wheel.cancel(0);
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn what_was_due_and_not_taken_can_still_be_cancelled_or_set_anew() {
    let mut wheel = TimerWheel::new();
    for slot in 0..4 {
        wheel.set(slot, ticks(5));
    }
    let first = wheel.expire(ticks(9)).unwrap();
    let [a, b, c] = [(first + 1) % 4, (first + 2) % 4, (first + 3) % 4];
    wheel.cancel(a);
    wheel.set(b, ticks(7));
    assert_eq!(expired(&mut wheel, ticks(9)), [c, b], "in the order of their ticks");
}

#[test]
fn a_deadline_in_the_past_is_due_at_once() {
    let mut wheel = TimerWheel::new();
    assert_eq!(wheel.expire(ticks(1000)), None);
    wheel.set(0, ticks(1));
    assert!(wheel.next_deadline().unwrap() <= ticks(1000));
    assert_eq!(expired(&mut wheel, ticks(1000)), [0]);
    // Also while the clock stands still, or seems to go back.
    wheel.set(0, ticks(2));
    assert_eq!(expired(&mut wheel, ticks(900)), [0]);
}

#[test]
fn the_end_of_time_is_a_deadline_like_others() {
    let mut wheel = TimerWheel::new();
    wheel.set(0, Instant::from_nanos(u64::MAX));
    wheel.set(1, ticks((1 << 47) - 1));
    assert_eq!(expired(&mut wheel, ticks((1 << 47) - 2)), []);
    assert_eq!(expired(&mut wheel, Instant::from_nanos(u64::MAX)), [1], "the tick after it never comes");
    assert_eq!(wheel.next_deadline(), Some(Instant::from_nanos(u64::MAX)));
}

#[test]
fn a_timeout_that_is_pushed_back_by_every_acknowledgment_costs_no_memory() {
    let mut wheel = TimerWheel::new();
    wheel.set(0, Instant::ZERO + Duration::from_millis(200));
    let capacity = wheel.entries.len();
    let mut now = Instant::ZERO;
    for _ in 0..10_000 {
        now += Duration::from_millis(1);
        assert_eq!(wheel.expire(now), None);
        wheel.set(0, now + Duration::from_millis(200));
    }
    assert_eq!(wheel.entries.len(), capacity);
    assert_eq!(expired(&mut wheel, now + Duration::from_millis(201)), [0]);
}

#[test]
fn a_sleeper_that_follows_next_deadline_wakes_eight_times_at_most() {
    for deadline in [1, 63, 64, 65, 4095, 4096, 1_000_003, 0x7fff_ffff_ffff] {
        let mut wheel = TimerWheel::new();
        wheel.set(9, ticks(deadline));
        let mut wakes = vec![];
        while let Some(at) = wheel.next_deadline() {
            wakes.push(at);
            expired(&mut wheel, at);
        }
        assert_eq!(wakes.last(), Some(&ticks(deadline)));
        assert!(wakes.len() <= LEVELS, "{wakes:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set {
        slot: u32,
        after: i64,
    },
    Cancel {
        slot: u32,
    },
    Advance {
        by: u64,
    },
    /// As a lane does that has nothing else to do.
    SleepUntilNext,
}

/// Spans of time of every magnitude, in nanoseconds.
fn span() -> impl Strategy<Value = u64> {
    (0..62_u32, any::<u64>()).prop_map(|(magnitude, bits)| bits & ((2 << magnitude) - 1))
}

fn step() -> impl Strategy<Value = Step> {
    let slot = 0..24_u32;
    prop_oneof![
        6 => (slot.clone(), span()).prop_map(|(slot, after)| Step::Set { slot, after: after as i64 }),
        1 => (slot.clone(), 0..50_000_000_i64).prop_map(|(slot, before)| Step::Set { slot, after: -before }),
        2 => slot.prop_map(|slot| Step::Cancel { slot }),
        4 => span().prop_map(|by| Step::Advance { by: by >> 2 }),
        4 => Just(Step::SleepUntilNext),
    ]
}

/// The wheel beside a sorted map that does the same in the obvious way.
#[derive(Default)]
struct Pair {
    wheel: TimerWheel,
    model: BTreeMap<u32, Instant>,
    now: Instant,
    /// The tick of the last time that everything due had fired.
    position_before: u64,
}

impl Pair {
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Set { slot, after } => {
                let at = Instant::from_nanos(self.now.as_nanos().saturating_add_signed(after));
                self.wheel.set(slot, at);
                self.model.insert(slot, at);
            }
            Step::Cancel { slot } => {
                self.wheel.cancel(slot);
                self.model.remove(&slot);
            }
            Step::Advance { by } => self.advance(Instant::from_nanos(self.now.as_nanos().saturating_add(by))),
            Step::SleepUntilNext => {
                if let Some(next) = self.wheel.next_deadline() {
                    self.advance(self.now.max(next));
                }
            }
        }
        self.check_next_deadline();
    }

    /// Everything that is due fires now and nothing else does. Ticks come in their order, but for those that
    /// had passed when they were set.
    fn advance(&mut self, now: Instant) {
        self.now = now;
        let reached = now.as_nanos() >> TICK_SHIFT;
        let mut newest = self.position_before;
        while let Some(slot) = self.wheel.expire(now) {
            let at = self.model.remove(&slot).expect("it was set, and neither cancelled nor fired");
            assert!(at <= now, "slot {slot} fired early");
            let tick = tick_at_or_after(at);
            assert!(tick <= reached, "slot {slot} fired before its tick");
            assert!(tick >= newest || newest == self.position_before, "slot {slot} fired out of turn");
            newest = newest.max(tick);
        }
        let forgotten = self.model.iter().find(|(_, at)| tick_at_or_after(**at) <= reached);
        assert_eq!(forgotten, None);
        self.position_before = reached;
    }

    fn check_next_deadline(&self) {
        let first = self.model.values().map(|at| tick_at_or_after(*at)).min();
        let next = self.wheel.next_deadline().map(|next| next.as_nanos().div_ceil(TICK));
        assert_eq!(next.is_some(), first.is_some());
        if let (Some(next), Some(first)) = (next, first) {
            let reached = self.now.as_nanos() >> TICK_SHIFT;
            assert!(next <= first.max(reached), "it is never late");
            assert!(next > reached || first <= reached, "and never now when nothing is due");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn it_does_what_a_sorted_map_does(steps in prop::collection::vec(step(), 0..120)) {
        let mut pair = Pair::default();
        for step in &steps {
            pair.take(step);
        }
        pair.advance(Instant::from_nanos(u64::MAX));
        let at_the_end = pair.model.values().all(|at| tick_at_or_after(*at) == 1 << 47);
        prop_assert!(at_the_end);
    }
}
