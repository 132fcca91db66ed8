//! Looking things up in a record, in the order in which reports show them.

use std::collections::BTreeSet;

use measure::record::{
    ALL_ENDPOINTS, ArrivalSummary, Comparison, ConsistencySummary, EndpointSummary, Limit, MetricSummary, Model,
    Record, Subject, TargetResult, TargetVerdict, WorkloadId,
};

use crate::format;
use crate::metrics::{self, HIT_RATIO, P95, QUERIES_PER_REQUEST};
use crate::words;

/// In what order targets are shown: what needs a look first, what nobody measured last.
pub(crate) const TARGET_ORDER: [TargetVerdict; 4] = [
    TargetVerdict::Fail,
    TargetVerdict::Inconclusive,
    TargetVerdict::Pass,
    TargetVerdict::NotMeasured,
];

/// A record, read by a report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    /// What is shown.
    pub(crate) record: &'a Record,
}

/// One figure of the headline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Headline {
    /// What it is.
    pub(crate) label: &'static str,
    /// The figure; none when it was not measured.
    pub(crate) value: Option<String>,
    /// What stands beside it; may be empty.
    pub(crate) note: String,
}

impl<'a> View<'a> {
    /// Every subject, the one compared against first.
    pub(crate) fn subjects(self) -> &'a [Subject] {
        &self.record.subjects
    }

    /// Every subject with the number of its colour, dashes and shape: a subject alone looks like an "after".
    pub(crate) fn numbered(self) -> impl Iterator<Item = (usize, &'a Subject)> {
        let first = usize::from(self.record.subjects.len() == 1);
        self.record
            .subjects
            .iter()
            .enumerate()
            .map(move |(index, subject)| (index + first, subject))
    }

    /// The subject on which targets are judged.
    pub(crate) fn judged(self) -> Option<&'a Subject> {
        self.record.subjects.last()
    }

    /// `before` or `after`, by number; empty where the word would say nothing.
    pub(crate) fn role(self, number: usize) -> &'static str {
        match (self.record.subjects.len(), number) {
            (2.., 0) => "before",
            (2, 1) => "after",
            _ => "",
        }
    }

    /// Endpoint names over all subjects: the whole mix first, then by name.
    pub(crate) fn endpoints(self) -> Vec<&'a str> {
        let names: BTreeSet<&str> = self
            .record
            .summary
            .values()
            .flat_map(|summary| summary.endpoints.keys().map(String::as_str))
            .collect();
        let whole = names.contains(ALL_ENDPOINTS).then_some(ALL_ENDPOINTS);
        whole
            .into_iter()
            .chain(names.into_iter().filter(|name| *name != ALL_ENDPOINTS))
            .collect()
    }

    /// Figures of one endpoint of one subject.
    pub(crate) fn latency(self, subject: &str, endpoint: &str) -> Option<&'a EndpointSummary> {
        self.record.summary.get(subject)?.endpoints.get(endpoint)
    }

    /// Figures of the whole mix; none without answers.
    fn answered(self, subject: &str) -> Option<&'a EndpointSummary> {
        self.latency(subject, ALL_ENDPOINTS)
            .filter(|latency| latency.count > 0 && latency.p95_ms.is_finite())
    }

    /// One metric of one subject.
    pub(crate) fn metric(self, subject: &str, metric: &str) -> Option<&'a MetricSummary> {
        self.record.summary.get(subject)?.metrics.get(metric)
    }

    /// Arrivals of one subject; none in the closed model.
    pub(crate) fn arrivals(self, subject: &str) -> Option<&'a ArrivalSummary> {
        self.record.summary.get(subject)?.arrivals.as_ref()
    }

    /// What following versions found for one subject.
    pub(crate) fn consistency(self, subject: &str) -> Option<&'a ConsistencySummary> {
        self.record.summary.get(subject)?.consistency.as_ref()
    }

    /// Names of the metrics that any round has over time, by name.
    pub(crate) fn series_names(self) -> Vec<&'a str> {
        let names: BTreeSet<&str> = self
            .record
            .rounds
            .iter()
            .flat_map(|round| round.series.iter().map(|series| series.metric.as_str()))
            .collect();
        names.into_iter().collect()
    }

    /// Names of the metrics over all subjects: the usual ones first (whether measured or not), then by name.
    pub(crate) fn metrics(self) -> Vec<&'a str> {
        let seen: BTreeSet<&str> = self
            .record
            .summary
            .values()
            .flat_map(|summary| summary.metrics.keys().map(String::as_str))
            .collect();
        let others = seen.into_iter().filter(|name| !metrics::RESOURCES.contains(name));
        metrics::RESOURCES.into_iter().chain(others).collect()
    }

    /// How `subject` compares on one endpoint.
    pub(crate) fn comparison(self, family: &str, endpoint: &str, subject: &str) -> Option<&'a Comparison> {
        let fits = |c: &&Comparison| c.family == family && c.endpoint == endpoint && c.after == subject;
        self.record.comparisons.iter().find(fits)
    }

    /// The p95 limits of an endpoint, milliseconds.
    pub(crate) fn p95_limits_ms(self, endpoint: &str) -> Vec<f64> {
        let fits = |target: &&TargetResult| {
            target.metric == P95 && target.endpoint.as_deref().unwrap_or(ALL_ENDPOINTS) == endpoint
        };
        let below = |target: &TargetResult| match target.limit {
            Limit::Below(value) => Some(value),
            Limit::Above(_) | Limit::ReducedBy(_) | Limit::MultipliedBy(_) => None,
        };
        self.record.targets.iter().filter(fits).filter_map(below).collect()
    }

    /// Targets in one state, by priority, then in the order of the file.
    pub(crate) fn targets(self, verdict: TargetVerdict) -> Vec<&'a TargetResult> {
        let mut targets: Vec<_> = self
            .record
            .targets
            .iter()
            .filter(|target| target.verdict == verdict)
            .collect();
        targets.sort_by_key(|target| target.priority);
        targets
    }

    /// How many targets are in which state, e.g. `1 missed, 12 hold`; states without any are left out.
    pub(crate) fn target_counts(self) -> String {
        let counts = TARGET_ORDER.iter().filter_map(|verdict| {
            let count = self.targets(*verdict).len();
            (count > 0).then(|| format!("{count} {}", counted(*verdict, count)))
        });
        counts.collect::<Vec<_>>().join(", ")
    }

    /// What was compared, e.g. `phase1 → phase2`.
    pub(crate) fn compared(self) -> String {
        let names: Vec<&str> = self
            .record
            .subjects
            .iter()
            .map(|subject| subject.name.as_str())
            .collect();
        if names.is_empty() {
            "no subject".to_owned()
        } else {
            names.join(" → ")
        }
    }

    /// How load was driven, as one line.
    pub(crate) fn method(self) -> String {
        method(&self.record.workload)
    }

    /// The figures that stand beside the verdict.
    pub(crate) fn headlines(self) -> Vec<Headline> {
        // A run of one subject compares nothing, which is no lack.
        let speed = (self.record.subjects.len() != 1).then(|| self.speed_headline());
        let used = [self.hit_headline(), self.query_headline(), self.error_headline()];
        std::iter::once(self.p95_headline()).chain(speed).chain(used).collect()
    }

    fn p95_headline(self) -> Headline {
        let values =
            self.per_subject(|view, subject| view.answered(subject).map(|latency| format::number(latency.p95_ms)));
        let interval = self
            .judged()
            .and_then(|subject| self.answered(&subject.name)?.p95_ci_ms);
        let note = interval.map_or(String::new(), |ci| {
            format!("95 % interval {}", format::interval(ci, format::Unit::Milliseconds))
        });
        Headline {
            label: "p95 of all requests",
            value: values.map(|values| format!("{values} ms")),
            note,
        }
    }

    fn speed_headline(self) -> Headline {
        let comparison = self
            .judged()
            .and_then(|subject| self.comparison(words::LATENCY, ALL_ENDPOINTS, &subject.name));
        let note = comparison.map_or(String::new(), |comparison| {
            let bounds = words::ratio_bounds(comparison).map_or(String::new(), |bounds| format!(" ({bounds})"));
            format!("after ÷ before {}{bounds}", format::number(comparison.ratio))
        });
        Headline {
            label: "p95 compared block by block",
            value: comparison.and_then(|comparison| format::speed(comparison.ratio)),
            note,
        }
    }

    fn hit_headline(self) -> Headline {
        self.metric_headline("cache hit ratio", HIT_RATIO)
    }

    fn query_headline(self) -> Headline {
        self.metric_headline("database queries per request", QUERIES_PER_REQUEST)
    }

    /// Before → after where both were measured, the measured ones otherwise.
    fn metric_headline(self, label: &'static str, metric: &str) -> Headline {
        let unit = metrics::describe(metric).unit;
        let value = self.per_subject(|view, subject| {
            view.metric(subject, metric)
                .map(|summary| format::quantity(summary.value, unit))
        });
        let ci = self.judged().and_then(|subject| self.metric(&subject.name, metric)?.ci);
        let note = ci.map_or(String::new(), |ci| {
            format!("95 % interval {}", format::interval(ci, unit))
        });
        Headline { label, value, note }
    }

    fn error_headline(self) -> Headline {
        let value = self.per_subject(|view, subject| {
            view.latency(subject, ALL_ENDPOINTS)
                .map(|latency| format::percent(latency.error_rate))
        });
        let note = self.per_subject(|view, subject| {
            view.latency(subject, ALL_ENDPOINTS)
                .map(|latency| format::count(latency.count))
        });
        let note = note.map_or(String::new(), |counts| format!("{counts} answers as expected"));
        Headline {
            label: "errors",
            value,
            note,
        }
    }

    /// One text per subject that has one, joined by arrows; none when no subject has one.
    fn per_subject(self, text: impl Fn(Self, &str) -> Option<String>) -> Option<String> {
        let texts: Vec<String> = self
            .record
            .subjects
            .iter()
            .filter_map(|subject| text(self, &subject.name))
            .collect();
        (!texts.is_empty()).then(|| texts.join(" → "))
    }
}

/// Name of an endpoint for people.
pub(crate) fn endpoint_title(endpoint: &str) -> &str {
    if endpoint == ALL_ENDPOINTS {
        "all requests"
    } else {
        endpoint
    }
}

/// The word behind a number of targets.
pub(crate) fn counted(verdict: TargetVerdict, count: usize) -> &'static str {
    match (verdict, count) {
        (TargetVerdict::Pass, 2..) => "hold",
        _ => words::target(verdict).text,
    }
}

/// How the arrivals come, in front of their rate.
fn process(workload: &WorkloadId) -> String {
    workload
        .arrivals
        .as_ref()
        .map_or_else(String::new, |process| format!("{process}, "))
}

/// How load was driven, as one line.
fn method(workload: &WorkloadId) -> String {
    let mut parts = vec![match workload.model {
        Model::Closed => "closed model".to_owned(),
        Model::Open => "open model".to_owned(),
    }];
    parts.extend(
        workload
            .users
            .map(|users| format!("{} users", format::count(users.into()))),
    );
    parts.extend(
        workload
            .rate_per_s
            .map(|rate| format!("{}{} arrivals/s", process(workload), format::number(rate))),
    );
    parts.extend(
        workload
            .think_time_mean_ms
            .map(|ms| format!("mean think time {} ms", format::number(ms))),
    );
    let blocks = if workload.blocks == 1 { "block" } else { "blocks" };
    parts.push(format!(
        "{} {blocks} × {} measured",
        workload.blocks,
        format::seconds(workload.measure_s)
    ));
    parts.push(format!("{} warm-up each", format::seconds(workload.warm_up_s)));
    parts.join(", ")
}
