//! What the stack takes from the allocator: nothing in steady state, and little for an idle connection.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use netlane_core::{HeapBuffers, Instant, SocketId, Stack, StackConfig, TcpState};
use netlane_sim::{DeviceConfig, Script, SimDevice, SimFrame, SimStack, syn};

/// Counts what the tests' own threads allocate; each test has one.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

fn note(allocations: u64, bytes: i64) {
    // A thread that is about to end counts no more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + allocations));
    let _ = BYTES.try_with(|count| count.set(count.get() + bytes));
}

// SAFETY: every call is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        note(0, -(layout.size() as i64));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(1, new_size as i64 - layout.size() as i64);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.get()
}

fn bytes() -> i64 {
    BYTES.get()
}

/// Two stacks whose devices are joined by moving frames from one to the other: nothing here allocates either.
struct Pair {
    ends: [SimStack; 2],
    now: Instant,
}

const SERVER: &str = "10.0.0.2:80";

impl Pair {
    fn new() -> Self {
        let end = |last: u8| {
            let mut config = StackConfig::default();
            config.interface.addresses = vec![format!("10.0.0.{last}/24").parse().unwrap()];
            let other = 3 - last;
            let neighbor = (
                format!("10.0.0.{other}").parse().unwrap(),
                format!("02:00:00:00:00:0{other}").parse().unwrap(),
            );
            config.interface.neighbors = vec![neighbor];
            let device = SimDevice::new([2, 0, 0, 0, 0, last], &DeviceConfig::default());
            Stack::new(device, HeapBuffers::new(), config, u64::from(last))
        };
        Self { ends: [end(1), end(2)], now: Instant::ZERO }
    }

    /// Lets both take turns until no frame moves, and a little time pass.
    fn turn(&mut self) {
        for _ in 0..1_000 {
            let mut moved = false;
            let [a, b] = &mut self.ends;
            for (from, to) in [(0, 1), (1, 0)] {
                let (from, to) = if from < to { (&mut *a, &mut *b) } else { (&mut *b, &mut *a) };
                from.poll(self.now).expect("the device is there");
                while let Some(frame) = from.io_mut().take_sent() {
                    to.io_mut().deliver(frame);
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        self.now += Duration::from_micros(100);
    }

    fn listen(&mut self) -> SocketId {
        self.ends[1].tcp_listen(SERVER.parse().unwrap(), 4_096).unwrap()
    }

    fn connect(&mut self, listener: SocketId) -> [SocketId; 2] {
        let near = self.ends[0].tcp_connect(None, SERVER.parse().unwrap()).unwrap();
        self.turn();
        let far = self.ends[1].tcp_accept(listener).unwrap().expect("a connection");
        self.drain_events();
        [near, far]
    }

    fn drain_events(&mut self) {
        for end in &mut self.ends {
            while end.next_event().is_some() {}
        }
    }

    /// One end sends `len` bytes, and the other reads them.
    fn carry(&mut self, sockets: [SocketId; 2], from: usize, len: usize, chunk: &mut [u8]) {
        let (mut sent, mut received) = (0, 0);
        while received < len {
            let n = chunk.len().min(len - sent);
            sent += self.ends[from].tcp_send(sockets[from], &chunk[..n]).unwrap();
            self.turn();
            while let Ok(n) = self.ends[1 - from].tcp_recv(sockets[1 - from], chunk) {
                received += n;
            }
            self.drain_events();
        }
    }
}

#[test]
fn bulk_transfer_allocates_nothing_once_it_runs() {
    let mut pair = Pair::new();
    let listener = pair.listen();
    let sockets = pair.connect(listener);
    let mut chunk = vec![7; 64 << 10];
    pair.carry(sockets, 0, 8 << 20, &mut chunk);
    let before = allocations();
    pair.carry(sockets, 0, 8 << 20, &mut chunk);
    assert_eq!(allocations() - before, 0);
}

#[test]
fn echo_allocates_nothing_once_it_runs() {
    let mut pair = Pair::new();
    let listener = pair.listen();
    let connections: Vec<_> = (0..100).map(|_| pair.connect(listener)).collect();
    let mut chunk = vec![7; 100];
    let mut round = |pair: &mut Pair| {
        for &sockets in &connections {
            pair.carry(sockets, 0, 100, &mut chunk);
            pair.carry(sockets, 1, 100, &mut chunk);
        }
    };
    for _ in 0..3 {
        round(&mut pair);
    }
    let before = allocations();
    for _ in 0..10 {
        round(&mut pair);
    }
    assert_eq!(allocations() - before, 0);
}

#[test]
fn idle_stack_allocates_nothing() {
    let mut pair = Pair::new();
    let listener = pair.listen();
    for _ in 0..100 {
        pair.connect(listener);
    }
    for _ in 0..100 {
        pair.turn();
    }
    let before = allocations();
    for _ in 0..10_000 {
        pair.turn();
    }
    assert_eq!(allocations() - before, 0);
}

/// What a handshake may take that a peer has begun, all tables included.
const MOST_BYTES_OF_A_HANDSHAKE: i64 = 140;

#[test]
fn handshake_takes_little_memory() {
    const HANDSHAKES: usize = 8_192;
    let mut config = StackConfig::default();
    config.interface.addresses = vec!["10.0.0.1/24".parse().unwrap()];
    config.interface.neighbors = vec![(Script::PEER.ip(), Script::PEER_MAC)];
    config.limits.syn_queue = HANDSHAKES;
    let device = SimDevice::new(Script::STACK_MAC.0, &DeviceConfig::default());
    let mut stack = Stack::new(device, HeapBuffers::new(), config, 1);
    stack.tcp_listen(Script::STACK, 16).unwrap();
    let script = Script::new();
    let before = bytes();
    for n in 0..HANDSHAKES {
        stack.io_mut().deliver(SimFrame::loose(&script.frame(&syn().port(1_024 + n as u16))));
        stack.poll(Instant::ZERO).expect("the device is there");
        assert!(stack.io_mut().take_sent().is_some(), "a SYN-ACK");
    }
    let each = (bytes() - before) / HANDSHAKES as i64;
    println!("a handshake takes {each} bytes");
    assert!(each <= MOST_BYTES_OF_A_HANDSHAKE, "{each} bytes");
    assert_eq!(stack.counters().tcp_syn_cookies_sent, 0);
}

/// What an idle connection may take, all tables included.
const MOST_BYTES: i64 = 256;

#[test]
fn idle_connection_takes_little_memory() {
    // The hash tables have just doubled, and are as empty as they get.
    const CONNECTIONS: usize = 16_000;
    let mut pair = Pair::new();
    let listener = pair.listen();
    let first = pair.connect(listener);
    let mut connections = Vec::with_capacity(CONNECTIONS);
    let before = bytes();
    for _ in 0..CONNECTIONS {
        let sockets = pair.connect(listener);
        // Buffers hold memory only while bytes wait.
        pair.carry(sockets, 0, 10, &mut [0; 10]);
        connections.push(sockets);
    }
    // What a connection needs while something is in flight is given up a retransmission timeout later.
    for _ in 0..4_000 {
        pair.turn();
    }
    let each = (bytes() - before) / (2 * CONNECTIONS as i64);
    println!("an idle connection takes {each} bytes");
    assert!(each <= MOST_BYTES, "{each} bytes");
    for sockets in connections.into_iter().chain([first]) {
        assert_eq!(pair.ends[0].tcp_state(sockets[0]), Ok(TcpState::Established));
    }
}
