//! Pick, send, and perhaps once more.
//!
//! What may be sent again is a question of safety, not of hope: a connection that did not come about has
//! carried nothing, so any request whose body is untouched goes to another backend. A reused connection
//! that ended without a byte of response was most likely closed before the request came; an idempotent
//! request goes once more on a new one. Everything else is the client's to decide.

use std::time::Duration;

use tokio::time::Instant;

use super::affinity::Inputs;
use super::exchange::{Exchange, Tried as Record};
use super::failure::Replay;
use super::{Failure, Incoming, Proxy};
use crate::snapshot::{Choice, Pool};
use crate::strategy::{PickContext, Slot, Sticky, Tried};
use crate::telemetry::{Cause, PickReason, RetryOutcome};
use crate::upstream::{Attempt, Response, Transport};

/// Gets a response's head from a backend of `pool`, and the member that gave it.
pub(super) async fn until_answered<'c, T: Transport>(
    proxy: &Proxy<T>,
    pool: &Pool,
    inputs: &Inputs,
    request: &mut Incoming<'c>,
    x: &mut Exchange,
) -> Result<(Response<T::Body<'c>>, Slot), Failure> {
    let mut tried = Tried::new();
    let mut last = None;
    for attempt in 0..ATTEMPTS {
        let fresh = last.is_some_and(|failure: Failure| failure.stale);
        let Some(slot) = choose(pool, inputs, &tried, attempt, x) else {
            break;
        };
        // Never empty here: a failed attempt gives it back.
        let body = request.body.take().unwrap_or_default();
        let send = Attempt {
            backend: pool.backend(slot),
            timeouts: pool.timeouts,
            fresh,
            begun: x.attempts.last().map_or(x.received, |tried| tried.begun),
        };
        match proxy.transport.send(send, &request.head, body).await {
            Ok(response) => {
                x.connecting = Some(response.connecting);
                x.first_byte = Some(x.received.elapsed());
                note_retry(pool, attempt, RetryOutcome::Ok, x);
                return Ok((response, slot));
            }
            Err((error, body)) => {
                let failure = Failure::from(error);
                note_failure(pool, failure.cause, x);
                let again = may_send_again(&failure, request, body.is_touched());
                request.body = Some(body);
                last = Some(failure);
                if !again {
                    break;
                }
                if !failure.stale {
                    tried.insert(slot);
                }
            }
        }
    }
    let made = x.attempts.len();
    if made > 1 {
        note_retry(pool, made - 1, RetryOutcome::Failed, x);
    } else if last.is_some_and(|failure| failure.replay() == Replay::Always) {
        note_retry(pool, 1, RetryOutcome::NoneLeft, x);
    }
    // With no candidate left, the last real failure says more than that there was none.
    Err(last.unwrap_or_else(|| Failure::before(Cause::NoBackend)))
}

fn choose(
    pool: &Pool,
    inputs: &Inputs,
    tried: &Tried,
    attempt: usize,
    x: &mut Exchange,
) -> Option<Slot> {
    let cx = PickContext {
        affinity: inputs.affinity,
        pin: inputs.pin,
        tried,
        entropy: x.worker.draw(),
    };
    let bound = Sticky::bound(&pool.members, &cx);
    let Choice { slot, in_flight } = x.view.choose(x.pool?, &cx)?;
    let reason = match bound {
        _ if attempt > 0 => PickReason::Retry,
        Some(bound) if bound == slot => PickReason::Sticky,
        Some(_) | None => PickReason::Strategy,
    };
    let cells = pool.backend(slot).meters().at(x.worker.id());
    cells.picks[reason.index()].add(1);
    // The way to the first pick is short, and the clock is not free.
    let begun = if attempt == 0 {
        x.received
    } else {
        Instant::now()
    };
    x.picked = Some(begun.saturating_duration_since(x.received));
    x.attempts.push(Record {
        slot,
        cause: None,
        begun,
        took: Duration::ZERO,
    });
    x.in_flight = Some(in_flight);
    Some(slot)
}

fn may_send_again(failure: &Failure, request: &Incoming<'_>, body_touched: bool) -> bool {
    !body_touched
        && match failure.replay() {
            Replay::Always => true,
            Replay::IfIdempotent => request.head.method().is_idempotent(),
            Replay::Never => false,
        }
}

/// Ends the attempt under way as a failed one. The client's own failures are not the backend's.
fn note_failure(pool: &Pool, cause: Cause, x: &mut Exchange) {
    x.in_flight = None;
    x.cause = Some(cause);
    let worker = x.worker.id();
    if let Some(last) = x.attempts.last_mut() {
        last.cause = Some(cause);
        if cause == Cause::ClientAborted {
            // No attempt that failed, but one that ended with the exchange: recorded as such.
            return;
        }
        last.took = last.begun.elapsed().max(Duration::from_nanos(1));
        if cause.is_of_backend() {
            let cells = pool.backend(last.slot).meters().at(worker);
            cells.failures[cause.index()].add(1);
        }
    }
}

fn note_retry(pool: &Pool, attempt: usize, outcome: RetryOutcome, x: &mut Exchange) {
    if outcome == RetryOutcome::Ok {
        x.cause = None;
    }
    if attempt > 0 {
        pool.meters.at(x.worker.id()).retries[outcome.index()].add(1);
    }
}

/// In all, the first included.
const ATTEMPTS: usize = 2;
