//! What a client wants to see, and what it may.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::event::LiveEvent;
use crate::domain::events::EventName;
use crate::domain::ids::DriverId;
use crate::domain::regions::Region;

/// Drivers that one subscription may name: a screen of them, and a bound for the index.
pub(super) const DRIVERS_MAX: usize = 1_000;
/// Longest time that events may be held for merging.
pub(super) const COALESCE_MAX_MS: u64 = 10_000;

/// What a client may see at all, by its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// One driver.
    Driver(DriverId),
}

/// What a client asks for. What is left out is not restricted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    pub(super) drivers: Option<BTreeSet<DriverId>>,
    pub(super) regions: Option<BTreeSet<Region>>,
    pub(super) kinds: Option<BTreeSet<EventName>>,
    /// Hold events for so long and show of each driver and kind the newest, with the number of those that it stands
    /// for.
    #[serde(default)]
    pub(super) coalesce_ms: u64,
    /// Go on behind this position.
    pub(super) position: Option<String>,
}

/// Why a wish is not granted, in words for its client.
pub(super) type Refused = String;

/// What a client gets. Those that are equal share their frames.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Subscription {
    /// In order; `None` = all.
    pub(super) drivers: Option<Box<[DriverId]>>,
    /// One bit for each.
    regions: u8,
    /// One bit for each.
    kinds: u8,
    pub(super) coalesce_ms: u64,
}

impl Subscription {
    /// Everything within `scope`.
    pub(super) fn everything(scope: Scope) -> Self {
        let drivers = match scope {
            Scope::All => None,
            Scope::Driver(id) => Some(Box::from([id])),
        };
        Self {
            drivers,
            regions: u8::MAX,
            kinds: u8::MAX,
            coalesce_ms: 0,
        }
    }

    /// The wish, as far as `scope` goes. Errors: the wish names a driver beyond it, or too much.
    pub(super) fn of(wish: &Wish, scope: Scope) -> Result<Self, Refused> {
        if wish.coalesce_ms > COALESCE_MAX_MS {
            return Err(format!(
                "coalesce_ms is {}, but may be {COALESCE_MAX_MS}",
                wish.coalesce_ms
            ));
        }
        let drivers = drivers(wish.drivers.as_ref(), scope)?;
        let all = Self::everything(scope);
        Ok(Self {
            drivers: drivers.or(all.drivers),
            regions: wish
                .regions
                .as_ref()
                .map_or(all.regions, |some| bits(some, |one| one as usize)),
            kinds: wish
                .kinds
                .as_ref()
                .map_or(all.kinds, |some| bits(some, |one| one as usize)),
            coalesce_ms: wish.coalesce_ms,
        })
    }

    /// Whether an event is part of it.
    pub(super) fn matches(&self, event: &LiveEvent) -> bool {
        self.kinds & (1 << event.name as usize) != 0
            && self.regions & (1 << event.region as usize) != 0
            && self
                .drivers
                .as_ref()
                .is_none_or(|drivers| drivers.binary_search(&event.driver).is_ok())
    }
}

/// One bit for each, at its place.
fn bits<T: Copy>(some: &BTreeSet<T>, place: impl Fn(T) -> usize) -> u8 {
    some.iter().fold(0, |bits, one| bits | (1 << place(*one)))
}

fn drivers(wished: Option<&BTreeSet<DriverId>>, scope: Scope) -> Result<Option<Box<[DriverId]>>, Refused> {
    let Some(wished) = wished else {
        return Ok(None);
    };
    if wished.len() > DRIVERS_MAX {
        return Err(format!(
            "{} drivers are named, but at most {DRIVERS_MAX} may be",
            wished.len()
        ));
    }
    if let Scope::Driver(own) = scope
        && let Some(other) = wished.iter().find(|wished| **wished != own)
    {
        return Err(format!("this token reaches driver {own} only, not {other}"));
    }
    Ok(Some(wished.iter().copied().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::history::tests::event;

    fn wish(json: &str) -> Wish {
        serde_json::from_str(json).expect("a wish")
    }

    fn subscription(json: &str) -> Subscription {
        Subscription::of(&wish(json), Scope::All).expect("granted")
    }

    #[test]
    fn what_is_left_out_is_not_restricted() {
        assert!(subscription("{}").matches(&event(7, 0, 0)));
        assert_eq!(subscription("{}"), Subscription::everything(Scope::All));
    }

    #[test]
    fn drivers_regions_and_kinds_all_have_to_fit() {
        let region = Region::of(DriverId(7));
        let fits = |json: &str| subscription(json).matches(&event(7, 0, 0));
        assert!(fits(r#"{"drivers": [9, 7]}"#) && !fits(r#"{"drivers": [8]}"#));
        assert!(fits(r#"{"kinds": ["trip_recorded"]}"#) && !fits(r#"{"kinds": ["risk_changed"]}"#));
        assert!(fits(&format!(r#"{{"regions": ["{region}"], "drivers": [7]}}"#)));
        let others: Vec<_> = Region::ALL.iter().filter(|other| **other != region).collect();
        assert!(!fits(&format!(
            r#"{{"regions": {}}}"#,
            serde_json::to_string(&others).unwrap()
        )));
        assert!(!fits(r#"{"drivers": []}"#), "nobody is not everybody");
    }

    #[test]
    fn equal_wishes_are_one_subscription() {
        let (one, other) = (
            r#"{"drivers": [2, 1], "kinds": []}"#,
            r#"{"kinds": [], "drivers": [1, 2, 2]}"#,
        );
        assert_eq!(subscription(one), subscription(other));
    }

    #[test]
    fn a_driver_gets_that_driver_only() {
        let own = Scope::Driver(DriverId(7));
        let everything = Subscription::of(&wish("{}"), own).expect("granted");
        assert!(everything.matches(&event(7, 0, 0)) && !everything.matches(&event(8, 0, 0)));
        let refused = Subscription::of(&wish(r#"{"drivers": [7, 8]}"#), own).expect_err("not granted");
        assert!(refused.contains('8'), "{refused}");
    }

    #[test]
    fn too_much_is_refused() {
        let many: Vec<usize> = (0..=DRIVERS_MAX).collect();
        let refused = Subscription::of(&wish(&format!(r#"{{"drivers": {many:?}}}"#)), Scope::All);
        assert!(refused.expect_err("too many").contains("1000"));
        let refused = Subscription::of(&wish(r#"{"coalesce_ms": 10001}"#), Scope::All);
        assert!(refused.expect_err("too long").contains("10000"));
    }
}
