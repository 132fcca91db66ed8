//! What the commands that drive load share: subjects, servers, progress, Ctrl-C, the record and what is printed of it.
//!
//! A command loads its input files, opens a session, which finds the subjects, makes its plan, and has the session
//! drive it. From the end of the session it gets its record.

use std::{path::Path, sync::Arc};

use measure::{
    record::{Record, Round},
    targets::TargetSpec,
};
use scenarios::{Feature, Service, Workload};
use stack::StackOptions;

use super::{ending, files};
use crate::{
    arguments::{LoadArgs, Named, PlaceArgs},
    canary,
    compare::{
        Plan, Purpose,
        capacity::Surroundings,
        output::OutputDir,
        records::{self, ServerFacts},
        run::Run,
        topics,
    },
    error::HarnessError,
    interrupt::Interrupt,
    limits,
    progress::Progress,
    request::RequestArgs,
    say,
    servers::Servers,
    subject::{Subject, SubjectSpec},
};

/// The workload of a file, or without one a single request, at the path of the address if one was given, in so many
/// blocks.
pub(super) fn workload(
    file: Option<&Path>,
    request: &RequestArgs,
    path: Option<&str>,
    blocks: u32,
) -> Result<Workload, HarnessError> {
    match (file, path) {
        (Some(file), None) => Workload::load(file).map_err(HarnessError::usage),
        (Some(_), Some(path)) => Err(HarnessError::Usage(format!(
            "the address has the path {path}, and --workload has its own: write the subject as url:http://HOST"
        ))),
        (None, path) => request.workload(path, blocks),
    }
}

/// The workload of `run` and `compare`, and their targets.
pub(super) fn inputs(
    arguments: &LoadArgs,
    path: Option<&str>,
    blocks: u32,
) -> Result<(Workload, Vec<TargetSpec>), HarnessError> {
    let workload = workload(arguments.workload.as_deref(), &arguments.request, path, blocks)?;
    let targets = files::targets(arguments.targets.as_deref(), &workload.counted_names())?;
    Ok((workload, targets.unwrap_or_else(|| arguments.limits.targets())))
}

/// A command that drives load.
pub(super) struct Session<'a> {
    place: &'a PlaceArgs,
    /// What is launched, where anything is.
    service: Arc<Service>,
    named: Named,
    options: StackOptions,
    interrupt: Interrupt,
    progress: Progress,
}

impl<'a> Session<'a> {
    /// Opens one for a workload, beside which the subject file may stand.
    pub(super) fn open(place: &'a PlaceArgs, workload: Option<&Path>) -> Result<Self, HarnessError> {
        let (service, named) = place.service(workload)?;
        Ok(Self {
            place,
            service: Arc::new(service),
            named,
            options: place.servers.options()?,
            interrupt: Interrupt::install()?,
            progress: Progress::new(),
        })
    }

    /// What its subject file says can be switched off.
    ///
    /// # Errors
    /// [`HarnessError::Usage`] where it says nothing.
    pub(super) fn features(&self) -> Result<Vec<Feature>, HarnessError> {
        let features = self.service.features.clone();
        if features.is_empty() {
            return Err(HarnessError::Usage(format!(
                "--ablate: the subject file of {} has no [features.NAME]; add them there, or name an ablation file",
                self.service.name
            )));
        }
        Ok(features)
    }

    /// Finds the subjects of a load, and builds those that are revisions.
    pub(super) async fn subjects(
        &self,
        specs: &[SubjectSpec],
        workload: &Workload,
    ) -> Result<Vec<Subject>, HarnessError> {
        let stop = &self.interrupt.stop;
        let builds = |spec: &SubjectSpec| matches!(spec, SubjectSpec::Git { .. });
        if self.named == Named::Nowhere && specs.iter().any(builds) {
            self.progress.line(&format!(
                "no subject file was given or stands beside the workload: the service is {}, which is built in",
                self.service.name
            ));
        }
        let way = (&self.place.way, workload.http.version);
        Subject::resolve_all(specs, &self.service, way, &mut |line| self.progress.line(line), stop).await
    }

    /// Has a plan wait at the end for as long as its time-outs take, and says so.
    pub(super) fn outlasting_timeouts(&self, plan: Plan) -> Plan {
        let (plan, said) = plan.outlasting_timeouts();
        if let Some(line) = &said {
            self.progress.line(line);
        }
        plan
    }

    /// Runs every round of a plan, judges and prints; the exit code of the verdict.
    pub(super) async fn execute(self, plan: &Plan, targets: &[TargetSpec]) -> Result<u8, HarnessError> {
        let rounds = async |around: Surroundings<'_>| {
            let mut run = Run::new(plan, around);
            // On the heap: it holds whatever a launch holds, too much for the stack of everybody above it.
            let outcome = Box::pin(run.execute()).await;
            (outcome, run.into_rounds())
        };
        let (ended, rounds) = self.drive(plan, &plan.announcement(), rounds).await?;
        let unjudged = ended.unjudged(plan, rounds);
        ended.conclude(unjudged, targets).await
    }

    /// Makes the output directory, says what is about to happen, starts the servers that the plan needs, has `work`
    /// done among them, and stops them.
    pub(super) async fn drive<T>(
        self,
        plan: &Plan,
        announcement: &str,
        work: impl AsyncFnOnce(Surroundings<'_>) -> (Result<(), HarnessError>, T),
    ) -> Result<(Ended, T), HarnessError> {
        topics::check(plan)?;
        let out = OutputDir::create(self.place.out.as_deref())?;
        limits::allow_connections(most_connections(plan))?;
        self.progress.line(announcement);
        let servers = match plan.service() {
            Some(service) => self.start_servers(service, &out).await?,
            None => Servers::default(),
        };
        let around = Surroundings {
            servers: &servers,
            out: &out,
            progress: &self.progress,
            interrupt: &self.interrupt,
        };
        let (outcome, found) = work(around).await;
        let facts = records::servers(&servers);
        let stopped = servers.stop().await;
        self.progress.finish();
        // An interrupt that came after the last round, while things were taken down, is one all the same.
        let failure = outcome.and(stopped).and(self.interrupt.check()).err();
        let ended = Ended {
            out,
            servers: facts,
            interrupt: self.interrupt,
            failure,
        };
        Ok((ended, found))
    }

    /// An interrupt while the servers start drops those that are up already, which stops them.
    async fn start_servers(&self, service: &Service, out: &OutputDir) -> Result<Servers, HarnessError> {
        let mut announce = |line: &str| self.progress.line(line);
        tokio::select! {
            started = Servers::start(service, &self.options, out, &mut announce) => started,
            () = self.interrupt.stop.cancelled() => Err(HarnessError::Interrupted),
        }
    }
}

/// Connections of the load that may be open at once.
fn most_connections(plan: &Plan) -> u64 {
    let beside = match plan.purpose {
        Purpose::Gate(_) => u64::from(canary::CONNECTIONS),
        _ => 0,
    };
    plan.model().most_connections() + beside
}

/// A session whose load is over and whose servers are gone.
pub(super) struct Ended {
    out: OutputDir,
    servers: ServerFacts,
    interrupt: Interrupt,
    /// What ended it early.
    pub(super) failure: Option<HarnessError>,
}

impl Ended {
    /// The record of what was measured, which nobody has judged yet.
    pub(super) fn unjudged(&self, plan: &Plan, rounds: Vec<Round>) -> Record {
        records::unjudged(plan, self.out.id(), self.servers.clone(), rounds)
    }

    /// Judges a record, prints the summary, then what ended the run early, and writes everything. The exit code of the
    /// verdict, unless the files could not be written where they should, or an interrupt came meanwhile.
    pub(super) async fn conclude(self, unjudged: Record, targets: &[TargetSpec]) -> Result<u8, HarnessError> {
        // Kept before it is judged: whatever is wrong with it can be looked at then.
        if let Err(error) = self.out.flush(&unjudged) {
            say::err(format_args!("warning: {error}"));
        }
        let record = records::conclude(unjudged, targets, self.failure.as_ref())?;
        ending::verdict(&reports::text(&record));
        if let Some(failure) = &self.failure {
            say::err(format_args!("error: {}", load::printable(&failure.to_string())));
        }
        let (out, verdict) = (self.out, record.exit_code);
        let writing = tokio::task::spawn_blocking(move || out.write(&record));
        let written = tokio::select! {
            written = writing => written.map_err(HarnessError::internal)?,
            () = self.interrupt.abort.cancelled() => return Err(HarnessError::Interrupted),
        };
        let code = ending::files(&written, verdict);
        // The verdict stands in the record; that it was written while the user wanted to stop is told by the code.
        Ok(self.interrupt.check().map_or_else(|error| error.exit_code(), |()| code))
    }
}
