//! Lanes on threads, and clients that use them.

mod datagrams;
mod lanes;
mod listener;
mod poller;
mod several_lanes;
mod stream;
mod tap;
mod two_hosts;
