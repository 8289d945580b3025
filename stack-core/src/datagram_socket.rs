//! A socket for datagrams: UDP, or ICMP echo.

use alloc::boxed::Box;

use crate::address::Address;
use crate::buffers::Buffers;
use crate::datagram::DatagramHeader;
use crate::multicast::joined::JoinedGroups;
use crate::multicast::memberships;
use crate::socket::SocketError;
use crate::stack::{Fragmentation, Suited};
use crate::tcp::Endpoint;
use crate::wire::Protocol;

/// A socket whose buffers hold records: a [`DatagramHeader`] and the payload that it announces.
pub(crate) struct DatagramSocket<B: Buffers> {
    /// UDP, or ICMP of either version for echo, where the identifier takes the port's place.
    pub(crate) protocol: Protocol,
    pub(crate) local: Endpoint,
    /// The only end that datagrams are taken from, where the user has chosen one.
    pub(crate) peer: Option<Endpoint>,
    /// Who may cut datagrams that are larger than their path carries.
    pub(crate) fragmentation: Fragmentation,
    /// What it has to do with groups, where it has anything.
    pub(crate) groups: Option<Box<GroupOptions>>,
    /// How many bytes of the oldest record's payload have left, where it is that of several datagrams.
    pub(crate) sent: u16,
    /// It takes datagrams that have arrived joined as they are.
    pub(crate) takes_joined: bool,
    pub(crate) send: B::Send,
    pub(crate) receive: B::Receive,
    pub(crate) error: Option<SocketError>,
}

/// What a socket has to do with multicast groups.
#[derive(Debug, Default)]
pub(crate) struct GroupOptions {
    /// Those that it hears.
    pub(crate) joined: JoinedGroups,
    /// What becomes of its datagrams to groups of IPv4, and of IPv6.
    pub(crate) v4: GroupSending,
    pub(crate) v6: GroupSending,
}

/// What becomes of datagrams to groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupSending {
    /// How many routers they may pass.
    pub(crate) hops: u8,
    /// They reach our own members too.
    pub(crate) looped: bool,
}

impl Default for GroupSending {
    fn default() -> Self {
        // RFC 1112 §6.1, RFC 3493 §5.2.
        Self { hops: 1, looped: true }
    }
}

/// The socket's receive buffer has no room for the datagram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl<B: Buffers> DatagramSocket<B> {
    /// Whether datagrams from `remote` are wanted, and from nobody else.
    pub(crate) fn suits(&self, remote: Endpoint) -> Suited {
        match self.peer {
            None => Suited::Any,
            Some(peer) if peer.address == remote.address && (peer.port == remote.port || self.is_echo()) => {
                Suited::Own
            }
            Some(_) => Suited::Not,
        }
    }

    /// Whether datagrams from `source` to `group` are wanted: groups have to be joined, but for those that everybody is in.
    pub(crate) fn hears(&self, group: Address, source: Address) -> bool {
        let joined = |groups: &GroupOptions| groups.joined.hears(group.into(), source.into());
        memberships::is_everybodys(group.into()) || self.groups.as_deref().is_some_and(joined)
    }

    /// What becomes of datagrams to `group`.
    pub(crate) fn sending_to(&self, group: Address) -> GroupSending {
        let sending = |groups: &GroupOptions| if group.is_v4() { groups.v4 } else { groups.v6 };
        self.groups.as_deref().map_or(GroupSending::default(), sending)
    }

    /// Whether it sends echo requests, and no datagrams.
    pub(crate) fn is_echo(&self) -> bool {
        self.protocol != Protocol::UDP
    }

    /// Stores a datagram, given in two pieces, as one record.
    pub(crate) fn store(
        &mut self,
        buffers: &mut B,
        header: &DatagramHeader,
        payload: [&[u8]; 2],
    ) -> Result<(), NoRoom> {
        let mut head = [0; DatagramHeader::LEN];
        header.emit(&mut head);
        let mut end = 0;
        for piece in [&head[..], payload[0], payload[1]] {
            if buffers.store(&mut self.receive, end, piece) != piece.len() {
                return Err(NoRoom);
            }
            end += piece.len();
        }
        buffers.commit(&mut self.receive, end);
        Ok(())
    }

    /// The oldest record that waits to be sent. A buffer that does not begin with a whole record was not
    /// written by an honest user, and is emptied.
    pub(crate) fn next_record(&mut self, buffers: &mut B) -> Option<DatagramHeader> {
        let queued = buffers.queued(&self.send);
        if queued == 0 {
            return None;
        }
        let mut head = [0; DatagramHeader::LEN];
        let header = (queued >= DatagramHeader::LEN).then(|| {
            buffers.copy_queued(&self.send, 0, &mut head);
            DatagramHeader::parse(&head)
        });
        let whole = |header: &DatagramHeader| DatagramHeader::LEN + usize::from(header.payload_len) <= queued;
        let record = header.flatten().filter(whole);
        if record.is_none() {
            buffers.release(&mut self.send, queued);
        }
        record
    }

    /// Lets go of the oldest record.
    pub(crate) fn release(&mut self, buffers: &mut B, record: &DatagramHeader) {
        self.sent = 0;
        buffers.release(&mut self.send, DatagramHeader::LEN + usize::from(record.payload_len));
    }
}
