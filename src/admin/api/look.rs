//! What can be looked at: probes, figures, how things stand, what becomes of requests.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::problem;
use crate::admin::events;
use crate::admin::explain;
use crate::admin::instance::{self, Instance};
use crate::admin::openapi::Refused;
use crate::admin::problem::{Details, Problem};
use crate::admin::requests::{self, Stories, Story};
use crate::admin::scrape;
use crate::admin::stats::{self, Stats};
use crate::admin::status::{self, BackendStatus, PoolStatus, Status};
use crate::admin::steer;
use crate::explain::{Answer, Asked};

/// The process lives: that it answers says it.
#[utoipa::path(get, path = "/healthz", tag = "probes", security(()), responses(
    (status = 200, description = "It lives.", content_type = "text/plain", body = String),
))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether it wants traffic.
#[utoipa::path(get, path = "/readyz", tag = "probes", security(()), responses(
    (status = 200, description = "It serves.", content_type = "text/plain", body = String),
    (status = 503, description = "It starts or drains.", content_type = "application/problem+json", body = Details),
))]
pub(super) async fn readyz(State(instance): State<Arc<Instance>>) -> Response {
    let state = instance.state();
    match state {
        instance::State::Serving => (StatusCode::OK, "serving\n").into_response(),
        instance::State::Draining | instance::State::Starting => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!("the instance is {}", state.as_str()),
        ),
    }
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "look", responses(
    (status = 200, description = "Its text format, version 0.0.4.", content_type = "text/plain", body = String),
    Refused,
))]
pub(super) async fn metrics(State(instance): State<Arc<Instance>>) -> Response {
    scrape::answer(&instance)
}

/// The running instance at a glance.
#[utoipa::path(get, path = "/v1/status", tag = "look", responses(
    (status = 200, description = "How it stands.", body = Status),
    Refused,
))]
pub(super) async fn show_status(State(instance): State<Arc<Instance>>) -> Json<Status> {
    Json(Status::of(&instance))
}

/// The operator's log, and with `stats` the figures of each second, as server-sent events.
#[utoipa::path(get, path = "/v1/events", tag = "look",
    params(
        ("stats" = Option<bool>, Query, description = "Whether figures come too, once a second, as `stats`."),
        ("last-event-id" = Option<String>, Header, description = "The last event that was seen: those after it come first."),
    ),
    responses(
        (status = 200, description = "Events `log`, `lost` and `stats`, until the instance ends.", content_type = "text/event-stream", body = String),
        (status = 400, description = "The query is not understood.", content_type = "application/problem+json", body = Details),
        Refused,
        (status = 503, description = "Too many listen already.", content_type = "application/problem+json", body = Details),
    ),
)]
pub(super) async fn show_events(
    State(instance): State<Arc<Instance>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    events::stream(&instance, &uri, &headers)
}

/// What happens in the second after the question.
#[utoipa::path(get, path = "/v1/stats", tag = "look", responses(
    (status = 200, description = "The figures of about one second, which the answer waits for.", body = Stats),
    Refused,
    (status = 503, description = "The instance is ending.", content_type = "application/problem+json", body = Details),
))]
pub(super) async fn show_stats(State(instance): State<Arc<Instance>>) -> Response {
    let mut seen = instance.looking.look();
    match stats::next(&mut seen).await {
        Some(stats) => Json(&*stats).into_response(),
        None => problem(StatusCode::SERVICE_UNAVAILABLE, "the instance is ending"),
    }
}

/// The pools, in the order of the file.
#[utoipa::path(get, path = "/v1/pools", tag = "look", responses(
    (status = 200, description = "How they stand.", body = Vec<PoolStatus>),
    Refused,
))]
pub(super) async fn show_pools(State(instance): State<Arc<Instance>>) -> Json<Vec<PoolStatus>> {
    let snapshot = instance.snapshots.load();
    let pools = snapshot.pools.iter();
    Json(pools.map(|pool| status::pool_status(pool)).collect())
}

/// One pool.
#[utoipa::path(get, path = "/v1/pools/{pool}", tag = "look",
    params(("pool" = String, Path, description = "Its name.", example = "shop")),
    responses(
        (status = 200, description = "How it stands.", body = PoolStatus),
        Refused,
        (status = 404, description = "There is none of this name; says which there are.", content_type = "application/problem+json", body = Details),
    ),
)]
pub(super) async fn show_pool(
    State(instance): State<Arc<Instance>>,
    Path(name): Path<String>,
) -> Response {
    let snapshot = instance.snapshots.load();
    match snapshot.pools.iter().find(|pool| *pool.name == *name) {
        Some(pool) => Json(status::pool_status(pool)).into_response(),
        None => steer::no_pool(&snapshot, &name).into_response(),
    }
}

/// One backend.
#[utoipa::path(get, path = "/v1/pools/{pool}/backends/{address}", tag = "look",
    params(
        ("pool" = String, Path, description = "Its pool.", example = "shop"),
        ("address" = String, Path, description = "Its address, as the configuration writes it.", example = "10.0.0.11:8080"),
    ),
    responses(
        (status = 200, description = "How it stands.", body = BackendStatus),
        Refused,
        (status = 404, description = "There is none; says which there are.", content_type = "application/problem+json", body = Details),
    ),
)]
pub(super) async fn show_backend(
    State(instance): State<Arc<Instance>>,
    Path((pool, address)): Path<(String, String)>,
) -> Response {
    match steer::find(&instance.snapshots.load(), &pool, &address) {
        Ok((_, member)) => Json(status::backend(&member)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// What would become of a request now: which route and backend take it, and why not the others. Changes nothing.
#[utoipa::path(post, path = "/v1/explain", tag = "look", security((), ("token" = [])),
    request_body(content = Asked, description = "The request, as somebody describes it.", example = json!({"url": "https://shop.example/cart", "client": "203.0.113.7"})),
    responses(
        (status = 200, description = "What would become of it.", body = Answer),
        (status = 400, description = "The question is not understood.", content_type = "application/problem+json", body = Details),
        Refused,
        (status = 413, description = "It is too long.", content_type = "application/problem+json", body = Details),
    ),
)]
pub(super) async fn explain_request(
    State(instance): State<Arc<Instance>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = body.map_err(|error| Problem::new(error.status(), error.body_text()));
    match body.and_then(|body| explain::explain(&instance, &body)) {
        Ok(answer) => Json(answer).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// Requests of late that are remembered, the latest first.
#[utoipa::path(get, path = "/v1/requests", tag = "look",
    params(
        ("errors" = Option<bool>, Query, description = "Whether only those that failed are wanted."),
        ("limit" = Option<u32>, Query, description = "How many at most. Default: 100.", example = 20),
    ),
    responses(
        (status = 200, description = "Lines of the access log.", body = Stories),
        (status = 400, description = "The query is not understood.", content_type = "application/problem+json", body = Details),
        Refused,
    ),
)]
pub(super) async fn show_requests(
    State(instance): State<Arc<Instance>>,
    RawQuery(query): RawQuery,
) -> Response {
    match requests::Wanted::read(query.as_deref().unwrap_or_default()) {
        Ok(wanted) => Json(requests::stories(&instance, wanted)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// The story of one request.
#[utoipa::path(get, path = "/v1/requests/{id}", tag = "look",
    params(("id" = String, Path, description = "Its id, as in `x-request-id`.", example = "0f3a9c51d7b24e6680c1f2a3b4c5d6e7")),
    responses(
        (status = 200, description = "Its line of the access log, and what the codes in it mean.", body = Story),
        Refused,
        (status = 404, description = "It is not remembered.", content_type = "application/problem+json", body = Details),
    ),
)]
pub(super) async fn show_request(
    State(instance): State<Arc<Instance>>,
    Path(id): Path<String>,
) -> Response {
    match requests::story(&instance, &id) {
        Ok(story) => Json(story).into_response(),
        Err(problem) => problem.into_response(),
    }
}
