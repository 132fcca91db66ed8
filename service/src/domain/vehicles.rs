//! Vehicles, as far as rating looks at them.

use chrono::{Datelike as _, NaiveDate};

/// Full years between a model's year and a day; a model of next year counts as new.
pub fn age_years(model_year: i32, on: NaiveDate) -> u32 {
    u32::try_from(on.year() - model_year).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_ages_with_the_calendar_year() {
        let day = |text: &str| text.parse().unwrap();
        assert_eq!(age_years(2020, day("2026-01-01")), 6);
        assert_eq!(age_years(2020, day("2020-12-31")), 0);
        assert_eq!(age_years(2027, day("2026-12-31")), 0);
    }
}
