//! `loadtest compare`: the same load on two subjects in alternation, or on one with each of its features switched off
//! in turn.

use std::path::PathBuf;

use clap::Args;
use load::{LoadModel, Wanted};
use measure::record::Model;
use scenarios::{Ablation, Workload};

use super::session::{self, Session};
use crate::{
    arguments::LoadArgs,
    compare::Plan,
    error::HarnessError,
    request::Addressed,
    subject::{Subject, SubjectSpec, Variable},
};

/// Without a workload file: fewer give no interval.
const BLOCKS: u32 = 5;

/// Drive the same load at two subjects in alternation, judge the targets and the difference, write the report
#[derive(Debug, Args)]
#[command(after_help = "\
Example: the reference service before and after, short settings
  loadtest compare --quick --workload scenarios/workloads/phase2-mix.toml \\
    --targets scenarios/targets/phase2.toml profile:phase1 profile:phase2

Example: a small regression between two builds (a gate, some 12 minutes; docs/RUNNING.md)
  loadtest compare --model open --workload scenarios/workloads/gate.toml git:main git:HEAD

Example: what each feature of phase2 buys
  loadtest compare --ablate --workload scenarios/workloads/phase2-mix.toml profile:phase2

Example: one request to two services that are up, 50 users
  loadtest compare http://127.0.0.1:8001/items http://127.0.0.1:8002/items --users 50 --for 20s

The report is target/loadtest/latest/report.html; the record beside it keeps every histogram.")]
pub(crate) struct CompareArgs {
    /// Subject to compare against, e.g. profile:phase1 (profile:NAME, git:REV[:PROFILE], bin:PATH[:PROFILE] or
    /// url:http://HOST), or the URL of a request to a service that is up
    #[arg(value_name = "BEFORE")]
    before: Addressed,
    /// Subject to judge, e.g. profile:phase2
    #[arg(value_name = "AFTER", required_unless_present = "ablate")]
    after: Option<Addressed>,
    /// Switch each feature of BEFORE off in turn, and say what it buys; FILE names the features and their variables
    /// [default: those of the subject file]
    #[expect(clippy::option_option, reason = "the option without its value is a third case")]
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        conflicts_with_all = ["after", "targets", "after_env"]
    )]
    ablate: Option<Option<PathBuf>>,
    /// A variable for BEFORE (with --ablate, for every subject); may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    before_env: Vec<Variable>,
    /// A variable for AFTER; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    after_env: Vec<Variable>,
    #[command(flatten)]
    load: LoadArgs,
}

/// The exit code of the verdict on the second of two subjects, or of an ablation of one. Two subjects under the open
/// model are a gate.
pub(super) async fn compare(arguments: &CompareArgs) -> Result<u8, HarnessError> {
    let load = &arguments.load;
    let named = arguments
        .ablate
        .iter()
        .flatten()
        .next()
        .map(|file| Ablation::load(file));
    let named = named.transpose().map_err(HarnessError::usage)?;
    let (workload, targets) = session::inputs(load, path(arguments)?, BLOCKS)?;
    let model = LoadModel::choose(&workload, wanted(arguments)).map_err(HarnessError::Usage)?;
    let session = Session::open(&load.place, load.workload.as_deref())?;
    let features = match (named, &arguments.ablate) {
        (Some(file), _) => Some(file.features),
        (None, Some(_)) => Some(session.features()?),
        (None, None) => None,
    };
    let subjects = subjects(arguments, &session, &workload).await?;
    let is_gate = subjects.len() == 2 && model.kind() == Model::Open;
    if is_gate && load.shard.is_some() {
        return Err(HarnessError::Usage(
            "--shard: a gate's slices belong to one generator; give --model closed, or leave it out".to_owned(),
        ));
    }
    if is_gate && !workload.streams.is_empty() {
        return Err(HarnessError::Usage(
            "[websocket]: a gate watches no live streams; give --model closed, or a workload without them".to_owned(),
        ));
    }
    if is_gate && !workload.topics.is_empty() {
        return Err(HarnessError::Usage(
            "[kafka]: a gate watches no topics; give --model closed, or a workload without them".to_owned(),
        ));
    }
    let plan = Plan::new(workload, model, subjects, load);
    let plan = match features {
        Some(features) => session.outlasting_timeouts(plan.into_ablation(features)?),
        None if is_gate => plan.into_gate(load)?,
        None => session.outlasting_timeouts(plan),
    };
    session.execute(&plan, &targets).await
}

/// The path of the addresses, which is that of the one request.
fn path(arguments: &CompareArgs) -> Result<Option<&str>, HarnessError> {
    let before = arguments.before.path.as_deref();
    let after = arguments.after.as_ref().and_then(|after| after.path.as_deref());
    match (before, after) {
        (Some(before), Some(after)) if before != after => Err(HarnessError::Usage(format!(
            "{before} and {after} are two requests: a comparison sends the same one to both"
        ))),
        (before, after) => Ok(before.or(after)),
    }
}

/// Revisions are compared to find small regressions: the open model, unless something speaks for the closed one.
fn wanted(arguments: &CompareArgs) -> Wanted {
    let wanted = arguments.load.wanted();
    let is_revision = |subject: &Addressed| matches!(subject.spec, SubjectSpec::Git { .. });
    let revisions = is_revision(&arguments.before) && arguments.after.as_ref().is_some_and(is_revision);
    let default = (revisions && wanted.users.is_none()).then_some(Model::Open);
    Wanted {
        model: wanted.model.or(default),
        ..wanted
    }
}

/// The subjects, each with the variables that are given for it.
async fn subjects(
    arguments: &CompareArgs,
    session: &Session<'_>,
    workload: &Workload,
) -> Result<Vec<Subject>, HarnessError> {
    let specs: Vec<SubjectSpec> = std::iter::once(&arguments.before)
        .chain(&arguments.after)
        .map(|subject| subject.spec.clone())
        .collect();
    let found = session.subjects(&specs, workload).await?.into_iter();
    found
        .zip([&arguments.before_env, &arguments.after_env])
        .map(|(subject, variables)| subject.with_variables(variables))
        .collect()
}
