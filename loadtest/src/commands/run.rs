//! `loadtest run`: load on one subject, judged and drawn.

use clap::Args;
use load::LoadModel;

use super::session::{self, Session};
use crate::{arguments::LoadArgs, compare::Plan, error::HarnessError, request::Addressed, subject::SubjectSpec};

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
    /// A request to a service that is up, instead of --subject and --workload
    #[arg(value_name = "URL", conflicts_with_all = ["subject", "workload"])]
    url: Option<Addressed>,
    /// What to measure: url:http://HOST for a service that is up; profile:NAME, git:REV[:PROFILE] or bin:PATH[:PROFILE]
    /// for one to start
    #[arg(long, value_name = "SUBJECT", alias = "target", required_unless_present = "url")]
    subject: Option<SubjectSpec>,
    #[command(flatten)]
    load: LoadArgs,
}

/// Without a workload file: a single launch, whose seconds are looked at in five parts.
const BLOCKS: u32 = 1;

/// The exit code of the verdict on one subject.
pub(super) async fn run(arguments: &RunArgs) -> Result<u8, HarnessError> {
    let load = &arguments.load;
    let path = arguments.url.as_ref().and_then(|url| url.path.as_deref());
    let (workload, targets) = session::inputs(load, path, BLOCKS)?;
    let model = LoadModel::choose(&workload, load.wanted()).map_err(HarnessError::Usage)?;
    let session = Session::open(&load.place, load.workload.as_deref())?;
    let subjects: Vec<SubjectSpec> = arguments
        .subject
        .iter()
        .chain(arguments.url.as_ref().map(|url| &url.spec))
        .cloned()
        .collect();
    let subjects = session.subjects(&subjects, &workload).await?;
    let plan = Plan::new(workload, model, subjects, load);
    let plan = session.outlasting_timeouts(plan);
    session.execute(&plan, &targets).await
}
