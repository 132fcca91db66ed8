//! `loadtest compare`: the same load on two subjects in alternation, judged and drawn.

use std::path::PathBuf;

use scenarios::{Targets, Workload};
use stack::{Stack, StackOptions};

use crate::{
    cli::CompareArgs,
    compare::{
        Plan,
        judge::{self, Judged},
        output::OutputDir,
        run::Run,
    },
    error::HarnessError,
    interrupt::Interrupt,
    progress::Progress,
    subject::Subject,
};

/// The exit code of the verdict. Input files and subjects are checked before any server starts.
pub(super) async fn compare(arguments: &CompareArgs) -> Result<u8, HarnessError> {
    let workload = Workload::load(&arguments.workload).map_err(|error| HarnessError::Usage(error.to_string()))?;
    let targets = load_targets(arguments, &workload)?;
    let specs = [arguments.before.clone(), arguments.after.clone()];
    let subjects = Subject::resolve_all(&specs, arguments.service.as_deref())?;
    let options = stack_options(arguments)?;
    let interrupt = Interrupt::install()?;
    let progress = Progress::new();
    let out = OutputDir::create(arguments.out.as_deref())?;
    let plan = Plan::new(workload, subjects, arguments);
    progress.line(&plan.announcement());

    let stack = start_stack(&options, &progress, &interrupt).await?;
    let servers = judge::servers(&stack);
    let mut run = Run::new(&plan, &stack, &out, &progress, &interrupt);
    let outcome = run.execute().await;
    let rounds = run.into_rounds();
    let stopped = stack.stop().await.map_err(HarnessError::internal);
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

fn load_targets(arguments: &CompareArgs, workload: &Workload) -> Result<Option<Targets>, HarnessError> {
    let load = |file: &PathBuf| Targets::load(file, &workload.endpoint_names());
    arguments
        .targets
        .as_ref()
        .map(load)
        .transpose()
        .map_err(|error| HarnessError::Usage(error.to_string()))
}

fn stack_options(arguments: &CompareArgs) -> Result<StackOptions, HarnessError> {
    let usage = |error: stack::StackError| HarnessError::Usage(error.to_string());
    let mut options = StackOptions::from_env().map_err(usage)?;
    options.choice = arguments.stack.parse().map_err(usage)?;
    options.postgres_bin.clone_from(&arguments.postgres_bin);
    Ok(options)
}

/// An interrupt while the servers start drops what is up already, which stops it.
async fn start_stack(
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
