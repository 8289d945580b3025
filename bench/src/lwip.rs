//! lwIP as Debian builds it, over its raw API.
//!
//! Its state is global: both ends are network interfaces of one instance, and one pair lives at a time. `lwip/pair.c`
//! drives them. That build has windows and send buffers of 64 KiB, whatever the [`Conditions`] ask for, and no timestamps, and it
//! always sums. Its mutex around each allocation is taken out, since there is one thread here.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Conditions, MESSAGE, PIECE, Subject};

/// Two ends of lwIP.
pub struct Lwip {
    /// Connections that stay open, by numbers from 0 on. Bulk transfers and round trips use the last.
    open: usize,
    conditions: Conditions,
    rng: fastrand::Rng,
    piece: Vec<u8>,
    /// Nothing in `pair.c` is made for two threads.
    stays_on_its_thread: PhantomData<*const ()>,
}

/// Connections that may be open. lwIP takes a client's port from 16,384; the short connections need one more.
const MOST: usize = 16_000;

/// Whether a pair lives.
static TAKEN: AtomicBool = AtomicBool::new(false);

// What pair.c says of each.
unsafe extern "C" {
    fn lwip_pair_begin(mtu: u16);
    fn lwip_pair_connect() -> usize;
    fn lwip_pair_echo(number: usize, message: *const u8, len: u16);
    fn lwip_pair_bulk(number: usize, piece: *const u8, bytes: u64);
    fn lwip_pair_close();
    fn lwip_pair_forget();
}

impl Lwip {
    /// Opens a connection, with the next number.
    fn connect(&mut self) -> usize {
        // SAFETY: `new` has called `lwip_pair_begin`, and only this thread is in pair.c while `self` lives.
        unsafe { lwip_pair_connect() }
    }

    /// Sends 64 bytes to the server and back.
    fn echo(&mut self, number: usize) {
        let message = [7_u8; MESSAGE];
        // SAFETY: as in `connect`; the connection of this number is open, and the message is as long as is said.
        unsafe { lwip_pair_echo(number, message.as_ptr(), MESSAGE as u16) };
    }
}

impl Subject for Lwip {
    const TERMS: &'static str = "segments of 1,460 bytes, windows and send buffers of 64 KiB";

    fn refusal(conditions: Conditions, idle: usize) -> Option<&'static str> {
        if !conditions.checksums {
            Some("Debian's build always sums")
        } else if idle > MOST {
            Some("it has ports for 16,000 connections")
        } else {
            None
        }
    }

    fn new(conditions: Conditions, idle: usize) -> Self {
        assert_eq!(Self::refusal(conditions, idle), None);
        assert!(!TAKEN.swap(true, Ordering::Acquire), "one pair at a time");
        let mtu = u16::try_from(conditions.mtu).expect("an MTU of Ethernet");
        // SAFETY: no other pair lives, so that no other thread is in pair.c.
        unsafe { lwip_pair_begin(mtu) };
        let mut pair = Self {
            open: 0,
            conditions,
            rng: fastrand::Rng::with_seed(1),
            piece: vec![7; PIECE],
            stays_on_its_thread: PhantomData,
        };
        for _ in 0..=idle {
            pair.open = pair.connect() + 1;
        }
        pair
    }

    fn bulk(&mut self, bytes: u64) -> u64 {
        // SAFETY: as in `connect`; the last connection is open, and the piece has the 64 KiB that pair.c reads of it at most.
        unsafe { lwip_pair_bulk(self.open - 1, self.piece.as_ptr(), bytes) };
        bytes.div_ceil(self.conditions.mtu as u64 - 40)
    }

    fn round_trips(&mut self, count: u64) {
        for _ in 0..count {
            self.echo(self.open - 1);
        }
    }

    fn round_trips_among(&mut self, count: u64) {
        for _ in 0..count {
            let number = self.rng.usize(..self.open);
            self.echo(number);
        }
    }

    fn short_connections(&mut self, count: u64) {
        for _ in 0..count {
            let number = self.connect();
            self.echo(number);
            // SAFETY: as in `connect`; what is closed was opened just now.
            unsafe { lwip_pair_close() };
        }
    }
}

impl Drop for Lwip {
    fn drop(&mut self) {
        // SAFETY: as in `connect`.
        unsafe { lwip_pair_forget() };
        TAKEN.store(false, Ordering::Release);
    }
}
