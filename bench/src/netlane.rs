//! netlane's core over its memory backend.

use std::net::SocketAddr;

use netlane_backends::memory::{self, Memory, MemoryConfig, Offload};
use netlane_core::{
    Duration, HeapBuffers, Instant, InterfaceConfig, Limits, RecvError, SocketId, Stack, StackConfig,
    TcpConfig,
};

use crate::{Conditions, MESSAGE, PIECE, PORT, Subject};

/// Two netlane stacks.
pub struct Netlane {
    client: Stack<Memory, HeapBuffers>,
    server: Stack<Memory, HeapBuffers>,
    listener: SocketId,
    now: Instant,
    /// The connections that stay open, as each end names them. Bulk transfers and round trips use the last.
    connections: Vec<(SocketId, SocketId)>,
    rng: fastrand::Rng,
    piece: Vec<u8>,
}

/// How far the clock moves with each step.
const STEP: Duration = Duration::from_micros(1);

impl Netlane {
    fn stack(memory: Memory, address: &str, conditions: Conditions) -> Stack<Memory, HeapBuffers> {
        let interface = InterfaceConfig {
            addresses: vec![address.parse().expect("a valid address")],
            ..InterfaceConfig::default()
        };
        let tcp = TcpConfig {
            send_buffer: conditions.buffer,
            // All stacks have all of it from the start.
            send_buffer_start: conditions.buffer,
            receive_buffer: conditions.buffer,
            receive_buffer_start: conditions.buffer,
            time_wait: Duration::from_millis(1),
            ..TcpConfig::default()
        };
        let limits = Limits { sockets: 4_000_000, accept_queue: 65_536, ..Limits::default() };
        Stack::new(memory, HeapBuffers::new(), StackConfig { interface, limits, tcp }, 1)
    }

    fn step(&mut self) {
        self.now += STEP;
        self.client.poll(self.now).expect("the memory link never goes down");
        self.server.poll(self.now).expect("the memory link never goes down");
    }

    fn connect(&mut self) -> (SocketId, SocketId) {
        let remote = SocketAddr::from(([10, 0, 0, 2], PORT));
        let client = self.client.tcp_connect(None, remote).expect("a free port");
        loop {
            self.step();
            if let Some(server) = self.server.tcp_accept(self.listener).expect("a living listener") {
                return (client, server);
            }
        }
    }

    /// Forgets the events so far: nobody here waits for them.
    fn drop_events(&mut self) {
        while self.client.next_event().is_some() {}
        while self.server.next_event().is_some() {}
    }

    fn echo(&mut self, client: SocketId, server: SocketId) {
        let (mut message, request) = ([0; MESSAGE], [7; MESSAGE]);
        let sent = self.client.tcp_send(client, &request);
        assert_eq!(sent, Ok(MESSAGE), "an idle connection takes a request");
        self.now += STEP;
        self.client.poll(self.now).expect("up");
        self.server.poll(self.now).expect("up");
        while self.server.tcp_recv(server, &mut message) == Err(RecvError::WouldBlock) {
            self.step();
        }
        self.server.tcp_send(server, &message).expect("an idle connection takes an answer");
        self.now += STEP;
        self.server.poll(self.now).expect("up");
        self.client.poll(self.now).expect("up");
        while self.client.tcp_recv(client, &mut message) == Err(RecvError::WouldBlock) {
            self.step();
        }
        assert_eq!(message, request);
    }
}

impl Subject for Netlane {
    const TERMS: &'static str = "segments of 1,448 bytes and a timestamp, buffers of 256 KiB";

    fn new(conditions: Conditions, idle: usize) -> Self {
        let offload = if conditions.checksums { Offload::None } else { Offload::Checksum };
        let config = MemoryConfig { mtu: conditions.mtu, offload, ..MemoryConfig::default() };
        let (a, b) = memory::pair(&config).expect("eventfds");
        let client = Self::stack(a.open(), "10.0.0.1/8", conditions);
        let mut server = Self::stack(b.open(), "10.0.0.2/8", conditions);
        let any = SocketAddr::from(([0, 0, 0, 0], PORT));
        let listener = server.tcp_listen(any, 65_536).expect("a free port");
        let (now, connections) = (Instant::ZERO, Vec::with_capacity(idle + 1));
        let rng = fastrand::Rng::with_seed(1);
        let mut pair = Self { client, server, listener, now, connections, rng, piece: vec![7; PIECE] };
        for _ in 0..=idle {
            let connection = pair.connect();
            pair.connections.push(connection);
        }
        pair.drop_events();
        pair
    }

    fn bulk(&mut self, bytes: u64) -> u64 {
        let (client, server) = self.connections[self.connections.len() - 1];
        let before = self.client.counters().tcp_segments_sent;
        let (mut sent, mut received) = (0, 0);
        let mut sink = vec![0; PIECE];
        while received < bytes {
            while sent < bytes {
                let most = PIECE.min((bytes - sent) as usize);
                let n = self.client.tcp_send(client, &self.piece[..most]).expect("an open connection");
                sent += n as u64;
                if n < most {
                    break;
                }
            }
            self.step();
            while let Ok(n) = self.server.tcp_recv(server, &mut sink) {
                assert_eq!(sink[n - 1], 7);
                received += n as u64;
            }
            self.drop_events();
        }
        self.client.counters().tcp_segments_sent - before
    }

    fn round_trips(&mut self, count: u64) {
        let (client, server) = self.connections[self.connections.len() - 1];
        for _ in 0..count {
            self.echo(client, server);
            self.drop_events();
        }
    }

    fn round_trips_among(&mut self, count: u64) {
        for _ in 0..count {
            let (client, server) = self.connections[self.rng.usize(..self.connections.len())];
            self.echo(client, server);
            self.drop_events();
        }
    }

    fn short_connections(&mut self, count: u64) {
        for _ in 0..count {
            let (client, server) = self.connect();
            self.echo(client, server);
            self.client.tcp_close(client).expect("a living connection");
            self.step();
            self.server.tcp_close(server).expect("a living connection");
            self.step();
            self.drop_events();
        }
    }
}
