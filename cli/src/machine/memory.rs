//! Huge pages, and limits on memory and files.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

/// The kernel's pool of huge pages of one size.
pub(crate) struct HugePages {
    pub(crate) size_kib: u64,
    pub(crate) total: u64,
    pub(crate) free: u64,
}

/// The pools of huge pages, those of the smallest pages first.
pub(crate) fn huge_pages() -> Vec<HugePages> {
    let Ok(folder) = fs::read_dir("/sys/kernel/mm/hugepages") else { return Vec::new() };
    let mut pools: Vec<_> = folder.flatten().filter_map(|entry| huge_page_pool(&entry.path())).collect();
    pools.sort_by_key(|pool| pool.size_kib);
    pools
}

fn huge_page_pool(folder: &Path) -> Option<HugePages> {
    let number = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok();
    let name = folder.file_name()?.to_str()?;
    let size_kib = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(HugePages { size_kib, total: number("nr_hugepages")?, free: number("free_hugepages")? })
}

/// The most bytes that this process may lock into memory; `None` for no limit.
pub(crate) fn lockable_bytes() -> Option<u64> {
    getrlimit(Resource::Memlock).current
}

/// The most files that this process may hold open; `None` for no limit.
pub(crate) fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}
