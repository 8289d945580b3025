//! The functions that packetdrill calls: C's side of every call.

use std::ffi::{CStr, c_char, c_int, c_long, c_longlong, c_uint, c_ulong, c_void};
use std::ptr::null_mut;

use libc::{
    epoll_event, iovec, loff_t, msghdr, nfds_t, off_t, pollfd, size_t, sockaddr, socklen_t, ssize_t, timeval,
};
use netlane_core::Duration;

use crate::abi::Interface;
use crate::errno::Errno;
use crate::session::{Session, Stop};
use crate::settings::Settings;
use crate::socket::stream::Progress;
use crate::world::complain;
use crate::{address, interpose, memory};

/// Fills in packetdrill's table.
///
/// # Safety
/// `flags` is null or a C string, and `interface` points to a table that is to be filled in.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, interface: *mut Interface) {
    let flags = if flags.is_null() {
        String::new()
    } else {
        // SAFETY: the caller gives a C string.
        unsafe { CStr::from_ptr(flags) }.to_string_lossy().into_owned()
    };
    let settings = Settings::parse(&flags).unwrap_or_else(|error| {
        complain(&format!("--so_flags: {error}"));
        std::process::exit(2);
    });
    let session = Box::into_raw(Box::new(Session::new(settings)));
    interpose::answer_for(session);
    // SAFETY: the caller gives a place for the table.
    unsafe { interface.write(table(session)) };
}

fn table(session: *mut Session) -> Interface {
    Interface {
        userdata: session.cast(),
        free,
        socket,
        bind,
        listen,
        accept,
        connect,
        read,
        readv,
        recv,
        recvfrom,
        recvmsg,
        write,
        writev,
        send,
        sendto,
        sendmsg,
        fcntl,
        ioctl,
        close,
        shutdown,
        getsockopt,
        setsockopt,
        poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl,
        epoll_wait,
        pipe,
        splice,
    }
}

/// The session behind `userdata`.
fn session<'a>(user: *mut c_void) -> &'a Session {
    // SAFETY: packetdrill passes what `packetdrill_interface_init` has put in the table, until it calls `free`.
    unsafe { &*user.cast::<Session>() }
}

/// What C is told of an outcome: -1 and `errno` where it failed.
fn tell<T: TryFrom<i64>>(outcome: Result<i64, Errno>) -> T
where
    T::Error: std::fmt::Debug,
{
    let value = outcome.unwrap_or_else(|errno| {
        errno.set();
        -1
    });
    T::try_from(value).expect("counts are bounded by the calls' own")
}

/// A call without a result.
fn done(outcome: Result<(), Errno>) -> c_int {
    tell(outcome.map(|()| 0))
}

extern "C" fn free(user: *mut c_void) {
    interpose::answer_for(null_mut());
    // SAFETY: the table is not used any more, and its `userdata` came from a box.
    let session = unsafe { Box::from_raw(user.cast::<Session>()) };
    session.let_go();
}

extern "C" fn socket(user: *mut c_void, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    tell(session(user).call(|world| Ok(world.open(domain, kind, protocol)?)).map(i64::from))
}

extern "C" fn bind(user: *mut c_void, fd: c_int, to: *const sockaddr, len: socklen_t) -> c_int {
    done(address::read(to, len).and_then(|to| session(user).call(|world| Ok(world.bind(fd, to)?))))
}

extern "C" fn listen(user: *mut c_void, fd: c_int, backlog: c_int) -> c_int {
    done(session(user).call(|world| Ok(world.listen(fd, backlog)?)))
}

extern "C" fn accept(user: *mut c_void, fd: c_int, peer: *mut sockaddr, len: *mut socklen_t) -> c_int {
    let outcome = session(user).call(|world| {
        let (accepted, from) = world.accept(fd)?;
        address::write(from, world.socket(accepted)?.domain, peer, len)?;
        Ok(i64::from(accepted))
    });
    tell(outcome)
}

extern "C" fn connect(user: *mut c_void, fd: c_int, to: *const sockaddr, len: socklen_t) -> c_int {
    let mut begun = false;
    done(address::read(to, len).and_then(|to| session(user).call(|world| world.connect(fd, to, &mut begun))))
}

extern "C" fn read(user: *mut c_void, fd: c_int, to: *mut c_void, len: size_t) -> ssize_t {
    recv(user, fd, to, len, 0)
}

extern "C" fn recv(user: *mut c_void, fd: c_int, to: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
    recvfrom(user, fd, to, len, flags, null_mut(), null_mut())
}

extern "C" fn recvfrom(
    user: *mut c_void,
    fd: c_int,
    to: *mut c_void,
    len: size_t,
    flags: c_int,
    from: *mut sockaddr,
    from_len: *mut socklen_t,
) -> ssize_t {
    let pieces = [iovec { iov_base: to, iov_len: len }];
    tell(receive(user, fd, &pieces, flags, from, from_len))
}

extern "C" fn readv(user: *mut c_void, fd: c_int, vector: *const iovec, count: c_int) -> ssize_t {
    let outcome = count_of(count).and_then(|count| memory::pieces(vector, count));
    tell(outcome.and_then(|pieces| receive(user, fd, &pieces, 0, null_mut(), null_mut())))
}

extern "C" fn recvmsg(user: *mut c_void, fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    let outcome = memory::read_value(message.cast_const()).and_then(|mut header| {
        let pieces = memory::pieces(header.msg_iov, header.msg_iovlen)?;
        let len = &raw mut header.msg_namelen;
        let received = receive(user, fd, &pieces, flags, header.msg_name.cast(), len)?;
        header.msg_flags = 0;
        let told = session(user).call(|world| Ok(world.control_messages(fd)?))?;
        if told.len() > header.msg_controllen {
            header.msg_flags = libc::MSG_CTRUNC;
        } else {
            memory::write(header.msg_control, &told)?;
            header.msg_controllen = told.len();
        }
        memory::write(message.cast(), &memory::bytes_of(&header))?;
        Ok(received)
    });
    tell(outcome)
}

fn receive(
    user: *mut c_void,
    fd: c_int,
    pieces: &[iovec],
    flags: c_int,
    from: *mut sockaddr,
    from_len: *mut socklen_t,
) -> Result<i64, Errno> {
    // What is taken from a socket must not be lost to a wrong address.
    pieces.iter().try_for_each(memory::probe)?;
    session(user).call(|world| {
        let (bytes, sender) = world.receive(fd, memory::room(pieces), flags)?;
        if flags & libc::MSG_TRUNC == 0 {
            memory::scatter(&bytes, pieces)?;
        }
        if let Some(sender) = sender {
            address::write(sender, world.socket(fd)?.domain, from, from_len)?;
        }
        Ok(bytes.len() as i64)
    })
}

extern "C" fn write(user: *mut c_void, fd: c_int, from: *const c_void, len: size_t) -> ssize_t {
    send(user, fd, from, len, 0)
}

extern "C" fn send(user: *mut c_void, fd: c_int, from: *const c_void, len: size_t, flags: c_int) -> ssize_t {
    sendto(user, fd, from, len, flags, std::ptr::null(), 0)
}

extern "C" fn sendto(
    user: *mut c_void,
    fd: c_int,
    from: *const c_void,
    len: size_t,
    flags: c_int,
    to: *const sockaddr,
    to_len: socklen_t,
) -> ssize_t {
    let pieces = [iovec { iov_base: from.cast_mut(), iov_len: len }];
    tell(transmit(user, fd, &pieces, flags, to, to_len))
}

extern "C" fn writev(user: *mut c_void, fd: c_int, vector: *const iovec, count: c_int) -> ssize_t {
    let outcome = count_of(count).and_then(|count| memory::pieces(vector, count));
    tell(outcome.and_then(|pieces| transmit(user, fd, &pieces, 0, std::ptr::null(), 0)))
}

extern "C" fn sendmsg(user: *mut c_void, fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    let outcome = memory::read_value(message).and_then(|header| {
        if header.msg_controllen > 0 {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        let pieces = memory::pieces(header.msg_iov, header.msg_iovlen)?;
        transmit(user, fd, &pieces, flags, header.msg_name.cast(), header.msg_namelen)
    });
    tell(outcome)
}

fn transmit(
    user: *mut c_void,
    fd: c_int,
    pieces: &[iovec],
    flags: c_int,
    to: *const sockaddr,
    to_len: socklen_t,
) -> Result<i64, Errno> {
    let to = if to.is_null() { None } else { address::read(to, to_len)? };
    let bytes = memory::gather(pieces)?;
    let mut progress = Progress::default();
    let sent = session(user).call(|world| world.send(fd, &bytes, flags, to, &mut progress))?;
    Ok(sent as i64)
}

extern "C" fn fcntl(user: *mut c_void, fd: c_int, command: c_int, argument: c_long) -> c_int {
    let outcome = session(user).call(|world| {
        let descriptor = world.descriptors.get_mut(&fd).ok_or(Errno(libc::EBADF))?;
        match command {
            libc::F_GETFL if descriptor.nonblocking => Ok(libc::O_RDWR | libc::O_NONBLOCK),
            libc::F_GETFL => Ok(libc::O_RDWR),
            libc::F_SETFL => {
                descriptor.nonblocking = argument & c_long::from(libc::O_NONBLOCK) != 0;
                Ok(0)
            }
            libc::F_GETFD | libc::F_SETFD => Ok(0),
            _ => Err(Errno(libc::EINVAL).into()),
        }
    });
    tell(outcome.map(i64::from))
}

extern "C" fn ioctl(user: *mut c_void, fd: c_int, request: c_ulong, value: *mut c_int) -> c_int {
    let outcome = session(user).call(|world| match request {
        libc::FIONREAD => Ok(memory::write(value.cast(), &world.unread(fd)?.to_ne_bytes())?),
        libc::FIONBIO => {
            let nonblocking = memory::read_value(value.cast_const())? != 0;
            world.descriptors.get_mut(&fd).ok_or(Errno(libc::EBADF))?.nonblocking = nonblocking;
            Ok(())
        }
        _ => Err(Errno(libc::ENOTTY).into()),
    });
    done(outcome)
}

extern "C" fn close(user: *mut c_void, fd: c_int) -> c_int {
    done(session(user).call(|world| Ok(world.close(fd)?)))
}

extern "C" fn shutdown(user: *mut c_void, fd: c_int, how: c_int) -> c_int {
    done(session(user).call(|world| Ok(world.shut_down(fd, how)?)))
}

pub(crate) extern "C" fn getsockopt(
    user: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    to: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    let outcome = session(user).call(|world| {
        let value = world.option(fd, level, name)?;
        let room = memory::read_value(len.cast_const())? as usize;
        let told = value.len().min(room);
        memory::write(to, &value[..told])?;
        Ok(memory::write(len.cast(), &(told as socklen_t).to_ne_bytes())?)
    });
    done(outcome)
}

extern "C" fn setsockopt(
    user: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    from: *const c_void,
    len: socklen_t,
) -> c_int {
    let value = memory::read_vec(from, len as usize);
    done(value.and_then(|value| session(user).call(|world| Ok(world.set_option(fd, level, name, &value)?))))
}

extern "C" fn poll(user: *mut c_void, fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    let outcome = session(user).call(|world| {
        let mut ready = 0;
        for i in 0..count as usize {
            let place = fds.wrapping_add(i);
            let mut entry = memory::read_value(place.cast_const())?;
            let always = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
            entry.revents =
                if entry.fd < 0 { 0 } else { world.readiness(entry.fd) & (entry.events | always) };
            ready += i64::from(entry.revents != 0);
            memory::write(place.cast(), &memory::bytes_of(&entry))?;
        }
        if ready > 0 {
            return Ok(ready);
        }
        match world.timeout(timeout).stop(world, 0) {
            Stop::Error(_) => Ok(0),
            wait @ Stop::Wait(_) => Err(wait),
        }
    });
    tell(outcome)
}

extern "C" fn netdev_send(user: *mut c_void, packet: *const c_void, len: size_t) -> c_int {
    done(memory::read_vec(packet, len).map(|packet| session(user).deliver(&packet)))
}

extern "C" fn netdev_receive(
    user: *mut c_void,
    to: *mut c_void,
    len: *mut size_t,
    micros: *mut c_longlong,
) -> c_int {
    // A packet of no bytes is one that packetdrill refuses, and so ends the script.
    let (at, packet) = session(user).next_sent().unwrap_or((session(user).time(), Vec::new()));
    let outcome = memory::read_value(len.cast_const()).and_then(|room| {
        let told = packet.len().min(room);
        memory::write(to, &packet[..told])?;
        memory::write(len.cast(), &told.to_ne_bytes())?;
        memory::write(micros.cast(), &(at.as_micros() as c_longlong).to_ne_bytes())
    });
    done(outcome)
}

extern "C" fn usleep(user: *mut c_void, micros: c_uint) -> c_int {
    session(user).pass(Duration::from_micros(micros.into()));
    0
}

extern "C" fn gettimeofday(user: *mut c_void, to: *mut timeval, _zone: *mut c_void) -> c_int {
    let micros = session(user).time().as_micros() as i64;
    let time = timeval { tv_sec: micros / 1_000_000, tv_usec: micros % 1_000_000 };
    done(memory::write(to.cast(), &memory::bytes_of(&time)))
}

extern "C" fn epoll_create(user: *mut c_void, size: c_int) -> c_int {
    if size <= 0 {
        return done(Err(Errno(libc::EINVAL)));
    }
    tell(session(user).call(|world| Ok(world.create_epoll()?)).map(i64::from))
}

extern "C" fn epoll_ctl(
    user: *mut c_void,
    epfd: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    let event = memory::read_value(event.cast_const()).ok();
    done(session(user).call(|world| Ok(world.control_epoll(epfd, operation, fd, event)?)))
}

extern "C" fn epoll_wait(
    user: *mut c_void,
    epfd: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    let outcome = session(user).call(|world| {
        let most = usize::try_from(most).ok().filter(|&most| most > 0).ok_or(Errno(libc::EINVAL))?;
        let told = world.wait_epoll(epfd, most, timeout)?;
        for (i, event) in told.iter().enumerate() {
            memory::write(events.wrapping_add(i).cast(), &memory::bytes_of(event))?;
        }
        Ok(told.len() as i64)
    });
    tell(outcome)
}

extern "C" fn pipe(_user: *mut c_void, ends: *mut c_int) -> c_int {
    let mut opened = [0; 2];
    // SAFETY: there is room for two.
    if unsafe { libc::pipe(opened.as_mut_ptr()) } < 0 {
        return -1;
    }
    done(memory::write(ends.cast(), &memory::bytes_of(&opened)))
}

/// sendfile(2), from a file into one of our sockets.
pub(crate) fn sendfile(
    user: *mut c_void,
    out: c_int,
    file: c_int,
    offset: *mut off_t,
    count: size_t,
) -> ssize_t {
    let outcome = (|| {
        let from = if offset.is_null() { None } else { Some(memory::read_value(offset.cast_const())?) };
        let bytes = memory::read_file(file, from, count)?;
        let pieces = [iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }];
        let sent = transmit(user, out, &pieces, 0, std::ptr::null(), 0)?;
        if let Some(from) = from {
            memory::write(offset.cast(), &(from + sent).to_ne_bytes())?;
        }
        Ok(sent)
    })();
    tell(outcome)
}

/// splice(2), between a pipe of the kernel's and one of our sockets.
extern "C" fn splice(
    user: *mut c_void,
    from: c_int,
    _from_at: *mut loff_t,
    to: c_int,
    _to_at: *mut loff_t,
    len: size_t,
    _flags: c_uint,
) -> ssize_t {
    let outcome = if session(user).owns(from) {
        session(user)
            .call(|world| Ok(world.receive(from, len.min(PIPE), 0)?.0))
            .and_then(|bytes| memory::write_file(to, &bytes))
    } else {
        memory::read_file(from, None, len.min(PIPE)).and_then(|bytes| {
            let pieces = [iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }];
            transmit(user, to, &pieces, 0, std::ptr::null(), 0)
        })
    };
    tell(outcome)
}

/// Bytes that a pipe holds: pipe(7).
const PIPE: usize = 65_536;

fn count_of(count: c_int) -> Result<usize, Errno> {
    usize::try_from(count).map_err(|_| Errno(libc::EINVAL))
}
