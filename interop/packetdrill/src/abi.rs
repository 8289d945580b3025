//! The interface through which packetdrill drives a stack in user space: a table of functions that the stack's
//! library fills in.
//!
//! Declared here from its description, in our own words. Each function takes the table's `userdata` first, and
//! else means what the system call of its name does: -1 and `errno` tell of failure.

use std::ffi::{c_char, c_int, c_long, c_longlong, c_uint, c_ulong, c_void};
use std::mem::{offset_of, size_of};

use libc::{
    epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, size_t, sockaddr, socklen_t, ssize_t, timeval,
};

type User = *mut c_void;
type Buf = *mut c_void;
type ConstBuf = *const c_void;

/// What packetdrill asks the library to fill in.
///
/// `fcntl` and `ioctl` are variadic in C. Here they take the one further argument that packetdrill passes; the
/// calling conventions of Linux on x86-64 and AArch64 put it in the same register either way.
#[repr(C)]
#[expect(missing_docs, reason = "the system calls' own names")]
pub struct Interface {
    /// Passed as the first argument of every function.
    pub userdata: User,
    /// Ends the use of `userdata`.
    pub free: extern "C" fn(User),
    pub socket: extern "C" fn(User, c_int, c_int, c_int) -> c_int,
    pub bind: extern "C" fn(User, c_int, *const sockaddr, socklen_t) -> c_int,
    pub listen: extern "C" fn(User, c_int, c_int) -> c_int,
    pub accept: extern "C" fn(User, c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    pub connect: extern "C" fn(User, c_int, *const sockaddr, socklen_t) -> c_int,
    pub read: extern "C" fn(User, c_int, Buf, size_t) -> ssize_t,
    pub readv: extern "C" fn(User, c_int, *const iovec, c_int) -> ssize_t,
    pub recv: extern "C" fn(User, c_int, Buf, size_t, c_int) -> ssize_t,
    pub recvfrom: extern "C" fn(User, c_int, Buf, size_t, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t,
    pub recvmsg: extern "C" fn(User, c_int, *mut msghdr, c_int) -> ssize_t,
    pub write: extern "C" fn(User, c_int, ConstBuf, size_t) -> ssize_t,
    pub writev: extern "C" fn(User, c_int, *const iovec, c_int) -> ssize_t,
    pub send: extern "C" fn(User, c_int, ConstBuf, size_t, c_int) -> ssize_t,
    pub sendto: extern "C" fn(User, c_int, ConstBuf, size_t, c_int, *const sockaddr, socklen_t) -> ssize_t,
    pub sendmsg: extern "C" fn(User, c_int, *const msghdr, c_int) -> ssize_t,
    pub fcntl: extern "C" fn(User, c_int, c_int, c_long) -> c_int,
    pub ioctl: extern "C" fn(User, c_int, c_ulong, *mut c_int) -> c_int,
    pub close: extern "C" fn(User, c_int) -> c_int,
    pub shutdown: extern "C" fn(User, c_int, c_int) -> c_int,
    pub getsockopt: extern "C" fn(User, c_int, c_int, c_int, Buf, *mut socklen_t) -> c_int,
    pub setsockopt: extern "C" fn(User, c_int, c_int, c_int, ConstBuf, socklen_t) -> c_int,
    pub poll: extern "C" fn(User, *mut pollfd, nfds_t, c_int) -> c_int,
    /// An IP packet arrives at the stack.
    pub netdev_send: extern "C" fn(User, ConstBuf, size_t) -> c_int,
    /// Waits for the next IP packet that the stack sends: its bytes, their count (the buffer's size on entry), and
    /// when it left, in microseconds.
    pub netdev_receive: extern "C" fn(User, Buf, *mut size_t, *mut c_longlong) -> c_int,
    pub usleep: extern "C" fn(User, c_uint) -> c_int,
    pub gettimeofday: extern "C" fn(User, *mut timeval, *mut c_void) -> c_int,
    pub epoll_create: extern "C" fn(User, c_int) -> c_int,
    pub epoll_ctl: extern "C" fn(User, c_int, c_int, c_int, *mut epoll_event) -> c_int,
    pub epoll_wait: extern "C" fn(User, c_int, *mut epoll_event, c_int, c_int) -> c_int,
    pub pipe: extern "C" fn(User, *mut c_int) -> c_int,
    pub splice: extern "C" fn(User, c_int, *mut loff_t, c_int, *mut loff_t, size_t, c_uint) -> ssize_t,
}

/// The function that packetdrill looks up in the library: the value of its `--so_flags`, or null, and the table to
/// fill in.
pub type Init = unsafe extern "C" fn(*const c_char, *mut Interface);

// The table as packetdrill reads it: 33 pointers in this order.
const POINTER: usize = size_of::<usize>();
const _: () = assert!(size_of::<Interface>() == 33 * POINTER);
const _: () = assert!(offset_of!(Interface, userdata) == 0);
const _: () = assert!(offset_of!(Interface, socket) == 2 * POINTER);
const _: () = assert!(offset_of!(Interface, read) == 7 * POINTER);
const _: () = assert!(offset_of!(Interface, write) == 12 * POINTER);
const _: () = assert!(offset_of!(Interface, fcntl) == 17 * POINTER);
const _: () = assert!(offset_of!(Interface, poll) == 23 * POINTER);
const _: () = assert!(offset_of!(Interface, netdev_send) == 24 * POINTER);
const _: () = assert!(offset_of!(Interface, netdev_receive) == 25 * POINTER);
const _: () = assert!(offset_of!(Interface, gettimeofday) == 27 * POINTER);
const _: () = assert!(offset_of!(Interface, epoll_create) == 28 * POINTER);
const _: () = assert!(offset_of!(Interface, splice) == 32 * POINTER);
