//! epoll(7): level and edge triggered, and one-shot.

use std::collections::BTreeMap;
use std::ffi::c_int;

use libc::epoll_event;

use crate::errno::Errno;
use crate::session::Stop;
use crate::socket::{Owned, Patience};
use crate::world::World;

/// What an epoll descriptor watches.
#[derive(Debug, Default)]
pub(crate) struct Epoll {
    watched: BTreeMap<c_int, Watch>,
}

/// One descriptor, as it was asked to be watched.
#[derive(Clone, Copy, Debug)]
struct Watch {
    events: u32,
    data: u64,
    /// For edge triggering: what the socket had been told of when it was last reported.
    reported: Option<u64>,
}

/// Flags beside the events of a watch.
const FLAGS: u32 = (libc::EPOLLET | libc::EPOLLONESHOT | libc::EPOLLEXCLUSIVE | libc::EPOLLWAKEUP) as u32;
/// Events that are always told.
const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;

impl World {
    /// epoll_create(2)
    pub(crate) fn create_epoll(&mut self) -> Result<c_int, Errno> {
        self.install(Owned::Epoll(Epoll::default()), false)
    }

    /// epoll_ctl(2)
    pub(crate) fn control_epoll(
        &mut self,
        epfd: c_int,
        operation: c_int,
        fd: c_int,
        event: Option<epoll_event>,
    ) -> Result<(), Errno> {
        if !self.descriptors.contains_key(&fd) {
            return Err(Errno(libc::EBADF));
        }
        let watched = &mut self.epoll(epfd)?.watched;
        let watch = || {
            let epoll_event { events, u64: data } = event.ok_or(Errno(libc::EFAULT))?;
            Ok::<Watch, Errno>(Watch { events, data, reported: None })
        };
        match operation {
            libc::EPOLL_CTL_ADD if watched.contains_key(&fd) => return Err(Errno(libc::EEXIST)),
            libc::EPOLL_CTL_ADD => drop(watched.insert(fd, watch()?)),
            libc::EPOLL_CTL_MOD => *watched.get_mut(&fd).ok_or(Errno(libc::ENOENT))? = watch()?,
            libc::EPOLL_CTL_DEL => drop(watched.remove(&fd).ok_or(Errno(libc::ENOENT))?),
            _ => return Err(Errno(libc::EINVAL)),
        }
        Ok(())
    }

    /// epoll_wait(2), with a timeout in milliseconds.
    pub(crate) fn wait_epoll(
        &mut self,
        epfd: c_int,
        most: usize,
        timeout: c_int,
    ) -> Result<Vec<epoll_event>, Stop> {
        let watched: Vec<(c_int, Watch)> =
            self.epoll(epfd)?.watched.iter().map(|(&fd, &watch)| (fd, watch)).collect();
        let mut told = Vec::new();
        for (fd, watch) in watched {
            let events = self.readiness(fd) as u32 & (watch.events & !FLAGS | ALWAYS);
            let news = self.socket(fd).map_or(0, |socket| socket.news);
            let edge = watch.events & libc::EPOLLET as u32 != 0;
            let spent = watch.events & !FLAGS == 0;
            if events == 0 || spent || (edge && watch.reported == Some(news)) || told.len() == most {
                continue;
            }
            told.push(epoll_event { events, u64: watch.data });
            if let Some(watch) = self.epoll(epfd)?.watched.get_mut(&fd) {
                watch.reported = Some(news);
                if watch.events & libc::EPOLLONESHOT as u32 != 0 {
                    watch.events &= FLAGS;
                }
            }
        }
        if told.is_empty() {
            return match self.timeout(timeout).stop(self, 0) {
                Stop::Error(_) => Ok(told),
                wait @ Stop::Wait(_) => Err(wait),
            };
        }
        Ok(told)
    }

    /// How long a call waits that was given a number of milliseconds, or a negative number for no end.
    pub(crate) fn timeout(&self, millis: c_int) -> Patience {
        match u64::try_from(millis) {
            Ok(0) => Patience::None,
            Ok(millis) => Patience::Until(self.call_began + netlane_core::Duration::from_millis(millis)),
            Err(_) => Patience::Endless,
        }
    }

    fn epoll(&mut self, epfd: c_int) -> Result<&mut Epoll, Errno> {
        match &mut self.descriptors.get_mut(&epfd).ok_or(Errno(libc::EBADF))?.owned {
            Owned::Epoll(epoll) => Ok(epoll),
            Owned::Socket(_) => Err(Errno(libc::EINVAL)),
        }
    }
}
