//! What may go wrong when a TAP device is made.

use super::TapConfig;
use super::interface::exists;
use rustix::io::Errno;
use std::io;

/// Why a TAP device could not be made or set up, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// This system has no TAP devices.
    #[error(
        "/dev/net/tun is missing: load the kernel's module with `modprobe tun`; a container needs \
         `--device /dev/net/tun`"
    )]
    NoTun,
    /// This user may not open `/dev/net/tun`.
    #[error(
        "/dev/net/tun may not be opened by this user: run as root, or open it to all users with \
         `chmod 666 /dev/net/tun`, which is how distributions ship it"
    )]
    TunDenied,
    /// This user may open `/dev/net/tun`, but not make interfaces or change them.
    #[error(
        "this user may not set up the interface {name}: run as root, give the program CAP_NET_ADMIN, run it in a \
         namespace of its own with `unshare -Urn`, or have root make the interface for this user with \
         `ip tuntap add {name} mode tap user $USER`"
    )]
    NotPermitted {
        /// The interface.
        name: String,
    },
    /// Another program has the interface open.
    #[error("the interface {name} is in use by another program: stop that one, or choose another name")]
    Busy {
        /// The interface.
        name: String,
    },
    /// There is an interface of this name, but it isn't a TAP device with as many queues as asked for.
    #[error(
        "the interface {name} exists, but not as a TAP device with {queues} queue(s): choose another name, or remove \
         it with `ip link del {name}`; one with several queues is made by `ip tuntap add {name} mode tap multi_queue`"
    )]
    Incompatible {
        /// The interface.
        name: String,
        /// How many queues were asked for.
        queues: usize,
    },
    /// The kernel cannot make TAP devices with several queues.
    #[error("this kernel has no TAP devices with several queues: set the number of queues to 1")]
    NoMultiQueue,
    /// No interface may have this name.
    #[error(
        "an interface cannot be named {name:?}: use 1 to 15 bytes other than spaces, `/` and `:`, and neither `.` nor `..`"
    )]
    Name {
        /// What was asked for.
        name: String,
    },
    /// No TAP device has as many queues.
    #[error("a TAP device cannot have {0} queues: use from 1 to 256")]
    QueueCount(usize),
    /// The kernel does not know the offloads that were asked for.
    #[error("this kernel's TAP devices lack the offloads that were asked for: switch `offload` off")]
    OffloadUnsupported,
    /// The interface's end in the kernel refused a setting.
    #[error("cannot {action} of the interface {name}: {source}")]
    Setting {
        /// What was tried.
        action: &'static str,
        /// The interface.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused for another reason.
    #[error("cannot open a TAP device: {0}")]
    System(#[from] io::Error),
}

impl TapError {
    /// Why `/dev/net/tun` did not open.
    pub(super) fn from_open(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NODEV | Errno::NXIO => Self::NoTun,
            Errno::ACCESS | Errno::PERM => Self::TunDenied,
            other => Self::System(other.into()),
        }
    }

    /// Why a queue could not be made one of the interface `name`.
    pub(super) fn from_attach(error: io::Error, name: &str, config: &TapConfig) -> Self {
        let (name, queues) = (name.to_owned(), config.queues);
        match Errno::from_io_error(&error) {
            Some(Errno::PERM | Errno::ACCESS) => Self::NotPermitted { name },
            Some(Errno::BUSY) => Self::Busy { name },
            Some(Errno::INVAL) if exists(&name) => Self::Incompatible { name, queues },
            Some(Errno::INVAL) if queues > 1 => Self::NoMultiQueue,
            _ => Self::System(error),
        }
    }

    /// Why a setting of the interface `name` did not take.
    pub(super) fn from_setting(error: io::Error, action: &'static str, name: &str) -> Self {
        let name = name.to_owned();
        match Errno::from_io_error(&error) {
            Some(Errno::PERM | Errno::ACCESS) => Self::NotPermitted { name },
            _ => Self::Setting { action, name, source: error },
        }
    }
}
