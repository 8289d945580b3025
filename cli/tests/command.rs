//! The `netlane` command as a shell runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A configuration that any machine can carry out.
const SOUND: &str = "\
[backend]
kind = \"memory\"

[interface]
addresses = [\"10.0.0.2/24\"]

[impair]
loss = 0.25
";

fn netlane(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netlane"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .expect("netlane runs")
}

/// Writes `text` to a file that lives as long as the folder.
fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stack.toml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn check(path: &Path) -> Output {
    netlane(&["check", path.to_str().unwrap()])
}

fn check_json(path: &Path) -> (Option<i32>, Value) {
    let output = netlane(&["check", "--json", path.to_str().unwrap()]);
    (output.status.code(), serde_json::from_slice(&output.stdout).expect("the output is JSON"))
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn check_shows_what_a_sound_configuration_builds() {
    let (_folder, path) = file(SOUND);

    let output = check(&path);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "lanes       1, not pinned, park after 20µs\n\
         backend     memory, 1024 frames each way, without offload\n\
         interface   10.0.0.2/24, MTU 1500\n\
         inbound     lose 0.25\n\
         outbound    lose 0.25\n"
    );
    assert_eq!(stderr(&output), "");
}

#[test]
fn check_shows_where_addresses_come_from_and_what_lies_beyond() {
    let (_folder, path) = file(
        "[backend]\n\
         kind = \"memory\"\n\
         [interface]\n\
         addresses = [\"10.0.0.2/24\", \"fd00::2/64\"]\n\
         dhcp = true\n\
         autoconfigure = true\n\
         vlan = 42\n\
         conflict-detection = \"probe\"\n\
         [[routes]]\n\
         to = \"0.0.0.0/0\"\n\
         via = \"10.0.0.1\"\n\
         metric = 10\n\
         [[routes]]\n\
         to = \"::/0\"\n\
         via = \"fd00::1\"\n\
         [[neighbors]]\n\
         address = \"fd00::9\"\n\
         mac = \"02:00:00:00:00:09\"\n",
    );

    let output = check(&path);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "lanes       1, not pinned, park after 20µs\n\
         backend     memory, 1024 frames each way, without offload\n\
         interface   10.0.0.2/24, fd00::2/64, one from a DHCP server, those that IPv6 routers advertise, MTU 1500, \
         VLAN 42, addresses probed\n\
         route       0.0.0.0/0 via 10.0.0.1, metric 10\n\
         route       ::/0 via fd00::1\n\
         neighbor    fd00::9 at 02:00:00:00:00:09\n"
    );
}

#[test]
fn check_fills_in_the_defaults_for_scripts() {
    let (_folder, path) = file(SOUND);

    let (status, report) = check_json(&path);

    assert_eq!(status, Some(0));
    assert_eq!(report["sound"], true);
    assert_eq!(report["problems"], Value::Array(Vec::new()));
    assert_eq!(report["plan"]["lanes"], 1);
    assert_eq!(report["plan"]["config"]["interface"]["mtu"], 1500);
    assert_eq!(report["plan"]["config"]["tcp"]["rto-min"], "200ms");
}

#[test]
fn check_points_at_what_is_wrong() {
    let (_folder, path) = file("[interface]\naddresses = [\"10.0.0.255/24\"]\n");
    let name = path.display();

    let output = check(&path);

    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    assert_eq!(
        stderr(&output),
        format!(
            "error: {name}:2:14: 10.0.0.255 is its subnet's broadcast address\n  \
               |\n\
             2 | addresses = [\"10.0.0.255/24\"]\n  \
               |              ^^^^^^^^^^^^^^^\n  \
               = help: use the address of one host\n"
        )
    );
}

#[test]
fn check_tells_scripts_where_it_is_wrong() {
    let (_folder, path) = file("[interface]\naddresses = [\"10.0.0.255/24\"]\n");

    let (status, report) = check_json(&path);

    assert_eq!(status, Some(1));
    assert_eq!(report["sound"], false);
    assert_eq!(report["plan"], Value::Null);
    let problem = &report["problems"][0];
    assert_eq!(problem["key"], "interface.addresses.0");
    assert_eq!(problem["place"]["line"], 2);
    assert_eq!(problem["place"]["column"], 14);
}

#[test]
fn check_points_at_what_the_machine_lacks() {
    let (_folder, path) = file(&format!(
        "{SOUND}[lanes]\ncpus = [1_000_000]\n[capture]\nfile = \"/no/such/folder/wire.pcapng\"\n"
    ));

    let output = check(&path);
    let (status, report) = check_json(&path);

    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("pinned to CPUs 1000000"), "{}", stdout(&output));
    let complaint = stderr(&output);
    assert!(complaint.contains("stack.toml:10:9: this process cannot run on CPU 1000000"), "{complaint}");
    assert!(complaint.contains("stack.toml:12:8: there is no folder /no/such/folder"), "{complaint}");
    assert_eq!(status, Some(1));
    assert_eq!(report["problems"].as_array().map(Vec::len), Some(2));
    assert_eq!(report["plan"]["lanes"], 1);
}

#[test]
fn check_names_a_device_name_that_is_taken() {
    if !Path::new("/sys/class/net/lo").exists() || fs::File::open("/dev/net/tun").is_err() {
        eprintln!("skipped: there is no loopback device, or /dev/net/tun cannot be opened");
        return;
    }
    let (_folder, path) =
        file("[backend]\nkind = \"tap\"\nname = \"lo\"\n[interface]\naddresses = [\"10.0.0.2/24\"]\n");

    let complaint = stderr(&check(&path));

    assert!(complaint.contains("stack.toml:3:8: lo is a network device of another kind"), "{complaint}");
}

#[test]
fn a_file_that_cannot_be_read_is_one_line() {
    let output = netlane(&["check", "/no/such/stack.toml"]);

    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "error: cannot read `/no/such/stack.toml`: No such file or directory (os error 2)\n"
    );
}

#[test]
fn wrong_usage_has_a_status_of_its_own() {
    assert_eq!(netlane(&[]).status.code(), Some(2));
    assert_eq!(netlane(&["check"]).status.code(), Some(2));
    assert_eq!(netlane(&["chek", "stack.toml"]).status.code(), Some(2));
}

#[test]
fn doctor_examines_every_backend_and_has_a_remedy_for_every_lack() {
    let output = netlane(&["doctor", "--json"]);
    let diagnosis: Value = serde_json::from_slice(&output.stdout).expect("the output is JSON");

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let backends = diagnosis["backends"].as_array().unwrap();
    let kinds: Vec<_> = backends.iter().map(|backend| backend["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["memory", "tap", "af-xdp", "dpdk", "netmap", "pf-ring"]);
    for kind in netlane_config::Backend::KINDS {
        let backend = backends.iter().find(|backend| backend["kind"] == *kind).unwrap();
        assert_eq!(backend["supported"], true, "{kind}");
    }
    let rank = |verdict: &Value| match verdict.as_str() {
        Some("ok") => 0,
        Some("warn") => 1,
        Some("missing") => 2,
        other => panic!("unknown verdict {other:?}"),
    };
    for backend in backends {
        let findings = backend["findings"].as_array().unwrap();
        let worst = findings.iter().map(|finding| rank(&finding["verdict"])).max().unwrap_or(0);
        assert_eq!(rank(&backend["verdict"]), worst, "{backend}");
        for finding in findings {
            assert_eq!(finding["remedy"].is_null(), finding["verdict"] == "ok", "{finding}");
        }
    }
}

#[test]
fn doctor_writes_no_colours_into_a_pipe() {
    let output = netlane(&["doctor"]);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("system\n") && text.contains("/dev/net/tun"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_netlane"))
        .arg("doctor")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(doctor.stdout.take());

    let output = doctor.wait_with_output().unwrap();

    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

#[test]
fn bash_takes_the_completions() {
    let (_folder, path) = file("");
    let output = netlane(&["completions", "bash"]);
    fs::write(&path, &output.stdout).unwrap();
    let ask = "COMP_WORDS=(netlane doc) COMP_CWORD=1 && _netlane netlane doc netlane && echo ${COMPREPLY[*]}";
    let script = format!("source {} && {ask}", path.display());

    let completed = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();

    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&completed), "doctor\n", "{}", stderr(&completed));
}
