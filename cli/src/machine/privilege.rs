//! What this process may do.

use std::fs;
use std::io;
use std::process::Command;

use rustix::thread::{CapabilitySet, capabilities};

/// Whether this process holds all of `wanted`.
pub(crate) fn holds(wanted: CapabilitySet) -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(wanted))
}

/// Whether this user may make a user and a network namespace, and why not.
///
/// It is tried with util-linux's `unshare`. Where that is missing, the kernel's switches tell.
pub(crate) fn user_namespaces() -> Result<(), String> {
    match Command::new("unshare").args(["--user", "--map-root-user", "--net", "true"]).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => user_namespace_switches(),
        Err(error) => Err(error.to_string()),
    }
}

fn user_namespace_switches() -> Result<(), String> {
    let forbidding = [
        ("/proc/sys/user/max_user_namespaces", "0"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
    ];
    for (switch, value) in forbidding {
        if fs::read_to_string(switch).is_ok_and(|text| text.trim() == value) {
            return Err(format!("{switch} is {value}"));
        }
    }
    match fs::exists("/proc/self/ns/user") {
        Ok(true) => Ok(()),
        _ => Err("the kernel has no user namespaces".to_owned()),
    }
}
