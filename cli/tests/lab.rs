//! The subcommands that move packets, as a shell runs them: in namespaces of their own, or in memory.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

const NETLANE: &str = env!("CARGO_BIN_EXE_netlane");

/// A TAP device whose other end the kernel has at 10.77.0.1.
const TAP: &str = "\
[backend]
kind = \"tap\"
name = \"lab0\"

[interface]
addresses = [\"10.77.0.2/24\"]
host-address = \"10.77.0.1/24\"
";

/// Runs a program until it ends, or for a minute. Nothing of it may be left then.
fn run(program: &str, arguments: &[&str]) -> Output {
    let child = Command::new("timeout")
        .args(["60", program])
        .args(arguments)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("timeout runs");
    let group = Pid::from_child(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(test_kill_process_group(group), Err(Errno::SRCH), "a process is left over");
    output
}

fn netlane(arguments: &[&str]) -> Output {
    run(NETLANE, arguments)
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Writes `text` to a file that lives as long as the folder.
fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stack.toml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn interfaces() -> BTreeSet<String> {
    let entries = fs::read_dir("/sys/class/net").unwrap().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// Whether a TAP device in a namespace of one's own may be had. Where not, the test says so and passes.
fn tap_or_skip(test: &str) -> bool {
    let report = json(&netlane(&["demo", "--size", "1KiB", "--json"]));
    let Some(reason) = report["link"]["fallback"].as_str() else { return true };
    eprintln!("SKIPPED {test}: {reason}");
    false
}

/// Asserts that every file came as it was, each way, and that all pings were answered.
fn assert_all_went_well(report: &Value, body_len: u64) {
    let transfers = report["transfers"].as_array().unwrap();
    assert_eq!(transfers.len(), 4, "{report:#}");
    for transfer in transfers {
        let sent = transfer["sha256-at-source"].as_str().unwrap();
        assert_eq!(sent.len(), 64);
        assert_eq!(transfer["sha256-received"], sent, "{transfer}");
        assert_eq!(transfer["equal"], true, "{transfer}");
    }
    let bodies: Vec<_> = transfers.iter().filter(|transfer| transfer["path"] == "/body").collect();
    assert!(bodies.len() == 2 && bodies.iter().all(|body| body["bytes"] == body_len), "{report:#}");
    assert_ne!(bodies[0]["from"], bodies[1]["from"]);
    for ping in report["pings"].as_array().unwrap() {
        assert_eq!((&ping["received"], &ping["error"]), (&ping["transmitted"], &Value::Null), "{ping}");
        assert!(ping["avg-us"].as_f64() > Some(0.0), "{ping}");
    }
    for direction in ["received", "sent"] {
        assert!(report["wire"][direction]["bytes"].as_u64() > Some(body_len), "{report:#}");
        assert!(report["wire"][direction]["super-frames"].as_u64() > Some(0), "{report:#}");
    }
}

#[test]
fn the_demonstration_over_tap_moves_everything_unharmed_and_leaves_nothing_behind() {
    if !tap_or_skip("the_demonstration_over_tap_moves_everything_unharmed_and_leaves_nothing_behind") {
        return;
    }
    let before = interfaces();

    let output = netlane(&["demo", "--size", "4MiB", "--json"]);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = json(&output);
    assert_eq!(report["link"]["backend"], "tap");
    assert_all_went_well(&report, 4 << 20);
    assert_eq!(interfaces(), before);
}

#[test]
fn the_demonstration_in_memory_moves_everything_unharmed() {
    let output = netlane(&["demo", "--no-tap", "--size", "4MiB", "--json"]);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = json(&output);
    assert_eq!((&report["link"]["backend"], &report["link"]["fallback"]), (&"memory".into(), &Value::Null));
    assert_all_went_well(&report, 4 << 20);
}

#[test]
fn the_demonstration_is_for_people_first() {
    let output = netlane(&["demo", "--no-tap", "--size", "1MiB"]);

    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("SHA-256 equal").count(), 4, "{text}");
    assert_eq!(text.matches("10 of 10 answered").count(), 2, "{text}");
    // On a busy machine a lane may sleep for longer than a probe timeout, and what was sent for that arrives twice.
    assert!(text.contains("Gbit/s") && text.contains("dropped: "), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn where_namespaces_are_denied_the_demonstration_says_what_to_allow_and_goes_on_in_memory() {
    // A user namespace without further ones in it, and without a capability.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces || exit 77
        exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all \"$0\" demo --size 1MiB --json";

    let output = run("unshare", &["--user", "--map-root-user", "bash", "-c", script, NETLANE]);

    if !output.stdout.starts_with(b"{") {
        let name = "where_namespaces_are_denied_the_demonstration_says_what_to_allow_and_goes_on_in_memory";
        eprintln!("SKIPPED {name}: no namespace to deny them in: {}", stderr(&output));
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = json(&output);
    let fallback = report["link"]["fallback"].as_str().unwrap();
    assert!(fallback.contains("sudo sysctl user.max_user_namespaces=10000"), "{fallback}");
    assert_eq!(report["link"]["backend"], "memory");
    assert_all_went_well(&report, 1 << 20);
}

#[test]
fn a_capture_of_the_demonstration_holds_all_that_went_over_the_wire() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wire.pcapng");

    let output =
        netlane(&["demo", "--no-tap", "--size", "1MiB", "--json", "--capture", file.to_str().unwrap()]);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let wire = &json(&output)["wire"];
    let bytes = ["received", "sent"].map(|direction| wire[direction]["bytes"].as_u64().unwrap());
    assert!(fs::metadata(&file).unwrap().len() > bytes.iter().sum());
    // The type of a section header block, which begins the file.
    assert!(fs::read(&file).unwrap().starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]));
}

#[test]
fn ping_tells_who_answers_and_who_does_not() {
    if !tap_or_skip("ping_tells_who_answers_and_who_does_not") {
        return;
    }
    let (_folder, path) = file(TAP);
    let ping = |arguments: &[&str]| {
        let common = ["ping", "--own-namespace", path.to_str().unwrap()];
        netlane(&[&common, arguments].concat())
    };

    let answered = ping(&["10.77.0.1", "--count", "3", "--interval", "10ms", "--size", "1000"]);
    let text = String::from_utf8(answered.stdout).unwrap();
    assert_eq!(answered.status.code(), Some(0), "{text}");
    assert_eq!(text.matches("1000 bytes from 10.77.0.1: seq=").count(), 3, "{text}");
    assert!(text.contains("3 requests, 3 replies, 0% lost\nmin/avg/max/mdev "), "{text}");

    let silent = ping(&["10.77.0.9", "--count", "2", "--interval", "10ms", "--timeout", "50ms", "--json"]);
    assert_eq!(silent.status.code(), Some(1), "{}", stderr(&silent));
    let statistics = &json(&silent)["statistics"];
    assert_eq!((&statistics["transmitted"], &statistics["received"]), (&2.into(), &0.into()));
}

#[test]
fn ping_needs_a_link_to_somebody() {
    let (_folder, path) = file("[backend]\nkind = \"memory\"\n[interface]\naddresses = [\"10.0.0.2/24\"]\n");

    let output = netlane(&["ping", path.to_str().unwrap(), "10.0.0.1"]);

    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("backend.kind = \"tap\""), "{}", stderr(&output));
}

/// Asserts that a workload was measured, and returns its subjects.
fn subjects<'a>(report: &'a Value, workload: &str) -> &'a [Value] {
    let tables = report["workloads"].as_array().unwrap();
    let table = tables.iter().find(|table| table["workload"] == workload).expect("the workload was measured");
    let subjects = table["subjects"].as_array().unwrap();
    for subject in subjects {
        assert!(subject["median"].as_f64() > Some(0.0) && subject["cpu"].as_f64() > Some(0.0), "{subject}");
        let latency = &subject["latency-us"];
        assert_eq!(latency.is_null(), workload.starts_with("bulk"), "{subject}");
        assert!(latency.is_null() || latency["p50"].as_f64() <= latency["p99.9"].as_f64(), "{subject}");
    }
    subjects
}

#[test]
fn bench_measures_every_workload_in_memory() {
    let output = netlane(&["bench", "--seconds", "1", "--rounds", "1", "--connections", "2", "--json"]);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = json(&output);
    for workload in ["bulk-send", "bulk-receive", "round-trips", "connections"] {
        assert_eq!(subjects(&report, workload).len(), 1, "{workload}");
    }
}

#[test]
fn bench_compares_with_the_kernel() {
    if !tap_or_skip("bench_compares_with_the_kernel") {
        return;
    }
    let before = interfaces();

    let output = netlane(&["bench", "--kernel", "--workload", "rr", "--rounds", "1", "--json"]);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = json(&output);
    let subjects = subjects(&report, "round-trips");
    let ratio_of =
        |name: &str| subjects.iter().find(|subject| subject["name"] == name).unwrap()["ratio"].as_f64();
    assert_eq!(ratio_of("kernel over veth, with offload"), Some(1.0));
    assert!(ratio_of("netlane over TAP, with offload") > Some(0.0));
    assert!(ratio_of("netlane over TAP, without offload") > Some(0.0));
    if Path::new("/usr/sbin/ethtool").exists() {
        assert!(ratio_of("kernel over veth, without offload") > Some(0.0));
    }
    assert_eq!(interfaces(), before);
}

#[test]
fn bench_asks_for_an_address_of_the_kernel() {
    if !tap_or_skip("bench_asks_for_an_address_of_the_kernel") {
        return;
    }
    let (_folder, path) = file(TAP.split("host-address").next().unwrap());

    let output = netlane(&["bench", "--own-namespace", path.to_str().unwrap()]);

    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("set `interface.host-address`"), "{}", stderr(&output));
}
