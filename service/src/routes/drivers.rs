//! Drivers: as the back office sees and changes them, and what each has driven.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::extract::{Ask, DriverPath, JsonBody, PageQuery, given};
use super::{NO_SUCH_DRIVER, found, portfolio, written};
use crate::app::AppState;
use crate::auth::{Admin, DriverScope};
use crate::domain::drivers::{DriverChange, DriverStatus};
use crate::errors::ApiError;
use crate::store::{Driver, DriverDetails, DriverListItem, DriverStatistics};
use crate::usecases::{Answer, DRIVERS_SCOPE, PageBody, Question};

/// A page of the drivers, in order of their numbers.
#[utoipa::path(get, path = "/admin/drivers", operation_id = "driver_list", tag = "drivers", params(PageQuery),
    security(("token" = [])), responses((status = 200, body = PageBody<DriverListItem>, description = "The page")))]
pub async fn list(_: Admin, query: PageQuery, State(app): State<AppState>, ask: Ask) -> Result<Answer, ApiError> {
    let page = query.page(&app.cursors, DRIVERS_SCOPE)?;
    portfolio(&ask, Question::DriverList(page)).await
}

/// All about one driver.
#[utoipa::path(get, path = "/admin/drivers/{id}", operation_id = "driver_details", tag = "drivers",
    params(("id" = i64, Path, minimum = 1, description = "Number of the driver")),
    security(("token" = [])), responses((status = 200, body = DriverDetails, description = "The driver")))]
pub async fn details(_: Admin, DriverPath(id): DriverPath, ask: Ask) -> Result<Answer, ApiError> {
    found(ask.about(Question::DriverDetails(id)).await?)
}

/// Change of a driver; at least one field.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub struct DriverPatch {
    /// Given and family name: something visible, no control characters and no marks of direction.
    #[serde(default, deserialize_with = "given")]
    // Any, then one that is visible, then any.
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 100,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\
                     \\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]*\
                   [^\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\
                     \\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\
                     \\u0020\\u00a0\\u00ad\\u034f\\u115f\\u1160\\u1680\\u17b4\\u17b5\\u180e\
                     \\u2000-\\u200d\\u202f\\u205f\\u2800\\u3000\\u3164\\uffa0]\
                   [^\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\
                     \\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]*$"
    )]
    name: Option<String>,
    /// Address for mail.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, pattern = "^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,189}$")]
    email: Option<String>,
    /// Status of the contract.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    status: Option<DriverStatus>,
}

/// Changes a driver's own data. When it answers, this replica shows the change in every read.
#[utoipa::path(patch, path = "/admin/drivers/{id}", operation_id = "driver_update", tag = "drivers",
    params(("id" = i64, Path, minimum = 1, description = "Number of the driver")), request_body = DriverPatch,
    security(("token" = [])), responses(
        (status = 200, body = Driver, description = "The driver as changed"),
        (status = 409, description = "Another driver has this address")))]
pub async fn update(
    _: Admin,
    DriverPath(id): DriverPath,
    State(app): State<AppState>,
    JsonBody(patch): JsonBody<DriverPatch>,
) -> Result<Response, ApiError> {
    let change = DriverChange {
        name: patch.name,
        email: patch.email,
        status: patch.status,
    };
    let updated = app.writes.update_driver(id, change).await?;
    written(StatusCode::OK, updated, NO_SUCH_DRIVER)
}

/// A driver's trips and safety events in figures.
#[utoipa::path(get, path = "/drivers/{id}/statistics", operation_id = "driver_statistics", tag = "drivers",
    params(("id" = i64, Path, minimum = 1, description = "Number of the driver")),
    security(("token" = [])), responses((status = 200, body = DriverStatistics, description = "The statistics")))]
pub async fn statistics(DriverScope(id, _share): DriverScope, ask: Ask) -> Result<Answer, ApiError> {
    found(ask.about(Question::DriverStatistics(id)).await?)
}
