//! The dashboards of the back office.

use axum::extract::State;

use crate::app::AppState;
use crate::auth::Admin;
use crate::errors::ApiError;
use crate::usecases::{Answer, Question};

/// `GET /admin/dashboard/summary`: the portfolio in figures.
pub async fn summary(_: Admin, State(app): State<AppState>) -> Result<Answer, ApiError> {
    let answer = app.reads.ask(Question::DashboardSummary).await?;
    answer.ok_or(ApiError::NotFound("there is no summary"))
}
