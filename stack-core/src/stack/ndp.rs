//! Finding out, and telling, who has which address of IPv6 on the link: neighbour discovery (RFC 4861 §7).

use core::net::Ipv6Addr;

use netlane_packet_io::PacketIo;

use super::Stack;
use crate::address::Address;
use crate::buffers::Buffers;
use crate::ipv6::host::AddressChange;
use crate::neighbor::Heard;
use crate::wire::{Icmpv6Repr, Ipv6Repr, MacAddr, NdpRepr, Protocol, Sum, ndp};

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    pub(super) fn receive_ndp(&mut self, ip: &Ipv6Repr, sender: MacAddr, message: &NdpRepr<'_>) {
        match *message {
            NdpRepr::NeighborSolicitation { target, source_mac } => {
                self.receive_solicitation(ip.src, source_mac, sender, target);
            }
            NdpRepr::NeighborAdvertisement { target, target_mac, router, solicited, override_known } => {
                let heard = if solicited { Heard::Reply } else { Heard::Announcement };
                if self.claims_ours(sender, target) {
                    return;
                }
                self.receive_advertisement(target, target_mac, heard, override_known);
                if !router {
                    self.forget_router(target);
                }
            }
            // RFC 4861 §6.2.6: a host has nothing to say to those who look for routers.
            NdpRepr::RouterSolicitation { .. } => self.counters.rx_unknown_protocol += 1,
            NdpRepr::RouterAdvertisement(told) => self.receive_router_advertisement(ip.src, &told),
            NdpRepr::Redirect { target, destination, target_mac } => {
                self.receive_redirect(ip.src, target, destination, target_mac);
            }
        }
    }

    /// Whether the station `sender` says that it has an address which is ours, or is to be.
    fn claims_ours(&mut self, sender: MacAddr, target: Ipv6Addr) -> bool {
        // RFC 4862 §5.4.4: one that we were about to take is not ours.
        if self.ipv6.detection.is_tentative(target) {
            self.give_up_address(target);
            return true;
        }
        let owned = self.link.interface.owns(target.into());
        if owned && sender != self.link.interface.mac {
            self.counters.address_conflicts += 1;
            self.ipv6.tell(target, AddressChange::Conflict);
        }
        owned
    }

    /// RFC 4861 §7.2.3: somebody asks for `target`.
    fn receive_solicitation(
        &mut self,
        from: Ipv6Addr,
        source_mac: Option<MacAddr>,
        sender: MacAddr,
        target: Ipv6Addr,
    ) {
        if self.ipv6.detection.is_tentative(target) {
            // RFC 4862 §5.4.3: another one wants it, too, unless it is our own question that comes back. Who has an
            // address and asks for this one gets no answer yet.
            if from.is_unspecified() && sender != self.link.interface.mac {
                self.give_up_address(target);
            }
            return;
        }
        if !self.link.interface.owns(target.into()) {
            self.counters.rx_other_address += 1;
            return;
        }
        if let Some(mac) = source_mac {
            self.learn(from.into(), mac, Heard::Request);
        }
        // RFC 4861 §7.2.4: who has no address yet is answered where everybody hears it.
        let solicited = !from.is_unspecified();
        let (to, mac) = if solicited {
            (from, source_mac.unwrap_or(sender))
        } else {
            (ndp::ALL_NODES, MacAddr::multicast_for_v6(ndp::ALL_NODES))
        };
        let own_mac = Some(self.link.interface.mac);
        let answer = NdpRepr::NeighborAdvertisement {
            target,
            target_mac: own_mac,
            router: false,
            solicited,
            override_known: true,
        };
        self.send_ndp(target, (to, mac), answer);
    }

    /// RFC 4861 §7.2.5: somebody says who has `target`.
    fn receive_advertisement(
        &mut self,
        target: Ipv6Addr,
        target_mac: Option<MacAddr>,
        heard: Heard,
        override_known: bool,
    ) {
        let address = Address::v6(target);
        let known = self.link.neighbors.known(address);
        match (known, target_mac) {
            // Another one than is known, but not to take its place: whether the known one still holds is to be seen.
            (Some(known), Some(mac)) if known != mac && !override_known => {
                self.link.neighbors.doubt(address);
            }
            (_, Some(mac)) | (Some(mac), None) => self.learn(address, mac, heard),
            (None, None) => {}
        }
    }

    /// Asks who has `target`: the station `mac` that had it so far, or everybody whose address ends alike.
    pub(super) fn solicit(&mut self, target: Ipv6Addr, source: Ipv6Addr, mac: Option<MacAddr>) {
        let group = ndp::solicited_node(target);
        let to = mac.map_or((group, MacAddr::multicast_for_v6(group)), |mac| (target, mac));
        let source_mac = Some(self.link.interface.mac);
        self.send_ndp(source, to, NdpRepr::NeighborSolicitation { target, source_mac });
    }

    /// Sends a message to a station that is known.
    pub(super) fn send_ndp(&mut self, src: Ipv6Addr, (dst, mac): (Ipv6Addr, MacAddr), message: NdpRepr<'_>) {
        let ip = Ipv6Repr {
            src,
            dst,
            next_header: Protocol::ICMPV6,
            hop_limit: ndp::HOP_LIMIT,
            traffic_class: 0,
            flow_label: 0,
            payload_len: message.len() as u16,
        };
        let pseudo = Sum::pseudo_v6(src, dst, Protocol::ICMPV6, message.len());
        let message = Icmpv6Repr::Ndp(message);
        let sent = self.link.send_v6_to(&mut self.counters, mac, &ip, |out| message.emit(pseudo, out));
        if sent.is_err() {
            self.counters.tx_suppressed += 1;
        }
    }
}
