//! Paths and answers of the admin API.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::instance::{self, Instance};
use super::{scrape, status};
use crate::telemetry::exposition::CONTENT_TYPE;

pub(super) fn router(instance: Arc<Instance>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/status", get(show_status))
        .route("/v1/pools", get(show_pools))
        .route("/v1/pools/{pool}", get(show_pool))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_allowed)
        .with_state(instance)
}

/// The process lives: that it answers says it.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether it wants traffic.
async fn readyz(State(instance): State<Arc<Instance>>) -> Response {
    let state = instance.state();
    match state {
        instance::State::Serving => (StatusCode::OK, "serving\n").into_response(),
        instance::State::Draining | instance::State::Starting => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!("the instance is {}", state.as_str()),
        ),
    }
}

async fn metrics(State(instance): State<Arc<Instance>>) -> Response {
    (
        [(header::CONTENT_TYPE, CONTENT_TYPE)],
        scrape::text(&instance),
    )
        .into_response()
}

async fn show_status(State(instance): State<Arc<Instance>>) -> Json<status::Status> {
    Json(status::Status::of(&instance))
}

async fn show_pools(State(instance): State<Arc<Instance>>) -> Json<Vec<status::PoolStatus>> {
    let snapshot = instance.snapshots.load();
    let pools = snapshot.pools.iter();
    Json(pools.map(|pool| status::pool_status(pool)).collect())
}

async fn show_pool(State(instance): State<Arc<Instance>>, Path(name): Path<String>) -> Response {
    let snapshot = instance.snapshots.load();
    match snapshot.pools.iter().find(|pool| *pool.name == *name) {
        Some(pool) => Json(status::pool_status(pool)).into_response(),
        None => problem(StatusCode::NOT_FOUND, &format!("there is no pool {name:?}")),
    }
}

async fn nothing_here(uri: Uri) -> Response {
    problem(
        StatusCode::NOT_FOUND,
        &format!("there is nothing at {}", uri.path()),
    )
}

async fn not_allowed() -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, "this path can only be read")
}

/// RFC 9457.
fn problem(status: StatusCode, detail: &str) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    (
        status,
        [(header::CONTENT_TYPE, "application/problem+json")],
        body.to_string(),
    )
        .into_response()
}
