//! Routes, and what they ask of their pools.

use super::Notes;
use crate::plan::{Plan, Route};

pub(super) fn look(plan: &Plan, notes: &mut Notes) {
    for route in &plan.routes {
        let Some(pool) = route.pool().map(|index| &plan.pools[index]) else {
            continue;
        };
        let bounded = pool.limits.in_flight > 0
            || pool
                .backends
                .iter()
                .any(|backend| backend.max_in_flight > 0);
        notes.note(
            route.priority != Route::PRIORITY && !bounded,
            format!("routes.{}.priority", route.name),
            format!(
                "its priority means nothing: pool {} has no limit, so it is never full and nobody is turned away",
                pool.name
            ),
            "give the pool `limits` with `per_backend` and `queue`",
        );
        notes.note(
            route.idempotency_key && pool.retry.attempts > 1,
            format!("routes.{}.idempotency_key", route.name),
            "an order with an Idempotency-Key may be sent twice; a backend that does not look at the key books it twice",
            "keep it only if every backend of the pool keeps the keys that it has seen",
        );
    }
}
