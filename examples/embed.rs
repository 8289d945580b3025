//! The bare core over a device of one's own: no thread, no clock, no operating system.
//!
//! Two stacks sit at the ends of a wire that is a pair of queues. One echoes what the other says. Nothing is needed to
//! try it: `cargo run --release -p netlane-examples --example embed`.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use netlane_core::{Duration, HeapBuffers, Instant, Readiness, Stack, StackConfig};
use netlane_packet_io::{Batch, Caps, LinkDown, PacketBuf, PacketIo, RxOffload, TxOffload};

const HEADROOM: usize = 128;

/// A frame, with room for headers in front of it.
struct Frame {
    bytes: Vec<u8>,
    start: usize,
}

impl PacketBuf for Frame {
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
    fn prepend(&mut self, n: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(n)?;
        Some(&mut self.bytes[self.start..][..n])
    }
    fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        let end = self.bytes.len();
        self.bytes.resize(end + n, 0);
        Some(&mut self.bytes[end..])
    }
    fn trim_front(&mut self, n: usize) {
        self.start = self.bytes.len().min(self.start + n);
    }
    fn rx_offload(&self) -> RxOffload {
        RxOffload::default()
    }
    fn set_tx_offload(&mut self, _: TxOffload) {}
}

type Queue = Rc<RefCell<VecDeque<Frame>>>;

/// One end of a wire: what it can do, what arrives, and what leaves.
struct Wire(Caps, Queue, Queue);

impl PacketIo for Wire {
    type Buf = Frame;
    fn caps(&self) -> &Caps {
        &self.0
    }
    fn rx_burst(&mut self, out: &mut Batch<Frame>) -> Result<(), LinkDown> {
        let mut arrived = self.1.borrow_mut();
        let n = arrived.len().min(out.remaining_capacity());
        out.extend(arrived.drain(..n));
        Ok(())
    }
    fn alloc(&mut self) -> Option<Frame> {
        Some(Frame { bytes: vec![0; HEADROOM], start: HEADROOM })
    }
    fn tx_burst(&mut self, batch: &mut Batch<Frame>) -> Result<(), LinkDown> {
        self.2.borrow_mut().extend(batch.drain(..));
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let (ab, ba) = (Queue::default(), Queue::default());
    let stack = |number: u8, arrive: &Queue, leave: &Queue| -> anyhow::Result<_> {
        let wire = Wire(Caps::plain([2, 0, 0, 0, 0, number], 1500), Rc::clone(arrive), Rc::clone(leave));
        let mut config = StackConfig::default();
        config.interface.addresses.push(format!("10.0.0.{number}/24").parse()?);
        Ok(Stack::new(wire, HeapBuffers::new(), config, number.into()))
    };
    let (mut server, mut client) = (stack(1, &ba, &ab)?, stack(2, &ab, &ba)?);
    let listener = server.tcp_listen("10.0.0.1:7".parse()?, 1)?;
    let connection = client.tcp_connect(None, "10.0.0.1:7".parse()?)?;
    client.tcp_send(connection, b"hello over a wire of one's own")?;
    let (mut bytes, mut now) = ([0; 64], Instant::ZERO);
    loop {
        now += Duration::from_micros(10);
        client.poll(now)?;
        server.poll(now)?;
        while let Some(event) = server.next_event() {
            if event.socket == listener {
                server.tcp_accept(listener)?;
            } else if event.ready.contains(Readiness::READABLE) {
                let n = server.tcp_recv(event.socket, &mut bytes)?;
                server.tcp_send(event.socket, &bytes[..n])?;
            }
        }
        if let Ok(n) = client.tcp_recv(connection, &mut bytes) {
            println!("{}", String::from_utf8_lossy(&bytes[..n]));
            return Ok(());
        }
    }
}
