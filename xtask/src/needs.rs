//! Needs of the commands, as one table: checked, installed where that is possible, named where it is not.

use std::{
    env::var_os,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::ensure;
use nix::unistd::geteuid;

use crate::{
    child::{self, on_path},
    engine::Engine,
};

/// Purpose of something that is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Building,
    /// Servers without containers.
    Servers,
    /// Kafka, on this machine or in an image.
    Kafka,
    /// Tests that hold the service against other people's tools.
    Tests,
    /// Containers in the tests, and building their images.
    Containers,
}

/// Purpose, Debian package, what it brings, and whether that is here.
type Need = (For, &'static str, &'static str, fn() -> bool);

#[rustfmt::skip]
const NEEDS: [Need; 18] = [
    (For::Building, "gcc", "a C compiler (for librdkafka and aws-lc)", || on_path("cc")),
    (For::Building, "g++", "a C++ compiler (for librdkafka)", || on_path("g++") || on_path("c++")),
    (For::Building, "make", "make (for librdkafka)", || on_path("make")),
    (For::Building, "libc6-dev", "C headers (for librdkafka)", || Path::new("/usr/include/stdio.h").exists()),
    (For::Servers, "postgresql", "a Postgres server, or DATABASE_URL", postgres),
    (For::Servers, "redis-server", "a Redis server, or REDIS_URL", || is_set("REDIS_URL") || on_path("redis-server")),
    (For::Kafka, "default-jre-headless", "Java (for Kafka), or KAFKA_BROKERS", || kafka() || on_path("java")),
    (For::Kafka, "maven", "Maven (to get Kafka), or KAFKA_BROKERS, or KAFKA_HOME", || {
        kafka() || is_set("KAFKA_HOME") || on_path("mvn")
    }),
    (For::Tests, "prometheus", "promtool (checks metrics and alert rules)", || on_path("promtool")),
    (For::Tests, "pgbouncer", "pgbouncer (a pooler before Postgres)", || {
        on_path("pgbouncer") || Path::new("/usr/sbin/pgbouncer").exists()
    }),
    (For::Tests, "python3-venv", "Python with venv (for schemathesis)", python_with_venv),
    (For::Tests, "nodejs", "Node (a service that is not ours, to be measured)", || on_path("node")),
    (For::Tests, "nginx-light", "nginx (a server that is not ours: TLS and HTTP/2)", || {
        on_path("nginx") || Path::new("/usr/sbin/nginx").exists()
    }),
    (For::Tests, "nghttp2-server", "nghttpd (a server that is not ours: HTTP/2)", || {
        on_path("nghttpd") || Path::new("/usr/sbin/nghttpd").exists()
    }),
    (For::Tests, "golang-go", "Go (a server that is not ours: its TLS and HTTP/2)", || on_path("go")),
    (For::Tests, "openssl", "openssl (certificates for tests)", || on_path("openssl")),
    (For::Containers, "docker.io", "a container engine (or tests without one: --no-containers)", engine),
    (For::Containers, "debootstrap", "debootstrap (for images without an image registry)", || on_path("debootstrap")),
];

/// Task of a command, which decides what it needs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Report,
    Tests { containers: bool },
    Images,
}

impl Purpose {
    fn needs(self) -> impl Iterator<Item = &'static Need> {
        let parts: &[For] = match self {
            // Where an engine answers, the servers come from it.
            Self::Report if Engine::running().is_some() => &[For::Building],
            Self::Report => &[For::Building, For::Servers, For::Kafka],
            Self::Tests { containers: false } => &[For::Building, For::Servers, For::Kafka, For::Tests],
            Self::Tests { containers: true } => &[For::Building, For::Servers, For::Kafka, For::Tests, For::Containers],
            Self::Images => &[For::Kafka, For::Containers],
        };
        NEEDS.iter().filter(move |(part, ..)| parts.contains(part))
    }

    fn missing(self) -> Vec<&'static Need> {
        self.needs().filter(|(.., present)| !present()).collect()
    }
}

/// Whether everything is here, after installing what could be installed. What could not is printed with the commands.
pub(crate) fn provide(purpose: Purpose) -> anyhow::Result<bool> {
    let missing = purpose.missing();
    if missing.is_empty() {
        return Ok(true);
    }
    for (_, package, what, _) in &missing {
        eprintln!("missing: {what} (Debian package {package})");
    }
    let packages: Vec<&str> = missing.iter().map(|(_, package, ..)| *package).collect();
    if !on_path("apt-get") || !geteuid().is_root() {
        eprintln!(
            "install what is missing, then run this command again:\n  {}",
            instructions(&packages)
        );
        return Ok(false);
    }
    install(&packages)?;
    let still: Vec<&str> = purpose.missing().iter().map(|(_, _, what, _)| *what).collect();
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
    apt_get(&[&["install", "-q", "-y", "--no-install-recommends"], packages].concat())
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("apt-get");
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env("DEBIAN_FRONTEND", "noninteractive");
    // Tells Debian's package scripts not to start the servers they install: we start our own.
    child::run(command.env("RUNLEVEL", "1"))
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

fn is_set(variable: &str) -> bool {
    var_os(variable).is_some()
}

/// Debian keeps each version's binaries in a directory of its own, off the PATH.
fn postgres() -> bool {
    let versions = || std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let installed = || versions().any(|version| version.path().join("bin/postgres").exists());
    is_set("DATABASE_URL") || on_path("postgres") || installed()
}

fn kafka() -> bool {
    is_set("KAFKA_BROKERS")
}

/// Debian splits it: `python3` alone lacks what a virtual environment is made with.
fn python_with_venv() -> bool {
    child::succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"]))
}

/// One that runs, or one that can be started.
fn engine() -> bool {
    (on_path("dockerd") && on_path("docker")) || Engine::running().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_need_names_its_package_once() {
        let mut packages = NEEDS.map(|(_, package, ..)| package).to_vec();
        packages.sort_unstable();
        packages.dedup();
        assert_eq!(packages.len(), NEEDS.len());
        assert_eq!(Purpose::Tests { containers: true }.needs().count(), NEEDS.len());
    }
}
