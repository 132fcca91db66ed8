//! Live streams of a round: their clients connect before the load, and what they were shown goes into the record.

use std::collections::BTreeMap;

use load::{Account, LoadError, StreamReport, Target, Watched};
use measure::{metrics, record::Stream, rounds::Measured};
use scenarios::Vars;

use super::{
    MEASURED,
    plan::{Plan, PlannedLaunch},
};

/// Connects the clients of all live streams of the workload.
///
/// # Errors
/// When one of them cannot connect or subscribe: the subject's fault.
pub(super) async fn connect(
    plan: &Plan,
    target: &Target,
    globals: &Vars,
    launch: PlannedLaunch,
) -> Result<Vec<Watched>, LoadError> {
    let mut connected = Vec::new();
    for stream in &plan.workload.streams {
        let with = (target, globals, plan.block_seed(launch.block));
        connected.push(Watched::connect(&plan.workload, stream, with).await?);
    }
    Ok(connected)
}

/// By name, as they stand in a record.
pub(super) fn to_record(streams: Vec<StreamReport>) -> BTreeMap<String, Stream> {
    let streams = streams.into_iter();
    streams
        .map(|mut report| (std::mem::take(&mut report.name), stream(report)))
        .collect()
}

fn stream(mut report: StreamReport) -> Stream {
    let account = report.account;
    Stream {
        clients: report.clients as u64,
        messages: report.phases.swap_remove(MEASURED),
        owed: account.owed,
        missed: account.missed,
        doubled: account.doubled,
        reordered: account.reordered,
        unexplained: account.unexplained,
        not_kept: account.not_kept,
        came_back: report.came_back,
        reasons: report.reasons,
    }
}

/// Metrics over all streams of a round; none where there is no stream.
pub(super) fn metrics_of(streams: &[StreamReport]) -> BTreeMap<String, f64> {
    if streams.is_empty() {
        return BTreeMap::new();
    }
    let sum =
        |count: fn(&Account) -> u64| Some(streams.iter().map(|stream| count(&stream.account)).sum::<u64>() as f64);
    let metrics = [
        (&metrics::WS_LATENCY_P95_MS, p95_ms(streams)),
        (&metrics::WS_MISSED_MESSAGES, sum(|account| account.missed)),
        (&metrics::WS_DOUBLED_MESSAGES, sum(|account| account.doubled)),
        (&metrics::WS_REORDERED_MESSAGES, sum(|account| account.reordered)),
    ];
    let known = metrics.into_iter();
    known
        .filter_map(|(metric, value)| Some((metric.key(), value?)))
        .collect()
}

/// 95th percentile of the times of all messages; what failed is slower than any.
fn p95_ms(streams: &[StreamReport]) -> Option<f64> {
    let mut all = Measured::default();
    for stream in streams {
        all.merge(&Measured::decode(&stream.phases[MEASURED]).ok()?);
    }
    Some(all.judged().quantile_us(0.95)? as f64 / 1e3)
}
