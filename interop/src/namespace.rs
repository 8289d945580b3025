//! Tests in a network of their own.

use std::ffi::CStr;
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};
use std::{env, io};

use rustix::fs::{Mode, OFlags};
use rustix::thread::UnshareFlags;

use crate::program;

/// Runs a test's body in a fresh network namespace, which is gone with all its interfaces when the body ends, however
/// it does. The test runs once more for that, in a process of its own, which has one thread when it enters.
///
/// `programs` are those that the test needs. Where one is missing, or the system denies namespaces, the test says
/// that it is skipped, and passes.
pub fn with_programs<F: FnOnce()>(programs: &[&str], body: F) {
    let name = test_name(&body);
    if env::var(INSIDE).is_ok_and(|inside| inside == name) {
        body();
        exit(PASSED);
    }
    if let Some(missing) = programs.iter().find(|program| !program::exists(program)) {
        return println!("SKIPPED {name}: {missing} is not installed");
    }
    let program = env::current_exe().expect("the test's own program");
    let mut command = Command::new(program);
    command.args([name, "--exact", "--nocapture"]).env(INSIDE, name);
    let entry = Entry::of_this_user();
    // SAFETY: between fork and exec, `enter` makes system calls and nothing else: it takes no lock and no memory.
    unsafe { command.pre_exec(move || entry.enter()) };
    match command.status() {
        Err(error) => println!("SKIPPED {name}: no network namespace may be made here: {error}"),
        Ok(status) if status.code() == Some(SKIPPED) => {}
        Ok(status) => assert_eq!(status.code(), Some(PASSED), "{name} failed in its namespace: {status}"),
    }
}

/// The same, for a test that needs no program.
pub fn alone<F: FnOnce()>(body: F) {
    with_programs(&[], body);
}

/// Ends a test that cannot run here, from inside its namespace.
pub fn skip(reason: &str) -> ! {
    println!("SKIPPED {}: {reason}", env::var(INSIDE).unwrap_or_default());
    exit(SKIPPED);
}

const INSIDE: &str = "NETLANE_TEST_IN_NAMESPACE";
/// Unlike the exit code of a run that found no test.
const PASSED: i32 = 70;
const SKIPPED: i32 = 77;
/// Seconds after which a test that hangs is ended by a signal, and its children with it.
const TIME_LIMIT: u32 = 290;

/// The name by which the test's program knows the test whose body is a closure: its path without the crate.
fn test_name<F: FnOnce()>(_body: &F) -> &'static str {
    let path = std::any::type_name::<F>();
    let path = path.split_once("::").map_or(path, |(_crate, path)| path);
    path.split("::{{closure}}").next().unwrap_or(path)
}

/// What it takes this user to enter a namespace.
struct Entry {
    /// Who may not make networks becomes root of a user namespace that may.
    user: Option<Mappings>,
}

struct Mappings {
    uid: String,
    gid: String,
}

impl Entry {
    fn of_this_user() -> Self {
        let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
        let mappings =
            || Mappings { uid: format!("0 {} 1", uid.as_raw()), gid: format!("0 {} 1", gid.as_raw()) };
        Self { user: (!uid.is_root()).then(mappings) }
    }

    fn enter(&self) -> io::Result<()> {
        // SAFETY: alarm(2) only sets a timer.
        unsafe { libc::alarm(TIME_LIMIT) };
        let user = if self.user.is_some() { UnshareFlags::NEWUSER } else { UnshareFlags::empty() };
        // SAFETY: the process has one thread and shares nothing that these namespaces hold.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET | user) }?;
        let Some(Mappings { uid, gid }) = &self.user else { return Ok(()) };
        write(c"/proc/self/setgroups", b"deny")?;
        write(c"/proc/self/uid_map", uid.as_bytes())?;
        write(c"/proc/self/gid_map", gid.as_bytes())
    }
}

fn write(path: &CStr, text: &[u8]) -> io::Result<()> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text)?;
    Ok(())
}
