//! A connection of a run, and its two ends.

use std::net::SocketAddr;
use std::time::Duration;

use netlane_core::{ConnectError, Instant, SocketError};
use netlane_sim::{HostId, World};

use crate::drive::{PORT, address};
use crate::plan::ConnectionPlan;
use crate::program::{Fate, Program};

/// A connection, and what became of it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) plan: ConnectionPlan,
    /// The end that opens it, and the other.
    pub(crate) ends: [Program; 2],
    /// Where the end that opens it is, this time.
    local: Option<SocketAddr>,
    /// When to begin, or to begin once more.
    begins_at: Option<Instant>,
    attempts: u32,
}

/// Attempts after which an end gives up to open a connection, and the pause between them.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_secs(1);

/// Streams begin at different places of the bytes that all share.
const APART: u64 = 40_009;

impl Connection {
    pub(crate) fn new(number: usize, plan: &ConnectionPlan, hosts: [HostId; 2]) -> Self {
        let [near, far] = [0, 1].map(|end| (2 * number as u64 + end) * APART);
        let end = |n: usize, host: usize, offsets| {
            Program::new(plan.ends[n].clone(), hosts[host], offsets, (2 * number + n) as u64)
        };
        let ends = [end(0, plan.from, (near, far)), end(1, plan.to, (far, near))];
        Self {
            plan: plan.clone(),
            ends,
            local: None,
            begins_at: Some(Instant::ZERO + plan.begin),
            attempts: 0,
        }
    }

    /// Begins to connect when it is time for that.
    pub(crate) fn open(&mut self, world: &mut World) {
        if self.begins_at.is_none_or(|at| world.now() < at) {
            return;
        }
        self.attempts += 1;
        let remote = SocketAddr::new(address(self.plan.to, self.plan.v6), PORT);
        let [opener, _] = &mut self.ends;
        let stack = &mut world[opener.host];
        let connected = if self.plan.fast_open {
            stack.tcp_connect_fast(None, remote)
        } else {
            stack.tcp_connect(None, remote)
        };
        match connected {
            Ok(socket) => {
                self.local = stack.local_addr(socket).ok();
                self.begins_at = None;
                opener.begin(socket);
                opener.write(world, socket);
            }
            // Memory comes back, and so do addresses.
            Err(ConnectError::NoBuffers | ConnectError::NotLocal | ConnectError::Unreachable) => {
                self.begins_at = Some(world.now() + PAUSE);
            }
            Err(error) => panic!("connecting: {error}"),
        }
    }

    /// Whether a connection that has come to `host` from `peer` is this one.
    pub(crate) fn takes(&self, host: HostId, peer: Option<SocketAddr>) -> bool {
        let [_, end] = &self.ends;
        end.host == host && end.fate == Fate::Awaited && peer.is_some() && peer == self.local
    }

    /// Both ends do what there is to do.
    pub(crate) fn step(&mut self, world: &mut World) {
        for end in &mut self.ends {
            end.step(world);
        }
        let [opener, other] = &mut self.ends;
        // The neighbour may not have heard the question: who wants to connect tries again.
        let unheard = opener.fate == Fate::Failed(SocketError::Unreachable) && other.fate == Fate::Awaited;
        if unheard && self.attempts < ATTEMPTS {
            opener.start_over();
            self.begins_at = Some(world.now() + PAUSE);
        }
    }

    /// What either end does next by itself, and when.
    pub(crate) fn wakes_at(&self, now: Instant) -> Option<Instant> {
        let begins_at = self.begins_at.filter(|at| *at > now);
        self.ends.iter().filter_map(|end| end.wakes_at(now)).chain(begins_at).min()
    }

    /// Whether nothing more is to be expected of it.
    pub(crate) fn is_done(&self) -> bool {
        match self.ends.each_ref().map(|end| end.fate) {
            [Fate::Failed(_) | Fate::GivenUp, Fate::Awaited] => true,
            ends => !ends.iter().any(|fate| matches!(fate, Fate::Awaited | Fate::Open)),
        }
    }
}
