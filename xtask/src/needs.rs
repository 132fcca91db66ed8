//! What the two commands need from the machine: checked, installed where that is possible, named where it is not.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

/// Something a build or a run needs.
struct Need {
    what: &'static str,
    /// Debian package that brings it.
    package: &'static str,
    present: fn() -> bool,
}

const NEEDS: &[Need] = &[
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

/// Whether everything is here, after installing what could be installed. What could not is printed with the commands.
pub(crate) fn provide() -> anyhow::Result<bool> {
    let missing = missing();
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
    let still: Vec<&str> = self::missing().iter().map(|need| need.what).collect();
    ensure!(
        still.is_empty(),
        "installed {}, but still missing: {}",
        packages.join(" "),
        still.join(", ")
    );
    Ok(true)
}

fn missing() -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| !(need.present)()).collect()
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

fn on_path(name: &str) -> bool {
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
        let mut packages: Vec<&str> = NEEDS.iter().map(|need| need.package).collect();
        packages.sort_unstable();
        packages.dedup();
        assert_eq!(packages.len(), NEEDS.len());
    }
}
