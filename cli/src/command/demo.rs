//! `netlane demo`: netlane and the kernel talk with each other over a link of their own.

mod http;
mod report;
mod site;
mod stage;

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use bytesize::ByteSize;
use clap::Args;
use netlane_posix::{Netlane, PingSocket};

use crate::echo::{self, KernelPing, Pinger, Statistics};
use crate::network::{Kernel, Network};
use crate::progress::BytesProgress;
use crate::workload::{self, Load, Outcome, Workload};
use report::{PingRun, Report, Speed, Transfer, Wire};
use site::{BODY, Checksum, DemoSite, README};
use stage::Stage;

/// Fetch files from netlane with the kernel's TCP, and the other way round
///
/// Everything happens in a user and network namespace of its own, so it takes no privileges and leaves nothing behind:
/// a TAP device joins the kernel's stack with netlane's, and each side fetches the project's README and a large body
/// from an HTTP server on the other one. Where the system does not allow that, two of netlane's stacks are joined in
/// memory.
///
/// The exit status is 0 if all that was received is what was sent.
#[derive(Args)]
pub(crate) struct Demo {
    /// Bytes of the body
    #[arg(long, default_value = "256 MB")]
    size: ByteSize,

    /// Join two of netlane's stacks in memory, without the kernel
    #[arg(long)]
    no_tap: bool,

    /// Write what goes over the wire to this file, in pcapng format
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let stage = Stage::set(self.no_tap, self.capture.as_deref())?;
        let report = self.play(&stage)?;
        stage.clear();
        if self.json {
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
        }
        let equal = report.transfers.iter().all(|transfer| transfer.equal);
        Ok(if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn play(&self, stage: &Stage) -> anyhow::Result<Report> {
        self.say(|out| stage.link.write(out))?;
        let netlane = Side::netlane("netlane", stage::NETLANE, stage.netlane());
        match stage.peer() {
            None => self.play_with(stage, &netlane, &Side::kernel(stage::PEER)),
            Some(peer) => self.play_with(stage, &netlane, &Side::netlane("peer", stage::PEER, peer)),
        }
    }

    fn play_with(
        &self,
        stage: &Stage,
        netlane: &Side<Netlane>,
        peer: &Side<impl Network>,
    ) -> anyhow::Result<Report> {
        let pings = vec![self.ping(peer, netlane)?, self.ping(netlane, peer)?];
        let transfers = self.transfer(netlane, peer)?;
        // With a capture, this would measure the disk, and fill it.
        let speeds = if self.capture.is_none() { self.measure(netlane, peer)? } else { Vec::new() };
        let wire = Wire::of(&netlane.network.client().counters(0)?);
        self.say(|out| wire.write(out))?;
        Ok(Report { link: stage.link.clone(), pings, transfers, speeds, wire })
    }

    /// Has one side ping the other one.
    fn ping(&self, from: &Side<impl Network>, to: &Side<impl Network>) -> io::Result<PingRun> {
        let pinger = from.pinger.as_deref().map_err(ToString::to_string);
        let request = |pinger, seq| echo::ping(pinger, to.address, seq, &[0x6e; 56], PING_TIMEOUT);
        let outcomes = pinger.and_then(|pinger| {
            let outcomes: io::Result<Vec<_>> = (0..PINGS).map(|seq| request(pinger, seq)).collect();
            outcomes.map_err(|error| error.to_string())
        });
        let (error, outcomes) = outcomes.map_or_else(|error| (Some(error), Vec::new()), |ok| (None, ok));
        let run = PingRun { from: from.name, to: to.name, statistics: Statistics::of(&outcomes), error };
        self.say(|out| run.write(out))?;
        Ok(run)
    }

    /// Has each side fetch everything from the other one.
    fn transfer(&self, netlane: &Side<Netlane>, peer: &Side<impl Network>) -> anyhow::Result<Vec<Transfer>> {
        let site = DemoSite::new(self.size.as_u64());
        netlane.serve(&site)?;
        peer.serve(&site)?;
        let mut transfers = Vec::new();
        let mut tell = |transfer: Transfer| {
            self.say(|out| transfer.write(out))?;
            transfers.push(transfer);
            io::Result::Ok(())
        };
        for path in [README, BODY] {
            let source = Source::examine(&site, path)?;
            tell(fetch(netlane, peer, &source)?)?;
            tell(fetch(peer, netlane, &source)?)?;
        }
        Ok(transfers)
    }

    /// Measures bulk bytes in both directions.
    fn measure(&self, netlane: &Side<Netlane>, peer: &Side<impl Network>) -> anyhow::Result<Vec<Speed>> {
        let server = workload::server::start(&peer.network, SocketAddr::new(peer.address, 7), 1)?;
        let directions =
            [(Workload::BulkSend, netlane.name, peer.name), (Workload::BulkReceive, peer.name, netlane.name)];
        let mut speeds = Vec::new();
        for (workload, from, to) in directions {
            let load = Load { duration: SPEED_TEST, connections: 1 };
            let Outcome { amount, time, .. } = workload::run(workload, &netlane.network, server, load)
                .with_context(|| format!("cannot move bytes from {from} to {to}"))?;
            let speed = Speed { from, to, gigabits_per_second: amount as f64 * 8e-9 / time.as_secs_f64() };
            self.say(|out| speed.write(out))?;
            speeds.push(speed);
        }
        Ok(speeds)
    }

    /// Tells people, unless a script listens.
    fn say(&self, write: impl FnOnce(&mut anstream::Stdout) -> io::Result<()>) -> io::Result<()> {
        if self.json { Ok(()) } else { write(&mut anstream::stdout()) }
    }
}

/// One end of the link.
struct Side<N> {
    name: &'static str,
    address: IpAddr,
    network: N,
    pinger: io::Result<Box<dyn Pinger>>,
}

impl Side<Netlane> {
    fn netlane(name: &'static str, address: IpAddr, network: Netlane) -> Self {
        let pinger = PingSocket::open(&network).map(|socket| Box::new(socket) as Box<dyn Pinger>);
        Self { name, address, network, pinger }
    }
}

impl Side<Kernel> {
    fn kernel(address: IpAddr) -> Self {
        let pinger = KernelPing::open_in_own_namespace().map(|socket| Box::new(socket) as Box<dyn Pinger>);
        Self { name: "kernel", address, network: Kernel::default(), pinger }
    }
}

impl<N: Network> Side<N> {
    fn server(&self) -> SocketAddr {
        SocketAddr::new(self.address, 80)
    }

    fn serve(&self, site: &DemoSite) -> anyhow::Result<()> {
        http::serve(&self.network, self.server(), site.clone())
            .with_context(|| format!("cannot serve on {} of {}", self.server(), self.name))
    }
}

/// Something to be fetched, as it is at its source.
struct Source {
    path: &'static str,
    len: u64,
    checksum: Checksum,
}

impl Source {
    fn examine(site: &DemoSite, path: &'static str) -> io::Result<Self> {
        let len = site.len(path);
        let mut progress = BytesProgress::new(len, format!("SHA-256 of {path}"));
        Ok(Self { path, len, checksum: site.checksum(path, |piece| progress.add(piece))? })
    }
}

/// Has `to` fetch it from `from`.
fn fetch(from: &Side<impl Network>, to: &Side<impl Network>, source: &Source) -> anyhow::Result<Transfer> {
    let &Source { path, len, checksum: sha256_at_source } = source;
    let (from_name, to_name) = (from.name, to.name);
    let mut progress = BytesProgress::new(len, format!("{path} {from_name} → {to_name}"));
    let received = http::get(&to.network, from.server(), path, |piece| progress.add(piece))
        .with_context(|| format!("{to_name} cannot fetch {path} from {from_name}"))?;
    Ok(Transfer {
        path,
        from: from_name,
        to: to_name,
        bytes: received.len,
        time: received.time,
        sha256_at_source,
        sha256_received: received.checksum,
        equal: received.checksum == sha256_at_source,
    })
}

const PINGS: u16 = 10;
/// Long enough to reach full speed many times over.
const SPEED_TEST: Duration = Duration::from_millis(500);
const PING_TIMEOUT: Duration = Duration::from_secs(1);
