//! Finding out, and telling, who has which address on the link: ARP (RFC 826).

use alloc::collections::VecDeque;

use netlane_packet_io::{PacketBuf, PacketIo};

use super::Stack;
use super::icmp::Failure;
use crate::address::Address;
use crate::buffers::Buffers;
use crate::neighbor::{Heard, NeighborAction};
use crate::wire::{ArpOperation, ArpRepr, EtherType, EthernetRepr, MacAddr, Quoted};

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    pub(super) fn receive_arp(&mut self, bytes: &[u8]) {
        let arp = match ArpRepr::parse(bytes) {
            Ok(arp) => arp,
            Err(malformed) => return self.counters.count_malformed(malformed),
        };
        self.hear_claims(&arp);
        let sender = Address::v4(arp.sender_ip);
        let interface = &self.link.interface;
        let for_us = interface.owns(Address::v4(arp.target_ip));
        // RFC 5227 §2.1.1: a probe comes from nobody yet, and is answered all the same.
        let is_probe = arp.sender_ip.is_unspecified();
        if !is_probe && (!interface.is_plausible_source(sender) || !interface.is_on_link(sender)) {
            self.counters.rx_bad_source += 1;
            return;
        }
        if !is_probe {
            let heard = match arp.operation {
                ArpOperation::Reply if for_us => Heard::Reply,
                ArpOperation::Request if for_us => Heard::Request,
                ArpOperation::Reply | ArpOperation::Request => Heard::Announcement,
            };
            self.learn(sender, arp.sender_mac, heard);
        }
        if for_us && arp.operation == ArpOperation::Request {
            let to = (arp.sender_mac, arp.sender_ip);
            let sent = self.link.send_arp(&mut self.counters, to.0, ArpOperation::Reply, to, arp.target_ip);
            if sent.is_err() {
                self.counters.tx_suppressed += 1;
            }
        }
    }

    /// Takes note of a neighbour's address, and sends what has waited for it.
    pub(super) fn learn(&mut self, address: Address, mac: MacAddr, heard: Heard) {
        let waiting = self.link.neighbors.learn(self.now, address, mac, heard);
        self.link.forget_last_hop();
        for frame in waiting {
            self.link.send_resolved(&mut self.counters, mac, frame);
        }
        if heard == Heard::Reply {
            // Whoever does not ask for them leaves no room for more, and misses nothing.
            let _ = self.learnt.try_push((address.into(), mac));
        }
    }

    /// Asks for the neighbours that packets wait for, and gives up those that don't answer.
    #[inline]
    pub(super) fn run_neighbors(&mut self) {
        while let Some(action) = self.link.neighbors.poll(self.now) {
            match action {
                NeighborAction::Probe { ip, mac } => self.probe(ip, mac),
                NeighborAction::Unreachable { ip, packets } => {
                    self.avoid_router(ip);
                    self.give_up(packets);
                }
            }
            self.link.forget_last_hop();
        }
    }

    fn probe(&mut self, address: Address, mac: Option<MacAddr>) {
        let Some(path) = self.link.interface.path(address) else { return };
        let (Some(target), Some(own)) = (address.as_v4(), path.source.as_v4()) else {
            return self.solicit(address.to_v6(), path.source.to_v6(), mac);
        };
        let to = mac.unwrap_or(MacAddr::BROADCAST);
        let target = (mac.unwrap_or(MacAddr::ZERO), target);
        if self.link.send_arp(&mut self.counters, to, ArpOperation::Request, target, own).is_err() {
            self.counters.tx_suppressed += 1;
        }
    }

    /// Packets that can't be delivered: their sockets learn it as if a router had told (RFC 1122 §2.4).
    fn give_up(&mut self, packets: VecDeque<I::Buf>) {
        for frame in packets {
            self.counters.tx_unreachable += 1;
            let bytes = frame.bytes();
            match EthernetRepr::parse(bytes) {
                Ok((EthernetRepr { ethertype: EtherType::IPV6, .. }, offset)) => {
                    self.undeliverable(Quoted::parse_v6(&bytes[offset..]), Failure::Unreachable);
                }
                Ok((_, offset)) => {
                    self.undeliverable(Quoted::parse_v4(&bytes[offset..]), Failure::Unreachable);
                }
                Err(_) => {}
            }
        }
    }
}
