//! Paths and answers of the admin API.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::guard::{self, Caller};
use super::instance::{self, Instance};
use super::problem::Problem;
use super::{scrape, status, steer};
use crate::telemetry::exposition::CONTENT_TYPE;

pub(super) fn router(instance: Arc<Instance>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/status", get(show_status))
        .route("/v1/pools", get(show_pools))
        .route("/v1/pools/{pool}", get(show_pool))
        .route(
            "/v1/pools/{pool}/backends/{address}",
            get(show_backend).put(steer_backend),
        )
        .layer(DefaultBodyLimit::max(BODY_MOST))
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
        None => steer::no_pool(&snapshot, &name).into_response(),
    }
}

async fn show_backend(
    State(instance): State<Arc<Instance>>,
    Path((pool, address)): Path<(String, String)>,
) -> Response {
    match steer::find(&instance.snapshots.load(), &pool, &address) {
        Ok((_, member)) => Json(status::backend(&member)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn steer_backend(
    State(instance): State<Arc<Instance>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path((pool, address)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let steered = async {
        let who = guard::admit(instance.token.as_ref(), caller, &headers)?;
        let body = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        steer::steer(&instance, &who, (&pool, &address), &body).await
    };
    match steered.await {
        Ok(status) => Json(status).into_response(),
        Err(problem) => problem.into_response(),
    }
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
