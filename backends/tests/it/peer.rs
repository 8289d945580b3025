//! A host by hand at the stack's end of a TAP device, with smoltcp's view of the protocols.

use crate::contract::Pooled;
use netlane_backends::tap::{Tap, TapConfig, TapInterface, TapPort, open};
use netlane_backends::wait::Waitable;
use netlane_packet_io::{Batch, PacketBuf, TxOffload};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    IpProtocol, Ipv4Packet, Ipv4Repr, TcpPacket, TcpRepr, UdpPacket, UdpRepr,
};
use std::collections::VecDeque;
use std::net::Ipv4Addr;

/// The kernel's end.
pub(crate) const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
/// The end of the host by hand.
pub(crate) const STACK: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);
/// Its Ethernet address.
pub(crate) const STACK_MAC: [u8; 6] = [2, 0x6e, 0x6c, 0, 0, 1];

/// Bytes before the transport header: Ethernet and IPv4.
pub(crate) const NETWORK_HEADERS: usize = 14 + 20;

/// A host by hand.
pub(crate) struct Peer<I: Pooled> {
    pub(crate) queues: Vec<I>,
    pub(crate) interface: TapInterface,
    kernel_mac: EthernetAddress,
    arrived: VecDeque<(usize, I::Buf)>,
}

impl Peer<Tap> {
    /// Makes the device and brings the kernel's end up.
    pub(crate) fn new(config: &TapConfig) -> Self {
        Self::wrapped(config, |tap| tap)
    }
}

impl<I: Pooled> Peer<I> {
    /// The same, with a wrapper around each queue.
    pub(crate) fn wrapped(config: &TapConfig, wrap: impl FnMut(Tap) -> I) -> Self {
        let (interface, ports) = open(config).expect("a TAP device");
        interface.set_address(KERNEL.into(), 24).expect("an address for the kernel's end");
        interface.up().expect("the kernel's end is up");
        let kernel_mac = EthernetAddress(interface.mac().expect("the kernel's end has an address"));
        let queues = ports.into_iter().map(TapPort::open).map(wrap).collect();
        Self { queues, interface, kernel_mac, arrived: VecDeque::new() }
    }

    /// The next IPv4 packet for this host, and the queue that it came from. Answers for its address meanwhile.
    pub(crate) fn receive(&mut self) -> (usize, I::Buf) {
        loop {
            if let Some(arrived) = self.arrived.pop_front() {
                return arrived;
            }
            self.wait();
            for queue in 0..self.queues.len() {
                self.poll_queue(queue);
            }
        }
    }

    /// The next UDP datagram for this host.
    pub(crate) fn receive_udp(&mut self) -> Datagram<I::Buf> {
        loop {
            let (queue, buf) = self.receive();
            if protocol(buf.bytes()) == IpProtocol::Udp {
                return Datagram { queue, buf };
            }
        }
    }

    /// The next TCP segment for this host.
    pub(crate) fn receive_tcp(&mut self) -> Segment<I::Buf> {
        loop {
            let (_, buf) = self.receive();
            if protocol(buf.bytes()) == IpProtocol::Tcp {
                return Segment { buf };
            }
        }
    }

    /// Sends a UDP datagram to the kernel's end.
    pub(crate) fn send_udp(&mut self, queue: usize, ports: UdpRepr, payload: &[u8]) {
        let mut datagram = vec![0; 8 + payload.len()];
        let emit = |place: &mut [u8]| place.copy_from_slice(payload);
        let mut packet = UdpPacket::new_unchecked(&mut datagram[..]);
        let filled = ChecksumCapabilities::default();
        ports.emit(&mut packet, &STACK.into(), &KERNEL.into(), payload.len(), emit, &filled);
        self.send_ipv4(queue, IpProtocol::Udp, &datagram, TxOffload::default());
    }

    /// Sends a TCP segment to the kernel's end. With an offload, its checksum is that of the pseudo-header only.
    pub(crate) fn send_tcp(&mut self, segment: &TcpRepr<'_>, offload: TxOffload) {
        let mut bytes = vec![0; segment.buffer_len()];
        let mut packet = TcpPacket::new_unchecked(&mut bytes[..]);
        segment.emit(&mut packet, &STACK.into(), &KERNEL.into(), &ChecksumCapabilities::default());
        if offload.checksum.is_some() {
            let sum = pseudo_header_sum(bytes.len());
            bytes[16..18].copy_from_slice(&sum.to_be_bytes());
        }
        self.send_ipv4(0, IpProtocol::Tcp, &bytes, offload);
    }

    fn send_ipv4(&mut self, queue: usize, next_header: IpProtocol, payload: &[u8], offload: TxOffload) {
        let mut buf = self.queues[queue].alloc().expect("a buffer");
        buf.append(payload.len()).expect("tailroom").copy_from_slice(payload);
        let ip = Ipv4Repr {
            src_addr: STACK,
            dst_addr: KERNEL,
            next_header,
            payload_len: payload.len(),
            hop_limit: 64,
        };
        let mut packet = Ipv4Packet::new_unchecked(buf.prepend(20).expect("headroom"));
        ip.emit(&mut packet, &ChecksumCapabilities::default());
        self.send_ethernet(queue, buf, EthernetProtocol::Ipv4, offload);
    }

    fn send_ethernet(
        &mut self,
        queue: usize,
        mut buf: I::Buf,
        ethertype: EthernetProtocol,
        offload: TxOffload,
    ) {
        let header =
            EthernetRepr { src_addr: EthernetAddress(STACK_MAC), dst_addr: self.kernel_mac, ethertype };
        header.emit(&mut EthernetFrame::new_unchecked(buf.prepend(14).expect("headroom")));
        buf.set_tx_offload(offload);
        let mut batch = Batch::from_iter([buf]);
        self.queues[queue].tx_burst(&mut batch).expect("the device is there");
        assert!(batch.is_empty(), "the device takes the frame");
    }

    fn poll_queue(&mut self, queue: usize) {
        let mut batch = Batch::new();
        self.queues[queue].rx_burst(&mut batch).expect("the device is there");
        for buf in batch {
            let frame = EthernetFrame::new_checked(buf.bytes()).expect("a whole Ethernet header");
            match frame.ethertype() {
                EthernetProtocol::Arp => self.answer_arp(queue, buf),
                EthernetProtocol::Ipv4 if Ipv4Packet::new_unchecked(frame.payload()).dst_addr() == STACK => {
                    self.arrived.push_back((queue, buf));
                }
                _ => {}
            }
        }
    }

    fn answer_arp(&mut self, queue: usize, request: I::Buf) {
        let packet = ArpPacket::new_checked(&request.bytes()[14..]).expect("a whole ARP packet");
        let Ok(ArpRepr::EthernetIpv4 {
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        }) = ArpRepr::parse(&packet)
        else {
            return;
        };
        if target_protocol_addr != STACK {
            return;
        }
        let reply = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: EthernetAddress(STACK_MAC),
            source_protocol_addr: STACK,
            target_hardware_addr: source_hardware_addr,
            target_protocol_addr: source_protocol_addr,
        };
        let mut buf = self.queues[queue].alloc().expect("a buffer");
        reply.emit(&mut ArpPacket::new_unchecked(buf.append(reply.buffer_len()).expect("tailroom")));
        self.send_ethernet(queue, buf, EthernetProtocol::Arp, TxOffload::default());
    }

    /// Waits until something arrives on any queue.
    fn wait(&mut self) {
        if !self.queues.iter_mut().all(Waitable::arm) {
            return;
        }
        let timeout = self.queues.iter().filter_map(Waitable::due_in).min();
        let timespec = timeout.map(|due| Timespec::try_from(due).expect("a short time"));
        let fds = self.queues.iter().filter_map(Waitable::poll_fd);
        let mut fds: Vec<_> = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        // The time limit of the whole test is the limit here.
        poll(&mut fds, timespec.as_ref()).expect("poll");
        drop(fds);
        self.queues.iter_mut().for_each(Waitable::disarm);
    }

    /// All buffers are back.
    pub(crate) fn finish(mut self) -> Vec<I> {
        self.arrived.clear();
        assert!(self.queues.iter().all(|queue| queue.in_use() == 0), "a buffer leaked");
        self.queues
    }
}

fn protocol(frame: &[u8]) -> IpProtocol {
    Ipv4Packet::new_unchecked(&frame[14..]).next_header()
}

/// The ones' complement sum of the pseudo-header of a TCP segment to the kernel (RFC 9293 §3.1).
fn pseudo_header_sum(len: usize) -> u16 {
    let words =
        [STACK.to_bits() >> 16, STACK.to_bits() & 0xffff, KERNEL.to_bits() >> 16, KERNEL.to_bits() & 0xffff];
    let sum = words.iter().sum::<u32>() + 6 + len as u32;
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// A UDP datagram that arrived.
pub(crate) struct Datagram<B> {
    pub(crate) queue: usize,
    pub(crate) buf: B,
}

impl<B: PacketBuf> Datagram<B> {
    pub(crate) fn packet(&self) -> UdpPacket<&[u8]> {
        UdpPacket::new_unchecked(&self.buf.bytes()[NETWORK_HEADERS..])
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.buf.bytes()[NETWORK_HEADERS + 8..]
    }

    /// Where an answer goes.
    pub(crate) fn answer_ports(&self) -> UdpRepr {
        UdpRepr { src_port: self.packet().dst_port(), dst_port: self.packet().src_port() }
    }
}

/// A TCP segment that arrived, or several joined.
pub(crate) struct Segment<B> {
    pub(crate) buf: B,
}

impl<B: PacketBuf> Segment<B> {
    pub(crate) fn packet(&self) -> TcpPacket<&[u8]> {
        TcpPacket::new_unchecked(&self.buf.bytes()[NETWORK_HEADERS..])
    }

    pub(crate) fn payload(&self) -> &[u8] {
        let header_len = usize::from(self.packet().header_len());
        &self.buf.bytes()[NETWORK_HEADERS + header_len..]
    }
}
