//! A message ring in memory whose every word a hostile other side may write to. Nothing outside of it is touched,
//! nothing panics or goes on for ever; and while nobody is hostile, the ring is a queue.
#![no_main]

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use netlane_ring::MessageRing;

#[derive(Arbitrary, Debug)]
struct Script {
    capacity: u8,
    /// Words that the ring is made of before it is joined, in place of those of an honest one.
    forged: Vec<(u8, u64)>,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Push([u8; 12]),
    Pop,
    Hostile(u16, u64),
}

type Ring = MessageRing<[u8; 12]>;

#[repr(C, align(64))]
struct Line([UnsafeCell<AtomicU64>; 8]);

fuzz_target!(|script: Script| {
    let capacity = 2_usize << (script.capacity % 6);
    let layout = Ring::layout(capacity).expect("a power of two");
    let len = layout.size();
    let lines: Box<[Line]> =
        (0..len.div_ceil(64)).map(|_| Line(std::array::from_fn(|_| UnsafeCell::default()))).collect();
    let memory = NonNull::from(&lines[0]).cast::<u8>();
    let tamper = |word: usize, value: u64| {
        let word = word % (len / 8);
        // SAFETY: everybody reaches these words through atomics.
        unsafe { &*lines[word / 8].0[word % 8].get() }.store(value, Ordering::Release);
    };
    // SAFETY: the memory has the layout, and lives until the end.
    let lane = unsafe { Ring::create(memory, capacity) }.expect("a power of two");
    let mut honest = script.forged.is_empty();
    for (word, value) in script.forged {
        tamper(usize::from(word), value);
    }
    // SAFETY: as above.
    let Ok(client) = (unsafe { Ring::attach(memory, len) }) else { return assert!(!honest) };
    assert!(client.capacity() * 8 < len, "the ring lies in its memory");
    let mut model = VecDeque::new();
    for step in script.steps {
        match step {
            Step::Push(message) => {
                let pushed = client.push(message).is_ok();
                assert!(!honest || pushed == (model.len() < capacity));
                if pushed {
                    model.push_back(message);
                }
            }
            Step::Pop => {
                let popped = lane.pop();
                assert!(!honest || popped == model.pop_front());
            }
            Step::Hostile(word, value) => {
                honest = false;
                tamper(usize::from(word), value);
            }
        }
        assert!(!honest || lane.is_empty() == model.is_empty());
    }
});
