//! CPU time at the two ends of a slice of a gate, from a clock that is finer than /proc/pid/stat with its hundred
//! ticks a second.

use std::time::{Duration, Instant};

use nix::{
    time::{ClockId, clock_getcpuclockid},
    unistd::Pid,
};

use super::machine::{MachineReading, read_machine};
use crate::error::HarnessError;

/// Clocks that are read at both ends of a slice.
pub(crate) struct Gauge {
    /// CPU clock of the subject, where it is a process of ours.
    subject: Option<ClockId>,
}

/// Everything at one end.
pub(crate) struct GaugeReading {
    at: Instant,
    subject: Option<Duration>,
    machine: MachineReading,
}

/// CPU time used between two readings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Used {
    /// CPU time of the subject, microseconds.
    pub(crate) subject_us: Option<u64>,
    /// Of all cores, 0 to 1: used by anybody, and taken by the hypervisor.
    pub(crate) busy: f64,
    pub(crate) stolen: f64,
}

impl Gauge {
    /// For the subject with this process, if it has one here.
    ///
    /// # Errors
    /// When that process is gone.
    pub(crate) fn of(pid: Option<u32>) -> Result<Self, HarnessError> {
        let clock = |pid: u32| {
            clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))
                .map_err(|errno| HarnessError::Probe(format!("CPU clock of process {pid}: {errno}")))
        };
        Ok(Self {
            subject: pid.map(clock).transpose()?,
        })
    }

    /// Reads everything now. A subject that is gone has no CPU time; its end is told by whoever started it.
    ///
    /// # Errors
    /// When the kernel does not tell of the machine.
    pub(crate) fn read(&self) -> Result<GaugeReading, HarnessError> {
        let subject = self.subject.and_then(|clock| clock.now().ok());
        Ok(GaugeReading {
            at: Instant::now(),
            subject: subject.map(Duration::from),
            machine: read_machine()?,
        })
    }
}

impl GaugeReading {
    /// CPU time used from `before` to this reading, on `cores` cores.
    pub(crate) fn since(&self, before: &Self, cores: u32) -> Used {
        let available_s = (self.at - before.at).as_secs_f64() * f64::from(cores);
        let share = |seconds: f64| {
            if available_s > 0.0 {
                (seconds / available_s).clamp(0.0, 1.0)
            } else {
                0.0
            }
        };
        let subject = self.subject.zip(before.subject);
        Used {
            subject_us: subject.map(|(now, before)| micros(now.saturating_sub(before))),
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

    /// This process is the subject: it works between the readings.
    #[test]
    fn work_of_the_subject_is_seen_to_the_microsecond() {
        let gauge = Gauge::of(Some(std::process::id())).unwrap();
        let before = gauge.read().unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        let used = gauge.read().unwrap().since(&before, 2);
        assert!(used.subject_us.unwrap() > 0, "{used:?}");
        assert!((0.0..=1.0).contains(&used.busy), "{used:?}");
    }

    #[test]
    fn a_subject_that_is_only_an_address_has_no_cpu_time() {
        let gauge = Gauge::of(None).unwrap();
        let (before, after) = (gauge.read().unwrap(), gauge.read().unwrap());
        assert_eq!(after.since(&before, 2).subject_us, None);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(Gauge::of(Some(child.id())).is_err());
    }
}
