//! The backends from outside: one contract for all of them, and each one's own story.

mod contract;
mod impair;
mod memory;
mod namespace;
mod pcap;
mod peer;
mod pool;
mod tap;
