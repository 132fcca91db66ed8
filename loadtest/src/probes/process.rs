//! CPU time and memory of a process, from /proc.

use procfs::process::Process;

use crate::error::HarnessError;

/// One process at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessReading {
    /// User and system time of all its threads so far, seconds.
    pub(crate) cpu_s: f64,
    /// Resident memory, bytes.
    pub(crate) rss_bytes: u64,
}

/// Reads a process.
///
/// # Errors
/// When it is gone.
pub(crate) fn read_process(pid: u32) -> Result<ProcessReading, HarnessError> {
    let stat = Process::new(pid.cast_signed())
        .and_then(|process| process.stat())
        .map_err(|error| HarnessError::Unavailable(format!("probe of process {pid}: {error}")))?;
    let ticks = (stat.utime + stat.stime) as f64;
    Ok(ProcessReading {
        cpu_s: ticks / procfs::ticks_per_second() as f64,
        rss_bytes: stat.rss * procfs::page_size(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_process_and_misses_none() {
        let reading = read_process(std::process::id()).unwrap();
        assert!(reading.rss_bytes > 100_000, "{reading:?}");
        assert!(read_process(u32::MAX / 4).is_err());
    }
}
