//! A check over rounds: each round is measured against what it may show, and the worst one speaks for all.

use crate::figures::figure;
use crate::record::{About, Check};
use crate::rounds::MeasuredRound;

/// A figure of one round and its limit, in the same unit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shown {
    pub(super) value: f64,
    pub(super) allowed: f64,
    /// The figures in words.
    pub(super) detail: String,
}

impl Shown {
    /// How far into what is allowed, 1 being the limit; a limit of 0 allows 0 only.
    fn strain(&self) -> f64 {
        if self.value <= self.allowed {
            (self.value / self.allowed.max(f64::MIN_POSITIVE)).min(1.0)
        } else if self.allowed > 0.0 {
            self.value / self.allowed
        } else {
            f64::INFINITY
        }
    }
}

/// The check `name` from what each round shows; rounds that show nothing are passed over, and where none shows
/// anything the check holds and says so.
pub(super) fn check(
    name: &str,
    rounds: &[&MeasuredRound],
    unread: &str,
    show: impl Fn(&MeasuredRound) -> Option<Shown>,
) -> Check {
    let shown: Vec<(&MeasuredRound, Shown)> = rounds
        .iter()
        .filter_map(|round| show(round).map(|shown| (*round, shown)))
        .collect();
    let worst = shown
        .iter()
        .max_by(|(_, one), (_, other)| one.strain().total_cmp(&other.strain()));
    let Some((round, shown_worst)) = worst else {
        return Check::new(name, true, unread.to_owned());
    };
    let place = format!("block {}, subject {}", round.round.block, round.round.subject);
    let among = if shown.len() > 1 {
        format!("; the worst of {} rounds", shown.len())
    } else {
        String::new()
    };
    let detail = format!("{} ({place}{among})", shown_worst.detail);
    Check::new(name, shown_worst.value <= shown_worst.allowed, detail)
}

/// A check on how a subject took its load. It speaks of the subject where the generator kept up in every round that
/// fails it; else nobody knows whose fault it is, and the run is invalid.
pub(super) fn of_subject(
    name: &str,
    rounds: &[&MeasuredRound],
    unread: &str,
    is_behind: impl Fn(&MeasuredRound) -> bool,
    show: impl Fn(&MeasuredRound) -> Option<Shown>,
) -> Check {
    let fails = |round: &MeasuredRound| show(round).is_some_and(|shown| shown.value > shown.allowed);
    let generators = rounds.iter().any(|round| fails(round) && is_behind(round));
    let found = check(name, rounds, unread, show);
    if generators {
        let detail = format!("{}; the generator itself did not keep up", found.detail);
        Check { detail, ..found }
    } else {
        found.about(About::Subject)
    }
}

/// A probe against a limit in its unit.
pub(super) fn probe(round: &MeasuredRound, metric: &str, allowed: f64, unit: &str) -> Option<Shown> {
    let value = round.metric(metric)?;
    Some(Shown {
        value,
        allowed,
        detail: format!("{} {unit}, allowed {} {unit}", figure(value), figure(allowed)),
    })
}
