//! TCP as its peers see it: in packet scripts, where the test plays the peer, and between simulated hosts.

mod app;
mod blind_attacks;
mod buffers;
mod closing;
mod congestion;
mod ecn;
mod fast_open;
mod flow_control;
mod goodput;
mod handshake;
mod info;
mod listening;
mod loss_recovery;
mod requirements;
mod retransmission;
mod selective_acks;
mod syn_cookies;
mod transfer;
mod user_timeout;
