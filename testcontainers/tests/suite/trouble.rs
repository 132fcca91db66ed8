//! Trouble around a server, and the one clear error or note that says so. (A wrong password, a missing
//! extension and a server that is not there are with the external servers; an image that does not exist is with the
//! containers; a taken port is with each server's own module.)

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::mount::{MsFlags, mount, umount};
use stack::{External, Kafka, Postgres, Redis, StackError, StackOptions};

use crate::support::{Room, external, ok, redis_command};

/// Set where [`a_full_disk_is_named`] runs with mounts of its own.
const OWN_MOUNTS: &str = "STACK_TEST_OWN_MOUNTS";

/// Runs itself again in a mount namespace, where a small disk can be mounted, and which takes the mount with it.
#[tokio::test]
async fn a_full_disk_is_named() {
    if std::env::var_os(OWN_MOUNTS).is_some() {
        return on_small_disks().await;
    }
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    command.arg("--mount").arg(std::env::current_exe().unwrap());
    command
        .args(["--exact", "trouble::a_full_disk_is_named", "--nocapture"])
        .env(OWN_MOUNTS, "1");
    let output = command.output().expect("unshare (apt-get install -y util-linux)");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

async fn on_small_disks() {
    // Enough for a start, and by far not for a new cluster.
    let disk = SmallDisk::new("size=8m");
    disk.assert_full(&Postgres::start(&disk.options()).await.unwrap_err());
    // Room for the lock file, the log and little else.
    let disk = SmallDisk::new("size=12k");
    disk.assert_full(&Redis::start(&disk.options()).await.unwrap_err());
    // Room for the configuration, and not for the broker's first log.
    let disk = SmallDisk::new("size=20k");
    disk.assert_full(&Kafka::start(&disk.options()).await.unwrap_err());
}

/// A room on a disk of its own, unmounted before the room goes: a directory with a mount on it cannot be removed.
struct SmallDisk(Room);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let room = Room::new();
        let options = format!("{size},mode=755");
        mount(
            Some("tmpfs"),
            room.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            Some(&*options),
        )
        .unwrap();
        Self(room)
    }

    fn options(&self) -> StackOptions {
        self.0.native()
    }

    fn assert_full(&self, error: &StackError) {
        assert!(matches!(error, StackError::DiskFull { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("the disk is full at ") && text.contains("TMPDIR"),
            "{text}"
        );
        assert!(text.contains(&self.0.path().display().to_string()), "{text}");
        self.0.assert_nothing_left();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = umount(self.0.path()) {
            eprintln!("{} stays: {error}", self.0.path().display());
        }
    }
}

#[tokio::test]
async fn a_redis_without_a_memory_bound_is_noted() {
    let room = Room::new();
    let server = ok(Redis::start(&room.native()).await);
    let () = redis_command(&server.url(), &["CONFIG", "SET", "maxmemory", "0"]).await;
    let guest = ok(Redis::start(&external(External {
        redis_url: Some(server.url()),
        ..External::default()
    }))
    .await);
    assert_eq!(guest.info().settings["maxmemory"], "0");
    assert_eq!(
        guest.info().note.as_deref(),
        Some("maxmemory is 0, so the cache grows without a bound and nothing is evicted")
    );
    ok(server.stop().await);
}

/// As root, servers run as another user, who must be able to get at a Kafka of the caller's.
#[tokio::test]
async fn a_kafka_home_that_is_closed_to_the_brokers_user_is_named() {
    if !nix::unistd::geteuid().is_root() {
        // Others run their broker as themselves, and nothing is closed to them.
        return;
    }
    let room = Room::new();
    let home = room.path().join("closed");
    std::fs::create_dir_all(home.join("libs")).unwrap();
    std::fs::write(home.join("libs/kafka_2.13-4.0.0.jar"), "").unwrap();
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
    let options = StackOptions {
        kafka_home: Some(home.clone()),
        ..room.native()
    };
    let error = Kafka::start(&options).await.unwrap_err().to_string();
    assert!(
        error.contains("is closed to the user `") && error.contains(&home.display().to_string()),
        "{error}"
    );
}
