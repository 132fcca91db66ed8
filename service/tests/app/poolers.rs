//! Poolers between the service and Postgres, on a real pgbouncer.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::support::{Scene, eventually, executable};

/// pgbouncer before a scene's Postgres; killed when the test lets go of it.
struct Pooler {
    url: String,
    _child: Child,
    directory: PathBuf,
}

impl Pooler {
    async fn before(scene: &Scene, mode: &str) -> Self {
        let url = scene.database_url();
        let (user, address, database) = parts(&url);
        let port = free_port().await;
        let directory = std::env::temp_dir().join(format!("pooler-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        let (host, server_port) = address.split_once(':').expect("a port");
        let settings = format!(
            "[databases]\n* = host={host} port={server_port} user={name} password={password}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n\
             ignore_startup_parameters = extra_float_digits\ndefault_pool_size = 30\n"
        );
        let file = directory.join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("written");
        let child = Self::run(&file);
        eventually("the pooler listens", async || {
            TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop)
        })
        .await;
        Self {
            url: format!("postgres://{name}@127.0.0.1:{port}/{database}"),
            _child: child,
            directory,
        }
    }

    fn run(settings: &std::path::Path) -> Child {
        // It does not run as root.
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        let user: &[&str] = if is_root { &["-u", "nobody"] } else { &[] };
        let started = Command::new("pgbouncer")
            .env(
                "PATH",
                format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()),
            )
            .args(user)
            .arg(settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        started.unwrap_or_else(|error| {
            panic!("cannot run pgbouncer ({error}); install it: apt-get install -y --no-install-recommends pgbouncer")
        })
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _removed = std::fs::remove_dir_all(&self.directory);
    }
}

/// User, address and database of a URL.
fn parts(url: &str) -> (&str, &str, &str) {
    let rest = url.strip_prefix("postgres://").expect("a URL of Postgres");
    let (user, rest) = rest.split_once('@').expect("a user");
    let (address, database) = rest.split_once('/').expect("a database");
    (user, address, database.split('?').next().unwrap_or_default())
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address").port()
}

#[tokio::test]
async fn a_pool_in_session_mode_is_as_good_as_postgres() {
    let scene = Scene::new().await;
    let pooler = Pooler::before(&scene, "session").await;
    let app = scene
        .app()
        .set("DATABASE_URL", &pooler.url)
        .set("CACHE_ENABLED", "false")
        .start()
        .await;
    for driver in 1..=30 {
        let answer = app.admin().get(&format!("/admin/drivers/{driver}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    app.stop().await;
    drop(pooler);
    scene.end().await;
}

#[tokio::test]
async fn a_pool_in_transaction_mode_is_refused_at_the_start_with_what_to_do() {
    let scene = Scene::new().await;
    let pooler = Pooler::before(&scene, "transaction").await;
    for arguments in [&["serve"][..], &["migrate"], &["seed", "--drivers", "1", "--seed", "1"]] {
        let mut command = executable();
        command
            .envs(scene.environment())
            .env("DATABASE_URL", &pooler.url)
            .env("BIND_ADDR", "127.0.0.1:0");
        let output = command.args(arguments).output().await.expect("runs");
        let told = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.contains("pool_mode = session"), "{arguments:?}: {told}");
    }
    drop(pooler);
    scene.end().await;
}
