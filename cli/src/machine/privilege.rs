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
    if let Some((name, value)) = user_namespace_switch() {
        return Err(format!("{name} is {value}"));
    }
    match fs::exists("/proc/self/ns/user") {
        Ok(true) => Ok(()),
        _ => Err("the kernel has no user namespaces".to_owned()),
    }
}

/// The kernel's switch that forbids user namespaces to this user, and its value, if one does.
pub(crate) fn user_namespace_switch() -> Option<(&'static str, &'static str)> {
    let is_forbidding = |switch: &&Switch| {
        let path = format!("/proc/sys/{}", switch.name.replace('.', "/"));
        fs::read_to_string(path).is_ok_and(|text| text.trim() == switch.forbidding)
    };
    SWITCHES.iter().find(is_forbidding).map(|switch| (switch.name, switch.forbidding))
}

/// What allows user namespaces to this user.
pub(crate) fn user_namespace_remedy() -> String {
    let named = |name| SWITCHES.iter().find(|switch| switch.name == name);
    match user_namespace_switch().and_then(|(name, _)| named(name)) {
        Some(Switch { name, allowing, .. }) => {
            format!("allow it with `sudo sysctl {name}={allowing}`, or run as root")
        }
        None => {
            "run as root; in a container, start it with `--cap-add SYS_ADMIN --cap-add NET_ADMIN`, or with \
                 `--privileged`"
                .to_owned()
        }
    }
}

/// A sysctl that decides on user namespaces.
struct Switch {
    name: &'static str,
    forbidding: &'static str,
    allowing: &'static str,
}

const SWITCHES: [Switch; 3] = [
    Switch { name: "user.max_user_namespaces", forbidding: "0", allowing: "10000" },
    // Debian and Arch.
    Switch { name: "kernel.unprivileged_userns_clone", forbidding: "0", allowing: "1" },
    // Ubuntu, from 23.10 on.
    Switch { name: "kernel.apparmor_restrict_unprivileged_userns", forbidding: "1", allowing: "0" },
];
