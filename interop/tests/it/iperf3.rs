//! iperf3 at the kernel's end.

use std::thread;
use std::time::Duration;

use netlane_interop::iperf3::{Outcome, PORT, Test, run, serve};
use netlane_interop::namespace::with_programs;
use netlane_interop::program::start;
use netlane_interop::wire::{NETLANE, Wire, at_kernel, at_netlane};
use netlane_posix::TcpListener;
use serde_json::Value;

#[test]
fn iperf3_sends_to_netlane() {
    with_programs(&["iperf3"], || as_server(""));
}

#[test]
fn iperf3_receives_from_netlane() {
    with_programs(&["iperf3"], || as_server("-R"));
}

#[test]
fn iperf3_sends_four_streams_to_netlane() {
    with_programs(&["iperf3"], || as_server("-P 4"));
}

#[test]
fn iperf3_receives_four_streams_from_netlane() {
    with_programs(&["iperf3"], || as_server("-P 4 -R"));
}

#[test]
fn iperf3_sends_datagrams_to_netlane() {
    with_programs(&["iperf3"], || {
        let (report, ours) = serve_to("-u -b 100M");
        let sent = report["end"]["sum"]["bytes"].as_u64().expect("a number of bytes");
        assert!(sent > 10 << 20, "{sent} bytes");
        // At this rate nothing is lost, but what iperf3 sends while it ends is not waited for.
        assert!(ours.bytes <= sent && ours.bytes > sent / 100 * 95, "{} of {sent} bytes", ours.bytes);
    });
}

#[test]
fn netlane_sends_to_iperf3() {
    with_programs(&["iperf3"], || as_client(1, false));
}

#[test]
fn netlane_receives_from_iperf3() {
    with_programs(&["iperf3"], || as_client(1, true));
}

#[test]
fn netlane_sends_four_streams_to_iperf3() {
    with_programs(&["iperf3"], || as_client(4, false));
}

#[test]
fn netlane_receives_four_streams_from_iperf3() {
    with_programs(&["iperf3"], || as_client(4, true));
}

/// Slower than this, something waits for a timer.
const LEAST_BITS_PER_SECOND: f64 = 50e6;

/// iperf3 is the client, with these options.
fn as_server(options: &str) {
    let (report, ours) = serve_to(options);
    let received = report["end"]["sum_received"]["bytes"].as_u64().expect("a number of bytes");
    let rate = report["end"]["sum_received"]["bits_per_second"].as_f64().expect("a rate");
    println!("MEASURED iperf3 -c {options}: {:.0} Mbit/s", rate / 1e6);
    assert!(rate > LEAST_BITS_PER_SECOND, "{rate} bit/s");
    if !options.contains("-R") {
        assert_eq!(received, ours.bytes, "iperf3 shows what we have counted");
    }
}

fn serve_to(options: &str) -> (Value, Outcome) {
    let wire = Wire::new();
    let listener = TcpListener::bind(wire.net(), at_netlane(PORT)).expect("a listener");
    let client = start(&format!("iperf3 -c {NETLANE} -t 1 -J {options}"));
    let net = wire.net().clone();
    let server = thread::spawn(move || serve(&net, &listener));
    let report = client.succeed();
    let report: Value = serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}"));
    (report, server.join().expect("a server").expect("iperf3's protocol"))
}

/// iperf3 is the server.
fn as_client(streams: usize, reverse: bool) {
    let wire = Wire::new();
    let mut server = start("iperf3 -s -1 --forceflush");
    server.wait_for("Server listening");
    let test = Test { duration: Duration::from_secs(1), streams, reverse };
    let ours = run(wire.net(), at_kernel(PORT), test).expect("iperf3's protocol");
    let said = server.succeed();
    let theirs: Vec<u64> = ours.theirs["streams"]
        .as_array()
        .expect("streams")
        .iter()
        .map(|stream| stream["bytes"].as_u64().expect("a number of bytes"))
        .collect();
    assert_eq!(theirs.len(), streams, "{said}");
    let (sent, received) =
        if reverse { (theirs.iter().sum(), ours.bytes) } else { (ours.bytes, theirs.iter().sum()) };
    let rate = received as f64 * 8.0 / test.duration.as_secs_f64();
    println!("MEASURED iperf3 -s, {streams} streams, reverse {reverse}: {:.0} Mbit/s", rate / 1e6);
    assert!(received <= sent, "{received} of {sent} bytes");
    assert!(rate > LEAST_BITS_PER_SECOND, "{rate} bit/s\n{said}");
}
