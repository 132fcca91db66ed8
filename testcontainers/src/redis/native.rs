//! Redis from a local binary, with the plan's settings, in a temporary directory.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use url::Url;

use super::SETTINGS;
use super::admin::{self, Facts};
use crate::dir::ServerDir;
use crate::error::StackError;
use crate::info::Server;
use crate::options::StackOptions;
use crate::ports::Candidates;
use crate::native::{Launch, NativeServer, Process};
use crate::programs;
use crate::user::{self, RunAs};

const SERVER: Server = Server::Redis;
const PROGRAM: &str = "redis-server";
const INSTALL: &str = "apt-get install -y redis-server";
/// The user that the packages create.
const PREFERRED_USER: &str = "redis";

/// Loopback only, where protected mode asks for no password.
const NATIVE_SETTINGS: [&str; 4] = ["--bind", "127.0.0.1", "--daemonize", "no"];

/// Starts it on a free port and asks it for its facts.
pub(super) async fn start(options: &StackOptions) -> Result<(NativeServer, Url, Facts), StackError> {
    let program = find_program(options.redis_server.as_deref())?;
    let owner = user::unprivileged(SERVER, PREFERRED_USER)?;
    let dir = ServerDir::create(SERVER, options.directory.as_deref(), owner.as_ref())?;
    let mut ports = Candidates::new(SERVER);
    let (process, url, facts) = loop {
        match launch(&program, &dir, owner.as_ref(), ports.next_port()?).await {
            Err(error) if ports.another_after(&error) => {}
            launched => break launched?,
        }
    };
    Ok((NativeServer { process, dir }, url, facts))
}

/// The program that would be taken.
pub(super) fn find_program(chosen: Option<&Path>) -> Result<PathBuf, StackError> {
    let missing = |searched| StackError::NotInstalled {
        server: SERVER,
        searched,
        install: INSTALL,
    };
    if let Some(program) = chosen {
        let there = programs::is_program(program);
        let searched = || format!("there is no program {}", program.display());
        return there
            .then(|| programs::absolute(program))
            .ok_or_else(|| missing(searched()));
    }
    let directory = programs::directory_on_path(&[PROGRAM]);
    directory
        .map(|directory| directory.join(PROGRAM))
        .ok_or_else(|| missing(format!("no {PROGRAM} on PATH")))
}

async fn launch(
    program: &Path,
    dir: &ServerDir,
    run_as: Option<&RunAs>,
    port: u16,
) -> Result<(Process, Url, Facts), StackError> {
    let own = [
        "--port".to_owned(),
        port.to_string(),
        "--dir".to_owned(),
        dir.path().display().to_string(),
    ];
    let settings = SETTINGS.into_iter().chain(NATIVE_SETTINGS).map(str::to_owned);
    let arguments = own.into_iter().chain(settings).collect();
    let (program, stop_signal) = (program.to_owned(), Signal::SIGTERM);
    let launch = Launch {
        server: SERVER,
        program,
        arguments,
        dir,
        run_as,
        stop_signal,
    };
    let mut process = Process::spawn(&launch)?;
    let url = Url::parse(&format!("redis://127.0.0.1:{port}")).map_err(StackError::request(SERVER, "form its URL"))?;
    let pid = process.pid();
    let facts = process.until_ready(port, || ask(&url, pid)).await?;
    Ok((process, url, facts))
}

/// There is no password by which to know our server, so its process id tells it from one that was quicker to the port.
async fn ask(url: &Url, pid: u32) -> Result<Facts, String> {
    let facts = admin::facts(url).await.map_err(|error| error.to_string())?;
    if facts.process_id == Some(pid) {
        Ok(facts)
    } else {
        Err("another server answers on its port".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1. A server takes the port. 2. A second one is started on the same port. 3. Whoever asks on that port is answered,
    /// by the first. The answer must not be taken for the second's.
    #[tokio::test]
    async fn a_stranger_on_the_port_is_not_taken_for_our_server() {
        let program = find_program(None).unwrap_or_else(|error| panic!("{error}"));
        let (first, url, _) = start(&StackOptions::default()).await.unwrap();
        let port = url.port().unwrap();
        let owner = user::unprivileged(SERVER, PREFERRED_USER).unwrap();
        let dir = ServerDir::create(SERVER, None, owner.as_ref()).unwrap();
        let error = launch(&program, &dir, owner.as_ref(), port)
            .await
            .map(drop)
            .unwrap_err();
        assert!(
            matches!(error, StackError::PortTaken { port: named, .. } if named == port),
            "{error}"
        );
        first.stop().await.unwrap();
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_the_remedy() {
        let error = find_program(Some(Path::new("/no/such/redis-server")))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/no/such/redis-server") && error.contains(INSTALL),
            "{error}"
        );
    }
}
