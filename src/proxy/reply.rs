//! Failures become responses here and nowhere else.
//!
//! A small body in the type that the client accepts, the code in `forecourt-error`, and the request's id with
//! that of its trace, so that whoever is shown the page can tell the operator what to look for.

use http::StatusCode;
use serde_json::json;

use super::exchange::Exchange;
use super::failure::status;
use super::stream::{Content, Outgoing};
use super::values::Asked;
use super::{answer, grpc, headers, pages};
use crate::message::body::{AnswerBody, RequestBody};
use crate::message::head::Version;
use crate::message::{Head, Method, Name, grpc as calls};
use crate::server::Answer;
use crate::telemetry::Cause;

/// The reply to a request that failed for `cause`. `asked` is the request as far as it is known.
pub(super) fn reply<'c, B: AnswerBody>(
    cause: Cause,
    asked: Asked<'_>,
    unread: Option<RequestBody<'c>>,
    mut x: Box<Exchange>,
) -> Answer<Outgoing<'c, B>> {
    x.cause = Some(cause);
    x.note_story(asked.0);
    if calls::is_call(asked.0) {
        let head = grpc::reply(cause, asked, &mut x);
        return finish(head, Vec::new(), cause, asked.0, unread, x);
    }
    let status = status(cause);
    let trusted = asked.1.is_some_and(|admitted| admitted.trusted);
    let id = String::from_utf8_lossy(x.request_id(asked.0, trusted)).into_owned();
    let (kind, content) = pages::page(status, cause, asked, &x).unwrap_or_else(|| {
        let trace = String::from_utf8_lossy(x.trace_id());
        body(Accepted::of(asked.0), cause, status, (&id, &trace))
    });
    let mut head = x.worker.take_head();
    head.set_response(
        status.as_u16(),
        status.canonical_reason().unwrap_or_default().as_bytes(),
        Version::Http11,
    );
    head.push(b"date", &x.worker.date());
    match status {
        StatusCode::SERVICE_UNAVAILABLE => head.push(b"retry-after", b"1"),
        StatusCode::METHOD_NOT_ALLOWED => head.push(b"allow", answer::ALLOWED.as_bytes()),
        _ => {}
    }
    headers::change_response(&mut head, asked, &x);
    // What these say is so, whatever rules make of the fields of other responses.
    for (known, name, value) in [
        (Name::ContentType, &b"content-type"[..], kind),
        (Name::CacheControl, b"cache-control", "no-store"),
        (Name::XRequestId, b"x-request-id", &id),
    ] {
        head.remove(known);
        head.push(name, value.as_bytes());
    }
    head.push(b"forecourt-error", cause.as_str().as_bytes());
    finish(head, content, cause, asked.0, unread, x)
}

fn finish<'c, B: AnswerBody>(
    head: Head,
    content: Vec<u8>,
    cause: Cause,
    asked: &Head,
    unread: Option<RequestBody<'c>>,
    x: Box<Exchange>,
) -> Answer<Outgoing<'c, B>> {
    let head_only = asked.method() == Method::Head;
    let ends = ends_connection(cause, asked.method());
    let content = Content::Made(content);
    Outgoing::own(head, content, (head_only, ends), unread, x)
}

/// Whether nothing more is taken from the connection behind the reply: what a malformed request has behind it may be
/// a part of it, and behind a CONNECT may come what was meant for the tunnel, written by who knows whom.
fn ends_connection(cause: Cause, method: Method) -> bool {
    cause == Cause::BadRequest || method == Method::Connect
}

/// The types of body that a reply can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepted {
    Html,
    Json,
    Text,
}

impl Accepted {
    /// What the client names first; text if it names none of ours. Weights are not looked at: a client
    /// that sends them names what it likes best first.
    fn of(asked: &Head) -> Self {
        let kinds = asked
            .all(Name::Accept)
            .flat_map(|value| value.split(|byte| *byte == b','));
        for kind in kinds {
            let kind = kind
                .split(|byte| *byte == b';')
                .next()
                .unwrap_or_default()
                .trim_ascii();
            if kind.eq_ignore_ascii_case(b"text/html") {
                return Self::Html;
            }
            if kind.eq_ignore_ascii_case(b"application/json")
                || kind.eq_ignore_ascii_case(b"application/problem+json")
            {
                return Self::Json;
            }
            if kind.eq_ignore_ascii_case(b"text/plain") {
                return Self::Text;
            }
        }
        Self::Text
    }
}

fn body(
    accepted: Accepted,
    cause: Cause,
    status: StatusCode,
    (id, trace): (&str, &str),
) -> (&'static str, Vec<u8>) {
    let named = if trace.is_empty() {
        format!("request {id}")
    } else {
        format!("request {id}, trace {trace}")
    };
    let reason = status.canonical_reason().unwrap_or_default();
    let number = status.as_u16();
    match accepted {
        Accepted::Html => (
            "text/html; charset=utf-8",
            format!(
                "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{number} {reason}</title></head>\
                 <body><h1>{number} {reason}</h1><p>{cause} &middot; {named}</p></body></html>\n"
            )
            .into_bytes(),
        ),
        Accepted::Json => (
            "application/problem+json",
            {
                // RFC 9457.
                let mut problem = json!({"type": "about:blank", "title": reason, "status": number, "code": cause.as_str(), "request_id": id});
                if !trace.is_empty() {
                    problem["trace_id"] = trace.into();
                }
                format!("{problem}\n").into_bytes()
            },
        ),
        Accepted::Text => ("text/plain; charset=utf-8", format!("{number} {reason}: {cause} ({named})\n").into_bytes()),
    }
}
