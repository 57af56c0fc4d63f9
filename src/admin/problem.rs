//! What is wrong with a request, as RFC 9457 has it said.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::config;

/// Why a request of the admin API is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    /// What is wrong with a configuration, each with its place and remedy.
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
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if !self.problems.is_empty() {
            // Only a path that is not UTF-8 can fail here.
            body["problems"] = serde_json::to_value(&self.problems).unwrap_or_default();
        }
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, kind, body.to_string()).into_response();
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
