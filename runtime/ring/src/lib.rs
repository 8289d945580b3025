//! The memory that a lane and its clients share: a ring of messages, a ring of bytes, and a doorbell.
//!
//! A lane is one thread that owns a network stack. Its clients are threads of the same process or of others, and
//! what passes between them passes through memory that both have mapped:
//!
//! - a [`MessageRing`] carries small fixed-size messages from many producers to many consumers: jobs to the lane,
//!   events back, and free slots to whoever needs one;
//! - a byte ring carries a stream from its one [`Producer`](bytes::Producer) to its one
//!   [`Consumer`](bytes::Consumer): what a socket sends and receives;
//! - a [`Doorbell`] tells those who bring work whether the other side sleeps and must be woken.
//!
//! The caller supplies the memory, usually a mapped memfd, and the system call that wakes. Nothing here allocates,
//! blocks, or calls the system.
//!
//! # Layout
//!
//! Everything is `repr(C)` and holds counters, not pointers, so that each side may map it where it likes. Words are
//! in the machine's byte order. What different sides write lies on different cache lines of 64 bytes.
//!
//! ```text
//! MessageRing<T>, aligned to 64                   Counters, aligned to 64
//!   0  magic, capacity, size of a message            0  tail   producer writes, u64
//!  64  tail   producers add to it, u64              64  head   consumer writes, u64
//! 128  head   consumers add to it, u64
//! 192  slot 0: sequence u64, message, padding     data, anywhere
//!      slot 1: …                                     0  2^k bytes; the byte at position p
//!      slot 2^k - 1: …                                  of the stream lies at p mod 2^k
//!
//! Doorbell, aligned to 64
//!   0  state  0 awake, 1 parked, u32
//! ```
//!
//! A slot takes 8 bytes and the message's size, rounded up to 8. All counters run freely and wrap around at 2^64;
//! only differences of them mean anything.
//!
//! # Why the orderings suffice
//!
//! *Message ring.* A slot's sequence number says whose turn it is: `p` is for the producer that claims position
//! `p`, `p + 1` for the consumer that does, and `p + capacity` for the producer of the next lap. Each hands the slot
//! on with a release store and receives it with an acquire load, so what the one did to the message happens before
//! what the other does. The claim itself is a relaxed compare-and-swap: it decides who, not what is seen.
//!
//! *Byte ring.* Each counter has one writer. A release store of `tail` publishes the bytes before it, and the
//! consumer's acquire load of it receives them. A release store of `head` follows the copy out, and the producer's
//! acquire load of it precedes the bytes that take their place. Each end keeps its own counter privately and looks
//! at the other's only when what it last saw does not suffice.
//!
//! *Doorbell.* The waker stores to a ring and then loads the state; the sleeper stores the state and then loads from
//! the ring. Without more, both loads may miss both stores, and the sleeper sleeps over the work. A sequentially
//! consistent fence stands between store and load on either side, so that at least one load sees the other's store.
//!
//! # When the other side is hostile
//!
//! Another process can write anything to the shared memory at any time. What it can do by that is to send wrong
//! messages and bytes, to stop its own rings, and to keep those asleep whose doorbell it can reach. It cannot make
//! this side read or write outside of the memory, panic, or loop:
//!
//! - The capacity is read once, checked when the handle is made, and kept; all indices are masked with it.
//! - An end of a byte ring never reads back its own counter. It believes the other's only where it has moved forward,
//!   and not beyond what the ring allows; anything else it takes for no news.
//! - An operation on a message ring tries again only when somebody else has moved a counter, and a bounded number of
//!   times.
//! - Messages are copied word by word with relaxed atomics, and any bytes are a message. The receiver decides what
//!   the values in it mean, from its own copy.
//! - Bytes of streams are copied as plain memory, and no reference to them is ever made. If another process writes to
//!   them at the same moment, the copy holds any bytes. So it does if another process has set back or forward the
//!   counters between two ends in this process. Either is a data race by the letter of the language, which has no
//!   bulk copy that would not be; no process can keep the other from it.
//!
//! Two dangers remain with the caller. A file that shrinks under its mapping raises SIGBUS: seal a memfd with
//! `F_SEAL_SHRINK` before sharing it. And a side that sends without end takes as much time as it is given: bound the
//! work of a turn.
//!
//! # How it is tested
//!
//! Against models with random operations and counters about to wrap, against garbage in every shared word, under
//! miri, and with loom, which runs small programs in every order of their threads:
//!
//! ```text
//! cargo +nightly miri test -p netlane-ring
//! RUSTFLAGS="--cfg loom" cargo test -p netlane-ring --release --target-dir target/loom
//! ```

#![no_std]
#![deny(missing_docs)]

#[cfg(any(test, loom))]
extern crate std;

pub mod bytes;
pub mod doorbell;
pub mod message;
mod sync;

pub use bytes::Counters;
pub use doorbell::{Doorbell, Parked};
pub use message::{Full, Message, MessageRing};

#[cfg(test)]
mod guarded;
#[cfg(all(test, loom))]
mod models;
