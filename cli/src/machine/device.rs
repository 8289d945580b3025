//! Device files.

use std::io;

use rustix::fs::{Mode, OFlags};

/// Opens `path` for reading and writing, and closes it again.
pub(crate) fn open(path: &str) -> io::Result<()> {
    rustix::fs::open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    Ok(())
}

/// What mends that `/dev/net/tun` cannot be opened.
pub(crate) fn tun_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "load the driver with `sudo modprobe tun`; in a container, start it with `--device /dev/net/tun`"
        }
        io::ErrorKind::PermissionDenied => {
            "let users open it with `sudo chmod 0666 /dev/net/tun` (only CAP_NET_ADMIN makes devices with it), or \
             run as root; in a container, start it with `--device /dev/net/tun`"
        }
        _ => "load the driver with `sudo modprobe tun`",
    }
}
