//! `/openapi.json`: the API as machines read it (OpenAPI 3.1), made from the handlers and from what they answer.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{Http, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::api::{look, steering};
use super::dashboard;
use super::problem::Details;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "forecourt",
        description = "Look at a running instance and steer it. Looking is free on loopback and on a Unix socket, and takes the token (as a bearer's, or as the password of anybody) at an address that other machines can reach; steering takes the token always, but on a Unix socket."
    ),
    tags(
        (name = "probes", description = "For whoever decides whether the process gets traffic."),
        (name = "look", description = "How things stand, and what has happened."),
        (name = "steer", description = "What changes something, or shows what only those may see who may change it."),
        (name = "dashboard", description = "The page for people, and this document."),
    ),
    security((), ("token" = []), ("password" = [])),
    modifiers(&Credentials),
    paths(
        dashboard::page,
        dashboard::style,
        dashboard::script,
        show,
        look::healthz,
        look::readyz,
        look::metrics,
        look::show_events,
        look::show_stats,
        look::show_status,
        look::show_pools,
        look::show_pool,
        look::show_backend,
        look::explain_request,
        look::show_requests,
        look::show_request,
        steering::steer_backend,
        steering::show_trial,
        steering::reload,
        steering::confirm,
        steering::revert,
        steering::show_config,
        steering::show_history,
        steering::compare,
        steering::rollback,
    )
)]
struct Document;

/// How the token is shown.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let scheme = |scheme, how: &str| -> Http {
            HttpBuilder::new()
                .scheme(scheme)
                .description(Some(how))
                .build()
        };
        let token = scheme(HttpAuthScheme::Bearer, "The text in `[admin] token_file`.");
        let password = scheme(
            HttpAuthScheme::Basic,
            "The same as a password, of any user: good for GET and HEAD, and not for steering.",
        );
        components.add_security_scheme("token", SecurityScheme::Http(token));
        components.add_security_scheme("password", SecurityScheme::Http(password));
    }
}

/// What may be answered in place of what is looked at.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "read by the document alone")]
pub(super) enum Refused {
    /// The address is one that other machines can reach, and the token is missing.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Details),
}

/// What may be answered in place of what is wanted.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "read by the document alone")]
pub(super) enum RefusedSteering {
    /// The token is missing or wrong.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Details),
    /// There is no token to be shown, or a web page of another origin asks.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Details),
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "dashboard", responses(
    (status = 200, description = "OpenAPI 3.1.", content_type = "application/json", body = Object),
    Refused,
))]
pub(super) async fn show() -> Response {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| Document::openapi().to_json().unwrap_or_default());
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, TEXT.as_str()).into_response()
}
