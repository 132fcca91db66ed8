//! CPU time of two residents at the boundaries of the slices of a gate: that of their whole process trees, from clocks
//! that are finer than /proc/pid/stat with its hundred ticks a second.

use std::time::{Duration, Instant};

use super::{
    machine::{MachineReading, read_machine},
    process::read_trees,
};
use crate::error::HarnessError;

/// Two residents, each with the process that its tree begins at, where it is one of ours.
pub(crate) struct Gauge {
    residents: [Option<u32>; 2],
}

/// Everything at one boundary.
pub(crate) struct GaugeReading {
    at: Instant,
    /// CPU time so far of each resident that is a process of ours.
    residents: [Option<Duration>; 2],
    machine: MachineReading,
}

/// CPU time used between two readings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Used {
    /// CPU time of each resident, microseconds.
    pub(crate) resident_us: [Option<u64>; 2],
    /// Time between the readings.
    pub(crate) time: Duration,
    /// Of all cores, 0 to 1: used by anybody, and taken by the hypervisor.
    pub(crate) busy: f64,
    pub(crate) stolen: f64,
}

impl Gauge {
    /// For residents with these processes, if they have one here.
    pub(crate) fn of(residents: [Option<u32>; 2]) -> Self {
        Self { residents }
    }

    /// Reads everything now. A resident that is gone has no CPU time; its end is told by whoever started it.
    ///
    /// # Errors
    /// When the kernel does not tell of the machine.
    pub(crate) fn read(&self) -> Result<GaugeReading, HarnessError> {
        Ok(GaugeReading {
            at: Instant::now(),
            residents: read_trees(self.residents)?,
            machine: read_machine()?,
        })
    }
}

impl GaugeReading {
    /// CPU time used from `before` to this reading, on `cores` cores.
    pub(crate) fn since(&self, before: &Self, cores: u32) -> Used {
        let time = self.at - before.at;
        let available_s = time.as_secs_f64() * f64::from(cores);
        let share = |seconds: f64| {
            if available_s > 0.0 {
                (seconds / available_s).clamp(0.0, 1.0)
            } else {
                0.0
            }
        };
        let used = |index: usize| {
            let (now, then) = self.residents[index].zip(before.residents[index])?;
            Some(micros(now.saturating_sub(then)))
        };
        Used {
            resident_us: [used(0), used(1)],
            time,
            busy: share(self.machine.busy_s - before.machine.busy_s),
            stolen: share(self.machine.stolen_s - before.machine.stolen_s),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This process is a resident: it works between the readings. The other one is only an address.
    #[test]
    fn work_of_a_resident_is_seen_to_the_microsecond() {
        let gauge = Gauge::of([Some(std::process::id()), None]);
        let before = gauge.read().unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        let used = gauge.read().unwrap().since(&before, 2);
        assert!(used.resident_us[0].unwrap() > 0, "{used:?}");
        assert_eq!(used.resident_us[1], None);
        assert!(
            (0.0..=1.0).contains(&used.busy) && used.time >= Duration::from_millis(5),
            "{used:?}"
        );
    }

    #[test]
    fn a_process_that_is_gone_has_no_cpu_time() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let reading = Gauge::of([None, Some(child.id())]).read().unwrap();
        assert_eq!(reading.residents, [None, None]);
    }
}
