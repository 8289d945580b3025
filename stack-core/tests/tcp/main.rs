//! TCP as its peers see it: in packet scripts, where the test plays the peer, and between simulated hosts.

mod app;
mod handshake;
mod transfer;
