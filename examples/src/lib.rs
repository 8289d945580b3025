//! What the example programs, and others, share.
#![deny(missing_docs)]

pub mod http;
