//! When people drive: seasons, days of the week and hours of the day.
//!
//! That travel peaks in summer, drops at weekends and has two commuting peaks on working days is what household travel
//! surveys show, such as the National Household Travel Survey of the US Federal Highway Administration. The weights are
//! chosen to resemble those shapes. All times are UTC, as if every driver lived there.

use std::f64::consts::TAU;
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveTime, Utc, Weekday};
use rand::RngExt as _;

use super::draws::{DriverRng, weighted_index};

/// Days of trips.
pub(super) const DAYS: u64 = 365;
/// How far the best month lies above the mean, and the worst below it.
const SEASON_AMPLITUDE: f64 = 0.15;
/// Day of the year with most travel, in mid-July.
const SEASON_PEAK_DAY: f64 = 196.0;
/// Travel by hour of the day, from midnight: Monday to Friday, and Saturday and Sunday.
const WORKING_DAY: [u32; 24] = [
    3, 2, 1, 1, 3, 9, 25, 55, 60, 38, 34, 38, 44, 42, 45, 58, 72, 75, 55, 38, 26, 19, 13, 7,
];
const WEEKEND: [u32; 24] = [
    8, 6, 4, 2, 2, 4, 8, 15, 28, 44, 58, 64, 66, 64, 62, 60, 58, 55, 50, 40, 30, 24, 19, 13,
];
const HOUR_S: u64 = 3_600;

/// The days before `as_of` with their share of the travel.
#[derive(Debug)]
pub(super) struct Calendar {
    first_day: NaiveDate,
    /// Weight of the days before this one and of this one.
    cumulative: Vec<f64>,
}

impl Calendar {
    pub(super) fn new(as_of: NaiveDate) -> Self {
        let first_day = as_of - Days::new(DAYS);
        let mut sum = 0.0;
        let cumulative = first_day
            .iter_days()
            .take_while(|day| *day < as_of)
            .map(|day| {
                sum += weight(day);
                sum
            })
            .collect();
        Self { first_day, cumulative }
    }

    /// Share of the year's travel that falls on `joined_on` and the days after it.
    pub(super) fn share_since(&self, joined_on: NaiveDate) -> f64 {
        1.0 - self.weight_before(joined_on) / self.total()
    }

    /// A moment not before `joined_on`, as likely as people drive then.
    pub(super) fn moment(&self, rng: &mut DriverRng, joined_on: NaiveDate) -> DateTime<Utc> {
        let drawn = rng.random_range(self.weight_before(joined_on)..self.total());
        let index = self.cumulative.partition_point(|up_to| *up_to <= drawn);
        let day = self.first_day + Days::new(index as u64);
        let hours = if is_weekend(day) { &WEEKEND } else { &WORKING_DAY };
        let second = weighted_index(rng, hours) as u64 * HOUR_S + rng.random_range(0..HOUR_S);
        day.and_time(NaiveTime::MIN).and_utc() + Duration::from_secs(second)
    }

    fn total(&self) -> f64 {
        self.cumulative.last().copied().unwrap_or_default()
    }

    fn weight_before(&self, day: NaiveDate) -> f64 {
        let days = usize::try_from((day - self.first_day).num_days()).unwrap_or(0);
        days.checked_sub(1)
            .and_then(|index| self.cumulative.get(index))
            .copied()
            .unwrap_or_default()
    }
}

fn weight(day: NaiveDate) -> f64 {
    let season = 1.0 + SEASON_AMPLITUDE * (TAU * (f64::from(day.ordinal()) - SEASON_PEAK_DAY) / 365.25).cos();
    season * weekday_factor(day.weekday())
}

const fn weekday_factor(weekday: Weekday) -> f64 {
    match weekday {
        Weekday::Fri => 1.12,
        Weekday::Sat => 0.95,
        Weekday::Sun => 0.78,
        Weekday::Mon | Weekday::Tue | Weekday::Wed | Weekday::Thu => 1.03,
    }
}

fn is_weekend(day: NaiveDate) -> bool {
    matches!(day.weekday(), Weekday::Sat | Weekday::Sun)
}

#[cfg(test)]
mod tests {
    use chrono::Timelike as _;
    use rand::SeedableRng as _;

    use super::*;

    fn as_of() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 7, 1).unwrap()
    }

    #[test]
    fn moments_lie_between_joining_and_as_of() {
        let calendar = Calendar::new(as_of());
        let mut rng = DriverRng::seed_from_u64(1);
        for joined_days in [1, 2, 30, 364, 365, 366, 1_800] {
            let joined_on = as_of() - Days::new(joined_days);
            let first = joined_on.max(as_of() - Days::new(DAYS));
            for _ in 0..200 {
                let day = calendar.moment(&mut rng, joined_on).date_naive();
                assert!(first <= day && day < as_of(), "{day} for {joined_on}");
            }
        }
    }

    #[test]
    fn the_share_of_the_year_falls_with_joining_later() {
        let calendar = Calendar::new(as_of());
        let share = |days| calendar.share_since(as_of() - Days::new(days));
        assert!((share(5_000) - 1.0).abs() < 1e-12);
        assert!((share(DAYS) - 1.0).abs() < 1e-12);
        assert!((0.45..0.55).contains(&share(182)), "{}", share(182));
        assert!(share(1) > 0.0 && share(1) < 0.005);
    }

    #[test]
    fn sundays_and_nights_are_quiet_and_summer_is_busy() {
        let calendar = Calendar::new(as_of());
        let mut rng = DriverRng::seed_from_u64(2);
        let moments: Vec<_> = (0..20_000)
            .map(|_| calendar.moment(&mut rng, as_of() - Days::new(DAYS)))
            .collect();
        let count = |is: fn(&DateTime<Utc>) -> bool| moments.iter().filter(|moment| is(moment)).count();
        assert!(count(|at| at.weekday() == Weekday::Sun) * 5 < count(|at| at.weekday() == Weekday::Fri) * 4);
        assert!(count(|at| at.hour() == 3) * 20 < count(|at| at.hour() == 17));
        assert!(count(|at| at.month() == 1) * 10 < count(|at| at.month() == 7) * 9);
    }
}
