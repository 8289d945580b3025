//! The client side of DHCP as a state machine (RFC 2131 §4.4): an address asked for, kept and given back.
//!
//! It sends nothing itself. What [`poll`](DhcpClient::poll) wants is carried out by its owner, who also finds out
//! whether somebody else has the address already (RFC 5227) and says so.

use core::net::Ipv4Addr;

use arrayvec::ArrayVec;
use ipnet::{IpNet, Ipv4Net};

use crate::time::{Duration, Instant};
use crate::wire::MacAddr;
use crate::wire::dhcp::{DhcpReply, DhcpRequest, MAX_SERVERS, ReplyKind, RequestKind};

/// A DHCP client for one interface.
#[derive(Debug)]
pub(crate) struct DhcpClient {
    mac: MacAddr,
    rng: fastrand::Rng,
    xid: u32,
    /// When it began to look for an address.
    begun: Instant,
    state: State,
    /// When the state has something to do.
    at: Instant,
}

/// What a server has given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix_len: u8,
    pub(crate) server: Ipv4Addr,
    /// Routers, the best first.
    pub(crate) routers: ArrayVec<Ipv4Addr, MAX_SERVERS>,
    /// DNS servers, the best first.
    pub(crate) dns: ArrayVec<Ipv4Addr, MAX_SERVERS>,
    times: Times,
}

/// When a lease wants attention; never, where it holds for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    /// T1: ask the server for more time.
    renew: Instant,
    /// T2: ask any server.
    rebind: Instant,
    expire: Instant,
}

/// What the client wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DhcpAction {
    /// Send this message to the server's address, or to everybody where there is none.
    Send { request: DhcpRequest, to: Option<Ipv4Addr> },
    /// Find out whether somebody has the address, and then call [`DhcpClient::confirm`] or
    /// [`DhcpClient::decline`].
    Probe(Ipv4Addr),
    /// The address is no longer ours.
    Lost(Lease),
}

/// What a server's message led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing that the owner has to know.
    Nothing,
    /// The lease was extended, and may have changed otherwise too.
    Extended(Lease),
    /// The server wants its address back at once.
    Lost(Lease),
}

#[derive(Debug)]
enum State {
    /// Waits before it asks, lest a whole site that was without power asks at once.
    Init,
    /// Has asked for offers.
    Selecting {
        tries: u32,
    },
    /// Has taken an offer.
    Requesting {
        offer: Offer,
        tries: u32,
    },
    /// Has an address, if nobody else has it: the owner is to find out.
    Granted(Lease),
    /// The owner is finding out.
    Probing(Lease),
    /// Has to tell the server that somebody else has the address.
    Declining(Lease),
    Bound(Lease),
    /// After T1.
    Renewing(Lease),
    /// After T2.
    Rebinding(Lease),
    /// The user wants no address any more.
    Released,
}

#[derive(Clone, Copy, Debug)]
struct Offer {
    address: Ipv4Addr,
    server: Ipv4Addr,
}

/// The longest pause before the first question. RFC 2131 §4.4.1 has 1 to 10 s; who starts a program does not want to
/// wait for so long, and a second spreads a site's questions as well.
const DESYNCHRONIZING: Duration = Duration::from_secs(1);
/// The pause after somebody else turned out to have the address (RFC 2131 §3.1, point 5).
const AFTER_DECLINE: Duration = Duration::from_secs(10);
/// The first pause between two questions, which doubles each time, and how often it does (RFC 2131 §4.1).
const FIRST_PAUSE: Duration = Duration::from_secs(4);
const DOUBLINGS: u32 = 4;
/// How often an offer is requested before it is given up: the sequence of RFC 2131 §3.1, point 5.
const REQUESTS: u32 = 4;
/// The least pause between two questions for more time (RFC 2131 §4.4.5).
const LEAST_PAUSE: Duration = Duration::from_secs(60);
/// A lease of fewer seconds is refused: it could not be kept.
const LEAST_LEASE: u32 = 10;

impl DhcpClient {
    /// A client that begins to ask soon after `now`.
    pub(crate) fn new(mac: MacAddr, now: Instant, seed: u64) -> Self {
        let mut client = Self {
            mac,
            rng: fastrand::Rng::with_seed(seed),
            xid: 0,
            begun: now,
            state: State::Init,
            at: now,
        };
        client.begin(now, Duration::ZERO);
        client
    }

    /// When [`poll`](Self::poll) has something to do, unless a message comes before.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Probing(_) | State::Released => None,
            State::Bound(lease) if lease.holds_for_ever() => None,
            _ => Some(self.at),
        }
    }

    /// The lease, while the address is ours.
    pub(crate) fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Bound(lease) | State::Renewing(lease) | State::Rebinding(lease) => Some(lease),
            _ => None,
        }
    }

    /// The next thing to do at `now`. Call it until there is nothing.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<DhcpAction> {
        if self.next_deadline().is_none_or(|at| now < at) {
            return None;
        }
        match core::mem::replace(&mut self.state, State::Init) {
            State::Init => Some(self.discover(now, 0)),
            State::Selecting { tries } => Some(self.discover(now, tries + 1)),
            State::Requesting { offer, tries } if tries < REQUESTS => Some(self.request(now, offer, tries)),
            State::Requesting { .. } => {
                self.begin(now, Duration::ZERO);
                None
            }
            State::Granted(lease) => {
                let address = lease.address;
                self.state = State::Probing(lease);
                Some(DhcpAction::Probe(address))
            }
            State::Declining(lease) => {
                self.begin(now, AFTER_DECLINE);
                Some(self.decline_message(&lease))
            }
            State::Bound(lease) | State::Renewing(lease) | State::Rebinding(lease) => {
                Some(self.keep(now, lease))
            }
            // These have no deadline.
            State::Probing(_) | State::Released => None,
        }
    }

    /// A server's message has come.
    pub(crate) fn receive(&mut self, now: Instant, reply: &DhcpReply) -> Heard {
        if reply.xid != self.xid || reply.mac != self.mac {
            return Heard::Nothing;
        }
        match (core::mem::replace(&mut self.state, State::Init), reply.kind) {
            (State::Selecting { tries }, ReplyKind::Offer) => match Offer::of(reply) {
                Some(offer) => {
                    self.state = State::Requesting { offer, tries: 0 };
                    self.at = now;
                }
                None => self.state = State::Selecting { tries },
            },
            (State::Requesting { offer, tries }, ReplyKind::Ack) => {
                // RFC 2131 §4.4.1: the server's name is that of the offer.
                let of_it = reply.server.is_none_or(|server| server == offer.server);
                match Lease::of(reply, offer.server, now).filter(|_| of_it && reply.address == offer.address)
                {
                    Some(lease) => {
                        self.state = State::Granted(lease);
                        self.at = now;
                    }
                    None => self.state = State::Requesting { offer, tries },
                }
            }
            (State::Requesting { offer, .. }, ReplyKind::Nak)
                if reply.server.is_none_or(|s| s == offer.server) =>
            {
                self.begin(now, Duration::ZERO);
            }
            (State::Renewing(lease) | State::Rebinding(lease), ReplyKind::Ack) => {
                match Lease::of(reply, lease.server, now).filter(|new| new.address == lease.address) {
                    Some(new) => {
                        self.at = new.times.renew;
                        self.state = State::Bound(new.clone());
                        return Heard::Extended(new);
                    }
                    None => self.state = State::Rebinding(lease),
                }
            }
            (State::Renewing(lease) | State::Rebinding(lease), ReplyKind::Nak) => {
                self.begin(now, Duration::ZERO);
                return Heard::Lost(lease);
            }
            (state, _) => self.state = state,
        }
        Heard::Nothing
    }

    /// Nobody else has the address that was to be probed: it is ours from now on.
    pub(crate) fn confirm(&mut self) -> Option<Lease> {
        match core::mem::replace(&mut self.state, State::Init) {
            State::Probing(lease) => {
                self.at = lease.times.renew;
                self.state = State::Bound(lease.clone());
                Some(lease)
            }
            state => {
                self.state = state;
                None
            }
        }
    }

    /// Somebody else has the address. Returns the lease that has ended by that, if it was in use.
    pub(crate) fn decline(&mut self, now: Instant) -> Option<Lease> {
        let used = self.lease().cloned();
        match core::mem::replace(&mut self.state, State::Init) {
            State::Probing(lease)
            | State::Bound(lease)
            | State::Renewing(lease)
            | State::Rebinding(lease) => {
                self.state = State::Declining(lease);
                self.at = now;
            }
            state => self.state = state,
        }
        used
    }

    /// The user wants no address any more. Returns the lease, if there is one, and the message that gives it back.
    pub(crate) fn release(&mut self) -> Option<(Lease, DhcpAction)> {
        let lease = self.lease().cloned();
        self.state = State::Released;
        let lease = lease?;
        self.xid = self.rng.u32(..);
        let request = DhcpRequest {
            client: lease.address,
            server: Some(lease.server),
            ..self.message(RequestKind::Release, self.begun)
        };
        let to = Some(lease.server);
        Some((lease, DhcpAction::Send { request, to }))
    }

    /// Begins anew, after `pause` and a little more.
    fn begin(&mut self, now: Instant, pause: Duration) {
        let more = DESYNCHRONIZING.mul_f64(self.rng.f64());
        self.state = State::Init;
        self.at = now + pause + more;
    }

    fn discover(&mut self, now: Instant, tries: u32) -> DhcpAction {
        if tries == 0 {
            self.xid = self.rng.u32(..);
            self.begun = now;
        }
        self.state = State::Selecting { tries };
        self.at = now + self.pause(tries);
        DhcpAction::Send { request: self.message(RequestKind::Discover, now), to: None }
    }

    fn request(&mut self, now: Instant, offer: Offer, tries: u32) -> DhcpAction {
        self.state = State::Requesting { offer, tries: tries + 1 };
        self.at = now + self.pause(tries);
        let request = DhcpRequest {
            requested: Some(offer.address),
            server: Some(offer.server),
            ..self.message(RequestKind::Request, now)
        };
        DhcpAction::Send { request, to: None }
    }

    /// Asks for more time, or gives up (RFC 2131 §4.4.5).
    fn keep(&mut self, now: Instant, lease: Lease) -> DhcpAction {
        let Times { rebind, expire, .. } = lease.times;
        if now >= expire {
            self.begin(now, Duration::ZERO);
            return DhcpAction::Lost(lease);
        }
        self.xid = self.rng.u32(..);
        let request = DhcpRequest { client: lease.address, ..self.message(RequestKind::Request, now) };
        let (to, until) = if now < rebind { (Some(lease.server), rebind) } else { (None, expire) };
        self.state = if now < rebind { State::Renewing(lease) } else { State::Rebinding(lease) };
        // Half of the time that is left, but no less than a minute; and then the next stage.
        let pause = (until.saturating_since(now) / 2).max(LEAST_PAUSE);
        self.at = until.min(now + pause);
        DhcpAction::Send { request, to }
    }

    fn decline_message(&mut self, lease: &Lease) -> DhcpAction {
        let request = DhcpRequest {
            requested: Some(lease.address),
            server: Some(lease.server),
            ..self.message(RequestKind::Decline, self.begun)
        };
        DhcpAction::Send { request, to: None }
    }

    fn message(&self, kind: RequestKind, now: Instant) -> DhcpRequest {
        let seconds = now.saturating_since(self.begun).as_secs().min(u64::from(u16::MAX)) as u16;
        DhcpRequest {
            kind,
            xid: self.xid,
            seconds,
            mac: self.mac,
            client: Ipv4Addr::UNSPECIFIED,
            requested: None,
            server: None,
        }
    }

    /// 4, 8, 16, 32 and then 64 s, each a second more or less (RFC 2131 §4.1).
    fn pause(&mut self, tries: u32) -> Duration {
        let pause = FIRST_PAUSE * (1 << tries.min(DOUBLINGS));
        pause - Duration::from_secs(1) + Duration::from_secs(2).mul_f64(self.rng.f64())
    }
}

impl Offer {
    fn of(reply: &DhcpReply) -> Option<Self> {
        let server = reply.server.filter(|server| is_host(*server))?;
        is_host(reply.address).then_some(Self { address: reply.address, server })
    }
}

impl Lease {
    /// The lease that an acknowledgement of `server` gives at `now`, if it makes sense.
    fn of(reply: &DhcpReply, server: Ipv4Addr, now: Instant) -> Option<Self> {
        let seconds = reply.lease.filter(|seconds| *seconds >= LEAST_LEASE)?;
        if !is_host(reply.address) {
            return None;
        }
        Some(Self {
            address: reply.address,
            // Without a mask, the address's class decides (RFC 791 §3.2).
            prefix_len: reply.prefix_len.filter(|len| (1..=32).contains(len)).unwrap_or(
                match reply.address.octets()[0] {
                    0..128 => 8,
                    128..192 => 16,
                    _ => 24,
                },
            ),
            server: reply.server.unwrap_or(server),
            routers: reply.routers.clone(),
            dns: reply.dns.clone(),
            times: Times::of(seconds, reply.renewal, reply.rebinding, now),
        })
    }

    /// The address with its subnet.
    pub(crate) fn subnet(&self) -> IpNet {
        let net = Ipv4Net::new(self.address, self.prefix_len);
        net.unwrap_or_else(|_| Ipv4Net::from(self.address)).into()
    }

    /// Whether another lease of the same address says the same about the network.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        (self.prefix_len, &self.routers, &self.dns) == (other.prefix_len, &other.routers, &other.dns)
    }

    fn holds_for_ever(&self) -> bool {
        self.times.expire == FOREVER
    }
}

/// A time that never comes.
const FOREVER: Instant = Instant::from_nanos(u64::MAX);

impl Times {
    fn of(seconds: u32, renewal: Option<u32>, rebinding: Option<u32>, now: Instant) -> Self {
        // RFC 2131 §3.3: all ones is for ever.
        if seconds == u32::MAX {
            return Self { renew: FOREVER, rebind: FOREVER, expire: FOREVER };
        }
        // RFC 2131 §4.4.5: half and seven eighths of the lease, unless the server says otherwise.
        let rebinding = rebinding.filter(|t2| *t2 < seconds).unwrap_or(seconds / 8 * 7);
        let renewal = renewal.filter(|t1| *t1 < rebinding).unwrap_or((seconds / 2).min(rebinding));
        let after = |seconds: u32| now + Duration::from_secs(u64::from(seconds));
        Self { renew: after(renewal.max(1)), rebind: after(rebinding.max(1)), expire: after(seconds) }
    }
}

/// Whether an address can be a host's.
fn is_host(address: Ipv4Addr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast() && !address.is_loopback()
}

#[cfg(test)]
mod tests;
