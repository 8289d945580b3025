//! Programs that run beside a test, and end with it.

use std::io::{self, BufRead, BufReader, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};

/// A program that was started. It is killed if the test ends before it does.
#[derive(Debug)]
pub struct Program {
    command: String,
    child: Child,
    output: BufReader<PipeReader>,
    /// What it wrote, as far as that was read.
    said: String,
}

impl Program {
    /// Starts a program. What it writes, to its standard output and as errors, is kept.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let (output, writer) = io::pipe().expect("a pipe");
        command.stdout(writer.try_clone().expect("a second handle"));
        Self::spawn(command, output, writer)
    }

    /// Starts a program whose standard output goes to `stdout`, and keeps only what it writes as errors.
    #[must_use]
    pub fn start_into(mut command: Command, stdout: impl Into<Stdio>) -> Self {
        let (output, writer) = io::pipe().expect("a pipe");
        command.stdout(stdout);
        Self::spawn(command, output, writer)
    }

    fn spawn(mut command: Command, output: PipeReader, stderr: impl Into<Stdio>) -> Self {
        let text = format!("{command:?}");
        command.stderr(stderr);
        // SAFETY: between fork and exec this makes one system call.
        unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) };
        let child = command.spawn().unwrap_or_else(|error| panic!("{text}: {error}"));
        // The writing ends of the pipe go with the command, so that it ends when the program does.
        drop(command);
        Self { command: text, child, output: BufReader::new(output), said: String::new() }
    }

    /// Waits for a line with `what` in it, and returns it.
    pub fn wait_for(&mut self, what: &str) -> String {
        loop {
            let before = self.said.len();
            let read = self.output.read_line(&mut self.said).expect("text");
            assert!(read > 0, "{} ended without {what:?}:\n{}", self.command, self.said);
            if self.said[before..].contains(what) {
                return self.said[before..].trim_end().to_owned();
            }
        }
    }

    /// Waits until the program ends by itself, and returns all that it wrote. It must succeed.
    #[must_use = "what it wrote is to be looked at"]
    pub fn succeed(self) -> String {
        let command = self.command.clone();
        let (status, said) = self.end();
        assert!(status.success(), "{command}: {status}\n{said}");
        said
    }

    /// Waits until the program ends by itself, and returns how it did, and all that it wrote.
    #[must_use]
    pub fn end(mut self) -> (ExitStatus, String) {
        self.output.read_to_string(&mut self.said).expect("text");
        (self.child.wait().expect("a child"), std::mem::take(&mut self.said))
    }

    /// Asks the program to end, as Ctrl-C would, and returns all that it wrote.
    #[must_use]
    pub fn interrupt(self) -> String {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, Signal::INT).expect("the program runs");
        self.end().1
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended already is left alone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command line of plain words to its end, and returns what it wrote. It must succeed.
pub fn run(line: &str) -> String {
    start(line).succeed()
}

/// Starts a command line of plain words.
#[must_use]
pub fn start(line: &str) -> Program {
    Program::start(command(line))
}

/// A command from a line of plain words.
///
/// # Panics
/// If the line is empty.
#[must_use]
pub fn command(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().expect("a program's name"));
    command.args(words).stdin(Stdio::null());
    command
}

/// Whether a program is installed.
#[must_use]
pub fn exists(name: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    // Where a user's PATH does not lead.
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]);
    folders.map(|folder| Path::new(folder).join(name)).any(|file| file.is_file())
}
