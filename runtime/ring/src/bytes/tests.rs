//! The byte ring beside a queue, at the ends of its counters, and in hostile hands.

use core::alloc::Layout;
use std::collections::VecDeque;
use std::thread;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::guarded::Guarded;

struct Fixture {
    producer: Producer,
    consumer: Consumer,
    place: Place,
}

struct Place {
    counters: Guarded,
    data: Guarded,
    capacity: usize,
}

impl Place {
    fn new(capacity: usize, position: u64) -> Self {
        let counters = Guarded::new(Layout::new::<Counters>());
        let data = Guarded::new(Layout::array::<u8>(capacity).expect("a small capacity"));
        let place = Self { counters, data, capacity };
        place.counters().start_at(position);
        place
    }

    fn counters(&self) -> &Counters {
        // SAFETY: the memory has the layout, and any bytes are counters.
        unsafe { self.counters.memory().cast().as_ref() }
    }

    fn producer(&self) -> Result<Producer, AttachError> {
        // SAFETY: counters and data live as long as the fixture, which has one producer at a time.
        unsafe { Producer::attach(self.counters.memory().cast(), self.data.memory(), self.capacity) }
    }

    fn consumer(&self) -> Result<Consumer, AttachError> {
        // SAFETY: counters and data live as long as the fixture, which has one consumer at a time.
        unsafe { Consumer::attach(self.counters.memory().cast(), self.data.memory(), self.capacity) }
    }
}

impl Fixture {
    fn new(capacity: usize) -> Self {
        Self::starting_at(capacity, 0)
    }

    fn starting_at(capacity: usize, position: u64) -> Self {
        let place = Place::new(capacity, position);
        let producer = place.producer().expect("a producer");
        let consumer = place.consumer().expect("a consumer");
        Self { producer, consumer, place }
    }

    fn set_tail(&self, tail: u64) {
        self.place.counters().tail.store(tail, Ordering::Relaxed);
    }

    fn set_head(&self, head: u64) {
        self.place.counters().head.store(head, Ordering::Relaxed);
    }

    fn read(&mut self, at_most: usize) -> Vec<u8> {
        let mut out = std::vec![0; at_most];
        let n = self.consumer.read(&mut out);
        out.truncate(n);
        out
    }
}

#[test]
fn what_is_written_is_read_until_the_ring_is_full() {
    let mut ring = Fixture::new(8);
    assert_eq!((ring.producer.room(), ring.producer.len()), (8, 0));
    assert_eq!(ring.producer.write(b"hello"), 5);
    assert_eq!(ring.producer.write(b"world"), 3);
    assert_eq!((ring.producer.room(), ring.producer.len(), ring.consumer.len()), (0, 8, 8));
    assert_eq!(ring.producer.write(b"!"), 0);
    assert_eq!(ring.read(6), b"hellow");
    assert_eq!((ring.producer.room(), ring.producer.len(), ring.consumer.len()), (6, 2, 2));
    assert_eq!(ring.producer.write(b"wraps around"), 6);
    assert_eq!(ring.read(100), b"orwraps ");
    assert!(ring.producer.is_empty() && ring.consumer.is_empty());
}

#[test]
fn bytes_ahead_of_a_gap_wait_until_it_is_filled() {
    let mut ring = Fixture::starting_at(8, 6);
    assert_eq!(ring.producer.write_at(3, b"def"), 3);
    assert_eq!(ring.consumer.len(), 0);
    assert_eq!(ring.producer.write_at(0, b"abc"), 3);
    ring.producer.commit(6);
    assert_eq!(ring.read(8), b"abcdef");
}

#[test]
fn bytes_beyond_the_room_are_cut_off() {
    let mut ring = Fixture::new(8);
    assert_eq!(ring.producer.write_at(6, b"abc"), 2);
    assert_eq!(ring.producer.write_at(8, b"abc"), 0);
    assert_eq!(ring.producer.write_at(usize::MAX, b"abc"), 0);
    assert_eq!(ring.producer.write_at(usize::MAX, b""), 0);
}

#[test]
fn peeking_takes_nothing() {
    let mut ring = Fixture::new(8);
    ring.producer.write(b"abcdef");
    let mut out = [0; 4];
    assert_eq!(ring.consumer.peek_at(1, &mut out), 4);
    assert_eq!(&out, b"bcde");
    assert_eq!(ring.consumer.peek_at(4, &mut out), 2);
    assert_eq!(&out[..2], b"ef");
    assert_eq!(ring.consumer.peek_at(6, &mut out), 0);
    assert_eq!(ring.consumer.peek_at(usize::MAX, &mut out), 0);
    assert_eq!(ring.consumer.len(), 6);
    ring.consumer.release(2);
    assert_eq!(ring.read(8), b"cdef");
}

#[test]
fn new_ends_go_on_where_the_last_ones_stopped() {
    let mut ring = Fixture::new(8);
    ring.producer.write(b"abcdef");
    assert_eq!(ring.read(2), b"ab");
    ring.producer.write_at(0, b"lost");
    ring.producer = ring.place.producer().expect("a producer");
    assert_eq!((ring.producer.len(), ring.producer.room()), (4, 4));
    assert_eq!(ring.producer.write(b"gh"), 2);
    ring.consumer = ring.place.consumer().expect("a consumer");
    assert_eq!(ring.read(8), b"cdefgh");
}

#[test]
fn a_reset_ring_is_empty() {
    let mut ring = Fixture::new(8);
    ring.producer.write(b"abc");
    ring.place.counters().reset();
    ring.producer = ring.place.producer().expect("a producer");
    ring.consumer = ring.place.consumer().expect("a consumer");
    assert_eq!((ring.producer.len(), ring.consumer.len()), (0, 0));
    ring.producer.write(b"xyz");
    assert_eq!(ring.read(8), b"xyz");
}

#[test]
fn a_ring_of_one_byte_works() {
    let mut ring = Fixture::starting_at(1, u64::MAX);
    for byte in *b"abc" {
        assert_eq!(ring.producer.write(&[byte, b'-']), 1);
        assert_eq!(ring.read(2), [byte]);
    }
}

#[test]
fn impossible_rings_are_refused() {
    for capacity in [0, 3, 12] {
        let place = Place { capacity, ..Place::new(16, 0) };
        assert_eq!(place.producer().map(drop), Err(AttachError::Capacity));
        assert_eq!(place.consumer().map(drop), Err(AttachError::Capacity));
    }
    let ring = Fixture::new(8);
    ring.set_tail(9);
    assert_eq!(ring.place.producer().map(drop), Err(AttachError::Counters));
    assert_eq!(ring.place.consumer().map(drop), Err(AttachError::Counters));
    ring.set_tail(u64::MAX);
    assert_eq!(ring.place.consumer().map(drop), Err(AttachError::Counters));
}

#[test]
fn a_consumer_that_releases_what_it_never_got_is_not_believed() {
    let mut ring = Fixture::new(8);
    ring.producer.write(b"abcdef");
    ring.set_head(2);
    assert_eq!(ring.producer.room(), 4);
    for lie in [7, 1, 0, u64::MAX, 1 << 63, 2_u64.wrapping_sub(8)] {
        ring.set_head(lie);
        assert_eq!((ring.producer.room(), ring.producer.len()), (4, 4), "{lie}");
        assert_eq!(ring.producer.write_at(0, b"123456789"), 4, "{lie}");
    }
    ring.set_head(6);
    assert_eq!(ring.producer.room(), 8);
}

#[test]
fn a_producer_that_commits_more_than_fits_is_not_believed() {
    let mut ring = Fixture::new(8);
    ring.producer.write(b"abcd");
    assert_eq!(ring.read(2), b"ab");
    for lie in [11, 3, 0, u64::MAX, 1 << 63] {
        ring.set_tail(lie);
        assert_eq!(ring.consumer.len(), 2, "{lie}");
        assert_eq!(ring.consumer.peek_at(0, &mut [0; 16]), 2, "{lie}");
    }
    ring.set_tail(10);
    assert_eq!(ring.consumer.len(), 8);
}

#[test]
fn an_end_does_not_read_its_own_counter_back() {
    let mut ring = Fixture::new(8);
    ring.producer.write(b"abcd");
    ring.set_tail(1 << 40);
    assert_eq!(ring.producer.len(), 4);
    ring.producer.write(b"ef");
    assert_eq!(ring.place.counters().tail.load(Ordering::Relaxed), 6);
    assert_eq!(ring.consumer.len(), 6);
    ring.set_head(1 << 40);
    assert_eq!(ring.read(6), b"abcdef");
    assert_eq!(ring.place.counters().head.load(Ordering::Relaxed), 6);
}

#[test]
fn a_stream_crosses_threads_unchanged() {
    const LEN: usize = if cfg!(miri) { 500 } else { 1 << 20 };
    let Fixture { mut producer, mut consumer, place: _place } =
        Fixture::starting_at(64, 0_u64.wrapping_sub(99));
    let seed = fastrand::u64(..);
    std::println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut reader_random = random.fork();
    let stream: Vec<u8> = (0..LEN).map(|_| random.u8(..)).collect();
    let received = thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut received = Vec::new();
            while received.len() < LEN {
                let mut out = [0; 80];
                let n = consumer.read(&mut out[..reader_random.usize(1..80)]);
                received.extend_from_slice(&out[..n]);
                if n == 0 {
                    thread::yield_now();
                }
            }
            received
        });
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let burst = random.usize(1..80).min(rest.len());
            let n = producer.write(&rest[..burst]);
            rest = &rest[n..];
            if n == 0 {
                thread::yield_now();
            }
        }
        reader.join().expect("the reader")
    });
    assert!(received == stream, "the stream came out changed");
}

#[test]
fn counters_scribbled_on_in_parallel_stay_within_bounds() {
    const ROUNDS: usize = if cfg!(miri) { 300 } else { 100_000 };
    // Each end has a ring of its own: with both on one, the scribbler would set them on the same bytes.
    let mut sending = Fixture::new(16);
    let mut receiving = Fixture::new(16);
    let counters = [sending.place.counters(), receiving.place.counters()];
    let done = core::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = fastrand::Rng::with_seed(3);
            while !done.load(Ordering::Relaxed) {
                for counters in counters {
                    let near = counters.tail.load(Ordering::Relaxed).wrapping_add(random.u64(..20));
                    let value = if random.bool() { near } else { random.u64(..) };
                    let counter = if random.bool() { &counters.tail } else { &counters.head };
                    counter.store(value, Ordering::Relaxed);
                }
            }
        });
        for round in 0..ROUNDS {
            let n = sending.producer.write(&[round as u8; 24]);
            assert!(n <= 16 && sending.producer.room() <= 16 && sending.producer.len() <= 16);
            let n = receiving.consumer.read(&mut [0; 24]);
            assert!(n <= 16 && receiving.consumer.len() <= 16);
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[derive(Clone, Debug)]
enum Step {
    WriteAt(usize, Vec<u8>),
    Commit(usize),
    Write(Vec<u8>),
    PeekAt(usize, usize),
    Release(usize),
    Read(usize),
    AttachProducer,
    AttachConsumer,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let step = prop_oneof![
        3 => (0_usize..40, bytes()).prop_map(|(offset, bytes)| Step::WriteAt(offset, bytes)),
        3 => (0_usize..40).prop_map(Step::Commit),
        3 => bytes().prop_map(Step::Write),
        3 => (0_usize..40, 0_usize..40).prop_map(|(offset, len)| Step::PeekAt(offset, len)),
        3 => (0_usize..40).prop_map(Step::Release),
        3 => (0_usize..40).prop_map(Step::Read),
        1 => Just(Step::AttachProducer),
        1 => Just(Step::AttachConsumer),
    ];
    prop::collection::vec(step, 0..if cfg!(miri) { 12 } else { 100 })
}

/// What a byte ring is: committed bytes in order, and bytes beyond them with gaps.
struct Model {
    capacity: usize,
    committed: VecDeque<u8>,
    stored: Vec<Option<u8>>,
}

impl Model {
    fn room(&self) -> usize {
        self.capacity - self.committed.len()
    }

    fn write_at(&mut self, offset: usize, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room().saturating_sub(offset));
        for (place, byte) in self.stored.iter_mut().skip(offset).zip(&bytes[..n]) {
            *place = Some(*byte);
        }
        n
    }

    /// The most that an honest user would commit, up to `n`.
    fn committable(&self, n: usize) -> usize {
        self.stored.iter().take_while(|byte| byte.is_some()).count().min(n)
    }

    fn commit(&mut self, n: usize) {
        self.committed.extend(self.stored.drain(..n).flatten());
        self.stored.resize(self.capacity, None);
    }

    fn peek_at(&self, offset: usize, len: usize) -> Vec<u8> {
        self.committed.iter().skip(offset).take(len).copied().collect()
    }

    fn release(&mut self, n: usize) {
        self.committed.drain(..n);
    }
}

fn take(ring: &mut Fixture, model: &mut Model, step: Step) -> Result<(), TestCaseError> {
    match step {
        Step::WriteAt(offset, bytes) => {
            prop_assert_eq!(ring.producer.write_at(offset, &bytes), model.write_at(offset, &bytes));
        }
        Step::Commit(n) => {
            let n = model.committable(n);
            model.commit(n);
            ring.producer.commit(n);
        }
        Step::Write(bytes) => {
            let n = model.write_at(0, &bytes);
            model.commit(n);
            prop_assert_eq!(ring.producer.write(&bytes), n);
        }
        Step::PeekAt(offset, len) => {
            let mut out = std::vec![0; len];
            let n = ring.consumer.peek_at(offset, &mut out);
            prop_assert_eq!(&out[..n], model.peek_at(offset, len));
        }
        Step::Release(n) => {
            let n = n.min(model.committed.len());
            ring.consumer.release(n);
            model.release(n);
        }
        Step::Read(len) => {
            let expected = model.peek_at(0, len);
            model.release(expected.len());
            prop_assert_eq!(ring.read(len), expected);
        }
        Step::AttachProducer => ring.producer = ring.place.producer().expect("a producer"),
        Step::AttachConsumer => ring.consumer = ring.place.consumer().expect("a consumer"),
    }
    Ok(())
}

fn few_under_miri() -> ProptestConfig {
    // Miri's isolation leaves no file to remember failures in.
    let cases = if cfg!(miri) { 4 } else { 512 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(few_under_miri())]

    #[test]
    fn behaves_like_a_bounded_queue(exponent in 0_u32..6, before_wrap in 0_u64..200, steps in steps()) {
        let capacity = 1 << exponent;
        let mut ring = Fixture::starting_at(capacity, 0_u64.wrapping_sub(before_wrap));
        let mut model = Model { capacity, committed: VecDeque::new(), stored: std::vec![None; capacity] };
        for step in steps {
            take(&mut ring, &mut model, step)?;
            prop_assert_eq!(ring.producer.room(), model.room());
            prop_assert_eq!(ring.producer.len(), model.committed.len());
            prop_assert_eq!(ring.consumer.len(), model.committed.len());
        }
    }

    #[test]
    fn garbage_in_the_counters_is_survived(
        garbage in prop::collection::vec((any::<u64>(), any::<u64>(), 0_u64..40), 1..20),
        steps in steps(),
    ) {
        let mut ring = Fixture::new(16);
        for (step, (head, tail, small)) in steps.into_iter().zip(garbage.iter().cycle()) {
            ring.set_head(if head % 2 == 0 { *head } else { *small });
            ring.set_tail(if tail % 2 == 0 { *tail } else { *small });
            match step {
                Step::WriteAt(offset, bytes) => prop_assert!(ring.producer.write_at(offset, &bytes) <= bytes.len()),
                Step::Commit(n) => ring.producer.commit(n.min(ring.producer.room())),
                Step::Write(bytes) => prop_assert!(ring.producer.write(&bytes) <= bytes.len()),
                Step::PeekAt(offset, len) => {
                    prop_assert!(ring.consumer.peek_at(offset, &mut std::vec![0; len]) <= len);
                }
                Step::Release(n) => ring.consumer.release(n.min(ring.consumer.len())),
                Step::Read(len) => prop_assert!(ring.read(len).len() <= len),
                Step::AttachProducer => ring.producer = ring.place.producer().unwrap_or(ring.producer),
                Step::AttachConsumer => ring.consumer = ring.place.consumer().unwrap_or(ring.consumer),
            }
            prop_assert!(ring.producer.len() <= 16 && ring.consumer.len() <= 16);
            prop_assert_eq!(ring.producer.room() + ring.producer.len(), 16);
        }
    }
}
