//! The same program over the kernel's sockets and over netlane's: what it is answered must be the same.
//!
//! Each behaviour is a function that is generic over where its sockets come from, and writes down what every call of
//! interest returned. The kernel's answers are the reference.

use std::fmt::Debug;
use std::sync::mpsc;
use std::time::Duration;
use std::{io, thread};

use host::{Host, Kernel, Lanes, Pair};

mod host;
mod tcp;
mod tcp_closing;
mod udp;

/// Longer than any behaviour takes; the same calls over the kernel take a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a program was answered.
#[derive(Debug, Default, PartialEq, Eq)]
struct Log(Vec<String>);

impl Log {
    /// Writes down what a call returned: its value, or the kind and number of its error.
    fn answer<T: Debug>(&mut self, call: &str, outcome: &io::Result<T>) {
        let answer = match outcome {
            Ok(value) => format!("{value:?}"),
            Err(error) => format!("{:?} ({:?})", error.kind(), error.raw_os_error()),
        };
        self.0.push(format!("{call}: {answer}"));
    }

    fn note(&mut self, what: &str, value: impl Debug) {
        self.0.push(format!("{what}: {value:?}"));
    }
}

type Behaviour<H> = fn(&Pair<H>, &mut Log) -> io::Result<()>;

/// Fails unless both kinds of sockets give the same answers.
fn compare(kernel: Behaviour<Kernel>, lanes: Behaviour<Lanes>) {
    let expected = answers("the kernel", Pair::over_loopback, kernel);
    let found = answers("netlane", Pair::over_memory, lanes);
    assert!(!expected.0.is_empty(), "nothing was compared");
    assert_eq!(found, expected, "netlane's answers on the left, the kernel's on the right");
}

fn answers<H: Host>(whose: &str, pair: fn() -> Pair<H>, behaviour: Behaviour<H>) -> Log {
    let (done, outcome) = mpsc::channel();
    // A call that blocks for ever keeps its thread, and not the test.
    let program = thread::spawn(move || {
        let mut log = Log::default();
        let ended = behaviour(&pair(), &mut log);
        log.answer("ended", &ended);
        // Nobody listens any more if this has taken too long.
        let _ = done.send(log);
    });
    match outcome.recv_timeout(PATIENCE) {
        Ok(log) => log,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{whose} has not answered in {PATIENCE:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match program.join() {
            Err(panicked) => std::panic::resume_unwind(panicked),
            Ok(()) => panic!("{whose} gave no answer"),
        },
    }
}

/// A test for each behaviour of a module.
macro_rules! alike {
    ($($behaviour:ident)+) => {
        mod tests {
            $(
                #[test]
                fn $behaviour() {
                    crate::alike::compare(super::$behaviour, super::$behaviour);
                }
            )+
        }
    };
}
use alike;
