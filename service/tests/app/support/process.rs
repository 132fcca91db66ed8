//! The executable itself, in a process of its own.

use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::{Client, JWT_SECRET, Token};

/// The executable, without any environment; killed when the test lets go of it.
pub(crate) fn executable() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_insurance-service"));
    command
        .env_clear()
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The executable, serving.
pub(crate) struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    url: String,
}

impl Process {
    /// Starts it with these variables on a free port, and waits until it listens.
    pub(crate) async fn serve(environment: Vec<(String, String)>) -> Self {
        let mut command = executable();
        command
            .envs(environment)
            .env("BIND_ADDR", "127.0.0.1:0")
            .env("JWT_SECRET", JWT_SECRET)
            .env("CACHE_WARM_DRIVERS", "0");
        let mut child = command.stderr(Stdio::inherit()).spawn().expect("starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).await.expect("a line");
        let url = line
            .trim_end()
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("not the promised line: {line:?}"));
        Self {
            url: url.to_owned(),
            child,
            stdout,
        }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// A client with this token, or none.
    pub(crate) fn client(&self, token: Option<&Token>) -> Client {
        Client::new(&self.url, token)
    }

    /// Sends a signal by its name.
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await;
        assert!(sent.expect("kill is there").success());
    }

    /// Waits for its end; gives what else stood on stdout.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).await.expect("an end");
        (self.child.wait().await.expect("an end"), rest)
    }
}
