//! Linux's system-wide settings of TCP, as far as netlane has them.

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

/// Makes a setting. Linux's names are those of `/proc/sys`, with points or slashes.
pub fn apply(key: &str, value: &str, config: &mut StackConfig) -> Effect {
    let key = key.replace('/', ".");
    let Some(name) = key.strip_prefix("net.ipv4.") else { return Effect::Missing };
    let mut numbers = value.split_whitespace().map(number);
    let (first, last) = (numbers.next().flatten(), numbers.next_back().flatten());
    let Some(first) = first else { return keyed(name, value, config) };
    let tcp = &mut config.tcp;
    match name {
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
const ALWAYS: [(&str, u64); 8] = [
    ("tcp_frto", 2),
    ("tcp_dsack", 1),
    ("tcp_reordering", 3),
    ("tcp_early_retrans", 4),
    ("tcp_recovery", 1),
    ("tcp_ecn", 0),
    ("tcp_ecn_option", 2),
    ("tcp_notsent_lowat", u32::MAX as u64),
];

/// Settings whose value is a word.
fn keyed(name: &str, value: &str, config: &mut StackConfig) -> Effect {
    match (name, algorithm(value)) {
        ("tcp_congestion_control", Some(algorithm)) => {
            config.tcp.congestion_control = algorithm;
            Effect::Applied
        }
        // The keys are the stack's own secret, and so are its cookies.
        ("tcp_fastopen_key", _) if value == PACKETDRILLS_KEY => Effect::Neutral,
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

/// The key that packetdrill's scripts make their cookies with.
const PACKETDRILLS_KEY: &str = "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4";

/// A number as C writes it.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
