//! Postgres from local binaries: a fresh cluster in a temporary directory, durable as a real one, thrown away afterwards.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use url::Url;

use super::admin::{self, Facts};
use super::{SETTINGS, random_password};
use crate::dir::ServerDir;
use crate::error::StackError;
use crate::info::Server;
use crate::options::StackOptions;
use crate::ports::Candidates;
use crate::native::{Launch, NativeServer, Process};
use crate::programs;
use crate::user::{self, RunAs};

const SERVER: Server = Server::Postgres;
/// Where Debian and its relatives keep one directory per version.
const VERSIONS: &str = "/usr/lib/postgresql";
const PROGRAMS: [&str; 2] = ["initdb", "postgres"];
const INSTALL: &str = "apt-get install -y postgresql";
/// The user that the packages create.
const PREFERRED_USER: &str = "postgres";
/// The cluster's directory inside the server's.
const DATA: &str = "data";

/// Reached by TCP on this machine alone.
const NATIVE_SETTINGS: [&str; 2] = ["listen_addresses=127.0.0.1", "unix_socket_directories="];

/// A server started here.
pub(super) struct NativePostgres {
    pub(super) native: NativeServer,
    /// The maintenance database `postgres`, as its superuser.
    pub(super) admin: Url,
}

/// What initdb and the server have in common.
struct Cluster<'a> {
    bin: PathBuf,
    dir: &'a ServerDir,
    owner: Option<RunAs>,
    password: String,
}

/// Creates a cluster, starts it on a free port, and asks it for its facts.
pub(super) async fn start(options: &StackOptions) -> Result<(NativePostgres, Facts), StackError> {
    let bin = find_bin(options.postgres_bin.as_deref())?;
    let owner = user::unprivileged(SERVER, PREFERRED_USER)?;
    let dir = ServerDir::create(SERVER, options.directory.as_deref(), owner.as_ref())?;
    let cluster = Cluster {
        bin,
        dir: &dir,
        owner,
        password: random_password(),
    };
    cluster.init().await?;
    let mut ports = Candidates::new(SERVER);
    let (process, admin, facts) = loop {
        match cluster.launch(ports.next_port()?).await {
            Err(error) if ports.another_after(&error) => {}
            launched => break launched?,
        }
    };
    Ok((
        NativePostgres {
            native: NativeServer { process, dir },
            admin,
        },
        facts,
    ))
}

/// The directory of the programs that would be taken.
pub(super) fn find_bin(chosen: Option<&Path>) -> Result<PathBuf, StackError> {
    let missing = |searched| StackError::NotInstalled {
        server: SERVER,
        searched,
        install: INSTALL,
    };
    if let Some(bin) = chosen {
        let there = programs::holds_all(bin, &PROGRAMS);
        let searched = || format!("there are no programs initdb and postgres in {}", bin.display());
        return there
            .then(|| programs::absolute(bin))
            .ok_or_else(|| missing(searched()));
    }
    programs::newest_bin(Path::new(VERSIONS), &PROGRAMS)
        .or_else(|| programs::directory_on_path(&PROGRAMS))
        .ok_or_else(|| missing(format!("no initdb and postgres under {VERSIONS}/*/bin or on PATH")))
}

impl Cluster<'_> {
    /// Not synced to disk: what initdb writes need not survive a crash of the machine. The server does sync. What a failed
    /// initdb wrote stays until the directory goes, so that a full disk can be told from other failures.
    async fn init(&self) -> Result<(), StackError> {
        let password_file = self.dir.write_secret("password", &self.password, self.owner.as_ref())?;
        let password_argument = format!("--pwfile={}", password_file.display());
        let fixed = [
            "-D",
            DATA,
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
        ];
        let fixed = fixed
            .into_iter()
            .chain(["--locale=C.UTF-8", "--no-sync", "--no-clean", &password_argument]);
        let arguments = fixed.map(str::to_owned).collect();
        Process::spawn(&self.program("initdb", arguments, Signal::SIGTERM))?
            .finish()
            .await?;
        std::fs::remove_file(&password_file).map_err(StackError::file("remove", &password_file))
    }

    async fn launch(&self, port: u16) -> Result<(Process, Url, Facts), StackError> {
        let mut arguments = vec!["-D".to_owned(), DATA.to_owned(), "-p".to_owned(), port.to_string()];
        arguments.extend(
            SETTINGS
                .into_iter()
                .chain(NATIVE_SETTINGS)
                .flat_map(|setting| ["-c".to_owned(), setting.to_owned()]),
        );
        // Immediate shutdown: no checkpoint for data that is about to be removed.
        let mut process = Process::spawn(&self.program("postgres", arguments, Signal::SIGQUIT))?;
        let admin = self.admin_url(port)?;
        // A stranger on this port would not know the password, so whoever lets us in is our server.
        process.until_ready(port, || admin::prepare(&admin)).await?;
        let facts = admin::facts(&admin)
            .await
            .map_err(StackError::request(SERVER, "read its settings"))?;
        Ok((process, admin, facts))
    }

    fn program<'a>(&'a self, name: &str, arguments: Vec<String>, stop_signal: Signal) -> Launch<'a> {
        let (dir, run_as) = (self.dir, self.owner.as_ref());
        Launch {
            server: SERVER,
            program: self.bin.join(name),
            arguments,
            dir,
            run_as,
            stop_signal,
        }
    }

    fn admin_url(&self, port: u16) -> Result<Url, StackError> {
        let url = format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", self.password);
        Url::parse(&url).map_err(StackError::request(SERVER, "form its URL"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[tokio::test]
    async fn a_port_that_is_taken_is_noticed() {
        let bin = find_bin(None).unwrap_or_else(|error| panic!("{error}"));
        let owner = user::unprivileged(SERVER, PREFERRED_USER).unwrap();
        let dir = ServerDir::create(SERVER, None, owner.as_ref()).unwrap();
        let cluster = Cluster {
            bin,
            dir: &dir,
            owner,
            password: random_password(),
        };
        cluster.init().await.unwrap();
        let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = occupied.local_addr().unwrap().port();
        let error = cluster.launch(port).await.map(drop).unwrap_err();
        assert!(
            matches!(error, StackError::PortTaken { port: named, .. } if named == port),
            "{error}"
        );
    }

    #[test]
    fn a_directory_without_the_programs_is_named_with_the_remedy() {
        let empty = tempfile::tempdir().unwrap();
        let error = find_bin(Some(empty.path())).unwrap_err().to_string();
        let place = empty.path().display().to_string();
        assert!(
            error.contains(&place) && error.contains("apt-get install -y postgresql"),
            "{error}"
        );
    }
}
