//! Facts about this machine and this build, for the record.

use measure::record::{Machine, Tool};
use procfs::Current;

/// The machine as the kernel describes it. What cannot be read is said to be unknown, never guessed.
pub(crate) fn describe() -> Machine {
    Machine {
        cpu: cpu_model().unwrap_or_else(unknown),
        cores: std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
        memory_mb: procfs::Meminfo::current().map_or(0, |memory| memory.mem_total / (1024 * 1024)),
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .map_or_else(|_| unknown(), |text| text.trim().into()),
        virtualisation: virtualisation(),
    }
}

/// This build of the harness.
pub(crate) fn tool() -> Tool {
    Tool {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git: env!("LOADTEST_GIT").to_owned(),
        build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
    }
}

fn cpu_model() -> Option<String> {
    procfs::CpuInfo::current().ok()?.model_name(0).map(str::to_owned)
}

/// The `hypervisor` CPU flag is what a guest sees on x86; DMI names the product where it is readable.
fn virtualisation() -> String {
    let guest = procfs::CpuInfo::current()
        .ok()
        .and_then(|cpu| cpu.flags(0).map(|flags| flags.contains(&"hypervisor")))
        .unwrap_or(false);
    if !guest {
        return "none".to_owned();
    }
    std::fs::read_to_string("/sys/class/dmi/id/sys_vendor")
        .map_or_else(|_| "guest".into(), |vendor| vendor.trim().into())
}

fn unknown() -> String {
    "unknown".to_owned()
}
