//! netlane's own scripts, each run by packetdrill.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Where packetdrill says that it may not have what it wants of the system.
const NO_LOCKED_MEMORY: &str = "lockall";

#[test]
fn own_scripts_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let scripts = fs::read_dir(&folder).expect("the scripts").count();
    let run =
        Command::new(env!("CARGO_BIN_EXE_netlane-packetdrill")).arg(folder).output().expect("the runner");
    let (board, said) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    println!("{board}{said}");
    if said.contains("packetdrill is not here") {
        return println!(
            "SKIPPED own_scripts_pass: packetdrill is not installed; ci/packetdrill.sh builds it"
        );
    }
    if board.contains(NO_LOCKED_MEMORY) {
        return println!("SKIPPED own_scripts_pass: packetdrill may not lock its memory; as root it may");
    }
    assert!(run.status.success(), "{board}{said}");
    assert!(board.contains(&format!("{scripts} passed, 0 failed, 0 skipped")), "{board}{said}");
}
