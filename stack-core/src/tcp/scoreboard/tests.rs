use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::tcp::rate_sample::RateSampler;

const LIMIT: usize = 1_000;

fn seq(n: u32) -> SeqNumber {
    SeqNumber(n)
}

fn departure() -> Departure {
    RateSampler::new(Instant::ZERO).depart(1, 1, Instant::ZERO)
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// A board on which segments of 10 places were sent, one each millisecond.
fn board(segments: u64) -> Scoreboard {
    let mut board = Scoreboard::new(seq(0));
    for n in 0..segments {
        board.push(10, at(n), departure(), LIMIT);
    }
    board
}

#[test]
fn burst_is_one_record_however_large() {
    let mut board = Scoreboard::new(seq(0));
    for _ in 0..100 {
        board.push(1_460, at(1), departure(), LIMIT);
    }
    assert_eq!(board.records().count(), 1);
    board.push(1_460, at(2), departure(), LIMIT);
    assert_eq!(board.records().count(), 2);
    assert_eq!(board.in_flight(), 101 * 1_460);
}

#[test]
fn only_what_is_news_is_told() {
    let mut board = board(10);
    let mut told = Vec::new();
    board.sack(seq(25), seq(40), LIMIT, |len, sent| told.push((len, sent.end)));
    assert_eq!(told, [(5, seq(30)), (10, seq(40))]);
    told.clear();
    board.sack(seq(20), seq(50), LIMIT, |len, sent| told.push((len, sent.end)));
    assert_eq!(told, [(5, seq(25)), (10, seq(50))]);
    told.clear();
    board.acknowledge(seq(60), |len, sent| told.push((len, sent.end)));
    assert_eq!(told, [(10, seq(10)), (10, seq(20)), (10, seq(60))]);
    assert_eq!((board.sacked(), board.in_flight()), (0, 40));
}

#[test]
fn lost_stretch_is_sent_again_as_a_whole_and_in_order() {
    let mut board = board(10);
    board.mark_lost(|sent| sent.end.before(seq(45)), |_, _| {});
    assert_eq!((board.lost(), board.in_flight()), (40, 60));
    assert_eq!(board.first_lost(25), Some((seq(0), 25)));
    board.resent(seq(0), 25, at(100), departure(), LIMIT);
    assert_eq!(board.first_lost(25), Some((seq(25), 15)));
    board.resent(seq(25), 15, at(100), departure(), LIMIT);
    assert_eq!((board.first_lost(25), board.in_flight()), (None, 100));
    assert_eq!(board.records().filter(|sent| sent.resent).count(), 1);
}

#[test]
fn number_of_records_is_bounded() {
    let mut board = Scoreboard::new(seq(0));
    for n in 0..100 {
        board.push(10, at(n), departure(), 8);
    }
    assert_eq!(board.records().count(), 8);
    assert_eq!(board.in_flight(), 1_000);
    // Selective acknowledgements of every other place are not believed beyond the limit.
    for n in 0..500 {
        board.sack(seq(2 * n + 1), seq(2 * n + 2), 8, |_, _| {});
    }
    assert!(board.records().count() <= 8);
    // What cannot be split counts as sent again as a whole.
    board.mark_lost(|_| true, |_, _| {});
    let (start, len) = board.first_lost(10).expect("something is lost");
    board.resent(start, len, at(200), departure(), 8);
    assert!(board.records().count() <= 8);
}

#[test]
fn receiver_that_throws_away_what_it_has_selectively_acknowledged_is_noticed() {
    let mut board = board(3);
    board.sack(seq(10), seq(20), LIMIT, |_, _| {});
    assert!(!board.is_reneged());
    board.acknowledge(seq(10), |_, _| {});
    assert!(board.is_reneged());
    board.forget_sacks();
    assert_eq!((board.sacked(), board.in_flight()), (0, 20));
}

#[derive(Clone, Debug)]
enum Step {
    Send(u32),
    Acknowledge(u32),
    Sack(u32, u32),
    LoseBefore(u32),
    LoseFront(u32),
    Resend(u32),
    Unmark,
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u32..30).prop_map(Step::Send),
        2 => (0u32..60).prop_map(Step::Acknowledge),
        4 => (0u32..100, 1u32..30).prop_map(|(from, len)| Step::Sack(from, len)),
        2 => (0u32..100).prop_map(Step::LoseBefore),
        1 => (1u32..30).prop_map(Step::LoseFront),
        3 => (1u32..40).prop_map(Step::Resend),
        1 => Just(Step::Unmark),
        1 => Just(Step::Forget),
    ]
}

/// The same as a [`Scoreboard`], with a mark for each single place.
struct Model {
    una: u32,
    places: Vec<Status>,
}

impl Model {
    fn count(&self, status: Status) -> u32 {
        self.places.iter().filter(|&&place| place == status).count() as u32
    }

    /// Replaces `from` by `to` in some places, and returns how many those were.
    fn change(&mut self, range: core::ops::Range<usize>, from: &[Status], to: Status) -> u32 {
        let end = range.end.min(self.places.len());
        let mut changed = 0;
        for place in self.places.get_mut(range.start.min(end)..end).unwrap_or_default() {
            if from.contains(place) {
                *place = to;
                changed += 1;
            }
        }
        changed
    }
}

proptest! {
    #[test]
    fn agrees_with_a_mark_for_each_place(origin: u32, steps in prop::collection::vec(step(), 1..120)) {
        use Status::{InFlight, Lost, Sacked};
        let mut board = Scoreboard::new(seq(origin));
        let mut model = Model { una: 0, places: vec![] };
        let place = |n: u32| seq(origin) + n;
        for (clock, step) in steps.into_iter().enumerate() {
            let now = at(clock as u64);
            let all = model.places.len();
            match step {
                Step::Send(len) => {
                    board.push(len, now, departure(), LIMIT);
                    model.places.extend(vec![InFlight; len as usize]);
                }
                Step::Acknowledge(len) => {
                    let len = (len as usize).min(all);
                    let mut news = 0;
                    model.una += len as u32;
                    board.acknowledge(place(model.una), |len, _| news += len);
                    let expected = model.places.drain(..len).filter(|&place| place != Sacked).count();
                    prop_assert_eq!(news as usize, expected);
                }
                Step::Sack(from, len) => {
                    let from = (from as usize).min(all);
                    let to = (from + len as usize).min(all);
                    let mut news = 0;
                    let left = place(model.una + from as u32);
                    board.sack(left, left + (to - from) as u32, LIMIT, |len, _| news += len);
                    prop_assert_eq!(news, model.change(from..to, &[InFlight, Lost], Sacked));
                }
                Step::LoseBefore(len) => {
                    // Only whole records are lost.
                    let mut lost = 0;
                    let edge = place(model.una + len);
                    let reach = board.records().map(|sent| sent.end).take_while(|end| !end.after(edge)).last();
                    board.mark_lost(|sent| !sent.end.after(edge), |len, _| lost += len);
                    let reach = reach.map_or(0, |end| end.since(place(model.una)) as usize);
                    prop_assert_eq!(lost, model.change(0..reach, &[InFlight], Lost));
                }
                Step::LoseFront(len) => {
                    let front = model.places.iter().take_while(|&&place| place == InFlight).count();
                    let lost = board.mark_front_lost(len, LIMIT);
                    prop_assert!(lost as usize <= front.min(len as usize));
                    prop_assert_eq!(lost > 0, front > 0);
                    model.change(0..lost as usize, &[InFlight], Lost);
                }
                Step::Resend(most) => {
                    let first = model.places.iter().position(|&place| place == Lost);
                    let stretch = first.map_or(0, |first| {
                        model.places[first..].iter().take_while(|&&place| place == Lost).count()
                    });
                    let expected = first.map(|first| {
                        (place(model.una + first as u32), (stretch as u32).min(most))
                    });
                    prop_assert_eq!(board.first_lost(most), expected);
                    if let (Some((start, len)), Some(first)) = (expected, first) {
                        board.resent(start, len, now, departure(), LIMIT);
                        model.change(first..first + len as usize, &[Lost], InFlight);
                    }
                }
                Step::Unmark => {
                    board.unmark_lost();
                    model.change(0..all, &[Lost], InFlight);
                }
                Step::Forget => {
                    board.forget_sacks();
                    model.change(0..all, &[Sacked], InFlight);
                }
            }
            prop_assert_eq!(board.sacked(), model.count(Sacked));
            prop_assert_eq!(board.lost(), model.count(Lost));
            prop_assert_eq!(board.in_flight(), model.count(InFlight));
            prop_assert_eq!(board.end(), place(model.una + model.places.len() as u32));
            let mut start = board.una();
            for sent in board.records() {
                prop_assert!(sent.end.after(start), "no record is empty");
                start = sent.end;
            }
        }
    }
}
