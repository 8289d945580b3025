//! What a connection's user has chosen, which the stack does not tell back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use netlane_runtime::KeepAlive;

/// The options of a connection.
#[derive(Debug, Default)]
pub(crate) struct Options(Mutex<Chosen>);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) no_delay: bool,
    pub(crate) cork: bool,
    pub(crate) keepalive: Option<KeepAlive>,
    pub(crate) user_timeout: Option<Duration>,
    /// How long closing waits for what was written to arrive; zero resets the peer instead.
    pub(crate) linger: Option<Duration>,
}

impl Options {
    pub(crate) fn get(&self) -> Chosen {
        *self.lock()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Chosen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
