//! netlane's own scripts, each run by packetdrill.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Where packetdrill says that it may not have what it wants of the system.
const NO_LOCKED_MEMORY: &str = "lockall";

#[test]
fn own_scripts_pass_over_ipv4() {
    run("own_scripts_pass_over_ipv4", &[]);
}

#[test]
fn own_scripts_pass_over_ipv6() {
    run("own_scripts_pass_over_ipv6", &["--ipv6"]);
}

fn run(test: &str, options: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let scripts = fs::read_dir(&folder).expect("the scripts").count();
    let runner = env!("CARGO_BIN_EXE_netlane-packetdrill");
    let run = Command::new(runner).args(options).arg(folder).output().expect("the runner");
    let (board, said) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    println!("{board}{said}");
    if said.contains("packetdrill is not here") {
        return println!(
            "SKIPPED {test}: no packetdrill is on the PATH or in $PACKETDRILL; see docs/src/testing.md"
        );
    }
    if board.contains(NO_LOCKED_MEMORY) {
        return println!("SKIPPED {test}: packetdrill may not lock its memory; as root it may");
    }
    assert!(board.contains(&format!("{scripts} passed, 0 failed, 0 skipped")), "{board}{said}");
    assert!(run.status.success(), "{board}{said}");
}
