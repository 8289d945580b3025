//! The cookies of Fast Open (RFC 7413 §4.1.2): proof that a client has received a packet at its address before, so
//! that the data on its SYN can be taken at once.

use core::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::FourTuple;
use super::isn::Secret;
use crate::time::{Duration, Instant};
use crate::wire::FastOpen;

/// A key that was not given is replaced as often. Cookies are good for one to two of these times.
const PERIOD: Duration = Duration::from_hours(12);

/// What cookies are made with.
#[derive(Clone, Debug)]
pub(crate) struct CookieKeys {
    /// The key that was given, and the one before it. Without one, keys come from the stack's secret.
    given: Option<[[u8; 16]; 2]>,
}

/// What a SYN's Fast Open option is worth to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    /// The cookie is good: data may be taken. One that will not be good for much longer is renewed.
    Good { renew: bool },
    /// There is no cookie, or a wrong one: the peer gets one for the next time.
    Wish,
}

impl CookieKeys {
    pub(crate) fn new(given: Option<[u8; 16]>) -> Self {
        Self { given: given.map(|key| [key; 2]) }
    }

    /// Takes another key. Cookies of the one before it stay good.
    pub(crate) fn replace(&mut self, key: [u8; 16]) {
        let before = self.given.map_or(key, |[current, _]| current);
        self.given = Some([key, before]);
    }

    /// The cookie for the peer of a connection.
    pub(crate) fn bake(&self, secret: &Secret, tuple: &FourTuple, now: Instant) -> [u8; 8] {
        let [current, _] = self.keys(secret, now);
        cookie(current, tuple)
    }

    pub(crate) fn judge(&self, secret: &Secret, tuple: &FourTuple, option: &FastOpen, now: Instant) -> Worth {
        let [current, before] = self.keys(secret, now).map(|key| cookie(key, tuple));
        match option.cookie() {
            cookie if cookie == current => Worth::Good { renew: false },
            cookie if cookie == before => Worth::Good { renew: true },
            _ => Worth::Wish,
        }
    }

    fn keys(&self, secret: &Secret, now: Instant) -> [[u8; 16]; 2] {
        self.given.unwrap_or_else(|| {
            let period = now.as_millis() / PERIOD.as_millis() as u64;
            // Before the first period there was none, as good as the one after all.
            [period, period.wrapping_sub(1)].map(|period| secret.fast_open_key(period))
        })
    }
}

/// An authenticator of both addresses. Other systems make the same of the same key, so that servers behind one
/// address can share it.
fn cookie(key: [u8; 16], tuple: &FourTuple) -> [u8; 8] {
    let mut hasher = SipHasher24::new_with_key(&key);
    for address in [tuple.remote.address, tuple.local.address] {
        match address.as_v4() {
            Some(v4) => hasher.write(&v4.octets()),
            None => hasher.write(&address.to_v6().octets()),
        }
    }
    hasher.finish().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::Endpoint;
    use core::net::IpAddr;

    fn tuple(ours: &str, peers: &str) -> FourTuple {
        let end = |text: &str| Endpoint::new(text.parse::<IpAddr>().expect("an address").into(), 1);
        FourTuple { local: end(ours), remote: end(peers) }
    }

    #[test]
    fn same_key_makes_the_cookies_that_linux_makes() {
        let mut key = [0xa1; 16];
        for (part, byte) in key.as_chunks_mut::<4>().0.iter_mut().zip([0xa1, 0xb2, 0xc3, 0xd4]) {
            *part = [byte; 4];
        }
        let v4 = cookie(key, &tuple("192.168.0.1", "192.0.2.1"));
        assert_eq!(v4, [0x30, 0x21, 0xb9, 0xd8, 0x89, 0x01, 0x7e, 0xeb]);
        let v6 = cookie(key, &tuple("fd3d:a0b:17d6::1", "fd3d:fa7b:d17d::1"));
        assert_eq!(v6, [0xc1, 0xd1, 0xe9, 0x74, 0x2a, 0x47, 0xa9, 0xbc]);
    }

    #[test]
    fn cookie_is_renewed_after_a_period_and_void_after_two() {
        let secret = Secret::new(&mut fastrand::Rng::with_seed(1));
        let (keys, tuple) = (CookieKeys::new(None), tuple("10.0.0.1", "10.0.0.2"));
        let option = FastOpen::new(&keys.bake(&secret, &tuple, Instant::ZERO), false).unwrap();
        let after = |hours| keys.judge(&secret, &tuple, &option, Instant::ZERO + Duration::from_hours(hours));
        assert_eq!(after(11), Worth::Good { renew: false });
        assert_eq!(after(13), Worth::Good { renew: true });
        assert_eq!(after(25), Worth::Wish);
    }

    #[test]
    fn given_key_is_good_until_the_one_after_the_next() {
        let secret = Secret::new(&mut fastrand::Rng::with_seed(1));
        let (mut keys, tuple) = (CookieKeys::new(Some([1; 16])), tuple("10.0.0.1", "10.0.0.2"));
        let option = FastOpen::new(&keys.bake(&secret, &tuple, Instant::ZERO), false).unwrap();
        let judge = |keys: &CookieKeys| keys.judge(&secret, &tuple, &option, Instant::ZERO);
        assert_eq!(judge(&keys), Worth::Good { renew: false });
        keys.replace([2; 16]);
        assert_eq!(judge(&keys), Worth::Good { renew: true });
        keys.replace([3; 16]);
        assert_eq!(judge(&keys), Worth::Wish);
        assert_eq!(keys.judge(&secret, &tuple, &FastOpen::request(false), Instant::ZERO), Worth::Wish);
    }
}
