//! What loom checks: every order in which the threads of a small program may run, and every value that a load may
//! see. Two models have too many orders, and are bounded by the number of preemptions.

use core::alloc::Layout;
use core::ptr::NonNull;
use std::sync::Arc;
use std::vec::Vec;

use loom::sync::Notify;
use loom::thread;

use crate::bytes::{Consumer, Counters, Producer};
use crate::guarded::Guarded;
use crate::sync::Byte;
use crate::{Doorbell, MessageRing};

/// Runs a program in every order, or in those with so many preemptions at most.
fn check(preemptions: Option<usize>, program: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(program);
}

/// A ring of two messages, and the memory that it lies in.
struct Messages {
    ring: MessageRing<u64>,
    _memory: Guarded,
}

impl Messages {
    fn new() -> Arc<Self> {
        let memory = Guarded::new(MessageRing::<u64>::layout(2).expect("a valid capacity"));
        // SAFETY: the memory has the layout, and lives as long as the ring.
        let ring = unsafe { MessageRing::create(memory.memory(), 2) }.expect("a ring");
        Arc::new(Self { ring, _memory: memory })
    }

    /// Pushes these, and returns those for which there was room.
    fn push(&self, messages: &[u64]) -> Vec<u64> {
        messages.iter().copied().filter(|message| self.ring.push(*message).is_ok()).collect()
    }

    /// Takes all that is there.
    fn drain(&self) -> impl Iterator<Item = u64> {
        core::iter::from_fn(|| self.ring.pop())
    }
}

#[test]
fn two_producers_and_a_consumer_go_around_the_ring() {
    check(None, || {
        let messages = Messages::new();
        let mut accepted = messages.push(&[1]);
        let producers = [&[10, 11][..], &[20]].map(|mine| {
            let messages = messages.clone();
            thread::spawn(move || messages.push(mine))
        });
        let mut taken: Vec<u64> = [messages.ring.pop(), messages.ring.pop()].into_iter().flatten().collect();
        accepted.extend(producers.map(|producer| producer.join().expect("a producer")).concat());
        taken.extend(messages.drain());

        assert!(accepted.len() >= 2, "there was room for two");
        assert_eq!(taken[0], 1);
        assert!(taken.iter().filter(|message| [10, 11].contains(message)).is_sorted(), "{taken:?}");
        taken.sort_unstable();
        assert_eq!(taken, accepted, "what was accepted is delivered once");
        assert!(messages.ring.is_empty());
    });
}

#[test]
fn two_producers_and_two_consumers_share_the_messages() {
    check(None, || {
        let messages = Messages::new();
        let producers = [1, 2].map(|mine| {
            let messages = messages.clone();
            thread::spawn(move || messages.ring.push(mine))
        });
        let other = messages.clone();
        let other = thread::spawn(move || other.ring.pop());
        let mine = messages.ring.pop();
        for producer in producers {
            assert_eq!(producer.join().expect("a producer"), Ok(()), "there is room for both");
        }
        let others = other.join().expect("a consumer");
        let mut all: Vec<u64> = mine.into_iter().chain(others).chain(messages.drain()).collect();
        all.sort_unstable();
        assert_eq!(all, [1, 2]);
    });
}

#[test]
fn a_slot_is_written_to_again_only_after_it_was_read() {
    check(None, || {
        let messages = Messages::new();
        messages.push(&[1, 2]);
        let consumer = messages.clone();
        let consumer = thread::spawn(move || [consumer.ring.pop(), consumer.ring.pop()]);
        let third = messages.ring.push(3);
        assert_eq!(consumer.join().expect("a consumer"), [Some(1), Some(2)]);
        assert_eq!(messages.ring.pop(), third.ok().map(|()| 3));
    });
}

/// A byte ring of two bytes, both of whose ends may move to other threads.
fn byte_ring() -> (Producer, Consumer, [Guarded; 2]) {
    let counters = Guarded::new(Layout::new::<Counters>());
    let data = Guarded::new(Layout::new::<[Byte; 2]>());
    // SAFETY: the memory has the layout.
    unsafe { counters.memory().cast().write(Counters::new()) };
    // SAFETY: as above.
    unsafe { data.memory().cast().write([Byte::new(0), Byte::new(0)]) };
    let place: (NonNull<Counters>, NonNull<u8>) = (counters.memory().cast(), data.memory());
    // SAFETY: the caller keeps the memory until the ends are gone.
    let producer = unsafe { Producer::attach(place.0, place.1, 2) }.expect("a producer");
    // SAFETY: as above.
    let consumer = unsafe { Consumer::attach(place.0, place.1, 2) }.expect("a consumer");
    (producer, consumer, [counters, data])
}

#[test]
fn bytes_go_around_the_ring_in_order() {
    check(Some(3), || {
        let (mut producer, mut consumer, memory) = byte_ring();
        let sender = thread::spawn(move || {
            let mut rest = &b"abcde"[..];
            while !rest.is_empty() {
                let n = producer.write(rest);
                rest = &rest[n..];
                thread::yield_now();
            }
        });
        let mut received = Vec::new();
        while received.len() < 5 {
            let mut out = [0; 2];
            let n = consumer.read(&mut out);
            received.extend_from_slice(&out[..n]);
            thread::yield_now();
        }
        assert_eq!(received, b"abcde");
        sender.join().expect("the sender");
        drop(memory);
    });
}

#[test]
fn bytes_stored_out_of_order_are_seen_once_committed() {
    check(None, || {
        let (mut producer, consumer, memory) = byte_ring();
        let sender = thread::spawn(move || {
            assert_eq!(producer.write_at(1, b"b"), 1);
            assert_eq!(producer.write_at(0, b"a"), 1);
            producer.commit(2);
        });
        let mut out = [0; 2];
        let n = consumer.peek_at(0, &mut out);
        assert!(matches!((n, &out), (0, [0, 0]) | (2, b"ab")), "{n} bytes: {out:?}");
        sender.join().expect("the sender");
        assert_eq!((consumer.peek_at(0, &mut out), &out), (2, b"ab"));
        drop(memory);
    });
}

/// A sleeper's ring, doorbell and eventfd.
struct Bedroom {
    messages: Arc<Messages>,
    doorbell: Doorbell,
    eventfd: Notify,
}

impl Bedroom {
    fn new() -> Arc<Self> {
        Arc::new(Self { messages: Messages::new(), doorbell: Doorbell::new(), eventfd: Notify::new() })
    }

    fn bring(&self, message: u64) {
        self.messages.ring.push(message).expect("room for all that is ever brought");
        if self.doorbell.must_wake() {
            self.eventfd.notify();
        }
    }

    /// Takes a message, asleep while there is none. Loom reports a sleep that nobody ends as a deadlock.
    fn take(&self) -> u64 {
        loop {
            if let Some(message) = self.messages.ring.pop() {
                return message;
            }
            let parked = self.doorbell.announce();
            if self.messages.ring.is_empty() {
                parked.sleep(|| self.eventfd.wait());
            }
        }
    }
}

#[test]
fn a_waker_is_never_slept_over() {
    check(None, || {
        let bedroom = Bedroom::new();
        let waker = bedroom.clone();
        let waker = thread::spawn(move || {
            waker.bring(1);
            waker.bring(2);
        });
        assert_eq!([bedroom.take(), bedroom.take()], [1, 2]);
        waker.join().expect("the waker");
    });
}

#[test]
fn neither_of_two_wakers_is_slept_over() {
    check(Some(4), || {
        let bedroom = Bedroom::new();
        let wakers = [1, 2].map(|message| {
            let waker = bedroom.clone();
            thread::spawn(move || waker.bring(message))
        });
        let mut taken = [bedroom.take(), bedroom.take()];
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
        for waker in wakers {
            waker.join().expect("a waker");
        }
    });
}
