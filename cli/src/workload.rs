//! What networks are measured with: a server that does what it is asked, and clients that ask for a while.

pub(crate) mod server;

mod bulk;
mod connections;
mod order;
mod round_trips;

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

use crate::network::Network;

/// A workload, as the client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Bytes to the server, as many as go.
    BulkSend,
    /// Bytes from the server.
    BulkReceive,
    /// [`MESSAGE`] bytes there and back, one after the other on each connection.
    RoundTrips,
    /// Connect, [`MESSAGE`] bytes there and back, close.
    Connections,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) duration: Duration,
    /// Connections at a time, each with a thread on either side.
    pub(crate) connections: usize,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Bytes, round trips or connections.
    pub(crate) amount: u64,
    /// From the first connection's begin to the last one's end.
    pub(crate) time: Duration,
    /// CPU time of all threads of this process, in user space and in the kernel.
    pub(crate) cpu: Duration,
    /// How long each round trip or connection took, in nanoseconds; empty for bulk bytes.
    pub(crate) latencies: Latencies,
}

/// Times in nanoseconds.
pub(crate) type Latencies = Histogram<u64>;

/// Bytes of a request, and of its answer.
pub(crate) const MESSAGE: usize = 64;

/// Runs a workload with a [server](server::start) at `address`.
pub(crate) fn run<N: Network>(
    workload: Workload,
    network: &N,
    address: SocketAddr,
    load: Load,
) -> io::Result<Outcome> {
    let (start, cpu) = (Instant::now(), cpu_time());
    let deadline = start + load.duration;
    let client = || match workload {
        Workload::BulkSend => bulk::send(network, address, deadline),
        Workload::BulkReceive => bulk::receive(network, address, load.duration),
        Workload::RoundTrips => round_trips::run(network, address, deadline),
        Workload::Connections => connections::run(network, address, deadline),
    };
    let parts: Vec<io::Result<Part>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..load.connections).map(|_| scope.spawn(client)).collect();
        let panicked = |_| Err(io::Error::other("a client panicked"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    });
    let (time, cpu) = (start.elapsed(), cpu_time().saturating_sub(cpu));
    let mut whole = Part::default();
    for part in parts {
        let part = part?;
        whole.amount += part.amount;
        whole.latencies += part.latencies;
    }
    Ok(Outcome { amount: whole.amount, time, cpu, latencies: whole.latencies })
}

/// What one client has done.
struct Part {
    amount: u64,
    latencies: Latencies,
}

impl Default for Part {
    fn default() -> Self {
        Self { amount: 0, latencies: latencies() }
    }
}

impl Part {
    fn bytes(amount: u64) -> Self {
        Self { amount, ..Self::default() }
    }

    /// Adds something that began at `start` and is done.
    fn done_since(&mut self, start: Instant) {
        self.amount += 1;
        self.latencies.saturating_record(start.elapsed().as_nanos() as u64);
    }
}

/// No times yet, to be told apart by three digits.
pub(crate) fn latencies() -> Latencies {
    const LONGEST: u64 = 60_000_000_000;
    Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds that a histogram can have")
}

/// What this process has used of CPUs so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Kernel;

    #[test]
    fn each_workload_gets_something_done_over_loopback() {
        let address = "127.0.0.1:0".parse().unwrap();
        let network = Kernel::default();
        let address = server::start(&network, address, 2).unwrap();
        let load = Load { duration: Duration::from_millis(50), connections: 2 };
        for workload in
            [Workload::BulkSend, Workload::BulkReceive, Workload::RoundTrips, Workload::Connections]
        {
            let outcome = run(workload, &network, address, load).unwrap();
            assert!(outcome.amount > 0, "{workload:?}");
            let is_bulk = matches!(workload, Workload::BulkSend | Workload::BulkReceive);
            let counted = if is_bulk { 0 } else { outcome.amount };
            assert_eq!(outcome.latencies.len(), counted, "{workload:?}");
            assert!(outcome.time >= load.duration, "{workload:?} took {:?}", outcome.time);
        }
    }
}
