//! Numbers that an outsider must not guess: initial sequence numbers, timestamp offsets, source ports.

use core::hash::Hasher;

use siphasher::sip::{SipHasher13, SipHasher24};

use super::FourTuple;
use super::seq::SeqNumber;
use crate::time::Instant;

/// A secret that lives as long as the stack, and what is derived from it.
#[derive(Clone, Debug)]
pub(crate) struct Secret {
    key: [u8; 16],
}

impl Secret {
    pub(crate) fn new(rng: &mut fastrand::Rng) -> Self {
        Self { key: rng.u128(..).to_ne_bytes() }
    }

    /// RFC 6528 §3: ISN = M + F(localip, localport, remoteip, remoteport, secretkey), where M counts up every
    /// 4 microseconds.
    pub(crate) fn initial_sequence_number(&self, tuple: &FourTuple, now: Instant) -> SeqNumber {
        let clock = (now.as_micros() / 4) as u32;
        SeqNumber(clock.wrapping_add(self.hash(0, tuple) as u32))
    }

    /// Where the timestamps of a connection start (RFC 7323 §7.1), so that they don't tell how long the stack
    /// has been running.
    pub(crate) fn timestamp_offset(&self, tuple: &FourTuple) -> u32 {
        self.hash(1, tuple) as u32
    }

    /// RFC 6056 §3.3.4: where the search for a free local port begins, for each remote end another place, and
    /// which counter tells how far it has come.
    pub(crate) fn port_hash(&self, tuple: &FourTuple) -> u64 {
        self.hash(2, &FourTuple { local: tuple.local.with_port(0), ..*tuple })
    }

    /// The authenticator of a SYN cookie: what nobody can tell who has not seen it. Each `period` has other ones,
    /// as if it had a secret of its own.
    pub(crate) fn cookie(&self, tuple: &FourTuple, irs: SeqNumber, size: u32, period: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write_u8(3);
        hasher.write_u64(period);
        hasher.write_u64(u64::from(size) << 32 | u64::from(irs.0));
        core::hash::Hash::hash(tuple, &mut hasher);
        hasher.finish()
    }

    /// The key of a period's Fast Open cookies.
    pub(crate) fn fast_open_key(&self, period: u64) -> [u8; 16] {
        let half = |n: u8| {
            let mut hasher = SipHasher24::new_with_key(&self.key);
            hasher.write_u8(4 + n);
            hasher.write_u64(period);
            u128::from(hasher.finish())
        };
        (half(0) << 64 | half(1)).to_ne_bytes()
    }

    fn hash(&self, purpose: u8, tuple: &FourTuple) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u8(purpose);
        core::hash::Hash::hash(tuple, &mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::tcp::Endpoint;
    use core::net::Ipv4Addr;

    fn tuple(port: u16) -> FourTuple {
        let address = Address::v4(Ipv4Addr::new(10, 0, 0, 1));
        FourTuple { local: Endpoint::new(address, port), remote: Endpoint::new(address, 80) }
    }

    #[test]
    fn the_same_connection_gets_numbers_that_grow_with_the_clock() {
        let secret = Secret::new(&mut fastrand::Rng::with_seed(1));
        let first = secret.initial_sequence_number(&tuple(1), Instant::ZERO);
        let later = secret.initial_sequence_number(&tuple(1), Instant::from_millis(1));
        assert_eq!(later.since(first), 250);
    }

    #[test]
    fn other_connections_and_other_stacks_get_unrelated_numbers() {
        let secret = Secret::new(&mut fastrand::Rng::with_seed(1));
        let other = Secret::new(&mut fastrand::Rng::with_seed(2));
        let isn = secret.initial_sequence_number(&tuple(1), Instant::ZERO);
        assert_ne!(isn, secret.initial_sequence_number(&tuple(2), Instant::ZERO));
        assert_ne!(isn, other.initial_sequence_number(&tuple(1), Instant::ZERO));
        assert_ne!(secret.timestamp_offset(&tuple(1)), isn.0);
    }
}
