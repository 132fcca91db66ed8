//! The peers: each a process of its own, and the servers behind them. Started together, stopped together; a process
//! that is let go of is killed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use hyper::header::HeaderValue;
use redis::AsyncCommands as _;
use serde_json::json;
use stack::wait::Patience;
use stack::{Stack, StackOptions};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Failure;
use crate::serve::{self, redis_key};

/// How long a peer may take to answer: the service warms its cache first.
const PATIENCE: Duration = Duration::from_mins(1);
/// The secret that signs the tokens of all peers.
const JWT_SECRET: &str = "a secret of the benchmarks, longer than 32 bytes";
const DATABASE: &str = "peers";
const VENV_HINT: &str = "sudo apt-get install -y --no-install-recommends python3 python3-venv (and reach PyPI once)";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Static,
    Moka,
    ServiceL1,
    Redis,
    ServiceL2,
    FastApi,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Static,
        Self::Moka,
        Self::ServiceL1,
        Self::Redis,
        Self::ServiceL2,
        Self::FastApi,
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Static => "static handler",
            Self::Moka => "bare moka handler",
            Self::ServiceL1 => "driver route, L1",
            Self::Redis => "bare Redis GET handler",
            Self::ServiceL2 => "driver route, L2",
            Self::FastApi => "FastAPI + Redis",
        }
    }

    /// The `x-cache` of its answers.
    pub(crate) const fn tier(self) -> Option<&'static str> {
        match self {
            Self::ServiceL1 => Some("l1"),
            Self::ServiceL2 => Some("l2"),
            Self::Static | Self::Moka | Self::Redis | Self::FastApi => None,
        }
    }
}

/// A running peer.
pub(crate) struct Peer {
    kind: Kind,
    address: SocketAddr,
    child: Child,
}

impl Peer {
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// User and system time of the process so far, in seconds.
    pub(crate) fn cpu_s(&self) -> Result<f64, Failure> {
        let pid = self
            .child
            .id()
            .ok_or_else(|| format!("{} has ended", self.kind.title()))?;
        let stat = procfs::process::Process::new(i32::try_from(pid)?)?.stat()?;
        Ok((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
    }
}

/// All peers.
pub(crate) struct Peers {
    running: Vec<Peer>,
    authorization: HeaderValue,
    stack: Stack,
    /// Holds the body; goes with this value.
    _room: TempDir,
}

impl Peers {
    /// Builds the service, starts the servers, seeds `drivers` drivers, starts every peer and fills every cache.
    pub(crate) async fn start(drivers: u32) -> Result<Self, Failure> {
        let service = build_service().await?;
        let python = python().await?;
        let stack = Stack::start(&StackOptions::from_env()?, &mut |line| println!("{line}")).await?;
        let room = tempfile::tempdir()?;
        let setting = Setting {
            environment: environment(&stack, &room, drivers),
            service,
            python,
        };
        setting.seed(&stack, drivers).await?;
        let l1 = setting.start(Kind::ServiceL1).await?;
        let authorization = log_in(l1.address).await?;
        let client = reqwest::Client::new();
        let body = ask(&client, l1.address, &authorization, 1).await?;
        std::fs::write(room.path().join(BODY), &body)?;
        fill_redis(&stack, drivers, &body).await?;
        let mut peers = vec![l1];
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::ServiceL1) {
            peers.push(setting.start(kind).await?);
        }
        for peer in &peers {
            fill(&client, peer, &authorization, drivers).await?;
        }
        Ok(Self {
            running: peers,
            authorization,
            stack,
            _room: room,
        })
    }

    pub(crate) fn get(&self, kind: Kind) -> Result<&Peer, Failure> {
        let found = self.running.iter().find(|peer| peer.kind == kind);
        found.ok_or_else(|| format!("{} was not started", kind.title()).into())
    }

    /// An administrator's token.
    pub(crate) fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }

    /// Ends every process.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        for mut peer in self.running {
            peer.child.kill().await?;
        }
        self.stack.stop().await?;
        Ok(())
    }
}

const BODY: &str = "driver.json";

fn environment(stack: &Stack, room: &TempDir, drivers: u32) -> Vec<(&'static str, String)> {
    let path = std::env::var("PATH").unwrap_or_default();
    vec![
        ("PATH", path),
        ("DATABASE_URL", stack.postgres.url(DATABASE)),
        (serve::REDIS_URL, stack.redis.url()),
        ("KAFKA_BROKERS", stack.kafka.brokers()),
        ("JWT_SECRET", JWT_SECRET.to_owned()),
        ("BIND_ADDR", "127.0.0.1:0".to_owned()),
        ("RUST_LOG", "error".to_owned()),
        ("CACHE_WARM_DRIVERS", "0".to_owned()),
        // Longer than the measurement: what is asked for are hits.
        ("CACHE_TTL_DEFAULT", "3600".to_owned()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        (serve::DRIVERS, drivers.to_string()),
        (serve::BODY_FILE, room.path().join(BODY).display().to_string()),
    ]
}

/// Settings that every start needs.
struct Setting {
    environment: Vec<(&'static str, String)>,
    service: PathBuf,
    python: PathBuf,
}

impl Setting {
    async fn seed(&self, stack: &Stack, drivers: u32) -> Result<(), Failure> {
        stack.postgres.create_database(DATABASE).await?;
        stack.kafka.create_topic("trip-events", 1).await?;
        let mut seed = Command::new(&self.service);
        seed.args(["seed", "--drivers", &drivers.to_string(), "--seed", "42"]);
        run(self.with_environment(&mut seed)).await
    }

    fn with_environment<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env_clear().envs(self.environment.iter().cloned())
    }

    /// Starts a peer and waits for the line that tells its address.
    async fn start(&self, kind: Kind) -> Result<Peer, Failure> {
        let mut command = self.command(kind)?;
        self.with_environment(&mut command)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if kind == Kind::ServiceL2 {
            // Nothing finds room in memory, so that every answer comes from Redis; nothing shared with the other
            // replica.
            command.env("CACHE_L1_BYTES", "1").env("CACHE_NAMESPACE", "second");
        }
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("a peer without stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let patience = Patience::new(PATIENCE);
        loop {
            let line = patience.bound(lines.next_line()).await??;
            let line = line.ok_or_else(|| format!("{} ended before it listened", kind.title()))?;
            if let Some(address) = line.strip_prefix("listening on http://") {
                let address = address.parse()?;
                return Ok(Peer { kind, address, child });
            }
        }
    }

    fn command(&self, kind: Kind) -> Result<Command, Failure> {
        let peer = |name| {
            let mut command = Command::new(std::env::current_exe()?);
            command.args([serve::COMMAND, name]);
            Ok::<_, Failure>(command)
        };
        match kind {
            Kind::Static => peer("static"),
            Kind::Moka => peer("moka"),
            Kind::Redis => peer("redis"),
            Kind::ServiceL1 | Kind::ServiceL2 => Ok(Command::new(&self.service)),
            Kind::FastApi => {
                let mut command = Command::new(&self.python);
                command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/fastapi_serve.py"));
                Ok(command)
            }
        }
    }
}

async fn run(command: &mut Command) -> Result<(), Failure> {
    let output = command.stdin(Stdio::null()).output().await?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{} failed: {told}", command.as_std().get_program().display()).into())
}

/// The release build of the service, as it is shipped. Of the whole workspace, since that is what is built already: a
/// package alone has fewer features of its dependencies, and would build them all anew.
async fn build_service() -> Result<PathBuf, Failure> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    run(Command::new(cargo).args(["build", "--release", "--workspace", "--bin", "insurance-service"])).await?;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .ok_or("no target directory")?;
    Ok(target.join("release/insurance-service"))
}

/// Python in an environment of its own with what the rival needs; made on the first run, and again when that changes.
async fn python() -> Result<PathBuf, Failure> {
    let requirements = include_str!("requirements.txt");
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers-venv");
    let (python, made_for) = (venv.join("bin/python"), venv.join("requirements.txt"));
    if std::fs::read_to_string(&made_for).is_ok_and(|made_for| made_for == requirements) {
        return Ok(python);
    }
    let hint = |error: Failure| -> Failure { format!("{error}\ninstall it: {VENV_HINT}").into() };
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))
        .await
        .map_err(hint)?;
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/requirements.txt");
    let mut install = Command::new(venv.join("bin/pip"));
    install.args(["install", "--quiet", "--requirement"]).arg(list);
    run(&mut install).await.map_err(hint)?;
    std::fs::write(made_for, requirements)?;
    Ok(python)
}

async fn log_in(service: SocketAddr) -> Result<HeaderValue, Failure> {
    let credentials = json!({"username": "admin", "password": "admin-password"});
    let url = format!("http://{service}/auth/token");
    let token: serde_json::Value = reqwest::Client::new()
        .post(url)
        .json(&credentials)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    let token = token["access_token"].as_str().ok_or("no token was given")?;
    Ok(HeaderValue::try_from(format!("Bearer {token}"))?)
}

/// One driver's body.
async fn ask(
    client: &reqwest::Client,
    peer: SocketAddr,
    authorization: &HeaderValue,
    id: u32,
) -> Result<Vec<u8>, Failure> {
    let answer = client
        .get(format!("http://{peer}/admin/drivers/{id}"))
        .header("authorization", authorization.to_str()?)
        .send()
        .await?
        .error_for_status()?;
    Ok(answer.bytes().await?.to_vec())
}

async fn fill_redis(stack: &Stack, drivers: u32, body: &[u8]) -> Result<(), Failure> {
    let client = redis::Client::open(stack.redis.url())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    for id in 1..=drivers {
        let () = connection.set(redis_key(id), body).await?;
    }
    Ok(())
}

/// Asks for everything once, so that what is measured are hits.
async fn fill(client: &reqwest::Client, peer: &Peer, authorization: &HeaderValue, drivers: u32) -> Result<(), Failure> {
    for id in 1..=drivers {
        ask(client, peer.address, authorization, id)
            .await
            .map_err(|error| format!("{}: {error}", peer.kind.title()))?;
    }
    Ok(())
}
