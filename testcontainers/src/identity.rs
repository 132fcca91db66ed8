//! Which process owns something, told from every other by more than its number, because numbers are reused.

use std::fmt;
use std::str::FromStr;

use procfs::process::{Process, Stat};

/// A process of this or another machine: boot, namespace, number, and when it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `/proc/sys/kernel/random/boot_id`: another machine or another boot has another one.
    boot: String,
    /// The namespace that the number counts in (`pid:[4026531836]`): each container has its own.
    namespace: String,
    pid: i32,
    /// Clock ticks from boot to the start of the process.
    started_ticks: u64,
}

/// State of a process, as far as it can be seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Alive,
    Dead,
    /// It belongs to another machine or container, whose processes cannot be seen from here.
    Elsewhere,
}

impl Identity {
    /// This process.
    pub(crate) fn own() -> Result<Self, String> {
        let stat = stat(std::process::id().cast_signed()).ok_or("/proc does not show this process")?;
        Ok(Self {
            boot: boot()?,
            namespace: namespace()?,
            pid: stat.pid,
            started_ticks: stat.starttime,
        })
    }

    /// Whether it still runs. After a reboot nothing of the boot before does, but only the machine itself can tell a
    /// reboot from another machine, so that a foreign boot counts as elsewhere.
    pub(crate) fn life(&self) -> Life {
        if !self.is_local() {
            return Life::Elsewhere;
        }
        match stat(self.pid) {
            Some(stat) if stat.starttime == self.started_ticks && !is_over(&stat) => Life::Alive,
            _ => Life::Dead,
        }
    }

    /// Whether it ran since this machine was last started.
    pub(crate) fn is_of_this_boot(&self) -> bool {
        boot().is_ok_and(|boot| boot == self.boot)
    }

    /// Whether process numbers mean the same here as where it ran.
    pub(crate) fn is_local(&self) -> bool {
        self.is_of_this_boot() && namespace().is_ok_and(|namespace| namespace == self.namespace)
    }
}

/// One line without spaces inside its fields, for labels and lock files.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            boot,
            namespace,
            pid,
            started_ticks,
        } = self;
        write!(f, "{boot} {namespace} {pid} {started_ticks}")
    }
}

impl FromStr for Identity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [boot, namespace, pid, started_ticks] = fields[..] else {
            return Err(());
        };
        Ok(Self {
            boot: boot.to_owned(),
            namespace: namespace.to_owned(),
            pid: pid.parse().map_err(drop)?,
            started_ticks: started_ticks.parse().map_err(drop)?,
        })
    }
}

/// Status of a process in /proc; `None` when it is gone.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    Process::new(pid).and_then(|process| process.stat()).ok()
}

/// Ended, and only kept for its parent to look at.
pub(crate) fn is_over(stat: &Stat) -> bool {
    matches!(stat.state, 'Z' | 'X')
}

fn boot() -> Result<String, String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let id = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(id.trim().to_owned())
}

fn namespace() -> Result<String, String> {
    let path = "/proc/self/ns/pid";
    let link = std::fs::read_link(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(link.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_it_prints_and_this_process_is_alive() {
        let own = Identity::own().unwrap();
        assert_eq!(own.to_string().parse(), Ok(own.clone()));
        assert_eq!(own.life(), Life::Alive);
    }

    #[test]
    fn the_same_number_with_another_start_is_another_process() {
        let own = Identity::own().unwrap();
        let earlier = Identity {
            started_ticks: own.started_ticks - 1,
            ..own
        };
        assert_eq!(earlier.life(), Life::Dead);
    }

    #[test]
    fn a_process_that_was_not_waited_for_is_dead() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id().cast_signed();
        let identity = Identity {
            pid,
            started_ticks: stat(pid).unwrap().starttime,
            ..Identity::own().unwrap()
        };
        let mut patience = crate::wait::Patience::new(std::time::Duration::from_secs(30));
        while identity.life() != Life::Dead {
            patience.pause_blocking().unwrap();
        }
        child.wait().unwrap();
    }

    #[test]
    fn other_namespaces_and_machines_are_not_judged() {
        let own = Identity::own().unwrap();
        let in_a_container = Identity {
            namespace: "pid:[1]".to_owned(),
            ..own.clone()
        };
        let on_another_machine = Identity {
            boot: "another".to_owned(),
            ..own
        };
        assert_eq!(in_a_container.life(), Life::Elsewhere);
        assert_eq!(on_another_machine.life(), Life::Elsewhere);
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        for text in ["", "a b 1", "a b c 1", "a b 1 2 3"] {
            assert_eq!(text.parse::<Identity>(), Err(()), "{text:?}");
        }
    }
}
