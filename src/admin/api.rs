//! Paths and answers of the admin API.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::change::{self, Parameters};
use super::guard::{self, Caller, Who};
use super::instance::{self, Instance};
use super::order::Wish;
use super::problem::Problem;
use super::{dashboard, events, explain, requests, scrape, stats, status, steer};

pub(super) fn router(instance: Arc<Instance>) -> Router {
    Router::new()
        .route("/", get(dashboard::page))
        .route("/dashboard.css", get(dashboard::style))
        .route("/dashboard.js", get(dashboard::script))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/events", get(show_events))
        .route("/v1/stats", get(show_stats))
        .route("/v1/status", get(show_status))
        .route("/v1/pools", get(show_pools))
        .route("/v1/pools/{pool}", get(show_pool))
        .route(
            "/v1/pools/{pool}/backends/{address}",
            get(show_backend).put(steer_backend),
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
        .route("/v1/reload", get(show_trial).post(reload))
        .route("/v1/reload/confirm", post(confirm))
        .route("/v1/reload/revert", post(revert))
        .route("/v1/config", get(show_config))
        .route("/v1/config/history", get(show_history))
        .route(
            "/v1/config/diff",
            post(compare).layer(DefaultBodyLimit::max(TEXT_MOST)),
        )
        .route("/v1/config/rollback/{generation}", post(rollback))
}

/// What would become of a request, and what has become of some.
fn stories() -> Router<Arc<Instance>> {
    Router::new()
        .route("/v1/explain", post(explain_request))
        .route("/v1/requests", get(show_requests))
        .route("/v1/requests/{id}", get(show_request))
}

async fn explain_request(
    State(instance): State<Arc<Instance>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = body.map_err(|error| Problem::new(error.status(), error.body_text()));
    match body.and_then(|body| explain::explain(&instance, &body)) {
        Ok(answer) => Json(answer).into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn show_requests(
    State(instance): State<Arc<Instance>>,
    RawQuery(query): RawQuery,
) -> Response {
    match requests::Wanted::read(query.as_deref().unwrap_or_default()) {
        Ok(wanted) => Json(requests::stories(&instance, wanted)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn show_request(State(instance): State<Arc<Instance>>, Path(id): Path<String>) -> Response {
    match requests::story(&instance, &id) {
        Ok(story) => Json(story).into_response(),
        Err(problem) => problem.into_response(),
    }
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
    scrape::answer(&instance)
}

async fn show_status(State(instance): State<Arc<Instance>>) -> Json<status::Status> {
    Json(status::Status::of(&instance))
}

async fn show_events(
    State(instance): State<Arc<Instance>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    events::stream(&instance, &uri, &headers)
}

/// What happens in the second after the question.
async fn show_stats(State(instance): State<Arc<Instance>>) -> Response {
    let mut seen = instance.looking.look();
    match stats::next(&mut seen).await {
        Some(stats) => Json(&*stats).into_response(),
        None => problem(StatusCode::SERVICE_UNAVAILABLE, "the instance is ending"),
    }
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
        let who = admit(&instance, caller, &headers)?;
        let body = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        steer::steer(&instance, &who, (&pool, &address), &body).await
    };
    match steered.await {
        Ok(status) => Json(status).into_response(),
        Err(problem) => problem.into_response(),
    }
}

fn admit(instance: &Instance, caller: Caller, headers: &HeaderMap) -> Result<Who, Problem> {
    guard::admit(instance.token().as_ref(), caller, headers)
}

async fn show_trial(State(instance): State<Arc<Instance>>) -> Response {
    change::ask(&instance, Wish::Trial).await
}

async fn show_history(State(instance): State<Arc<Instance>>) -> Response {
    change::ask(&instance, Wish::History).await
}

async fn reload(
    State(instance): State<Arc<Instance>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    query: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let wish = || parameters(query)?.reload();
    steered(&instance, caller, &headers, wish).await
}

async fn rollback(
    State(instance): State<Arc<Instance>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(generation): Path<String>,
    query: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let wish = || parameters(query)?.rollback(&generation);
    steered(&instance, caller, &headers, wish).await
}

async fn confirm(
    State(instance): State<Arc<Instance>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    headers: HeaderMap,
) -> Response {
    steered(&instance, caller, &headers, || Ok(Wish::Confirm)).await
}

async fn revert(
    State(instance): State<Arc<Instance>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    headers: HeaderMap,
) -> Response {
    steered(&instance, caller, &headers, || Ok(Wish::Revert)).await
}

/// Fields that the configuration sets may be secrets: it is shown to whoever may steer.
async fn show_config(
    State(instance): State<Arc<Instance>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    headers: HeaderMap,
) -> Response {
    steered(&instance, caller, &headers, || Ok(Wish::Show)).await
}

async fn compare(
    State(instance): State<Arc<Instance>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let wish = || {
        let body = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        let text = String::from_utf8(body.to_vec());
        let text = text.map_err(|_| Problem::bad("the configuration is not UTF-8"))?;
        Ok(Wish::Compare(text))
    };
    steered(&instance, caller, &headers, wish).await
}

/// Has it done if the caller may steer. Who that is, is asked before anything of the wish is read.
async fn steered(
    instance: &Instance,
    caller: Caller,
    headers: &HeaderMap,
    wish: impl FnOnce() -> Result<Wish, Problem>,
) -> Response {
    let admitted = admit(instance, caller, headers).and_then(|who| Ok((who, wish()?)));
    match admitted {
        Ok((who, wish)) => change::order(instance, &who, wish).await,
        Err(problem) => problem.into_response(),
    }
}

fn parameters(query: Result<Query<Parameters>, QueryRejection>) -> Result<Parameters, Problem> {
    let query = query.map_err(|error| {
        Problem::bad(format!(
            "{}; there are `dry_run`, `confirm`, `errors` and `latency`",
            error.body_text()
        ))
    });
    query.map(|Query(parameters)| parameters)
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
