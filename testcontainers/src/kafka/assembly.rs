//! Where Kafka's own programs come from: `KAFKA_HOME`, or put together once from the artifacts that the Kafka project
//! publishes on Maven Central, and kept in a cache directory. Running them is `native`'s business.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;

use crate::error::StackError;
use crate::info::Server;
use crate::options::StackOptions;
use crate::process::{Ending, Output, ProcessError, Supervised};
use crate::programs;
use crate::user::RunAs;
use crate::wait::Patience;

/// Maven's project file: it says what is downloaded and how, and is the only place of the version.
const POM: &str = include_str!("../../kafka/pom.xml");
/// The archive by which an installation is known, with the version in its name.
const CORE: &str = "kafka_2.13-";
/// About 100 MB over a slow line.
const ASSEMBLY_LIMIT: Duration = Duration::from_mins(10);
const INSTALL_JAVA: &str = "apt-get install -y default-jre-headless";
const INSTALL_BOTH: &str = "apt-get install -y default-jre-headless maven";

/// A Kafka that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installation {
    pub(super) java: PathBuf,
    /// The directory with all archives, for the class path.
    pub(super) libs: PathBuf,
    pub(super) version: String,
}

/// Where the next start would take Kafka from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is there.
    Ready(Installation),
    /// It would be assembled here, with this Maven.
    Assemble {
        cache: PathBuf,
        java: PathBuf,
        maven: PathBuf,
    },
}

/// Read as the source of a native broker.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(installed) => write!(f, "Kafka {} in {}", installed.version, installed.libs.display()),
            Self::Assemble { cache, .. } => write!(
                f,
                "Kafka {}, to be assembled from Maven Central into {} at the first start",
                version(),
                cache.display()
            ),
        }
    }
}

/// Looks around, without starting anything.
pub(super) fn find(options: &StackOptions) -> Result<Origin, StackError> {
    let home = options.kafka_home.as_deref();
    let Some(java) = find_java() else {
        let install = if home.is_some() { INSTALL_JAVA } else { INSTALL_BOTH };
        return Err(missing("no java under JAVA_HOME or on PATH", install));
    };
    if let Some(home) = home {
        let libs = programs::absolute(home).join("libs");
        let installed = installation(&java, &libs);
        let searched = format!("KAFKA_HOME has no {} ", libs.join(format!("{CORE}*.jar")).display());
        return installed
            .map(Origin::Ready)
            .ok_or_else(|| missing(searched.trim(), INSTALL_BOTH));
    }
    let cache = cache_directory(options);
    if let Some(installed) = installation(&java, &cache.join(assembled_name()).join("libs")) {
        return Ok(Origin::Ready(installed));
    }
    let maven = programs::directory_on_path(&["mvn"]).map(|directory| directory.join("mvn"));
    let maven = maven.ok_or_else(|| missing("no mvn on PATH to assemble it with", INSTALL_BOTH))?;
    Ok(Origin::Assemble { cache, java, maven })
}

/// Finds an installation, assembling one if need be.
pub(super) async fn provide(
    options: &StackOptions,
    announce: &mut impl FnMut(&str),
) -> Result<Installation, StackError> {
    match find(options)? {
        Origin::Ready(installation) => Ok(installation),
        Origin::Assemble { cache, java, maven } => {
            let place = cache.join(assembled_name());
            announce(&format!(
                "assembling Kafka {} from Maven Central, once, into {}",
                version(),
                place.display()
            ));
            assemble(&cache, &maven).await?;
            let installed = installation(&java, &place.join("libs"));
            installed.ok_or_else(|| failed(format!("{} has no {CORE}*.jar", place.display())))
        }
    }
}

impl Installation {
    /// Says what is in the way when another user is to run it.
    pub(super) fn check_readable(&self, run_as: Option<&RunAs>) -> Result<(), StackError> {
        let Some(user) = run_as else { return Ok(()) };
        let closed = self.libs.ancestors().find(|directory| !is_open_to_all(directory));
        closed.map_or(Ok(()), |closed| {
            Err(failed(format!(
                "{} is closed to the user `{}`, as whom Kafka runs, at {}",
                self.libs.display(),
                user.name,
                closed.display()
            )))
        })
    }
}

fn is_open_to_all(directory: &Path) -> bool {
    directory
        .metadata()
        .is_ok_and(|found| found.permissions().mode() & 0o005 == 0o005)
}

/// `None` where there is no Kafka.
fn installation(java: &Path, libs: &Path) -> Option<Installation> {
    let names = std::fs::read_dir(libs).ok()?.flatten().map(|entry| entry.file_name());
    let versions = names.filter_map(|name| core_version(&name.to_string_lossy()));
    Some(Installation {
        java: java.to_owned(),
        libs: libs.to_owned(),
        version: versions.min()?,
    })
}

/// From `kafka_2.13-4.1.0.jar`, but not from its companions `kafka_2.13-4.1.0-sources.jar`.
fn core_version(name: &str) -> Option<String> {
    let version = name.strip_prefix(CORE)?.strip_suffix(".jar")?;
    let is_version = version.chars().all(|c| c.is_ascii_digit() || c == '.');
    is_version.then(|| version.to_owned())
}

fn find_java() -> Option<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let on_path = || programs::directory_on_path(&["java"]).map(|directory| directory.join("java"));
    home.filter(|java| programs::is_program(java)).or_else(on_path)
}

fn missing(searched: &str, install: &'static str) -> StackError {
    StackError::NotInstalled {
        server: Server::Kafka,
        searched: searched.to_owned(),
        install,
    }
}

fn failed(problem: impl Into<String>) -> StackError {
    StackError::Assembly {
        problem: problem.into(),
    }
}

/// The version that is assembled.
fn version() -> &'static str {
    let after = POM.split_once("<kafka.version>").map_or("", |(_, after)| after);
    after.split_once("</kafka.version>").map_or("", |(version, _)| version)
}

fn assembled_name() -> String {
    format!("kafka-{}", version())
}

/// Root's home is closed to the user that a broker of root's runs as.
fn cache_directory(options: &StackOptions) -> PathBuf {
    if let Some(chosen) = &options.cache_directory {
        return programs::absolute(chosen);
    }
    if geteuid().is_root() {
        return PathBuf::from("/var/cache/loadtest");
    }
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let parent = given.or_else(home).unwrap_or_else(std::env::temp_dir);
    parent.join("loadtest")
}

/// Assembles beside the final name and renames at the end, so that half an assembly is never taken for one. A lock
/// keeps two from doing so at the same time; the second finds the work done.
async fn assemble(cache: &Path, maven: &Path) -> Result<(), StackError> {
    std::fs::create_dir_all(cache).map_err(StackError::file("create", cache))?;
    let _lock = lock(&cache.join(format!("{}.lock", assembled_name()))).await?;
    let place = cache.join(assembled_name());
    if place.exists() {
        return Ok(());
    }
    let partial = cache.join(format!("{}.partial", assembled_name()));
    // Left by an assembly that was killed.
    if partial.exists() {
        std::fs::remove_dir_all(&partial).map_err(StackError::file("remove", &partial))?;
    }
    std::fs::create_dir(&partial).map_err(StackError::file("create", &partial))?;
    let pom = partial.join("pom.xml");
    std::fs::write(&pom, POM).map_err(StackError::file("write", &pom))?;
    run_maven(maven, &pom, &partial.join("libs")).await?;
    std::fs::rename(&partial, &place).map_err(StackError::file("rename", &partial))
}

async fn lock(path: &Path) -> Result<Flock<File>, StackError> {
    let mut patience = Patience::new(ASSEMBLY_LIMIT);
    loop {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(StackError::file("open", path))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(held),
            Err((_, Errno::EWOULDBLOCK)) => {}
            Err((_, errno)) => return Err(StackError::file("lock", path)(errno.into())),
        }
        patience
            .pause()
            .await
            .map_err(|timed_out| failed(format!("another process assembles it, too: {timed_out}")))?;
    }
}

/// Ended when this future is dropped. Checksums are compared strictly: what is run must be what was published.
async fn run_maven(maven: &Path, pom: &Path, libs: &Path) -> Result<(), StackError> {
    let mut command = Command::new(maven);
    command
        .args(["-B", "-q", "--strict-checksums", "-f"])
        .arg(pom)
        .arg(format!("-Dlibs={}", libs.display()))
        .arg("package")
        .stdin(Stdio::null());
    let log = pom.with_file_name("maven.log");
    let failed = |problem: ProcessError| failed(format!("Maven {problem}\n"));
    let process = Supervised::spawn(command, Output::Logged(&log), Ending::default()).map_err(failed)?;
    process
        .finish(&Patience::new(ASSEMBLY_LIMIT), |_| ())
        .await
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_pinned() {
        assert!(
            core_version(&format!("{CORE}{}.jar", version())).is_some(),
            "{}",
            version()
        );
        assert!(version().split('.').count() >= 3, "{}", version());
    }

    #[test]
    fn an_installation_is_known_by_its_core_archive() {
        let libs = tempfile::tempdir().unwrap();
        let java = Path::new("/usr/bin/java");
        assert_eq!(installation(java, libs.path()), None);
        for name in ["kafka_2.13-4.0.1-sources.jar", "kafka-clients-4.0.1.jar"] {
            std::fs::write(libs.path().join(name), "").unwrap();
        }
        assert_eq!(installation(java, libs.path()), None);
        std::fs::write(libs.path().join("kafka_2.13-4.0.1.jar"), "").unwrap();
        assert_eq!(installation(java, libs.path()).unwrap().version, "4.0.1");
    }

    #[test]
    fn a_home_without_kafka_is_named() {
        let home = tempfile::tempdir().unwrap();
        let options = StackOptions {
            kafka_home: Some(home.path().to_owned()),
            ..StackOptions::default()
        };
        let error = find(&options).unwrap_err().to_string();
        assert!(
            error.contains("KAFKA_HOME has no ") && error.contains("kafka_2.13-*.jar"),
            "{error}"
        );
    }

    /// A Maven that does as it is told, with what it is told.
    fn maven(directory: &Path, script: &str) -> PathBuf {
        let program = directory.join("mvn");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    /// 1. One assembles. 2. Two more arrive. 3. Maven has run once, and all three have Kafka.
    #[tokio::test]
    async fn three_at_the_same_time_assemble_once() {
        let cache = tempfile::tempdir().unwrap();
        let script =
            r#"for a; do case "$a" in -Dlibs=*) mkdir "${a#-Dlibs=}";; esac; done; echo run >> "$(dirname "$0")/runs""#;
        let maven = maven(cache.path(), script);
        let assembling = || assemble(cache.path(), &maven);
        let (one, two, three) = tokio::join!(assembling(), assembling(), assembling());
        one.and(two).and(three).unwrap();
        assert_eq!(std::fs::read_to_string(cache.path().join("runs")).unwrap(), "run\n");
        assert!(cache.path().join(assembled_name()).join("libs").exists());
    }

    #[tokio::test]
    async fn half_an_assembly_is_never_used_and_is_cleared_by_the_next() {
        let cache = tempfile::tempdir().unwrap();
        let broken = maven(cache.path(), "echo no route to the repository; exit 1");
        let error = assemble(cache.path(), &broken).await.unwrap_err().to_string();
        assert!(
            error.contains("no route to the repository") && error.contains("KAFKA_HOME"),
            "{error}"
        );
        assert!(!cache.path().join(assembled_name()).exists());
        let whole = maven(cache.path(), "exit 0");
        assemble(cache.path(), &whole).await.unwrap();
        assert!(cache.path().join(assembled_name()).exists());
        assert!(!cache.path().join(format!("{}.partial", assembled_name())).exists());
    }
}
