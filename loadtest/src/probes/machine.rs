//! CPU time of the whole machine, from /proc/stat.

use procfs::{CurrentSI, KernelStats};

use crate::error::HarnessError;

/// CPU time of all cores so far, seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct MachineReading {
    /// Doing anything: neither idle, waiting for a disk, nor stolen.
    pub(super) busy_s: f64,
    /// Taken by the hypervisor.
    pub(super) stolen_s: f64,
}

pub(super) fn read_machine() -> Result<MachineReading, HarnessError> {
    let total = KernelStats::current().map_err(HarnessError::internal)?.total;
    let ticks =
        total.user + total.nice + total.system + total.irq.unwrap_or_default() + total.softirq.unwrap_or_default();
    let per_second = procfs::ticks_per_second() as f64;
    Ok(MachineReading {
        busy_s: ticks as f64 / per_second,
        stolen_s: total.steal.unwrap_or_default() as f64 / per_second,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_runs_this_test_has_worked() {
        assert!(read_machine().unwrap().busy_s > 0.0);
    }
}
