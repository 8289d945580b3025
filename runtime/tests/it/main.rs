//! Lanes on threads, and clients that use them.

mod stream;
mod two_hosts;
