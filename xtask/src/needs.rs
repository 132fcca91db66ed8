//! What the commands need from the machine: checked, installed where that is possible, named where it is not.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

use crate::engine::Engine;

/// Something a build or a run needs.
struct Need {
    what: &'static str,
    /// Debian package that brings it.
    package: &'static str,
    present: fn() -> bool,
}

/// For containers in the tests, and for building their images.
const CONTAINER_NEEDS: &[Need] = &[
    Need {
        what: "a container engine (or tests without one: --no-containers)",
        package: "docker.io",
        present: engine,
    },
    Need {
        what: "debootstrap (for images without an image registry)",
        package: "debootstrap",
        present: || on_path("debootstrap"),
    },
];

/// For tests that hold the service against other people's tools.
const TEST_NEEDS: &[Need] = &[
    Need {
        what: "promtool (checks metrics and alert rules)",
        package: "prometheus",
        present: || on_path("promtool"),
    },
    Need {
        what: "Python with venv (for schemathesis)",
        package: "python3-venv",
        present: python_with_venv,
    },
    Need {
        what: "Node (a service that is not ours, to be measured)",
        package: "nodejs",
        present: || on_path("node"),
    },
];

/// For building.
const BUILD_NEEDS: &[Need] = &[
    Need {
        what: "a C compiler (for librdkafka and aws-lc)",
        package: "gcc",
        present: || on_path("cc"),
    },
    Need {
        what: "a C++ compiler (for librdkafka)",
        package: "g++",
        present: || on_path("g++") || on_path("c++"),
    },
    Need {
        what: "make (for librdkafka)",
        package: "make",
        present: || on_path("make"),
    },
    Need {
        what: "C headers (for librdkafka)",
        package: "libc6-dev",
        present: || Path::new("/usr/include/stdio.h").exists(),
    },
];

/// For the other servers that run without containers.
const SERVER_NEEDS: &[Need] = &[
    Need {
        what: "a Postgres server, or DATABASE_URL",
        package: "postgresql",
        present: postgres,
    },
    Need {
        what: "a Redis server, or REDIS_URL",
        package: "redis-server",
        present: redis,
    },
];

/// For Kafka, on this machine or in an image.
const KAFKA_NEEDS: &[Need] = &[
    Need {
        what: "Java (for Kafka), or KAFKA_BROKERS",
        package: "default-jre-headless",
        present: || kafka() || on_path("java"),
    },
    Need {
        what: "Maven (to get Kafka), or KAFKA_BROKERS, or KAFKA_HOME",
        package: "maven",
        present: || kafka() || std::env::var_os("KAFKA_HOME").is_some() || on_path("mvn"),
    },
];

/// What a command is about to do, and so what it needs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Report,
    Tests { containers: bool },
    Images,
}

impl Purpose {
    fn needs(self) -> impl Iterator<Item = &'static Need> {
        let parts: &[&[Need]] = match self {
            // Where an engine answers, the servers come from it.
            Self::Report if Engine::running().is_some() => &[BUILD_NEEDS],
            Self::Report => &[BUILD_NEEDS, SERVER_NEEDS, KAFKA_NEEDS],
            Self::Tests { containers: false } => &[BUILD_NEEDS, SERVER_NEEDS, KAFKA_NEEDS, TEST_NEEDS],
            Self::Tests { containers: true } => &[BUILD_NEEDS, SERVER_NEEDS, KAFKA_NEEDS, TEST_NEEDS, CONTAINER_NEEDS],
            Self::Images => &[KAFKA_NEEDS, CONTAINER_NEEDS],
        };
        parts.iter().copied().flatten()
    }

    fn missing(self) -> Vec<&'static Need> {
        self.needs().filter(|need| !(need.present)()).collect()
    }
}

/// Whether everything is here, after installing what could be installed. What could not is printed with the commands.
pub(crate) fn provide(purpose: Purpose) -> anyhow::Result<bool> {
    let missing = purpose.missing();
    if missing.is_empty() {
        return Ok(true);
    }
    for need in &missing {
        eprintln!("missing: {} (Debian package {})", need.what, need.package);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    if !on_path("apt-get") || !is_root() {
        eprintln!(
            "install what is missing, then run this command again:\n  {}",
            instructions(&packages)
        );
        return Ok(false);
    }
    install(&packages)?;
    let still: Vec<&str> = purpose.missing().iter().map(|need| need.what).collect();
    ensure!(
        still.is_empty(),
        "installed {}, but still missing: {}",
        packages.join(" "),
        still.join(", ")
    );
    Ok(true)
}

fn install(packages: &[&str]) -> anyhow::Result<()> {
    eprintln!("installing with apt-get: {}", packages.join(" "));
    apt_get(&["update", "-q"])?;
    let mut words = vec!["install", "-q", "-y", "--no-install-recommends"];
    words.extend(packages);
    apt_get(&words)
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Tells Debian's package scripts not to start the servers they install: we start our own.
        .env("RUNLEVEL", "1")
        .status()
        .context("cannot run apt-get")?;
    ensure!(status.success(), "`apt-get {}` failed ({status})", arguments.join(" "));
    Ok(())
}

fn instructions(packages: &[&str]) -> String {
    if on_path("apt-get") {
        return format!(
            "sudo apt-get update && sudo apt-get install -y --no-install-recommends {}",
            packages.join(" ")
        );
    }
    format!(
        "(this machine has no apt-get: its own packages for what Debian calls {})",
        packages.join(", ")
    )
}

fn postgres() -> bool {
    std::env::var_os("DATABASE_URL").is_some() || on_path("postgres") || debian_postgres().is_some()
}

/// Debian keeps each version's binaries in a directory of its own, off the PATH.
fn debian_postgres() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .flatten()
        .map(|version| version.path().join("bin/postgres"))
        .find(|binary| binary.exists())
}

fn redis() -> bool {
    std::env::var_os("REDIS_URL").is_some() || on_path("redis-server")
}

/// Debian splits it: `python3` alone lacks what a virtual environment is made with.
fn python_with_venv() -> bool {
    Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn kafka() -> bool {
    std::env::var_os("KAFKA_BROKERS").is_some()
}

/// One that runs, or one that can be started.
fn engine() -> bool {
    (on_path("dockerd") && on_path("docker")) || Engine::running().is_some()
}

pub(crate) fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// The owner of this process's own directory in /proc is the user it runs as.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_path_is_found_and_nothing_else() {
        assert!(on_path("sh"));
        assert!(!on_path("no-such-program-anywhere"));
    }

    #[test]
    fn every_need_names_its_package_once() {
        let all = || Purpose::Tests { containers: true }.needs();
        let mut packages: Vec<&str> = all().map(|need| need.package).collect();
        packages.sort_unstable();
        packages.dedup();
        assert_eq!(packages.len(), all().count());
    }
}
