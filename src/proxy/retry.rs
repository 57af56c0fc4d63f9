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
use super::{Failure, Incoming, Proxy, rewrite};
use crate::backend::InFlight;
use crate::snapshot::{Choice, Claimed, Pool};
use crate::strategy::{PickContext, Slot, Tried};
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
    let mut last: Option<Failure> = None;
    // A member whose reused connection had ended: it is asked once more, on a new one.
    let mut anew: Option<Slot> = None;
    let mut picks = 0;
    while anew.is_some() || picks < MOST_PICKS {
        let fresh = anew.is_some();
        let choice = match anew.take() {
            Some(slot) => x.pool.map(|pool| x.view.claim(pool, slot)),
            None => pick(pool, inputs, &tried, x),
        };
        let Some(Choice { slot, in_flight }) = choice else {
            break;
        };
        picks += usize::from(!fresh);
        note_attempt(pool, inputs, (slot, in_flight), x);
        if x.host_by_backend {
            rewrite::host_of(pool.backend(slot).address(), &mut request.head);
        }
        // Never empty here: a failed attempt gives it back.
        let body = request.body.take().unwrap_or_default();
        let send = Attempt {
            backend: pool.backend(slot),
            timeouts: pool.timeouts,
            case: pool.style.case,
            protocol: pool.protocol,
            secure: pool.secure(slot),
            fresh,
            begun: x.attempts.last().map_or(x.received, |tried| tried.begun),
        };
        match proxy.transport.send(send, &request.head, body).await {
            Ok(response) => {
                x.connecting = Some(response.connecting);
                x.first_byte = Some(x.received.elapsed());
                note_retry(pool, RetryOutcome::Ok, x);
                return Ok((response, slot));
            }
            Err((error, body)) => {
                let failure = Failure::from(error);
                note_failure(pool, failure.cause, x);
                let again = may_send_again(&failure, request, body.is_touched());
                request.body = Some(body);
                last = Some(failure);
                if !again || (failure.stale && fresh) {
                    break;
                }
                if failure.stale {
                    anew = Some(slot);
                } else {
                    tried.insert(slot);
                }
            }
        }
    }
    if x.attempts.len() > 1 {
        note_retry(pool, RetryOutcome::Failed, x);
    } else if last.is_some_and(|failure| failure.replay() == Replay::Always) {
        pool.meters.at(x.worker.id()).retries[RetryOutcome::NoneLeft.index()].add(1);
    }
    // With no candidate left, the last real failure says more than that there was none.
    Err(last.unwrap_or_else(|| Failure::before(Cause::NoBackend)))
}

fn pick(pool: &Pool, inputs: &Inputs, tried: &Tried, x: &Exchange) -> Option<Choice> {
    let cx = PickContext {
        affinity: inputs.affinity,
        pin: inputs.pin,
        tried,
        entropy: x.worker.draw(),
    };
    debug_assert_eq!(
        x.pool.map(|index| &*x.view.pools[index].name),
        Some(&*pool.name)
    );
    x.view.choose(x.pool?, &cx)
}

fn note_attempt(
    pool: &Pool,
    inputs: &Inputs,
    (slot, claim): (Slot, InFlight<Claimed>),
    x: &mut Exchange,
) {
    let is_first = x.attempts.is_empty();
    let bound = inputs.pin.and_then(|pin| pool.members.by_tag(pin));
    let reason = match bound {
        _ if !is_first => PickReason::Retry,
        Some(bound) if bound == slot => PickReason::Sticky,
        Some(_) | None => PickReason::Strategy,
    };
    let cells = pool.backend(slot).meters().at(x.worker.id());
    cells.picks[reason.index()].add(1);
    // The way to the first pick is short, and the clock is not free.
    let (begun, picked) = if is_first {
        (x.received, Duration::ZERO)
    } else {
        let now = Instant::now();
        (now, now.saturating_duration_since(x.received))
    };
    x.picked = Some(picked);
    x.attempts.push(Record {
        slot,
        cause: None,
        begun,
        took: Duration::ZERO,
    });
    x.in_flight = Some(claim);
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

/// Ends the attempt under way, whose response cannot be passed on.
pub(super) fn no_answer(pool: &Pool, x: &mut Exchange) -> Failure {
    note_failure(pool, Cause::Protocol, x);
    Failure {
        cause: Cause::Protocol,
        sent: true,
        stale: false,
    }
}

/// Counts what became of a request that was sent more than once.
fn note_retry(pool: &Pool, outcome: RetryOutcome, x: &mut Exchange) {
    if outcome == RetryOutcome::Ok {
        x.cause = None;
    }
    if x.attempts.len() > 1 {
        pool.meters.at(x.worker.id()).retries[outcome.index()].add(1);
    }
}

/// Members that are picked for one request, the first included.
const MOST_PICKS: usize = 2;
