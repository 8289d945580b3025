//! What stands for lwIP where the bench is built without it.

use crate::{Conditions, Subject};

/// No lwIP.
pub enum Lwip {}

impl Subject for Lwip {
    const TERMS: &'static str = "left out";

    fn refusal(_: Conditions, _: usize) -> Option<&'static str> {
        Some("left out: apt-get install liblwip-dev, and build with --features lwip")
    }

    fn new(_: Conditions, _: usize) -> Self {
        unreachable!("it refuses all conditions")
    }

    fn bulk(&mut self, _: u64) -> u64 {
        match *self {}
    }

    fn round_trips(&mut self, _: u64) {
        match *self {}
    }

    fn round_trips_among(&mut self, _: u64) {
        match *self {}
    }

    fn short_connections(&mut self, _: u64) {
        match *self {}
    }
}
