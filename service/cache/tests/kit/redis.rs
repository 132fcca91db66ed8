//! A Redis server of a test's own: a process on a free port of this machine, in a directory of its own, that ends with
//! the value. The tests of this crate start it themselves, so that the folder can be used anywhere.

use std::{
    io::{BufRead as _, BufReader, ErrorKind},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Another process may take the port between the look and the start: then another port is tried.
const ATTEMPTS: usize = 5;

/// A running server.
pub(crate) struct Redis {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Redis {
    /// A server with nothing in it, which keeps nothing on disk; with these options more, as on the command line of
    /// `redis-server`.
    pub(crate) fn start(options: &[&str]) -> Self {
        let started = (0..ATTEMPTS).find_map(|_| Self::try_to_start(options));
        started.expect("redis-server starts (`apt-get install redis-server` brings it); what it says is above")
    }

    fn try_to_start(options: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let mut arguments = vec!["--port".to_owned(), port.to_string()];
        let fixed = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"];
        arguments.extend(fixed.map(str::to_owned));
        arguments.push(directory.path().display().to_string());
        // For faults that only a debugging command can bring about.
        arguments.extend(["--enable-debug-command", "yes"].map(str::to_owned));
        arguments.extend(options.iter().map(|&option| option.to_owned()));
        let mut child = spawn(&arguments);
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut said = String::new();
        while output.read_line(&mut said).is_ok_and(|bytes| bytes > 0) {
            if said.contains("Ready to accept connections") {
                return Some(Self { child, port, directory });
            }
        }
        println!("{said}");
        child.wait().expect("it has ended");
        None
    }

    /// Where it listens on this machine.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// Where it would save its data.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("small")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// By `setpriv` where there is one, so that the server does not outlive a test program that is killed.
fn spawn(arguments: &[String]) -> Child {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL", "redis-server"]);
    let mut plain = Command::new("redis-server");
    for command in [&mut bound, &mut plain] {
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        match command.spawn() {
            Ok(child) => return child,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => panic!("redis-server cannot be started: {error}"),
        }
    }
    panic!("there is no redis-server; `apt-get install redis-server` brings it");
}
