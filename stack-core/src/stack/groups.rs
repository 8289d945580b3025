//! Multicast groups: joined and left by sockets, and reported to routers (RFC 1112, RFC 3376).

use core::net::{IpAddr, Ipv4Addr};

use netlane_packet_io::PacketIo;

use super::Stack;
use super::ingress::Incoming;
use crate::address::Address;
use crate::buffers::Buffers;
use crate::datagram_socket::GroupOptions;
use crate::igmp::{GroupReport, TooManyGroups};
use crate::socket::SocketId;
use crate::wire::igmp::{self, ALL_ROUTERS, ALL_V3_ROUTERS, IgmpRepr};

/// Why a socket did not join or leave a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupError {
    /// The handle names no such socket.
    Stale,
    /// The address is no group of a family that the socket speaks.
    NotGroup,
    /// The socket is a member already.
    Joined,
    /// The socket is not a member.
    NotJoined,
    /// The stack, or the socket, is in too many groups: raise [`Limits::groups`](crate::Limits::groups).
    TooMany,
}

impl core::fmt::Display for GroupError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Stale => "the handle names no such socket",
            Self::NotGroup => "the address is no group",
            Self::Joined => "the socket is in the group already",
            Self::NotJoined => "the socket is not in the group",
            Self::TooMany => "too many groups",
        })
    }
}

impl core::error::Error for GroupError {}

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// Takes datagrams that are sent to `group` on the socket's port, whoever sends them. A socket hears from the groups
    /// that it has joined itself, and from no other.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn udp_join(&mut self, socket: SocketId, group: IpAddr) -> Result<(), GroupError> {
        let group = group_of(group)?;
        let most = self.limits.groups;
        let options = self.group_options(socket)?;
        if options.joined.contains(&group) {
            return Err(GroupError::Joined);
        }
        if options.joined.len() >= most {
            return Err(GroupError::TooMany);
        }
        self.groups.join(self.now, group).map_err(|TooManyGroups| GroupError::TooMany)?;
        self.group_options(socket)?.joined.push(group);
        Ok(())
    }

    /// Takes no more datagrams that are sent to `group`.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn udp_leave(&mut self, socket: SocketId, group: IpAddr) -> Result<(), GroupError> {
        let group = group_of(group)?;
        let joined = &mut self.group_options(socket)?.joined;
        let at = joined.iter().position(|joined| *joined == group).ok_or(GroupError::NotJoined)?;
        joined.swap_remove(at);
        self.groups.leave(self.now, group);
        Ok(())
    }

    /// How many routers a socket's datagrams to groups may pass; 1 unless it is set (RFC 1112 §6.1).
    ///
    /// # Errors
    /// [`GroupError::Stale`].
    pub fn udp_set_multicast_ttl(&mut self, socket: SocketId, ttl: u8) -> Result<(), GroupError> {
        self.group_options(socket)?.ttl = ttl;
        Ok(())
    }

    /// Whether a socket's datagrams to groups reach the stack's own members too; they do unless it is set
    /// (RFC 1112 §6.1).
    ///
    /// # Errors
    /// [`GroupError::Stale`].
    pub fn udp_set_multicast_loop(&mut self, socket: SocketId, looped: bool) -> Result<(), GroupError> {
        self.group_options(socket)?.looped = looped;
        Ok(())
    }

    /// A socket that was in groups is closed.
    pub(super) fn leave_all(&mut self, socket: SocketId) {
        let Some(closed) = self.sockets.table.datagram_mut(socket) else { return };
        let Some(options) = closed.groups.take() else { return };
        for group in options.joined {
            self.groups.leave(self.now, group);
        }
    }

    pub(super) fn receive_igmp(&mut self, incoming: &Incoming<'_>) {
        match IgmpRepr::parse(incoming.payload) {
            Ok(IgmpRepr::Query { version, max_response, group }) => {
                self.groups.asked(self.now, version, group, max_response);
            }
            // RFC 2236 §2.4: a report goes to the group that it is about.
            Ok(IgmpRepr::Report { group }) if incoming.destination == Address::v4(group) => {
                self.groups.heard_report(self.now, group);
            }
            Ok(IgmpRepr::Report { .. }) => self.counters.rx_other_address += 1,
            Err(malformed) => self.counters.count_malformed(malformed),
        }
    }

    /// Tells routers of the groups that we have joined or left, or that they have asked for.
    #[inline]
    pub(super) fn run_groups(&mut self) {
        while let Some(report) = self.groups.poll(self.now) {
            let sent = match report {
                GroupReport::Records(records) => {
                    let len = igmp::report_len(records.len());
                    self.link.send_igmp(&mut self.counters, ALL_V3_ROUTERS, len, |out| {
                        igmp::emit_report(&records, out);
                    })
                }
                GroupReport::Old(version, group) => {
                    self.send_old_igmp(group, igmp::old_report(version, group))
                }
                GroupReport::Leave(group) => self.send_old_igmp(ALL_ROUTERS, igmp::leave(group)),
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

    fn group_options(&mut self, socket: SocketId) -> Result<&mut GroupOptions, GroupError> {
        let socket = self.sockets.table.user_datagram_mut(socket).ok_or(GroupError::Stale)?;
        Ok(socket.groups.get_or_insert_default())
    }
}

fn group_of(address: IpAddr) -> Result<Ipv4Addr, GroupError> {
    match address {
        IpAddr::V4(group) if group.is_multicast() => Ok(group),
        IpAddr::V4(_) | IpAddr::V6(_) => Err(GroupError::NotGroup),
    }
}
