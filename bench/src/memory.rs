//! The memory of this process and of the machine, as Linux tells it.

use std::fs;

use anyhow::{Context, bail};

/// Bytes of this process that are in memory.
///
/// # Errors
/// Where `/proc` does not tell.
pub fn resident() -> anyhow::Result<u64> {
    field("/proc/self/status", "VmRSS:")
}

/// Makes sure that the machine has `bytes` to spare, with a tenth of what it has left for others.
///
/// # Errors
/// Where it does not, with how much is missing; or where `/proc` does not tell.
pub fn reserve(bytes: u64) -> anyhow::Result<()> {
    let available = field("/proc/meminfo", "MemAvailable:")?;
    let most = available / 10 * 9;
    if bytes > most {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        bail!(
            "this needs about {:.1} GiB, and {:.1} GiB may be taken: ask for fewer connections",
            gib(bytes),
            gib(most)
        );
    }
    Ok(())
}

/// A field of a file of `/proc`, given there in KiB.
fn field(path: &str, name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
    let line =
        text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("{name} in {path}"))?;
    let number = line.trim().trim_end_matches("kB").trim();
    Ok(number.parse::<u64>().with_context(|| format!("{name} in {path}"))? * 1_024)
}
