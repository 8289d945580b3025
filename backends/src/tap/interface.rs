//! The kernel's end of a TAP device.

use super::TapError;
use super::ioctl::{self, Address};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

/// The kernel's end of a TAP device: an interface with a name, addresses and a state.
///
/// It refers to the interface by name, and holds none of its queues.
#[derive(Debug)]
pub struct TapInterface {
    name: String,
    /// Any socket: the interface belongs to the network namespace in which it was made.
    socket: OwnedFd,
}

impl TapInterface {
    pub(super) fn named(name: String) -> Result<Self, TapError> {
        Ok(Self { name, socket: control_socket(AddressFamily::INET)? })
    }

    /// The interface's name, as the kernel completed it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The interface's index.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn index(&self) -> Result<u32, TapError> {
        let index = name_to_index(&self.socket, &self.name);
        index.map_err(|errno| TapError::from_setting(errno.into(), "find the index", &self.name))
    }

    /// The Ethernet address of the kernel's end.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn mac(&self) -> Result<[u8; 6], TapError> {
        self.done(ioctl::mac(&self.socket, &self.name), "read the Ethernet address")
    }

    /// Gives the kernel's end another Ethernet address. It must not be that of the stack's end.
    ///
    /// # Errors
    /// When this user may not, or the kernel refuses the address.
    pub fn set_mac(&self, mac: [u8; 6]) -> Result<(), TapError> {
        self.done(ioctl::set_mac(&self.socket, &self.name, mac), "set the Ethernet address")
    }

    /// The MTU in bytes.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn mtu(&self) -> Result<usize, TapError> {
        self.done(ioctl::mtu(&self.socket, &self.name), "read the MTU")
    }

    /// Sets the MTU in bytes. The stack's end keeps the one that it was opened with.
    ///
    /// # Errors
    /// When this user may not, or the kernel refuses that MTU.
    pub fn set_mtu(&self, mtu: usize) -> Result<(), TapError> {
        self.done(ioctl::set_mtu(&self.socket, &self.name, mtu), "set the MTU")
    }

    /// Gives the kernel's end an address in a network of `prefix_len` bits, to which the kernel makes a route when
    /// the interface is up. An IPv4 address replaces the one before, an IPv6 address is added.
    ///
    /// # Errors
    /// When this user may not, or the kernel refuses the address.
    pub fn set_address(&self, address: IpAddr, prefix_len: u8) -> Result<(), TapError> {
        let action = "set the address";
        match address {
            IpAddr::V4(address) => self.done(
                ioctl::set_address_v4(&self.socket, &self.name, Address { address, prefix_len }),
                action,
            ),
            IpAddr::V6(address) => {
                let (socket, index) = (control_socket(AddressFamily::INET6)?, self.index()?);
                self.done(ioctl::add_address_v6(&socket, index, Address { address, prefix_len }), action)
            }
        }
    }

    /// Brings the interface up.
    ///
    /// # Errors
    /// When this user may not, or the interface is gone.
    pub fn up(&self) -> Result<(), TapError> {
        self.done(ioctl::set_up(&self.socket, &self.name, true), "change the state")
    }

    /// Takes the interface down.
    ///
    /// # Errors
    /// When this user may not, or the interface is gone.
    pub fn down(&self) -> Result<(), TapError> {
        self.done(ioctl::set_up(&self.socket, &self.name, false), "change the state")
    }

    fn done<T>(&self, result: io::Result<T>, action: &'static str) -> Result<T, TapError> {
        result.map_err(|error| TapError::from_setting(error, action, &self.name))
    }
}

/// Whether there is an interface of this name.
pub(super) fn exists(name: &str) -> bool {
    control_socket(AddressFamily::INET).is_ok_and(|socket| name_to_index(socket, name).is_ok())
}

/// Refuses what the kernel would refuse or cut off (`dev_valid_name` in `net/core/dev.c`).
pub(super) fn check_name(name: &str) -> Result<(), TapError> {
    let legal = |byte: u8| byte != b'/' && byte != b':' && byte != 0 && !byte.is_ascii_whitespace();
    let valid =
        (1..libc::IFNAMSIZ).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(legal);
    if valid { Ok(()) } else { Err(TapError::Name { name: name.to_owned() }) }
}

fn control_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}
