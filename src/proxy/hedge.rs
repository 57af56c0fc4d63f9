//! A second attempt beside one that takes long (`retry.hedge` of the pool): the first head wins.
//!
//! What most requests wait for is done in a moment; a few hit a pause, a lost packet, a cold cache. Asking a second backend
//! after a delay that most answers keep costs little and cuts these off (Dean and Barroso, "The Tail at Scale", 2013).
//! It is done once for a request, for GET and HEAD without a body alone, and at the cost of an attempt and of a place in the
//! pool's budget: a pool that is slow as a whole is not asked twice for everything. A session that is bound to the backend
//! that is asked has nowhere else to go.
//!
//! The attempt that is outrun is cancelled: its connection is closed, or its stream reset. That is no failure of its
//! backend. A status that is taken for a failure (`retry.on`) does not win while the other attempt is under way.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use super::affinity::Inputs;
use super::course::Course;
use super::exchange::Exchange;
use super::retry::{attempt, before, note_answered, note_failed, note_head, note_pick};
use super::{Failure, Incoming, Proxy, rewrite, spans};
use crate::backend::InFlight;
use crate::message::body::{Body as _, Length, RequestBody};
use crate::message::{Method, hop_by_hop};
use crate::snapshot::{Choice, Claimed, Pool};
use crate::strategy::Slot;
use crate::telemetry::{Cause, HedgeOutcome, PickReason, WorkerId};
use crate::upstream::{Recall, Response, Reuse, Sent, Transport};
use crate::worker::Timer;

/// How long the attempt that begins at `slot` may be without a head until a second one is due; nothing if none ever is.
pub(super) fn due_after(
    pool: &Pool,
    inputs: &Inputs,
    slot: Slot,
    request: &Incoming<'_>,
    x: &Exchange,
) -> Option<Duration> {
    let delay = pool.hedge_after()?;
    let is_read = matches!(request.head.method(), Method::Get | Method::Head);
    let body = request.body.as_ref();
    let is_bare = body.is_none_or(|body| matches!(body.length(), Length::Absent { .. }))
        && hop_by_hop::upgrade(&request.head).is_none();
    let bound = inputs.pin.and_then(|pin| pool.members.by_tag(pin));
    (is_read && is_bare && x.attempts.len() == 1 && bound != Some(slot)).then_some(delay)
}

/// Makes the attempt at `at`, and after `delay` a second one beside it. Afterwards `at` says which one the outcome is of;
/// the last record is its own, and the claim of the exchange too. Dropping the future cancels both.
pub(super) async fn send<'c, T: Transport>(
    proxy: &Proxy<T>,
    course: &mut Course<'_>,
    at: &mut (Slot, Reuse),
    delay: Duration,
    request: &mut Incoming<'c>,
    x: &mut Exchange,
) -> Result<Response<T::Body<'c>>, Failure> {
    let pool = course.pool;
    if x.host_by_backend {
        rewrite::host_of(pool.backend(at.0).address(), &mut request.head);
    }
    spans::name_attempt(&mut request.head, x);
    let Incoming { head, body, .. } = request;
    let head = &*head;
    let (transport, whole) = (&proxy.transport, body.take().unwrap_or_default());
    let mut first = pin!(transport.send(attempt(pool, *at, x), head, whole));
    if let Some(sent) = in_time(first.as_mut(), delay, course.deadline.as_ref()).await {
        return alone(sent, body, pool, x);
    }
    let mut race = Race::new(pool, *at, x);
    match course.hedge(at.0, x) {
        Ok(choice) => race.begin_second(choice, x),
        Err(outcome) => {
            race.end(outcome);
            let sent = before(course.deadline.as_ref(), first).await;
            return alone(sent, body, pool, x);
        }
    }
    let second = race.runners[1].at;
    let is_another = x.host_by_backend || spans::is_recorded(x);
    let own_head = is_another.then(|| {
        let mut own = head.clone();
        if x.host_by_backend {
            rewrite::host_of(pool.backend(second.0).address(), &mut own);
        }
        spans::name_attempt(&mut own, x);
        own
    });
    let second_head = own_head.as_ref().unwrap_or(head);
    let sending = attempt(pool, second, x);
    let mut second = pin!(transport.send(sending, second_head, RequestBody::default()));
    loop {
        let next = race.next(first.as_mut(), second.as_mut());
        let Some((which, sent)) = before(course.deadline.as_ref(), pin!(next)).await else {
            *at = race.give_up(x);
            return Err(too_late());
        };
        if let Some(end) = race.take(which, sent, (course, body), x) {
            *at = race.runners[which].at;
            return end;
        }
    }
}

/// What comes of the first attempt before a second one is due, or before the deadline of all; nothing if one is due.
async fn in_time<F: Future>(
    mut first: Pin<&mut F>,
    delay: Duration,
    deadline: Option<&Timer>,
) -> Option<Option<F::Output>> {
    let mut sleep = pin!(tokio::time::sleep(delay));
    let early = poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(sent) => Poll::Ready(Some(sent)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
    });
    match before(deadline, pin!(early)).await {
        Some(Some(sent)) => Some(Some(sent)),
        Some(None) => None,
        None => Some(None),
    }
}

/// What came of the first attempt when there was no second one.
fn alone<'c, B>(
    sent: Option<Sent<'c, B>>,
    body: &mut Option<RequestBody<'c>>,
    pool: &Pool,
    x: &mut Exchange,
) -> Result<Response<B>, Failure> {
    match sent {
        Some(Ok(response)) => {
            note_head(pool, &response, x);
            Ok(response)
        }
        Some(Err((error, returned))) => {
            *body = Some(returned);
            Err(error.into())
        }
        None => Err(too_late()),
    }
}

fn too_late() -> Failure {
    Failure {
        sent: true,
        ..Failure::before(Cause::ResponseTimeout)
    }
}

/// Two attempts at one request, and what is counted of them in the end.
struct Race<'p> {
    pool: &'p Pool,
    worker: WorkerId,
    /// The first one's record; the second one's is behind it.
    base: usize,
    runners: [Runner; 2],
    outcome: HedgeOutcome,
}

/// One of the two; it runs as long as it has its claim.
struct Runner {
    at: (Slot, Reuse),
    claim: Option<InFlight<Claimed>>,
}

impl<'p> Race<'p> {
    fn new(pool: &'p Pool, at: (Slot, Reuse), x: &Exchange) -> Self {
        let runner = || Runner { at, claim: None };
        Self {
            pool,
            worker: x.worker.id(),
            base: x.attempts.len() - 1,
            runners: [runner(), runner()],
            // Unless something else becomes of it.
            outcome: HedgeOutcome::Left,
        }
    }

    fn end(mut self, outcome: HedgeOutcome) {
        self.outcome = outcome;
    }

    fn begin_second(&mut self, choice: Choice, x: &mut Exchange) {
        let Choice { slot, in_flight } = choice;
        self.runners[0].claim = x.in_flight.take();
        // How long the request waited for a place is what the first one waited.
        let picked = x.picked;
        note_pick(self.pool, PickReason::Hedge, (slot, in_flight), x);
        x.picked = picked;
        self.runners[1] = Runner {
            at: (slot, self.runners[0].at.1),
            claim: x.in_flight.take(),
        };
    }

    /// Which one ends next, and how.
    async fn next<O>(
        &self,
        mut first: Pin<&mut impl Future<Output = O>>,
        mut second: Pin<&mut impl Future<Output = O>>,
    ) -> (usize, O) {
        poll_fn(|cx| {
            if self.is_running(0)
                && let Poll::Ready(sent) = first.as_mut().poll(cx)
            {
                return Poll::Ready((0, sent));
            }
            if self.is_running(1)
                && let Poll::Ready(sent) = second.as_mut().poll(cx)
            {
                return Poll::Ready((1, sent));
            }
            Poll::Pending
        })
        .await
    }

    /// Takes note of how one has ended. Gives the end of both, unless the other one goes on.
    fn take<'c, B: Recall<'c>>(
        &mut self,
        which: usize,
        sent: Sent<'c, B>,
        (course, body): (&mut Course<'_>, &mut Option<RequestBody<'c>>),
        x: &mut Exchange,
    ) -> Option<Result<Response<B>, Failure>> {
        let other_runs = self.is_running(1 - which);
        let returned = match sent {
            Ok(response) if other_runs && self.is_failure(&response) => {
                self.answered(which, response.head.status(), x);
                response.body.recall()
            }
            Ok(response) => {
                self.win(which, x);
                note_head(self.pool, &response, x);
                return Some(Ok(response));
            }
            Err((error, returned)) => {
                let failure = Failure::from(error);
                if other_runs {
                    self.failed(which, &failure, x);
                    returned
                } else {
                    if which == 0 {
                        *body = Some(returned);
                    }
                    self.fail(which, x);
                    return Some(Err(failure));
                }
            }
        };
        if which == 0 {
            *body = Some(returned);
        }
        course.pass_over(self.runners[which].at.0);
        None
    }

    fn is_running(&self, which: usize) -> bool {
        self.runners[which].claim.is_some()
    }

    fn is_failure<B>(&self, response: &Response<B>) -> bool {
        self.pool.retry.on.has_status(response.head.status())
    }

    /// One has failed, and the other goes on.
    fn failed(&mut self, which: usize, failure: &Failure, x: &mut Exchange) {
        self.runners[which].claim = None;
        let record = &mut x.attempts[self.base + which];
        note_failed(self.pool, failure, record, self.worker);
    }

    /// One was answered by what is taken for a failure, and the other goes on.
    fn answered(&mut self, which: usize, status: u16, x: &mut Exchange) {
        self.runners[which].claim = None;
        let record = &mut x.attempts[self.base + which];
        note_answered(self.pool, status, record, self.worker);
    }

    /// One has the head; the other one, if it is under way, is outrun.
    fn win(&mut self, which: usize, x: &mut Exchange) {
        self.outcome = [HedgeOutcome::Lost, HedgeOutcome::Won][which];
        if self.is_running(1 - which) {
            let outrun = &mut x.attempts[self.base + 1 - which];
            outrun.cause = Some(Cause::Outrun);
            outrun.took = outrun.begun.elapsed().max(Duration::from_nanos(1));
        }
        self.hand_over(which, x);
    }

    /// The last one that ran has failed.
    fn fail(&mut self, which: usize, x: &mut Exchange) {
        self.outcome = HedgeOutcome::Failed;
        self.hand_over(which, x);
    }

    /// There is no time left for whichever run.
    fn give_up(&mut self, x: &mut Exchange) -> (Slot, Reuse) {
        if self.is_running(0) && self.is_running(1) {
            self.failed(0, &too_late(), x);
        }
        let last = usize::from(self.is_running(1));
        self.fail(last, x);
        self.runners[last].at
    }

    /// Makes one of them the last attempt of the exchange.
    fn hand_over(&mut self, which: usize, x: &mut Exchange) {
        if which == 0 {
            x.attempts.swap(self.base, self.base + 1);
        }
        x.in_flight = self.runners[which].claim.take();
    }
}

impl Drop for Race<'_> {
    fn drop(&mut self) {
        let cells = self.pool.meters.at(self.worker);
        cells.hedges[self.outcome.index()].add(1);
    }
}
