//! Subjects here are shells; what answers for their readiness is the test.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use scenarios::Service;
use stack::{Stack, StackOptions, wait::Patience};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::subject::SubjectSpec;

/// Listens where ADDRESS says, tells what it was given, and stays.
const STAYS: &str = "env >&2; echo starting; echo at $ADDRESS; while :; do sleep 0.05; done";

struct Place {
    directory: tempfile::TempDir,
    out: OutputDir,
    progress: Progress,
    interrupt: Interrupt,
    ready: SocketAddr,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            out: OutputDir::create(Some(directory.path())).unwrap(),
            directory,
            progress: Progress::new(),
            interrupt: Interrupt {
                stop: CancellationToken::new(),
                abort: CancellationToken::new(),
            },
            ready: answers_ready(),
        }
    }

    fn around<'a>(&'a self, servers: &'a Servers) -> Surroundings<'a> {
        Surroundings {
            servers,
            out: &self.out,
            progress: &self.progress,
            interrupt: &self.interrupt,
        }
    }

    /// One on which `subject` can be launched, without servers.
    async fn launchpad<'a>(&'a self, servers: &'a Servers, subject: &'a Subject) -> Launchpad<'a> {
        let subjects = std::slice::from_ref(subject);
        Launchpad::prepare(self.around(servers), subjects, &[]).await.unwrap()
    }

    fn subject(&self, name: &str, script: &str) -> Subject {
        self.subject_with(name, script, "")
    }

    /// A subject that is a script, with more variables and tables of a subject file.
    fn subject_with(&self, name: &str, script: &str, more: &str) -> Subject {
        Subject {
            name: name.to_owned(),
            spec: SubjectSpec::Binary {
                path: Path::new("/bin/sh").to_owned(),
                profile: Some("small".to_owned()),
            },
            means: Means::Launch(Build {
                service: service(script, more),
                dir: std::env::current_dir().unwrap(),
                program: None,
                image: None,
                sha256: script.to_owned(),
                git: None,
            }),
            variables: [("ADDRESS".to_owned(), self.ready.to_string())].into(),
        }
    }
}

/// A service that is a script.
fn service(script: &str, more: &str) -> Arc<Service> {
    let text = format!(
        r#"
start = """/bin/sh -c '{script}'"""
metrics_path = "/metrics"
needs = ["postgres"]
ready = {{ line = "at {{address}}", path = "/ready" }}
[environment]
BOUND = "anywhere"
PLACE = "{{dir}}"
STORE = "{{postgres.url}}"
NAME = "{{namespace}}"
{more}
[profiles]
small = {{ KIND = "small" }}
"#
    );
    Arc::new(Service::parse(Path::new("shell.toml"), &text).unwrap_or_else(|error| panic!("{error}")))
}

/// An address at which every request is answered with 200.
fn answers_ready() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    address
}

async fn ends(pid: u32) {
    let mut patience = Patience::new(Duration::from_secs(30));
    while Path::new(&format!("/proc/{pid}")).exists() {
        patience.pause().await.unwrap();
    }
}

fn subject_error(failed: HarnessError) -> String {
    match failed {
        HarnessError::Subject(what) => what,
        other => panic!("the subject failed, and not: {other:?}"),
    }
}

#[tokio::test]
async fn a_subject_is_up_when_it_is_ready_and_gone_when_it_is_taken_down() {
    let place = Place::new();
    let (servers, subject) = (Servers::default(), place.subject("shell", STAYS));
    let launchpad = place.launchpad(&servers, &subject).await;
    let resident = launchpad.bring_up(&subject, 3).await.unwrap();
    assert_eq!(resident.target.address(), place.ready);
    let access = resident.access(None);
    let page = access.prometheus.unwrap();
    assert_eq!((page.target.address(), page.path.as_str()), (place.ready, "/metrics"));
    let pid = resident.pid().unwrap();
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    resident.take_down().await.unwrap();
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

/// Without servers there is nothing of theirs; nothing is inherited but PATH.
#[tokio::test]
async fn a_subject_gets_its_settings_and_what_the_launch_has_for_it() {
    let place = Place::new();
    let (servers, subject) = (Servers::default(), place.subject("shell", STAYS));
    let launchpad = place.launchpad(&servers, &subject).await;
    launchpad
        .bring_up(&subject, 3)
        .await
        .unwrap()
        .take_down()
        .await
        .unwrap();
    let log = std::fs::read_to_string(place.directory.path().join("logs/003-shell.log")).unwrap();
    let own = ["PWD", "OLDPWD", "SHLVL", "_"];
    let names = log.lines().filter_map(|line| Some(line.split_once('=')?.0));
    let mut given: Vec<&str> = names.filter(|name| !own.contains(name)).collect();
    given.sort_unstable();
    assert_eq!(given, ["ADDRESS", "BOUND", "KIND", "NAME", "PATH", "PLACE"]);
    assert!(log.contains("KIND=small\n"), "{log}");
}

#[tokio::test]
async fn one_that_ends_before_it_listens_shows_the_end_of_its_log() {
    let place = Place::new();
    let (servers, subject) = (
        Servers::default(),
        place.subject("shell", "echo out of memory >&2; exit 7"),
    );
    let launchpad = place.launchpad(&servers, &subject).await;
    let error = subject_error(launchpad.bring_up(&subject, 0).await.err().unwrap());
    assert!(
        error.starts_with("subject `shell` (bin:/bin/sh:small) did not start: ") && error.contains("exit status: 7\n"),
        "{error}"
    );
    assert!(error.ends_with("out of memory"), "{error}");
}

#[tokio::test]
async fn one_that_is_killed_while_it_is_up_says_how_and_when() {
    let place = Place::new();
    let (servers, subject) = (Servers::default(), place.subject("shell", STAYS));
    let launchpad = place.launchpad(&servers, &subject).await;
    let mut resident = launchpad.bring_up(&subject, 0).await.unwrap();
    let pid = resident.pid().unwrap();
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    let error = subject_error(resident.lost(|| "during lunch".to_owned()).await);
    assert!(
        error.contains("`shell` (bin:/bin/sh:small) was killed by signal 9 during lunch\n"),
        "{error}"
    );
    assert!(error.contains("BOUND=anywhere"), "{error}");
    resident.take_down().await.unwrap();
}

#[tokio::test]
async fn nothing_is_left_of_one_that_is_dropped() {
    let place = Place::new();
    let (servers, subject) = (Servers::default(), place.subject("shell", STAYS));
    let launchpad = place.launchpad(&servers, &subject).await;
    let resident = launchpad.bring_up(&subject, 0).await.unwrap();
    let pid = resident.pid().unwrap();
    drop(resident);
    ends(pid).await;
}

#[tokio::test]
async fn nothing_is_left_of_a_launch_that_the_user_stops() {
    let place = Place::new();
    let subject = place.subject("shell", "echo $$ >&2; while :; do sleep 0.05; done");
    let servers = Servers::default();
    let launchpad = place.launchpad(&servers, &subject).await;
    let stopped = async {
        let log = place.directory.path().join("logs/000-shell.log");
        let mut patience = Patience::new(Duration::from_secs(30));
        loop {
            if let Some(pid) = std::fs::read_to_string(&log)
                .ok()
                .and_then(|log| log.trim().parse().ok())
            {
                place.interrupt.stop.cancel();
                return pid;
            }
            patience.pause().await.unwrap();
        }
    };
    let (launched, pid) = tokio::join!(launchpad.bring_up(&subject, 0), stopped);
    assert!(matches!(launched.err().unwrap(), HarnessError::Interrupted));
    ends(pid).await;
}

/// 1. Both are launched. 2. One ends instead of listening. 3. The other is ready, and is taken down. 4. The databases
/// of both are gone.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_neither_is_left_when_one_fails() {
    let place = Place::new();
    let stack = Stack::start(&StackOptions::from_env().unwrap(), &mut |_: &str| ())
        .await
        .unwrap();
    let servers = Servers::of_stack(stack);
    let subjects = [place.subject("good", STAYS), place.subject("bad", "exit 1")];
    let launchpad = Launchpad::prepare(place.around(&servers), &subjects, &[])
        .await
        .unwrap();
    let good = launchpad.bring_up(&subjects[0], 0).await.unwrap();
    assert_eq!(
        good.access(None).postgres.unwrap().1,
        format!("{}_r0", place.out.database_prefix())
    );
    assert!(exists(&servers, &place, 0).await);
    good.take_down().await.unwrap();
    assert!(!exists(&servers, &place, 0).await);

    let error = launchpad
        .bring_up_both([&subjects[0], &subjects[1]], 1)
        .await
        .err()
        .unwrap();
    assert!(subject_error(error).contains("`bad`"));
    let log = std::fs::read_to_string(place.directory.path().join("logs/001-good.log")).unwrap();
    assert!(
        log.contains(&format!("NAME={}_r1", place.out.database_prefix())),
        "{log}"
    );
    assert!(!exists(&servers, &place, 1).await && !exists(&servers, &place, 2).await);
    servers.stop().await.unwrap();
}

fn admin_url(servers: &Servers) -> String {
    servers.stack.postgres.as_ref().unwrap().admin_url()
}

/// Whether the database of a launch is there.
async fn exists(servers: &Servers, place: &Place, launch: u32) -> bool {
    use sqlx::Connection;
    let mut connection = sqlx::PgConnection::connect(&admin_url(servers)).await.unwrap();
    let name = format!("{}_r{launch}", place.out.database_prefix());
    let found = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1").bind(name);
    let found = found.fetch_optional(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    found.is_some()
}

/// 1. The data set is filled once, in a folder. 2. A launch finds a copy of it, and writes. 3. The next launch finds
/// what was filled, and nothing of the one before. 4. Nothing is left of either folder.
#[tokio::test]
async fn every_launch_has_a_copy_of_the_folder() {
    let place = Place::new();
    let more = r#"FOLDER = "{data}"
[dataset]
commands = ["sh -c 'echo filled >> {data}/rows'"]
"#;
    let script = "cat $FOLDER/rows >&2; echo changed >> $FOLDER/rows; echo at $ADDRESS; while :; do sleep 0.05; done";
    let (servers, subject) = (Servers::default(), place.subject_with("shell", script, more));
    let launchpad = place.launchpad(&servers, &subject).await;
    for number in 0..2 {
        let resident = launchpad.bring_up(&subject, number).await.unwrap();
        resident.take_down().await.unwrap();
        let log = std::fs::read_to_string(place.directory.path().join(format!("logs/00{number}-shell.log"))).unwrap();
        assert_eq!(log, "filled\n");
    }
}
