//! Premiums.

use super::extract::Ask;
use super::found;
use crate::auth::DriverScope;
use crate::errors::ApiError;
use crate::store::Premium;
use crate::usecases::{Answer, Question};

/// The price of a driver's cover for a year at the current score.
#[utoipa::path(get, path = "/pricing/{id}/premium", operation_id = "premium", tag = "rating",
    params(("id" = i64, Path, minimum = 1, description = "Number of the driver")),
    security(("token" = [])), responses((status = 200, body = Premium, description = "The premium")))]
pub async fn premium(DriverScope(id, _share): DriverScope, ask: Ask) -> Result<Answer, ApiError> {
    found(ask.about(Question::Premium(id)).await?)
}
