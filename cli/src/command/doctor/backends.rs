//! What each backend asks of the machine.

use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::AddressFamily;
use rustix::thread::CapabilitySet;

use super::finding::Finding;
use crate::machine::{device, kernel, library, memory, privilege};

/// The backends by their `kind`, with what was found for each.
pub(super) fn examine() -> Vec<(&'static str, Vec<Finding>)> {
    vec![
        ("memory", Vec::new()),
        ("tap", tap()),
        ("af-xdp", af_xdp()),
        ("dpdk", dpdk()),
        ("netmap", netmap()),
        ("pf-ring", pf_ring()),
    ]
}

fn tap() -> Vec<Finding> {
    let admin = capability("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN, "makes TAP devices", "cap_net_admin");
    let namespaces = match privilege::user_namespaces() {
        Ok(()) => Finding::ok("user namespaces", "TAP devices work without root in a namespace of one's own"),
        Err(why) => Finding::missing("user namespaces", why, privilege::user_namespace_remedy()),
    };
    // Either of the two is enough.
    let any = [&admin, &namespaces].into_iter().any(|finding| finding.remedy.is_none());
    let eased = |finding: Finding| if any { finding.at_worst_a_warning() } else { finding };
    vec![tun_device(), eased(admin), eased(namespaces)]
}

fn tun_device() -> Finding {
    match device::open("/dev/net/tun") {
        Ok(()) => Finding::ok("/dev/net/tun", "opens"),
        Err(error) => Finding::missing("/dev/net/tun", error.to_string(), device::tun_remedy(&error)),
    }
}

const AF_XDP_CAPABILITIES: &str = "cap_net_admin,cap_net_raw,cap_bpf";

fn af_xdp() -> Vec<Finding> {
    vec![
        af_xdp_kernel(),
        af_xdp_socket(),
        capability("CAP_NET_RAW", CapabilitySet::NET_RAW, "opens AF_XDP sockets", AF_XDP_CAPABILITIES),
        capability("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN, "attaches XDP programs", AF_XDP_CAPABILITIES),
        bpf_capability(),
        bpf_jit(),
        lockable_memory(),
        shared_library("libbpf", "libbpf.so", "libbpf-dev").at_worst_a_warning(),
        shared_library("libxdp", "libxdp.so", "libxdp-dev").at_worst_a_warning(),
    ]
}

fn af_xdp_kernel() -> Finding {
    let release = kernel::release();
    match kernel::version(&release) {
        Some(version) if version < (4, 18) => {
            Finding::missing("kernel", format!("{release} has no AF_XDP"), "use Linux 5.4 or later")
        }
        Some(version) if version < (5, 4) => {
            Finding::warn("kernel", format!("{release} cannot sleep until needed"), "use Linux 5.4 or later")
        }
        Some(version) if version < (6, 6) => {
            Finding::ok("kernel", format!("{release}; frames above a page need 6.6"))
        }
        _ => Finding::ok("kernel", release),
    }
}

fn af_xdp_socket() -> Finding {
    match kernel::open_socket(AddressFamily::XDP) {
        Ok(()) => Finding::ok("AF_XDP socket", "opens"),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::AFNOSUPPORT) => Finding::missing(
            "AF_XDP socket",
            "the kernel does not know AF_XDP",
            "use a kernel that was built with CONFIG_XDP_SOCKETS",
        ),
        Err(error) => Finding::missing("AF_XDP socket", error.to_string(), grant(AF_XDP_CAPABILITIES)),
    }
}

fn bpf_capability() -> Finding {
    // CAP_SYS_ADMIN was split in Linux 5.8, and still covers its former parts.
    if privilege::holds(CapabilitySet::SYS_ADMIN) {
        Finding::ok("CAP_BPF", "CAP_SYS_ADMIN is held, which includes it")
    } else {
        capability("CAP_BPF", CapabilitySet::BPF, "loads XDP programs", AF_XDP_CAPABILITIES)
    }
}

fn bpf_jit() -> Finding {
    let path = "/proc/sys/net/core/bpf_jit_enable";
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim() == "0" => Finding::warn(
            "BPF JIT",
            "off: XDP programs are interpreted",
            "turn it on with `sudo sysctl net.core.bpf_jit_enable=1`",
        ),
        Ok(_) => Finding::ok("BPF JIT", "on"),
        // Only the host's own network namespace and its administrator see the switch.
        Err(error) => Finding::ok("BPF JIT", format!("not to be seen from here: {error}")),
    }
}

fn dpdk() -> Vec<Finding> {
    vec![
        libdpdk(),
        huge_pages(),
        vfio(),
        iommu(),
        capability("CAP_IPC_LOCK", CapabilitySet::IPC_LOCK, "pins memory for DMA", "cap_ipc_lock")
            .at_worst_a_warning(),
        lockable_memory(),
    ]
}

fn libdpdk() -> Finding {
    if let Some(version) = library::pkg_config("libdpdk") {
        return Finding::ok("libdpdk", format!("version {version}, with its headers"));
    }
    let remedy =
        "install it with `sudo apt install libdpdk-dev`, or your distribution's package for development";
    match library::shared("librte_eal.so") {
        Some(path) => Finding::warn("libdpdk", format!("{}, without its headers", path.display()), remedy),
        None => Finding::missing("libdpdk", "pkg-config and the loader do not find it", remedy),
    }
}

fn huge_pages() -> Finding {
    let pools = memory::huge_pages();
    let described: Vec<_> = pools
        .iter()
        .filter(|pool| pool.total > 0)
        .map(|pool| format!("{} of {} pages of {} MiB are free", pool.free, pool.total, pool.size_kib / 1024))
        .collect();
    if pools.iter().any(|pool| pool.free > 0) {
        return Finding::ok("huge pages", described.join("; "));
    }
    let detail = if described.is_empty() { "none are reserved".to_owned() } else { described.join("; ") };
    Finding::warn(
        "huge pages",
        detail,
        "reserve 1 GiB with `sudo sysctl vm.nr_hugepages=512`; without them DPDK uses small pages, and real NICs \
         need an IOMMU",
    )
}

fn vfio() -> Finding {
    match device::open("/dev/vfio/vfio") {
        Ok(()) => Finding::ok("VFIO", "/dev/vfio/vfio opens"),
        Err(error) => Finding::warn(
            "VFIO",
            format!("/dev/vfio/vfio: {error}"),
            "load it with `sudo modprobe vfio-pci` and bind the NIC to it; without it only virtual devices \
             (af_packet, tap, memif, …) work, and NICs with drivers of their own (mlx5)",
        ),
    }
}

fn iommu() -> Finding {
    let groups = Path::new("/sys/kernel/iommu_groups").read_dir().map_or(0, Iterator::count);
    match groups {
        0 => Finding::warn(
            "IOMMU",
            "no groups",
            "turn it on in the firmware and with `intel_iommu=on` on the kernel's command line, or accept that a \
             NIC reaches all memory: `echo 1 | sudo tee \
             /sys/module/vfio/parameters/enable_unsafe_noiommu_mode`",
        ),
        groups => Finding::ok("IOMMU", format!("{groups} groups")),
    }
}

fn netmap() -> Vec<Finding> {
    vec![match device::open("/dev/netmap") {
        Ok(()) => Finding::ok("/dev/netmap", "opens"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::missing(
            "/dev/netmap",
            "the module is not loaded",
            "build it from https://github.com/luigirizzo/netmap for this kernel, and load it with \
             `sudo modprobe netmap`",
        ),
        Err(error) => Finding::missing(
            "/dev/netmap",
            error.to_string(),
            "run as root, or let users open it with `sudo chmod 0666 /dev/netmap`",
        ),
    }]
}

fn pf_ring() -> Vec<Finding> {
    let module = match Path::new("/proc/net/pf_ring").is_dir() {
        true => Finding::ok("module", "loaded"),
        false => Finding::missing(
            "module",
            "/proc/net/pf_ring is not there",
            "install `pfring-dkms` from https://packages.ntop.org, and load it with `sudo modprobe pf_ring`",
        ),
    };
    let library = match library::shared("libpfring.so") {
        Some(path) => Finding::ok("libpfring", path.display().to_string()),
        None => Finding::missing(
            "libpfring",
            "the loader does not find it",
            "install `pfring` from https://packages.ntop.org, or set LD_LIBRARY_PATH to the folder that holds it",
        ),
    };
    vec![module, library]
}

fn lockable_memory() -> Finding {
    // A UMEM or a pool of 4,096 frames of 4 KiB, for four lanes.
    const PLENTY: u64 = 64 << 20;
    match memory::lockable_bytes() {
        _ if privilege::holds(CapabilitySet::IPC_LOCK) => {
            Finding::ok("locked memory", "without limit, by CAP_IPC_LOCK")
        }
        Some(limit) if limit < PLENTY => Finding::warn(
            "locked memory",
            format!("at most {} KiB", limit / 1024),
            "raise the limit with `ulimit -l unlimited`, or in /etc/security/limits.conf",
        ),
        Some(limit) => Finding::ok("locked memory", format!("at most {} MiB", limit >> 20)),
        None => Finding::ok("locked memory", "without limit"),
    }
}

fn shared_library(name: &'static str, file: &str, package: &str) -> Finding {
    match library::shared(file) {
        Some(path) => Finding::ok(name, path.display().to_string()),
        None => Finding::missing(
            name,
            "the loader does not find it",
            format!("install it with `sudo apt install {package}`, where netlane is to use the system's"),
        ),
    }
}

/// Whether this process holds `wanted`, which `serves` a purpose. A backend's capabilities are granted
/// `together`, since a second setcap(8) takes back what the first one gave.
fn capability(name: &'static str, wanted: CapabilitySet, serves: &str, together: &str) -> Finding {
    match privilege::holds(wanted) {
        true => Finding::ok(name, "held"),
        false => Finding::missing(name, format!("not held; it {serves}"), grant(together)),
    }
}

fn grant(capabilities: &str) -> String {
    format!("run as root, or `sudo setcap {capabilities}+ep \"$(command -v netlane)\"`")
}
