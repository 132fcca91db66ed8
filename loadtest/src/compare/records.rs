//! From rounds to a record: the facts of a run put beside what it counted. What follows from them is for
//! `measure::judge`.

use std::collections::BTreeMap;

use chrono::Utc;
use load::LoadModel;
use measure::{
    judge::{Ending, Question},
    record::{self, Ablated, Model, Record, Round, SCHEMA_VERSION, Server, Verdict, WorkloadId},
    targets::TargetSpec,
};
use stack::ServerInfo;

use super::{Plan, Purpose};
use crate::{error::HarnessError, machine, servers::Servers};

/// Servers by name.
pub(crate) type ServerFacts = BTreeMap<String, Server>;

/// What the record keeps of the servers.
pub(crate) fn servers(servers: &Servers) -> ServerFacts {
    let of_stack = servers.stack.infos();
    let of_stack = of_stack.map(|(name, info)| (name.to_string(), server(info)));
    of_stack.chain(servers.own_facts()).collect()
}

fn server(info: &ServerInfo) -> Server {
    Server {
        provider: info.provider.to_string(),
        version: info.version.clone(),
        settings: info.settings.clone(),
        note: info.note.clone(),
    }
}

/// The record of a measurement that nobody has judged yet.
pub(crate) fn unjudged(plan: &Plan, id: &str, servers: ServerFacts, rounds: Vec<Round>) -> Record {
    Record {
        schema_version: SCHEMA_VERSION,
        purpose: match plan.purpose {
            Purpose::Report(_) => record::Purpose::Report,
            Purpose::Gate(_) => record::Purpose::Gate,
            Purpose::Ablation { .. } => record::Purpose::Ablation,
            Purpose::Capacity(_) => record::Purpose::Capacity,
        },
        id: id.to_owned(),
        created_at: Utc::now(),
        command: plan.command.clone(),
        tool: machine::tool(),
        machine: machine::describe(),
        stack: servers,
        workload: workload_id(plan),
        subjects: plan.subjects.iter().map(crate::subject::Subject::to_record).collect(),
        rounds,
        ablation: ablated(plan),
        exit_code: Verdict::default().exit_code(),
        verdict_reason: "nobody has judged it: the harness still measures, or was killed".to_owned(),
        ..Record::default()
    }
}

/// Judges a record that was just measured. One of a run that ended early is judged by that alone; its figures are kept.
pub(crate) fn conclude(
    mut record: Record,
    targets: &[TargetSpec],
    failure: Option<&HarnessError>,
) -> Result<Record, HarnessError> {
    let question = Question {
        targets: Some(targets),
        ending: failure.map_or(Ending::Complete, HarnessError::ending),
        ..Question::default()
    };
    measure::judge::judge(&mut record, &question).map_err(HarnessError::internal)?;
    Ok(record)
}

/// What each subject of an ablation lacks.
fn ablated(plan: &Plan) -> Vec<Ablated> {
    let Purpose::Ablation { features, .. } = &plan.purpose else {
        return Vec::new();
    };
    let without = plan.subjects.iter().skip(1);
    features
        .iter()
        .zip(without)
        .map(|(feature, subject)| Ablated {
            feature: feature.name.clone(),
            what: feature.what.clone(),
            subject: subject.name.clone(),
            off: feature.off.clone(),
        })
        .collect()
}

fn workload_id(plan: &Plan) -> WorkloadId {
    let (workload, model) = (&plan.workload, plan.model());
    WorkloadId {
        name: workload.name.clone(),
        sha256: workload.sha256.clone(),
        seed: plan.seed,
        shard: plan.shard,
        model: model.kind(),
        users: match &model {
            LoadModel::Closed(closed) => Some(closed.users),
            LoadModel::Open(_) => None,
        },
        rate_per_s: model.requests_per_s(workload, plan.schedule.measure_s),
        arrivals: model.arrivals(),
        sessions: model.has_sessions(),
        stretches: model.stretches(plan.schedule.measure_s),
        think_time_mean_ms: (model.kind() == Model::Closed).then(|| workload.mean_think_ms()),
        warm_up_s: plan.schedule.warm_up_s,
        measure_s: plan.schedule.measure_s,
        drain_s: plan.schedule.drain_s,
        blocks: plan.schedule.blocks,
        requests: plan.requests,
    }
}
