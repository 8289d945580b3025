//! The stack under test, its sockets, and the virtual time in which they live.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;
use std::io::Write;

use netlane_core::{HeapBuffers, Instant, SocketId, Stack, Turn};

use crate::device::RawIp;
use crate::settings::{COMMAND, FORGET_PEERS, Settings};
use crate::socket::{Descriptor, Owned};
use crate::sysctl::{self, Sysctls};

/// The stack's seed. A run is the same every time.
const SEED: u64 = 1;
/// The time at which every run begins: whoever takes a difference of times may go back from it.
const BEGINNING: Instant = Instant::from_micros(1_000_000);
/// Turns that the stack may take at one time before it must be done.
const TURNS: usize = 10_000;

/// Everything there is, behind one lock.
pub(crate) struct World {
    now: Instant,
    /// When the call that is being made began: what it waits for at most counts from there.
    pub(crate) call_began: Instant,
    settings: Settings,
    sysctls: Sysctls,
    stack: Option<Stack<RawIp>>,
    /// When the stack's next timer is due.
    wake_at: Option<Instant>,
    /// Packets that the stack has sent, and when.
    sent: VecDeque<(Instant, Vec<u8>)>,
    /// By number, which the operating system has given out.
    pub(crate) descriptors: BTreeMap<c_int, Descriptor>,
    owners: BTreeMap<SocketId, c_int>,
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            now: BEGINNING,
            call_began: BEGINNING,
            settings,
            sysctls: Sysctls::default(),
            stack: None,
            wake_at: None,
            sent: VecDeque::new(),
            descriptors: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }

    /// The time, in whole microseconds.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The stack. It begins with the first call, for a script makes its settings before.
    pub(crate) fn stack(&mut self) -> &mut Stack<RawIp> {
        self.stack.get_or_insert_with(|| {
            for (key, value) in self.settings.news() {
                sysctl::apply(&key, &value, &mut self.sysctls);
            }
            self.sysctls.stack.interface = self.settings.interface();
            let io = RawIp::new(self.settings.mtu);
            let mut stack = Stack::new(io, HeapBuffers::new(), self.sysctls.stack.clone(), SEED);
            stack.tell_time(self.now);
            stack
        })
    }

    /// The settings that hold now.
    pub(crate) fn sysctls(&self) -> &Sysctls {
        &self.sysctls
    }

    /// Makes the settings that a script has asked for since the last call.
    pub(crate) fn follow_settings(&mut self) {
        let Some(stack) = &mut self.stack else { return };
        let news = self.settings.news();
        if news.is_empty() {
            return;
        }
        for (key, value) in &news {
            sysctl::apply(key, value, &mut self.sysctls);
            if key == COMMAND && value.starts_with(FORGET_PEERS) {
                stack.tcp_forget_fast_open_cookies();
            }
        }
        stack.set_tcp_config(self.sysctls.stack.tcp.clone());
    }

    /// The descriptor `fd` is told what happens to `socket`.
    pub(crate) fn own(&mut self, socket: SocketId, fd: c_int) {
        self.owners.insert(socket, fd);
    }

    pub(crate) fn disown(&mut self, socket: SocketId) {
        self.owners.remove(&socket);
    }

    /// When anything happens next by itself.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wake_at.map(whole_micros)
    }

    /// Lets the clock stand at `now`, and everything happen that is due then.
    pub(crate) fn proceed(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.turn();
    }

    /// Lets the stack do what there is to do at this time.
    pub(crate) fn turn(&mut self) {
        let now = self.now;
        let Some(stack) = &mut self.stack else { return };
        let mut turns = 0;
        self.wake_at = loop {
            turns += 1;
            match stack.poll(now) {
                Ok(Turn::Busy) if turns < TURNS => {}
                Ok(Turn::Blocked { wake_at } | Turn::Idle { wake_at }) => break wake_at,
                Ok(Turn::Busy) | Err(_) => {
                    complain("the stack finds no end of its work");
                    break None;
                }
            }
        };
        self.sent.extend(std::iter::from_fn(|| stack.io_mut().take_sent()).map(|packet| (now, packet)));
        while let Some(event) = stack.next_event() {
            let error = stack.take_error(event.socket).ok().flatten();
            let owner = self.owners.get(&event.socket).and_then(|fd| self.descriptors.get_mut(fd));
            if let Some(Descriptor { owned: Owned::Socket(socket), .. }) = owner {
                socket.on_event(event.ready, error);
            }
        }
    }

    /// An IP packet arrives.
    pub(crate) fn deliver(&mut self, packet: &[u8]) {
        self.stack().io_mut().deliver(packet);
        self.turn();
    }

    /// The oldest packet that the stack has sent and nobody has seen.
    pub(crate) fn take_sent(&mut self) -> Option<(Instant, Vec<u8>)> {
        self.sent.pop_front()
    }

    pub(crate) fn has_sent(&self) -> bool {
        !self.sent.is_empty()
    }
}

/// Says on the standard error what whoever reads a failed script should know.
pub(crate) fn complain(what: &str) {
    // There is nobody to tell that nobody can be told.
    let _ = writeln!(std::io::stderr(), "netlane: {what}");
}

/// The first whole microsecond that is not before `at`.
fn whole_micros(at: Instant) -> Instant {
    Instant::from_micros(at.as_nanos().div_ceil(1_000))
}
