//! What concerns every backend.

use super::finding::Finding;
use crate::machine::{cpu, kernel, memory};

pub(super) fn examine() -> Vec<Finding> {
    vec![kernel(), cpus(), open_files(), shared_memory()]
}

fn kernel() -> Finding {
    Finding::ok("kernel", format!("Linux {}", kernel::release()))
}

fn cpus() -> Finding {
    match cpu::allowed() {
        Ok(cpus) => {
            let nodes = cpu::numa_nodes();
            Finding::ok("CPUs", format!("{} ({}), NUMA nodes: {nodes}", cpus.len(), cpu::list(&cpus)))
        }
        Err(error) => Finding::warn(
            "CPUs",
            format!("the kernel does not tell: {error}"),
            "set `lanes.count` in the configuration to a number",
        ),
    }
}

fn open_files() -> Finding {
    // Enough for the lanes and some thousands of the program's own files and sockets.
    const PLENTY: u64 = 4_096;
    match memory::open_files() {
        Some(limit) if limit < PLENTY => Finding::warn(
            "open files",
            format!("at most {limit}"),
            "raise the limit with `ulimit -n 65536` before programs with many connections",
        ),
        Some(limit) => Finding::ok("open files", format!("at most {limit}")),
        None => Finding::ok("open files", "without limit"),
    }
}

fn shared_memory() -> Finding {
    match rustix::fs::memfd_create("netlane-doctor", rustix::fs::MemfdFlags::CLOEXEC) {
        Ok(_) => Finding::ok("shared memory", "memfd_create works"),
        Err(error) => Finding::missing(
            "shared memory",
            format!("memfd_create fails: {error}"),
            "use Linux 3.17 or later, and allow memfd_create(2) in the sandbox's filter of system calls",
        ),
    }
}
