//! The course of a request through its attempts: what is due after each, and whether it may be.

use tokio::time::Instant;

use super::affinity::Inputs;
use super::exchange::Exchange;
use super::failure::Replay;
use super::{Failure, Incoming};
use crate::limit::{Full, Permit};
use crate::message::Head;
use crate::message::body::RequestBody;
use crate::snapshot::{Choice, NoChoice, Pool};
use crate::strategy::{PickContext, Slot, Tried};
use crate::telemetry::{Cause, HedgeOutcome, RetryOutcome};
use crate::upstream::Reuse;
use crate::worker::Timer;

/// A member that is asked next, and which connections with it will do.
pub(super) type Next = Option<(Choice, Reuse)>;

/// The course of one request.
pub(super) struct Course<'p> {
    pub(super) pool: &'p Pool,
    /// For a response's head, all attempts together.
    pub(super) deadline: Option<Timer>,
    inputs: &'p Inputs,
    tried: Tried,
    /// Members that were picked.
    picks: usize,
    /// Attempts that a backend may have acted on; the one under way counts.
    attempts: u32,
    /// Whether one of them is a hedge.
    is_hedged: bool,
    /// Whether it does no harm to send the request again.
    idempotent: bool,
    /// Which connections will do, unless one has just failed.
    reuse: Reuse,
    /// The place in the pool's budget, from the first retry that needs one until there is a response.
    permit: Option<Permit<'p>>,
    last: Option<Failure>,
    /// Why a retry that was due was not made.
    denied: Option<RetryOutcome>,
    /// Whether the last pick found all full: then it may be waited for.
    is_full: bool,
    /// Whether it has waited for a place.
    has_waited: bool,
}

/// What is due after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// The same member, on a new connection.
    Anew,
    /// Another member.
    Elsewhere,
    /// Another member, if attempts and budget are left.
    WithinBudget,
}

impl<'p> Course<'p> {
    /// Begins a request's course through `pool`.
    pub(super) fn open(
        (pool, inputs): (&'p Pool, &'p Inputs),
        request: &mut Incoming<'_>,
        x: &Exchange,
    ) -> Self {
        let idempotent = is_idempotent(&request.head, x);
        let body = request.body.as_mut();
        let can_return = idempotent && body.is_none_or(|body| can_return(body, pool));
        Self {
            pool,
            deadline: pool.retry.deadline.map(|most| {
                let timer = x.worker.timer();
                timer.set(x.received + most);
                timer
            }),
            inputs,
            tried: Tried::new(),
            picks: 0,
            attempts: 1,
            is_hedged: false,
            idempotent,
            reuse: if can_return {
                Reuse::Any
            } else {
                Reuse::Recent
            },
            permit: None,
            last: None,
            denied: None,
            is_full: false,
            has_waited: false,
        }
    }

    /// The first member.
    pub(super) fn first(&mut self, x: &Exchange) -> Next {
        self.pick(x)
    }

    /// What follows on a failure at a member.
    pub(super) fn after_failure(
        &mut self,
        failure: Failure,
        (slot, reuse): (Slot, Reuse),
        request: &mut Incoming<'_>,
        x: &Exchange,
    ) -> Next {
        self.last = Some(failure);
        let due = self.due(&failure, reuse)?;
        let whole = request.body.as_mut().is_none_or(RequestBody::rewind);
        if !whole || self.is_late(x) {
            return None;
        }
        match due {
            Due::Anew => {
                if !self.pool.still_takes(slot, self.is_bound_to(slot)) {
                    return self.elsewhere(slot, x);
                }
                match x.view.claim(x.pool?, slot) {
                    Some(choice) => Some((choice, Reuse::Never)),
                    // Somebody else has had its place in the meantime.
                    None => self.pick(x),
                }
            }
            Due::Elsewhere if self.picks >= MOST_PICKS => {
                self.denied = Some(RetryOutcome::NoneLeft);
                None
            }
            Due::Elsewhere => self.elsewhere(slot, x),
            Due::WithinBudget => self.within_budget(slot, x),
        }
    }

    /// What follows on a response with a status that is taken for a failure; nothing if it is to be passed on.
    pub(super) fn after_status(&mut self, slot: Slot, can_return: bool, x: &Exchange) -> Next {
        if !self.idempotent || !can_return || self.is_late(x) {
            return None;
        }
        self.within_budget(slot, x)
    }

    /// A second member beside the one at `slot` that has not answered yet, at the cost of an attempt and of a place in the
    /// budget. Nobody waits for one that is full.
    pub(super) fn hedge(&mut self, slot: Slot, x: &Exchange) -> Result<Choice, HedgeOutcome> {
        let retry = &self.pool.retry;
        if self.attempts >= retry.attempts || self.is_late(x) {
            return Err(HedgeOutcome::NoneLeft);
        }
        let had = self.permit.is_some();
        if !had {
            let in_flight = self.pool.in_flight();
            self.permit = self.pool.budget.permit_beside(retry.budget, in_flight);
        }
        if self.permit.is_none() {
            return Err(HedgeOutcome::Budget);
        }
        let before = self.tried;
        self.tried.insert(slot);
        let next = self.pick(x);
        self.is_full = false;
        let Some((choice, _)) = next else {
            self.tried = before;
            if !had {
                self.permit = None;
            }
            return Err(HedgeOutcome::NoneLeft);
        };
        self.attempts += 1;
        self.is_hedged = true;
        Ok(choice)
    }

    /// Has no member picked again whose attempt is over.
    pub(super) fn pass_over(&mut self, slot: Slot) {
        self.tried.insert(slot);
    }

    /// Ends it with a response that is passed on.
    pub(super) fn end(&self, status: u16, x: &mut Exchange) {
        if x.attempts.len() > 1 || self.denied.is_some() {
            let failed = self.pool.retry.on.has_status(status);
            self.count(failed, x);
            x.cause = None;
        }
    }

    /// Ends it without one. With no candidate left, the last real failure says more than that there was none.
    pub(super) fn fail(&self, x: &Exchange) -> Failure {
        self.count(true, x);
        self.last
            .unwrap_or_else(|| Failure::before(Cause::NoBackend))
    }

    fn due(&self, failure: &Failure, reuse: Reuse) -> Option<Due> {
        let retry = &self.pool.retry;
        let stale = failure.stale && reuse != Reuse::Never && retry.on.stale;
        match failure.replay() {
            Replay::Never => None,
            Replay::Always if stale => Some(Due::Anew),
            Replay::Always => retry.on.connect.then_some(Due::Elsewhere),
            Replay::IfIdempotent if !self.idempotent => None,
            Replay::IfIdempotent if stale => Some(Due::Anew),
            Replay::IfIdempotent if failure.cause == Cause::ResponseTimeout => {
                retry.per_try_timeout.map(|_| Due::WithinBudget)
            }
            Replay::IfIdempotent => retry.on.reset.then_some(Due::WithinBudget),
        }
    }

    /// Another member, at the cost of an attempt and of a place in the budget.
    fn within_budget(&mut self, slot: Slot, x: &Exchange) -> Next {
        let retry = &self.pool.retry;
        if self.attempts >= retry.attempts {
            // With one attempt in all none was ever due.
            self.denied = (retry.attempts > 1).then_some(RetryOutcome::NoneLeft);
            return None;
        }
        if let Some(permit) = &self.permit {
            permit.renew();
        } else {
            let in_flight = self.pool.in_flight();
            self.permit = self.pool.budget.permit(retry.budget, in_flight);
        }
        if self.permit.is_none() {
            self.denied = Some(RetryOutcome::Budget);
            return None;
        }
        self.attempts += 1;
        self.elsewhere(slot, x)
    }

    fn elsewhere(&mut self, slot: Slot, x: &Exchange) -> Next {
        self.tried.insert(slot);
        let next = self.pick(x);
        if next.is_none() {
            self.denied = Some(RetryOutcome::NoneLeft);
        }
        next
    }

    fn pick(&mut self, x: &Exchange) -> Next {
        let waits = self.is_full;
        loop {
            let next = self.pick_as_it_was(x)?;
            let (Choice { slot, .. }, _) = next;
            // By the view that the request began with; the first pick is of now.
            let is_first = self.picks == 1 && !self.has_waited;
            if is_first || self.pool.still_takes(slot, self.is_bound_to(slot)) {
                return Some(next);
            }
            drop(next);
            self.picks -= 1;
            self.is_full = waits;
            if !self.tried.insert(slot) {
                // More are gone than can be remembered: nothing is waited for, or each look would bring on the next.
                self.is_full = false;
                return None;
            }
        }
    }

    fn is_bound_to(&self, slot: Slot) -> bool {
        let pin = self.inputs.pin;
        pin.and_then(|pin| self.pool.members.by_tag(pin)) == Some(slot)
    }

    /// Picks by how the members stood when the request began.
    fn pick_as_it_was(&mut self, x: &Exchange) -> Next {
        let cx = PickContext {
            affinity: self.inputs.affinity,
            pin: self.inputs.pin,
            tried: &self.tried,
            entropy: x.worker.draw(),
        };
        debug_assert_eq!(
            x.pool.map(|index| &*x.view.pools[index].name),
            Some(&*self.pool.name)
        );
        // Nobody overtakes those that wait, and nobody takes a place among them who has nothing to wait for.
        let choice = if self.pool.door.waiting() > 0 && !self.is_full {
            Err(if self.has_somebody_left() {
                NoChoice::AllFull
            } else {
                NoChoice::NobodyLeft
            })
        } else {
            x.view.choose(x.pool?, &cx)
        };
        self.is_full = matches!(choice, Err(NoChoice::AllFull));
        let choice = choice.ok()?;
        self.picks += 1;
        Some((choice, self.reuse))
    }

    fn has_somebody_left(&self) -> bool {
        let members = &self.pool.members;
        let bound = self.inputs.pin.and_then(|pin| members.by_tag(pin));
        let bound = bound.filter(|slot| members.takes_bound(*slot));
        let mut all = members.eligible().iter().copied().chain(bound);
        all.any(|slot| {
            let may = !self.tried.contains(slot);
            may && self.pool.still_takes(slot, self.is_bound_to(slot))
        })
    }

    /// Whether there was no member only because all were full.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Picks once more, while it waits for a place; or says for whom there is none.
    pub(super) fn try_again(&mut self, x: &Exchange) -> Result<Next, Full> {
        self.is_full = true;
        self.has_waited = true;
        let next = self.pick(x);
        if next.is_some() {
            // What was denied for want of a place is had after all.
            self.denied = None;
        }
        // No member left is an end too; only a full one is worth waiting for.
        if next.is_some() || !self.is_full {
            return Ok(next);
        }
        let is_choosy = !self.tried.is_empty() || self.pool.is_outdated();
        Err(if is_choosy { Full::Mine } else { Full::All })
    }

    /// Notes that there was no place; a failure of before says more than that.
    pub(super) fn turn_away(&mut self, cause: Cause) {
        self.last.get_or_insert_with(|| Failure::before(cause));
    }

    fn is_late(&self, x: &Exchange) -> bool {
        let deadline = self.pool.retry.deadline;
        deadline.is_some_and(|most| Instant::now() >= x.received + most)
    }

    /// Counts what became of a request that was sent more than once, or should have been.
    fn count(&self, failed: bool, x: &Exchange) {
        // A hedge is no retry.
        let in_turn = x.attempts.len() - usize::from(self.is_hedged);
        let outcome = match (self.denied, in_turn) {
            (Some(RetryOutcome::Budget), _) => RetryOutcome::Budget,
            (_, 2..) if failed => RetryOutcome::Failed,
            (_, 2..) => RetryOutcome::Ok,
            (Some(denied), _) => denied,
            (None, _) => return,
        };
        let cells = self.pool.meters.at(x.worker.id());
        cells.retries[outcome.index()].add(1);
    }
}

/// Whether sending a request twice means no more than sending it once: by its method (RFC 9110 section 9.2.2), or by a
/// key that its backend knows it by (draft-ietf-httpapi-idempotency-key-header), where the route says so.
fn is_idempotent(head: &Head, x: &Exchange) -> bool {
    head.method().is_idempotent() || {
        let route = x.route.map(|route| &x.view.plan.routes[route]);
        route.is_some_and(|route| route.idempotency_key)
            && head
                .first_named(b"idempotency-key")
                .is_some_and(|key| !key.is_empty())
    }
}

/// Whether a body can be sent again whatever happens to it, which it may have to be kept for.
fn can_return(body: &mut RequestBody<'_>, pool: &Pool) -> bool {
    if pool.retry.replay_buffer > 0 {
        body.keep(pool.retry.replay_buffer);
    }
    body.can_return()
}

/// Members that are picked for one request whatever its attempts, where no backend has seen it: enough that half of a
/// pool may be dead, and too few to keep a client waiting for all the deadlines of a large one.
const MOST_PICKS: usize = 5;
