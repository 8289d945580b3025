//! tshark, which judges what went over the wire.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::program::{Program, command, start};
use crate::wire::{DEVICE, at_kernel};

/// A capture at the kernel's end, by dumpcap.
#[derive(Debug)]
pub struct KernelCapture {
    dumpcap: Program,
    file: PathBuf,
}

impl KernelCapture {
    /// Captures to `file` from now on.
    #[must_use]
    pub fn start(file: PathBuf) -> Self {
        let mut dumpcap = start(&format!("dumpcap -q -B 64 -i {DEVICE} -w {}", file.display()));
        // It says so when the device and the file are open.
        dumpcap.wait_for("File:");
        Self { dumpcap, file }
    }

    /// Ends the capture, and returns its file. Nothing may have been missed.
    #[must_use]
    pub fn finish(self) -> PathBuf {
        // What went over the wire last is in the file when this is.
        let marker = b"the end of the capture";
        let socket = UdpSocket::bind(at_kernel(0)).expect("a socket");
        socket.set_broadcast(true).expect("a socket");
        socket.send_to(marker, BROADCAST).expect("room");
        while !fs::read(&self.file).expect("a file").windows(marker.len()).any(|bytes| bytes == marker) {
            thread::sleep(Duration::from_millis(50));
        }
        let said = self.dumpcap.interrupt();
        let tally = said.lines().find(|line| line.contains("received/dropped")).unwrap_or(&said);
        assert!(tally.contains("/0 "), "the capture is whole: {said}");
        self.file
    }
}

/// The discard port of everybody, where netlane answers nothing.
const BROADCAST: &str = "10.9.0.255:9";

/// The packets of a capture that a display filter lets through, a line each.
#[must_use]
pub fn packets(file: &Path, filter: &str) -> Vec<String> {
    let mut tshark =
        command("tshark -n -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE");
    tshark.arg("-r").arg(file).args(["-Y", filter]);
    // It warns those who run it as root.
    let said = Program::start(tshark).succeed();
    said.lines().filter(|line| !line.starts_with("Running as user")).map(str::to_owned).collect()
}

/// Everything that is wrong with a packet by itself. tshark thinks nothing of 0xffff as a checksum of TCP; but that is
/// another way to write zero, and Linux does where a device should have filled it in (`CSUM_MANGLED_0`).
pub const BROKEN: &str = "_ws.malformed || _ws.short || ip.checksum.status == Bad || udp.checksum.status == Bad \
     || icmp.checksum.status == Bad || (tcp.checksum.status == Bad && tcp.checksum != 0xffff)";

/// What netlane does not do where nothing is lost: repeat segments, or swap them. (The kernel may: it probes for lost
/// segments when an acknowledgement takes some milliseconds, as it does on a machine that is busy.)
pub const REPEATED: &str = "ip.src == 10.9.0.2 && (tcp.analysis.retransmission || tcp.analysis.out_of_order \
     || tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment || tcp.analysis.zero_window_probe)";
