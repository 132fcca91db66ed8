//! Drivers, as the back office sees them.

use axum::extract::State;

use super::extract::DriverPath;
use super::found;
use crate::app::AppState;
use crate::auth::Admin;
use crate::errors::ApiError;
use crate::usecases::{Answer, Question};

/// `GET /admin/drivers/{id}`: all about one driver.
pub async fn details(_: Admin, DriverPath(id): DriverPath, State(app): State<AppState>) -> Result<Answer, ApiError> {
    found(app.reads.ask(Question::DriverDetails(id)).await?)
}
