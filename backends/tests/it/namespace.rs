//! Tests in a network of their own.

use rustix::fs::{Mode, OFlags};
use rustix::thread::UnshareFlags;
use std::ffi::CStr;
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};
use std::{env, io};

/// Runs a test's body in a fresh user and network namespace, which is gone with all its interfaces when the body ends,
/// however it does. The test runs once more, in a process of its own, for that.
///
/// Where the system does not allow it, the test says so and passes.
pub(crate) fn in_namespace<F: FnOnce()>(name: &str, body: F) {
    if env::var(INSIDE).is_ok_and(|inside| inside == name) {
        body();
        exit(PASSED);
    }
    let program = env::current_exe().expect("the test's own program");
    let mut command = Command::new(program);
    command.args([name, "--exact", "--nocapture"]).env(INSIDE, name);
    let mappings = Mappings::of_this_user();
    // SAFETY: between fork and exec, `enter` makes system calls and nothing else: it takes no lock and no memory.
    unsafe { command.pre_exec(move || mappings.enter()) };
    match command.status() {
        Err(error) => eprintln!("SKIPPED {name}: no user and network namespace may be made here: {error}"),
        Ok(status) if status.code() == Some(SKIPPED) => {}
        Ok(status) => assert_eq!(status.code(), Some(PASSED), "{name} failed in its namespace: {status}"),
    }
}

/// Ends a test that cannot run here, from inside its namespace.
pub(crate) fn skip(name: &str, reason: &str) -> ! {
    eprintln!("SKIPPED {name}: {reason}");
    exit(SKIPPED);
}

/// The name by which the test's program knows the test whose body is a closure: its path without the crate.
pub(crate) fn test_name<F: FnOnce()>(_body: &F) -> &'static str {
    let path = std::any::type_name::<F>();
    let path = path.split_once("::").map_or(path, |(_crate, path)| path);
    path.split("::{{closure}}").next().unwrap_or(path)
}

const INSIDE: &str = "NETLANE_TEST_IN_NAMESPACE";
/// Unlike the exit code of a run that found no test.
const PASSED: i32 = 70;
const SKIPPED: i32 = 77;
/// Seconds after which a test that hangs is ended by a signal.
const TIME_LIMIT: u32 = 60;

/// Makes this user root in a namespace.
struct Mappings {
    uid: String,
    gid: String,
}

impl Mappings {
    fn of_this_user() -> Self {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        Self { uid: format!("0 {uid} 1"), gid: format!("0 {gid} 1") }
    }

    fn enter(&self) -> io::Result<()> {
        // SAFETY: alarm(2) only sets a timer.
        unsafe { libc::alarm(TIME_LIMIT) };
        // SAFETY: the process has one thread and shares nothing that these namespaces hold.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET) }?;
        write(c"/proc/self/setgroups", b"deny")?;
        write(c"/proc/self/uid_map", self.uid.as_bytes())?;
        write(c"/proc/self/gid_map", self.gid.as_bytes())
    }
}

fn write(path: &CStr, text: &[u8]) -> io::Result<()> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text)?;
    Ok(())
}
