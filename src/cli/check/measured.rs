//! What a running instance has seen, held against its configuration.

use std::time::Duration;

use crate::admin::status::{BackendStatus, Status};
use crate::plan::Plan;
use crate::plan::Pool;
use crate::plan::advice::Advice;

/// What is to be said of the pools that both know.
pub(super) fn advise(plan: &Plan, status: &Status) -> Vec<Advice> {
    let mut all = Vec::new();
    for pool in &plan.pools {
        let Some(seen) = status.pools.iter().find(|seen| *seen.name == *pool.name) else {
            continue;
        };
        for backend in &seen.backends {
            all.extend(of_rest(pool, backend));
            all.extend(of_failures(pool, backend));
            all.extend(of_operator(pool, backend));
        }
    }
    all
}

/// A backend that closes connections before we do.
fn of_rest(pool: &Pool, backend: &BackendStatus) -> Option<Advice> {
    let rested = Duration::from_millis(backend.closes_idle_after_milliseconds?);
    (rested < pool.timeouts.idle).then(|| Advice {
        path: format!("pools.{}.timeouts.idle", pool.name),
        what: format!(
            "{} has closed connections that had rested {rested:?}, and they are kept for {:?}: requests that meet one have to be sent again",
            backend.address, pool.timeouts.idle
        ),
        remedy: "let the backend keep them longer than this one does, or let `idle` be less than that".to_owned(),
    })
}

/// A backend of which more than one attempt in a hundred fails.
fn of_failures(pool: &Pool, backend: &BackendStatus) -> Option<Advice> {
    let many = backend.requests >= ENOUGH && backend.failures * 100 > backend.requests;
    many.then(|| Advice {
        path: format!("pools.{}.backends", pool.name),
        what: format!(
            "{} of {} attempts at {} failed",
            backend.failures, backend.requests, backend.address
        ),
        remedy: "`forecourt_backend_failures_total` has the causes, and the README what to do about each"
            .to_owned(),
    })
}

/// What somebody has set by hand and may have forgotten.
fn of_operator(pool: &Pool, backend: &BackendStatus) -> Option<Advice> {
    let what = if backend.state_by == "operator" && backend.state != "ready" {
        format!(
            "{} is {} by an operator's word, which outlives reloads",
            backend.address, backend.state
        )
    } else if backend.weight != backend.weight_configured {
        format!(
            "{} has the weight {} by an operator's word; the configuration says {}",
            backend.address, backend.weight, backend.weight_configured
        )
    } else {
        return None;
    };
    Some(Advice {
        path: format!("pools.{}.backends", pool.name),
        what,
        remedy: format!(
            "if nobody wants it any more: forecourt backend ready {} {}, or `backend weight` with what the configuration says",
            pool.name, backend.address
        ),
    })
}

/// Attempts before a share of them means anything.
const ENOUGH: u64 = 200;
