//! Waiting for a place at a pool whose backends are all full.
//!
//! How the queue is ordered and who is woken is in [`limit::queue`](crate::limit::queue); here is who waits, for how
//! long, and what is said of it. A request waits at most for `limits.queue_timeout` of its pool, and never past the
//! deadline of its retries. When the client goes away, the exchange is dropped and with it the ticket.

use std::future::poll_fn;
use std::task::Poll;

use tokio::time::Instant;

use super::course::{Course, Next};
use super::exchange::Exchange;
use crate::plan::Route;
use crate::snapshot::Pool;
use crate::telemetry::{Cause, QueueOutcome};
use crate::worker::Timer;

/// Waits until a member can be claimed; or says why none was.
pub(super) async fn wait(course: &mut Course<'_>, x: &mut Exchange) -> Result<Next, Cause> {
    let pool = course.pool;
    let Some(mut ticket) = pool.door.join(priority(x)) else {
        count(QueueOutcome::Full, pool, x);
        return Err(Cause::QueueFull);
    };
    let leaving = Leaving::watch(pool, x);
    let began = Instant::now();
    let deadline = deadline(pool, began, x);
    let end = poll_fn(|cx| match ticket.poll_turn(cx, || course.try_again(x)) {
        Poll::Ready(Some(next)) => Poll::Ready(Ok(next)),
        Poll::Ready(None) => Poll::Ready(Err(Cause::Shed)),
        Poll::Pending => deadline.poll_expired(cx).map(|()| Err(Cause::QueueTimeout)),
    })
    .await;
    drop(ticket);
    let outcome = match &end {
        Ok(_) => QueueOutcome::Admitted,
        Err(Cause::Shed) => QueueOutcome::Shed,
        Err(_) => QueueOutcome::Timeout,
    };
    leaving.end(outcome);
    x.picked = Some(x.received.elapsed());
    end
}

fn priority(x: &Exchange) -> u8 {
    let route = x.route.map(|route| &x.view.plan.routes[route]);
    route.map_or(Route::PRIORITY, |route| route.priority)
}

fn deadline(pool: &Pool, began: Instant, x: &Exchange) -> Timer {
    let most = began + pool.limits.queue_timeout;
    let all = pool.retry.deadline.map(|all| x.received + all);
    let timer = x.worker.timer();
    timer.set(all.map_or(most, |all| all.min(most)));
    timer
}

fn count(outcome: QueueOutcome, pool: &Pool, x: &Exchange) {
    let cells = pool.meters.at(x.worker.id());
    cells.queue[outcome.index()].add(1);
}

/// Counts how the waiting ended, also when it was given up from outside.
struct Leaving<'p> {
    pool: &'p Pool,
    worker: crate::telemetry::WorkerId,
    outcome: QueueOutcome,
}

impl<'p> Leaving<'p> {
    fn watch(pool: &'p Pool, x: &Exchange) -> Self {
        Self {
            pool,
            worker: x.worker.id(),
            outcome: QueueOutcome::Left,
        }
    }

    fn end(mut self, outcome: QueueOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let cells = self.pool.meters.at(self.worker);
        cells.queue[self.outcome.index()].add(1);
    }
}
