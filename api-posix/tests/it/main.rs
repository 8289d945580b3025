//! Sockets on two hosts that a link in memory joins.

mod alike;
mod network;
mod own;
