//! Waiting for many sockets at once.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use netlane_core::Readiness;

use super::socket::{Inner, Socket};
use super::{PollError, Shared};
use crate::shared::Interest;

/// Waits for many sockets at once. Any thread may use it.
///
/// It tells of what a socket *is* ready for, each time anew (level-triggered), and its cost grows with the sockets
/// that changed or are ready, not with those that it knows. A socket is in one poller at most, and leaves it when it
/// is closed.
#[derive(Debug)]
pub struct Poller {
    client: Arc<Shared>,
    index: usize,
    state: Mutex<State>,
}

/// A socket that is ready, as a [`Poller`] tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollEvent {
    /// What the socket was added with.
    pub token: u64,
    /// What it is ready for: of what it was added for, or that it is closed or has an error.
    pub ready: Readiness,
}

#[derive(Debug, Default)]
struct State {
    /// By the number of their first slot.
    sockets: HashMap<u32, Registration>,
    /// Those to look at: they changed, or were ready when last looked at.
    candidates: Vec<u32>,
}

#[derive(Debug)]
struct Registration {
    socket: Weak<Inner>,
    token: u64,
    interest: Readiness,
    /// It stands among the candidates.
    is_candidate: bool,
}

/// No slot: a poller that reads this returns to its caller.
const WAKE: u32 = u32::MAX;

impl Poller {
    pub(super) fn new(client: &Arc<Shared>) -> Result<Self, PollError> {
        let free = |used: u64| (used != u64::MAX).then(|| used | (used + 1));
        let used = client.pollers.fetch_update(Ordering::AcqRel, Ordering::Relaxed, free);
        let index = used.map_err(|_| PollError::TooMany)?.trailing_ones() as usize;
        // Made now, for those who tell it.
        let ring = client.region.poller_ring(index);
        // What the last user of this place was not told is nobody's concern.
        while ring.pop().is_some() {}
        Ok(Self { client: Arc::clone(client), index, state: Mutex::default() })
    }

    /// Tells of `socket` from now on, under a token of the caller's choice.
    ///
    /// # Errors
    /// [`PollError::Registered`], [`PollError::OtherHost`].
    pub fn add(&self, socket: &Socket, token: u64, interest: Readiness) -> Result<(), PollError> {
        if !Arc::ptr_eq(&self.client, &socket.inner.client) {
            return Err(PollError::OtherHost);
        }
        let mut polled = socket.inner.polled();
        if polled.is_some() {
            return Err(PollError::Registered);
        }
        *polled = Some(self.index);
        let slot = socket.first().slot();
        let registration =
            Registration { socket: Arc::downgrade(&socket.inner), token, interest, is_candidate: false };
        let mut state = self.state();
        // The slot's last user may have been closed without having been removed.
        state.forget(slot);
        state.sockets.insert(slot, registration);
        drop(state);
        socket.first().control().set_poller(Some(self.index));
        drop(polled);
        // It may be ready already.
        self.client.region.tell_poller(self.index, slot);
        Ok(())
    }

    /// Changes the token and the interest of a socket.
    ///
    /// # Errors
    /// [`PollError::NotRegistered`].
    pub fn modify(&self, socket: &Socket, token: u64, interest: Readiness) -> Result<(), PollError> {
        let slot = self.slot_of(socket)?;
        if let Some(registration) = self.state().sockets.get_mut(&slot) {
            (registration.token, registration.interest) = (token, interest);
        }
        self.client.region.tell_poller(self.index, slot);
        Ok(())
    }

    /// Tells of `socket` no more.
    ///
    /// # Errors
    /// [`PollError::NotRegistered`].
    pub fn remove(&self, socket: &Socket) -> Result<(), PollError> {
        let slot = self.slot_of(socket)?;
        let mut polled = socket.inner.polled();
        socket.first().control().set_poller(None);
        self.state().forget(slot);
        *polled = None;
        Ok(())
    }

    /// Waits until a socket is ready, or until `deadline`, and appends what there is to `events`. Returns how many
    /// those are: 0 when the time is over, or [`wake`](Self::wake) was called.
    pub fn wait(&self, events: &mut Vec<PollEvent>, deadline: Option<Instant>) -> usize {
        let before = events.len();
        let side = self.client.region.poller(self.index);
        // At the deadline there may still be something.
        side.bell.wait(Interest::ANY, deadline, || {
            let woken = self.collect(events);
            (woken || events.len() > before).then_some(())
        });
        events.len() - before
    }

    /// Has one call of [`wait`](Self::wait), now or next, return.
    pub fn wake(&self) {
        self.client.region.tell_poller(self.index, WAKE);
    }

    /// Looks at the sockets that may be ready, and returns whether the caller was asked to return.
    fn collect(&self, events: &mut Vec<PollEvent>) -> bool {
        let region = &self.client.region;
        let mut state = self.state();
        let mut woken = false;
        let ring = region.poller_ring(self.index);
        for slot in std::iter::from_fn(|| ring.pop()).take(ring.capacity()) {
            match slot {
                WAKE => woken = true,
                slot if (slot as usize) < region.slots() => {
                    state.nominate(slot, || region.control(slot).polled());
                }
                _ => {}
            }
        }
        if region.poller(self.index).take_overflow() {
            let all: Vec<u32> = state.sockets.keys().copied().collect();
            for slot in all {
                state.nominate(slot, || region.control(slot).polled());
            }
        }
        state.look(events);
        woken
    }

    fn slot_of(&self, socket: &Socket) -> Result<u32, PollError> {
        if *socket.inner.polled() == Some(self.index) {
            Ok(socket.first().slot())
        } else {
            Err(PollError::NotRegistered)
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes a socket a candidate. `polled` says that it is about to be looked at.
    fn nominate(&mut self, slot: u32, polled: impl FnOnce()) {
        let Some(registration) = self.sockets.get_mut(&slot) else { return };
        polled();
        if !std::mem::replace(&mut registration.is_candidate, true) {
            self.candidates.push(slot);
        }
    }

    fn forget(&mut self, slot: u32) {
        if self.sockets.remove(&slot).is_some_and(|registration| registration.is_candidate) {
            self.candidates.retain(|candidate| *candidate != slot);
        }
    }

    /// Looks at the candidates. Those that are ready stay candidates.
    fn look(&mut self, events: &mut Vec<PollEvent>) {
        let Self { sockets, candidates } = self;
        candidates.retain(|slot| {
            let Some(registration) = sockets.get_mut(slot) else { return false };
            let Some(socket) = registration.socket.upgrade() else {
                sockets.remove(slot);
                return false;
            };
            let always = Readiness::CLOSED | Readiness::ERROR;
            let ready = socket.readiness() & (registration.interest | always);
            registration.is_candidate = !ready.is_empty();
            if registration.is_candidate {
                events.push(PollEvent { token: registration.token, ready });
            }
            registration.is_candidate
        });
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        let sockets = std::mem::take(&mut self.state().sockets);
        for registration in sockets.into_values() {
            if let Some(inner) = registration.socket.upgrade() {
                let mut polled = inner.polled();
                inner.parts[0].control().set_poller(None);
                *polled = None;
            }
        }
        self.client.pollers.fetch_and(!(1 << self.index), Ordering::AcqRel);
    }
}
