//! What steers, or is shown only to whoever may: backends, reloads, rollbacks, the configuration.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use crate::admin::change::{self, Parameters};
use crate::admin::guard::{self, Caller, Who};
use crate::admin::instance::Instance;
use crate::admin::openapi::{Refused, RefusedSteering};
use crate::admin::order::{Configuration, Outcome, Past, TrialStatus, Wish};
use crate::admin::problem::{Details, Problem};
use crate::admin::status::BackendStatus;
use crate::admin::steer;

/// Steers a backend: drains it, takes it out, lets it back in, changes its share.
#[utoipa::path(put, path = "/v1/pools/{pool}/backends/{address}", tag = "steer", security(("token" = [])),
    params(
        ("pool" = String, Path, description = "Its pool.", example = "shop"),
        ("address" = String, Path, description = "Its address, as the configuration writes it.", example = "10.0.0.11:8080"),
    ),
    request_body(content = steer::Wish, description = "`state` or `weight`, or both.", example = json!({"state": "draining", "deadline": "5m"})),
    responses(
        (status = 200, description = "How it stands now that new requests go by it.", body = BackendStatus),
        (status = 400, description = "The wish is not understood.", content_type = "application/problem+json", body = Details),
        RefusedSteering,
        (status = 404, description = "There is none; says which there are.", content_type = "application/problem+json", body = Details),
        (status = 413, description = "The wish is too long.", content_type = "application/problem+json", body = Details),
        (status = 503, description = "It is noted, but not done yet.", content_type = "application/problem+json", body = Details),
    ),
)]
pub(super) async fn steer_backend(
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

/// How the configuration on trial stands, and how the last trial ended.
#[utoipa::path(get, path = "/v1/reload", tag = "look", responses(
    (status = 200, description = "How it stands.", body = TrialStatus),
    Refused,
    (status = 503, description = "Nobody governs now.", content_type = "application/problem+json", body = Details),
))]
pub(super) async fn show_trial(State(instance): State<Arc<Instance>>) -> Response {
    change::ask(&instance, Wish::Trial).await
}

/// The configurations that were applied, the latest first.
#[utoipa::path(get, path = "/v1/config/history", tag = "look", responses(
    (status = 200, description = "When, and on whose behalf.", body = Vec<Past>),
    Refused,
    (status = 503, description = "Nobody governs now.", content_type = "application/problem+json", body = Details),
))]
pub(super) async fn show_history(State(instance): State<Arc<Instance>>) -> Response {
    change::ask(&instance, Wish::History).await
}

/// Has the configuration read again: tried out, applied, or applied on trial.
#[utoipa::path(post, path = "/v1/reload", tag = "steer", security(("token" = [])), params(Parameters), responses(
    (status = 200, description = "What changed, or would.", body = Outcome),
    (status = 400, description = "The query is not understood.", content_type = "application/problem+json", body = Details),
    RefusedSteering,
    (status = 409, description = "It goes against how things stand, such as a trial under way.", content_type = "application/problem+json", body = Details),
    (status = 422, description = "The configuration is bad; `problems` says where.", content_type = "application/problem+json", body = Details),
    (status = 503, description = "Nobody governs now.", content_type = "application/problem+json", body = Details),
))]
pub(super) async fn reload(
    State(instance): State<Arc<Instance>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    query: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let wish = || parameters(query)?.reload();
    steered(&instance, caller, &headers, wish).await
}

/// Applies an earlier generation again, as a new one.
#[utoipa::path(post, path = "/v1/config/rollback/{generation}", tag = "steer", security(("token" = [])),
    params(
        ("generation" = u64, Path, description = "Its number, as in the history.", example = 41),
        Parameters,
    ),
    responses(
        (status = 200, description = "What changed.", body = Outcome),
        (status = 400, description = "The query is not understood.", content_type = "application/problem+json", body = Details),
        RefusedSteering,
        (status = 404, description = "There is no such generation.", content_type = "application/problem+json", body = Details),
        (status = 409, description = "It goes against how things stand.", content_type = "application/problem+json", body = Details),
        (status = 422, description = "It cannot be used any more.", content_type = "application/problem+json", body = Details),
        (status = 503, description = "Nobody governs now.", content_type = "application/problem+json", body = Details),
    ),
)]
pub(super) async fn rollback(
    State(instance): State<Arc<Instance>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(generation): Path<String>,
    query: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let wish = || parameters(query)?.rollback(&generation);
    steered(&instance, caller, &headers, wish).await
}

/// Keeps the configuration that is on trial.
#[utoipa::path(post, path = "/v1/reload/confirm", tag = "steer", security(("token" = [])), responses(
    (status = 200, description = "It stays.", body = TrialStatus),
    RefusedSteering,
    (status = 409, description = "None is on trial.", content_type = "application/problem+json", body = Details),
    (status = 503, description = "Nobody governs now.", content_type = "application/problem+json", body = Details),
))]
pub(super) async fn confirm(
    State(instance): State<Arc<Instance>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    headers: HeaderMap,
) -> Response {
    steered(&instance, caller, &headers, || Ok(Wish::Confirm)).await
}

/// Goes back at once to what served before the trial.
#[utoipa::path(post, path = "/v1/reload/revert", tag = "steer", security(("token" = [])), responses(
    (status = 200, description = "It is gone.", body = TrialStatus),
    RefusedSteering,
    (status = 409, description = "None is on trial.", content_type = "application/problem+json", body = Details),
    (status = 503, description = "Nobody governs now.", content_type = "application/problem+json", body = Details),
))]
pub(super) async fn revert(
    State(instance): State<Arc<Instance>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    headers: HeaderMap,
) -> Response {
    steered(&instance, caller, &headers, || Ok(Wish::Revert)).await
}

/// The configuration as it was written. Fields that it sets may be secrets: it is shown to whoever may steer.
#[utoipa::path(get, path = "/v1/config", tag = "steer", security(("token" = [])), responses(
    (status = 200, description = "Its files.", body = Configuration),
    RefusedSteering,
    (status = 503, description = "Nobody governs now.", content_type = "application/problem+json", body = Details),
))]
pub(super) async fn show_config(
    State(instance): State<Arc<Instance>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    headers: HeaderMap,
) -> Response {
    steered(&instance, caller, &headers, || Ok(Wish::Show)).await
}

/// What a text would change in place of the configuration's file. Changes nothing.
#[utoipa::path(post, path = "/v1/config/diff", tag = "steer", security(("token" = [])),
    request_body(content = String, content_type = "application/toml", description = "The configuration."),
    responses(
        (status = 200, description = "What would change.", body = Outcome),
        (status = 400, description = "The text is not UTF-8.", content_type = "application/problem+json", body = Details),
        RefusedSteering,
        (status = 413, description = "It is too long.", content_type = "application/problem+json", body = Details),
        (status = 422, description = "It is bad; `problems` says where.", content_type = "application/problem+json", body = Details),
        (status = 503, description = "Nobody governs now.", content_type = "application/problem+json", body = Details),
    ),
)]
pub(super) async fn compare(
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

/// Has it done if the caller may steer. Who that is, is asked before anything of the wish is understood; its body has
/// come in by then, and is no longer than its path takes.
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

fn admit(instance: &Instance, caller: Caller, headers: &HeaderMap) -> Result<Who, Problem> {
    guard::admit(instance.token().as_ref(), caller, headers)
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
