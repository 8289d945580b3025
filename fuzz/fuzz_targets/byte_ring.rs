//! Both ends of a byte ring, while a hostile other side writes to the shared counters what it likes. Memory
//! outside of the ring is never touched, which the address sanitizer sees; nothing panics; and while nobody is
//! hostile, the ring is a queue.
#![no_main]

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use netlane_ring::Counters;
use netlane_ring::bytes::{Consumer, Producer};

#[derive(Arbitrary, Debug)]
struct Script {
    capacity: u8,
    start: u64,
    waiting: u16,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Write(Vec<u8>),
    /// Bytes ahead of a gap, then all of them committed.
    WriteAt(u8, Vec<u8>),
    Read(u16),
    Peek(u16, u16),
    Hostile(Side, u64),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Side {
    Tail,
    Head,
}

/// The counters as another process sees them: two words on cache lines of their own.
#[repr(C, align(64))]
struct Shared([UnsafeCell<AtomicU64>; 16]);

impl Shared {
    fn word(&self, side: Side) -> &AtomicU64 {
        let index = match side {
            Side::Tail => 0,
            Side::Head => 8,
        };
        // SAFETY: everybody reaches these words through atomics.
        unsafe { &*self.0[index].get() }
    }
}

fuzz_target!(|script: Script| {
    let capacity = 1_usize << (script.capacity % 10);
    let data: Box<[UnsafeCell<u8>]> = (0..capacity).map(|_| UnsafeCell::new(0)).collect();
    let shared = Box::new(Shared(std::array::from_fn(|_| UnsafeCell::new(AtomicU64::new(script.start)))));
    let waiting = u64::from(script.waiting);
    shared.word(Side::Tail).store(script.start.wrapping_add(waiting), Ordering::Relaxed);
    let counters = NonNull::from(&*shared).cast::<Counters>();
    let bytes = NonNull::from(&data[0]).cast::<u8>();
    // SAFETY: counters and data live until the end, and have one end of each kind.
    let producer = unsafe { Producer::attach(counters, bytes, capacity) };
    // SAFETY: as above.
    let consumer = unsafe { Consumer::attach(counters, bytes, capacity) };
    assert_eq!(producer.is_ok(), waiting <= capacity as u64);
    let (Ok(mut producer), Ok(mut consumer)) = (producer, consumer) else { return };
    let mut model = VecDeque::from(vec![0; usize::from(script.waiting)]);
    let mut honest = true;
    for step in script.steps {
        match step {
            Step::Write(bytes) => {
                let n = producer.write(&bytes);
                model.extend(&bytes[..n]);
                assert!(!honest || n == bytes.len() || producer.room() == 0);
            }
            Step::WriteAt(offset, bytes) => {
                let offset = usize::from(offset);
                let n = producer.write_at(offset, &bytes);
                let gap = vec![0xee; offset];
                if n > 0 && producer.write_at(0, &gap) == offset {
                    producer.commit(offset + n);
                    model.extend(gap.iter().chain(&bytes[..n]));
                }
            }
            Step::Read(len) => {
                let mut out = vec![0; usize::from(len)];
                let n = consumer.read(&mut out);
                if honest {
                    assert!(n == out.len() || consumer.is_empty());
                    assert!(out[..n].iter().copied().eq(model.drain(..n)));
                }
            }
            Step::Peek(offset, len) => {
                let mut out = vec![0; usize::from(len)];
                let n = consumer.peek_at(usize::from(offset), &mut out);
                if honest {
                    assert!(out[..n].iter().eq(model.iter().skip(offset.into()).take(n)));
                }
            }
            Step::Hostile(side, value) => {
                honest = false;
                shared.word(side).store(value, Ordering::Release);
            }
        }
        assert!(producer.len() <= capacity && consumer.len() <= capacity);
        assert!(!honest || (producer.len() == model.len() && consumer.len() == model.len()));
    }
});
