//! A host: the lanes of a program, from their start to their end.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use netlane_backends::memory::{self, MemoryConfig, Offload};
use netlane_backends::tap::{self, TapError, TapInterface};
use netlane_config::{Backend, Config, ConfigError, MemoryBackend};
use rustix::thread::{CpuSet, sched_setaffinity};

pub use port::Port;

use crate::client::Client;
use crate::lane::{Gossip, Lane, LaneConfig};
use crate::shared::Region;
use port::{Captured, Impaired};

mod port;
mod settings;

/// The lanes of a program: each a thread that drives a stack over a queue of packets.
///
/// Threads of the program reach them through a [`Client`]. Dropping the host, or [stopping](Self::stop) it, ends the
/// lanes: connections that are still held are reset, and those that were closed get half a second to end in order.
#[derive(Debug)]
pub struct Host {
    client: Client,
    region: Arc<Region>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// The device exists as long as one of its queues is open, so this only names it.
    device: Option<String>,
}

impl Host {
    /// Opens the backend that the configuration names, and starts its lanes.
    ///
    /// # Errors
    /// [`StartError`]. The memory backend has two ends, so it takes two hosts: see [`pair`](Self::pair).
    pub fn start(config: &Config) -> Result<Self, StartError> {
        config.check()?;
        match &config.backend {
            Backend::Memory(_) => Err(StartError::OneEnd),
            Backend::Tap(device) => {
                let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
                let queues = config.lane_count(cores).get();
                let (interface, ports) = tap::open(&settings::tap(config, device, queues))?;
                set_up(&interface, config)?;
                let mut host = Self::start_with(config, ports)?;
                host.device = Some(interface.name().to_owned());
                Ok(host)
            }
        }
    }

    /// Starts two hosts of one lane each, joined by a link in memory. Its queue and offload are those of the first
    /// one's memory backend, if it names that.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn pair(a: &Config, b: &Config) -> Result<(Self, Self), StartError> {
        let backend = match &a.backend {
            Backend::Memory(backend) => backend.clone(),
            Backend::Tap(_) => MemoryBackend::default(),
        };
        let link = MemoryConfig {
            mtu: usize::from(a.interface.mtu.min(b.interface.mtu)),
            macs: [settings::mac(a), settings::mac(b)],
            queue: backend.queue_length,
            pool: a.limits.packet_buffers.max(b.limits.packet_buffers),
            offload: if backend.offload { Offload::Segmentation } else { Offload::None },
        };
        let (ours, theirs) = memory::pair(&link).map_err(StartError::Memory)?;
        Ok((Self::start_with(a, vec![ours])?, Self::start_with(b, vec![theirs])?))
    }

    /// Starts a lane on each of these ports, whatever backend the configuration names. The ports are queues of one
    /// interface, and their lanes are the only ones that it has.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start_with<P: Port>(config: &Config, ports: Vec<P>) -> Result<Self, StartError> {
        let seed = config.seed.map_or_else(settings::random_seed, Ok).map_err(StartError::Seed)?;
        // A wrapper that is not configured costs nothing, since it is not there. Impaired links are for tests, where
        // an empty capture above them may cost something.
        match (&config.capture, &config.impair) {
            (None, None) => Self::spawn(config, seed, ports),
            (Some(_), None) => {
                let wrap = |(lane, port)| Captured::new(port, config.capture.as_ref(), lane);
                let ports: Result<_, _> = ports.into_iter().enumerate().map(wrap).collect();
                Self::spawn(config, seed, ports?)
            }
            (capture, Some(impair)) => {
                let wrap = |(lane, port)| {
                    let impaired = Impaired::new(port, settings::impair(config, impair, seed, lane));
                    Captured::new(impaired, capture.as_ref(), lane)
                };
                let ports: Result<_, _> = ports.into_iter().enumerate().map(wrap).collect();
                Self::spawn(config, seed, ports?)
            }
        }
    }

    /// A client of the host's lanes. All are the same one.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The name of the network device that the host has made, if it has made one.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// Whether all lanes run. One ends by itself when its device is gone.
    #[must_use]
    pub fn is_running(&self) -> bool {
        (0..self.threads.len()).all(|lane| !self.region.is_gone(lane))
    }

    /// Ends the lanes and waits until they have. Whoever waits for a socket of theirs gets an error.
    pub fn stop(self) {}

    fn spawn<P: Port>(config: &Config, seed: u64, ports: Vec<P>) -> Result<Self, StartError> {
        let fast_open_key = settings::fast_open_key(config).map_err(StartError::Seed)?;
        let shape = settings::shape(config, ports.len());
        let region = Region::create(shape).map_err(|source| StartError::Region { source })?;
        let region = Arc::new(region);
        let stop = Arc::new(AtomicBool::new(false));
        let client = Client::new(Arc::clone(&region));
        let mut host = Self { client, region, stop, threads: Vec::new(), device: None };
        let (started, starts) = mpsc::channel();
        let gossips = Gossip::among_lanes(&host.region);
        for ((index, port), gossip) in ports.into_iter().enumerate().zip(gossips) {
            let lane = settings::lane(config, seed, fast_open_key, index, host.region.shape());
            let cpu = config.lanes.cpus.get(index).copied();
            let (region, stop, started) = (Arc::clone(&host.region), Arc::clone(&host.stop), started.clone());
            let thread = thread::Builder::new().name(format!("netlane-lane{index}"));
            let body = move || live(port, lane, Placement { region, gossip, index, cpu, stop }, started);
            host.threads.push(thread.spawn(body).map_err(StartError::Thread)?);
        }
        drop(started);
        for outcome in starts {
            outcome?;
        }
        Ok(host)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for lane in 0..self.threads.len() {
            self.region.wake_lane(lane);
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a lane ended in a panic");
            }
        }
    }
}

/// Where a lane lives.
struct Placement {
    region: Arc<Region>,
    gossip: Gossip,
    index: usize,
    cpu: Option<usize>,
    stop: Arc<AtomicBool>,
}

/// A lane's life, on its thread.
fn live<P: Port>(
    port: P,
    config: LaneConfig,
    placement: Placement,
    started: mpsc::Sender<Result<(), StartError>>,
) {
    let Placement { region, gossip, index, cpu, stop } = placement;
    // However this ends, nobody waits for the lane any more.
    let _lifeline = Lifeline { region: Arc::clone(&region), lane: index };
    if let Some(cpu) = cpu
        && let Err(source) = pin(cpu)
    {
        // Nobody listens if another lane failed first.
        let _ = started.send(Err(StartError::Pin { cpu, source }));
        return;
    }
    let mut lane = Lane::new(port.open(), config, region, gossip, index, stop);
    let settled = lane.settle();
    let _ = started.send(Ok(()));
    // Whoever starts the lanes listens until all have let go of this.
    drop(started);
    if let Err(link_down) = settled.and_then(|()| lane.run()) {
        // Clients learn it from their calls. In memory it is how a peer's orderly end looks.
        tracing::info!("lane {index} ends: {link_down}");
    }
}

/// Tells all who wait for a lane that it has ended, when dropped.
struct Lifeline {
    region: Arc<Region>,
    lane: usize,
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.region.bury(self.lane);
    }
}

/// Keeps this thread on one CPU.
fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    Ok(sched_setaffinity(None, &cpus)?)
}

/// Gives the kernel's end of the device its address, and brings it up.
fn set_up(interface: &TapInterface, config: &Config) -> Result<(), TapError> {
    if let Some(address) = config.interface.host_address {
        interface.set_address(address.addr(), address.prefix_len())?;
        return interface.up();
    }
    match interface.up() {
        // Who made the device for this user brings it up as well.
        Err(TapError::NotPermitted { .. }) => Ok(()),
        outcome => outcome,
    }
}

/// Why a host did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong. Its problems tell their remedies.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The memory backend has two ends, and this would be one.
    #[error(
        "the memory backend joins two stacks of one program: start both with `Host::pair`, or choose \
         `backend.kind = \"tap\"`"
    )]
    OneEnd,
    /// The TAP device could not be made or set up.
    #[error(transparent)]
    Tap(#[from] TapError),
    /// The link in memory could not be made.
    #[error(
        "cannot make a link in memory: {0}; close files, or raise the limit on open ones with `ulimit -n`"
    )]
    Memory(#[source] io::Error),
    /// The capture file could not be made.
    #[error("cannot write the capture to {file}: {source}; choose another `capture.file`")]
    Capture {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// There is no memory for sockets.
    #[error(
        "cannot map the memory for sockets: {source}; lower `limits.sockets`, `tcp.send-buffer` or \
         `tcp.receive-buffer`, or raise the limit on address space with `ulimit -v`"
    )]
    Region {
        /// What the system says.
        source: io::Error,
    },
    /// The system has no random numbers.
    #[error("the system gives no random numbers: {0}; set `seed`, where no stranger is a peer")]
    Seed(#[source] io::Error),
    /// A lane's thread could not be started.
    #[error("cannot start a thread: {0}; lower `lanes.count`, or raise the limit with `ulimit -u`")]
    Thread(#[source] io::Error),
    /// A lane could not be kept on its CPU.
    #[error(
        "cannot pin a lane to CPU {cpu}: {source}; list CPUs in `lanes.cpus` that this process may use (`nproc`, `taskset -p $$`)"
    )]
    Pin {
        /// The CPU's number.
        cpu: usize,
        /// What the system says.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests;
