//! `loadtest run`: load on one subject, judged and drawn.

use clap::Args;
use load::LoadModel;

use super::session::{self, Session};
use crate::{
    arguments::{LoadArgs, SubjectArgs},
    compare::Plan,
    error::HarnessError,
};

/// Drive load at one subject, judge its targets, write the report
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  a service that is up, without any file: 200 requests a second for half a minute
    loadtest run http://127.0.0.1:8000/items --rate 200 --for 30s --p95-ms 20
  a service that is already up, with nothing but a workload file, 200 requests a second
    loadtest run --workload shop.toml --subject url:http://127.0.0.1:8000 --rate 200
  a service that is started as its subject file says
    loadtest run --service service.toml --workload shop.toml --subject git:HEAD
  the reference service, started with the servers it needs
    loadtest run --workload scenarios/workloads/phase2-mix.toml --subject profile:phase2 --quick

docs/WORKLOADS.md describes workload files, docs/RUNNING.md both load models.")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    measured: SubjectArgs,
    #[command(flatten)]
    load: LoadArgs,
}

/// Without a workload file: a single launch, whose seconds are looked at in five parts.
const BLOCKS: u32 = 1;

/// The exit code of the verdict on one subject.
pub(super) async fn run(arguments: &RunArgs) -> Result<u8, HarnessError> {
    let load = &arguments.load;
    let (workload, targets) = session::inputs(load, arguments.measured.path(), BLOCKS)?;
    let model = LoadModel::choose(&workload, load.wanted()).map_err(HarnessError::Usage)?;
    let session = Session::open(&load.place, load.workload.as_deref())?;
    let subjects = session.subjects(arguments.measured.subject(), &workload).await?;
    let plan = Plan::new(workload, model, subjects, load);
    let plan = session.outlasting_timeouts(plan);
    session.execute(&plan, &targets).await
}
