//! Sockets, as far as all kinds have the same.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use netlane_core::packet_io::IpVersion;
use netlane_core::{CongestionAlgorithm, GroupChange, KeepAlive, Readiness, SocketError, TcpInfo, TcpState};

use super::part::Part;
use super::{ConnectError, LaneGone, RecvError, Shared, WaitError};
use crate::shared::{Capacity, Interest, Question, Request, Status, info_of, state_of};

/// A socket: a TCP connection or listener, a UDP socket, or one for ICMP echo.
///
/// Clones are handles of the same socket, for any thread. The last one to be dropped closes it: what was written is
/// still sent, and the connection ends in order, unless bytes are left that nobody has read; then the peer gets a
/// reset, so that it knows (RFC 9293 §3.6.1, RFC 2525 §2.17).
///
/// The methods named `try_…` never wait. [`wait`](Self::wait) does, until it is worth trying.
#[derive(Clone)]
pub struct Socket {
    pub(super) inner: Arc<Inner>,
}

/// What kind of socket one is, which decides what it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// A TCP connection: reads and writes bytes.
    Stream,
    /// A TCP listener: accepts connections.
    Listener,
    /// UDP: sends and receives datagrams.
    Udp,
    /// ICMP echo: sends requests and receives replies.
    Echo,
}

pub(super) struct Inner {
    pub(super) client: Arc<Shared>,
    kind: SocketKind,
    /// One on each lane, or on the connection's lane. All wake those who wait at the first.
    pub(super) parts: Box<[Part]>,
    /// The part to look at first, so that none is neglected.
    pub(super) turn: AtomicUsize,
    pub(super) shut: Shut,
    /// The peer of a UDP socket that has one.
    peer: Mutex<Option<SocketAddr>>,
    /// The poller that tells of the socket.
    polled: Mutex<Option<usize>>,
}

/// What this program has ended itself.
#[derive(Debug, Default)]
pub(super) struct Shut {
    pub(super) read: AtomicBool,
    /// Changed by threads that hold the writer.
    pub(super) write: AtomicBool,
    pub(super) aborted: AtomicBool,
}

impl Socket {
    pub(super) fn new(client: &Arc<Shared>, kind: SocketKind, parts: Vec<Part>) -> Self {
        Self {
            inner: Arc::new(Inner {
                client: Arc::clone(client),
                kind,
                parts: parts.into(),
                turn: AtomicUsize::new(0),
                shut: Shut::default(),
                peer: Mutex::new(None),
                polled: Mutex::new(None),
            }),
        }
    }

    /// What kind of socket this is.
    #[must_use]
    pub fn kind(&self) -> SocketKind {
        self.inner.kind
    }

    /// The socket's own address and port. For ICMP echo, the identifier stands in the port's place.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.first().control().ends().local
    }

    /// The peer of a connection, or of a UDP socket that was [given one](Self::udp_connect).
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match self.inner.kind {
            SocketKind::Stream => self.first().control().ends().remote,
            _ => *self.inner.peer.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// What the socket is ready for now: trying it would not say that it would block. The end of the stream, a closed
    /// socket and an error count, since they are there to be learnt by trying.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.inner.readiness()
    }

    /// Waits until the socket is ready for something of `interest`, has an error or is closed, and returns all that
    /// it is ready for then. Without a deadline it waits for as long as it takes.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait(&self, interest: Readiness, deadline: Option<Instant>) -> Result<Readiness, WaitError> {
        let always = Readiness::CLOSED | Readiness::ERROR;
        let what = Interest::NONE
            .with(Interest::READ, interest.intersects(Readiness::READABLE | Readiness::READ_CLOSED))
            .with(Interest::WRITE, interest.contains(Readiness::WRITABLE));
        let found = self.first().control().bell.wait(what, deadline, || {
            if self.inner.is_gone() {
                return Some(Err(WaitError::LaneGone(LaneGone)));
            }
            let ready = self.inner.readiness();
            ready.intersects(interest | always).then_some(Ok(ready))
        });
        found.unwrap_or(Err(WaitError::TimedOut))
    }

    /// Takes what befell the socket since this was last asked, or since a call has told it.
    #[must_use]
    pub fn take_error(&self) -> Option<SocketError> {
        self.inner.take_error()
    }

    /// Puts back an error that a call of this connection's has told, for another one to tell it.
    pub fn give_back_error(&self, error: SocketError) {
        self.first().control().set_error(error);
    }

    /// The state of a TCP connection or listener, as its lane knows it; `Closed` for what has none.
    ///
    /// # Errors
    /// [`LaneGone`].
    pub fn state(&self) -> Result<TcpState, LaneGone> {
        let answer = self.inner.client.ask(self.first().slot(), Question::State)?;
        Ok(answer.first().copied().and_then(state_of).unwrap_or(TcpState::Closed))
    }

    /// Sends small segments at once, or holds them back while others are unacknowledged (Nagle).
    pub fn set_no_delay(&self, no_delay: bool) {
        self.request_all(Request::NoDelay(no_delay));
    }

    /// Asks a silent peer whether it still lives, or stops asking.
    pub fn set_keepalive(&self, keepalive: Option<KeepAlive>) {
        self.request_all(Request::KeepAlive(keepalive));
    }

    /// Gives the connection up once its data was not acknowledged for so long, or its SYN not answered; where `None`,
    /// after the usual number of repetitions.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) {
        self.request_all(Request::UserTimeout(timeout));
    }

    /// Holds segments back that are not full, since more will be written at once, or lets them leave (`TCP_CORK`).
    pub fn set_cork(&self, cork: bool) {
        self.request_all(Request::Cork(cork));
    }

    /// Bounds the segments that are sent, and those that a SYN announces which has not left: in bytes of payload and
    /// options. A listener gives the bound to its connections.
    pub fn set_max_segment(&self, bytes: u16) {
        self.request_all(Request::MaxSegment(bytes));
    }

    /// How often the SYN is repeated before the attempt to connect fails.
    pub fn set_syn_retries(&self, times: u8) {
        self.request_all(Request::SynRetries(times));
    }

    /// Chooses how much may be in flight; a listener gives the choice to its connections.
    pub fn set_congestion_control(&self, algorithm: CongestionAlgorithm) {
        self.request_all(Request::CongestionControl(algorithm));
    }

    /// How a connection fares, as its lane knows it; `None` before it is established and after its end.
    ///
    /// # Errors
    /// [`LaneGone`].
    pub fn info(&self) -> Result<Option<TcpInfo>, LaneGone> {
        Ok(info_of(&self.inner.client.ask(self.first().slot(), Question::Info)?))
    }

    /// Takes datagrams from `peer` only, or from everybody. Those that wait already stay. When this returns, no
    /// others arrive.
    pub fn udp_connect(&self, peer: Option<SocketAddr>) {
        *self.inner.peer.lock().unwrap_or_else(PoisonError::into_inner) = peer;
        self.request_all(Request::ConnectUdp { peer });
        self.settle();
    }

    /// Waits until the lanes have done what they were asked.
    fn settle(&self) {
        for part in &self.inner.parts {
            // Jobs are done in their order: with the answer, the one before it is done. A lane that is gone takes none.
            let _ = self.inner.client.ask(part.slot(), Question::State);
        }
    }

    /// Changes whose datagrams to a multicast group the socket takes. When this returns, it holds for those that arrive,
    /// unless a limit of the configuration is reached. What the change comes to, a [`JoinedGroups`](crate::JoinedGroups)
    /// beside the socket tells.
    pub fn change_group(&self, group: IpAddr, change: GroupChange) {
        self.request_all(Request::Group { group, change });
        self.settle();
    }

    /// How many routers the socket's datagrams to groups of a family may pass; 1 unless it is set.
    pub fn set_multicast_hops(&self, family: IpVersion, hops: u8) {
        self.request_all(Request::GroupHops { family, hops });
    }

    /// Whether the socket's datagrams to groups of a family reach the stack's own members too, as they do unless it is
    /// set.
    pub fn set_multicast_loop(&self, family: IpVersion, on: bool) {
        self.request_all(Request::GroupLoop { family, on });
    }

    /// Whether datagrams larger than their path carries are refused, and not cut.
    pub fn set_dont_fragment(&self, on: bool) {
        self.request_all(Request::DontFragment(on));
    }

    /// Whether datagrams that have arrived joined in one frame are taken as one record, which says how long each was, and
    /// not one by one.
    pub fn set_takes_joined(&self, on: bool) {
        self.request_all(Request::TakeJoined(on));
    }

    /// Ends the socket at once: the peer of a connection is reset, and whatever waits is lost. Threads that wait for
    /// the socket return.
    pub fn abort(&self) {
        self.inner.shut.aborted.store(true, Ordering::SeqCst);
        self.request_all(Request::Abort);
        self.first().wake_waiters();
    }

    /// Takes a connection that waits to be accepted.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn try_accept(&self) -> Result<Socket, RecvError> {
        if self.inner.kind != SocketKind::Listener {
            return Err(RecvError::WrongKind);
        }
        if self.inner.is_gone() {
            return Err(RecvError::LaneGone(LaneGone));
        }
        if self.inner.is_closed() {
            return Err(RecvError::Closed);
        }
        let accepted = self.inner.in_turn().find_map(|listener| {
            let slot = take_accepted(listener)?;
            // SAFETY: the lane has made this slot ours with the record, which is read once.
            let part = unsafe { Part::attach(&self.inner.client, slot, Capacity::Stream) };
            Some(Self::new(&self.inner.client, SocketKind::Stream, vec![part]))
        });
        accepted.ok_or(RecvError::WouldBlock)
    }

    /// Waits until a connection that was begun is established.
    pub(super) fn finish_connect(&self, deadline: Option<Instant>) -> Result<(), ConnectError> {
        match self.wait(Readiness::WRITABLE, deadline) {
            Err(WaitError::TimedOut) => Err(ConnectError::TimedOut),
            Err(WaitError::LaneGone(gone)) => Err(gone.into()),
            Ok(_) if self.first().control().status().has(Status::CONNECTED) => Ok(()),
            Ok(_) => Err(ConnectError::Failed(self.take_error().unwrap_or(SocketError::Reset))),
        }
    }

    pub(super) fn first(&self) -> &Part {
        &self.inner.parts[0]
    }

    fn request_all(&self, request: Request) {
        for part in &self.inner.parts {
            part.request(request);
        }
    }
}

/// Takes the number of a slot whose connection a listener's lane has accepted.
fn take_accepted(listener: &Part) -> Option<u32> {
    let mut record = [0; 4];
    let mut reader = listener.reader();
    if reader.len() < record.len() {
        return None;
    }
    reader.read(&mut record);
    drop(reader);
    listener.consumed(false);
    Some(u32::from_ne_bytes(record))
}

impl Inner {
    pub(super) fn is_gone(&self) -> bool {
        self.parts.iter().any(Part::is_gone)
    }

    /// Whether nothing more happens on the socket.
    pub(super) fn is_closed(&self) -> bool {
        let closed = |part: &Part| part.control().status().has(Status::CLOSED);
        self.shut.aborted.load(Ordering::SeqCst) || self.parts.iter().any(closed)
    }

    /// The poller that tells of the socket, by its number.
    pub(super) fn polled(&self) -> MutexGuard<'_, Option<usize>> {
        self.polled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_error(&self) -> Option<SocketError> {
        self.parts.iter().find_map(|part| part.control().take_error())
    }

    /// The parts, each time from another one on.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = &Part> {
        let first = match self.parts.len() {
            1 => 0,
            len => self.turn.fetch_add(1, Ordering::Relaxed) % len,
        };
        self.parts[first..].iter().chain(&self.parts[..first])
    }

    pub(super) fn readiness(&self) -> Readiness {
        let mut ready = match self.kind {
            SocketKind::Stream => self.stream_readiness(),
            SocketKind::Listener => {
                let waiting = self.parts.iter().any(|part| !part.reader().is_empty());
                if waiting { Readiness::READABLE } else { Readiness::empty() }
            }
            SocketKind::Udp | SocketKind::Echo => self.datagram_readiness(),
        };
        let gone = self.is_gone();
        if gone || self.is_closed() {
            ready |= Readiness::CLOSED | Readiness::READABLE | Readiness::WRITABLE;
        }
        ready.set(Readiness::ERROR, gone || self.parts.iter().any(|part| part.control().has_error()));
        ready
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("kind", &self.kind())
            .field("local", &self.local_addr())
            .field("peer", &self.peer_addr())
            .finish_non_exhaustive()
    }
}
