//! What a service's page of metrics counts under which names, so that the harness's own metrics can be taken from it.
//!
//! What belongs here: names on the page, and which metric they make. What does not: reading the page (`loadtest`).

use std::collections::BTreeMap;

use measure::metrics::{self, Kind, METRICS, Metric, Source};
use prometheus_parse::{Labels, LineInfo, Scrape};
use serde::Deserialize;
use toml::Spanned;

use crate::source::{Findings, Named};

/// Samples of a page: those of one name that have all of the labels. Several are added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    name: String,
    labels: BTreeMap<String, String>,
}

/// A metric that is the quotient of two counters of the page, such as the hits of a cache by its lookups.
#[derive(Debug, Clone, PartialEq)]
pub struct Quotient {
    /// What it is in records and targets.
    pub metric: &'static Metric,
    /// What is divided.
    pub part: Samples,
    /// What it is divided by: the sum of all of these.
    pub of: Vec<Samples>,
}

impl Samples {
    /// Reads `name` or `name{label="value",...}`, as a page writes it before the value.
    fn parse(text: &str) -> Option<Self> {
        let line = format!("{text} 0");
        let LineInfo::Sample {
            value: "0",
            timestamp: None,
            ..
        } = LineInfo::parse(&line)
        else {
            return None;
        };
        let sample = Scrape::parse(std::iter::once(Ok(line.clone()))).ok()?.samples.pop()?;
        let labels: BTreeMap<String, String> = sample.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let unread = text.contains('{') && labels.is_empty();
        (!unread).then_some(Self {
            name: sample.metric,
            labels,
        })
    }

    fn all(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            labels: BTreeMap::new(),
        }
    }

    /// Whether a sample of this name and with these labels is one of them.
    pub fn include(&self, name: &str, labels: &Labels) -> bool {
        let has = |(label, value): (&String, &String)| labels.get(label) == Some(value.as_str());
        self.name == name && self.labels.iter().all(has)
    }
}

impl Quotient {
    /// The one of every page that says nothing else: lookups that a cache answered, as caches are mostly counted.
    pub fn cache_hits() -> Self {
        Self {
            metric: &metrics::CACHE_HIT_RATIO,
            part: Samples::all("cache_hits_total"),
            of: vec![Samples::all("cache_hits_total"), Samples::all("cache_misses_total")],
        }
    }
}

/// A quotient as it is written, under the name of its metric.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawQuotient {
    part: Spanned<String>,
    of: Option<Spanned<String>>,
    rest: Option<Spanned<String>>,
}

/// Checks the table of quotients; that of a cache is added where it is not in it.
pub(crate) fn quotients(raw: &Named<RawQuotient>, findings: &mut Findings<'_>) -> Vec<Quotient> {
    let given = raw.iter().filter_map(|(name, raw)| {
        let metric = metric(name, findings);
        let parts = parts(name, raw, findings);
        let (metric, (part, of)) = metric.zip(parts)?;
        Some(Quotient { metric, part, of })
    });
    let mut all: Vec<Quotient> = given.collect();
    let cache = Quotient::cache_hits();
    if raw.iter().all(|(name, _)| name.get_ref() != cache.metric.name()) {
        all.push(cache);
    }
    all
}

/// The metrics that a page can give: ratios that no other probe measures.
fn metric(name: &Spanned<String>, findings: &mut Findings<'_>) -> Option<&'static Metric> {
    let of_pages = || {
        let ratios = METRICS.iter().copied();
        ratios.filter(|metric| metric.kind == Kind::Ratio && metric.source == Source::Prometheus)
    };
    let found = of_pages().find(|metric| metric.name() == name.get_ref());
    if found.is_none() {
        findings.unknown("metric", name.get_ref(), &name.span(), of_pages().map(Metric::name));
    }
    found
}

fn parts(name: &Spanned<String>, raw: &RawQuotient, findings: &mut Findings<'_>) -> Option<(Samples, Vec<Samples>)> {
    let part = samples(&raw.part, findings);
    match (&raw.of, &raw.rest) {
        (Some(of), None) => Some((part?, vec![samples(of, findings)?])),
        (None, Some(rest)) => {
            let (part, rest) = (part?, samples(rest, findings)?);
            Some((part.clone(), vec![part, rest]))
        }
        _ => {
            let what = format!("`{}` must give exactly one of `of` and `rest`", name.get_ref());
            let hint = "`of` counts everything, `rest` what is not in `part`".to_owned();
            findings.add(&name.span(), what, Some(hint));
            None
        }
    }
}

fn samples(text: &Spanned<String>, findings: &mut Findings<'_>) -> Option<Samples> {
    let samples = Samples::parse(text.get_ref());
    if samples.is_none() {
        findings.add(
            &text.span(),
            format!("`{}` names no samples of a page in Prometheus' form", text.get_ref()),
            Some("write `name` or `name{label=\"value\"}`, as the page has it before the value".to_owned()),
        );
    }
    samples
}
