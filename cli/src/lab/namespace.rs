//! Network namespaces of this process's own.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use rustix::process::{getgid, getuid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::link;
use crate::machine::privilege;

/// How this process came by its network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// It had the privilege to make one.
    Network,
    /// A user namespace of its own gave it that, and nothing beyond.
    UserAndNetwork,
}

/// Why there is no namespace for this process.
#[derive(Debug, thiserror::Error)]
#[error("this process gets no network namespace of its own: the system refuses {reason}; {remedy}")]
pub(crate) struct Denied {
    /// What the system refused, and how it put it.
    pub(crate) reason: String,
    /// What to allow.
    pub(crate) remedy: String,
}

/// Moves this process to a network namespace of its own, with a loopback interface that is up. The process must have
/// one thread only. It keeps its user and group.
pub(crate) fn enter() -> Result<Isolation, Denied> {
    let isolation = match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => Isolation::Network,
        Err(Errno::EPERM) => {
            enter_as_user()?;
            Isolation::UserAndNetwork
        }
        Err(error) => return Err(Denied::of("a network namespace", error.into())),
    };
    link::up("lo").map_err(|error| Denied::of("to bring up the loopback interface", error))?;
    Ok(isolation)
}

/// In a user namespace every user may make a network namespace (user_namespaces(7)).
fn enter_as_user() -> Result<(), Denied> {
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .map_err(|error| Denied::of("a user namespace", error.into()))?;
    let mappings = [
        // Without this, the group could not be mapped by a user without privilege.
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("{user} {user} 1")),
        ("/proc/self/gid_map", format!("{group} {group} 1")),
    ];
    for (file, text) in mappings {
        fs::write(file, text).map_err(|error| Denied::of("privileges in a user namespace", error))?;
    }
    Ok(())
}

impl Denied {
    fn of(what: &str, error: io::Error) -> Self {
        let reason = match privilege::user_namespace_switch() {
            Some((switch, value)) => format!("{what}: {error}, since {switch} is {value}"),
            None => format!("{what}: {error}"),
        };
        Self { reason, remedy: privilege::user_namespace_remedy() }
    }
}

/// A further network namespace, for the other end of a link. It lasts as long as this value and the sockets that were
/// opened in it.
#[derive(Debug)]
pub(crate) struct NetworkNamespace {
    file: File,
}

impl NetworkNamespace {
    /// Makes one, with a loopback interface that is up.
    pub(crate) fn new() -> io::Result<Self> {
        // Only a thread that ends soon moves there.
        on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            link::up("lo")?;
            Ok(Self { file: File::open("/proc/thread-self/ns/net")? })
        })
    }

    /// Runs `body` in the namespace. Sockets that it opens stay there, whoever uses them.
    pub(crate) fn run<T: Send>(&self, body: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_a_thread(|| {
            move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
            body()
        })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

fn on_a_thread<T: Send>(body: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, body)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread in another namespace panicked")))
    })
}
