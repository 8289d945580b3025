//! What the demonstration has shown, for people and for scripts.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::styling::{AnsiColor, Style};
use netlane_runtime::Counters;
use serde::{Serialize, Serializer};

use super::site::Checksum;
use crate::echo::Statistics;

/// What the demonstration has shown.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Report {
    pub(super) link: Link,
    pub(super) pings: Vec<PingRun>,
    pub(super) transfers: Vec<Transfer>,
    pub(super) speeds: Vec<Speed>,
    pub(super) wire: Wire,
}

/// What joins the two sides.
#[derive(Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Link {
    /// The backend, by its name in configurations.
    pub(super) backend: &'static str,
    pub(super) description: String,
    /// Why this is not a TAP device, and what to do about it.
    pub(super) fallback: Option<String>,
}

/// A file that one side has fetched from the other.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Transfer {
    pub(super) path: &'static str,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) bytes: u64,
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub(super) time: Duration,
    #[serde(serialize_with = "hex")]
    pub(super) sha256_at_source: Checksum,
    #[serde(serialize_with = "hex")]
    pub(super) sha256_received: Checksum,
    pub(super) equal: bool,
}

/// Requests for echoes, one after the other.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct PingRun {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    #[serde(flatten)]
    pub(super) statistics: Statistics,
    /// Why there were none, or no more.
    pub(super) error: Option<String>,
}

/// How fast bytes go where nobody makes them or looks at them.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Speed {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) gigabits_per_second: f64,
}

/// What the stack has counted.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Wire {
    received: Direction,
    sent: Direction,
    retransmissions: u64,
    /// Packets that were dropped, by the counter of the reason.
    drops: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Direction {
    frames: u64,
    /// Frames that hold several TCP segments.
    super_frames: u64,
    bytes: u64,
}

impl Link {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        if let Some(fallback) = &self.fallback {
            let yellow = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
            writeln!(out, "{yellow}no TAP device:{yellow:#} {fallback}\n")?;
        }
        label(out, "link")?;
        writeln!(out, "{}\n", self.description)
    }
}

impl PingRun {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { from, to, statistics: Statistics { transmitted, received, times }, error } = self;
        label(out, "ping")?;
        write!(out, "{from:>7} → {to:<7}  ")?;
        if let Some(error) = error {
            return writeln!(out, "not to be had: {error}");
        }
        write!(out, "{received} of {transmitted} answered")?;
        match times {
            Some(times) => writeln!(out, ", {times}"),
            None => writeln!(out),
        }
    }
}

impl Transfer {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { path, from, to, bytes, time, sha256_at_source, sha256_received, equal } = self;
        label(out, path.trim_start_matches('/'))?;
        let speed = match self.gigabits_per_second() {
            Some(speed) => format!("{speed:.1} Gbit/s"),
            None => format!("in {:.1} ms", time.as_secs_f64() * 1e3),
        };
        let size = ByteSize::b(*bytes).display().si().to_string();
        write!(out, "{from:>7} → {to:<7}  {size:>8}  {speed:>11}  ")?;
        let short =
            |checksum: &Checksum| checksum[..4].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let [green, red] =
            [AnsiColor::Green, AnsiColor::Red].map(|color| Style::new().fg_color(Some(color.into())));
        if *equal {
            writeln!(out, "{green}SHA-256 equal{green:#} ({}…)", short(sha256_received))
        } else {
            let (sent, received) = (short(sha256_at_source), short(sha256_received));
            writeln!(out, "{red}SHA-256 differs{red:#}: {sent}… was sent, {received}… received")
        }
    }

    /// The speed, where there was enough to tell.
    fn gigabits_per_second(&self) -> Option<f64> {
        const ENOUGH: u64 = 1_000_000;
        (self.bytes >= ENOUGH).then(|| self.bytes as f64 * 8e-9 / self.time.as_secs_f64())
    }
}

impl Speed {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { from, to, gigabits_per_second } = self;
        label(out, "speed")?;
        writeln!(out, "{from:>7} → {to:<7}  {gigabits_per_second:.1} Gbit/s without SHA-256")
    }
}

impl Wire {
    /// From the counters of a lane.
    pub(super) fn of(counters: &Counters) -> Self {
        let count = |name| counters.get(name).unwrap_or_default();
        Self {
            received: Direction {
                frames: count("rx_frames"),
                super_frames: count("tcp_super_segments_received"),
                bytes: count("rx_bytes"),
            },
            sent: Direction {
                frames: count("tx_frames"),
                super_frames: count("tcp_super_segments_sent"),
                bytes: count("tx_bytes"),
            },
            retransmissions: count("tcp_retransmissions"),
            drops: counters.iter().filter(|(name, value)| *value > 0 && is_drop(name)).collect(),
        }
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out)?;
        for (name, direction) in [("received", &self.received), ("sent", &self.sent)] {
            let Direction { frames, super_frames, bytes } = direction;
            label(out, name)?;
            let bytes = ByteSize::b(*bytes).display().si().to_string();
            writeln!(
                out,
                "{bytes} in {frames} frames, of them {super_frames} super-frames of several segments"
            )?;
        }
        label(out, "lost")?;
        let drops: Vec<_> = self.drops.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let drops = if drops.is_empty() { "nothing".to_owned() } else { drops.join(", ") };
        writeln!(out, "dropped: {drops}; retransmissions: {}", self.retransmissions)
    }
}

/// Whether a counter of the stack counts what it did not take or send. What each one means, the core's documentation tells.
fn is_drop(name: &str) -> bool {
    let traffic = ["rx_frames", "rx_bytes", "tx_frames", "tx_bytes", "tx_deferred"];
    let tcp = [
        "sockets_full",
        "buffers_full",
        "tcp_syn_queue_full",
        "tcp_out_of_window",
        "tcp_without_ack",
        "tcp_outdated_timestamp",
        "tcp_out_of_order_full",
    ];
    let is_link = name.starts_with("rx_") || name.starts_with("tx_");
    (is_link && !traffic.contains(&name)) || tcp.contains(&name)
}

fn label(out: &mut impl Write, name: &str) -> io::Result<()> {
    let bold = Style::new().bold();
    write!(out, "{bold}{name:<10}{bold:#} ")
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

fn hex<S: Serializer>(checksum: &Checksum, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&checksum.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sha256_received: Checksum) -> String {
        let transfer = Transfer {
            path: "/body",
            from: "netlane",
            to: "kernel",
            bytes: 5_000_000,
            time: Duration::from_millis(4),
            sha256_at_source: [0xab; 32],
            sha256_received,
            equal: sha256_received == [0xab; 32],
        };
        let mut text = Vec::new();
        transfer.write(&mut anstream::StripStream::new(&mut text)).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_transfer_is_told_with_its_speed_and_its_checksum() {
        assert_eq!(
            told([0xab; 32]),
            "body       netlane → kernel     5.0 MB  10.0 Gbit/s  SHA-256 equal (abababab…)\n"
        );
    }

    #[test]
    fn a_transfer_that_was_harmed_says_so() {
        let text = told([0xcd; 32]);
        assert!(text.ends_with("SHA-256 differs: abababab… was sent, cdcdcdcd… received\n"), "{text}");
    }

    #[test]
    fn what_was_put_off_or_moved_is_no_drop() {
        let no_drops = ["rx_frames", "tx_bytes", "tx_deferred", "tcp_segments_sent", "lane_turns"];
        assert!(no_drops.iter().all(|name| !is_drop(name)));
        assert!(["rx_bad_checksum", "tx_no_route", "sockets_full"].iter().all(|name| is_drop(name)));
    }
}
