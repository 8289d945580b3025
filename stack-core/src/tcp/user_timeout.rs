//! The user timeout: how long data may stay unacknowledged before the connection is given up, as the user wants it
//! and as both ends tell each other (RFC 5482).

use crate::time::Duration;
use crate::wire;

/// RFC 5482 §3.1, L_LIMIT and U_LIMIT: what the peer can make of our timeout. RFC 1122 §4.2.3.5 asks for at least
/// 100 seconds; beyond an hour a peer would only have us keep memory.
const LEAST: Duration = Duration::from_secs(100);
const MOST: Duration = Duration::from_hours(1);

/// The user timeout of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UserTimeout {
    /// What was chosen here.
    ours: Option<Duration>,
    /// The user of this very socket has chosen, so that nothing else counts.
    fixed: bool,
    /// What the peer has told.
    peers: Option<Duration>,
    /// The peer shall be told.
    pub(crate) announce: bool,
}

impl UserTimeout {
    /// What the configuration wants for all connections.
    pub(crate) fn configured(ours: Option<Duration>, announce: bool) -> Self {
        Self { ours, announce: announce && ours.is_some(), ..Self::default() }
    }

    /// What the user wants for this one.
    pub(crate) fn choose(&mut self, ours: Option<Duration>, announce: bool) {
        self.ours = ours;
        self.fixed = ours.is_some();
        self.announce = announce && ours.is_some();
    }

    pub(crate) fn hear(&mut self, peers: wire::UserTimeout) {
        self.peers = Some(peers.duration());
    }

    /// The time after which unacknowledged data ends the connection; where `None`, a number of repetitions does.
    pub(crate) fn limit(&self) -> Option<Duration> {
        match self.peers {
            // RFC 5482 §3.1: the longer of both, within bounds.
            Some(peers) if !self.fixed => Some(peers.max(self.ours.unwrap_or_default()).clamp(LEAST, MOST)),
            _ => self.ours,
        }
    }

    /// The option that tells the peer.
    pub(crate) fn option(&self) -> Option<wire::UserTimeout> {
        self.ours.filter(|_| self.announce).map(wire::UserTimeout::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn longer_of_both_timeouts_holds_within_bounds() {
        let mut timeout = UserTimeout::configured(Some(secs(200)), true);
        assert_eq!(timeout.limit(), Some(secs(200)));
        for (told, holds) in [(300, 300), (150, 200), (100_000, 3_600)] {
            timeout.hear(wire::UserTimeout::new(secs(told)));
            assert_eq!(timeout.limit(), Some(secs(holds)));
        }
        let mut nothing = UserTimeout::configured(None, true);
        assert_eq!(nothing.limit(), None);
        nothing.hear(wire::UserTimeout::new(secs(1)));
        assert_eq!(nothing.limit(), Some(secs(100)));
    }

    #[test]
    fn choice_for_one_socket_is_not_the_peers_business() {
        let mut timeout = UserTimeout::default();
        timeout.choose(Some(secs(5)), false);
        timeout.hear(wire::UserTimeout::new(secs(500)));
        assert_eq!(timeout.limit(), Some(secs(5)));
    }
}
