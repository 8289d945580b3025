//! Where a randomised test's chance comes from, and the bytes that tests send.

/// The environment variable that overrides every test's seed.
const VARIABLE: &str = "NETLANE_SEED";

/// The seed of a randomised test: `default`, unless the environment variable `NETLANE_SEED` names another one, in
/// decimal or, behind `0x`, hexadecimal. It is printed, and shown where the test fails.
///
/// # Panics
/// If the variable holds no number.
#[must_use]
pub fn seed(default: u64) -> u64 {
    let seed = seed_from_environment().unwrap_or(default);
    println!("seed: {VARIABLE}={seed:#x}");
    seed
}

/// The seed that the environment names.
pub(crate) fn seed_from_environment() -> Option<u64> {
    let text = std::env::var(VARIABLE).ok()?;
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    Some(parsed.unwrap_or_else(|_| panic!("{VARIABLE} is no number: {text}")))
}

/// `len` bytes of the one stream that tests send, from `offset` on. Bytes at different offsets differ often enough
/// that a stretch out of place is noticed.
#[must_use]
pub fn pattern(offset: u64, len: usize) -> Vec<u8> {
    (offset..)
        .take(len)
        .map(|at| (at ^ (at >> 8).wrapping_mul(31) ^ (at >> 16).wrapping_mul(17)) as u8)
        .collect()
}
