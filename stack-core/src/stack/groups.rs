//! Multicast groups: joined and left by sockets, and reported to routers of IPv4 (RFC 1112, RFC 3376). Those of IPv6 are
//! told of with what else a host of IPv6 has to say.

use core::net::{IpAddr, Ipv4Addr};

use netlane_packet_io::{IpVersion, PacketIo};

use super::Stack;
use super::ingress::Incoming;
use crate::address::Address;
use crate::buffers::Buffers;
use crate::datagram_socket::{GroupOptions, GroupSending};
use crate::multicast::filter::{Filter, MOST_SOURCES};
use crate::multicast::joined::{GroupChange, GroupError, GroupLimits};
use crate::multicast::memberships::{Dialect, GroupReport, TooManyGroups};
use crate::socket::SocketId;
use crate::wire::group_report;
use crate::wire::igmp::{self, ALL_ROUTERS, ALL_V3_ROUTERS, IgmpRepr, IgmpVersion};

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// Takes datagrams that are sent to `group` on the socket's port, whoever sends them. A socket hears from the groups
    /// that it has joined itself, and from no other.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn udp_join(&mut self, socket: SocketId, group: IpAddr) -> Result<(), GroupError> {
        self.udp_change_group(socket, group, GroupChange::Join)
    }

    /// Takes no more datagrams that are sent to `group`.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn udp_leave(&mut self, socket: SocketId, group: IpAddr) -> Result<(), GroupError> {
        self.udp_change_group(socket, group, GroupChange::Leave)
    }

    /// Changes whose datagrams to `group` a socket takes.
    ///
    /// # Errors
    /// [`GroupError`]; nothing is changed then.
    pub fn udp_change_group(
        &mut self,
        socket: SocketId,
        group: IpAddr,
        change: GroupChange,
    ) -> Result<(), GroupError> {
        let group = group.to_canonical();
        let sources = self.limits.group_sources.min(MOST_SOURCES);
        let limits = GroupLimits { groups: self.limits.groups, sources };
        let joined = &mut self.group_options(socket)?.joined;
        let before = joined.filter(group);
        let was = joined.clone();
        joined.change(group, change, limits)?;
        let after = joined.filter(group);
        if let Err(TooManyGroups) = self.listen(socket, group, &before, after) {
            self.group_options(socket)?.joined = was;
            return Err(GroupError::TooMany);
        }
        Ok(())
    }

    /// How many routers a socket's datagrams to groups of one family may pass; 1 unless it is set (RFC 1112 §6.1, RFC 3493
    /// §5.2).
    ///
    /// # Errors
    /// [`GroupError::Stale`].
    pub fn udp_set_multicast_hops(
        &mut self,
        socket: SocketId,
        family: IpVersion,
        hops: u8,
    ) -> Result<(), GroupError> {
        self.group_sending(socket, family)?.hops = hops;
        Ok(())
    }

    /// Whether a socket's datagrams to groups of one family reach the stack's own members too; they do unless it is set
    /// (RFC 1112 §6.1, RFC 3493 §5.2).
    ///
    /// # Errors
    /// [`GroupError::Stale`].
    pub fn udp_set_multicast_loop(
        &mut self,
        socket: SocketId,
        family: IpVersion,
        looped: bool,
    ) -> Result<(), GroupError> {
        self.group_sending(socket, family)?.looped = looped;
        Ok(())
    }

    /// A socket that was in groups is closed.
    pub(super) fn leave_all(&mut self, socket: SocketId) {
        let Some(closed) = self.sockets.table.datagram_mut(socket) else { return };
        let Some(options) = closed.groups.take() else { return };
        for (group, filter) in options.joined.iter() {
            // What is there needs no room.
            let _ = self.listen(socket, *group, filter, Filter::NOBODY);
        }
    }

    pub(super) fn receive_igmp(&mut self, incoming: &Incoming<'_>) {
        match IgmpRepr::parse(incoming.payload) {
            Ok(IgmpRepr::Query { version, max_response, group, sources }) => {
                let dialect = match version {
                    IgmpVersion::V1 => Dialect::Oldest,
                    IgmpVersion::V2 => Dialect::Old,
                    IgmpVersion::V3 => Dialect::Current,
                };
                let sources = sources.iter().map(|source| IpAddr::from(*source));
                self.groups.asked(self.now, dialect, group.into(), sources, max_response);
            }
            // RFC 2236 §2.4: a report goes to the group that it is about.
            Ok(IgmpRepr::Report { group }) if incoming.destination == Address::v4(group) => {
                self.groups.heard_report(self.now, group.into());
            }
            Ok(IgmpRepr::Report { .. }) => self.counters.rx_other_address += 1,
            Err(malformed) => self.counters.count_malformed(malformed),
        }
    }

    /// Tells routers of the groups of IPv4 that we have joined or left, or that they have asked for.
    #[inline]
    pub(super) fn run_groups(&mut self) {
        if self.groups.next_deadline().is_some_and(|at| at <= self.now) {
            self.report_groups();
        }
    }

    #[cold]
    fn report_groups(&mut self) {
        while let Some(report) = self.groups.poll(self.now) {
            let sent = match report {
                GroupReport::Records(records) => {
                    let len = group_report::report_len(&records);
                    self.link.send_igmp(&mut self.counters, ALL_V3_ROUTERS, len, |out| {
                        igmp::emit_report(&records, out);
                    })
                }
                GroupReport::Old(dialect, IpAddr::V4(group)) => {
                    let oldest = dialect == Dialect::Oldest;
                    let version = if oldest { IgmpVersion::V1 } else { IgmpVersion::V2 };
                    self.send_old_igmp(group, igmp::old_report(version, group))
                }
                GroupReport::Leave(IpAddr::V4(group)) => self.send_old_igmp(ALL_ROUTERS, igmp::leave(group)),
                GroupReport::Old(..) | GroupReport::Leave(_) => continue,
            };
            if sent.is_err() {
                self.counters.tx_suppressed += 1;
            }
        }
    }

    fn send_old_igmp(
        &mut self,
        to: Ipv4Addr,
        message: [u8; igmp::OLD_LEN],
    ) -> Result<(), super::link::NotSent> {
        self.link.send_igmp(&mut self.counters, to, message.len(), |out| out.copy_from_slice(&message))
    }

    /// The stack listens to what its sockets want.
    fn listen(
        &mut self,
        socket: SocketId,
        group: IpAddr,
        before: &Filter,
        after: Filter,
    ) -> Result<(), TooManyGroups> {
        let groups = if group.is_ipv4() { &mut self.groups } else { &mut self.ipv6.groups };
        let outcome = groups.refilter(self.now, group, socket, before, after);
        self.ipv6.settle();
        outcome
    }

    fn group_options(&mut self, socket: SocketId) -> Result<&mut GroupOptions, GroupError> {
        let socket = self.sockets.table.user_datagram_mut(socket).ok_or(GroupError::Stale)?;
        Ok(socket.groups.get_or_insert_default())
    }

    fn group_sending(
        &mut self,
        socket: SocketId,
        family: IpVersion,
    ) -> Result<&mut GroupSending, GroupError> {
        let options = self.group_options(socket)?;
        Ok(match family {
            IpVersion::V4 => &mut options.v4,
            IpVersion::V6 => &mut options.v6,
        })
    }
}
