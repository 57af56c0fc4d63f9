//! What is wrong with a request, as RFC 9457 has it said.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config;

/// Why a request of the admin API is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    /// What is wrong with a configuration, each with its place and remedy.
    problems: Vec<config::Problem>,
}

/// A problem as it is sent: RFC 9457, and besides what is wrong with a configuration.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({"type": "about:blank", "title": "Not Found", "status": 404, "detail": "there is nothing at /v2"}))]
pub(super) struct Details {
    /// What `title` says is all there is to it: `about:blank`.
    r#type: &'static str,
    /// The name of the status.
    title: &'static str,
    /// The status.
    status: u16,
    /// What is wrong, and what to do about it.
    detail: String,
    /// What is wrong with a configuration, each with its place and remedy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    problems: Vec<config::Problem>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            problems: Vec::new(),
        }
    }

    /// A configuration that cannot be used.
    pub(super) fn of_configuration(problems: Vec<config::Problem>) -> Self {
        let errors = problems.iter();
        let errors = errors.filter(|problem| problem.severity == config::Severity::Error);
        let detail = match errors.count() {
            1 => "the configuration has a problem, nothing has changed".to_owned(),
            many => format!("the configuration has {many} problems, nothing has changed"),
        };
        Self {
            problems,
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
        }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let details = Details {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: self.detail,
            problems: self.problems,
        };
        // Only a path that is not UTF-8 can fail here.
        let body = serde_json::to_string(&details).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, kind, body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 15.5.2 demands it.
            let challenge = header::HeaderValue::from_static("Bearer realm=\"forecourt\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
