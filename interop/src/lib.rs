//! What the tests against other people's code are made of: a network of their own, programs in it, and netlane at the
//! other end of a TAP device.
//!
//! See the tests in `tests/it`.
#![deny(missing_docs)]

pub mod bulk;
pub mod bytes;
pub mod iperf3;
pub mod namespace;
pub mod program;

pub mod raw;
pub mod tshark;
pub mod wire;
