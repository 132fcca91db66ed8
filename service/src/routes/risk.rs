//! Risk scores.

use axum::extract::State;

use super::found;
use crate::app::AppState;
use crate::auth::DriverScope;
use crate::errors::ApiError;
use crate::usecases::{Answer, Question};

/// `GET /risk/{id}/current`: a driver's score and the exposure behind it.
pub async fn current(DriverScope(id): DriverScope, State(app): State<AppState>) -> Result<Answer, ApiError> {
    found(app.reads.ask(Question::CurrentRisk(id)).await?)
}
