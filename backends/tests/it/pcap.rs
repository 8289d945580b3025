//! Capture files, as their readers see them.

use crate::contract::{self, frame};
use crate::peer::Peer;
use crate::tap::{config, exchange_super_frames, kernel_socket, tap_test};
use netlane_backends::inspect::InspectBuf;
use netlane_backends::memory::{Memory, MemoryConfig, Offload, pair};
use netlane_backends::wait::Waitable;
use netlane_backends::wrap::pcap::{Capture, CaptureConfig, CaptureStats, Pcap};
use netlane_packet_io::{Batch, PacketBuf, PacketIo, TxChecksum, TxOffload};
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::{Block, PcapNgReader};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A file in memory that may fill up.
#[derive(Clone)]
struct File {
    bytes: Arc<Mutex<Vec<u8>>>,
    room: usize,
}

impl File {
    fn new() -> Self {
        Self { bytes: Arc::default(), room: usize::MAX }
    }

    fn len(&self) -> usize {
        self.bytes.lock().expect("one thread").len()
    }

    /// The file's interface and packets, in order.
    fn read(&self) -> (InterfaceDescriptionBlock<'static>, Vec<EnhancedPacketBlock<'static>>) {
        let bytes = self.bytes.lock().expect("one thread").clone();
        let mut reader = PcapNgReader::new(&bytes[..]).expect("a pcapng file");
        let (mut interface, mut packets) = (None, Vec::new());
        while let Some(block) = reader.next_block() {
            match block.expect("a whole block").into_owned() {
                Block::InterfaceDescription(description) => interface = Some(description),
                Block::EnhancedPacket(packet) => packets.push(packet),
                other => panic!("unexpected: {other:?}"),
            }
        }
        (interface.expect("an interface"), packets)
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.len() + bytes.len() > self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.lock().expect("one thread").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const QUEUE: usize = 256;

/// A link in memory whose first end is captured.
fn link(file: &File, config: &CaptureConfig, offload: Offload) -> (Pcap<Memory>, Memory) {
    let (a, b) = pair(&MemoryConfig { queue: QUEUE, pool: 512, offload, ..MemoryConfig::default() })
        .expect("eventfds");
    let mut now = Duration::from_secs(1_700_000_000);
    let clock = move || {
        now += Duration::from_nanos(1);
        now
    };
    let capture = Capture::new(file.clone(), config).expect("a capture").with_clock(clock);
    (Pcap::new(a.open(), capture), b.open())
}

fn send(from: &mut impl PacketIo, numbers: std::ops::Range<u32>) {
    let mut batch = numbers.map(|number| frame(from, number)).collect();
    from.tx_burst(&mut batch).expect("the link is up");
}

#[test]
fn captured_link_keeps_the_contract() {
    let (mut a, mut b) = link(&File::new(), &CaptureConfig::default(), Offload::None);
    contract::buffers_grow_both_ways_and_come_back_clean(&mut a);
    contract::frames_arrive_whole_and_in_order(&mut a, &mut b);
    contract::frames_arrive_whole_and_in_order(&mut b, &mut a);
    contract::one_way_stream_never_drains_the_pool(&mut a, &mut b, 2000);
}

#[test]
fn frames_are_captured_both_ways_with_time_and_direction() {
    let file = File::new();
    let config =
        CaptureConfig { interface: "lane0".into(), description: "a test".into(), ..CaptureConfig::default() };
    let (mut a, mut b) = link(&file, &config, Offload::None);
    send(&mut a, 0..3);
    send(&mut b, 3..5);
    contract::receive(&mut a, &mut Vec::new());
    assert!(a.arm(), "nothing is left to do, and the file is brought up to date");

    let (interface, packets) = file.read();
    assert_eq!(
        interface.options,
        [
            InterfaceDescriptionOption::IfName("lane0".into()),
            InterfaceDescriptionOption::IfDescription("a test".into()),
            InterfaceDescriptionOption::IfTsResol(9),
        ]
    );
    let seen: Vec<_> = packets
        .iter()
        .map(|packet| {
            let [EnhancedPacketOption::Flags(direction)] = packet.options[..] else { panic!("{packet:?}") };
            (contract::number_of(&packet.data), packet.timestamp.subsec_nanos(), direction)
        })
        .collect();
    // epb_flags: 1 is inbound, 2 is outbound.
    assert_eq!(seen, [(0, 1, 2), (1, 1, 2), (2, 1, 2), (3, 2, 1), (4, 2, 1)]);
    assert_eq!(a.stats(), CaptureStats { written: 5, ..CaptureStats::default() });
}

#[test]
fn refused_frames_are_captured_once_they_are_sent() {
    let file = File::new();
    let (mut a, mut b) = link(&file, &CaptureConfig::default(), Offload::None);
    contract::refused_frames_stay_with_the_caller(&mut a, &mut b);
    a.arm();
    let numbers: Vec<_> = file.read().1.iter().map(|packet| contract::number_of(&packet.data)).collect();
    assert_eq!(numbers, (0..numbers.len() as u32).collect::<Vec<_>>());
    assert!(numbers.len() > QUEUE, "the ring was full once");
}

#[test]
fn missing_checksum_is_filled_in_in_the_copy_alone() {
    for captured_end_sends in [true, false] {
        let file = File::new();
        let (mut a, mut b) = link(&file, &CaptureConfig::default(), Offload::Segmentation);
        let (datagram, filled) = ([1, 2, 3, 4, 0, 0], [1, 2, 3, 4, 0xfb, 0xf9]);
        let checksum = TxChecksum { start: 0, offset: 4 };
        let offload = TxOffload { checksum: Some(checksum), segmentation: None };
        let mut buf = if captured_end_sends { a.alloc() } else { b.alloc() }.expect("a buffer");
        buf.append(6).expect("tailroom").copy_from_slice(&datagram);
        buf.set_tx_offload(offload);
        let mut batch = Batch::from_iter([buf]);
        if captured_end_sends {
            a.tx_burst(&mut batch).and_then(|()| b.rx_burst(&mut batch)).expect("the link is up");
        } else {
            b.tx_burst(&mut batch).and_then(|()| a.rx_burst(&mut batch)).expect("the link is up");
        }
        assert_eq!((batch[0].bytes(), batch[0].rx_unfilled()), (&datagram[..], Some(checksum)));
        a.arm();
        assert_eq!(file.read().1[0].data[..], filled);
    }
}

#[test]
fn long_frames_are_cut_at_the_snap_length() {
    let file = File::new();
    let (mut a, _b) =
        link(&file, &CaptureConfig { snap_len: Some(64), ..CaptureConfig::default() }, Offload::Segmentation);
    let mut buf = a.alloc().expect("a buffer");
    buf.append(3000).expect("tailroom").fill(9);
    let checksum = Some(TxChecksum { start: 34, offset: 16 });
    buf.set_tx_offload(TxOffload { checksum, segmentation: None });
    let mut batch = Batch::from_iter([frame(&mut a, 0), buf]);
    a.tx_burst(&mut batch).expect("the link is up");
    a.arm();
    let (interface, packets) = file.read();
    let lengths: Vec<_> = packets.iter().map(|packet| (packet.data.len(), packet.original_len)).collect();
    assert_eq!((interface.snaplen, &lengths[..]), (64, &[(60, 60), (64, 3000)][..]));
    assert_ne!(packets[1].data[50..52], [9, 9], "the checksum of the whole frame");
}

#[test]
fn file_grows_to_its_limit_and_no_further() {
    let file = File::new();
    let (mut a, mut b) =
        link(&file, &CaptureConfig { max_bytes: Some(1000), ..CaptureConfig::default() }, Offload::None);
    for _ in 0..10 {
        send(&mut a, 0..2);
        assert_eq!(contract::receive(&mut b, &mut Vec::new()), 2, "the traffic goes on");
    }
    a.arm();
    let written = file.read().1.len() as u64;
    assert_eq!(a.stats(), CaptureStats { written, over_limit: 20 - written, failed: 0 });
    // A frame's block is 60 or 61 bytes, padded to four, and 44 more.
    assert!((1000 - 108..=1000).contains(&file.len()), "{} bytes", file.len());
}

#[test]
fn file_that_cannot_be_written_disturbs_no_traffic() {
    let file = File { room: 2000, ..File::new() };
    let (mut a, mut b) = link(&file, &CaptureConfig::default(), Offload::None);
    let mut received = Vec::new();
    for burst in 0..100 {
        send(&mut a, burst * 10..burst * 10 + 10);
        contract::receive(&mut b, &mut received);
        a.arm();
    }
    assert_eq!(received, (0..1000).collect::<Vec<_>>());
    let stats = a.stats();
    assert!(stats.written < 40 && stats.written + stats.failed == 1000, "{stats:?}");
}

#[test]
fn tshark_finds_no_fault_with_a_capture_of_offloaded_traffic() {
    tap_test(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lane.pcapng");
        let setting = CaptureConfig { interface: "lane0".into(), ..CaptureConfig::default() };
        let mut capture = Some(Capture::create(&path, &setting).expect("a capture"));
        let mut peer = Peer::wrapped(&config(true), |tap| Pcap::new(tap, capture.take().expect("one queue")));
        kernel_socket().send_to(b"question", (crate::peer::STACK, 9)).expect("sent");
        let ports = peer.receive_udp().answer_ports();
        peer.send_udp(0, ports, b"answer");
        exchange_super_frames(&mut peer);
        let written = peer.queues[0].stats().written;
        peer.finish();

        let Some(all) = tshark(&path, "frame") else {
            return eprintln!("SKIPPED tshark_finds_no_fault_with_a_capture_of_offloaded_traffic: no tshark");
        };
        assert_eq!(all.lines().count() as u64, written);
        let fault = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0";
        assert_eq!(tshark(&path, fault).as_deref(), Some(""));
        let verified =
            tshark(&path, "tcp.checksum.status == 1 && tcp.len > 14000 && frame.packet_flags_direction == 2");
        assert_eq!(verified.expect("tshark").lines().count(), 1, "the super-frame that was sent");
        let verified = tshark(&path, "udp.checksum.status == 1 && frame.packet_flags_direction == 1");
        assert!(!verified.expect("tshark").is_empty(), "the datagram from the kernel");
    });
}

/// The frames that a filter of tshark's lets through, one to a line; `None` where there is no tshark.
fn tshark(file: &Path, filter: &str) -> Option<String> {
    let mut command = Command::new("tshark");
    for protocol in ["ip", "tcp", "udp"] {
        command.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
    }
    let output = command.arg("-r").arg(file).args(["-Y", filter]).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
