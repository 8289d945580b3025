//! Two of libc's functions, for the calls that packetdrill makes past its table.
//!
//! Its assertions in Python (`%{ }%`) read `TCP_INFO` with libc's `getsockopt`, and its `sendfile` is libc's, whatever
//! stack is under test. Loaded with `LD_PRELOAD`, as the runner does, this library answers them for its own
//! descriptors, and hands all others to the kernel.

use std::ffi::{c_int, c_long, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{off_t, size_t, socklen_t, ssize_t};

use crate::calls;
use crate::session::Session;

/// The session of the script that runs.
static CURRENT: AtomicPtr<Session> = AtomicPtr::new(null_mut());

/// From now on, calls past the table are for this session; null ends that.
pub(crate) fn answer_for(session: *mut Session) {
    CURRENT.store(session, Ordering::Release);
}

/// The session's `userdata`, if the descriptor is its own.
fn user_of(fd: c_int) -> Option<*mut c_void> {
    let session = CURRENT.load(Ordering::Acquire);
    // SAFETY: a session is told here before it is handed out, and taken back before it is freed.
    unsafe { session.as_ref() }.filter(|session| session.owns(fd)).map(|_| session.cast())
}

/// getsockopt(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    to: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    match user_of(fd) {
        Some(user) => calls::getsockopt(user, fd, level, name, to, len),
        // SAFETY: the arguments are the caller's.
        None => unsafe { libc::syscall(libc::SYS_getsockopt, fd, level, name, to, len) as c_int },
    }
}

/// sendfile(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile(out: c_int, file: c_int, offset: *mut off_t, count: size_t) -> ssize_t {
    match user_of(out) {
        Some(user) => calls::sendfile(user, out, file, offset, count),
        // SAFETY: the arguments are the caller's.
        None => unsafe { libc::syscall(libc::SYS_sendfile, out, file, offset, count as c_long) as ssize_t },
    }
}
