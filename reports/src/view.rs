//! Looking things up in a record, in the order in which reports show them.

use std::collections::BTreeSet;

use measure::figures;
use measure::metrics::{self, METRICS, Metric, Shown};
use measure::record::{
    ALL_ENDPOINTS, ArrivalSummary, Comparison, ConnectionSummary, ConsistencySummary, EndpointSummary, Family, Limit,
    MetricSummary, Model, Record, StreamSummary, Subject, TargetResult, TargetVerdict, TopicSummary, WorkloadId,
};

use crate::rows::{Compared, Target, share};
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
    /// The record shown.
    pub(crate) record: &'a Record,
}

/// One figure of the headline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Headline {
    /// Name of the figure.
    pub(crate) label: &'static str,
    /// The figure; none when it was not measured.
    pub(crate) value: Option<String>,
    /// A note beside it; may be empty.
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

    /// Consistency of one subject; none where no version was followed.
    pub(crate) fn connections(self, subject: &str) -> Option<&'a ConnectionSummary> {
        self.record.summary.get(subject)?.connections.as_ref()
    }

    pub(crate) fn consistency(self, subject: &str) -> Option<&'a ConsistencySummary> {
        self.record.summary.get(subject)?.consistency.as_ref()
    }

    /// Live streams that clients of one subject watched, by name.
    pub(crate) fn streams(self, subject: &str) -> impl Iterator<Item = (&'a String, &'a StreamSummary)> {
        let summary = self.record.summary.get(subject);
        summary.into_iter().flat_map(|summary| &summary.streams)
    }

    /// Topics that were watched under the load of one subject, by name.
    pub(crate) fn topics(self, subject: &str) -> impl Iterator<Item = (&'a String, &'a TopicSummary)> {
        let summary = self.record.summary.get(subject);
        summary.into_iter().flat_map(|summary| &summary.topics)
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
        let always = METRICS.iter().filter(|metric| metric.shown == Shown::Always);
        let mut names: Vec<&str> = always.map(|metric| metric.name()).collect();
        let others: Vec<&str> = seen.into_iter().filter(|name| !names.contains(name)).collect();
        names.extend(others);
        names
    }

    /// How `subject` compares on one endpoint.
    pub(crate) fn comparison(self, family: Family, endpoint: &str, subject: &str) -> Option<&'a Comparison> {
        let fits = |c: &&Comparison| c.family == family && c.endpoint == endpoint && c.after == subject;
        self.record.comparisons.iter().find(fits)
    }

    /// The p95 limits of an endpoint, milliseconds.
    pub(crate) fn p95_limits_ms(self, endpoint: &str) -> Vec<f64> {
        let fits = |target: &&TargetResult| {
            let own = target.endpoint.as_deref().unwrap_or(ALL_ENDPOINTS);
            target.metric == metrics::HTTP_P95_MS.name() && own == endpoint
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

    /// All targets as text, by [`TARGET_ORDER`] and priority.
    pub(crate) fn targets_in_order(self) -> impl Iterator<Item = Target<'a>> {
        let targets = TARGET_ORDER.into_iter().flat_map(move |verdict| self.targets(verdict));
        targets.map(Target::new)
    }

    /// How many targets are in which state, e.g. `1 missed, 12 hold`; states without any are left out.
    pub(crate) fn target_counts(self) -> String {
        let counts = TARGET_ORDER.iter().filter_map(|verdict| {
            let count = self.targets(*verdict).len();
            (count > 0).then(|| format!("{count} {}", counted(*verdict, count)))
        });
        counts.collect::<Vec<_>>().join(", ")
    }

    /// The subjects compared, e.g. `phase1 → phase2`.
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
        let used = [
            self.metric_headline(&metrics::CACHE_HIT_RATIO),
            self.metric_headline(&metrics::DB_QUERIES_PER_REQUEST),
            self.error_headline(),
        ];
        std::iter::once(self.p95_headline()).chain(speed).chain(used).collect()
    }

    fn p95_headline(self) -> Headline {
        let values = self.per_subject(|view, subject| {
            view.answered(subject)
                .map(|latency| figures::milliseconds(latency.p95_ms))
        });
        let interval = self
            .judged()
            .and_then(|subject| self.answered(&subject.name)?.p95_ci_ms);
        let note = interval.map_or(String::new(), |ci| {
            format!("95 % interval {}", figures::interval(ci, figures::Unit::Milliseconds))
        });
        Headline {
            label: "p95 of all requests",
            value: values.map(|values| format!("{values} ms")),
            note,
        }
    }

    fn speed_headline(self) -> Headline {
        let compared = self
            .judged()
            .and_then(|subject| self.comparison(Family::LatencyP95, ALL_ENDPOINTS, &subject.name))
            .map(Compared::new);
        Headline {
            label: "p95 compared block by block",
            note: compared.as_ref().map_or(String::new(), |compared| {
                format!("after ÷ before {}", compared.with_bounds())
            }),
            value: compared.and_then(|compared| compared.speed),
        }
    }

    /// Before → after where both were measured, the measured ones otherwise.
    fn metric_headline(self, metric: &'static Metric) -> Headline {
        let value = self.per_subject(|view, subject| {
            view.metric(subject, metric.name())
                .map(|summary| figures::quantity(summary.value, metric.unit))
        });
        let judged = self
            .judged()
            .and_then(|subject| self.metric(&subject.name, metric.name()));
        let ci = judged.and_then(|summary| summary.ci);
        let note = ci.map_or(String::new(), |ci| {
            format!("95 % interval {}", figures::interval(ci, metric.unit))
        });
        Headline {
            label: metric.title(),
            value,
            note,
        }
    }

    fn error_headline(self) -> Headline {
        let value = self.per_subject(|view, subject| {
            view.latency(subject, ALL_ENDPOINTS)
                .map(|latency| share(latency.error_rate))
        });
        let note = self.per_subject(|view, subject| {
            view.latency(subject, ALL_ENDPOINTS)
                .map(|latency| figures::count(latency.count))
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
            .map(|users| format!("{} users", figures::count(users.into()))),
    );
    parts.extend(
        workload
            .rate_per_s
            .map(|rate| format!("{}{} arrivals/s", process(workload), figures::number(rate))),
    );
    parts.extend(
        workload
            .think_time_mean_ms
            .map(|ms| format!("mean think time {} ms", figures::number(ms))),
    );
    let blocks = if workload.blocks == 1 { "block" } else { "blocks" };
    parts.push(format!(
        "{} {blocks} × {} measured",
        workload.blocks,
        figures::seconds(workload.measure_s)
    ));
    parts.push(format!("{} warm-up each", figures::seconds(workload.warm_up_s)));
    parts.join(", ")
}
