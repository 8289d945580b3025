//! SYN cookies (RFC 4987 §3.6): all that a handshake has to be remembered by, in the sequence number of our
//! SYN-ACK and in the low bits of its timestamp. The peer brings both back when it completes the handshake.
//!
//! | bits of the sequence number | meaning |
//! |---|---|
//! | 31 | the period in which the cookie was made, even or odd |
//! | 30 to 28 | which of [`SEGMENT_SIZES`] is the peer's MSS, hidden by the authenticator |
//! | 27 to 0 | an authenticator of both ends, the peer's sequence number, the period and the segment size |
//!
//! | bits of the timestamp | meaning |
//! |---|---|
//! | 31 to 6 | our clock |
//! | 5 | the peer takes selective acknowledgements |
//! | 4 | the peer understands congestion marks |
//! | 3 to 0 | by how many bits the peer's windows are scaled, or [`UNSCALED`] |

use super::handshake::{Exchange, Offer};
use super::isn::Secret;
use super::seq::WindowScale;
use super::{FourTuple, Segment, SeqNumber};
use crate::time::{Duration, Instant};

/// The segment sizes that a cookie can tell. A peer's own is rounded down: the smallest that hosts take, the
/// default, IPv6's least, two of tunnels and PPPoE, Ethernet, and one of jumbo frames.
const SEGMENT_SIZES: [u16; 8] = [64, 536, 1_220, 1_360, 1_440, 1_452, 1_460, 8_960];

/// A secret is used for so long; cookies are accepted in the period after their own as well.
const PERIOD: Duration = Duration::from_secs(64);

/// How long a cookie may be good for.
pub(crate) const LIFETIME: Duration = Duration::from_secs(128);

const AUTHENTICATOR: u32 = (1 << 28) - 1;
const SIZE_SHIFT: u32 = 28;
const PERIOD_SHIFT: u32 = 31;

/// Bits of a timestamp that carry options.
const OPTION_BITS: u32 = 6;
const SACK: u32 = 1 << 5;
const ECN: u32 = 1 << 4;
/// More than any window is scaled by (RFC 7323 §2.3).
const UNSCALED: u32 = 0xf;

/// The sequence number that answers a SYN `irs` which offers `peers`.
pub(crate) fn bake(
    secret: &Secret,
    tuple: &FourTuple,
    irs: SeqNumber,
    peers: &Offer,
    now: Instant,
) -> SeqNumber {
    let size = SEGMENT_SIZES.iter().rposition(|&size| size <= peers.mss).unwrap_or(0);
    seal(secret, tuple, irs, size as u32, period(now))
}

/// What was said in the handshake that `ack` completes, if its acknowledgement is a cookie of ours: `ours` is
/// what we would have offered.
pub(crate) fn open(
    secret: &Secret,
    tuple: &FourTuple,
    ack: &Segment<'_>,
    ours: Offer,
    now: Instant,
) -> Option<Exchange> {
    let (iss, irs) = (ack.ack - 1, ack.seq - 1);
    let current = period(now);
    let made =
        if (current & 1) as u32 == iss.0 >> PERIOD_SHIFT { current } else { current.checked_sub(1)? };
    let size = (0..SEGMENT_SIZES.len()).find(|&size| seal(secret, tuple, irs, size as u32, made) == iss)?;
    let mut peers = Offer {
        mss: SEGMENT_SIZES[size],
        scale: None,
        timestamps: None,
        sack: false,
        ecn: false,
        window: ack.window,
    };
    if let (Some(_), Some(stamps)) = (ours.timestamps, ack.options.timestamps) {
        let options = stamps.echo;
        peers.timestamps = Some(stamps.value);
        peers.sack = options & SACK != 0;
        peers.ecn = options & ECN != 0;
        let scale = options & UNSCALED;
        peers.scale = (scale != UNSCALED).then(|| WindowScale::new(scale as u8));
    }
    Some(Exchange { iss, irs, ours, peers })
}

/// What of a peer's offer a cookie can carry: without timestamps, the segment size alone.
pub(crate) fn rememberable(ours: &Offer, peers: Offer) -> Offer {
    if ours.timestamps.is_some() && peers.timestamps.is_some() {
        return peers;
    }
    Offer { scale: None, timestamps: None, sack: false, ecn: false, ..peers }
}

/// The timestamp in place of `clock` that carries what the peer has offered. It is never later than the clock,
/// so that those that follow are not older.
pub(crate) fn stamp(clock: u32, peers: &Offer) -> u32 {
    let sack = if peers.sack { SACK } else { 0 };
    let ecn = if peers.ecn { ECN } else { 0 };
    let options = sack | ecn | peers.scale.map_or(UNSCALED, |scale| u32::from(scale.shift()));
    let stamp = clock >> OPTION_BITS << OPTION_BITS | options;
    if SeqNumber(stamp).after(SeqNumber(clock)) { stamp.wrapping_sub(1 << OPTION_BITS) } else { stamp }
}

fn seal(secret: &Secret, tuple: &FourTuple, irs: SeqNumber, size: u32, period: u64) -> SeqNumber {
    let hash = secret.cookie(tuple, irs, size, period);
    let mask = (hash >> SIZE_SHIFT) as u32 & 0b111;
    SeqNumber(hash as u32 & AUTHENTICATOR | (size ^ mask) << SIZE_SHIFT | (period as u32 & 1) << PERIOD_SHIFT)
}

fn period(now: Instant) -> u64 {
    now.as_millis() / PERIOD.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::Endpoint;
    use crate::wire::{TcpFlags, TcpOptions, Timestamps};
    use core::net::Ipv4Addr;

    fn tuple(port: u16) -> FourTuple {
        let end = |last, port| Endpoint::new(Ipv4Addr::new(10, 0, 0, last).into(), port);
        FourTuple { local: end(1, 80), remote: end(2, port) }
    }

    fn secret() -> Secret {
        Secret::new(&mut fastrand::Rng::with_seed(1))
    }

    fn offer(mss: u16) -> Offer {
        Offer { mss, timestamps: Some(0), ..Offer::NOTHING }
    }

    fn echoing(echo: u32) -> TcpOptions {
        TcpOptions { timestamps: Some(Timestamps { value: 7, echo }), ..TcpOptions::default() }
    }

    fn answer(cookie: SeqNumber, irs: SeqNumber, options: &TcpOptions) -> Segment<'_> {
        Segment {
            seq: irs + 1,
            ack: cookie + 1,
            flags: TcpFlags::ACK,
            window: 100,
            options,
            payload: &[],
            joined: 1,
            ce: false,
        }
    }

    #[test]
    fn cookie_tells_the_segment_size_rounded_down() {
        for (mss, told) in [(1, 64), (536, 536), (1_459, 1_452), (1_460, 1_460), (u16::MAX, 8_960)] {
            let (secret, irs) = (secret(), SeqNumber(9));
            let cookie = bake(&secret, &tuple(1), irs, &offer(mss), Instant::ZERO);
            let exchange =
                open(&secret, &tuple(1), &answer(cookie, irs, &echoing(0)), offer(1_460), Instant::ZERO)
                    .unwrap();
            assert_eq!((exchange.peers.mss, exchange.iss, exchange.irs), (told, cookie, irs));
        }
    }

    #[test]
    fn cookie_is_good_for_its_own_ends_and_sequence_number_alone() {
        let (secret, irs) = (secret(), SeqNumber(9));
        let cookie = bake(&secret, &tuple(1), irs, &offer(1_460), Instant::ZERO);
        let options = echoing(0);
        let open = |tuple, cookie, irs| {
            let answer = answer(cookie, irs, &options);
            open(&secret, &tuple, &answer, offer(1_460), Instant::ZERO).is_some()
        };
        assert!(open(tuple(1), cookie, irs));
        assert!(!open(tuple(2), cookie, irs));
        assert!(!open(tuple(1), cookie, irs + 1));
        assert!((1..1_000).all(|wrong| !open(tuple(1), cookie + wrong, irs)));
    }

    #[test]
    fn cookie_is_good_for_one_to_two_periods() {
        let (secret, irs) = (secret(), SeqNumber(9));
        for made in [0, 63, 64, 100] {
            let made = Instant::ZERO + Duration::from_secs(made);
            let cookie = bake(&secret, &tuple(1), irs, &offer(1_460), made);
            let good = |after: u64| {
                let now = made + Duration::from_secs(after);
                open(&secret, &tuple(1), &answer(cookie, irs, &echoing(0)), offer(1_460), now).is_some()
            };
            assert!(good(0) && good(64) && !good(128) && !good(192));
        }
    }

    #[test]
    fn timestamp_carries_the_other_options_and_is_not_ahead_of_the_clock() {
        for clock in [0, 1, 63, 64, 1_000, u32::MAX] {
            for shift in [None, Some(0), Some(14)] {
                for sack in [false, true] {
                    let peers = Offer { scale: shift.map(WindowScale::new), sack, ..offer(1_460) };
                    let stamp = stamp(clock, &peers);
                    assert!(clock.wrapping_sub(stamp) < 1 << 6, "{stamp} for {clock}");
                    let (secret, irs) = (secret(), SeqNumber(9));
                    let cookie = bake(&secret, &tuple(1), irs, &peers, Instant::ZERO);
                    let options = echoing(stamp);
                    let answer = answer(cookie, irs, &options);
                    let told = open(&secret, &tuple(1), &answer, offer(1_460), Instant::ZERO).unwrap().peers;
                    assert_eq!((told.scale, told.sack, told.timestamps), (peers.scale, sack, Some(7)));
                }
            }
        }
    }

    #[test]
    fn without_timestamps_only_the_segment_size_is_remembered() {
        let peers = Offer { scale: Some(WindowScale::new(7)), sack: true, ..offer(1_460) };
        let told = rememberable(&Offer { timestamps: None, ..offer(1_460) }, peers);
        assert_eq!((told.mss, told.scale, told.sack, told.timestamps), (1_460, None, false, None));
        let told = rememberable(&offer(1_460), peers);
        assert_eq!((told.scale, told.sack, told.timestamps), (peers.scale, true, Some(0)));
    }
}
