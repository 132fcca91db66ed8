//! Shared by the tests: a place for the servers' directories, and a look at what is left in it.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};
use stack::{Choice, External, StackError, StackOptions};
use tempfile::TempDir;

/// Unwraps with the message written for people, which names what to install.
pub(crate) fn ok<T>(result: Result<T, StackError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// A directory for the servers of one test.
pub(crate) struct Room(TempDir);

impl Room {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("stack-test-").tempdir().unwrap();
        // Open to the user that servers run as when the tests run as root.
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn native(&self) -> StackOptions {
        StackOptions {
            choice: Choice::Native,
            directory: Some(self.0.path().to_owned()),
            ..StackOptions::default()
        }
    }

    /// The servers' directories that are there now.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let entries = self.entries().into_iter();
        entries.filter(|entry| entry.is_dir()).collect()
    }

    /// Everything there is: directories and their lock files.
    fn entries(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }

    /// The processes that work in one of the servers' directories, existing or removed: postmasters, backends, forks.
    pub(crate) fn processes(&self) -> BTreeSet<u32> {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| works_in(*pid, self.0.path())).collect()
    }

    pub(crate) fn assert_nothing_left(&self) {
        assert_eq!(self.processes(), BTreeSet::new(), "processes left");
        assert_eq!(self.entries(), Vec::<PathBuf>::new(), "directories or lock files left");
    }
}

/// A process that ends while it is looked at works nowhere.
fn works_in(pid: u32, dir: &Path) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(dir))
}

/// Options for containers; `None`, said loudly, where they are to be left out. Without an engine the tests fail.
pub(crate) fn containers() -> Option<StackOptions> {
    if std::env::var_os("STACK_TEST_NO_CONTAINERS").is_some() {
        eprintln!("LEFT OUT: no containers are tested, because STACK_TEST_NO_CONTAINERS is set");
        return None;
    }
    Some(StackOptions {
        choice: Choice::Containers,
        ..StackOptions::default()
    })
}

/// Options for an external server of one kind.
pub(crate) fn external(external: External) -> StackOptions {
    StackOptions {
        choice: Choice::External,
        external,
        ..StackOptions::default()
    }
}

/// The embedded broker, or the nearest to it.
pub(crate) fn embedded() -> StackOptions {
    StackOptions {
        choice: Choice::Embedded,
        ..StackOptions::default()
    }
}

pub(crate) async fn connect(url: &str) -> PgConnection {
    url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

pub(crate) async fn redis_command<T: redis::FromRedisValue>(url: &str, words: &[&str]) -> T {
    let mut connection = redis::Client::open(url)
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    redis::cmd(words[0])
        .arg(&words[1..])
        .query_async(&mut connection)
        .await
        .unwrap()
}
