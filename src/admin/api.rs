//! Paths of the admin API, and what is answered where there is none. The answers: [`look`] and [`steering`], each beside what
//! `/openapi.json` says of it.

pub(super) mod look;
pub(super) mod steering;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::instance::Instance;
use super::problem::Problem;
use super::{dashboard, guard, openapi};

pub(super) fn router(instance: Arc<Instance>) -> Router {
    Router::new()
        .route("/", get(dashboard::page))
        .route("/dashboard.css", get(dashboard::style))
        .route("/dashboard.js", get(dashboard::script))
        .route("/openapi.json", get(openapi::show))
        .route("/healthz", get(look::healthz))
        .route("/readyz", get(look::readyz))
        .route("/metrics", get(look::metrics))
        .route("/v1/events", get(look::show_events))
        .route("/v1/stats", get(look::show_stats))
        .route("/v1/status", get(look::show_status))
        .route("/v1/pools", get(look::show_pools))
        .route("/v1/pools/{pool}", get(look::show_pool))
        .route(
            "/v1/pools/{pool}/backends/{address}",
            get(look::show_backend).put(steering::steer_backend),
        )
        .merge(changes())
        .merge(stories())
        .layer(DefaultBodyLimit::max(BODY_MOST))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn_with_state(Arc::clone(&instance), guard::watch))
        .with_state(instance)
}

/// What changes the configuration, or tells of its changes.
fn changes() -> Router<Arc<Instance>> {
    Router::new()
        .route(
            "/v1/reload",
            get(steering::show_trial).post(steering::reload),
        )
        .route("/v1/reload/confirm", post(steering::confirm))
        .route("/v1/reload/revert", post(steering::revert))
        .route("/v1/config", get(steering::show_config))
        .route("/v1/config/history", get(steering::show_history))
        .route(
            "/v1/config/diff",
            post(steering::compare).layer(DefaultBodyLimit::max(TEXT_MOST)),
        )
        .route("/v1/config/rollback/{generation}", post(steering::rollback))
}

/// What would become of a request, and what has become of some.
fn stories() -> Router<Arc<Instance>> {
    Router::new()
        .route("/v1/explain", post(look::explain_request))
        .route("/v1/requests", get(look::show_requests))
        .route("/v1/requests/{id}", get(look::show_request))
}

async fn nothing_here(uri: Uri) -> Response {
    problem(
        StatusCode::NOT_FOUND,
        &format!("there is nothing at {}", uri.path()),
    )
}

async fn not_allowed() -> Response {
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method",
    )
}

fn problem(status: StatusCode, detail: &str) -> Response {
    Problem::new(status, detail).into_response()
}

/// More than any wish takes.
const BODY_MOST: usize = 16 * 1024;

/// More than ten thousand routes take.
const TEXT_MOST: usize = 16 * 1024 * 1024;
