//! Programs that stand in for those with which scripts change the kernel's settings.
//!
//! Scripts run unchanged, and so do the shell's lines in them. This program, under the names `sysctl`, `ip`, `tc`,
//! `ethtool` and `python3`, comes first in their `$PATH`: it notes what was asked for in the file that the library
//! reads, and nothing of the machine's own settings changes.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, io};

use netlane_packetdrill::settings::{COMMAND, FORGET_PEERS, SYSCTLS};
use netlane_packetdrill::sysctl::{self, Effect, Sysctls};

/// The names to stand in for.
pub(crate) const NAMES: [&str; 5] = ["sysctl", "ip", "tc", "ethtool", "python3"];
/// The script of packetdrill's that writes settings below `/proc/sys`, and another that takes them back.
const SET_SYSCTLS: &str = "set_sysctls.py";

/// Stands in, where this program was called by such a name.
pub(crate) fn run() -> Option<ExitCode> {
    let mut arguments = env::args();
    let called = PathBuf::from(arguments.next()?);
    let name = NAMES.into_iter().find(|name| called.file_name().is_some_and(|called| called == *name))?;
    let settings = env::var_os(SYSCTLS)?;
    let arguments: Vec<String> = arguments.collect();
    let done = match name {
        "sysctl" => set(&settings, &arguments),
        "python3" => python(&settings, &arguments),
        command => note(&settings, [&format!("{COMMAND}={command} {}", arguments.join(" "))]),
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    })
}

/// What was asked for and netlane has not.
pub(crate) fn missing(settings: &str) -> BTreeSet<String> {
    let mut sysctls = Sysctls::default();
    let asked = settings.lines().filter_map(|line| line.split_once('='));
    asked
        .filter(|(key, value)| match *key {
            COMMAND => !is_neutral(value),
            key => sysctl::apply(key, value, &mut sysctls) == Effect::Missing,
        })
        .map(|(key, value)| if key == COMMAND { format!("`{value}`") } else { format!("{key}={value}") })
        .collect()
}

/// Removes what a script's settings have left behind.
pub(crate) fn clean_up(packetdrill: u32) {
    // Most scripts leave nothing.
    let _ = fs::remove_file(restore_script(&packetdrill.to_string()));
}

/// Commands that mean nothing to a stack of its own: what others remember of peers, queues that pass everything, and
/// offloads.
fn is_neutral(command: &str) -> bool {
    let neutral = [FORGET_PEERS, "tc qdisc", "ethtool -K"].iter().any(|neutral| command.starts_with(neutral));
    neutral && !command.ends_with("limit 0")
}

/// Notes settings, as far as the kernel has such: scripts try older ones first.
fn set(settings: &OsString, arguments: &[String]) -> io::Result<()> {
    let asked: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let (known, unknown): (Vec<&String>, Vec<&String>) = asked.iter().partition(|line| {
        let key = line.split('=').next().unwrap_or_default().replace('.', "/");
        Path::new("/proc/sys").join(key).exists()
    });
    note(settings, known)?;
    unknown.first().map_or(Ok(()), |line| Err(io::Error::other(format!("{line}: no such setting"))))
}

fn note<'a>(
    settings: &OsString,
    lines: impl IntoIterator<Item = &'a (impl AsRef<str> + 'a + ?Sized)>,
) -> io::Result<()> {
    let text: String = lines.into_iter().map(|line| format!("{}\n", line.as_ref())).collect();
    OpenOptions::new().append(true).open(settings)?.write_all(text.as_bytes())
}

/// Notes what `set_sysctls.py` is asked to set; every other program is for the real Python.
fn python(settings: &OsString, arguments: &[String]) -> io::Result<()> {
    let Some((script, asked)) = arguments.split_first().filter(|(script, _)| script.ends_with(SET_SYSCTLS))
    else {
        return Err(real_python(arguments));
    };
    debug_assert!(script.ends_with(SET_SYSCTLS));
    let lines: Vec<String> =
        asked.iter().map(|line| line.trim_start_matches("/proc/sys/").replacen('/', ".", 2)).collect();
    note(settings, &lines)?;
    // Scripts end with it. Nothing is to be taken back, since nothing was changed.
    let restore = restore_script(&env::var("PACKETDRILL_PID").unwrap_or_default());
    fs::write(&restore, "#!/bin/sh\n")?;
    fs::set_permissions(&restore, fs::Permissions::from_mode(0o755))
}

/// Where scripts look for the way back from their settings.
fn restore_script(packetdrill: &str) -> PathBuf {
    Path::new("/tmp").join(format!("sysctl_restore_{packetdrill}.sh"))
}

/// Becomes the Python that is in `$PATH` after this program.
fn real_python(arguments: &[String]) -> io::Error {
    let path = env::var_os("PATH").unwrap_or_default();
    let behind: Vec<PathBuf> = env::split_paths(&path).skip(1).collect();
    match env::join_paths(&behind) {
        Ok(path) => Command::new("/usr/bin/env").arg("python3").args(arguments).env("PATH", path).exec(),
        Err(error) => io::Error::other(error),
    }
}
