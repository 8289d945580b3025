//! netlane against what others wrote: each test in a network of its own.

mod bulk;
mod capture;
mod dhcp;
mod frames;
mod groups;
mod http;
mod iperf3;
mod ipv6;
mod lanes;
mod links;
mod lossy;
mod malformed;
mod many;
mod netcat;
mod paths;
mod ping;
mod python;
mod reset;
mod udp;
mod vanish;
