//! Everything below and beside TCP: ARP, routes, ICMP, UDP, malformed packets, and the limits of tables.

mod bindings;
mod datagrams;
mod dhcp;
mod fragments;
mod frames;
mod groups;
mod handles;
mod icmp;
mod limits;
mod loopback;
mod malformed;
mod neighbors;
mod path_mtu;
mod routes;
mod vlan;
