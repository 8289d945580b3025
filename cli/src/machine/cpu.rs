//! CPUs and NUMA nodes.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity};

/// The CPUs that this process may run on, by the kernel's numbers.
pub(crate) fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// How many cores' worth of time this process may have: its CPUs, or less where a control group says so.
pub(crate) fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// How many NUMA nodes there are; one where the kernel does not tell.
pub(crate) fn numa_nodes() -> usize {
    let Ok(folder) = fs::read_dir("/sys/devices/system/node") else { return 1 };
    let is_node = |name: &str| name.strip_prefix("node").is_some_and(|number| number.parse::<u32>().is_ok());
    folder.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_node)).count().max(1)
}

/// CPU numbers as the kernel lists them, such as `0-3,8`.
pub(crate) fn list(cpus: &[usize]) -> String {
    cpus.chunk_by(|a, b| a + 1 == *b)
        .map(|range| match range {
            [only] => only.to_string(),
            [first, .., last] => format!("{first}-{last}"),
            [] => String::new(),
        })
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn neighbouring_cpus_are_listed_as_a_range() {
        assert_eq!(super::list(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(super::list(&[]), "");
    }
}
