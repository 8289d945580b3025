//! smoltcp, over a device that moves frames in memory and uses their memory again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use crate::{Conditions, MESSAGE, PIECE, PORT, Subject};

/// Two smoltcp stacks.
pub struct Smoltcp {
    client: End,
    server: End,
    now: Instant,
    next_port: u16,
    conditions: Conditions,
    /// The connections that stay open, as each end names them. Bulk transfers and round trips use the last.
    connections: Vec<(SocketHandle, SocketHandle)>,
    rng: fastrand::Rng,
    piece: Vec<u8>,
}

struct End {
    interface: Interface,
    device: Memory,
    sockets: SocketSet<'static>,
}

/// One end of a link in memory.
struct Memory {
    out: Rc<RefCell<VecDeque<Vec<u8>>>>,
    inward: Rc<RefCell<VecDeque<Vec<u8>>>>,
    /// Memory of frames that have arrived, for others to leave in.
    spare: Rc<RefCell<Vec<Vec<u8>>>>,
    conditions: Conditions,
}

/// Frames that may be under way in each direction.
const QUEUE: usize = 1_024;
/// Bytes of an Ethernet header, which smoltcp counts to the MTU.
const ETHERNET_HEADER: usize = 14;

impl Device for Memory {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let frame = self.inward.borrow_mut().pop_front()?;
        Some((Received { frame, spare: Rc::clone(&self.spare) }, Sending(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        let room = self.out.borrow().len() < QUEUE;
        room.then_some(Sending(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.conditions.mtu + ETHERNET_HEADER;
        capabilities.checksum = ChecksumCapabilities::default();
        if !self.conditions.checksums {
            capabilities.checksum.tcp = Checksum::None;
        }
        capabilities
    }
}

/// A frame that has arrived.
struct Received {
    frame: Vec<u8>,
    spare: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(&self.frame);
        self.spare.borrow_mut().push(self.frame);
        result
    }
}

/// The right to send a frame.
struct Sending<'a>(&'a mut Memory);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = self.0.spare.borrow_mut().pop().unwrap_or_default();
        // The spare frame's bytes are old, and all of them are written: only what is new needs zeroes.
        frame.resize(len, 0);
        let result = f(&mut frame);
        self.0.out.borrow_mut().push_back(frame);
        result
    }
}

impl End {
    fn new(mut device: Memory, address: [u8; 4]) -> Self {
        let mac = EthernetAddress([2, 0, 0, 0, 0, address[3]]);
        let config = Config::new(HardwareAddress::Ethernet(mac));
        let mut interface = Interface::new(config, &mut device, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses
                .push(IpCidr::new(IpAddress::v4(address[0], address[1], address[2], address[3]), 8))
                .expect("room for one address");
        });
        Self { interface, device, sockets: SocketSet::new(Vec::new()) }
    }

    fn poll(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.device, &mut self.sockets);
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    fn add(&mut self, buffer: usize) -> SocketHandle {
        let make = || SocketBuffer::new(vec![0; buffer]);
        let mut socket = Socket::new(make(), make());
        // As netlane does by default.
        socket.set_ack_delay(Some(Duration::from_millis(40)));
        self.sockets.add(socket)
    }
}

impl Smoltcp {
    fn step(&mut self) {
        self.now += Duration::from_micros(1);
        self.client.poll(self.now);
        self.server.poll(self.now);
    }

    fn listen(&mut self, buffer: usize) -> SocketHandle {
        let server = self.server.add(buffer);
        self.server.socket(server).listen(PORT).expect("a closed socket");
        server
    }

    fn connect(&mut self, buffer: usize) -> (SocketHandle, SocketHandle) {
        let server = self.listen(buffer);
        let client = self.client.add(buffer);
        self.reconnect(client);
        while self.server.socket(server).state() != State::Established {
            self.step();
        }
        (client, server)
    }

    fn reconnect(&mut self, client: SocketHandle) {
        self.next_port = self.next_port.checked_add(1).unwrap_or(49_152);
        let remote = (IpAddress::v4(10, 0, 0, 2), PORT);
        let End { interface, sockets, .. } = &mut self.client;
        let socket = sockets.get_mut::<Socket<'_>>(client);
        socket.connect(interface.context(), remote, self.next_port).expect("a closed socket");
    }

    fn echo(&mut self, client: SocketHandle, server: SocketHandle) {
        let (mut message, request) = ([0; MESSAGE], [7; MESSAGE]);
        let sent = self.client.socket(client).send_slice(&request);
        assert_eq!(sent, Ok(MESSAGE), "an idle connection takes a request");
        self.now += Duration::from_micros(1);
        self.client.poll(self.now);
        self.server.poll(self.now);
        while !self.server.socket(server).can_recv() {
            self.step();
        }
        let socket = self.server.socket(server);
        socket.recv_slice(&mut message).expect("an open connection");
        socket.send_slice(&message).expect("an open connection");
        self.now += Duration::from_micros(1);
        self.server.poll(self.now);
        self.client.poll(self.now);
        while !self.client.socket(client).can_recv() {
            self.step();
        }
        self.client.socket(client).recv_slice(&mut message).expect("an open connection");
        assert_eq!(message, request);
    }
}

impl Subject for Smoltcp {
    const TERMS: &'static str = "segments of 1,460 bytes, buffers of 256 KiB";

    fn new(conditions: Conditions, idle: usize) -> Self {
        let (ab, ba) = (Rc::<RefCell<VecDeque<_>>>::default(), Rc::<RefCell<VecDeque<_>>>::default());
        let spare = Rc::<RefCell<Vec<_>>>::default();
        let memory = |out: &Rc<_>, inward: &Rc<_>| Memory {
            out: Rc::clone(out),
            inward: Rc::clone(inward),
            spare: Rc::clone(&spare),
            conditions,
        };
        let mut pair = Self {
            client: End::new(memory(&ab, &ba), [10, 0, 0, 1]),
            server: End::new(memory(&ba, &ab), [10, 0, 0, 2]),
            now: Instant::ZERO,
            next_port: 49_151,
            conditions,
            connections: Vec::with_capacity(idle + 1),
            rng: fastrand::Rng::with_seed(1),
            piece: vec![7; PIECE],
        };
        for number in 0..=idle {
            let connection = pair.connect(if number < idle { MESSAGE } else { conditions.buffer });
            pair.connections.push(connection);
        }
        pair
    }

    fn bulk(&mut self, bytes: u64) -> u64 {
        let (client, server) = self.connections[self.connections.len() - 1];
        let (mut sent, mut received) = (0, 0);
        let mut sink = vec![0; PIECE];
        while received < bytes {
            while sent < bytes {
                let most = PIECE.min((bytes - sent) as usize);
                let piece = &self.piece[..most];
                let n = self.client.sockets.get_mut::<Socket<'_>>(client).send_slice(piece).expect("open");
                sent += n as u64;
                if n < most {
                    break;
                }
            }
            self.step();
            loop {
                let n = self.server.socket(server).recv_slice(&mut sink).expect("an open connection");
                if n == 0 {
                    break;
                }
                assert_eq!(sink[n - 1], 7);
                received += n as u64;
            }
        }
        // smoltcp keeps no count; every segment but the last of a window is full.
        bytes.div_ceil(self.conditions.mtu as u64 - 40)
    }

    fn round_trips(&mut self, count: u64) {
        let (client, server) = self.connections[self.connections.len() - 1];
        for _ in 0..count {
            self.echo(client, server);
        }
    }

    fn round_trips_among(&mut self, count: u64) {
        for _ in 0..count {
            let (client, server) = self.connections[self.rng.usize(..self.connections.len())];
            self.echo(client, server);
        }
    }

    fn short_connections(&mut self, count: u64) {
        let (client, server) = (self.client.add(4_096), self.server.add(4_096));
        for _ in 0..count {
            self.server.socket(server).listen(PORT).expect("a closed socket");
            self.reconnect(client);
            while !self.server.socket(server).may_send() {
                self.step();
            }
            self.echo(client, server);
            self.client.socket(client).close();
            self.step();
            self.server.socket(server).close();
            self.step();
            // One pair of sockets serves all: its TIME-WAIT is cut short, its segments have all arrived.
            self.client.socket(client).abort();
            self.server.socket(server).abort();
        }
        self.client.sockets.remove(client);
        self.server.sockets.remove(server);
    }
}
