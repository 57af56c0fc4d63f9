//! The dashboard: one page with its style and script, embedded, that lives on `/v1/events` and steers by the API.
//!
//! *What enters*: nothing. *What leaves*: three files, the same for everybody; all that is of this instance the page
//! gets by the API as any client does. So the page is written by hand, without a build, and has no other source.
//!
//! `page.html` (what is there before anything is known), `page.css`, `page.js` (from events to rows, plots and words).
//!
//! Deliberately absent: anything from elsewhere. The policy in [`POLICY`] keeps the browser from fetching or running
//! what is not of this address, and the script writes names and errors as text only, for they may come from anywhere.

use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::openapi::Refused;

/// The dashboard.
#[utoipa::path(get, path = "/", tag = "dashboard", responses(
    (status = 200, description = "The page.", content_type = "text/html", body = String),
    Refused,
))]
pub(super) async fn page() -> Response {
    file("text/html; charset=utf-8", include_str!("page.html"))
}

/// Its style.
#[utoipa::path(get, path = "/dashboard.css", tag = "dashboard", responses(
    (status = 200, description = "CSS.", content_type = "text/css", body = String),
    Refused,
))]
pub(super) async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("page.css"))
}

/// Its script.
#[utoipa::path(get, path = "/dashboard.js", tag = "dashboard", responses(
    (status = 200, description = "JavaScript.", content_type = "text/javascript", body = String),
    Refused,
))]
pub(super) async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("page.js"))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let fields = [
        (header::CONTENT_TYPE, kind),
        // After an upgrade the page must not meet the script of another version.
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (fields, text).into_response()
}

/// Of this address only: no inline script or style, no frame around it, no form that goes elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
