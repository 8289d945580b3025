//! `netlane ping`: asks a host for echoes, from netlane's stack.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::RangedU64ValueParser;
use humantime::parse_duration;
use netlane_config::Config;
use netlane_posix::{Netlane, PingSocket};
use netlane_runtime::Host;
use serde::Serialize;

use crate::echo::{self, Statistics, statistics};
use crate::lab::namespace;

/// Ping a host from netlane's stack
///
/// The exit status is 0 if there was a reply, and 1 if not.
#[derive(Args)]
pub(crate) struct Ping {
    /// The configuration, in TOML
    config: PathBuf,

    /// The address to ping
    address: IpAddr,

    /// Requests to send
    #[arg(short, long, default_value_t = 4, value_parser = RangedU64ValueParser::<u16>::new().range(1..))]
    count: u16,

    /// Time between two requests
    #[arg(short, long, default_value = "1s", value_parser = parse_duration)]
    interval: Duration,

    /// Bytes of payload in a request
    #[arg(short, long, default_value_t = 56, value_parser = RangedU64ValueParser::<usize>::new().range(..=65_507))]
    size: usize,

    /// How long to wait for a reply
    #[arg(short = 'W', long, default_value = "1s", value_parser = parse_duration)]
    timeout: Duration,

    /// Do it in a network namespace of its own, which takes no privileges
    #[arg(long)]
    own_namespace: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Ping {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(&self.config)?;
        if self.own_namespace {
            namespace::enter()?;
        }
        let host = Host::start(&config)?;
        let socket = PingSocket::open_from(&Netlane::attach(host.client()), anywhere(self.address))?;
        let report = self.ping(&socket)?;
        host.stop();
        if self.json {
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            self.write_summary(&report.statistics)?;
        }
        Ok(if report.statistics.received > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn ping(&self, socket: &PingSocket) -> anyhow::Result<Report> {
        let payload: Vec<u8> = (0..self.size).map(|at| at as u8).collect();
        let mut replies = Vec::new();
        let start = Instant::now();
        for seq in 1..=self.count {
            // As long as the stack is alive, a request that fails says something about its destination alone.
            let outcome = echo::ping(socket, self.address, seq, &payload, self.timeout);
            let reply = Reply {
                seq,
                time: *outcome.as_ref().ok().unwrap_or(&None),
                error: outcome.as_ref().err().map(io::Error::to_string),
            };
            if !self.json {
                self.write_reply(&reply)?;
            }
            replies.push(reply);
            if seq < self.count {
                let next = start + self.interval * u32::from(seq);
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        }
        let times: Vec<_> = replies.iter().map(|reply| reply.time).collect();
        Ok(Report { address: self.address, statistics: Statistics::of(&times), replies })
    }

    fn write_reply(&self, reply: &Reply) -> io::Result<()> {
        let (Self { address, size, .. }, Reply { seq, time, error }) = (self, reply);
        let mut out = io::stdout().lock();
        match (time, error) {
            (Some(time), _) => {
                let milliseconds = time.as_secs_f64() * 1e3;
                writeln!(out, "{size} bytes from {address}: seq={seq} time={milliseconds:.3} ms")
            }
            (None, Some(error)) => writeln!(out, "no reply from {address}: seq={seq}: {error}"),
            (None, None) => writeln!(out, "no reply from {address}: seq={seq}: none in {:?}", self.timeout),
        }
    }

    fn write_summary(&self, statistics: &Statistics) -> io::Result<()> {
        let Statistics { transmitted, received, times } = statistics;
        let mut out = io::stdout().lock();
        writeln!(out, "{transmitted} requests, {received} replies, {:.0}% lost", statistics.loss())?;
        match times {
            Some(times) => writeln!(out, "{times}"),
            None => Ok(()),
        }
    }
}

/// The unspecified address of the family of `address`.
fn anywhere(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[derive(Serialize)]
struct Report {
    address: IpAddr,
    replies: Vec<Reply>,
    statistics: Statistics,
}

/// What came of a request.
#[derive(Serialize)]
struct Reply {
    seq: u16,
    /// How long the reply took; `None` where none came.
    #[serde(rename = "time-us", serialize_with = "statistics::microseconds")]
    time: Option<Duration>,
    /// Why none could come, where that is known.
    error: Option<String>,
}
