//! `loadtest run` and `loadtest compare`: load on one subject, or the same load on several in alternation, judged and drawn.

use std::path::Path;

use measure::record::Model;
use scenarios::{Ablation, Targets, Workload};
use stack::{Stack, StackOptions};

use crate::{
    cli::{CompareArgs, LoadArgs, ModelArg, PlaceArgs, RunArgs},
    compare::{
        Plan,
        judge::{self, Judged},
        output::OutputDir,
        run::Run,
    },
    error::HarnessError,
    interrupt::Interrupt,
    load::{LoadModel, Wanted},
    progress::Progress,
    subject::{Subject, SubjectSpec, Variable},
};

/// What is asked for: subjects, their variables, and what is done with them.
struct Asked<'a> {
    /// Each with its variables.
    subjects: Vec<(&'a SubjectSpec, &'a [Variable])>,
    /// The features to switch off in turn.
    ablation: Option<Ablation>,
    load: &'a LoadArgs,
}

/// The exit code of the verdict on one subject.
pub(super) async fn run(arguments: &RunArgs) -> Result<u8, HarnessError> {
    measure(Asked {
        subjects: vec![(&arguments.target, &[])],
        ablation: None,
        load: &arguments.load,
    })
    .await
}

/// The exit code of the verdict on the second of two subjects, or of an ablation of one.
pub(super) async fn compare(arguments: &CompareArgs) -> Result<u8, HarnessError> {
    let ablation = arguments.ablate.as_deref().map(Ablation::load).transpose();
    let before = (&arguments.before, arguments.before_env.as_slice());
    let after = arguments
        .after
        .as_ref()
        .map(|after| (after, arguments.after_env.as_slice()));
    measure(Asked {
        subjects: std::iter::once(before).chain(after).collect(),
        ablation: ablation.map_err(|error| HarnessError::Usage(error.to_string()))?,
        load: &arguments.load,
    })
    .await
}

/// Input files and subjects are checked before any server starts.
async fn measure(asked: Asked<'_>) -> Result<u8, HarnessError> {
    let arguments = asked.load;
    let workload = Workload::load(&arguments.workload).map_err(|error| HarnessError::Usage(error.to_string()))?;
    let targets = load_targets(arguments.targets.as_deref(), &workload.endpoint_names())?;
    let model = LoadModel::choose(&workload, wanted(&asked)).map_err(HarnessError::Usage)?;
    let options = stack_options(&arguments.place)?;
    let interrupt = Interrupt::install()?;
    let progress = Progress::new();
    let subjects = resolve(&asked, &progress, &interrupt).await?;
    let plan = plan(asked, workload, model, subjects)?;
    let out = OutputDir::create(arguments.place.out.as_deref())?;
    progress.line(&plan.announcement());

    let stack = if plan.needs_stack() {
        Some(start_stack(&options, &progress, &interrupt).await?)
    } else {
        None
    };
    let servers = stack.as_ref().map(judge::servers).unwrap_or_default();
    let mut run = Run::new(&plan, stack.as_ref(), &out, &progress, &interrupt);
    let outcome = run.execute().await;
    let rounds = run.into_rounds();
    let stopped = match stack {
        Some(stack) => stack.stop().await.map_err(HarnessError::internal),
        None => Ok(()),
    };
    progress.finish();

    let failure = outcome.and(stopped).err();
    conclude(
        Judged {
            plan: &plan,
            id: out.id(),
            servers,
            rounds,
            targets: targets.as_ref(),
            failure,
        },
        &out,
    )
}

async fn resolve(asked: &Asked<'_>, progress: &Progress, interrupt: &Interrupt) -> Result<Vec<Subject>, HarnessError> {
    let specs: Vec<SubjectSpec> = asked.subjects.iter().map(|(spec, _)| (*spec).clone()).collect();
    let mut announce = |line: &str| progress.line(line);
    let service = asked.load.place.service.as_deref();
    let found = Subject::resolve_all(&specs, service, &mut announce, &interrupt.stop).await?;
    let variables = asked.subjects.iter().map(|(_, variables)| *variables);
    found
        .into_iter()
        .zip(variables)
        .map(|(subject, variables)| subject.with_variables(variables))
        .collect()
}

/// Two subjects under the open model are a gate.
fn plan(asked: Asked<'_>, workload: Workload, model: LoadModel, subjects: Vec<Subject>) -> Result<Plan, HarnessError> {
    let gate = subjects.len() == 2 && model.kind() == Model::Open;
    let plan = Plan::new(workload, model, subjects, asked.load);
    match asked.ablation {
        Some(ablation) => plan.into_ablation(ablation.features),
        None if gate => plan.into_gate(asked.load),
        None => Ok(plan),
    }
}

/// Writes everything, prints the summary; a failure is printed after what was kept.
fn conclude(judged: Judged<'_>, out: &OutputDir) -> Result<u8, HarnessError> {
    let failure = judged.failure.as_ref().map(ToString::to_string);
    let record = judge::record(judged)?;
    let report = out.write(&record)?;
    println!("{}", reports::text(&record));
    println!("report: {}", report.display());
    if let Some(failure) = failure {
        eprintln!("error: {failure}");
    }
    Ok(record.exit_code)
}

/// The targets of a file, if one is given.
pub(super) fn load_targets(file: Option<&Path>, endpoints: &[&str]) -> Result<Option<Targets>, HarnessError> {
    file.map(|file| Targets::load(file, endpoints))
        .transpose()
        .map_err(|error| HarnessError::Usage(error.to_string()))
}

/// Revisions are compared to find small regressions: the open model, unless something speaks for the closed one.
fn wanted(asked: &Asked<'_>) -> Wanted {
    let arguments = asked.load;
    let revisions = asked
        .subjects
        .iter()
        .filter(|(spec, _)| matches!(spec, SubjectSpec::Git { .. }));
    let gate = revisions.count() == 2 && arguments.users.is_none();
    let given = arguments.model.map(|model| match model {
        ModelArg::Closed => Model::Closed,
        ModelArg::Open => Model::Open,
    });
    Wanted {
        model: given.or(gate.then_some(Model::Open)),
        rate_per_s: arguments.rate,
        users: arguments.users,
    }
}

pub(super) fn stack_options(arguments: &PlaceArgs) -> Result<StackOptions, HarnessError> {
    let usage = |error: stack::StackError| HarnessError::Usage(error.to_string());
    let mut options = StackOptions::from_env().map_err(usage)?;
    options.choice = arguments.stack.parse().map_err(usage)?;
    options.postgres_bin.clone_from(&arguments.postgres_bin);
    Ok(options)
}

/// An interrupt while the servers start drops what is up already, which stops it.
pub(super) async fn start_stack(
    options: &StackOptions,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<Stack, HarnessError> {
    let mut announce = |line: &str| progress.line(line);
    tokio::select! {
        started = Stack::start(options, &mut announce) => started.map_err(HarnessError::from),
        () = interrupt.stop.cancelled() => Err(HarnessError::Interrupted),
    }
}
