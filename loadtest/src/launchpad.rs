//! Brings subjects up and takes them down: a database cloned from the seeded one, a topic, the environment, the
//! process.
//!
//! What belongs here: everything that a subject needs around it while it is measured, whatever is measured. What does
//! not: the load (`load`), what is read meanwhile (`probes`), and any service's own ways, which are data
//! (`scenarios::Service`).

use std::collections::BTreeMap;

use load::Target;
use scenarios::{Placeholder, Prometheus, Quotient};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::{
    compare::output::OutputDir,
    error::HarnessError,
    interrupt::Interrupt,
    probes::{Access, MetricsPage},
    progress::Progress,
    servers::Servers,
    subject::{Build, Launched, Means, Places, Subject, copy},
};

/// Partitions of the topic of one launch: as many as consumers could usefully share on a small machine.
const TOPIC_PARTITIONS: i32 = 4;
/// What a topic's name is followed by in that of its dead letters, by the convention of Spring.
const DEAD_LETTERS: &str = ".DLT";

/// Surroundings of everything that is measured by one command.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// Servers for the subjects that are started here.
    pub(crate) servers: &'a Servers,
    pub(crate) out: &'a OutputDir,
    pub(crate) progress: &'a Progress,
    pub(crate) interrupt: &'a Interrupt,
}

/// Where subjects are launched.
pub(crate) struct Launchpad<'a> {
    around: Surroundings<'a>,
    /// Data set to copy, by hash of the build that filled it.
    datasets: BTreeMap<&'a str, Dataset>,
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

/// A data set that launches copy: a database of that name, and a folder, where the service has them.
struct Dataset {
    name: String,
    folder: Option<TempDir>,
}

/// A database and a topic of the same name and a folder, as far as the service has them, which no other launch shares.
struct Room<'a> {
    servers: &'a Servers,
    name: String,
    folder: Option<TempDir>,
}

impl<'a> Launchpad<'a> {
    /// A launchpad on which every data set that a launch of `subjects` will copy is filled: by the commands of the
    /// subject file, then by the program with the arguments of the workload. Subjects of the same build share one.
    ///
    /// # Errors
    /// When a server or a subject's program fails, and after an interrupt.
    pub(crate) async fn prepare(
        around: Surroundings<'a>,
        subjects: &'a [Subject],
        seed_command: &[String],
    ) -> Result<Self, HarnessError> {
        let mut pad = Self {
            around,
            datasets: BTreeMap::new(),
            cloning: Mutex::default(),
        };
        for build in subjects.iter().filter_map(Subject::build) {
            if !pad.datasets.contains_key(build.sha256.as_str()) {
                let dataset = pad.fill(build, seed_command).await?;
                pad.datasets.insert(&build.sha256, dataset);
            }
        }
        Ok(pad)
    }

    async fn fill(&self, build: &Build, seed_command: &[String]) -> Result<Dataset, HarnessError> {
        let Surroundings {
            servers,
            out,
            progress,
            interrupt,
        } = self.around;
        let name = format!("{}_seed{}", out.database_prefix(), self.datasets.len());
        let folder = folder(build)?;
        if let Some(postgres) = &servers.stack.postgres {
            postgres.create_database(&name).await?;
        }
        if !build.service.dataset.is_empty() || !seed_command.is_empty() {
            progress.line(&format!("seeding {name} with {}", build.shown()));
            let places = Places {
                data: folder.as_ref().map(|folder| folder.path().to_owned()),
                ..servers.places(&name)
            };
            let (log, line) = (out.log("dataset"), |text: &str| progress.line(&format!("  {text}")));
            tokio::select! {
                filled = build.fill_dataset(seed_command, &places, &log, line) => filled?,
                () = interrupt.stop.cancelled() => return Err(HarnessError::Interrupted),
            }
        }
        Ok(Dataset { name, folder })
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
        match (subject.build(), &self.around.servers.stack.redis) {
            (Some(_), Some(redis)) => Ok(redis.flush().await?),
            _ => Ok(()),
        }
    }

    async fn settle(&self, subject: &'a Subject, number: u32) -> Result<Resident<'a>, HarnessError> {
        let build = match &subject.means {
            Means::Running(target) => {
                return Ok(Resident {
                    subject,
                    target: target.clone(),
                    launched: None,
                    room: None,
                });
            }
            Means::Launch(build) => build,
        };
        let room = self.make_room(build, number).await?;
        match self.launch(subject, build, number, &room).await {
            Ok(launched) => Ok(Resident {
                subject,
                target: Target::at(launched.address),
                launched: Some(launched),
                room: Some(room),
            }),
            Err(error) => {
                let _ = room.clear().await;
                Err(error)
            }
        }
    }

    /// Database, topic and folder of launch `number`.
    async fn make_room(&self, build: &Build, number: u32) -> Result<Room<'a>, HarnessError> {
        let _one_at_a_time = self.cloning.lock().await;
        let dataset = &self.datasets[build.sha256.as_str()];
        let room = Room {
            servers: self.around.servers,
            name: format!("{}_r{number}", self.around.out.database_prefix()),
            folder: folder(build)?,
        };
        match room.furnish(dataset).await {
            Ok(()) => Ok(room),
            Err(error) => {
                let _ = room.clear().await;
                Err(error)
            }
        }
    }

    async fn launch(
        &self,
        subject: &Subject,
        build: &Build,
        number: u32,
        room: &Room<'_>,
    ) -> Result<Launched, HarnessError> {
        let title = format!("`{}` ({})", subject.name, subject.spec);
        let log = self.around.out.log(&format!("{number:03}-{}", subject.name));
        let (settings, places) = (subject.settings(), room.places());
        tokio::select! {
            started = Launched::start(title, build, &settings, &places, &log) => started,
            () = self.around.interrupt.stop.cancelled() => Err(HarnessError::Interrupted),
        }
    }
}

/// A folder that goes with its value, for a service that has data in one.
fn folder(build: &Build) -> Result<Option<TempDir>, HarnessError> {
    let has_one = build.service.uses(Placeholder::Data);
    let made = has_one.then(tempfile::tempdir).transpose();
    made.map_err(HarnessError::internal)
}

impl Resident<'_> {
    /// Its process, when it was started here.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.launched.as_ref().map(Launched::pid)
    }

    /// What can be read of it; `page` is the workload's word on its metrics.
    pub(crate) fn access(&self, page: Option<&Prometheus>) -> Access {
        let service = self.subject.build().map(|build| &build.service);
        let of_service = service.and_then(|service| service.metrics_path.as_deref());
        let path = page.map(|page| page.path.as_str()).or(of_service);
        let prometheus = path.map(|path| MetricsPage {
            target: self.target.clone(),
            path: path.to_owned(),
            keep: page.map(|page| page.keep.clone()).unwrap_or_default(),
            quotients: service.map_or_else(|| vec![Quotient::cache_hits()], |service| service.quotients.clone()),
        });
        let room = self.room.as_ref();
        Access {
            postgres: room.and_then(Room::database),
            redis: room.and_then(|room| room.places().redis),
            prometheus,
            pid: self.pid(),
            all_ours: room.is_some_and(|room| room.servers.are_ours()),
        }
    }

    /// What its launch was told in a place; nothing for a subject that was up already.
    pub(crate) fn place(&self, place: Placeholder) -> Option<String> {
        self.room.as_ref()?.places().value(place)
    }

    /// Completes when a process that was started here ends; never for a subject that was up already.
    pub(crate) async fn lost(&mut self, when: impl FnOnce() -> String) -> HarnessError {
        match &mut self.launched {
            Some(launched) => launched.lost(when).await,
            None => std::future::pending().await,
        }
    }

    /// Stops what was started here and drops its database, topic and folder.
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
    /// Copies the data set into it, and makes its topic.
    async fn furnish(&self, dataset: &Dataset) -> Result<(), HarnessError> {
        if let Some(postgres) = &self.servers.stack.postgres {
            postgres.clone_database(&dataset.name, &self.name).await?;
        }
        if let (Some(from), Some(to)) = (&dataset.folder, &self.folder) {
            copy(from.path(), to.path()).map_err(HarnessError::internal)?;
        }
        if let Some(kafka) = &self.servers.stack.kafka {
            kafka.create_topic(&self.name, TOPIC_PARTITIONS).await?;
        }
        Ok(())
    }

    /// What a launch in it is told.
    fn places(&self) -> Places {
        Places {
            data: self.folder.as_ref().map(|folder| folder.path().to_owned()),
            ..self.servers.places(&self.name)
        }
    }

    /// A database that is not under load, and the name of the one that is.
    fn database(&self) -> Option<(String, String)> {
        let postgres = self.servers.stack.postgres.as_ref()?;
        Some((postgres.admin_url(), self.name.clone()))
    }

    /// Drops the database, the topic, that of its dead letters, which a service may have made, and the folder.
    async fn clear(self) -> Result<(), HarnessError> {
        let dropped = match &self.servers.stack.postgres {
            Some(postgres) => postgres.drop_database(&self.name).await,
            None => Ok(()),
        };
        let deleted = match &self.servers.stack.kafka {
            Some(kafka) => {
                let deleted = kafka.delete_topic(&self.name).await;
                deleted.and(kafka.delete_topic(&format!("{}{DEAD_LETTERS}", self.name)).await)
            }
            None => Ok(()),
        };
        let removed = self.folder.map_or(Ok(()), TempDir::close);
        dropped.and(deleted)?;
        removed.map_err(HarnessError::internal)
    }
}

#[cfg(test)]
mod tests;
