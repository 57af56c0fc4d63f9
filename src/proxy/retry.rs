//! Pick, send, and perhaps once more.
//!
//! What may be sent again is a question of safety, not of hope. Where no backend has seen the request (the connection
//! did not come about, or the backend says that it has not looked) it goes elsewhere, whatever its method, as often as
//! there are others: that is what a balancer is for, and no load on anybody. A reused connection that ended without a
//! byte of response was most likely closed before the request came; an idempotent request goes once more to the same
//! backend, on a new one. Whatever may have been acted on is sent again only if it is idempotent, within the pool's
//! attempts and its budget. Everything else is the client's to decide.
//!
//! This file sends; what is due after a failure, and whether it may be, is in [`course`](super::course). Where a pool asks
//! for it, an attempt that takes long gets a second one beside it: [`hedge`](mod@super::hedge).

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::affinity::Inputs;
use super::course::Course;
use super::exchange::{Exchange, Tried as Record};
use super::{Failure, Incoming, Proxy, hedge, queue, rewrite, spans};
use crate::backend::InFlight;
use crate::message::body::{Body as _, Length, RequestBody};
use crate::snapshot::{Choice, Claimed, Pool};
use crate::strategy::Slot;
use crate::telemetry::{Cause, CodeClass, PickReason, WorkerId};
use crate::upstream::{Attempt, Recall as _, Response, Reuse, Transport};
use crate::worker::Timer;

/// Gets a response's head from a backend of `pool`, and the member that gave it.
pub(super) async fn until_answered<'c, T: Transport>(
    proxy: &Proxy<T>,
    pool: &Pool,
    inputs: &Inputs,
    request: &mut Incoming<'c>,
    x: &mut Exchange,
) -> Result<(Response<T::Body<'c>>, Slot), Failure> {
    let mut course = Course::open((pool, inputs), request, x);
    let mut next = course.first(x);
    loop {
        if next.is_none() && course.is_full() {
            match queue::wait(&mut course, x).await {
                Ok(place) => next = place,
                Err(cause) => course.turn_away(cause),
            }
        }
        let Some((Choice { slot, in_flight }, reuse)) = next.take() else {
            return Err(course.fail(x));
        };
        note_attempt(pool, inputs, (slot, in_flight), x);
        let mut at = (slot, reuse);
        let sent = match hedge::due_after(pool, inputs, slot, request, x) {
            None => send(proxy, &course, at, request, x).await,
            // Boxed: it is not to make the futures of all others larger.
            Some(delay) => {
                let sending = hedge::send(proxy, &mut course, &mut at, delay, request, x);
                Box::pin(sending).await
            }
        };
        next = match sent {
            Err(failure) => {
                note_failure(pool, &failure, x);
                course.after_failure(failure, at, request, x)
            }
            Ok(response) => {
                let slot = at.0;
                let status = response.head.status();
                let elsewhere = if pool.retry.on.has_status(status) {
                    course.after_status(slot, response.body.can_return(), x)
                } else {
                    None
                };
                if elsewhere.is_none() {
                    course.end(status, x);
                    return Ok((response, slot));
                }
                note_discarded(pool, status, x);
                let mut body = response.body.recall();
                body.rewind();
                request.body = Some(body);
                elsewhere
            }
        };
    }
}

/// Makes one attempt.
async fn send<'c, T: Transport>(
    proxy: &Proxy<T>,
    course: &Course<'_>,
    (slot, reuse): (Slot, Reuse),
    request: &mut Incoming<'c>,
    x: &mut Exchange,
) -> Result<Response<T::Body<'c>>, Failure> {
    let pool = course.pool;
    if x.host_by_backend {
        rewrite::host_of(pool.backend(slot).address(), &mut request.head);
    }
    spans::name_attempt(&mut request.head, x);
    // Never empty here: a failed attempt gives it back.
    let body = request.body.take().unwrap_or_default();
    let is_empty = matches!(body.length(), Length::Absent { .. } | Length::Exact(0));
    let send = attempt(pool, (slot, reuse), x);
    // Pinned here: handed over by value it would be copied, and lie twice in this future.
    let sending = pin!(proxy.transport.send(send, &request.head, body));
    match before(course.deadline.as_ref(), sending).await {
        Some(Ok(response)) => {
            note_head(pool, &response, x);
            Ok(response)
        }
        Some(Err((error, body))) => {
            request.body = Some(body);
            Err(error.into())
        }
        None => {
            request.body = (!is_empty).then(RequestBody::lost);
            Err(Failure {
                sent: true,
                ..Failure::before(Cause::ResponseTimeout)
            })
        }
    }
}

/// The attempt that has just been noted.
pub(super) fn attempt<'a>(
    pool: &'a Pool,
    (slot, reuse): (Slot, Reuse),
    x: &Exchange,
) -> Attempt<'a> {
    Attempt {
        backend: pool.backend(slot),
        timeouts: pool.timeouts,
        case: pool.style.case,
        protocol: pool.protocol,
        secure: pool.secure(slot),
        reuse,
        begun: x.attempts.last().map_or(x.received, |tried| tried.begun),
    }
}

/// What comes of `sending` before the deadline.
pub(super) async fn before<F: Future>(
    deadline: Option<&Timer>,
    mut sending: Pin<&mut F>,
) -> Option<F::Output> {
    poll_fn(|cx| match (sending.as_mut().poll(cx), deadline) {
        (Poll::Ready(sent), _) => Poll::Ready(Some(sent)),
        (Poll::Pending, Some(deadline)) => deadline.poll_expired(cx).map(|()| None),
        (Poll::Pending, None) => Poll::Pending,
    })
    .await
}

fn note_attempt(
    pool: &Pool,
    inputs: &Inputs,
    (slot, claim): (Slot, InFlight<Claimed>),
    x: &mut Exchange,
) {
    let bound = inputs.pin.and_then(|pin| pool.members.by_tag(pin));
    let reason = match bound {
        _ if !x.attempts.is_empty() => PickReason::Retry,
        Some(bound) if bound == slot => PickReason::Sticky,
        Some(_) | None if pool.members.are_in_panic() => PickReason::Panic,
        Some(_) | None => PickReason::Strategy,
    };
    note_pick(pool, reason, (slot, claim), x);
}

/// Begins the record of an attempt; the claim becomes that of the exchange.
pub(super) fn note_pick(
    pool: &Pool,
    reason: PickReason,
    (slot, claim): (Slot, InFlight<Claimed>),
    x: &mut Exchange,
) {
    let is_first = x.attempts.is_empty();
    let cells = pool.backend(slot).meters().at(x.worker.id());
    cells.picks[reason.index()].add(1);
    // The way to the first pick is short, and the clock is not free.
    let (begun, picked) = if is_first && x.picked.is_none() {
        (x.received, Duration::ZERO)
    } else {
        let now = Instant::now();
        (now, now.saturating_duration_since(x.received))
    };
    x.picked = Some(picked);
    x.attempts.push(Record {
        slot,
        reason,
        cause: None,
        begun,
        took: Duration::ZERO,
        span: spans::of_attempt(x),
    });
    x.in_flight = Some(claim);
}

/// Takes note of the head of the last attempt's response.
pub(super) fn note_head<B>(pool: &Pool, response: &Response<B>, x: &mut Exchange) {
    let first_byte = x.received.elapsed();
    if let Some(last) = x.attempts.last_mut() {
        spans::note_status(last, response.head.status());
    }
    x.connecting = Some(response.connecting);
    x.first_byte = Some(first_byte);
    // What is quick to fail says nothing of how long an answer takes.
    if pool.times_heads
        && response.head.status() < 500
        && let Some(last) = x.attempts.last()
    {
        let before = last.begun.saturating_duration_since(x.received);
        let cells = pool.backend(last.slot).meters().at(x.worker.id());
        cells.heads.observe(first_byte.saturating_sub(before));
    }
}

/// Ends the attempt under way as a failed one. The client's own failures are not the backend's.
fn note_failure(pool: &Pool, failure: &Failure, x: &mut Exchange) {
    x.in_flight = None;
    x.cause = Some(failure.cause);
    let worker = x.worker.id();
    if let Some(last) = x.attempts.last_mut() {
        note_failed(pool, failure, last, worker);
    }
}

/// Ends the record of an attempt that failed.
pub(super) fn note_failed(pool: &Pool, failure: &Failure, record: &mut Record, worker: WorkerId) {
    let cause = failure.cause;
    record.cause = Some(cause);
    if cause == Cause::ClientAborted {
        // No attempt that failed, but one that ended with the exchange: recorded as such.
        return;
    }
    record.took = record.begun.elapsed().max(Duration::from_nanos(1));
    if cause.is_of_backend() {
        let cells = pool.backend(record.slot).meters().at(worker);
        cells.failures[cause.index()].add(1);
        if pool.times_heads && cause == Cause::ResponseTimeout {
            // It takes at least so long.
            cells.heads.observe(record.took);
        }
        // That an idle connection was closed says nothing of how it does, nor that one more did not come about while
        // others were answered.
        if !failure.stale && !failure.lives {
            pool.note_failure(record.slot);
        }
    }
}

/// Ends the attempt under way, whose response cannot be passed on.
pub(super) fn no_answer(pool: &Pool, x: &mut Exchange) -> Failure {
    let failure = Failure {
        cause: Cause::Protocol,
        sent: true,
        stale: false,
        lives: false,
    };
    note_failure(pool, &failure, x);
    failure
}

/// Ends the attempt under way as one that was answered, though nobody will see the answer.
fn note_discarded(pool: &Pool, status: u16, x: &mut Exchange) {
    x.in_flight = None;
    let worker = x.worker.id();
    if let Some(last) = x.attempts.last_mut() {
        note_answered(pool, status, last, worker);
    }
}

/// Ends the record of an attempt that was answered.
pub(super) fn note_answered(pool: &Pool, status: u16, record: &mut Record, worker: WorkerId) {
    spans::note_status(record, status);
    record.took = record.begun.elapsed().max(Duration::from_nanos(1));
    let cells = pool.backend(record.slot).meters().at(worker);
    cells.requests[CodeClass::of(status).index()].add(1);
    cells.duration.observe(record.took);
    pool.note_answer(record.slot, status);
}
