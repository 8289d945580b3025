//! Pairs of virtual Ethernet interfaces: veth(4).

use std::io;
use std::os::fd::AsRawFd;
use std::process::Command;

use ipnet::IpNet;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage};

use super::link;
use super::namespace::NetworkNamespace;
use super::netlink::{NEW, request};

/// One end of a pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: IpNet,
    /// Whether it leaves checksums and segmentation to others, as it does by default.
    pub(crate) offload: bool,
}

/// Joins this process's network namespace with another one, both ends up and with their addresses.
pub(crate) fn join(here: End, there: End, namespace: &NetworkNamespace) -> io::Result<()> {
    let mut peer = LinkMessage::default();
    peer.attributes.push(LinkAttribute::IfName(there.name.to_owned()));
    peer.attributes.push(LinkAttribute::NetNsFd(namespace.file().as_raw_fd()));
    let mut pair = LinkMessage::default();
    pair.attributes.push(LinkAttribute::IfName(here.name.to_owned()));
    pair.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    request(RouteNetlinkMessage::NewLink(pair), NEW)?;
    set_up(here)?;
    namespace.run(|| set_up(there))
}

fn set_up(end: End) -> io::Result<()> {
    link::add_address(end.name, end.address)?;
    if !end.offload {
        switch_offload_off(end.name)?;
    }
    link::up(end.name)
}

/// Has ethtool(8) do it, in this thread's network namespace.
fn switch_offload_off(name: &str) -> io::Result<()> {
    let arguments = ["-K", name, "tx", "off", "tso", "off", "gso", "off", "gro", "off"];
    let output = Command::new("ethtool").args(arguments).output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), "ethtool is not installed"),
        _ => error,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("ethtool switches no offload off: {complaint}")))
}
