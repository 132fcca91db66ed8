//! Money in whole cents: sums are exact and the same in Rust, in SQL and in JSON.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An amount in hundredths of the currency unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Cents(pub i64);

impl Add for Cents {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(
            f,
            "{sign}{}.{:02}",
            self.0.unsigned_abs() / 100,
            self.0.unsigned_abs() % 100
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Cents;

    #[test]
    fn amounts_add_up_and_print_with_two_places() {
        let total: Cents = [Cents(199), Cents(1), Cents(-250)].into_iter().sum();
        assert_eq!(total, Cents(-50));
        assert_eq!(total.to_string(), "-0.50");
        assert_eq!(Cents(123_456).to_string(), "1234.56");
    }
}
