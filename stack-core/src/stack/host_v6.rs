//! What the stack does as a host of IPv6, besides sending and receiving: it finds out which addresses are its own,
//! and tells which groups it listens to.

use core::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use netlane_packet_io::PacketIo;

use super::Stack;
use super::link::NotSent;
use crate::address::Address;
use crate::buffers::Buffers;
use crate::ipv6::autoconfiguration::Formation;
use crate::ipv6::duplicate_address::Detection;
use crate::ipv6::host::{AddressChange, AddressEvent};
use crate::multicast::memberships::GroupReport;
use crate::time::{Duration, Instant};
use crate::wire::mld::{self, ALL_MLDV2_ROUTERS, ALL_ROUTERS};
use crate::wire::{Ipv6Repr, MacAddr, NdpRepr, Protocol, Sum, group_report, icmpv6, ndp};

/// The longest random delay before the first message of a host (RFC 4861 §10: MAX_RTR_SOLICITATION_DELAY).
const MAX_INITIAL_DELAY: Duration = Duration::from_secs(1);

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// What happened to an address without its owner's doing. Of those that nobody takes, the last 64 are kept.
    pub fn next_address_event(&mut self) -> Option<AddressEvent> {
        self.ipv6.next_event()
    }

    /// Whether the stack wants addresses and does not know yet whether it may have them (RFC 4862 §5.4).
    pub fn has_tentative_addresses(&self) -> bool {
        !self.ipv6.wanted().is_empty()
    }

    /// Does what is due.
    #[cold]
    pub(super) fn run_ipv6(&mut self) {
        if self.ipv6.begins() {
            self.begin_ipv6();
        }
        while let Some(detection) = self.ipv6.detection.poll(self.now, self.ipv6.retrans_timer) {
            match detection {
                Detection::Ask(address) => self.ask_for_duplicates(address),
                Detection::Unique(address) => self.assign(address),
            }
        }
        while let Some(change) = self.ipv6.autoconfiguration.poll(self.now) {
            self.change_address(change);
        }
        self.run_routers();
        self.report_listeners();
        self.ipv6.settle();
    }

    fn begin_ipv6(&mut self) {
        for at in 0..self.ipv6.wanted().len() {
            let address = self.ipv6.wanted()[at].addr();
            self.examine(address);
        }
        if !self.ipv6.config.duplicate_address_detection {
            while let Some(net) = self.ipv6.wanted().first() {
                self.assign(net.addr());
            }
        }
        if self.ipv6.config.autoconfigure {
            let at = self.after_initial_delay();
            self.ipv6.routers.begin(at);
        }
    }

    /// Adds an address, which is the stack's once nobody else has claimed it.
    pub(super) fn want_address(&mut self, net: Ipv6Net) {
        self.ipv6.want(net);
        self.examine(net.addr());
        if !self.ipv6.config.duplicate_address_detection {
            self.assign(net.addr());
        }
        self.ipv6.settle();
    }

    /// Begins to find out whether `address`, which is wanted, may be ours. RFC 4862 §5.4.2: the group through which
    /// others ask for it is joined first.
    fn examine(&mut self, address: Ipv6Addr) {
        // With more groups than the limit allows, the address still works where nobody filters multicast.
        let _ = self.ipv6.groups.join(self.now, ndp::solicited_node(address).into());
        if self.ipv6.config.duplicate_address_detection {
            let at = self.after_initial_delay();
            self.ipv6.detection.begin(address, at);
        }
    }

    fn after_initial_delay(&mut self) -> Instant {
        if !self.ipv6.speaks {
            // Whoever only listens to the answers waits for as long as the one that asks may take.
            return self.now + MAX_INITIAL_DELAY;
        }
        let most = u64::try_from(MAX_INITIAL_DELAY.as_nanos()).unwrap_or(u64::MAX);
        self.now + Duration::from_nanos(self.rng.u64(..=most))
    }

    fn ask_for_duplicates(&mut self, address: Ipv6Addr) {
        if self.ipv6.speaks {
            let group = ndp::solicited_node(address);
            let to = (group, MacAddr::multicast_for_v6(group));
            let question = NdpRepr::NeighborSolicitation { target: address, source_mac: None };
            self.send_ndp(Ipv6Addr::UNSPECIFIED, to, question);
        }
    }

    /// An address that was wanted is ours.
    fn assign(&mut self, address: Ipv6Addr) {
        let Some(net) = self.ipv6.take_wanted(address) else { return };
        // One that the configuration named has been ours where nothing was to be found out.
        if self.link.interface.add_address(IpNet::V6(net)).is_ok() {
            self.link.forget_last_hop();
            self.ipv6.tell(address, AddressChange::Assigned);
        }
    }

    /// Somebody else has `address`, or wants it too, while we do not have it yet.
    pub(super) fn give_up_address(&mut self, address: Ipv6Addr) {
        if self.ipv6.detection.give_up(address) {
            self.ipv6.take_wanted(address);
            self.ipv6.groups.leave(self.now, ndp::solicited_node(address).into());
            self.counters.duplicate_addresses += 1;
            self.ipv6.tell(address, AddressChange::Duplicate);
            self.ipv6.settle();
        }
    }

    pub(super) fn change_address(&mut self, change: Formation) {
        match change {
            Formation::Formed(address) => {
                // Which neighbours it has is told apart from which address it is (RFC 4861 §6.3.4).
                let alone = Ipv6Net::new(address, 128).expect("no address is longer");
                self.want_address(alone);
            }
            Formation::Preferred(address) => self.link.interface.deprecate(Address::v6(address), false),
            Formation::Deprecated(address) => {
                self.link.interface.deprecate(Address::v6(address), true);
                self.ipv6.tell(address, AddressChange::Deprecated);
            }
            Formation::Expired(address) => {
                self.ipv6.detection.give_up(address);
                self.ipv6.take_wanted(address);
                self.ipv6.groups.leave(self.now, ndp::solicited_node(address).into());
                if self.remove_address(address.into()) {
                    self.ipv6.tell(address, AddressChange::Expired);
                }
            }
        }
    }

    /// Tells the routers which groups we listen to (RFC 3810 §5.2), or those of version 1 (RFC 2710 §3, §5).
    fn report_listeners(&mut self) {
        while let Some(report) = self.ipv6.groups.poll(self.now) {
            let sent = match report {
                _ if !self.ipv6.speaks => continue,
                GroupReport::Records(records) => {
                    let len = group_report::report_len(&records);
                    self.send_mld(ALL_MLDV2_ROUTERS, len, |out| mld::emit_report(&records, out))
                }
                GroupReport::Old(_, IpAddr::V6(group)) => self.send_old_mld(group, group, true),
                GroupReport::Leave(IpAddr::V6(group)) => self.send_old_mld(ALL_ROUTERS, group, false),
                GroupReport::Old(..) | GroupReport::Leave(_) => continue,
            };
            if sent.is_err() {
                self.counters.tx_suppressed += 1;
            }
        }
    }

    fn send_old_mld(&mut self, to: Ipv6Addr, group: Ipv6Addr, listens: bool) -> Result<(), NotSent> {
        let message = mld::old_message(group, listens);
        self.send_mld(to, message.len(), |out| out.copy_from_slice(&message))
    }

    /// Sends a message about our groups, `len` bytes that `fill` writes.
    fn send_mld(&mut self, to: Ipv6Addr, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), NotSent> {
        let own = self.ipv6.link_local;
        // RFC 3810 §5.2.13: from the unspecified address while there is no other.
        let src = if self.link.interface.owns(own.into()) { own } else { Ipv6Addr::UNSPECIFIED };
        let ip = Ipv6Repr {
            src,
            dst: to,
            next_header: Protocol::HOP_BY_HOP,
            hop_limit: 1,
            traffic_class: 0,
            flow_label: 0,
            payload_len: (mld::HOP_BY_HOP.len() + len) as u16,
        };
        let pseudo = Sum::pseudo_v6(src, ip.dst, Protocol::ICMPV6, len);
        self.link.send_v6_to(&mut self.counters, MacAddr::multicast_for_v6(to), &ip, |out| {
            let (options, message) = out.split_at_mut(mld::HOP_BY_HOP.len());
            options.copy_from_slice(&mld::HOP_BY_HOP);
            fill(message);
            icmpv6::fill_checksum(message, pseudo);
        })
    }
}
