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
use crate::progress;
use report::{PingRun, Report, Transfer, Wire};
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
    #[arg(long, default_value = "256 MiB")]
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
        let netlane = Side { name: "netlane", address: stage::NETLANE, network: stage.netlane() };
        let (pings, transfers) = match stage.peer() {
            None => {
                let pinger =
                    KernelPing::open_in_own_namespace().context("cannot ping with the kernel's ICMP")?;
                let kernel = Side { name: "kernel", address: stage::PEER, network: Kernel::default() };
                (self.ping(&netlane, &kernel, &pinger)?, self.transfer(&netlane, &kernel)?)
            }
            Some(peer) => {
                let pinger = PingSocket::open(&peer)?;
                let peer = Side { name: "peer", address: stage::PEER, network: peer };
                (self.ping(&netlane, &peer, &pinger)?, self.transfer(&netlane, &peer)?)
            }
        };
        let wire = Wire::of(&netlane.network.client().counters(0)?);
        self.say(|out| wire.write(out))?;
        Ok(Report { link: stage.link.clone(), pings, transfers, wire })
    }

    /// Has each side ping the other one.
    fn ping(
        &self,
        netlane: &Side<Netlane>,
        peer: &Side<impl Network>,
        pinger: &impl Pinger,
    ) -> anyhow::Result<Vec<PingRun>> {
        let run = |from: &'static str, pinger: &dyn Pinger, to: &'static str, address| {
            let outcomes: io::Result<Vec<_>> =
                (0..PINGS).map(|seq| echo::ping(pinger, address, seq, &[0x6e; 56], PING_TIMEOUT)).collect();
            let run = PingRun { from, to, statistics: Statistics::of(&outcomes?) };
            self.say(|out| run.write(out))?;
            anyhow::Ok(run)
        };
        let ours = PingSocket::open(&netlane.network)?;
        Ok(vec![
            run(peer.name, pinger, netlane.name, netlane.address)?,
            run(netlane.name, &ours, peer.name, peer.address)?,
        ])
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
        let bar = progress::bytes(len, format!("SHA-256 of {path}"));
        Ok(Self { path, len, checksum: site.checksum(path, |piece| bar.inc(piece))? })
    }
}

/// Has `to` fetch it from `from`.
fn fetch(from: &Side<impl Network>, to: &Side<impl Network>, source: &Source) -> anyhow::Result<Transfer> {
    let &Source { path, len, checksum: sha256_at_source } = source;
    let (from_name, to_name) = (from.name, to.name);
    let bar = progress::bytes(len, format!("{path} {from_name} → {to_name}"));
    let received = http::get(&to.network, from.server(), path, |piece| bar.inc(piece))
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
const PING_TIMEOUT: Duration = Duration::from_secs(1);
