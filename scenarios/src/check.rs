//! From a workload as written to one that can be driven: resolves names, compiles templates, refuses what cannot be meant.
//!
//! Nothing here stops at the first mistake. A value that is wrong is noted and replaced by something harmless, and the
//! result is handed out only if nothing was noted.

use measure::record::ALL_ENDPOINTS;
use toml::Spanned;

use crate::body::BodyTemplate;
use crate::error::InputError;
use crate::feeder::{Draw, Feeder, ZipfRange};
use crate::raw::{
    Named, RawFeeder, RawJourney, RawModel, RawQuick, RawRequest, RawSetup, RawStep, RawThinkTime, RawUniform,
    RawWarmUp, RawWorkload, RawZipf, in_file_order,
};
use crate::source::{Findings, Source};
use crate::template::{Escape, Template};
use crate::think_time::ThinkTime;
use crate::vars::{Scope, VarNames};
use crate::workload::{Dataset, Endpoint, Extract, Journey, ModelSpec, Quick, SetupRequest, Step, WarmUp, Workload};

/// Long enough for any answer that is worth waiting for, short enough to end within a phase.
const DEFAULT_TIMEOUT_MS: u64 = 10_000;

/// Checks a workload.
pub(crate) fn workload(raw: RawWorkload, source: &Source) -> Result<Workload, InputError> {
    let mut findings = Findings::new(source);
    let mut names = VarNames::default();
    // The order matters: a setup request sees what earlier ones extracted, endpoints see everything.
    let setup = setup_requests(raw.setup, &mut names, &mut findings);
    let feeders = feeders(raw.feeders, &mut names, &mut findings);
    let endpoints = endpoints(raw.endpoints, &names, &mut findings);
    let think_times = think_times(raw.think_times, &mut findings);
    let known = Known {
        feeders: &feeders,
        endpoints: &endpoints,
        think_times: &think_times,
    };
    let journeys = journeys(raw.journeys, &known, &mut findings);
    let workload = Workload {
        name: not_empty("name", &raw.name, &mut findings),
        sha256: source.sha256.clone(),
        model: model(&raw.model, &mut findings),
        warm_up: warm_up(&raw.warm_up, &mut findings),
        measure_s: findings.positive("measure_s", &raw.measure_s),
        drain_s: findings.not_negative("drain_s", &raw.drain_s),
        blocks: findings.at_least_one("blocks", &raw.blocks),
        quick: quick(&raw.quick, &mut findings),
        dataset: Dataset {
            seed_command: raw.dataset.seed_command,
        },
        setup,
        feeders,
        endpoints,
        journeys,
        slots: names.len(),
    };
    findings.finish(workload)
}

/// A text that must not be empty.
pub(crate) fn not_empty(key: &str, text: &Spanned<String>, findings: &mut Findings<'_>) -> String {
    findings.require(!text.get_ref().trim().is_empty(), &text.span(), || {
        format!("`{key}` is empty")
    });
    text.get_ref().clone()
}

fn model(raw: &RawModel, findings: &mut Findings<'_>) -> ModelSpec {
    match raw {
        RawModel::Closed(closed) => ModelSpec::Closed {
            users: findings.at_least_one("users", &closed.users),
            ramp_s: findings.not_negative("ramp_s", &closed.ramp_s),
        },
    }
}

fn warm_up(raw: &RawWarmUp, findings: &mut Findings<'_>) -> WarmUp {
    let think_time_scale = findings.positive("think_time_scale", &raw.think_time_scale);
    findings.require(
        think_time_scale <= 1.0 || think_time_scale.is_infinite(),
        &raw.think_time_scale.span(),
        || {
            format!(
                "`think_time_scale` is {think_time_scale}: above 1 the warm-up would be slower than what is measured"
            )
        },
    );
    WarmUp {
        duration_s: findings.not_negative("duration_s", &raw.duration_s),
        think_time_scale,
    }
}

fn quick(raw: &RawQuick, findings: &mut Findings<'_>) -> Quick {
    Quick {
        warm_up_s: findings.not_negative("warm_up_s", &raw.warm_up_s),
        measure_s: findings.positive("measure_s", &raw.measure_s),
        blocks: findings.at_least_one("blocks", &raw.blocks),
    }
}

fn setup_requests(raw: Named<RawSetup>, names: &mut VarNames, findings: &mut Findings<'_>) -> Vec<SetupRequest> {
    let mut requests = Vec::new();
    for (name, setup) in in_file_order(raw) {
        let (request, extract) = setup.split();
        let request = endpoint(&name, request, &mut Scope { names, findings });
        let extract = in_file_order(extract)
            .iter()
            .map(|(var, at)| self::extract(var, at, names, findings))
            .collect();
        requests.push(SetupRequest { request, extract });
    }
    requests
}

fn extract(
    var: &Spanned<String>,
    pointer: &Spanned<String>,
    names: &mut VarNames,
    findings: &mut Findings<'_>,
) -> Extract {
    let text = pointer.get_ref();
    findings.require(text.is_empty() || text.starts_with('/'), &pointer.span(), || {
        format!("`{text}` is no JSON pointer: it must start with a slash, like `/{text}`")
    });
    Extract {
        var: var.get_ref().clone(),
        slot: names.define(var, findings),
        pointer: text.clone(),
    }
}

fn feeders(raw: Named<RawFeeder>, names: &mut VarNames, findings: &mut Findings<'_>) -> Vec<Feeder> {
    let mut feeders = Vec::new();
    for (name, feeder) in in_file_order(raw) {
        let slot = names.define(&name, findings);
        let draw = match &feeder {
            RawFeeder::Zipf(zipf) => self::zipf(zipf, findings),
            RawFeeder::Uniform(uniform) => self::uniform(uniform, findings),
        };
        feeders.extend(draw.map(|draw| Feeder {
            name: name.get_ref().clone(),
            slot,
            draw,
        }));
    }
    feeders
}

fn zipf(raw: &RawZipf, findings: &mut Findings<'_>) -> Option<Draw> {
    let (n, s) = (findings.at_least_one("n", &raw.n), findings.not_negative("s", &raw.s));
    let range = ZipfRange::new(raw.from.unwrap_or(1), n, s);
    let explained = n == 0 || !s.is_finite() || s < 0.0;
    findings.require(range.is_some() || explained, &raw.n.span(), || {
        "`from` plus `n` is larger than a 64-bit integer can hold".to_owned()
    });
    range.map(Draw::Zipf)
}

fn uniform(raw: &RawUniform, findings: &mut Findings<'_>) -> Option<Draw> {
    let (min, max) = (raw.min, *raw.max.get_ref());
    findings.require(min <= max, &raw.max.span(), || {
        format!("`max` is {max}, below `min`, which is {min}")
    });
    (min <= max).then_some(Draw::Uniform { min, max })
}

fn endpoints(raw: Named<RawRequest>, names: &VarNames, findings: &mut Findings<'_>) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for (name, request) in in_file_order(raw) {
        findings.require(name.get_ref() != ALL_ENDPOINTS, &name.span(), || {
            format!("an endpoint cannot be called `{ALL_ENDPOINTS}`: that name stands for the whole mix")
        });
        endpoints.push(endpoint(&name, request, &mut Scope { names, findings }));
    }
    endpoints
}

fn endpoint(name: &Spanned<String>, raw: RawRequest, scope: &mut Scope<'_, '_>) -> Endpoint {
    Endpoint {
        name: not_empty("name", name, scope.findings),
        method: raw.method,
        path: path(&raw.path, scope),
        headers: headers(raw.headers, raw.body.is_some(), scope),
        body: raw.body.map(|body| BodyTemplate::compile(&body, scope)),
        expect_status: expect_status(raw.expect_status, scope.findings),
        write: raw.write,
        timeout_ms: timeout_ms(raw.timeout_ms.as_ref(), scope.findings),
    }
}

fn path(raw: &Spanned<String>, scope: &mut Scope<'_, '_>) -> Template {
    let text = raw.get_ref();
    scope.findings.require(text.starts_with('/'), &raw.span(), || {
        format!("path `{text}` must start with a slash")
    });
    let printable = text.chars().all(|c| c.is_ascii_graphic());
    scope.findings.require(printable, &raw.span(), || {
        format!("path `{text}` must be printable ASCII without spaces: percent-encode everything else")
    });
    Template::compile(raw, Escape::Path, scope)
}

fn headers(raw: Named<Spanned<String>>, has_body: bool, scope: &mut Scope<'_, '_>) -> Vec<(String, Template)> {
    let mut headers: Vec<(String, Template)> = Vec::new();
    for (name, value) in in_file_order(raw) {
        let lower = name.get_ref().to_ascii_lowercase();
        let given_before = headers.iter().any(|(given, _)| *given == lower);
        scope.findings.require(!given_before, &name.span(), || {
            format!("header `{lower}` is given twice")
        });
        scope
            .findings
            .require(is_token(&lower), &name.span(), || format!("`{name}` is no header name"));
        headers.push((lower, Template::compile(&value, Escape::Nothing, scope)));
    }
    if has_body && headers.iter().all(|(name, _)| name != "content-type") {
        headers.push(("content-type".to_owned(), Template::literal("application/json")));
    }
    headers
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn expect_status(raw: Option<Spanned<Vec<Spanned<u16>>>>, findings: &mut Findings<'_>) -> Vec<u16> {
    let Some(codes) = raw else { return vec![200] };
    findings.require(!codes.get_ref().is_empty(), &codes.span(), || {
        "`expect_status` is empty: every answer would count as an error".to_owned()
    });
    for code in codes.get_ref() {
        findings.require((100..=599).contains(code.get_ref()), &code.span(), || {
            format!("{code} is no HTTP status: they go from 100 to 599")
        });
    }
    codes.into_inner().into_iter().map(Spanned::into_inner).collect()
}

fn timeout_ms(raw: Option<&Spanned<u64>>, findings: &mut Findings<'_>) -> u64 {
    let Some(timeout_ms) = raw else {
        return DEFAULT_TIMEOUT_MS;
    };
    findings.require(*timeout_ms.get_ref() > 0, &timeout_ms.span(), || {
        "`timeout_ms` is 0: it must be 1 or more".to_owned()
    });
    *timeout_ms.get_ref()
}

fn think_times(raw: Named<RawThinkTime>, findings: &mut Findings<'_>) -> Vec<(String, ThinkTime)> {
    let entries = in_file_order(raw).into_iter();
    entries
        .map(|(name, think)| (name.into_inner(), think_time(&think, findings)))
        .collect()
}

fn think_time(raw: &RawThinkTime, findings: &mut Findings<'_>) -> ThinkTime {
    match raw {
        RawThinkTime::Constant(constant) => ThinkTime::Constant {
            ms: findings.not_negative("ms", &constant.ms),
        },
        RawThinkTime::Uniform(uniform) => {
            let min_ms = findings.not_negative("min_ms", &uniform.min_ms);
            let max_ms = at_least("max_ms", &uniform.max_ms, "min_ms", min_ms, findings);
            ThinkTime::Uniform { min_ms, max_ms }
        }
        RawThinkTime::Exponential(exponential) => ThinkTime::Exponential {
            mean_ms: findings.positive("mean_ms", &exponential.mean_ms),
        },
        RawThinkTime::LogNormal(log_normal) => {
            let median_ms = findings.positive("median_ms", &log_normal.median_ms);
            let p95_ms = at_least("p95_ms", &log_normal.p95_ms, "median_ms", median_ms, findings);
            ThinkTime::log_normal(median_ms, p95_ms)
        }
    }
}

/// A positive number that must not be below another.
fn at_least(key: &str, number: &Spanned<f64>, floor_key: &str, floor: f64, findings: &mut Findings<'_>) -> f64 {
    let value = findings.positive(key, number);
    findings.require(value <= 0.0 || value >= floor, &number.span(), || {
        format!("`{key}` is {value}, below `{floor_key}`, which is {floor}")
    });
    value
}

/// What a journey can refer to.
struct Known<'a> {
    feeders: &'a [Feeder],
    endpoints: &'a [Endpoint],
    think_times: &'a [(String, ThinkTime)],
}

fn journeys(raw: Named<RawJourney>, known: &Known<'_>, findings: &mut Findings<'_>) -> Vec<Journey> {
    let entries = in_file_order(raw);
    let first_weight = entries.first().map(|(_, journey)| journey.weight.span());
    let idle = entries.iter().all(|(_, journey)| *journey.weight.get_ref() == 0);
    match first_weight {
        None => findings.add(
            &(0..0),
            "there are no journeys",
            Some("add a table `[journeys.NAME]`".to_owned()),
        ),
        Some(at) if idle => {
            let hint = "give at least one journey a weight of 1 or more".to_owned();
            findings.add(
                &at,
                "every journey has `weight` 0, so nothing would be requested",
                Some(hint),
            );
        }
        Some(_) => {}
    }
    entries
        .into_iter()
        .map(|(name, raw)| journey(name, &raw, known, findings))
        .collect()
}

fn journey(name: Spanned<String>, raw: &RawJourney, known: &Known<'_>, findings: &mut Findings<'_>) -> Journey {
    let raw_steps = raw.steps.get_ref();
    findings.require(!raw_steps.is_empty(), &raw.steps.span(), || {
        format!("journey `{name}` has no steps")
    });
    let steps: Vec<Step> = raw_steps.iter().filter_map(|raw| step(raw, known, findings)).collect();
    let used: Vec<usize> = steps
        .iter()
        .flat_map(|step| known.endpoints[step.endpoint].slots())
        .collect();
    let drawn = known
        .feeders
        .iter()
        .enumerate()
        .filter(|(_, feeder)| used.contains(&feeder.slot));
    let feeders = drawn.map(|(index, _)| index).collect();
    Journey {
        name: name.into_inner(),
        weight: *raw.weight.get_ref(),
        steps,
        feeders,
    }
}

fn step(raw: &RawStep, known: &Known<'_>, findings: &mut Findings<'_>) -> Option<Step> {
    let think = raw
        .think
        .as_ref()
        .map_or(Some(ThinkTime::NONE), |name| think_by_name(name, known, findings));
    let wanted = raw.endpoint.get_ref();
    let endpoint = known.endpoints.iter().position(|endpoint| endpoint.name == *wanted);
    if endpoint.is_none() {
        let valid = known.endpoints.iter().map(|endpoint| endpoint.name.as_str());
        findings.unknown("endpoint", wanted, &raw.endpoint.span(), valid);
    }
    Some(Step {
        endpoint: endpoint?,
        think: think?,
    })
}

fn think_by_name(name: &Spanned<String>, known: &Known<'_>, findings: &mut Findings<'_>) -> Option<ThinkTime> {
    let found = known.think_times.iter().find(|(defined, _)| defined == name.get_ref());
    if found.is_none() {
        let valid = known.think_times.iter().map(|(defined, _)| defined.as_str());
        findings.unknown("think time", name.get_ref(), &name.span(), valid);
    }
    found.map(|(_, think)| *think)
}
