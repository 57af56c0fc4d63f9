//! The spans of an exchange whose trace is sampled, where traces are exported: one for the request, one for each attempt.
//!
//! Nothing of it is done for any other exchange. The span of an attempt is what its backend is told as the parent of what it
//! records. At the end a copy of what the record says goes to [`otel`](crate::otel), which never makes anybody wait.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::decision;
use super::exchange::{Exchange, Story, Tried};
use super::trace::Trace;
use crate::backend::Address;
use crate::message::trace::{self as context, unhex};
use crate::message::{Head, Name};
use crate::otel::{Attempt, Finished};
use crate::plan::export::Export;
use crate::worker::Worker;

/// Where what is recorded goes; absent where nobody takes it.
pub(super) type Outlet = Option<crate::otel::Outlet>;

/// What is recorded of an exchange; absent if nothing is.
pub(super) type Recording = Option<Box<Recorded>>;

/// What the exchange itself does not keep.
#[derive(Debug)]
pub(super) struct Recorded {
    outlet: crate::otel::Outlet,
    export: Arc<Export>,
    span: u64,
    /// The span that the request came from; absent if the trace begins here.
    parent: Option<u64>,
    host: Box<[u8]>,
}

/// The span of an attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    /// 0 where nothing is recorded.
    id: u64,
    /// What it was answered with; 0 if it was not.
    status: u16,
}

/// Begins the span of a request, if it is to have one.
pub(super) fn begin(
    head: &Head,
    trace: Option<&Trace>,
    export: Option<&Arc<Export>>,
    outlet: &Outlet,
    worker: &Worker,
) -> Recording {
    let (Some(export), Some(outlet)) = (export, outlet) else {
        return None;
    };
    let trace = trace.filter(|trace| trace.is_sampled())?;
    let came_from = context::parent(head).filter(|_| !trace.begins);
    let host = head.first(Name::Host).unwrap_or_default();
    Some(Box::new(Recorded {
        outlet: outlet.clone(),
        export: Arc::clone(export),
        span: draw(worker),
        parent: came_from.map(|parent| u64::from_be_bytes(unhex(&parent.span))),
        host: host[..host.len().min(HOST_MOST)].into(),
    }))
}

pub(super) fn is_recorded(x: &Exchange) -> bool {
    x.recording.is_some()
}

/// The span of an attempt that begins.
pub(super) fn of_attempt(x: &Exchange) -> Span {
    let id = x.recording.as_ref().map_or(0, |_| draw(&x.worker));
    Span { id, status: 0 }
}

/// Names the last attempt to its backend as the parent of what that records.
pub(super) fn name_attempt(head: &mut Head, x: &Exchange) {
    if x.recording.is_some()
        && let (Some(trace), Some(last)) = (&x.trace, x.attempts.last())
    {
        context::name_parent(&trace.id, last.span.id, trace.flags, head);
    }
}

pub(super) fn note_status(attempt: &mut Tried, status: u16) {
    attempt.span.status = status;
}

/// Hands over what there is to tell of an exchange that has ended.
pub(super) fn hand_over(x: &Exchange, total: Duration) {
    if let (Some(recorded), Some(trace)) = (&x.recording, &x.trace) {
        recorded
            .outlet
            .take(&recorded.export, || finished(recorded, trace, x, total));
    }
}

#[cold]
fn finished(recorded: &Recorded, trace: &Trace, x: &Exchange, total: Duration) -> Finished {
    let plan = &x.view.plan;
    let told = x.story.as_ref().map(Story::told).unwrap_or_default();
    let cut = |bytes: &[u8]| bytes[..bytes.len().min(TEXT_MOST)].into();
    let pool = x.pool.map(|pool| &x.view.pools[pool]);
    let mut attempts: Vec<Attempt> = x
        .attempts
        .iter()
        .map(|tried| attempt(tried, x, total))
        .collect();
    // A hedge that was outrun stands before the one that won.
    attempts.sort_by_key(|attempt| attempt.begun);
    Finished {
        export: Arc::clone(&recorded.export),
        trace: unhex(&trace.id),
        span: recorded.span,
        parent: recorded.parent,
        ended: Timestamp::now(),
        total,
        method: cut(told.method),
        path: cut(told.path),
        query: cut(told.query),
        user_agent: cut(told.user_agent),
        protocol: told.protocol,
        secure: x.listener.tls.is_some(),
        host: recorded.host.clone(),
        client: x
            .client
            .and_then(|client| plan.log.access.client_ip.of(client)),
        request_id: x.known_request_id().unwrap_or_default().into(),
        status: (x.status > 0).then_some(x.status),
        body_bytes: x.body_bytes,
        cause: x.cause,
        listener: Arc::clone(&x.listener.name),
        route: x.route.map(|route| Arc::clone(&plan.routes[route].name)),
        pool: pool.map(|pool| Arc::clone(&pool.name)),
        strategy: pool.map(|pool| pool.strategy.name()),
        sticky: x.sticky,
        generation: x.view.generation,
        decision: decision::of(x),
        attempts,
    }
}

fn attempt(tried: &Tried, x: &Exchange, total: Duration) -> Attempt {
    let backend = x.backend(tried);
    let begun = tried.begun.saturating_duration_since(x.received);
    let (host, port) = match backend.address() {
        Address::Tcp(address) => (address.ip().to_string(), Some(address.port())),
        Address::Unix(path) => (path.display().to_string(), None),
    };
    Attempt {
        span: tried.span.id,
        backend: backend.shown().into(),
        host: host.into(),
        port,
        reason: tried.reason,
        cause: tried.cause,
        status: (tried.span.status > 0).then_some(tried.span.status),
        begun,
        // One that ended with the exchange has no time of its own.
        took: if tried.took.is_zero() {
            total.saturating_sub(begun)
        } else {
            tried.took
        },
    }
}

/// The name of a span: never 0, which is the name of none.
fn draw(worker: &Worker) -> u64 {
    worker.draw().max(1)
}

/// Of a longer path, query or agent the beginning will do.
const TEXT_MOST: usize = 1024;

/// No name of a host is longer, with a port.
const HOST_MOST: usize = 261;
