//! Linux's system-wide settings of TCP, as far as netlane has them.

use crate::socket::fast_open::{ALL_LISTENERS, CLIENT, SERVER, WITHOUT_COOKIE};
use netlane_core::{CongestionAlgorithm, StackConfig, SynCookies};

/// What becomes of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The stack follows it.
    Applied,
    /// It says what the stack does anyhow, or has no meaning for it.
    Neutral,
    /// It asks for something that the stack has not: a script that needs it cannot pass.
    Missing,
}

/// The settings that the stack follows, and those that the calls on top of it do.
#[derive(Clone, Debug)]
pub struct Sysctls {
    /// What the stack is told.
    pub stack: StackConfig,
    /// Linux's `tcp_fastopen`.
    pub fast_open: u64,
}

impl Default for Sysctls {
    fn default() -> Self {
        let mut stack = StackConfig::default();
        // As Linux has it, for which scripts were written.
        stack.tcp.quick_acks = 16;
        Self { stack, fast_open: CLIENT }
    }
}

/// Makes a setting. Linux's names are those of `/proc/sys`, with points or slashes.
pub fn apply(key: &str, value: &str, sysctls: &mut Sysctls) -> Effect {
    let key = key.replace('/', ".");
    let Some(name) = key.strip_prefix("net.ipv4.") else { return Effect::Missing };
    let mut numbers = value.split_whitespace().map(number);
    let (first, last) = (numbers.next().flatten(), numbers.next_back().flatten());
    let Some(first) = first else { return keyed(name, value, &mut sysctls.stack) };
    let tcp = &mut sysctls.stack.tcp;
    match name {
        "tcp_fastopen" => {
            sysctls.fast_open = first;
            tcp.fast_open = first & SERVER != 0 && first & ALL_LISTENERS != 0;
            tcp.fast_open_without_cookie = first & WITHOUT_COOKIE != 0;
        }
        "tcp_timestamps" => tcp.timestamps = first != 0,
        "tcp_window_scaling" => tcp.window_scaling = first != 0,
        "tcp_sack" => tcp.sack = first != 0,
        "tcp_syncookies" => {
            tcp.syn_cookies = match first {
                0 => SynCookies::Off,
                1 => SynCookies::WhenFull,
                _ => SynCookies::Always,
            };
        }
        "tcp_synack_retries" => tcp.syn_ack_retries = first.min(255) as u8,
        "tcp_syn_retries" => tcp.syn_retries = first.min(255) as u8,
        "tcp_retries2" => tcp.retries = first.min(255) as u8,
        "tcp_rmem" => tcp.receive_buffer = last.unwrap_or(first) as usize,
        "tcp_wmem" => tcp.send_buffer = last.unwrap_or(first) as usize,
        _ => return unsaid(name, first),
    }
    Effect::Applied
}

/// Settings that the stack follows without being told, and those that it cannot follow.
fn unsaid(name: &str, value: u64) -> Effect {
    if WITHOUT_MEANING.contains(&name) || ALWAYS.contains(&(name, value)) {
        return Effect::Neutral;
    }
    Effect::Missing
}

/// Settings about how Linux does its work, and not about what its peers see.
const WITHOUT_MEANING: [&str; 5] =
    ["tcp_fack", "tcp_tso_win_divisor", "tcp_min_tso_segs", "tcp_pacing_ss_ratio", "tcp_pacing_ca_ratio"];

/// What the stack does always.
const ALWAYS: [(&str, u64); 11] = [
    ("tcp_frto", 2),
    ("tcp_dsack", 1),
    ("tcp_reordering", 3),
    ("tcp_early_retrans", 4),
    ("tcp_recovery", 1),
    ("tcp_ecn", 0),
    ("tcp_ecn_option", 2),
    ("tcp_notsent_lowat", u32::MAX as u64),
    ("tcp_fastopen_blackhole_timeout_sec", 0),
    ("tcp_slow_start_after_idle", 1),
    // All of packetdrill's scripts ask for this one, whether it matters to them or not: none is skipped for it.
    ("tcp_slow_start_after_idle", 0),
];

/// Settings whose value is a word.
fn keyed(name: &str, value: &str, config: &mut StackConfig) -> Effect {
    match (name, algorithm(value)) {
        ("tcp_congestion_control", Some(algorithm)) => {
            config.tcp.congestion_control = algorithm;
            Effect::Applied
        }
        ("tcp_fastopen_key", _) => match fast_open_key(value) {
            Some(key) => {
                config.tcp.fast_open_key = Some(key);
                Effect::Applied
            }
            None => Effect::Missing,
        },
        _ => Effect::Missing,
    }
}

/// The congestion control that Linux knows by a name.
pub(crate) fn algorithm(name: &str) -> Option<CongestionAlgorithm> {
    let found = ALGORITHMS.iter().find(|(known, _)| *known == name)?;
    Some(found.1)
}

/// Linux's name of a congestion control.
pub(crate) fn name_of(algorithm: CongestionAlgorithm) -> &'static str {
    ALGORITHMS.iter().find(|(_, known)| *known == algorithm).map_or("", |(name, _)| name)
}

const ALGORITHMS: [(&str, CongestionAlgorithm); 4] = [
    ("reno", CongestionAlgorithm::NewReno),
    ("cubic", CongestionAlgorithm::Cubic),
    ("dctcp", CongestionAlgorithm::Dctcp),
    ("bbr", CongestionAlgorithm::Bbr),
];

/// The first of the keys of Fast Open: four numbers, which Linux keeps with their lowest bytes first.
fn fast_open_key(text: &str) -> Option<[u8; 16]> {
    let first = text.split(',').next()?;
    let numbers = first.split('-').map(|part| u32::from_str_radix(part, 16)).collect::<Result<Vec<u32>, _>>();
    let bytes: Vec<u8> = numbers.ok()?.into_iter().flat_map(u32::to_le_bytes).collect();
    bytes.try_into().ok()
}

/// A number as C writes it.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
