//! Adding the rounds of several generators, each to its counterpart.

use std::collections::BTreeMap;

use super::{
    Arrivals, Consistency, EndpointCounts, LatencyHistogram, MAX_STALE_EXAMPLES, MergeError, Phase, Record, Round,
    Slice, SliceHistogram,
};
use crate::figures::us_to_ms;
use crate::histogram::HistogramError;
use crate::metrics::describe;
use crate::record::{Connections, FailureGroup, Flow, Hops, Pulse, Stream, Topic, TopicEffects, TopicProduced};

/// The rounds of all records, which are known to be alike.
pub(super) fn merge_all(records: &[Record]) -> Result<Vec<Round>, MergeError> {
    let mut merged = records[0].rounds.clone();
    for (index, sum) in merged.iter_mut().enumerate() {
        sum.probes.retain(|name, _| !describe(name).is_per_request());
        sum.ratios.retain(|name, _| !describe(name).is_per_request());
        for record in &records[1..] {
            together(&records[0], record, sum, &record.rounds[index])?;
            add(sum, &record.rounds[index]).map_err(|(place, source)| MergeError::Histogram {
                id: record.id.clone(),
                place: format!("block {}, subject {}, {place}", sum.block, sum.subject),
                source,
            })?;
        }
    }
    Ok(merged)
}

/// Share of what was measured in which two generators must have driven their load together.
const TOGETHER: f64 = 0.95;

/// Refuses rounds that did not load the subject together, or whose phases and seconds are cut differently.
fn together(first: &Record, record: &Record, sum: &Round, other: &Round) -> Result<(), MergeError> {
    let unlike = |what: String| MergeError::Unlike {
        first: first.id.clone(),
        id: record.id.clone(),
        what: format!("block {}, subject {}: {what}", sum.block, sum.subject),
    };
    let (one, another) = (measured_span(sum), measured_span(other));
    let shared_ms = (one.1.min(another.1) - one.0.max(another.0)).max(0);
    let longer_ms = (one.1 - one.0).max(another.1 - another.0);
    if (shared_ms as f64) < TOGETHER * longer_ms as f64 {
        return Err(unlike(format!(
            "its measured phase shares {shared_ms} ms of {longer_ms} ms with the other, at least {:.0} % must be \
             measured at the same time: start the generators together",
            100.0 * TOGETHER
        )));
    }
    let phases = |round: &Round| round.phases.iter().map(|phase| phase.name.clone()).collect::<Vec<_>>();
    if phases(sum) != phases(other) || sum.slices.len() != other.slices.len() {
        return Err(unlike(
            "it was cut into other phases or seconds, one of them was stopped early".to_owned(),
        ));
    }
    if sum
        .slices
        .iter()
        .chain(&other.slices)
        .any(|slice| slice.hdr.is_none() && slice.count > 0)
    {
        return Err(unlike(
            "its seconds hold no histograms (written by an older build)".to_owned(),
        ));
    }
    Ok(())
}

/// Beginning and end of a round's measured phase, milliseconds since the epoch.
fn measured_span(round: &Round) -> (i64, i64) {
    let start_ms = round.started_at.timestamp_millis();
    let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    crate::rounds::measured_phase(round).map_or((start_ms, start_ms), |phase| {
        (start_ms + ms(phase.start_ms), start_ms + ms(phase.end_ms))
    })
}

/// Where a histogram was unreadable, and why.
pub(crate) type Unreadable = (String, HistogramError);

fn add(sum: &mut Round, other: &Round) -> Result<(), Unreadable> {
    for (sum, phase) in sum.phases.iter_mut().zip(&other.phases) {
        add_phase(sum, phase)?;
    }
    for (sum, slice) in sum.slices.iter_mut().zip(&other.slices) {
        add_slice(sum, slice).map_err(|source| (format!("second at {} ms", slice.start_ms), source))?;
    }
    for name in &other.resets {
        if !sum.resets.contains(name) {
            sum.resets.push(name.clone());
        }
    }
    for (name, value) in &other.probes {
        if describe(name).is_of_generator() {
            let worst = sum.probes.entry(name.clone()).or_insert(*value);
            *worst = worst.max(*value);
        }
    }
    for (name, stream) in &other.streams {
        let into = sum.streams.entry(name.clone()).or_insert_with(|| Stream {
            messages: empty(&stream.messages),
            ..Stream::default()
        });
        add_stream(into, stream).map_err(|source| (format!("messages of {name}"), source))?;
    }
    for (name, topic) in &other.topics {
        let into = sum.topics.entry(name.clone()).or_default();
        add_topic(into, topic).map_err(|source| (format!("records of {name}"), source))?;
    }
    FailureGroup::merge(&mut sum.failures, &other.failures);
    match (&mut sum.consistency, &other.consistency) {
        (Some(sum), Some(other)) => {
            add_consistency(sum, other).map_err(|source| ("propagation times".to_owned(), source))?;
        }
        (sum @ None, Some(other)) => *sum = Some(other.clone()),
        (_, None) => (),
    }
    Ok(())
}

pub(crate) fn add_phase(sum: &mut Phase, other: &Phase) -> Result<(), Unreadable> {
    for (name, counts) in &other.endpoints {
        let into = sum.endpoints.entry(name.clone()).or_insert_with(|| empty(counts));
        add_counts(into, counts).map_err(|source| (format!("{} of {name}", other.name), source))?;
    }
    match (&mut sum.arrivals, &other.arrivals) {
        (Some(sum), Some(other)) => {
            add_arrivals(sum, other).map_err(|source| ("send lateness".to_owned(), source))?;
        }
        (sum, _) => *sum = None,
    }
    match (&mut sum.connections, &other.connections) {
        (Some(sum), Some(other)) => {
            add_connections(sum, other).map_err(|source| ("connections".to_owned(), source))?;
        }
        (sum, _) => *sum = None,
    }
    for (name, hops) in &other.hops {
        add_hops(sum.hops.entry(name.clone()).or_default(), hops)
            .map_err(|source| (format!("hops of {name}"), source))?;
    }
    sum.flow = both(sum.flow.take(), other.flow.as_ref(), Flow::merge);
    sum.pulse = both(sum.pulse.take(), other.pulse.as_ref(), Pulse::merge);
    Ok(())
}

/// The sum where both sides counted; half a sum would be worse than none.
fn both<T>(sum: Option<T>, other: Option<&T>, merge: impl FnOnce(&mut T, &T)) -> Option<T> {
    let (mut sum, other) = (sum?, other?);
    merge(&mut sum, other);
    Some(sum)
}

/// Counts of an endpoint that the first generator never called in this phase.
fn empty(like: &EndpointCounts) -> EndpointCounts {
    let none = LatencyHistogram::new().encode();
    EndpointCounts {
        service_hdr: like.service_hdr.as_ref().map(|_| none.clone()),
        hdr: none,
        ..EndpointCounts::default()
    }
}

fn add_counts(sum: &mut EndpointCounts, other: &EndpointCounts) -> Result<(), HistogramError> {
    sum.count += other.count;
    sum.errors += other.errors;
    sum.censored += other.censored;
    sum.failures.merge(&other.failures);
    sum.repeated += other.repeated;
    sum.bytes += other.bytes;
    sum.compressed_bytes += other.compressed_bytes;
    sum.content_bytes += other.content_bytes;
    sum.hdr = added(&sum.hdr, &other.hdr)?;
    if let (Some(sum), Some(other)) = (&mut sum.service_hdr, &other.service_hdr) {
        *sum = added(sum, other)?;
    }
    Ok(())
}

fn add_stream(sum: &mut Stream, other: &Stream) -> Result<(), HistogramError> {
    sum.clients += other.clients;
    sum.owed += other.owed;
    sum.missed += other.missed;
    sum.doubled += other.doubled;
    sum.reordered += other.reordered;
    sum.unexplained += other.unexplained;
    sum.not_kept += other.not_kept;
    sum.came_back += other.came_back;
    add_reasons(&mut sum.reasons, &other.reasons);
    add_counts(&mut sum.messages, &other.messages)
}

/// Generators of one load watch the same topic and the same group, each for its own writes.
fn add_topic(sum: &mut Topic, other: &Topic) -> Result<(), HistogramError> {
    sum.partitions = sum.partitions.max(other.partitions);
    sum.owed += other.owed;
    sum.missed += other.missed;
    sum.doubled += other.doubled;
    sum.reordered += other.reordered;
    sum.unexplained += other.unexplained;
    sum.not_kept += other.not_kept;
    sum.offset_lag_max = sum.offset_lag_max.max(other.offset_lag_max);
    add_reasons(&mut sum.reasons, &other.reasons);
    if let Some(records) = &other.records {
        add_counts(sum.records.get_or_insert_with(|| empty(records)), records)?;
    }
    if let Some(effects) = &other.effects {
        let into = sum.effects.get_or_insert_with(|| TopicEffects {
            commits: empty(&effects.commits),
            ..TopicEffects::default()
        });
        into.owed += effects.owed;
        into.missed += effects.missed;
        add_counts(&mut into.commits, &effects.commits)?;
    }
    if let Some(produced) = &other.produced {
        let into = sum.produced.get_or_insert_with(|| TopicProduced {
            acknowledgements: empty(&produced.acknowledgements),
            ..TopicProduced::default()
        });
        into.not_sent += produced.not_sent;
        add_counts(&mut into.acknowledgements, &produced.acknowledgements)?;
    }
    if let Some(backlog) = &other.backlog {
        sum.backlog.get_or_insert_default().join(backlog);
    }
    Ok(())
}

fn add_reasons(sum: &mut BTreeMap<String, u64>, other: &BTreeMap<String, u64>) {
    for (why, count) in other {
        *sum.entry(why.clone()).or_default() += count;
    }
}

fn added(one: &str, other: &str) -> Result<String, HistogramError> {
    let mut sum = LatencyHistogram::decode(one)?;
    sum.merge(&LatencyHistogram::decode(other)?);
    Ok(sum.encode())
}

fn add_arrivals(sum: &mut Arrivals, other: &Arrivals) -> Result<(), HistogramError> {
    sum.intended += other.intended;
    sum.sent += other.sent;
    sum.late += other.late;
    sum.dropped += other.dropped;
    sum.lateness_hdr = added(&sum.lateness_hdr, &other.lateness_hdr)?;
    Ok(())
}

fn add_hops(sum: &mut Hops, other: &Hops) -> Result<(), HistogramError> {
    sum.count += other.count;
    let mut times = SliceHistogram::decode(&other.hdr)?;
    if !sum.hdr.is_empty() {
        times.merge(&SliceHistogram::decode(&sum.hdr)?);
    }
    sum.hdr = times.encode();
    Ok(())
}

fn add_connections(sum: &mut Connections, other: &Connections) -> Result<(), HistogramError> {
    sum.opened += other.opened;
    sum.full_handshakes += other.full_handshakes;
    sum.resumed_handshakes += other.resumed_handshakes;
    sum.stream_waits += other.stream_waits;
    for (sum, other) in [
        (&mut sum.connect_hdr, &other.connect_hdr),
        (&mut sum.full_handshake_hdr, &other.full_handshake_hdr),
        (&mut sum.resumed_handshake_hdr, &other.resumed_handshake_hdr),
        (&mut sum.stream_wait_hdr, &other.stream_wait_hdr),
    ] {
        let Some(another) = other else { continue };
        let mut times = SliceHistogram::decode(another)?;
        if let Some(one) = sum.as_deref() {
            times.merge(&SliceHistogram::decode(one)?);
        }
        *sum = Some(times.encode());
    }
    Ok(())
}

/// The lateness of a second is kept as a percentile only, which does not merge: the phase has its histogram.
fn add_slice(sum: &mut Slice, other: &Slice) -> Result<(), HistogramError> {
    sum.count += other.count;
    sum.errors += other.errors;
    for (endpoint, failures) in &other.failures {
        sum.failures.entry(endpoint.clone()).or_default().merge(failures);
    }
    sum.lateness_p99_ms = None;
    if let (Some(one), Some(another)) = (&sum.hdr, &other.hdr) {
        let mut times = SliceHistogram::decode(one)?;
        times.merge(&SliceHistogram::decode(another)?);
        sum.p50_ms = times.quantile_us(0.5).map(us_to_ms);
        sum.p95_ms = times.quantile_us(0.95).map(us_to_ms);
        sum.hdr = Some(times.encode());
    }
    Ok(())
}

fn add_consistency(sum: &mut Consistency, other: &Consistency) -> Result<(), HistogramError> {
    sum.bound_ms = sum.bound_ms.max(other.bound_ms);
    sum.reads += other.reads;
    sum.writes += other.writes;
    sum.stale_reads += other.stale_reads;
    let room = MAX_STALE_EXAMPLES.saturating_sub(sum.examples.len());
    sum.examples.extend(other.examples.iter().take(room).cloned());
    sum.propagation_hdr = added(&sum.propagation_hdr, &other.propagation_hdr)?;
    Ok(())
}
