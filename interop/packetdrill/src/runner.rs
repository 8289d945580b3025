//! Runs scripts one after the other, each in a packetdrill of its own.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result};
use netlane_packetdrill::settings::SYSCTLS;
use serde::Serialize;
use tempfile::TempDir;

pub(crate) mod report;
pub(crate) mod stand_in;

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Passed,
    Failed,
    /// It failed, and asks for something that netlane has not: see the reason.
    Skipped,
}

/// What came of a script.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    /// The folder that it lies in.
    pub(crate) topic: String,
    pub(crate) script: String,
    pub(crate) verdict: Verdict,
    /// The first thing that packetdrill had to complain about, or what is missing.
    pub(crate) reason: Option<String>,
}

/// What scripts run on.
pub(crate) struct Bench {
    packetdrill: PathBuf,
    library: PathBuf,
    ipv6: bool,
    /// Programs that stand in for those that would change the kernel's settings.
    stand_ins: TempDir,
}

/// The real time that a script may take. Virtual time costs none.
const PATIENCE: Duration = Duration::from_secs(30);

impl Bench {
    pub(crate) fn new(packetdrill: Option<&Path>, ipv6: bool) -> Result<Self> {
        let packetdrill = find_packetdrill(packetdrill)?;
        let this = env::current_exe().context("where this program is")?;
        let library = find_library(&this)?;
        let stand_ins = tempfile::tempdir().context("a folder for a while")?;
        for name in stand_in::NAMES {
            symlink(&this, stand_ins.path().join(name)).with_context(|| format!("a link named {name}"))?;
        }
        Ok(Self { packetdrill, library, ipv6, stand_ins })
    }

    pub(crate) fn run_all(&self, scripts: &[Script]) -> Result<Vec<Outcome>> {
        scripts.iter().map(|script| self.run(script)).collect()
    }

    /// Runs one script.
    fn run(&self, script: &Script) -> Result<Outcome> {
        let scratch = tempfile::tempdir().context("a folder for a while")?;
        let settings = scratch.path().join("sysctls");
        let output = scratch.path().join("output");
        File::create(&settings).context("a file of settings")?;
        let written = File::create(&output).context("a file for what packetdrill says")?;
        let mut child = self
            .command(script)?
            .env(SYSCTLS, &settings)
            .stdin(Stdio::null())
            .stdout(written.try_clone().context("the same file twice")?)
            .stderr(written)
            .spawn()
            .with_context(|| format!("{} does not start", self.packetdrill.display()))?;
        let status = wait(&mut child)?;
        stand_in::clean_up(child.id());
        let said = String::from_utf8_lossy(&fs::read(&output).unwrap_or_default()).into_owned();
        let asked = fs::read_to_string(&settings).unwrap_or_default();
        Ok(script.judge(status, &said, &stand_in::missing(&asked)))
    }

    fn command(&self, script: &Script) -> Result<Command> {
        let mut path = std::ffi::OsString::from(self.stand_ins.path());
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        let text = fs::read_to_string(&script.path).with_context(|| script.path.display().to_string())?;
        let own: Vec<&str> = text.lines().filter(|line| line.starts_with("--")).map(str::trim).collect();
        // What a script chooses itself, packetdrill would overrule by its command line.
        let chosen = |option: &str| own.iter().find_map(|line| line.strip_prefix(option)?.strip_prefix('='));
        let usual = if self.ipv6 { OVER_IPV6 } else { OVER_IPV4 };
        let usual = usual.iter().map(|&(option, value)| (option, chosen(option).unwrap_or(value)));
        let value_of =
            |name: &str| usual.clone().find(|(option, _)| *option == name).map_or("", |(_, value)| value);
        let mut command = Command::new(&self.packetdrill);
        command
            .current_dir(script.path.parent().context("a script lies in a folder")?)
            .env("PATH", path)
            .env("LD_PRELOAD", &self.library)
            .arg(format!("--so_filename={}", self.library.display()))
            .arg(format!("--so_flags=local={},mtu={}", value_of("--local_ip"), value_of("--mtu")))
            .arg("--send_omit_free")
            .args(usual.clone().map(|(option, value)| format!("{option}={value}")))
            .args(if self.ipv6 { NAMES_OVER_IPV6 } else { NAMES_OVER_IPV4 })
            .arg(script.path.file_name().context("a script has a name")?);
        Ok(command)
    }
}

/// What packetdrill's own runner gives to every script that chooses nothing else.
const OVER_IPV4: &[(&str, &str)] = &[
    ("--ip_version", "ipv4"),
    ("--mtu", "1500"),
    ("--local_ip", "192.168.0.1"),
    ("--gateway_ip", "192.168.0.1"),
    ("--netmask_ip", "255.255.0.0"),
    ("--remote_ip", "192.0.2.1"),
];
const OVER_IPV6: &[(&str, &str)] = &[
    ("--ip_version", "ipv6"),
    ("--mtu", "1520"),
    ("--local_ip", "fd3d:0a0b:17d6::1"),
    ("--gateway_ip", "fd3d:0a0b:17d6:8888::1"),
    ("--remote_ip", "fd3d:fa7b:d17d::1"),
];

/// And the names that its scripts expect to be defined.
const NAMES_OVER_IPV4: &[&str] = &[
    "-DTFO_COOKIE=3021b9d889017eeb",
    "-DCODE=host_unreachable",
    "-DCMSG_LEVEL_IP=SOL_IP",
    "-DCMSG_TYPE_RECVERR=IP_RECVERR",
];
const NAMES_OVER_IPV6: &[&str] =
    &["-DTFO_COOKIE=c1d1e9742a47a9bc", "-DCMSG_LEVEL_IP=SOL_IPV6", "-DCMSG_TYPE_RECVERR=IPV6_RECVERR"];

/// A script, and the folder that it was found under.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    root: PathBuf,
    path: PathBuf,
}

impl Script {
    fn judge(&self, status: Option<ExitStatus>, said: &str, missing: &BTreeSet<String>) -> Outcome {
        let relative = self.path.strip_prefix(&self.root).unwrap_or(&self.path);
        let topic = relative.parent().unwrap_or(relative).display().to_string();
        let script = relative.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let complaint = match status {
            Some(_) => first_complaint(said, &name),
            None => format!("no end after {} s", PATIENCE.as_secs()),
        };
        let (verdict, reason) = match status {
            Some(status) if status.success() => (Verdict::Passed, None),
            _ if missing.is_empty() => (Verdict::Failed, Some(complaint)),
            _ => {
                let asked: Vec<&str> = missing.iter().map(String::as_str).collect();
                (Verdict::Skipped, Some(format!("asks for {}; {complaint}", asked.join(", "))))
            }
        };
        Outcome { topic, script, verdict, reason }
    }
}

/// The scripts under `places`, in order. A name that ends in v4 or v6 is for that version alone.
pub(crate) fn find(places: &[PathBuf], ipv6: bool) -> Result<Vec<Script>> {
    let other = if ipv6 { "v4.pkt" } else { "v6.pkt" };
    let mut found = Vec::new();
    for place in places {
        let place = place.canonicalize().with_context(|| place.display().to_string())?;
        let root = if place.is_dir() { &place } else { place.parent().context("a file lies in a folder")? };
        collect(&place, &mut |path| {
            if !path.to_string_lossy().ends_with(other) {
                found.push(Script { root: root.to_path_buf(), path: path.to_path_buf() });
            }
        })?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn collect(place: &Path, take: &mut impl FnMut(&Path)) -> Result<()> {
    if !place.is_dir() {
        take(place);
        return Ok(());
    }
    for entry in fs::read_dir(place).with_context(|| place.display().to_string())? {
        let path = entry.context("an entry of a folder")?.path();
        if path.is_dir() || path.extension().is_some_and(|extension| extension == "pkt") {
            collect(&path, take)?;
        }
    }
    Ok(())
}

/// The packetdrill binary: the one named, or the first in `$PATH`.
pub(crate) fn find_packetdrill(named: Option<&Path>) -> Result<PathBuf> {
    let named = named.map(Path::to_path_buf).or_else(|| env::var_os("PACKETDRILL").map(PathBuf::from));
    if let Some(path) = named {
        return path.canonicalize().with_context(|| format!("packetdrill is not at {}", path.display()));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join("packetdrill")).find(|path| path.is_file());
    found.context(
        "packetdrill is not here. It is no package of any distribution: build it from \
         https://github.com/google/packetdrill (in gtests/net/packetdrill: ./configure && make; it needs bison and \
         flex), and name it with --packetdrill PATH or $PACKETDRILL",
    )
}

/// The library beside this program: cargo leaves it in the folder `deps`, and for tests nowhere else.
fn find_library(this: &Path) -> Result<PathBuf> {
    let name = "libnetlane_packetdrill.so";
    let places = [this.with_file_name("deps").join(name), this.with_file_name(name)];
    places.into_iter().find(|place| place.exists()).with_context(|| {
        format!("{name} is not beside {}: build it with `cargo build -p netlane-packetdrill`", this.display())
    })
}

/// Waits for the end of a script, and ends it when it takes too long.
fn wait(child: &mut Child) -> Result<Option<ExitStatus>> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().context("waiting for packetdrill")? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().context("ending packetdrill")?;
    child.wait().context("waiting for packetdrill")?;
    Ok(None)
}

/// What went wrong, in one line: what packetdrill says about the script before all else, and of an assertion in Python
/// the values.
fn first_complaint(said: &str, script: &str) -> String {
    let place = format!("{script}:");
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(line) = said.lines().find_map(|line| line.strip_prefix(&place)) else {
        return lines.next_back().unwrap_or("no word").to_string();
    };
    let values =
        lines.find(|line| line.starts_with("AssertionError")).filter(|_| line.ends_with("Python code"));
    format!("line {}{}", line.trim(), values.map_or(String::new(), |values| format!(": {values}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaint_about_the_script_comes_before_what_follows() {
        let said = "a.pkt:7: error handling packet: timing error\nscript packet: ...\nactual packet: ...\n";
        assert_eq!(first_complaint(said, "a.pkt"), "line 7: error handling packet: timing error");
        assert_eq!(first_complaint("mlockall: not permitted\n", "a.pkt"), "mlockall: not permitted");
        assert_eq!(first_complaint("", "a.pkt"), "no word");
        let python =
            "a.pkt:9: error in Python code\nTraceback (most recent call last):\nAssertionError: 12\n";
        assert_eq!(first_complaint(python, "a.pkt"), "line 9: error in Python code: AssertionError: 12");
    }

    #[test]
    fn what_a_failed_script_asks_for_in_vain_is_told() {
        let script = Script { root: "/s".into(), path: "/s/ecn/marks.pkt".into() };
        let missing = stand_in::missing(
            "net.ipv4.tcp_rmem=4096 8192 16384\ncommand=ip route add x\nnet.ipv4.tcp_mtu_probing=2\n",
        );
        let outcome = script.judge(None, "", &missing);
        assert_eq!((outcome.topic.as_str(), outcome.script.as_str()), ("ecn", "marks"));
        assert_eq!(outcome.verdict, Verdict::Skipped);
        let reason = outcome.reason.expect("a reason");
        assert!(reason.starts_with("asks for `ip route add x`, net.ipv4.tcp_mtu_probing=2;"), "{reason}");
    }

    #[test]
    fn scripts_for_the_other_version_are_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a.pkt", "b-v4.pkt", "b-v6.pkt", "notes.txt"] {
            fs::write(folder.path().join(name), "").expect("a file");
        }
        let names = |ipv6| -> Vec<String> {
            let found = find(&[folder.path().to_path_buf()], ipv6).expect("a folder of scripts");
            found
                .iter()
                .filter_map(|script| Some(script.path.file_name()?.to_string_lossy().into_owned()))
                .collect()
        };
        assert_eq!(names(false), ["a.pkt", "b-v4.pkt"]);
        assert_eq!(names(true), ["a.pkt", "b-v6.pkt"]);
    }
}
