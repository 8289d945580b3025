//! The interface's addresses, and the routes and neighbours that build on them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::Findings;
use crate::{Backend, Config};

pub(super) fn check(config: &Config, findings: &mut Findings) {
    let before = findings.problems.len();
    ipv6(config, findings);
    if findings.problems.len() > before {
        return;
    }
    let subnets: Vec<Ipv4Net> = config.interface.addresses.iter().filter_map(ipv4_net).collect();
    own_addresses(&subnets, findings);
    if let Some(host) = config.interface.host_address.as_ref().and_then(ipv4_net) {
        host_address(host, &subnets, &config.backend, findings);
    }
    routes(config, &subnets, findings);
    neighbors(config, &subnets, findings);
}

/// IPv6 comes with the core that speaks it.
fn ipv6(config: &Config, findings: &mut Findings) {
    let mut refuse = |key: String, address: IpAddr| {
        if address.is_ipv6() {
            findings.add(key, format!("{address}: IPv6 is not supported yet"), "use an IPv4 address");
        }
    };
    for (index, net) in config.interface.addresses.iter().enumerate() {
        refuse(format!("interface.addresses.{index}"), net.addr());
    }
    if let Some(net) = config.interface.host_address {
        refuse("interface.host-address".to_owned(), net.addr());
    }
    for (index, route) in config.routes.iter().enumerate() {
        refuse(format!("routes.{index}.to"), route.to.addr());
        refuse(format!("routes.{index}.via"), route.via);
    }
    for (index, neighbor) in config.neighbors.iter().enumerate() {
        refuse(format!("neighbors.{index}.address"), neighbor.address);
    }
}

fn own_addresses(subnets: &[Ipv4Net], findings: &mut Findings) {
    if subnets.is_empty() {
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

fn host_address(host: Ipv4Net, subnets: &[Ipv4Net], backend: &Backend, findings: &mut Findings) {
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

fn routes(config: &Config, subnets: &[Ipv4Net], findings: &mut Findings) {
    for (index, route) in config.routes.iter().enumerate() {
        let to = route.to;
        if to != to.trunc() {
            findings.add(
                format!("routes.{index}.to"),
                format!("{to} has bits beyond its prefix"),
                format!("write \"{}\"", to.trunc()),
            );
        } else if config.routes[..index].iter().any(|other| other.to == to) {
            findings.add(
                format!("routes.{index}.to"),
                format!("there are two routes to {to}"),
                "remove one of the two",
            );
        }
        let IpAddr::V4(via) = route.via else { continue };
        on_link(&format!("routes.{index}.via"), "gateway", via, subnets, findings);
    }
}

fn neighbors(config: &Config, subnets: &[Ipv4Net], findings: &mut Findings) {
    for (index, neighbor) in config.neighbors.iter().enumerate() {
        let IpAddr::V4(address) = neighbor.address else { continue };
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
fn on_link(key: &str, role: &str, address: Ipv4Addr, subnets: &[Ipv4Net], findings: &mut Findings) {
    let around: Vec<Ipv4Net> = subnets.iter().copied().filter(|net| net.contains(&address)).collect();
    if subnets.iter().any(|net| net.addr() == address) {
        findings.add(
            key,
            format!("the {role} {address} is the stack itself"),
            format!("use the address of another host in {}", listed(subnets)),
        );
    } else if let Some(what) = not_one_host(address, &around) {
        findings.add(key, format!("the {role} {address} is {what}"), "use the address of one host");
    } else if around.is_empty() && !subnets.is_empty() {
        findings.add(
            key,
            format!("the {role} {address} is in none of the interface's subnets"),
            format!("use an address of {}, or add one to `interface.addresses`", listed(subnets)),
        );
    }
}

/// What `address` is, on a link with these subnets, if it is not the address of one host on some link.
fn not_one_host(address: Ipv4Addr, subnets: &[Ipv4Net]) -> Option<&'static str> {
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

fn listed(subnets: &[Ipv4Net]) -> String {
    subnets.iter().map(|net| net.trunc().to_string()).collect::<Vec<_>>().join(" or ")
}

fn ipv4_net(net: &IpNet) -> Option<Ipv4Net> {
    match net {
        IpNet::V4(net) => Some(*net),
        IpNet::V6(_) => None,
    }
}
