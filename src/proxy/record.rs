//! The record of an exchange: written once, when it ends, whatever way it went.

use std::time::Duration;

use jiff::Timestamp;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::exchange::{Exchange, Story};
use super::{decision, spans};
use crate::message::body::Ending;
use crate::telemetry::access::{Attempt, Times};
use crate::telemetry::{AccessRecord, Cause, CodeClass};
use crate::upstream::cause_of_upload;

/// Counts the exchange and logs it.
pub(super) fn write(x: &mut Exchange) {
    let ended = x.ended_at.unwrap_or_else(Instant::now);
    let total = ended.saturating_duration_since(x.received);
    let delivered = matches!(x.ending, Some(Ending::Delivered | Ending::SourceFailed(_)));
    if !delivered && x.cause.is_none() {
        x.cause = Some(match x.ending {
            Some(Ending::ClientStalled) => Cause::ClientTooSlow,
            Some(Ending::UploadFailed(failure)) => cause_of_upload(failure),
            _ => Cause::ClientAborted,
        });
    }
    // A client that ended its side within its request may still have been told so: it is gone all the same.
    let aborted = !delivered || x.cause == Some(Cause::ClientAborted);
    let class = if aborted {
        CodeClass::Aborted
    } else {
        CodeClass::of(x.status)
    };
    count(x, class, total, ended);
    spans::hand_over(x, total);
    let notable = x.cause.is_some() || x.attempts.len() > 1 || x.status >= 500;
    let mut log = x.log.borrow_mut();
    let (is_logged, kept) = (log.is_on(), log.wants(notable, total));
    drop(log);
    let line = if is_logged { sampled(x, total) } else { None };
    if kept || line.is_some() {
        tell(
            x,
            total,
            Wanted {
                line,
                kept,
                notable,
            },
        );
    }
}

/// Whether there is a line for this exchange and, if chance has chosen it, for how many in a hundred there is one.
fn sampled(x: &Exchange, total: Duration) -> Option<Option<u8>> {
    let rules = &x.view.plan.log.access;
    // What failed or was slow is seldom and what somebody looks for: there is always a line.
    if rules.sample >= 100 || x.cause.is_some() || x.status >= 500 || total >= rules.slow {
        return Some(None);
    }
    let chosen = x.worker.draw() % 100 < u64::from(rules.sample);
    chosen.then_some(Some(rules.sample))
}

fn count(x: &mut Exchange, class: CodeClass, total: Duration, ended: Instant) {
    let worker = x.worker.id();
    if let Some(listener) = x.listener_index {
        let route = x.view.route_meters(listener, x.route).at(worker);
        route.requests[class.index()].add(1);
        route.duration.observe(total);
        if let Some(cause) = x.cause.filter(|cause| cause.is_refusal()) {
            let cells = x.view.listener_meters[listener].at(worker);
            cells.refused[cause.index()].add(1);
        }
    }
    let (Some(last), Some(pool)) = (x.attempts.last_mut(), x.pool) else {
        return;
    };
    if last.took.is_zero() {
        last.took = ended.saturating_duration_since(last.begun);
        let backend = x.view.pools[pool].backend(last.slot);
        let cells = backend.meters().at(worker);
        cells.requests[class.index()].add(1);
        cells.duration.observe(last.took);
        if let Some(cause) = last.cause {
            cells.failures[cause.index()].add(1);
        }
        let pool = &x.view.pools[pool];
        match (last.cause, x.ending) {
            // Tunnels end as they like.
            (Some(cause), _) if cause.is_of_backend() && x.status != 101 => {
                pool.note_failure(last.slot);
            }
            (None, Some(Ending::Delivered)) => pool.note_answer(last.slot, x.status),
            // What the client broke off says nothing of the backend.
            _ => {}
        }
    }
}

/// Who wants to hear of an exchange.
#[derive(Clone, Copy)]
struct Wanted {
    /// The access log; see [`sampled`].
    line: Option<Option<u8>>,
    /// Whoever remembers.
    kept: bool,
    notable: bool,
}

fn tell(x: &Exchange, total: Duration, wanted: Wanted) {
    let attempts: SmallVec<[Attempt<'_>; 2]> = x
        .attempts
        .iter()
        .map(|tried| Attempt {
            backend: x.backend(tried).shown(),
            cause: tried.cause,
            duration: tried.took,
        })
        .collect();
    let plan = &x.view.plan;
    let pool = x.pool.map(|pool| &x.view.pools[pool]);
    let told = x.story.as_ref().map(Story::told).unwrap_or_default();
    let logs_decision = plan.log.access.decision;
    let record = AccessRecord {
        timestamp: Timestamp::now(),
        method: told.method,
        path: told.path,
        query: told.query,
        protocol: told.protocol,
        referer: told.referer,
        user_agent: told.user_agent,
        status: (x.status > 0).then_some(x.status),
        body_bytes: x.body_bytes,
        client: x
            .client
            .and_then(|client| plan.log.access.client_ip.of(client)),
        request_id: x.known_request_id().unwrap_or_default(),
        trace_id: x.trace_id(),
        sampled: wanted.line.flatten(),
        listener: &x.listener.name,
        route: x.route.map(|route| &*plan.routes[route].name),
        pool: pool.map(|pool| &*pool.name),
        backend: attempts.last().map(|tried| tried.backend),
        strategy: pool.map(|pool| pool.strategy.name()),
        sticky: x.sticky,
        generation: x.view.generation,
        error: x.cause,
        attempts: &attempts,
        times: Times {
            queue: x.picked,
            connect: x.connecting,
            first_byte: x.first_byte,
            total,
        },
        decision: logs_decision.then(|| decision::of(x)).flatten(),
    };
    let mut log = x.log.borrow_mut();
    if wanted.line.is_some() {
        log.write(&record);
    }
    if wanted.kept {
        let decision = decision::of(x);
        log.keep(&AccessRecord { decision, ..record }, wanted.notable);
    }
}
