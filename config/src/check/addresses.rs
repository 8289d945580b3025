//! The interface's addresses, and the routes and neighbours that build on them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Findings;
use crate::{Backend, Config};

pub(super) fn check(config: &Config, findings: &mut Findings) {
    let subnets = &config.interface.addresses;
    let others = config.interface.dhcp || config.interface.autoconfigure;
    own_addresses(subnets, others, findings);
    if let Some(host) = config.interface.host_address {
        host_address(host, subnets, &config.backend, findings);
    }
    routes(config, subnets, findings);
    neighbors(config, subnets, findings);
}

fn own_addresses(subnets: &[IpNet], from_others: bool, findings: &mut Findings) {
    if subnets.is_empty() && !from_others {
        findings.add(
            "interface.addresses",
            "the stack has no address",
            "give it one in the section [interface], such as `addresses = [\"10.0.0.2/24\"]`",
        );
    }
    for (index, net) in subnets.iter().enumerate() {
        let key = format!("interface.addresses.{index}");
        if let Some(what) = not_one_host(net.addr(), &subnets[index..=index]) {
            findings.add(key, format!("{} is {what}", net.addr()), "use the address of one host");
        } else if subnets[..index].iter().any(|other| other.addr() == net.addr()) {
            findings.add(key, format!("{} is listed twice", net.addr()), "remove one of the two");
        }
    }
}

fn host_address(host: IpNet, subnets: &[IpNet], backend: &Backend, findings: &mut Findings) {
    let key = "interface.host-address";
    let address = host.addr();
    if !matches!(backend, Backend::Tap(_)) {
        findings.add(
            key,
            format!("the {} backend has no end in the kernel to give {address} to", backend.kind()),
            "remove it, or set `kind = \"tap\"` in the section [backend]",
        );
    } else if subnets.iter().any(|net| net.addr() == address) {
        findings.add(
            key,
            format!("{address} is the stack's own address"),
            "give the kernel's end another address of the same subnet",
        );
    } else if let Some(what) = not_one_host(address, &[host]) {
        findings.add(key, format!("{address} is {what}"), "use the address of one host");
    } else if !subnets.is_empty()
        && !subnets.iter().any(|net| net.contains(&address) && host.contains(&net.addr()))
    {
        findings.add(
            key,
            format!("{host} and the stack are in different subnets and would not hear each other"),
            format!("use another address of {}", listed(subnets)),
        );
    }
}

fn routes(config: &Config, subnets: &[IpNet], findings: &mut Findings) {
    for (index, route) in config.routes.iter().enumerate() {
        let to = route.to;
        if to != to.trunc() {
            findings.add(
                format!("routes.{index}.to"),
                format!("{to} has bits beyond its prefix"),
                format!("write \"{}\"", to.trunc()),
            );
        } else if config.routes[..index].iter().any(|other| (other.to, other.metric) == (to, route.metric)) {
            findings.add(
                format!("routes.{index}.to"),
                format!("there are two routes to {to}"),
                "remove one of the two, or give them different metrics",
            );
        }
        let key = format!("routes.{index}.via");
        if to.addr().is_ipv4() == route.via.is_ipv4() {
            on_link(&key, "gateway", route.via, subnets, findings);
        } else {
            let problem = format!("{to} and its gateway {} are of different families", route.via);
            findings.add(key, problem, "use a gateway of the network's own family");
        }
    }
}

fn neighbors(config: &Config, subnets: &[IpNet], findings: &mut Findings) {
    for (index, neighbor) in config.neighbors.iter().enumerate() {
        let address = neighbor.address;
        let key = format!("neighbors.{index}.address");
        if config.neighbors[..index].iter().any(|other| other.address == address) {
            findings.add(key, format!("{address} is listed twice"), "remove one of the two");
        } else {
            on_link(&key, "neighbour", address, subnets, findings);
        }
        if !neighbor.mac.is_unicast() {
            findings.add(
                format!("neighbors.{index}.mac"),
                format!("{} does not name one station", neighbor.mac),
                "use the neighbour's own Ethernet address; its first byte is even",
            );
        }
    }
}

/// Adds a problem unless `address` is another host in one of `subnets`.
fn on_link(key: &str, role: &str, address: IpAddr, subnets: &[IpNet], findings: &mut Findings) {
    let around: Vec<IpNet> = subnets.iter().copied().filter(|net| net.contains(&address)).collect();
    if subnets.iter().any(|net| net.addr() == address) {
        findings.add(
            key,
            format!("the {role} {address} is the stack itself"),
            format!("use the address of another host in {}", listed(subnets)),
        );
    } else if let Some(what) = not_one_host(address, &around) {
        findings.add(key, format!("the {role} {address} is {what}"), "use the address of one host");
    } else if around.is_empty() && !subnets.is_empty() && !is_link_local(address) {
        findings.add(
            key,
            format!("the {role} {address} is in none of the interface's subnets"),
            format!("use an address of {}, or add one to `interface.addresses`", listed(subnets)),
        );
    }
}

/// What `address` is, on a link with these subnets, if it is not the address of one host on some link.
fn not_one_host(address: IpAddr, subnets: &[IpNet]) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => not_one_v4_host(v4, subnets),
        IpAddr::V6(v6) => not_one_v6_host(v6),
    }
}

fn not_one_v4_host(address: Ipv4Addr, subnets: &[IpNet]) -> Option<&'static str> {
    // RFC 3021: a prefix of 31 bits has no network and no broadcast address; one of 32 has but its host.
    let mut wide = subnets.iter().filter(|net| net.prefix_len() < 31);
    match address {
        _ if address.octets()[0] == 0 => Some("an address of \"this network\", which no host has"),
        _ if address.is_loopback() => Some("a loopback address, which never leaves its host"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ if address.octets()[0] >= 240 => Some("a reserved or broadcast address"),
        _ if wide.clone().any(|net| net.network() == address) => Some("its subnet's network address"),
        _ if wide.any(|net| net.broadcast() == address) => Some("its subnet's broadcast address"),
        _ => None,
    }
}

fn not_one_v6_host(address: Ipv6Addr) -> Option<&'static str> {
    match address {
        _ if address.is_unspecified() => Some("the unspecified address, which no host has"),
        _ if address.is_loopback() => Some("a loopback address, which never leaves its host"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ if address.to_ipv4_mapped().is_some() => Some("an address of IPv4 in the guise of IPv6"),
        _ => None,
    }
}

/// RFC 4291 §2.5.6: every link with IPv6 has these, whatever its subnets are.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn listed(subnets: &[IpNet]) -> String {
    subnets.iter().map(|net| net.trunc().to_string()).collect::<Vec<_>>().join(" or ")
}
