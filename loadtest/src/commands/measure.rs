//! `loadtest run` and `loadtest compare`: load on one subject, or the same load on two in alternation, judged and drawn.

use std::path::Path;

use measure::record::Model;
use scenarios::{Targets, Workload};
use stack::{Stack, StackOptions};

use crate::{
    cli::{CompareArgs, LoadArgs, ModelArg, RunArgs},
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
    subject::{Subject, SubjectSpec},
};

/// The exit code of the verdict on one subject.
pub(super) async fn run(arguments: &RunArgs) -> Result<u8, HarnessError> {
    measure(std::slice::from_ref(&arguments.target), &arguments.load).await
}

/// The exit code of the verdict on the second of two subjects.
pub(super) async fn compare(arguments: &CompareArgs) -> Result<u8, HarnessError> {
    measure(&[arguments.before.clone(), arguments.after.clone()], &arguments.load).await
}

/// Input files and subjects are checked before any server starts.
async fn measure(specs: &[SubjectSpec], arguments: &LoadArgs) -> Result<u8, HarnessError> {
    let workload = Workload::load(&arguments.workload).map_err(|error| HarnessError::Usage(error.to_string()))?;
    let targets = load_targets(arguments.targets.as_deref(), &workload.endpoint_names())?;
    let model = LoadModel::choose(&workload, wanted(arguments)).map_err(HarnessError::Usage)?;
    let options = stack_options(arguments)?;
    let interrupt = Interrupt::install()?;
    let progress = Progress::new();
    let mut announce = |line: &str| progress.line(line);
    let subjects = Subject::resolve_all(specs, arguments.service.as_deref(), &mut announce, &interrupt.stop).await?;
    let out = OutputDir::create(arguments.out.as_deref())?;
    let plan = Plan::new(workload, model, subjects, arguments);
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

fn wanted(arguments: &LoadArgs) -> Wanted {
    Wanted {
        model: arguments.model.map(|model| match model {
            ModelArg::Closed => Model::Closed,
            ModelArg::Open => Model::Open,
        }),
        rate_per_s: arguments.rate,
        users: arguments.users,
    }
}

fn stack_options(arguments: &LoadArgs) -> Result<StackOptions, HarnessError> {
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
        started = Stack::start(options, &mut announce) => started.map_err(|error| HarnessError::Unavailable(error.to_string())),
        () = interrupt.stop.cancelled() => Err(HarnessError::Interrupted),
    }
}
