//! Addresses and routes that come and go while the stack runs.

use alloc::vec::Vec;
use core::net::IpAddr;

use ipnet::IpNet;
use netlane_packet_io::PacketIo;

use super::Stack;
use super::socket_table::Kind;
use crate::address::Address;
use crate::buffers::Buffers;
use crate::config::Route;
use crate::route::NotAdded;
use crate::socket::{Readiness, SocketError, SocketId};
use crate::tcp::Decision;
use crate::tcp::connection::State;
use crate::wire::TcpOptions;

/// Why an address was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// The stack has it already.
    Exists,
    /// It is no host's: a group, everybody, or nobody.
    NotHost,
    /// The table of routes, where its subnet takes a place, is full: raise [`Limits::routes`](crate::Limits::routes).
    TableFull,
}

/// Why a route was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// It is there already.
    Exists,
    /// Its gateway is in none of the stack's subnets.
    Unreachable,
    /// The table of routes is full: raise [`Limits::routes`](crate::Limits::routes).
    TableFull,
}

impl core::fmt::Display for AddressError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Exists => "the stack has the address already",
            Self::NotHost => "the address is no host's",
            Self::TableFull => "the table of routes is full",
        })
    }
}

impl core::fmt::Display for RouteError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Exists => "the route is there already",
            Self::Unreachable => "the gateway is in none of the stack's subnets",
            Self::TableFull => "the table of routes is full",
        })
    }
}

impl core::error::Error for AddressError {}
impl core::error::Error for RouteError {}

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// Gives the stack one more address, and the way to its subnet. One of IPv6 is tentative at first: an
    /// [`AddressEvent`](crate::AddressEvent) tells what became of it.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn add_address(&mut self, address: IpNet) -> Result<(), AddressError> {
        if !Address::from(address.addr()).is_host() {
            return Err(AddressError::NotHost);
        }
        if let IpNet::V6(net) = address
            && !net.addr().is_loopback()
        {
            if self.link.interface.owns(net.addr().into()) || self.ipv6.detection.is_tentative(net.addr()) {
                return Err(AddressError::Exists);
            }
            self.want_address(net);
            return Ok(());
        }
        self.link.forget_last_hop();
        self.link.interface.add_address(address).map_err(|not_added| match not_added {
            NotAdded::Exists => AddressError::Exists,
            NotAdded::Full => AddressError::TableFull,
        })
    }

    /// Takes one of the stack's addresses away, and the way to its subnet. Its connections end: their peers are
    /// reset, and their users told [`SocketError::AddressRemoved`], as are those of datagram sockets that are bound
    /// to it. Listeners stay, in case the address comes back. Returns `false` if the stack does not have it.
    ///
    /// This looks at every socket; nothing else does.
    pub fn remove_address(&mut self, address: IpAddr) -> bool {
        let address = Address::from(address);
        if !self.link.interface.owns(address) {
            return false;
        }
        let bound: Vec<SocketId> = self.sockets.table.find_all(|socket| match &socket.kind {
            Kind::Connection(connection) => connection.tuple.local.address == address,
            Kind::Datagram(socket) => socket.local.address == address,
            Kind::Listener(_) => false,
        });
        for id in bound {
            self.lose_address(id);
        }
        self.link.forget_last_hop();
        self.link.interface.remove_address(address)
    }

    /// Adds a route over a gateway in one of the stack's subnets.
    ///
    /// # Errors
    /// [`RouteError`].
    pub fn add_route(&mut self, route: Route) -> Result<(), RouteError> {
        if !self.link.interface.is_on_link(route.via.into()) {
            return Err(RouteError::Unreachable);
        }
        self.link.forget_last_hop();
        self.link.interface.add_route(&route).map_err(|not_added| match not_added {
            NotAdded::Exists => RouteError::Exists,
            NotAdded::Full => RouteError::TableFull,
        })
    }

    /// Removes a route; `false` if there is none like that.
    pub fn remove_route(&mut self, route: &Route) -> bool {
        self.link.forget_last_hop();
        self.link.interface.remove_route(route)
    }

    fn lose_address(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.table.get_mut(id) else { return };
        match &mut socket.kind {
            Kind::Datagram(socket) => {
                socket.error = Some(SocketError::AddressRemoved);
                self.sockets.notify(id, Readiness::ERROR);
            }
            Kind::Connection(connection) => {
                let tuple = connection.tuple;
                if let State::Synchronized(state) = &connection.state {
                    let (seq, ack) = (state.snd.bare_seq(), state.rcv.nxt);
                    self.send_reset(&tuple, seq, Some(ack), &TcpOptions::default());
                }
                self.carry_out(id, Decision::closed(Some(SocketError::AddressRemoved)));
            }
            Kind::Listener(_) => {}
        }
    }
}
