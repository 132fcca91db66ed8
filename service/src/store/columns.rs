//! How the domain's numbers and words stand in columns.
//!
//! This stands here and not with the types, because the domain knows no database.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgRow, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, FromRow, Postgres, Row as _, Type};
use uuid::Uuid;

use super::Versioned;
use crate::domain::claims::ClaimStatus;
use crate::domain::drivers::DriverStatus;
use crate::domain::events::{EventId, EventName};
use crate::domain::ids::{ClaimId, DriverId, TripId, UserRole};
use crate::domain::money::Cents;
use crate::domain::policies::Coverage;
use crate::domain::risk::{Exposure, RiskBand, RiskScore};
use crate::domain::trips::{EventCounts64, EventKind};

/// Each line names a type, the type that its column has, and how a value is written and read.
macro_rules! columns {
    ($($kind:ty: $column:ty, $value:ident => $write:expr, $stored:ident => $read:expr;)+) => {$(
        impl Type<Postgres> for $kind {
            fn type_info() -> PgTypeInfo {
                <$column as Type<Postgres>>::type_info()
            }

            fn compatible(column: &PgTypeInfo) -> bool {
                <$column as Type<Postgres>>::compatible(column)
            }
        }

        impl Encode<'_, Postgres> for $kind {
            fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                let $value = *self;
                <$column as Encode<Postgres>>::encode($write, buffer)
            }
        }

        impl<'r> Decode<'r, Postgres> for $kind {
            fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
                let $stored = <$column as Decode<Postgres>>::decode(value)?;
                Ok($read)
            }
        }
    )+};
}

columns! {
    DriverId: i64, id => id.0, number => Self(number);
    ClaimId: i64, id => id.0, number => Self(number);
    TripId: Uuid, id => id.0, uuid => Self(uuid);
    EventId: Uuid, id => id.0, uuid => Self(uuid);
    Cents: i64, cents => cents.0, number => Self(number);
    // In hundredths of a point, so that sums are exact.
    RiskScore: i32, score => score.hundredths(), points_x100 => Self::from_hundredths(points_x100);
    ClaimStatus: &str, word => word.as_str(), text => text.parse()?;
    Coverage: &str, word => word.as_str(), text => text.parse()?;
    DriverStatus: &str, word => word.as_str(), text => text.parse()?;
    EventKind: &str, word => word.as_str(), text => text.parse()?;
    EventName: &str, word => word.as_str(), text => text.parse()?;
    RiskBand: &str, word => word.as_str(), text => text.parse()?;
    UserRole: &str, word => word.as_str(), text => text.parse()?;
}

impl<'r, T: FromRow<'r, PgRow>> FromRow<'r, PgRow> for Versioned<T> {
    fn from_row(row: &'r PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            value: T::from_row(row)?,
            version: row.try_get("version")?,
        })
    }
}

impl FromRow<'_, PgRow> for EventCounts64 {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            speeding: row.try_get("speeding")?,
            harsh_braking: row.try_get("harsh_braking")?,
            harsh_acceleration: row.try_get("harsh_acceleration")?,
            harsh_cornering: row.try_get("harsh_cornering")?,
        })
    }
}

impl FromRow<'_, PgRow> for Exposure {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            trips: row.try_get("trips")?,
            distance_m: row.try_get("distance_m")?,
            night_distance_m: row.try_get("night_distance_m")?,
            events: EventCounts64::from_row(row)?,
            claims: row.try_get("claims")?,
        })
    }
}
