//! Load models: users, or arrivals at a rate.

use crate::arrivals::{Arrive, DEFAULT_CONNECTIONS, OpenModel, Rate, Spacing};
use crate::raw::{RawArrive, RawClosed, RawModel, RawOpen, RawRamp, RawRate, RawRateStep, RawSpacing};
use crate::source::Findings;
use crate::workload::{ClosedModel, Journey, Models};

/// At least one model.
pub(super) fn models(raw: &RawModel, journeys: &[Journey], findings: &mut Findings<'_>) -> Models {
    if raw.closed.is_none() && raw.open.is_none() {
        let hint = "add a table `[model.closed]` or `[model.open]`".to_owned();
        findings.add(&(0..0), "there is no load model", Some(hint));
    }
    Models {
        closed: raw.closed.as_ref().map(|raw| closed(raw, findings)),
        open: raw.open.as_ref().map(|raw| open(raw, journeys, findings)),
    }
}

fn closed(raw: &RawClosed, findings: &mut Findings<'_>) -> ClosedModel {
    ClosedModel {
        users: findings.at_least_one("users", &raw.users),
        ramp_s: findings.not_negative("ramp_s", &raw.ramp_s),
    }
}

fn open(raw: &RawOpen, journeys: &[Journey], findings: &mut Findings<'_>) -> OpenModel {
    OpenModel {
        arrive: arrive(raw, journeys, findings),
        spacing: match raw.spacing {
            Some(RawSpacing::Even) => Spacing::Even,
            Some(RawSpacing::Poisson) | None => Spacing::Poisson,
        },
        rate: rate(&raw.rate, findings),
        ramp_s: raw
            .ramp_s
            .as_ref()
            .map_or(0.0, |ramp_s| findings.not_negative("ramp_s", ramp_s)),
        connections: raw
            .connections
            .as_ref()
            .map_or(DEFAULT_CONNECTIONS, |most| findings.at_least_one("connections", most)),
    }
}

/// Without a word in the file: requests, unless a journey hands values from one step to the next.
fn arrive(raw: &RawOpen, journeys: &[Journey], findings: &mut Findings<'_>) -> Arrive {
    let chained = journeys.iter().find(|journey| journey.hands_values_on());
    let Some(given) = &raw.arrive else {
        return chained.map_or(Arrive::Requests, |_| Arrive::Sessions);
    };
    if let (RawArrive::Requests, Some(journey)) = (given.get_ref(), chained) {
        let what = format!(
            "journey `{}` hands values from one step to the next, which single requests cannot",
            journey.name
        );
        findings.add(&given.span(), what, Some("write `arrive = \"sessions\"`".to_owned()));
    }
    match given.get_ref() {
        RawArrive::Requests => Arrive::Requests,
        RawArrive::Sessions => Arrive::Sessions,
    }
}

fn rate(raw: &RawRate, findings: &mut Findings<'_>) -> Rate {
    match raw {
        RawRate::Constant(level) => Rate::constant(findings.positive("per_s", &level.per_s)),
        RawRate::Ramp(ramp) => self::ramp(ramp, findings),
        RawRate::Steps(steps) => {
            findings.require(!steps.get_ref().is_empty(), &steps.span(), || {
                "`steps` is empty".to_owned()
            });
            let levels: Vec<_> = steps.get_ref().iter().map(|step| self::step(step, findings)).collect();
            Rate::steps(&levels)
        }
    }
}

fn ramp(raw: &RawRamp, findings: &mut Findings<'_>) -> Rate {
    let from_per_s = findings.not_negative("from_per_s", &raw.from_per_s);
    let to_per_s = findings.positive("to_per_s", &raw.to_per_s);
    Rate::ramp(from_per_s, to_per_s, findings.positive("over_s", &raw.over_s))
}

fn step(raw: &RawRateStep, findings: &mut Findings<'_>) -> (f64, f64) {
    (
        findings.not_negative("per_s", &raw.per_s),
        findings.positive("for_s", &raw.for_s),
    )
}
