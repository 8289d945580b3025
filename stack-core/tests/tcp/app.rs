//! What the hosts of these tests run: programs that move a known stream, and check what arrives.

use netlane_core::wire::{EthernetRepr, Ipv4Packet, TcpHeader, TcpOptions, TcpSegment};
use netlane_core::{RecvError, SocketId, TcpState};
use netlane_sim::{HostId, World, pattern};

/// One end of a connection that sends `to_send` bytes, shuts down, and reads until the other end has done the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mover {
    pub(crate) host: HostId,
    pub(crate) socket: SocketId,
    to_send: u64,
    sent: u64,
    shut_down: bool,
    pub(crate) received: u64,
    pub(crate) finished: bool,
}

impl Mover {
    pub(crate) fn new(host: HostId, socket: SocketId, to_send: u64) -> Self {
        Self { host, socket, to_send, sent: 0, shut_down: false, received: 0, finished: false }
    }

    /// Sends and reads as much as there is to. Returns whether everything was sent, and the other end's stream has
    /// ended.
    pub(crate) fn step(&mut self, world: &mut World) -> bool {
        self.send(world);
        self.receive(world);
        self.shut_down && self.finished
    }

    /// Sends as much as the buffer takes, and shuts down behind the last byte.
    pub(crate) fn send(&mut self, world: &mut World) {
        let stack = &mut world[self.host];
        while self.sent < self.to_send {
            let chunk = pattern(self.sent, (self.to_send - self.sent).min(16_384) as usize);
            match stack.tcp_send(self.socket, &chunk) {
                Ok(0) => return,
                Ok(n) => self.sent += n as u64,
                Err(error) => panic!("sending at byte {}: {error:?}", self.sent),
            }
        }
        if !self.shut_down {
            self.shut_down = true;
            stack.tcp_shutdown(self.socket).expect("the socket is open");
        }
    }

    /// Reads and checks all that has arrived.
    pub(crate) fn receive(&mut self, world: &mut World) {
        let stack = &mut world[self.host];
        let mut out = [0; 16_384];
        while !self.finished {
            match stack.tcp_recv(self.socket, &mut out) {
                Ok(0) => self.finished = true,
                Ok(n) => {
                    assert!(
                        out[..n] == pattern(self.received, n),
                        "the bytes from {} on are wrong",
                        self.received
                    );
                    self.received += n as u64;
                }
                Err(RecvError::WouldBlock) => return,
                Err(error) => panic!("receiving at byte {}: {error:?}", self.received),
            }
        }
    }
}

/// The state of a socket; `None` when its handle is stale.
pub(crate) fn state(world: &World, host: HostId, socket: SocketId) -> Option<TcpState> {
    world[host].tcp_state(socket).ok()
}

/// A connection between two hosts: both ends, once it is established.
pub(crate) fn connection(
    world: &mut World,
    client: HostId,
    server: HostId,
    port: u16,
) -> (SocketId, SocketId) {
    let address = address(server, port);
    let listener = world[server].tcp_listen(address, 16).expect("the port is free");
    let ends = connect_to(world, client, server, listener, address);
    world[server].tcp_close(listener).expect("the listener is open");
    ends
}

/// A connection to a listener: both ends, once it is established.
pub(crate) fn connect_to(
    world: &mut World,
    client: HostId,
    server: HostId,
    listener: SocketId,
    address: std::net::SocketAddr,
) -> (SocketId, SocketId) {
    let mut near = world[client].tcp_connect(None, address).expect("nothing hinders it");
    let mut far = None;
    let limit = std::time::Duration::from_secs(300);
    let established = world.run_until(
        |world| {
            far = far.or_else(|| world[server].tcp_accept(listener).expect("it listens"));
            // A bad link may lose each question for the neighbour: whoever wants to connect tries again.
            if far.is_none() && state(world, client, near) == Some(TcpState::Closed) {
                near = world[client].tcp_connect(None, address).expect("nothing hinders it");
            }
            far.is_some() && state(world, client, near) == Some(TcpState::Established)
        },
        limit,
    );
    assert!(established, "a connection within {limit:?}");
    (near, far.expect("it was accepted"))
}

/// The address of the `n`th host of [`World::pair`].
pub(crate) fn address(host: HostId, port: u16) -> std::net::SocketAddr {
    let last = host.number() as u8 + 1;
    std::net::SocketAddr::from(([10, 0, 0, last], port))
}

/// The options of the segment in a frame.
pub(crate) fn options_of(frame: &[u8]) -> TcpOptions {
    TcpOptions::parse(segment_of(frame).options).expect("options")
}

/// The sequence number of the segment in a frame.
pub(crate) fn sequence_number_of(frame: &[u8]) -> u32 {
    header_of(frame).seq
}

/// The TCP header in a frame.
pub(crate) fn header_of(frame: &[u8]) -> TcpHeader {
    segment_of(frame).header
}

fn segment_of(frame: &[u8]) -> TcpSegment<'_> {
    let (_, offset) = EthernetRepr::parse(frame).expect("an Ethernet header");
    let packet = Ipv4Packet::parse(&frame[offset..]).expect("an IPv4 header");
    TcpSegment::parse(packet.payload).expect("a segment")
}
