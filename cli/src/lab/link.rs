//! Network interfaces, by their names in this thread's network namespace.

use std::io;

use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::net::{SocketFlags, SocketType, netdevice, socket_with};

use super::netlink::{NEW, request};

/// Brings an interface up.
pub(crate) fn up(name: &str) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index(name)?;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    request(RouteNetlinkMessage::SetLink(message), 0)
}

/// Gives an interface an address, and the kernel a route to its network.
pub(crate) fn add_address(name: &str, address: IpNet) -> io::Result<()> {
    let mut message = AddressMessage::default();
    message.header.family = match address {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    message.header.prefix_len = address.prefix_len();
    message.header.index = index(name)?;
    message.attributes.push(AddressAttribute::Local(address.addr()));
    message.attributes.push(AddressAttribute::Address(address.addr()));
    request(RouteNetlinkMessage::NewAddress(message), NEW)
}

pub(super) fn index(name: &str) -> io::Result<u32> {
    let socket =
        socket_with(rustix::net::AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    Ok(netdevice::name_to_index(socket, name)?)
}
