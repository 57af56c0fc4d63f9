//! Pick, send, and perhaps once more.
//!
//! What may be sent again is a question of safety, not of hope. Where no backend has seen the request (the connection
//! did not come about, or the backend says that it has not looked) it goes elsewhere, whatever its method, as often as
//! there are others: that is what a balancer is for, and no load on anybody. A reused connection that ended without a
//! byte of response was most likely closed before the request came; an idempotent request goes once more to the same
//! backend, on a new one. Whatever may have been acted on is sent again only if it is idempotent, within the pool's
//! attempts and its budget. Everything else is the client's to decide.
//!
//! This file sends; what is due after a failure, and whether it may be, is in [`course`](super::course).

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::affinity::Inputs;
use super::course::Course;
use super::exchange::{Exchange, Tried as Record};
use super::{Failure, Incoming, Proxy, queue, rewrite};
use crate::backend::InFlight;
use crate::message::body::{Body as _, Length, RequestBody};
use crate::snapshot::{Choice, Claimed, Pool};
use crate::strategy::Slot;
use crate::telemetry::{Cause, CodeClass, PickReason};
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
        next = match send(proxy, &course, (slot, reuse), request, x).await {
            Err(failure) => {
                note_failure(pool, &failure, x);
                course.after_failure(failure, (slot, reuse), request, x)
            }
            Ok(response) => {
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
    // Never empty here: a failed attempt gives it back.
    let body = request.body.take().unwrap_or_default();
    let is_empty = matches!(body.length(), Length::Absent { .. } | Length::Exact(0));
    let send = Attempt {
        backend: pool.backend(slot),
        timeouts: pool.timeouts,
        case: pool.style.case,
        protocol: pool.protocol,
        secure: pool.secure(slot),
        reuse,
        begun: x.attempts.last().map_or(x.received, |tried| tried.begun),
    };
    // Pinned here: handed over by value it would be copied, and lie twice in this future.
    let sending = pin!(proxy.transport.send(send, &request.head, body));
    match before(course.deadline.as_ref(), sending).await {
        Some(Ok(response)) => {
            x.connecting = Some(response.connecting);
            x.first_byte = Some(x.received.elapsed());
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

/// What comes of `sending` before the deadline.
async fn before<F: Future>(
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
    let is_first = x.attempts.is_empty();
    let bound = inputs.pin.and_then(|pin| pool.members.by_tag(pin));
    let reason = match bound {
        _ if !is_first => PickReason::Retry,
        Some(bound) if bound == slot => PickReason::Sticky,
        Some(_) | None if pool.members.are_in_panic() => PickReason::Panic,
        Some(_) | None => PickReason::Strategy,
    };
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
        cause: None,
        begun,
        took: Duration::ZERO,
    });
    x.in_flight = Some(claim);
}

/// Ends the attempt under way as a failed one. The client's own failures are not the backend's.
fn note_failure(pool: &Pool, failure: &Failure, x: &mut Exchange) {
    let cause = failure.cause;
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
            // That an idle connection was closed says nothing of how it does.
            if !failure.stale {
                pool.note_failure(last.slot);
            }
        }
    }
}

/// Ends the attempt under way, whose response cannot be passed on.
pub(super) fn no_answer(pool: &Pool, x: &mut Exchange) -> Failure {
    let failure = Failure {
        cause: Cause::Protocol,
        sent: true,
        stale: false,
    };
    note_failure(pool, &failure, x);
    failure
}

/// Ends the attempt under way as one that was answered, though nobody will see the answer.
fn note_discarded(pool: &Pool, status: u16, x: &mut Exchange) {
    x.in_flight = None;
    let worker = x.worker.id();
    if let Some(last) = x.attempts.last_mut() {
        last.took = last.begun.elapsed().max(Duration::from_nanos(1));
        let cells = pool.backend(last.slot).meters().at(worker);
        cells.requests[CodeClass::of(status).index()].add(1);
        cells.duration.observe(last.took);
        pool.note_answer(last.slot, status);
    }
}
