//! Claims: reported by drivers, settled by the back office.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{NaiveDate, Utc};
use serde::Deserialize;
use utoipa::ToSchema;

use super::extract::{ClaimPath, JsonBody, given, given_whole, whole};
use super::{NO_SUCH_DRIVER, written};
use crate::app::AppState;
use crate::auth::{Admin, DriverScope};
use crate::domain::claims::{ClaimChange, ClaimStatus, NewClaim};
use crate::domain::money::Cents;
use crate::errors::ApiError;
use crate::store::ClaimOfDriver;

/// A claim as it is reported.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimBody {
    /// Estimated cost of the damage, in cents.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    amount_cents: i64,
    /// Day of the damage, not before 2000 and not in the future.
    occurred_on: NaiveDate,
}

/// Reports a claim. When it answers, this replica shows the claim in every read.
#[utoipa::path(post, path = "/drivers/{id}/claims", operation_id = "claim_report", tag = "claims",
    params(("id" = i64, Path, minimum = 1, description = "Number of the driver")), request_body = ClaimBody,
    security(("token" = [])), responses((status = 201, body = ClaimOfDriver, description = "The claim, open")))]
pub async fn report(
    DriverScope(id, _share): DriverScope,
    State(app): State<AppState>,
    JsonBody(body): JsonBody<ClaimBody>,
) -> Result<Response, ApiError> {
    let claim = NewClaim {
        amount: Cents(body.amount_cents),
        occurred_on: body.occurred_on,
    };
    let filed = app.writes.file_claim(id, claim, Utc::now()).await?;
    written(StatusCode::CREATED, filed, NO_SUCH_DRIVER)
}

/// Change of a claim; at least one field.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub struct ClaimPatch {
    /// New status; `paid` and `rejected` are final.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    status: Option<ClaimStatus>,
    /// New amount, in cents.
    #[serde(default, deserialize_with = "given_whole")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000)]
    amount_cents: Option<i64>,
}

/// Changes or settles an open claim.
#[utoipa::path(patch, path = "/claims/{id}", operation_id = "claim_update", tag = "claims",
    params(("id" = i64, Path, minimum = 1, description = "Number of the claim")), request_body = ClaimPatch,
    security(("token" = [])), responses(
        (status = 200, body = ClaimOfDriver, description = "The claim as changed"),
        (status = 409, description = "The claim is settled")))]
pub async fn update(
    _: Admin,
    ClaimPath(id): ClaimPath,
    State(app): State<AppState>,
    JsonBody(patch): JsonBody<ClaimPatch>,
) -> Result<Response, ApiError> {
    let change = ClaimChange {
        status: patch.status,
        amount: patch.amount_cents.map(Cents),
    };
    let changed = app.writes.change_claim(id, change).await?;
    written(StatusCode::OK, changed, "there is no claim of this id")
}
