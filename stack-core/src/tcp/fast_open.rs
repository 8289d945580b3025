//! The cookies of Fast Open (RFC 7413 §4.1.2): proof that a client has received a packet at its address before, so
//! that the data on its SYN can be taken at once. Servers make them, and clients keep them.

use alloc::collections::VecDeque;

use core::hash::Hasher;

use foldhash::quality::FixedState;
use hashbrown::HashMap;
use siphasher::sip::SipHasher24;

use super::FourTuple;
use super::isn::Secret;
use crate::address::Address;
use crate::time::{Duration, Instant};
use crate::wire::FastOpen;
use crate::wire::tcp::MAX_OPTIONS_LEN;

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

/// What a SYN asks for, or brings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FastSyn {
    pub(crate) option: FastOpen,
    /// The most bytes that the SYN may carry.
    pub(crate) room: u16,
    /// The bytes that it has carried.
    pub(crate) sent: u16,
}

/// What is known of servers, of as many as there is room for.
#[derive(Debug)]
pub(crate) struct Servers {
    known: HashMap<Address, Server, FixedState>,
    /// In the order in which they became known.
    order: VecDeque<Address>,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Server {
    cookie: Option<FastOpen>,
    mss: u16,
    /// It did not know the option; the next request has the form that it had as an experiment.
    try_experimental: bool,
    /// SYNs with the option that were lost in a row, and until when none is sent therefore.
    losses: u8,
    silent_until: Instant,
}

impl Servers {
    pub(crate) fn new(limit: usize, key: u64) -> Self {
        let known = HashMap::with_hasher(FixedState::with_seed(key));
        Self { known, order: VecDeque::new(), limit }
    }

    /// What the SYN to a server may ask for or bring; `None` where the option only does harm.
    pub(crate) fn fast_syn(&self, server: Address, mss: u16, now: Instant) -> Option<FastSyn> {
        let Some(known) = self.known.get(&server) else {
            return Some(FastSyn { option: FastOpen::request(false), room: 0, sent: 0 });
        };
        if now < known.silent_until {
            return None;
        }
        // RFC 7413 §4.2.1: what the server takes, less the options that the header may have.
        let room = known.cookie.map_or(0, |_| known.mss.min(mss).saturating_sub(MAX_OPTIONS_LEN as u16));
        let option = known.cookie.unwrap_or(FastOpen::request(known.try_experimental));
        Some(FastSyn { option, room, sent: 0 })
    }

    /// Notes the SYN-ACK to a SYN with `asked`: whether that SYN had to be repeated without the option, the cookie
    /// that came back, and the server's MSS.
    pub(crate) fn learn(
        &mut self,
        server: Address,
        asked: &FastSyn,
        repeated: bool,
        given: Option<FastOpen>,
        mss: u16,
        now: Instant,
    ) {
        if self.limit == 0 {
            return;
        }
        if !self.known.contains_key(&server) {
            self.make_room();
            self.order.push_back(server);
        }
        let known = self.known.entry(server).or_insert(Server {
            cookie: None,
            mss,
            try_experimental: false,
            losses: 0,
            silent_until: Instant::ZERO,
        });
        known.mss = mss;
        if let Some(cookie) = given.filter(|given| !given.cookie().is_empty()) {
            known.cookie = Some(cookie);
        }
        if repeated {
            // RFC 7413 §4.1.3.1 and §7.1: something on the way may swallow SYNs with the option, or with data.
            known.silent_until = now + SILENCE * (1 << known.losses.min(MOST_DOUBLINGS));
            known.losses = known.losses.saturating_add(1);
            return;
        }
        known.losses = 0;
        if known.cookie.is_none() {
            if asked.option.is_experimental() {
                known.silent_until = now + SILENCE;
            }
            known.try_experimental = !asked.option.is_experimental();
        }
    }

    pub(crate) fn forget(&mut self) {
        self.known.clear();
        self.order.clear();
    }

    fn make_room(&mut self) {
        if self.known.len() >= self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// How long a server is not bothered with the option after it seemed to do harm; doubled with each time.
const SILENCE: Duration = Duration::from_hours(1);
const MOST_DOUBLINGS: u8 = 5;

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
    fn no_more_servers_are_known_than_there_is_room_for() {
        let mut servers = Servers::new(2, 1);
        let address = |n: u8| Address::v4([10, 0, 0, n].into());
        let asked = servers.fast_syn(address(1), 1_460, Instant::ZERO).unwrap();
        for n in 1..=3 {
            servers.learn(address(n), &asked, false, FastOpen::new(&[n; 8], false), 1_460, Instant::ZERO);
        }
        let cookie =
            |n: u8| servers.fast_syn(address(n), 1_460, Instant::ZERO).unwrap().option.cookie().len();
        assert_eq!([cookie(1), cookie(2), cookie(3)], [0, 8, 8]);
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
