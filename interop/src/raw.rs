//! Frames by hand at the kernel's end.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{recv, send, socket_with};

use crate::wire::DEVICE;

/// A socket that sends any frame to netlane, and sees all that netlane sends (packet(7)).
#[derive(Debug)]
pub struct RawSocket {
    socket: OwnedFd,
}

impl RawSocket {
    /// Opens a socket on the kernel's end of the device.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn open() -> io::Result<Self> {
        let all = Protocol::from_raw(u32::from(ALL_PROTOCOLS).try_into().expect("not zero"));
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, Some(all))?;
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: ALL_PROTOCOLS,
            sll_ifindex: name_to_index(&socket, DEVICE)? as i32,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let (pointer, len) = ((&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32);
        // SAFETY: the address lives as long as the call, and has that length.
        if unsafe { libc::bind(socket.as_raw_fd(), pointer, len) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { socket })
    }

    /// Sends a frame to netlane.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(&self.socket, frame, SendFlags::empty())?;
        Ok(())
    }

    /// Waits for the next frame, from either end.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn receive(&self) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; 1 << 16];
        let (len, _) = recv(&self.socket, &mut frame, RecvFlags::empty())?;
        frame.truncate(len);
        Ok(frame)
    }
}

/// `ETH_P_ALL`, in network order as everywhere in packet(7).
const ALL_PROTOCOLS: u16 = (libc::ETH_P_ALL as u16).to_be();
