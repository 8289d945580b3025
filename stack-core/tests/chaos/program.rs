//! The program at one end of a connection: it sends a stream, and checks every byte of the other.

use std::sync::OnceLock;

use fastrand::Rng;
use netlane_core::{Instant, RecvError, SendError, SocketError, SocketId, Stale};
use netlane_sim::{HostId, SimStack, World, pattern};

use crate::plan::EndPlan;

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) plan: EndPlan,
    pub(crate) host: HostId,
    pub(crate) socket: Option<SocketId>,
    pub(crate) fate: Fate,
    /// Where the streams that it sends and reads begin in the bytes that all share.
    offsets: (u64, u64),
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) shut_down: bool,
    /// The peer's stream has ended.
    pub(crate) ended: bool,
    /// Until then it does something else.
    writes_at: Instant,
    reads_at: Instant,
    /// Pauses that it still makes: no run shall take for ever.
    pauses: u32,
    rng: Rng,
}

/// What has become of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It does not exist yet.
    Awaited,
    Open,
    /// Everything was sent and read, and the socket closed in order.
    Finished,
    /// The stack has told of an error.
    Failed(SocketError),
    /// Its user wanted no more of it.
    GivenUp,
}

/// Bytes that differ between streams and, within them, often.
const STREAMS: usize = 2 << 20;

const PAUSES: u32 = 30;

impl Program {
    pub(crate) fn new(plan: EndPlan, host: HostId, offsets: (u64, u64), seed: u64) -> Self {
        Self {
            plan,
            host,
            socket: None,
            fate: Fate::Awaited,
            offsets,
            sent: 0,
            received: 0,
            shut_down: false,
            ended: false,
            writes_at: Instant::ZERO,
            reads_at: Instant::ZERO,
            pauses: PAUSES,
            rng: Rng::with_seed(seed),
        }
    }

    /// The end has a socket now.
    pub(crate) fn begin(&mut self, socket: SocketId) {
        self.socket = Some(socket);
        self.fate = Fate::Open;
    }

    /// What it does next by itself, if anything, and when.
    pub(crate) fn wakes_at(&self, now: Instant) -> Option<Instant> {
        if self.fate != Fate::Open {
            return None;
        }
        [self.writes_at, self.reads_at].into_iter().filter(|at| *at > now).min()
    }

    /// Does what there is to do.
    pub(crate) fn step(&mut self, world: &mut World) {
        let (Fate::Open, Some(socket)) = (self.fate, self.socket) else { return };
        if world.now() >= self.reads_at {
            self.read(world, socket);
        }
        if self.fate == Fate::Open && world.now() >= self.writes_at {
            self.write(world, socket);
        }
        if self.fate == Fate::Open && self.shut_down && self.ended {
            world[self.host].tcp_close(socket).expect("it is open");
            self.fate = Fate::Finished;
        }
    }

    /// Closes the socket, whatever is still to come; at once and without ado if it shall `abort`.
    pub(crate) fn give_up(&mut self, world: &mut World, abort: bool) {
        let (Fate::Open, Some(socket)) = (self.fate, self.socket) else { return };
        let stack = &mut world[self.host];
        let closed = if abort { stack.tcp_abort(socket) } else { stack.tcp_close(socket) };
        closed.expect("it is open");
        self.fate = Fate::GivenUp;
    }

    /// Changes something about the socket, while there is one.
    pub(crate) fn change(
        &self,
        world: &mut World,
        change: impl FnOnce(&mut SimStack, SocketId) -> Result<(), Stale>,
    ) {
        if let (Fate::Open, Some(socket)) = (self.fate, self.socket) {
            change(&mut world[self.host], socket).expect("it is open");
        }
    }

    /// Forgets an attempt that has failed.
    pub(crate) fn start_over(&mut self) {
        (self.socket, self.fate) = (None, Fate::Awaited);
        (self.sent, self.received, self.shut_down, self.ended) = (0, 0, false, false);
    }

    fn fail(&mut self, world: &mut World, socket: SocketId, error: SocketError) {
        world[self.host].tcp_close(socket).expect("it can be closed");
        self.fate = Fate::Failed(error);
    }

    pub(crate) fn write(&mut self, world: &mut World, socket: SocketId) {
        while self.sent < self.plan.bytes {
            let len = (self.plan.write as u64).min(self.plan.bytes - self.sent) as usize;
            match world[self.host].tcp_send(socket, stream(self.offsets.0 + self.sent, len)) {
                Ok(0) => return,
                Ok(n) => self.sent += n as u64,
                Err(SendError::Failed(error)) => return self.fail(world, socket, error),
                Err(error) => panic!("sending at byte {}: {error:?}", self.sent),
            }
            if let Some(pause) = self.pauses() {
                self.writes_at = world.now() + pause;
                return;
            }
        }
        if !self.shut_down && (self.ended || !self.plan.waits_for_end) {
            self.shut_down = true;
            world[self.host].tcp_shutdown(socket).expect("it is open");
        }
    }

    fn read(&mut self, world: &mut World, socket: SocketId) {
        let mut out = [0; 4_096];
        while !self.ended {
            let most = self.plan.read.min(out.len());
            match world[self.host].tcp_recv(socket, &mut out[..most]) {
                Ok(0) => self.ended = true,
                Ok(n) => {
                    let expected = stream(self.offsets.1 + self.received, n);
                    assert!(out[..n] == *expected, "the bytes from {} on are wrong", self.received);
                    self.received += n as u64;
                }
                Err(RecvError::WouldBlock) => return,
                Err(RecvError::Failed(error)) => return self.fail(world, socket, error),
                Err(error) => panic!("receiving at byte {}: {error:?}", self.received),
            }
            if let Some(pause) = self.pauses() {
                self.reads_at = world.now() + pause;
                return;
            }
        }
    }

    fn pauses(&mut self) -> Option<std::time::Duration> {
        let (chance, most) = self.plan.pause;
        if self.pauses == 0 || self.rng.f64() >= chance {
            return None;
        }
        self.pauses -= 1;
        Some(most.mul_f64(self.rng.f64()))
    }
}

/// `len` bytes of what all streams are parts of.
pub(crate) fn stream(at: u64, len: usize) -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    &BYTES.get_or_init(|| pattern(0, STREAMS))[at as usize..][..len]
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, fate, sent, received, shut_down, ended, plan, .. } = self;
        let (host, of) = (["a", "b"][host.number()], plan.bytes);
        write!(f, "on {host}: {fate:?}, {sent} of {of} bytes sent, {received} received")?;
        write!(
            f,
            ", {}shut down, the peer's stream has {}ended",
            if *shut_down { "" } else { "not " },
            if *ended { "" } else { "not " }
        )
    }
}
