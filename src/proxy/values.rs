//! What templates are filled with: the request as the client sent it, whatever has become of its head since.

use http::StatusCode;

use super::admit::Admitted;
use super::exchange::Exchange;
use crate::message::Head;
use crate::plan::action::rest;
use crate::plan::template::Values;
use crate::route::{PathPattern, resolved, view};
use crate::telemetry::Cause;

/// A request's head, and whom it is for once that is known.
pub(super) type Asked<'a> = (&'a Head, Option<&'a Admitted>);

/// What is wanted beyond what every request has, or is known by whoever asks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted<'a> {
    /// Whether to find what the groups of the route's regex took.
    pub(super) captures: bool,
    /// Whether to give the path in resolved form, not as it was written.
    pub(super) resolved: bool,
    /// The backend that was picked.
    pub(super) backend: &'a str,
    /// Why there is no answer of a backend.
    pub(super) failure: Option<(StatusCode, Cause)>,
}

/// Gives the values of a request to `take`.
pub(super) fn with<R>(
    (head, admitted): Asked<'_>,
    wanted: Wanted<'_>,
    x: &Exchange,
    take: impl FnOnce(&Values<'_>) -> R,
) -> R {
    let target = x.target.as_deref().unwrap_or_else(|| head.target());
    let query = memchr::memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at(query);
    let route = x.route.map(|route| &x.view.plan.routes[route]);
    let pattern = route.map_or(&PathPattern::Any, |route| &route.matcher.path);
    let rules = x.listener.paths;
    let by_prefix = matches!(pattern, PathPattern::Prefix(_));
    let form = (wanted.resolved || by_prefix).then(|| resolved(path, rules));
    // Routes have taken the path by the same rules, so there is a form.
    let form = form.and_then(Result::ok);
    let form = form.as_deref().unwrap_or(path);
    let mut room = view::Room::new();
    let captures = match pattern {
        PathPattern::Regex(regex) if wanted.captures => {
            let seen = view::of(path, rules, &mut room).unwrap_or_default();
            regex.captures(seen)
        }
        _ => Vec::new(),
    };
    let https = admitted.is_some_and(|admitted| admitted.https);
    let authority = admitted.map(|admitted| &admitted.authority);
    let reason = wanted
        .failure
        .and_then(|(status, _)| status.canonical_reason());
    take(&Values {
        host: authority
            .map(|authority| authority.host())
            .unwrap_or_default(),
        port: authority.map(|authority| authority.port().unwrap_or(if https { 443 } else { 80 })),
        scheme: if https { "https" } else { "http" },
        method: head.method_bytes(),
        path: if wanted.resolved { form } else { path },
        query,
        rest: rest(pattern, form),
        captures: &captures,
        client: x.client,
        request_id: x.known_request_id().unwrap_or_default(),
        listener: &x.listener.name,
        route: route.map(|route| &*route.name).unwrap_or_default(),
        backend: wanted.backend,
        status: wanted.failure.map(|(status, _)| status.as_u16()),
        reason: reason.unwrap_or_default(),
        code: wanted.failure.map_or("", |(_, cause)| cause.as_str()),
    })
}
