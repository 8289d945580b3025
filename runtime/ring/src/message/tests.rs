//! The message ring beside a queue, at the ends of its counters, and in hostile hands.

use core::ops::Deref;
use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::guarded::Guarded;

/// A message whose size is no multiple of a word.
type Odd = [u8; 13];

struct Fixture<T> {
    ring: MessageRing<T>,
    memory: Guarded,
}

impl<T: Message> Fixture<T> {
    fn new(capacity: usize) -> Self {
        Self::starting_at(capacity, 0)
    }

    fn starting_at(capacity: usize, position: u64) -> Self {
        let memory = Guarded::new(MessageRing::<T>::layout(capacity).expect("a valid capacity"));
        // SAFETY: the memory has the layout, and lives as long as the ring.
        let ring = unsafe { MessageRing::create_at(memory.memory(), capacity, position) }.expect("a ring");
        Self { ring, memory }
    }

    fn attach<U: Message>(&self) -> Result<MessageRing<U>, AttachError> {
        self.attach_to(MessageRing::<T>::layout(self.ring.capacity()).expect("a valid capacity").size())
    }

    fn attach_to<U: Message>(&self, len: usize) -> Result<MessageRing<U>, AttachError> {
        // SAFETY: the memory is at least as long, and the tests drop what they attach before the fixture.
        unsafe { MessageRing::attach(self.memory.memory(), len) }
    }

    /// Every word of the ring, as the other side may write to it.
    fn shared_words(&self) -> &[AtomicU64] {
        let layout = MessageRing::<T>::layout(self.ring.capacity()).expect("a valid capacity");
        let words = self.memory.memory().cast::<AtomicU64>();
        // SAFETY: the memory is as long, aligned, and accessed through atomics only.
        unsafe { core::slice::from_raw_parts(words.as_ptr(), layout.size() / 8) }
    }
}

impl<T> Deref for Fixture<T> {
    type Target = MessageRing<T>;

    fn deref(&self) -> &MessageRing<T> {
        &self.ring
    }
}

#[test]
fn messages_come_out_in_order_until_the_ring_is_empty() {
    let ring = Fixture::<u32>::new(4);
    assert!(ring.is_empty());
    for message in 1..=4 {
        assert_eq!(ring.push(message), Ok(()));
    }
    assert!(!ring.is_empty());
    assert_eq!(ring.push(5), Err(Full(5)));
    assert_eq!(core::iter::from_fn(|| ring.pop()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(ring.is_empty());
}

#[test]
fn a_slot_that_is_still_read_keeps_the_ring_full() {
    let ring = Fixture::<u32>::new(2);
    for message in [1, 2] {
        ring.push(message).expect("room");
    }
    // A consumer that has claimed the first message, and is still copying it.
    let claimed = ring.claim(&ring.header().head, FILLED);
    assert_eq!(claimed, Some(0));
    assert_eq!(ring.pop(), Some(2));
    assert_eq!(ring.push(3), Err(Full(3)));
    // It is done.
    ring.slot(0).0.store(2, Ordering::Release);
    assert_eq!(ring.push(3), Ok(()));
    assert_eq!(ring.pop(), Some(3));
}

#[test]
fn a_message_without_bytes_still_counts() {
    let ring = Fixture::<()>::new(2);
    assert_eq!((ring.push(()), ring.push(()), ring.push(())), (Ok(()), Ok(()), Err(Full(()))));
    assert_eq!((ring.pop(), ring.pop(), ring.pop()), (Some(()), Some(()), None));
}

#[test]
fn layout_grows_by_a_slot_of_whole_words() {
    assert_eq!(MessageRing::<[u8; 56]>::layout(4).map(|layout| layout.size()), Ok(192 + 4 * 64));
    assert_eq!(MessageRing::<Odd>::layout(8).map(|layout| layout.size()), Ok(192 + 8 * 24));
    assert_eq!(MessageRing::<Odd>::layout(8).map(|layout| layout.align()), Ok(64));
}

#[test]
fn impossible_capacities_are_refused() {
    for capacity in [0, 1, 3, 6, usize::MAX, 1 << (usize::BITS - 1), 1 << (usize::BITS - 4)] {
        assert_eq!(MessageRing::<u64>::layout(capacity), Err(BadCapacity), "{capacity}");
    }
    let memory = Guarded::new(MessageRing::<u64>::layout(4).expect("a valid capacity"));
    // SAFETY: nothing is created.
    assert_eq!(unsafe { MessageRing::<u64>::create(memory.memory(), 3) }.map(drop), Err(BadCapacity));
}

#[test]
fn both_sides_see_one_ring() {
    let lane = Fixture::<Odd>::new(4);
    let client = lane.attach::<Odd>().expect("a ring");
    assert_eq!(client.capacity(), 4);
    assert_eq!(client.push(*b"thirteen-long"), Ok(()));
    assert_eq!(lane.pop(), Some(*b"thirteen-long"));
    assert!(client.is_empty());
}

#[test]
fn attaching_says_what_is_wrong() {
    let ring = Fixture::<u64>::new(4);
    assert_eq!(ring.attach_to::<u64>(191).map(drop), Err(AttachError::TooShort));
    assert_eq!(ring.attach_to::<u64>(255).map(drop), Err(AttachError::TooShort));
    assert_eq!(ring.attach_to::<u64>(256).map(drop), Ok(()));
    assert_eq!(ring.attach::<u32>().map(drop), Err(AttachError::MessageSize));
    // SAFETY: the memory reaches as far.
    let askew = unsafe { ring.memory.memory().add(8) };
    // SAFETY: as above; it is refused before it is read.
    let attached = unsafe { MessageRing::<u64>::attach(askew, 248) };
    assert_eq!(attached.map(drop), Err(AttachError::Misaligned));

    let identity = &ring.header().identity;
    for capacity in [0, 1, 3, 1 << 63, u64::MAX, 1 << 60] {
        identity.capacity.store(capacity, Ordering::Relaxed);
        assert_eq!(ring.attach::<u64>().map(drop), Err(AttachError::Capacity), "{capacity}");
    }
    identity.capacity.store(1 << 40, Ordering::Relaxed);
    assert_eq!(ring.attach::<u64>().map(drop), Err(AttachError::TooShort));
    identity.magic.store(MAGIC + 1, Ordering::Relaxed);
    assert_eq!(ring.attach::<u64>().map(drop), Err(AttachError::NoRing));
}

#[test]
fn memory_that_was_never_a_ring_is_refused() {
    let layout = MessageRing::<u64>::layout(4).expect("a valid capacity");
    let memory = Guarded::new(layout);
    // SAFETY: the memory has this size and lives on.
    let attached = unsafe { MessageRing::<u64>::attach(memory.memory(), layout.size()) };
    assert_eq!(attached.map(drop), Err(AttachError::NoRing));
}

#[test]
fn every_message_of_many_threads_arrives_once_and_in_its_order() {
    const EACH: u64 = if cfg!(miri) { 40 } else { 20_000 };
    const PRODUCERS: u64 = 3;
    let ring = Fixture::<[u64; 2]>::new(8);
    let taken = AtomicUsize::new(0);
    let consume = || {
        let mut seen = Vec::new();
        while taken.load(Ordering::Relaxed) < (EACH * PRODUCERS) as usize {
            match ring.pop() {
                Some(message) => {
                    taken.fetch_add(1, Ordering::Relaxed);
                    seen.push(message);
                }
                None => thread::yield_now(),
            }
        }
        seen
    };
    let seen = thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let ring = &ring;
            scope.spawn(move || {
                for nth in 0..EACH {
                    while ring.push([producer, nth]).is_err() {
                        thread::yield_now();
                    }
                }
            });
        }
        let consumers = [scope.spawn(consume), scope.spawn(consume)];
        consumers.map(|consumer| consumer.join().expect("a consumer"))
    });
    for seen in &seen {
        for producer in 0..PRODUCERS {
            let of_one = seen.iter().filter(|message| message[0] == producer);
            assert!(of_one.is_sorted_by(|one, next| one[1] < next[1]));
        }
    }
    let mut all = seen.concat();
    all.sort_unstable();
    let sent = (0..PRODUCERS).flat_map(|producer| (0..EACH).map(move |nth| [producer, nth]));
    assert!(all.into_iter().eq(sent));
}

#[test]
fn a_counter_that_points_past_the_slots_stops_the_ring_only() {
    let ring = Fixture::<u64>::new(4);
    ring.push(1).expect("room");
    ring.header().head.store(2, Ordering::Relaxed);
    assert_eq!(ring.pop(), None);
    assert!(ring.is_empty());
    ring.header().head.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(ring.pop(), None, "a slot that is ahead of the counter, which does not move");
    assert!(ring.is_empty());
    ring.header().tail.store(u64::MAX / 2, Ordering::Relaxed);
    assert_eq!(ring.push(2), Err(Full(2)));
}

#[test]
fn scribbling_in_parallel_harms_nobody_else() {
    const ROUNDS: usize = if cfg!(miri) { 300 } else { 100_000 };
    let ring = Fixture::<Odd>::new(4);
    let rounds_left = AtomicUsize::new(ROUNDS);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = fastrand::Rng::with_seed(2);
            while rounds_left.load(Ordering::Relaxed) > 0 {
                let word = random.choice(ring.shared_words()).expect("words");
                // Small numbers are near what honest sides write, and lead further in.
                let value = if random.bool() { random.u64(..) } else { random.u64(..8) };
                word.store(value, Ordering::Relaxed);
            }
        });
        for round in (0..ROUNDS).rev() {
            let _ = ring.push([round as u8; 13]);
            let _ = (ring.is_empty(), ring.pop());
            if let Ok(attached) = ring.attach::<Odd>() {
                assert!(attached.capacity() <= ring.capacity());
            }
            rounds_left.store(round, Ordering::Relaxed);
        }
    });
}

#[derive(Clone, Debug)]
enum Step {
    Push(Odd),
    Pop,
    Attach,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<Odd>().prop_map(Step::Push),
        4 => Just(Step::Pop),
        1 => Just(Step::Attach),
    ];
    prop::collection::vec(step, 0..if cfg!(miri) { 12 } else { 100 })
}

fn few_under_miri() -> ProptestConfig {
    // Miri's isolation leaves no file to remember failures in.
    let cases = if cfg!(miri) { 4 } else { 512 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(few_under_miri())]

    #[test]
    fn behaves_like_a_bounded_queue(exponent in 1_u32..5, before_wrap in 0_u64..40, steps in steps()) {
        let mut ring = Fixture::<Odd>::starting_at(1 << exponent, 0_u64.wrapping_sub(before_wrap));
        let mut model = VecDeque::new();
        for step in steps {
            match step {
                Step::Push(message) if model.len() < ring.capacity() => {
                    prop_assert_eq!(ring.push(message), Ok(()));
                    model.push_back(message);
                }
                Step::Push(message) => prop_assert_eq!(ring.push(message), Err(Full(message))),
                Step::Pop => prop_assert_eq!(ring.pop(), model.pop_front()),
                Step::Attach => ring.ring = ring.attach().expect("the ring"),
            }
            prop_assert_eq!(ring.is_empty(), model.is_empty());
        }
    }

    #[test]
    fn garbage_in_the_words_is_survived(
        garbage in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), 0_u64..6), 1..20),
        steps in steps(),
    ) {
        let ring = Fixture::<Odd>::new(4);
        let mut garbage = garbage.iter().cycle();
        for step in steps {
            let (at, wild, small) = garbage.next().expect("it cycles");
            at.get(ring.shared_words()).store(if wild % 2 == 0 { *wild } else { *small }, Ordering::Relaxed);
            match step {
                Step::Push(message) => {
                    if let Err(Full(back)) = ring.push(message) {
                        prop_assert_eq!(back, message);
                    }
                }
                Step::Pop => drop(ring.pop()),
                Step::Attach => drop(ring.attach::<Odd>()),
            }
            // One call after the other, whatever the words say, and without a limit of its own the test would hang.
            let _ = ring.is_empty();
        }
    }
}
