//! `POST /admin/reload`: reads the configuration and the plugins again, and says what came of it.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{Response, StatusCode},
};
use serde::Serialize;

use super::Operator;
use crate::{
    api::{Shared, answer::json, kinds, problem::Problem, refusals},
    observe::ReloadOutcome,
};

/// What came of a reload.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct ReloadedView {
    /// applied or unchanged.
    outcome: &'static str,
    /// The generation in force.
    generation: u64,
    /// What changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<String>,
    /// What was left out, being wrong: of a host that was started degraded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    /// How long it took, in milliseconds.
    took_ms: u64,
}

/// Reloads. What is wrong with the files is all told.
pub(in crate::api) async fn reload(
    State(shared): State<Arc<Shared>>,
    _operator: Operator,
) -> Result<Response<Body>, Problem> {
    let Some(done) = shared.api.operate.reload().await else {
        return Err(refusals::stopping());
    };
    if done.outcome == ReloadOutcome::Rejected {
        let detail = format!(
            "{} error(s); nothing was changed, generation {} stays in force.",
            done.errors.len(),
            done.generation
        );
        return Err(Problem::new(kinds::RELOAD_REJECTED, detail).with("reasons", done.errors));
    }
    let view = ReloadedView {
        outcome: done.outcome.word(),
        generation: done.generation,
        changes: done.changes,
        problems: done.errors,
        took_ms: u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX),
    };
    Ok(json(StatusCode::OK, &view))
}
