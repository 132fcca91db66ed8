//! Risk scores.

use super::extract::Ask;
use super::found;
use crate::auth::DriverScope;
use crate::errors::ApiError;
use crate::store::CurrentRisk;
use crate::usecases::{Answer, Question};

/// A driver's score and the exposure behind it.
#[utoipa::path(get, path = "/risk/{id}/current", operation_id = "risk_current", tag = "rating",
    params(("id" = i64, Path, minimum = 1, description = "Number of the driver")),
    security(("token" = [])), responses((status = 200, body = CurrentRisk, description = "The score")))]
pub async fn current(DriverScope(id, _share): DriverScope, ask: Ask) -> Result<Answer, ApiError> {
    found(ask.about(Question::CurrentRisk(id)).await?)
}
