//! IPv6: what is said of TCP, UDP and ICMP over IPv4 in other places holds over IPv6 too; and what only IPv6 has.

mod addresses;
mod frames;
mod groups;
mod icmp;
mod neighbors;
mod routers;
mod transport;
