//! Brings subjects up and takes them down: a database cloned from the seeded one, a topic, the environment, the
//! process.
//!
//! What belongs here: everything that a subject needs around it while it is measured, whatever is measured. What does
//! not: the load (`load`), what is read meanwhile (`probes`), and any service's own ways, which are data
//! (`subject::Service`).

use std::collections::BTreeMap;

use load::Target;
use scenarios::Prometheus;
use stack::{Provider, Stack};
use tokio::sync::Mutex;

use crate::{
    compare::output::OutputDir,
    error::HarnessError,
    interrupt::Interrupt,
    probes::Access,
    progress::Progress,
    subject::{Binary, Launched, Means, Subject, Value, run_to_end},
};

/// Partitions of the topic of one launch: as many as consumers could usefully share on a small machine.
const TOPIC_PARTITIONS: i32 = 4;

/// Surroundings of everything that is measured by one command.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// Servers for the subjects that are started here; absent where none is.
    pub(crate) stack: Option<&'a Stack>,
    pub(crate) out: &'a OutputDir,
    pub(crate) progress: &'a Progress,
    pub(crate) interrupt: &'a Interrupt,
}

/// Where subjects are launched.
pub(crate) struct Launchpad<'a> {
    around: Surroundings<'a>,
    /// Seeded database to clone, by hash of the binary that seeded it.
    templates: BTreeMap<&'a str, String>,
    /// Clones are made one after the other: each reads the whole of its template.
    cloning: Mutex<()>,
}

/// A subject that is up.
pub(crate) struct Resident<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) target: Target,
    /// Present when it was started here.
    launched: Option<Launched>,
    room: Option<Room<'a>>,
}

/// A database and a topic of the same name, which no other launch shares.
struct Room<'a> {
    stack: &'a Stack,
    name: String,
}

impl<'a> Launchpad<'a> {
    /// A launchpad on which every database that a launch of `subjects` will clone is migrated and seeded. Subjects of
    /// the same build share one.
    ///
    /// # Errors
    /// When a server or a subject's binary fails, and after an interrupt.
    pub(crate) async fn prepare(
        around: Surroundings<'a>,
        subjects: &'a [Subject],
        seed_command: &[String],
    ) -> Result<Self, HarnessError> {
        let mut pad = Self {
            around,
            templates: BTreeMap::new(),
            cloning: Mutex::default(),
        };
        if let Some(stack) = around.stack {
            for binary in subjects.iter().filter_map(Subject::binary) {
                if !pad.templates.contains_key(binary.sha256.as_str()) {
                    let template = pad.seed(stack, binary, seed_command).await?;
                    pad.templates.insert(&binary.sha256, template);
                }
            }
        }
        Ok(pad)
    }

    async fn seed(&self, stack: &Stack, binary: &Binary, seed_command: &[String]) -> Result<String, HarnessError> {
        let Surroundings {
            out,
            progress,
            interrupt,
            ..
        } = self.around;
        let database = format!("{}_seed{}", out.database_prefix(), self.templates.len());
        progress.line(&format!("seeding {database} with {}", binary.path.display()));
        stack.postgres.create_database(&database).await?;
        let url = |value| (value == Value::DatabaseUrl).then(|| stack.postgres.url(&database));
        let env = binary.service.environment(url);
        let seed: Vec<&str> = seed_command.iter().map(String::as_str).collect();
        for arguments in [binary.service.migrate, seed.as_slice()] {
            if arguments.is_empty() {
                continue;
            }
            let (log, line) = (out.log("seed"), |text: &str| progress.line(&format!("  {text}")));
            tokio::select! {
                done = run_to_end(&binary.path, arguments, &env, &log, line) => done?,
                () = interrupt.stop.cancelled() => return Err(HarnessError::Interrupted),
            }
        }
        Ok(database)
    }

    /// Brings a subject up as launch `number` of the command; one that is up already stays as it is. When this fails,
    /// nothing is left of the launch.
    ///
    /// # Errors
    /// When a server or the subject fails, and after an interrupt.
    pub(crate) async fn bring_up(&self, subject: &'a Subject, number: u32) -> Result<Resident<'a>, HarnessError> {
        self.empty_cache(subject).await?;
        self.settle(subject, number).await
    }

    /// Brings two subjects up side by side, as launches `number` and the next; the first one is cloned and started
    /// first. When one fails, nothing is left of either.
    ///
    /// # Errors
    /// The first failure, as of [`Self::bring_up`].
    pub(crate) async fn bring_up_both(
        &self,
        [first, second]: [&'a Subject; 2],
        number: u32,
    ) -> Result<[Resident<'a>; 2], HarnessError> {
        self.empty_cache(first).await?;
        match tokio::join!(self.settle(first, number), self.settle(second, number + 1)) {
            (Ok(first), Ok(second)) => Ok([first, second]),
            (Ok(up), Err(error)) | (Err(error), Ok(up)) => {
                // Why the other one did not come up says more than why this one does not end.
                let _ = up.take_down().await;
                Err(error)
            }
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// A launch finds nothing of the launch before.
    async fn empty_cache(&self, subject: &Subject) -> Result<(), HarnessError> {
        match (subject.binary(), self.around.stack) {
            (Some(_), Some(stack)) => Ok(stack.redis.flush().await?),
            _ => Ok(()),
        }
    }

    async fn settle(&self, subject: &'a Subject, number: u32) -> Result<Resident<'a>, HarnessError> {
        let binary = match &subject.means {
            Means::Running(target) => {
                return Ok(Resident {
                    subject,
                    target: target.clone(),
                    launched: None,
                    room: None,
                });
            }
            Means::Launch(binary) => binary,
        };
        let room = match self.around.stack {
            Some(stack) => Some(self.make_room(stack, binary, number).await?),
            None => None,
        };
        match self.launch(subject, binary, number, room.as_ref()).await {
            Ok(launched) => Ok(Resident {
                subject,
                target: Target::at(launched.address),
                launched: Some(launched),
                room,
            }),
            Err(error) => {
                if let Some(room) = room {
                    let _ = room.clear().await;
                }
                Err(error)
            }
        }
    }

    /// Database and topic of launch `number`.
    async fn make_room(&self, stack: &'a Stack, binary: &Binary, number: u32) -> Result<Room<'a>, HarnessError> {
        let _one_at_a_time = self.cloning.lock().await;
        let name = format!("{}_r{number}", self.around.out.database_prefix());
        let template = &self.templates[binary.sha256.as_str()];
        stack.postgres.clone_database(template, &name).await?;
        let room = Room { stack, name };
        match stack.kafka.create_topic(&room.name, TOPIC_PARTITIONS).await {
            Ok(()) => Ok(room),
            Err(error) => {
                let _ = room.clear().await;
                Err(error.into())
            }
        }
    }

    async fn launch(
        &self,
        subject: &Subject,
        binary: &Binary,
        number: u32,
        room: Option<&Room<'_>>,
    ) -> Result<Launched, HarnessError> {
        let mut env = subject.settings();
        env.extend(binary.service.environment(|value| value_for(room, value)));
        let title = format!("`{}` ({})", subject.name, subject.spec);
        let log = self.around.out.log(&format!("{number:03}-{}", subject.name));
        tokio::select! {
            started = Launched::start(title, binary, &env, &log) => started,
            () = self.around.interrupt.stop.cancelled() => Err(HarnessError::Interrupted),
        }
    }
}

impl Resident<'_> {
    /// Its process, when it was started here.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.launched.as_ref().map(Launched::pid)
    }

    /// What can be read of it; `page` is the workload's word on its metrics.
    pub(crate) fn access(&self, page: Option<&Prometheus>) -> Access {
        let of_service = self.subject.binary().map(|binary| binary.service.metrics_path);
        let path = page.map(|page| page.path.as_str()).or(of_service);
        let keep = page.map(|page| page.keep.clone()).unwrap_or_default();
        let servers = self.room.as_ref();
        Access {
            postgres: servers.map(|room| (room.stack.postgres.admin_url(), room.name.clone())),
            redis: servers.map(|room| room.stack.redis.url()),
            prometheus: path.map(|path| (format!("http://{}{path}", self.target.address()), keep)),
            pid: self.pid(),
            all_ours: servers.is_some_and(Room::is_ours),
        }
    }

    /// Completes when a process that was started here ends; never for a subject that was up already.
    pub(crate) async fn lost(&mut self, when: impl FnOnce() -> String) -> HarnessError {
        match &mut self.launched {
            Some(launched) => launched.lost(when).await,
            None => std::future::pending().await,
        }
    }

    /// Stops what was started here and drops its database and topic.
    ///
    /// # Errors
    /// The first failure; the rest is done all the same.
    pub(crate) async fn take_down(self) -> Result<(), HarnessError> {
        let stopped = match self.launched {
            Some(launched) => launched.stop().await,
            None => Ok(()),
        };
        let cleared = match self.room {
            Some(room) => room.clear().await,
            None => Ok(()),
        };
        stopped.and(cleared)
    }
}

impl Room<'_> {
    /// Drops the database and the topic.
    async fn clear(self) -> Result<(), HarnessError> {
        let dropped = self.stack.postgres.drop_database(&self.name).await;
        let deleted = self.stack.kafka.delete_topic(&self.name).await;
        Ok(dropped.and(deleted)?)
    }

    /// Whether every server was started by this process, and so counts as the harness's own work.
    fn is_ours(&self) -> bool {
        let Stack { postgres, redis, kafka } = self.stack;
        let providers = [postgres.info(), redis.info(), kafka.info()].map(|info| info.provider);
        let own = |provider| matches!(provider, Provider::Native | Provider::Embedded);
        providers.into_iter().all(own)
    }
}

/// Value of a variable of a launch; without servers there are none of theirs.
fn value_for(room: Option<&Room<'_>>, value: Value) -> Option<String> {
    match value {
        Value::Fixed(text) => Some(text.to_owned()),
        Value::DatabaseUrl => room.map(|room| room.stack.postgres.url(&room.name)),
        Value::RedisUrl => room.map(|room| room.stack.redis.url()),
        Value::KafkaBrokers => room.map(|room| room.stack.kafka.brokers()),
        Value::OwnName => room.map(|room| room.name.clone()),
    }
}

#[cfg(test)]
mod tests;
