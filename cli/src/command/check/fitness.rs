//! What a configuration asks of the machine, and the machine lacks.

use std::num::NonZeroUsize;
use std::path::Path;

use netlane_config::{Backend, Capture, Config, Problem, TapBackend};
use rustix::thread::CapabilitySet;

use crate::machine::{cpu, device, privilege};

/// What a machine lacks for a configuration.
#[derive(Default)]
pub(super) struct Fitness {
    /// Without this no stack starts.
    pub(super) problems: Vec<Problem>,
    /// A stack starts, but perhaps not as it was meant.
    pub(super) warnings: Vec<Problem>,
}

pub(super) fn of_this_machine_for(config: &Config) -> Fitness {
    let mut fitness = Fitness::default();
    lanes(config, &mut fitness);
    match &config.backend {
        Backend::Memory(_) => {}
        Backend::Tap(tap) => tap_device(tap, config.lane_count(cpu::cores()), &mut fitness),
    }
    if let Some(capture) = &config.capture {
        capture_file(capture, &mut fitness);
    }
    fitness
}

fn lanes(config: &Config, fitness: &mut Fitness) {
    // Where the kernel does not tell, pinning itself will.
    let allowed = cpu::allowed().unwrap_or_else(|_| config.lanes.cpus.clone());
    for (index, cpu) in config.lanes.cpus.iter().enumerate().filter(|(_, cpu)| !allowed.contains(cpu)) {
        fitness.problems.push(Problem::new(
            format!("lanes.cpus.{index}"),
            format!("this process cannot run on CPU {cpu}"),
            format!("choose from {}", cpu::list(&allowed)),
        ));
    }
    let cores = cpu::cores();
    let count = config.lane_count(cores);
    if count > cores {
        fitness.warnings.push(Problem::new(
            "lanes.count",
            format!("{count} lanes share the time of {cores} cores, and hold each other up"),
            format!("choose {cores} or fewer, or \"auto\""),
        ));
    }
}

fn tap_device(tap: &TapBackend, queues: NonZeroUsize, fitness: &mut Fitness) {
    if let Err(error) = device::open("/dev/net/tun") {
        fitness.problems.push(Problem::new(
            "backend.kind",
            format!("/dev/net/tun cannot be opened: {error}"),
            device::tun_remedy(&error),
        ));
        return;
    }
    let existing = Path::new("/sys/class/net").join(&tap.name);
    if existing.exists() && !existing.join("tun_flags").exists() {
        fitness.problems.push(Problem::new(
            "backend.name",
            format!("{} is a network device of another kind", tap.name),
            "choose a name that is not taken",
        ));
    } else if !privilege::holds(CapabilitySet::NET_ADMIN) {
        fitness.warnings.push(Problem::new(
            "backend.kind",
            "without CAP_NET_ADMIN only a TAP device works that root has made for this user",
            format!(
                "run as root or within `unshare --user --map-root-user --net`, or have it made with `sudo ip tuntap \
                 add {} mode tap{} user $USER`",
                tap.name,
                if queues > NonZeroUsize::MIN { " multi_queue" } else { "" }
            ),
        ));
    }
}

fn capture_file(capture: &Capture, fitness: &mut Fitness) {
    let folder = match capture.file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        fitness.problems.push(Problem::new(
            "capture.file",
            format!("there is no folder {}", folder.display()),
            format!("make it with `mkdir -p {}`, or name another", folder.display()),
        ));
    } else if capture.file.is_dir() {
        fitness.problems.push(Problem::new(
            "capture.file",
            format!("{} is a folder", capture.file.display()),
            "name a file in it",
        ));
    }
}
