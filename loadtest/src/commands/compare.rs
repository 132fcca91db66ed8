//! `loadtest compare`: the same load on two subjects in alternation, or on one with each of its features switched off
//! in turn.

use std::path::PathBuf;

use clap::Args;
use load::{LoadModel, Wanted};
use measure::record::Model;
use scenarios::Ablation;

use super::session::{self, Session};
use crate::{
    arguments::LoadArgs,
    compare::Plan,
    error::HarnessError,
    subject::{Subject, SubjectSpec, Variable},
};

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

The report is target/loadtest/latest/report.html; the record beside it keeps every histogram.")]
pub(crate) struct CompareArgs {
    /// Subject to compare against, e.g. profile:phase1 (profile:NAME, git:REV[:PROFILE], bin:PATH[:PROFILE] or
    /// url:http://HOST)
    #[arg(value_name = "BEFORE")]
    before: SubjectSpec,
    /// Subject to judge, e.g. profile:phase2
    #[arg(value_name = "AFTER", required_unless_present = "ablate")]
    after: Option<SubjectSpec>,
    /// Switch each feature of BEFORE off in turn, and say what it buys; FILE names the features and their variables
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "scenarios/ablations/phase2.toml",
        conflicts_with_all = ["after", "targets", "after_env"]
    )]
    ablate: Option<PathBuf>,
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
    let ablation = arguments.ablate.as_deref().map(Ablation::load);
    let ablation = ablation.transpose().map_err(HarnessError::usage)?;
    let (workload, targets) = session::inputs(load)?;
    let model = LoadModel::choose(&workload, wanted(arguments)).map_err(HarnessError::Usage)?;
    let session = Session::open(&load.place)?;
    let subjects = subjects(arguments, &session).await?;
    let is_gate = subjects.len() == 2 && model.kind() == Model::Open;
    if is_gate && load.shard.is_some() {
        return Err(HarnessError::Usage(
            "--shard: a gate's slices belong to one generator; give --model closed, or leave it out".to_owned(),
        ));
    }
    let plan = Plan::new(workload, model, subjects, load);
    let plan = match ablation {
        Some(ablation) => session.outlasting_timeouts(plan.into_ablation(ablation.features)?),
        None if is_gate => plan.into_gate(load)?,
        None => session.outlasting_timeouts(plan),
    };
    session.execute(&plan, &targets).await
}

/// Revisions are compared to find small regressions: the open model, unless something speaks for the closed one.
fn wanted(arguments: &CompareArgs) -> Wanted {
    let wanted = arguments.load.wanted();
    let is_revision = |spec: &SubjectSpec| matches!(spec, SubjectSpec::Git { .. });
    let revisions = is_revision(&arguments.before) && arguments.after.as_ref().is_some_and(is_revision);
    let default = (revisions && wanted.users.is_none()).then_some(Model::Open);
    Wanted {
        model: wanted.model.or(default),
        ..wanted
    }
}

/// The subjects, each with the variables that are given for it.
async fn subjects(arguments: &CompareArgs, session: &Session<'_>) -> Result<Vec<Subject>, HarnessError> {
    let specs: Vec<SubjectSpec> = std::iter::once(&arguments.before)
        .chain(&arguments.after)
        .cloned()
        .collect();
    let found = session.subjects(&specs).await?.into_iter();
    found
        .zip([&arguments.before_env, &arguments.after_env])
        .map(|(subject, variables)| subject.with_variables(variables))
        .collect()
}
