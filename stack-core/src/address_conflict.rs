//! Whether somebody else on the link has an address of ours (RFC 5227), before it is used and while it is.

use core::net::Ipv4Addr;

use crate::time::{Duration, Instant};
use crate::wire::{ArpRepr, MacAddr};

/// One address that is looked after.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) address: Ipv4Addr,
    stage: Stage,
    /// When the stage has something to do.
    at: Option<Instant>,
    /// When a conflict was last answered with a defence.
    defended: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is asked for, and not used yet.
    Probing { sent: u8 },
    /// It is ours, which others are told.
    Announcing { sent: u8 },
    /// It is ours.
    Held,
}

/// What a claim wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimAction {
    /// Ask who has the address, from nobody.
    Probe,
    /// Nobody has answered: the address may be used.
    Won,
    /// Tell everybody that we have it.
    Announce,
}

/// What an ARP packet means for a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Nothing,
    /// Somebody else has, or wants, the address that we have not used yet.
    Taken,
    /// Somebody else uses our address: tell everybody once that we have it.
    Defend,
    /// Somebody else uses our address and did not let go of it: give it up.
    GiveUp,
}

// RFC 5227 §1.1.
const PROBE_WAIT: Duration = Duration::from_secs(1);
const PROBE_NUM: u8 = 3;
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(2);
const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
const ANNOUNCE_NUM: u8 = 2;
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

impl Claim {
    /// A claim on an address that is to be used only once nobody else turns out to have it.
    pub(crate) fn probing(address: Ipv4Addr, now: Instant, rng: &mut fastrand::Rng) -> Self {
        let at = now + PROBE_WAIT.mul_f64(rng.f64());
        Self { address, stage: Stage::Probing { sent: 0 }, at: Some(at), defended: None }
    }

    /// A claim on an address that is in use already: others are told at `now`.
    pub(crate) const fn announcing(address: Ipv4Addr, now: Instant) -> Self {
        Self { address, stage: Stage::Announcing { sent: 0 }, at: Some(now), defended: None }
    }

    /// When [`poll`](Self::poll) has something to do.
    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.at
    }

    /// The next thing to do at `now`. Call it until there is nothing.
    pub(crate) fn poll(&mut self, now: Instant, rng: &mut fastrand::Rng) -> Option<ClaimAction> {
        if self.at.is_none_or(|at| now < at) {
            return None;
        }
        match self.stage {
            Stage::Probing { sent } if sent < PROBE_NUM => {
                self.stage = Stage::Probing { sent: sent + 1 };
                let pause = PROBE_MIN + (PROBE_MAX - PROBE_MIN).mul_f64(rng.f64());
                self.at = Some(now + if sent + 1 < PROBE_NUM { pause } else { ANNOUNCE_WAIT });
                Some(ClaimAction::Probe)
            }
            Stage::Probing { .. } => {
                self.stage = Stage::Announcing { sent: 0 };
                Some(ClaimAction::Won)
            }
            Stage::Announcing { sent } => {
                let is_last = sent + 1 >= ANNOUNCE_NUM;
                self.stage = if is_last { Stage::Held } else { Stage::Announcing { sent: sent + 1 } };
                self.at = (!is_last).then(|| now + ANNOUNCE_INTERVAL);
                Some(ClaimAction::Announce)
            }
            Stage::Held => {
                self.at = None;
                None
            }
        }
    }

    /// An ARP packet has come, from the station `sender`; `own` is our Ethernet address.
    pub(crate) fn hear(&mut self, now: Instant, arp: &ArpRepr, own: MacAddr) -> Verdict {
        if arp.sender_mac == own {
            return Verdict::Nothing;
        }
        let has_it = arp.sender_ip == self.address;
        // RFC 5227 §2.1.1: a probe for the same address by somebody else.
        let wants_it = arp.sender_ip.is_unspecified() && arp.target_ip == self.address;
        match self.stage {
            Stage::Probing { .. } if has_it || wants_it => Verdict::Taken,
            Stage::Announcing { .. } | Stage::Held if has_it => {
                // RFC 5227 §2.4 (b): one defence, and no second one within ten seconds.
                let lately = self.defended.is_some_and(|at| now.saturating_since(at) < DEFEND_INTERVAL);
                self.defended = Some(now);
                if lately { Verdict::GiveUp } else { Verdict::Defend }
            }
            _ => Verdict::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::wire::ArpOperation;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
    const OWN: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn arp(sender: (MacAddr, Ipv4Addr), target_ip: Ipv4Addr) -> ArpRepr {
        ArpRepr {
            operation: ArpOperation::Request,
            sender_mac: sender.0,
            sender_ip: sender.1,
            target_mac: MacAddr::ZERO,
            target_ip,
        }
    }

    /// All that a claim wants done, and when.
    fn acts(claim: &mut Claim, seed: u64) -> Vec<(Instant, ClaimAction)> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut acts = Vec::new();
        while let Some(when) = claim.next_deadline() {
            acts.extend(claim.poll(when, &mut rng).map(|act| (when, act)));
        }
        acts
    }

    /// RFC 5227 §1.1, §2.1.1 and §2.3.
    #[test]
    fn three_probes_then_a_pause_and_two_announcements() {
        use ClaimAction::{Announce, Probe, Won};
        for seed in 0..100 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let acts = acts(&mut Claim::probing(ADDRESS, at(0), &mut rng), seed);
            let kinds: Vec<_> = acts.iter().map(|(_, act)| *act).collect();
            assert_eq!(kinds, [Probe, Probe, Probe, Won, Announce, Announce]);
            let pauses: Vec<_> = acts.windows(2).map(|two| (two[1].0 - two[0].0).as_secs_f64()).collect();
            assert!(acts[0].0 <= at(1_000));
            assert!(pauses[..2].iter().all(|pause| (1.0..=2.0).contains(pause)));
            assert_eq!(pauses[2..], [2.0, 0.0, 2.0]);
        }
    }

    #[test]
    fn an_address_that_somebody_has_or_wants_is_not_used() {
        let mut claim = Claim::probing(ADDRESS, at(0), &mut fastrand::Rng::with_seed(1));
        let nobody = Ipv4Addr::UNSPECIFIED;
        assert_eq!(
            claim.hear(at(1), &arp((OTHER, Ipv4Addr::new(10, 0, 0, 2)), ADDRESS), OWN),
            Verdict::Nothing
        );
        assert_eq!(claim.hear(at(1), &arp((OWN, nobody), ADDRESS), OWN), Verdict::Nothing, "our own probe");
        assert_eq!(claim.hear(at(1), &arp((OTHER, nobody), ADDRESS), OWN), Verdict::Taken);
        assert_eq!(claim.hear(at(1), &arp((OTHER, ADDRESS), nobody), OWN), Verdict::Taken);
    }

    /// RFC 5227 §2.4 (b).
    #[test]
    fn an_address_in_use_is_defended_once_in_ten_seconds() {
        let mut claim = Claim::announcing(ADDRESS, at(0));
        let conflict = arp((OTHER, ADDRESS), ADDRESS);
        let probe = arp((OTHER, Ipv4Addr::UNSPECIFIED), ADDRESS);
        assert_eq!(claim.hear(at(1), &probe, OWN), Verdict::Nothing, "it is answered like any question");
        assert_eq!(claim.hear(at(1), &conflict, OWN), Verdict::Defend);
        assert_eq!(claim.hear(at(10_001), &conflict, OWN), Verdict::Defend);
        assert_eq!(claim.hear(at(20_000), &conflict, OWN), Verdict::GiveUp);
    }
}
