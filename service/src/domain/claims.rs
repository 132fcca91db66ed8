//! Claims: which of them count, what a new one must say, and how one may go on.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::ids::{ClaimId, DriverId};
use super::money::Cents;

/// Largest amount of a claim: ten million of the currency unit. A larger one is a slip of the keyboard, and sums over
/// a portfolio stay far inside 64 bits.
pub const AMOUNT_MAX: Cents = Cents(1_000_000_000);
/// Earliest day of damage that is taken, as for trips: 2000-01-01, in days since 0001-01-01 (which is day 1).
const OCCURRED_MIN_DAY: i32 = 730_120;

text_enum! {
    /// Status of a claim.
    pub enum ClaimStatus {
        /// Reported; its amount is the reserve set aside for it.
        Open => "open",
        /// Settled; its amount is what was paid.
        Paid => "paid",
        /// Refused: it neither costs anything nor counts against the driver.
        Rejected => "rejected",
    }
}

impl ClaimStatus {
    /// Whether the claim is part of the incurred amount (paid and outstanding) and of the driver's record.
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Rejected)
    }
}

/// A claim as it is reported. It begins open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewClaim {
    /// Estimated cost of the damage.
    pub amount: Cents,
    /// Day of the damage.
    pub occurred_on: NaiveDate,
}

/// Change of a claim; `None` leaves a field as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClaimChange {
    /// New status.
    pub status: Option<ClaimStatus>,
    /// New amount.
    pub amount: Option<Cents>,
}

/// The part of a claim that may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimState {
    /// Status of the claim.
    pub status: ClaimStatus,
    /// Reserve while open, payment once paid.
    pub amount: Cents,
}

/// Why a claim, or a change of one, is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// `amount_cents` out of range.
    #[error("amount_cents is {}, but must be from 1 to {}", .0.0, AMOUNT_MAX.0)]
    Amount(Cents),
    /// `occurred_on` before 2000.
    #[error("occurred_on is {0}, but must not be before 2000-01-01")]
    TooEarly(NaiveDate),
    /// `occurred_on` after today.
    #[error("occurred_on is {0}, which is in the future")]
    InFuture(NaiveDate),
    /// Nothing is to change.
    #[error("the change is empty: give status, amount_cents or both")]
    Empty,
    /// The claim is settled.
    #[error("the claim is {0}, which is final")]
    Final(ClaimStatus),
}

impl NewClaim {
    /// Checks the claim on the day `today` (UTC).
    pub fn validate_on(&self, today: NaiveDate) -> Result<(), ClaimError> {
        use chrono::Datelike as _;
        check_amount(self.amount)?;
        if self.occurred_on.num_days_from_ce() < OCCURRED_MIN_DAY {
            return Err(ClaimError::TooEarly(self.occurred_on));
        }
        if self.occurred_on > today {
            return Err(ClaimError::InFuture(self.occurred_on));
        }
        Ok(())
    }
}

impl ClaimChange {
    /// Checks what can be checked without the claim.
    pub fn validate(&self) -> Result<(), ClaimError> {
        if *self == Self::default() {
            return Err(ClaimError::Empty);
        }
        self.amount.map_or(Ok(()), check_amount)
    }
}

impl ClaimState {
    /// The state after `change`. A paid or rejected claim is final: its money has moved and its driver has been told.
    pub fn after(self, change: ClaimChange) -> Result<Self, ClaimError> {
        if self.status != ClaimStatus::Open {
            return Err(ClaimError::Final(self.status));
        }
        Ok(Self {
            status: change.status.unwrap_or(self.status),
            amount: change.amount.unwrap_or(self.amount),
        })
    }

    /// The claim's part of the incurred amount.
    pub const fn incurred(self) -> Cents {
        if self.status.counts() { self.amount } else { Cents(0) }
    }
}

fn check_amount(amount: Cents) -> Result<(), ClaimError> {
    if (Cents(1)..=AMOUNT_MAX).contains(&amount) {
        Ok(())
    } else {
        Err(ClaimError::Amount(amount))
    }
}

/// The event that tells that a claim was reported or has changed; what stands in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimChanged {
    /// Driver who has the claim.
    pub driver_id: DriverId,
    /// Number of the claim.
    pub claim_id: ClaimId,
    /// The driver's version that the change made.
    pub version: i64,
    /// Status after the change.
    pub status: ClaimStatus,
    /// Amount after the change.
    pub amount_cents: Cents,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn claim() -> NewClaim {
        NewClaim {
            amount: Cents(150_000),
            occurred_on: day("2026-03-01"),
        }
    }

    #[test]
    fn each_fault_of_a_new_claim_is_named() {
        let today = day("2026-03-01");
        assert_eq!(claim().validate_on(today), Ok(()));
        let yesterday = day("2026-02-28");
        assert_eq!(
            claim().validate_on(yesterday),
            Err(ClaimError::InFuture(claim().occurred_on))
        );
        let early = day("1999-12-31");
        let old = NewClaim {
            occurred_on: early,
            ..claim()
        };
        assert_eq!(old.validate_on(today), Err(ClaimError::TooEarly(early)));
        assert_eq!(
            NewClaim {
                occurred_on: day("2000-01-01"),
                ..claim()
            }
            .validate_on(today),
            Ok(())
        );
        for amount in [Cents(0), Cents(-1), AMOUNT_MAX + Cents(1)] {
            let faulty = NewClaim { amount, ..claim() };
            assert_eq!(faulty.validate_on(today), Err(ClaimError::Amount(amount)));
        }
    }

    #[test]
    fn an_empty_change_is_none() {
        assert_eq!(ClaimChange::default().validate(), Err(ClaimError::Empty));
        let amount = Cents(0);
        let change = ClaimChange {
            amount: Some(amount),
            ..ClaimChange::default()
        };
        assert_eq!(change.validate(), Err(ClaimError::Amount(amount)));
    }

    fn status() -> impl Strategy<Value = ClaimStatus> {
        prop::sample::select(ClaimStatus::ALL)
    }

    proptest! {
        #[test]
        fn only_an_open_claim_changes_and_it_becomes_what_was_said(
            from in status(), to in prop::option::of(status()),
            before in 1..1_000_i64, amount in prop::option::of(1..1_000_i64),
        ) {
            let state = ClaimState { status: from, amount: Cents(before) };
            let change = ClaimChange { status: to, amount: amount.map(Cents) };
            match state.after(change) {
                Ok(after) => {
                    prop_assert_eq!(from, ClaimStatus::Open);
                    prop_assert_eq!(after.status, to.unwrap_or(from));
                    prop_assert_eq!(after.amount, Cents(amount.unwrap_or(before)));
                    prop_assert!(after.incurred() == after.amount || after.status == ClaimStatus::Rejected);
                }
                Err(error) => prop_assert_eq!(error, ClaimError::Final(from)),
            }
        }
    }
}
