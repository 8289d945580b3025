//! Two netlane stacks in memory with very many connections between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlane_backends::memory::{self, Memory, MemoryConfig};
use netlane_core::{
    Duration, HeapBuffers, Instant, InterfaceConfig, Limits, MacAddr, RecvError, SocketId, Stack,
    StackConfig, TcpConfig,
};

use crate::{MESSAGE, cpu_time};

/// Two stacks, and the connections between them.
pub struct Many {
    client: Stack<Memory, HeapBuffers>,
    server: Stack<Memory, HeapBuffers>,
    listeners: Vec<SocketId>,
    connections: Vec<Connection>,
    ends: [IpAddr; 2],
    now: Instant,
    /// How far the stacks' clock moves with each turn.
    step: Duration,
    /// What each turn of a stack has taken, where they are timed.
    turns: Option<Vec<Duration>>,
}

/// A connection, as each end names it.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    client: SocketId,
    server: SocketId,
}

/// The client's ports to one port of the server.
const CLIENT_PORTS: std::ops::Range<u16> = 4_096..64_096;
/// The first port that the server listens on.
const FIRST_PORT: u16 = 1_000;
/// Connections that are under way at the same time while they are opened and closed: with the frames of each, less
/// than the link holds.
const AT_ONCE: usize = 256;
/// Turns after which something must have happened.
const PATIENCE: usize = 100_000;

impl Many {
    /// Two stacks with room for `most` connections, over IPv6 or IPv4. Their clock moves by `step` with each turn.
    #[must_use]
    pub fn new(most: usize, v6: bool, step: Duration) -> Self {
        let ends: [IpAddr; 2] = if v6 {
            [1, 2].map(|n| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n).into())
        } else {
            [1, 2].map(|n| Ipv4Addr::new(10, 0, 0, n).into())
        };
        let link = MemoryConfig::default();
        let (a, b) = memory::pair(&link).expect("eventfds");
        let stack = |memory, us: usize| {
            let prefix = if v6 { 64 } else { 24 };
            let interface = InterfaceConfig {
                addresses: vec![format!("{}/{prefix}", ends[us]).parse().expect("a network")],
                neighbors: vec![(ends[1 - us], MacAddr(link.macs[1 - us]))],
                ..InterfaceConfig::default()
            };
            let tcp = TcpConfig { time_wait: Duration::from_millis(1), ..TcpConfig::default() };
            let limits = Limits { sockets: most + 1_024, ..Limits::default() };
            Stack::new(memory, HeapBuffers::new(), StackConfig { interface, limits, tcp }, 1)
        };
        let (client, server) = (stack(a.open(), 0), stack(b.open(), 1));
        let connections = Vec::with_capacity(most);
        let now = Instant::ZERO;
        let mut many =
            Self { client, server, listeners: Vec::new(), connections, ends, now, step, turns: None };
        many.settle();
        many
    }

    /// Bytes in which the bench itself notes its connections.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        size_of_val(&*self.connections)
    }

    /// Opens connections until there are `count`, and calls `progress` with how many there are.
    pub fn open(&mut self, count: usize, mut progress: impl FnMut(usize)) {
        while self.connections.len() < count {
            let more = AT_ONCE.min(count - self.connections.len());
            self.open_some(more);
            progress(self.connections.len());
        }
    }

    fn open_some(&mut self, count: usize) {
        let clients: Vec<_> = (0..count).map(|n| self.connect(self.connections.len() + n)).collect();
        let mut servers = Vec::with_capacity(count);
        self.turn_until(|many| {
            let newest = many.listeners.len().saturating_sub(2);
            for &listener in &many.listeners[newest..] {
                while let Some(id) = many.server.tcp_accept(listener).expect("a living listener") {
                    servers.push(id);
                }
            }
            servers.len() == count
        });
        // Both in the order of their ends' ports.
        servers.sort_by_cached_key(|&id| {
            (self.server.local_addr(id).expect("alive").port(), self.server.peer_addr(id).expect("alive"))
        });
        let pairs = clients.into_iter().zip(servers);
        self.connections.extend(pairs.map(|(client, server)| Connection { client, server }));
        self.drop_events();
    }

    /// Begins the connection of such a number.
    fn connect(&mut self, number: usize) -> SocketId {
        let to_one_port = usize::from(CLIENT_PORTS.end - CLIENT_PORTS.start);
        let (listener, port) = (number / to_one_port, number % to_one_port);
        let remote = SocketAddr::new(self.ends[1], FIRST_PORT + listener as u16);
        if listener == self.listeners.len() {
            let backlog = 2 * AT_ONCE;
            self.listeners.push(self.server.tcp_listen(remote, backlog).expect("a free port"));
        }
        let local = SocketAddr::new(self.ends[0], CLIENT_PORTS.start + port as u16);
        self.client.tcp_connect(Some(local), remote).expect("a free port and room in the table")
    }

    /// Sends 64 bytes there and back on each of the connections of these numbers, all at the same time. No number
    /// may come twice.
    pub fn echo(&mut self, numbers: &[usize]) {
        let (mut message, request) = ([0; MESSAGE], [7; MESSAGE]);
        for &number in numbers {
            let sent = self.client.tcp_send(self.connections[number].client, &request);
            assert_eq!(sent, Ok(MESSAGE), "an idle connection takes a request");
        }
        self.poll_client();
        let mut left = numbers.len();
        self.serve_until(|many| {
            while let Some(event) = many.client.next_event() {
                match many.client.tcp_recv(event.socket, &mut message) {
                    Ok(n) => {
                        assert_eq!((n, message), (MESSAGE, request));
                        left -= 1;
                    }
                    Err(RecvError::WouldBlock) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            left == 0
        });
    }

    /// Lets the server answer what arrives, and the client hear it, until something has happened.
    fn serve_until(&mut self, mut happened: impl FnMut(&mut Self) -> bool) {
        let mut message = [0; MESSAGE];
        for _ in 0..PATIENCE {
            self.poll_server();
            while let Some(event) = self.server.next_event() {
                if let Ok(n) = self.server.tcp_recv(event.socket, &mut message) {
                    let sent = self.server.tcp_send(event.socket, &message[..n]);
                    assert_eq!(sent, Ok(n), "an idle connection takes an answer");
                }
            }
            self.poll_server();
            self.poll_client();
            if happened(self) {
                return;
            }
        }
        panic!("no answer within {PATIENCE} turns");
    }

    /// Closes all connections, the client first, and waits until both stacks have forgotten them. Calls `progress`
    /// with how many were closed.
    pub fn close_all(&mut self, mut progress: impl FnMut(usize)) {
        let connections = std::mem::take(&mut self.connections);
        let mut closed = 0;
        for some in connections.chunks(AT_ONCE) {
            for connection in some {
                self.client.tcp_close(connection.client).expect("a living connection");
            }
            self.turn();
            for connection in some {
                self.server.tcp_close(connection.server).expect("a living connection");
            }
            self.turn();
            self.drop_events();
            closed += some.len();
            progress(closed);
        }
        // TIME-WAIT ends.
        for _ in 0..4 {
            self.now += Duration::from_millis(1);
            self.turn();
        }
        for Connection { client, server } in connections {
            assert!(self.client.tcp_state(client).is_err(), "the client has forgotten");
            assert!(self.server.tcp_state(server).is_err(), "the server has forgotten");
        }
    }

    /// Lets time pass until acknowledgements that wait have left, and what was needed for them is given up.
    pub fn settle(&mut self) {
        for _ in 0..300 {
            self.now += Duration::from_millis(10);
            self.turn();
        }
        self.drop_events();
    }

    /// Takes the time of each turn of a stack from now on.
    pub fn time_turns(&mut self) {
        self.turns = Some(Vec::new());
    }

    /// The times of all turns since [`time_turns`](Self::time_turns), the longest last.
    pub fn turn_times(&mut self) -> Vec<Duration> {
        let mut turns = self.turns.take().unwrap_or_default();
        turns.sort_unstable();
        turns
    }

    fn turn_until(&mut self, mut happened: impl FnMut(&mut Self) -> bool) {
        for _ in 0..PATIENCE {
            self.turn();
            if happened(self) {
                return;
            }
        }
        panic!("nothing has happened within {PATIENCE} turns");
    }

    /// Both take turns until none has more to do.
    fn turn(&mut self) {
        for _ in 0..PATIENCE {
            let before = self.client.counters().rx_frames + self.server.counters().rx_frames;
            self.poll_client();
            self.poll_server();
            if self.client.counters().rx_frames + self.server.counters().rx_frames == before {
                return;
            }
        }
    }

    fn poll_client(&mut self) {
        self.now += self.step;
        let begin = self.turns.is_some().then(cpu_time::now);
        self.client.poll(self.now).expect("the memory link never goes down");
        self.note_turn(begin);
    }

    fn poll_server(&mut self) {
        self.now += self.step;
        let begin = self.turns.is_some().then(cpu_time::now);
        self.server.poll(self.now).expect("the memory link never goes down");
        self.note_turn(begin);
    }

    fn note_turn(&mut self, begin: Option<Duration>) {
        if let (Some(turns), Some(begin)) = (&mut self.turns, begin) {
            turns.push(cpu_time::now() - begin);
        }
    }

    /// Forgets the events so far: nobody here waits for them.
    fn drop_events(&mut self) {
        while self.client.next_event().is_some() {}
        while self.server.next_event().is_some() {}
    }
}
