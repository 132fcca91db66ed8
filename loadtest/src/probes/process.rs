//! CPU time, memory and context switches of the subject, the harness and the machine, from /proc.

use std::{collections::BTreeMap, time::Duration};

use measure::metrics;
use nix::{
    time::{ClockId, clock_getcpuclockid},
    unistd::Pid,
};
use procfs::process::{Process, Stat, all_processes};

use super::{Probe, machine::read_machine, sample::MIB, sample::Sample};
use crate::error::HarnessError;

/// The processes that are read.
pub(super) struct Processes {
    /// The one that the subject's tree begins at, where it runs here.
    subject: Option<u32>,
    /// Whether the whole stack is below this process, so that other work on the machine can be told from it.
    all_ours: bool,
    switches: Switches,
}

impl Processes {
    pub(super) fn new(subject: Option<u32>, all_ours: bool) -> Self {
        Self {
            subject,
            all_ours,
            switches: Switches::default(),
        }
    }
}

#[async_trait::async_trait]
impl Probe for Processes {
    fn name(&self) -> &'static str {
        "process"
    }

    async fn read(&mut self, sample: &mut Sample) -> Result<(), HarnessError> {
        let all = if self.subject.is_some() || self.all_ours {
            read_all()?
        } else {
            Vec::new()
        };
        if let Some(root) = self.subject {
            let subject = read_subject(root, &all, &mut self.switches)?;
            sample.put(&metrics::SERVICE_RSS_MB, subject.rss_bytes as f64 / MIB);
            sample.put(&metrics::SERVICE_CPU_PERCENT, subject.cpu_s);
            sample.put(&metrics::SERVICE_CPU_US_PER_REQUEST, subject.cpu_s * 1e6);
            sample.count(&metrics::SERVICE_SWITCHES_PER_S, subject.switches);
        }
        let harness = read_process(std::process::id())?;
        sample.put(&metrics::HARNESS_RSS_MB, harness.rss_bytes as f64 / MIB);
        sample.put(&metrics::HARNESS_CPU_PERCENT, harness.cpu_s);
        sample.count(&metrics::HARNESS_SWITCHES_PER_S, harness.switches);
        let machine = read_machine()?;
        sample.put(&metrics::STEAL_PERCENT, machine.stolen_s);
        if self.all_ours {
            // The two are read one after the other, a moment apart.
            sample.put(&metrics::OTHER_CPU_PERCENT, machine.busy_s - own_tree_s(&all));
        }
        Ok(())
    }
}

/// Context switches of a tree whose processes come and go: what those did that are gone stays counted.
#[derive(Debug, Default)]
struct Switches {
    /// Of the processes of the last reading, by number and start: as many as the tree has.
    living: BTreeMap<(i32, u64), u64>,
    gone: u64,
}

impl Switches {
    /// The count so far, after a reading of the processes that live now.
    fn count(&mut self, living: BTreeMap<(i32, u64), u64>) -> u64 {
        let gone = self.living.iter().filter(|(process, _)| !living.contains_key(process));
        self.gone += gone.map(|(_, count)| count).sum::<u64>();
        self.living = living;
        self.gone + self.living.values().sum::<u64>()
    }
}

/// Reads the tree of a subject among all processes: memory is the sum over its processes, so that pages that they share
/// count in each.
///
/// # Errors
/// When the process at its root is gone.
fn read_subject(root: u32, all: &[Stat], switches: &mut Switches) -> Result<ProcessReading, HarnessError> {
    let parents = parents(all);
    let tree: Vec<&Stat> = tree(root.cast_signed(), all, &parents).collect();
    if tree.iter().all(|stat| stat.pid != root.cast_signed()) {
        return Err(HarnessError::Probe(format!("probe of process {root}: it is gone")));
    }
    let living = tree.iter().filter_map(|stat| {
        Some((
            (stat.pid, stat.starttime),
            read_process(stat.pid.cast_unsigned()).ok()?.switches,
        ))
    });
    let cpu: Duration = tree.iter().map(|stat| lived(stat) + ended_children(stat)).sum();
    Ok(ProcessReading {
        cpu_s: cpu.as_secs_f64(),
        rss_bytes: tree.iter().map(|stat| stat.rss).sum::<u64>() * procfs::page_size(),
        switches: switches.count(living.collect()),
    })
}

/// The processes of a tree: everything below its root, and what left its parents but not the group of the root.
fn tree<'s>(root: i32, all: &'s [Stat], parents: &'s BTreeMap<i32, i32>) -> impl Iterator<Item = &'s Stat> {
    all.iter()
        .filter(move |stat| stat.pgrp == root || descends_from(stat.pid, root, parents))
}

/// One process at one moment.
#[derive(Debug, Clone, Copy)]
struct ProcessReading {
    /// User and system time of all its threads so far, seconds.
    cpu_s: f64,
    /// Resident memory, bytes.
    rss_bytes: u64,
    /// Context switches of all its threads that live, forced and voluntary.
    switches: u64,
}

/// Reads a process.
///
/// # Errors
/// When it is gone.
fn read_process(pid: u32) -> Result<ProcessReading, HarnessError> {
    let unavailable = |error: procfs::ProcError| HarnessError::Probe(format!("probe of process {pid}: {error}"));
    let process = Process::new(pid.cast_signed()).map_err(unavailable)?;
    let stat = process.stat().map_err(unavailable)?;
    // A thread may end between being listed and being read: it counts no more.
    let threads = process.tasks().map_err(unavailable)?.filter_map(Result::ok);
    let switches = threads
        .filter_map(|thread| thread.status().ok())
        .map(|status| status.voluntary_ctxt_switches.unwrap_or(0) + status.nonvoluntary_ctxt_switches.unwrap_or(0))
        .sum();
    Ok(ProcessReading {
        cpu_s: seconds(stat.utime + stat.stime),
        rss_bytes: stat.rss * procfs::page_size(),
        switches,
    })
}

/// Every process there is, as far as they can be read.
///
/// # Errors
/// When /proc cannot be listed.
fn read_all() -> Result<Vec<Stat>, HarnessError> {
    Ok(all_processes()
        .map_err(HarnessError::internal)?
        .filter_map(|process| process.ok()?.stat().ok())
        .collect())
}

/// CPU time so far of this process and every one below it, children that have ended included, seconds.
fn own_tree_s(all: &[Stat]) -> f64 {
    let parents = parents(all);
    let own = std::process::id().cast_signed();
    let ours = all.iter().filter(|stat| descends_from(stat.pid, own, &parents));
    ours.map(|stat| seconds(stat.utime + stat.stime) + ended_children(stat).as_secs_f64())
        .sum()
}

/// CPU time so far of the process trees that begin at `roots`, those of which that are gone left out. A process that
/// left its parents but not the group of its root is part of the tree, and so are children that have ended.
///
/// # Errors
/// When /proc cannot be listed.
pub(super) fn read_trees(roots: [Option<u32>; 2]) -> Result<[Option<Duration>; 2], HarnessError> {
    if roots == [None, None] {
        return Ok([None, None]);
    }
    let stats = read_all()?;
    let parents = parents(&stats);
    let used = |root: u32| {
        let root = root.cast_signed();
        let lives = stats.iter().any(|stat| stat.pid == root);
        lives.then(|| {
            tree(root, &stats, &parents)
                .map(|stat| lived(stat) + ended_children(stat))
                .sum()
        })
    };
    Ok(roots.map(|root| root.and_then(used)))
}

/// CPU time of the threads of a process, from a clock that is finer than the ticks of `stat` where it still runs.
fn lived(stat: &Stat) -> Duration {
    let clock = clock_getcpuclockid(Pid::from_raw(stat.pid)).and_then(ClockId::now);
    clock.map_or_else(
        |_| Duration::from_secs_f64(seconds(stat.utime + stat.stime)),
        Duration::from,
    )
}

/// CPU time of its children that have ended and were waited for.
fn ended_children(stat: &Stat) -> Duration {
    Duration::from_secs_f64(seconds((stat.cutime + stat.cstime).unsigned_abs()))
}

fn parents(stats: &[Stat]) -> BTreeMap<i32, i32> {
    stats.iter().map(|stat| (stat.pid, stat.ppid)).collect()
}

fn descends_from(pid: i32, ancestor: i32, parents: &BTreeMap<i32, i32>) -> bool {
    let up = std::iter::successors(Some(pid), |pid| parents.get(pid).copied().filter(|parent| *parent > 0));
    // Bounded: processes come and go while they are read, so that the parents could, in theory, go round in a circle.
    up.take(parents.len()).any(|pid| pid == ancestor)
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_process_and_misses_none() {
        let reading = read_process(std::process::id()).unwrap();
        assert!(reading.rss_bytes > 100_000 && reading.switches > 0, "{reading:?}");
        assert!(read_process(u32::MAX / 4).is_err());
    }

    /// A shell that does nothing itself: one child works and ends, another one works and stays.
    #[test]
    fn work_of_children_is_that_of_the_tree() {
        use std::os::unix::process::CommandExt as _;
        const WORK: &str = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let script = format!("sh -c '{WORK}'; sh -c '{WORK}; echo done; read stay' & wait $!");
        let mut shell = std::process::Command::new("sh")
            .args(["-c", &script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(shell.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let [tree, nobody] = read_trees([Some(shell.id()), Some(u32::MAX / 4)]).unwrap();
        let own = lived(&Process::new(shell.id().cast_signed()).unwrap().stat().unwrap());
        let group = Pid::from_raw(-shell.id().cast_signed());
        nix::sys::signal::kill(group, nix::sys::signal::Signal::SIGKILL).unwrap();
        shell.wait().unwrap();
        assert_eq!((line.trim(), nobody), ("done", None));
        let tree = tree.unwrap();
        assert!(
            tree > 2 * own && tree > Duration::from_millis(20),
            "{tree:?} of which the shell {own:?}"
        );
    }

    /// A shell in front of another one, in front of a program.
    #[test]
    fn memory_and_switches_are_those_of_the_tree() {
        use std::os::unix::process::CommandExt as _;
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "sh -c 'echo up; cat; :'; :"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(shell.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let (all, mut switches) = (read_all().unwrap(), Switches::default());
        let tree = read_subject(shell.id(), &all, &mut switches).unwrap();
        let alone = read_process(shell.id()).unwrap();
        assert!(read_subject(u32::MAX / 4, &all, &mut switches).is_err());
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(
            tree.rss_bytes > alone.rss_bytes && tree.switches > alone.switches,
            "{tree:?} of which the shell {alone:?}"
        );
        assert!(alone.rss_bytes > 100_000, "{alone:?}");
    }

    #[test]
    fn what_processes_did_that_are_gone_stays_counted() {
        let mut switches = Switches::default();
        let reading = |counts: &[(i32, u64)]| counts.iter().map(|(pid, count)| ((*pid, 1), *count)).collect();
        assert_eq!(switches.count(reading(&[(1, 10), (2, 5)])), 15);
        assert_eq!(switches.count(reading(&[(1, 12)])), 17);
        assert_eq!(switches.count(reading(&[(1, 12), (3, 4)])), 21);
        assert_eq!(switches.count(reading(&[(1, 13)])), 22);
    }

    #[test]
    fn the_tree_counts_children_too() {
        let own_s = read_process(std::process::id()).unwrap().cpu_s;
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let parents = BTreeMap::from([(child.id().cast_signed(), 10), (10, 1), (1, 0), (77, 1)]);
        assert!(descends_from(child.id().cast_signed(), 10, &parents) && !descends_from(77, 10, &parents));
        assert!(own_tree_s(&read_all().unwrap()) >= own_s);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
