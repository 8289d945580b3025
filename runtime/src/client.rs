//! The client's side: sockets for any thread, and the lanes behind them in shared memory.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use netlane_core::{BindOptions, Route};

pub use error::{
    BindError, ConnectError, LaneGone, NetworkError, PollError, RecvError, SendError, WaitError,
};
pub use poller::{PollEvent, Poller};
pub use socket::{Socket, SocketKind};

use crate::counters::Counters;
use crate::shared::{Capacity, Failure, Interest, NetworkChange, Question, Region, Request};
use part::Part;

mod datagrams;
mod error;
mod part;
mod poller;
mod socket;
mod stream;

/// A program's attachment to the lanes of a host. Cheap to clone; any thread may use it.
///
/// Its calls are answered by the lanes. Those that open a socket wait for that answer, which takes a lane one turn,
/// and nothing else here blocks without saying so.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

/// What all clones of a client, and its sockets, have in common.
#[derive(Debug)]
struct Shared {
    region: Arc<Region>,
    /// The lane for the next connection, counted on and on.
    next_lane: AtomicUsize,
    /// For each lane, the number of the last question. Lanes answer one at a time.
    tickets: Vec<Mutex<u32>>,
    /// The pollers in use, a bit each.
    pollers: AtomicU64,
}

impl Client {
    pub(crate) fn new(region: Arc<Region>) -> Self {
        let lanes = region.shape().lanes;
        Self {
            shared: Arc::new(Shared {
                region,
                next_lane: AtomicUsize::new(0),
                tickets: (0..lanes).map(|_| Mutex::new(0)).collect(),
                pollers: AtomicU64::new(0),
            }),
        }
    }

    /// The number of lanes.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.shared.region.shape().lanes
    }

    /// Connects to `remote`, from `local` where the caller chose an address, a port (0 is any) or both, and waits
    /// until the connection is established or `deadline` has passed. Without a deadline, the stack's own timeout
    /// decides.
    ///
    /// The lanes take turns in connecting.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn tcp_connect(
        &self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        deadline: Option<Instant>,
    ) -> Result<Socket, ConnectError> {
        let socket = self.tcp_begin_connect(local, remote)?;
        socket.finish_connect(deadline)?;
        Ok(socket)
    }

    /// Begins to connect, as [`tcp_connect`](Self::tcp_connect), without waiting. The socket becomes
    /// [writable](netlane_core::Readiness::WRITABLE) when the connection is established, and closed with an
    /// [error](Socket::take_error) when it is not.
    ///
    /// # Errors
    /// [`ConnectError`], as far as it is known without asking the peer.
    pub fn tcp_begin_connect(
        &self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
    ) -> Result<Socket, ConnectError> {
        let lane = self.shared.next_lane.fetch_add(1, Ordering::Relaxed) % self.lanes();
        let slot = self.shared.take_slot(lane).ok_or(ConnectError::NoSlots)?;
        let request = Request::Connect { local, remote };
        let part = self.shared.open(slot, slot, Capacity::Stream, request)?;
        Ok(Socket::new(&self.shared, SocketKind::Stream, vec![part]))
    }

    /// Listens for connections to `local`. The unspecified address stands for all of the stack's, and port 0 for a
    /// free one: see [`Socket::local_addr`]. With each lane, `backlog` connections wait in the client's memory to be
    /// accepted, and as many again in the stack.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn tcp_listen(&self, local: SocketAddr, backlog: usize) -> Result<Socket, BindError> {
        self.tcp_listen_with(local, backlog, BindOptions::default())
    }

    /// As [`tcp_listen`](Self::tcp_listen), and may share the port with other listeners.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn tcp_listen_with(
        &self,
        local: SocketAddr,
        backlog: usize,
        options: BindOptions,
    ) -> Result<Socket, BindError> {
        let backlog = u32::try_from(backlog).unwrap_or(u32::MAX);
        let listen = |local, wake| Request::Listen { local, options, backlog, wake };
        if local.port() != 0 {
            return self.bind(SocketKind::Listener, local, listen);
        }
        let free = || SocketAddr::new(local.ip(), fastrand::u16(FIRST_DYNAMIC_PORT..));
        until_free(|| self.bind(SocketKind::Listener, free(), listen))
    }

    /// Takes UDP datagrams that come to `local`. The unspecified address stands for all of the stack's, and port 0
    /// for a free one: see [`Socket::local_addr`].
    ///
    /// # Errors
    /// [`BindError`].
    pub fn udp_bind(&self, local: SocketAddr) -> Result<Socket, BindError> {
        self.udp_bind_with(local, BindOptions::default())
    }

    /// As [`udp_bind`](Self::udp_bind), and may share the port with other sockets.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn udp_bind_with(&self, local: SocketAddr, options: BindOptions) -> Result<Socket, BindError> {
        let request = |local, wake| Request::BindUdp { local, options, wake };
        self.bind_datagrams(SocketKind::Udp, local, request)
    }

    /// Sends ICMP echo requests and takes the replies that carry the identifier `ident`; 0 stands for a free one,
    /// which [`Socket::local_addr`] shows in the port's place. A datagram is a sequence number, two bytes in network
    /// order, and the data behind it; ports of peers mean nothing.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn echo_bind(&self, local: IpAddr, ident: u16) -> Result<Socket, BindError> {
        let local = SocketAddr::new(local, ident);
        self.bind_datagrams(SocketKind::Echo, local, |local, wake| Request::BindEcho { local, wake })
    }

    /// A poller, which waits for many sockets at once.
    ///
    /// # Errors
    /// [`PollError::TooMany`].
    pub fn poller(&self) -> Result<Poller, PollError> {
        Poller::new(&self.shared)
    }

    /// What the lane, and its stack, has counted since it started.
    ///
    /// # Errors
    /// [`LaneGone`].
    ///
    /// # Panics
    /// When there is no such lane.
    pub fn counters(&self, lane: usize) -> Result<Counters, LaneGone> {
        let slot = (lane * self.shared.region.shape().slots) as u32;
        assert!(lane < self.lanes(), "there is no lane {lane}");
        self.shared.ask(slot, Question::Counters).map(Counters::new)
    }

    /// Gives the stack one more address, and the way to its subnet. One of IPv6 is the stack's a second or two later, unless
    /// somebody else has it.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn add_address(&self, address: IpNet) -> Result<(), NetworkError> {
        self.change_network(NetworkChange::AddAddress(address))
    }

    /// Takes one of the stack's addresses away, with the way to its subnet. What uses it ends.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn remove_address(&self, address: IpAddr) -> Result<(), NetworkError> {
        self.change_network(NetworkChange::RemoveAddress(address))
    }

    /// Adds a route over a gateway in one of the stack's subnets.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn add_route(&self, route: Route) -> Result<(), NetworkError> {
        self.change_network(NetworkChange::AddRoute(route))
    }

    /// Removes a route.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn remove_route(&self, route: Route) -> Result<(), NetworkError> {
        self.change_network(NetworkChange::RemoveRoute(route))
    }

    /// Has every lane make a change, and returns the first error.
    fn change_network(&self, change: NetworkChange) -> Result<(), NetworkError> {
        let ask = |lane: usize| {
            let slot = (lane * self.shared.region.shape().slots) as u32;
            NetworkError::of_code(self.shared.ask(slot, Question::Network(change))?.first())
        };
        let outcomes: Vec<_> = (0..self.lanes()).map(ask).collect();
        outcomes.into_iter().collect()
    }

    fn bind_datagrams(
        &self,
        kind: SocketKind,
        local: SocketAddr,
        request: impl Fn(SocketAddr, u32) -> Request,
    ) -> Result<Socket, BindError> {
        match local.port() {
            // The first lane chooses a port, which another one may not have free.
            0 => until_free(|| self.bind(kind, local, &request)),
            _ => self.bind(kind, local, request),
        }
    }

    /// Opens a socket with a part on each lane. What the first lane made of the address holds for the others.
    fn bind(
        &self,
        kind: SocketKind,
        mut local: SocketAddr,
        request: impl Fn(SocketAddr, u32) -> Request,
    ) -> Result<Socket, BindError> {
        let capacity = if kind == SocketKind::Listener { Capacity::Stream } else { Capacity::Datagrams };
        let mut parts: Vec<Part> = Vec::with_capacity(self.lanes());
        for lane in 0..self.lanes() {
            let slot = self.shared.take_slot(lane).ok_or(BindError::NoSlots)?;
            let wake = parts.first().map_or(slot, Part::slot);
            let part = self.shared.open(slot, wake, capacity, request(local, wake))?;
            local = part.control().ends().local.unwrap_or(local);
            parts.push(part);
        }
        Ok(Socket::new(&self.shared, kind, parts))
    }
}

impl Shared {
    fn take_slot(&self, lane: usize) -> Option<u32> {
        self.region.take_slot(lane)
    }

    /// Has a slot's lane open a socket in it.
    fn open(
        self: &Arc<Self>,
        slot: u32,
        wake: u32,
        capacity: Capacity,
        request: Request,
    ) -> Result<Part, OpenError> {
        // SAFETY: the slot was free, and is this part's from now on.
        let part = unsafe { Part::attach(self, slot, capacity) };
        self.submit(slot, request)?;
        let lane = self.region.lane_of(slot);
        let status = self.region.control(wake).bell.wait(Interest::ANY, None, || {
            let status = part.control().status();
            if status.is_answered() {
                Some(Ok(status))
            } else {
                self.region.is_gone(lane).then_some(Err(LaneGone))
            }
        });
        let status = status.unwrap_or(Err(LaneGone))?;
        if status.has(crate::shared::Status::FAILED) {
            return Err(OpenError::Failed(part.control().take_failure()));
        }
        Ok(part)
    }

    /// Queues a job with a slot's lane. Where its ring is full, this waits for the lane to empty it, which takes it
    /// a turn.
    fn submit(&self, slot: u32, request: Request) -> Result<(), LaneGone> {
        let lane = self.region.lane_of(slot);
        let mut job = request.into_job(slot);
        for attempt in 0_u32.. {
            if self.region.is_gone(lane) {
                return Err(LaneGone);
            }
            match self.region.push_job(lane, job) {
                Ok(()) => return Ok(()),
                Err(full) => job = full.0,
            }
            if attempt < YIELDS { thread::yield_now() } else { thread::sleep(FULL_RING_PAUSE) }
        }
        Err(LaneGone)
    }

    /// Asks a slot's lane something, and waits for the answer.
    fn ask(&self, slot: u32, question: Question) -> Result<Vec<u64>, LaneGone> {
        let lane = self.region.lane_of(slot);
        let mut ticket = self.tickets[lane].lock().unwrap_or_else(PoisonError::into_inner);
        *ticket = ticket.wrapping_add(1);
        let report = &self.region.lane(lane).report;
        self.submit(slot, Request::Ask { question, ticket: *ticket })?;
        let answer = report.bell.wait(Interest::ANY, None, || match report.answer_to(*ticket) {
            Some(values) => Some(Ok(values.collect())),
            None => self.region.is_gone(lane).then_some(Err(LaneGone)),
        });
        answer.unwrap_or(Err(LaneGone))
    }
}

/// Why a lane opened no socket.
enum OpenError {
    Failed(Failure),
    Gone,
}

impl From<LaneGone> for OpenError {
    fn from(LaneGone: LaneGone) -> Self {
        Self::Gone
    }
}

/// Tries other ports while the one that was chosen is taken.
fn until_free(mut bind: impl FnMut() -> Result<Socket, BindError>) -> Result<Socket, BindError> {
    for _ in 1..PORTS_TO_TRY {
        match bind() {
            Err(BindError::InUse) => {}
            outcome => return outcome,
        }
    }
    bind()
}

/// RFC 6335 §6: the dynamic ports.
const FIRST_DYNAMIC_PORT: u16 = 49_152;
/// With half of the ports taken, one attempt in so many thousands fails so often.
const PORTS_TO_TRY: usize = 32;

/// How often to give way to other threads before sleeping, while a lane's job ring is full.
const YIELDS: u32 = 100;
const FULL_RING_PAUSE: Duration = Duration::from_micros(50);
