//! docs/METRICS.md is the registry of metrics as a page.

use std::fmt::Write as _;
use std::path::Path;

use measure::metrics::{Better, ENDINGS, Kind, METRICS, Metric, PAGE_PREFIX, Shown, Source};

/// Set to write the page instead of comparing it.
const UPDATE: &str = "UPDATE_DOCS";

const HEAD: &str = "\
# Metrics

Every metric that a record can have and a target can name: the registry in `loadtest/measure/src/metrics.rs`, as a page.
Do not edit it: `UPDATE_DOCS=1 cargo test -p measure --test metrics` writes it, and the test fails where the two differ.

`http.*` metrics are measured per endpoint, so that a target on one names its `endpoint`, or `all`. Reports show metrics
printed in bold in every table of resources, measured or not, and draw a line over time for each launch where the column
says so. Generators that drove one load merge into one record: of metrics of a generator and its machine the largest
value stays, those per request are left out, and all others are those of the first generator.

| name | for people | unit | kind | from | better | over time | what it is |
|---|---|---|---|---|---|---|---|
";

fn unit(metric: &Metric) -> &str {
    if metric.is_share() {
        "0 to 1"
    } else {
        metric.unit.suffix().trim()
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Percentile => "percentile",
        Kind::Level => "level",
        Kind::Counter => "counter",
        Kind::Rate => "rate",
        Kind::Ratio => "ratio",
        Kind::CountPerRequest => "count per request",
        Kind::CostPerRequest => "cost per request",
        Kind::Constant => "constant",
    }
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Load => "load path",
        Source::Versions => "versions followed",
        Source::Streams => "live streams",
        Source::Topics => "topics",
        Source::Postgres => "Postgres",
        Source::Redis => "Redis",
        Source::Prometheus => "metrics page",
        Source::Process => "process of the subject",
        Source::Generator => "generator",
        Source::Machine => "machine",
        Source::Nothing => "nothing yet",
    }
}

fn row(metric: &Metric) -> String {
    let name = match metric.shown {
        Shown::Always => format!("**`{}`**", metric.name()),
        Shown::IfMeasured => format!("`{}`", metric.name()),
    };
    let better = match metric.better {
        Better::Lower => "lower",
        Better::Higher => "higher",
        Better::Neither => "",
    };
    let over_time = if metric.is_over_time() { "yes" } else { "" };
    format!(
        "| {name} | {} | {} | {} | {} | {better} | {over_time} | {} |",
        metric.title(),
        unit(metric),
        kind(metric.kind),
        source(metric.source),
        metric.about
    )
}

fn document() -> String {
    let mut text = HEAD.to_owned();
    for metric in METRICS {
        writeln!(text, "{}", row(metric)).expect("a string takes everything");
    }
    let endings = ENDINGS.map(|(ending, unit)| format!("- `{ending}`: {}", unit.suffix().trim()));
    writeln!(
        text,
        "
## Metrics of the subject's own page

What a workload lists under `keep` of `[probes.prometheus]` stands in records as `{PAGE_PREFIX}NAME`, and a target can
name it so. Its kind and unit follow from its name, by Prometheus' naming conventions: a name that ends in `_total` is a
counter, of which a round keeps the growth over its measured phase; every other one is a level, of which a round keeps
the largest reading. The ending, or the one before `_total`, is the unit; values of other endings are shown without
one:

{}

## Kinds

| kind | a round keeps | over time | rounds become one value by |
|---|---|---|---|
| level | the largest reading | each reading | their mean |
| counter | its growth over the measured phase | the growth since the last reading | their mean |
| rate | the mean of the measured phase | the mean since the last reading | their mean |
| ratio | both counts of the measured phase | their quotient since the last reading | adding the counts |
| count per request | the count and the requests of the measured phase | | adding the counts |
| cost per request | the cost by the request of the measured phase | | their mean |
| percentile, constant | one value | | see docs/STATISTICS.md; the mean |",
        endings.join("\n")
    )
    .expect("a string takes everything");
    text
}

#[test]
fn the_page_of_metrics_is_that_of_the_registry() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/METRICS.md");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&page, document()).expect("the page is written");
    }
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == document(),
        "docs/METRICS.md is not what the registry says; write it anew with \
         `{UPDATE}=1 cargo test -p measure --test metrics`"
    );
}
