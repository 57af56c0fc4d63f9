//! What is answered here and goes no further: redirects, fixed responses, an OPTIONS with no forwards left.

use std::sync::Arc;

use http::StatusCode;

use super::admit::Admitted;
use super::exchange::Exchange;
use super::stream::{Content, Outgoing};
use super::values::{self, Wanted};
use super::{Failure, headers};
use crate::message::body::{AnswerBody, RequestBody};
use crate::message::head::Version;
use crate::message::{Head, Method};
use crate::plan::action::{Redirect, Respond};
use crate::plan::{Action, Route};
use crate::server::Answer;
use crate::telemetry::Cause;

/// An answer of a route.
pub(super) struct Own {
    head: Head,
    content: Content,
}

impl Own {
    pub(super) fn status(&self) -> u16 {
        self.head.status()
    }
}

/// Makes the answer of a route that leads to no pool.
pub(super) fn make(
    route: &Route,
    asked: &Head,
    admitted: &Admitted,
    x: &mut Exchange,
) -> Result<Own, Failure> {
    // For the log, and for values.
    x.request_id(asked, admitted.trusted);
    let mut head = x.worker.take_head();
    let content = match &route.action {
        Action::Redirect(redirect) => make_redirect(redirect, (asked, admitted), &mut head, x)?,
        Action::Respond(respond) => make_response(respond, &mut head),
        Action::Pool(_) => return Err(Failure::before(Cause::NoRoute)),
    };
    head.push(b"date", &x.worker.date());
    headers::change_response(&mut head, (asked, Some(admitted)), x);
    Ok(Own { head, content })
}

/// The answer to an OPTIONS that may go no further than to us (RFC 9110 section 7.6.2).
pub(super) fn options(asked: &Head, admitted: &Admitted, x: &mut Exchange) -> Own {
    x.request_id(asked, admitted.trusted);
    let mut head = x.worker.take_head();
    start(200, &mut head);
    head.push(b"allow", ALLOWED.as_bytes());
    head.push(b"date", &x.worker.date());
    headers::change_response(&mut head, (asked, Some(admitted)), x);
    Own {
        head,
        content: Content::Made(Vec::new()),
    }
}

/// The methods that are passed on, so far as they are registered; TRACE is where a route names it.
pub(super) const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

fn make_redirect(
    redirect: &Redirect,
    (asked, admitted): (&Head, &Admitted),
    head: &mut Head,
    x: &Exchange,
) -> Result<Content, Failure> {
    let wanted = Wanted {
        captures: redirect.to.uses_captures(),
        ..Wanted::default()
    };
    let mut location = Vec::with_capacity(128);
    let made = values::with((asked, Some(admitted)), wanted, x, |values| {
        redirect.location(values, &mut location)
    });
    // Without a host there is nowhere to go.
    made.ok_or_else(|| Failure::before(Cause::BadRequest))?;
    let reason = start(redirect.status, head);
    head.push(b"location", &location);
    head.push(b"content-type", b"text/plain; charset=utf-8");
    let mut content = format!("{} {reason}: ", redirect.status).into_bytes();
    content.extend_from_slice(&location);
    content.push(b'\n');
    Ok(Content::Made(content))
}

fn make_response(respond: &Respond, head: &mut Head) -> Content {
    start(respond.status, head);
    if !respond.content_type.is_empty() {
        head.push(b"content-type", respond.content_type.as_bytes());
    }
    Content::Fixed(Arc::clone(&respond.body))
}

fn start(status: u16, head: &mut Head) -> &'static str {
    let known = StatusCode::from_u16(status).ok();
    let reason = known.and_then(|status| status.canonical_reason());
    let reason = reason.unwrap_or_default();
    head.set_response(status, reason.as_bytes(), Version::Http11);
    reason
}

impl Own {
    /// The answer, with what the client may still be sending.
    pub(super) fn answer<'c, B: AnswerBody>(
        self,
        asked: &Head,
        unread: Option<RequestBody<'c>>,
        x: Box<Exchange>,
    ) -> Answer<Outgoing<'c, B>> {
        let head_only = asked.method() == Method::Head;
        Outgoing::own(self.head, self.content, (head_only, false), unread, x)
    }
}
