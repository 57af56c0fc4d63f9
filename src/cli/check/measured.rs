//! What a running instance has seen, held against its configuration.

use std::time::Duration;

use crate::admin::alarms::Alarm;
use crate::admin::status::{BackendStatus, Status};
use crate::plan::Plan;
use crate::plan::Pool;
use crate::plan::advice::Advice;
use crate::telemetry::Cause;

/// What is to be said of the pools that both know.
pub(super) fn advise(plan: &Plan, status: &Status) -> Vec<Advice> {
    let mut all = Vec::new();
    for pool in &plan.pools {
        let Some(seen) = status.pools.iter().find(|seen| *seen.name == *pool.name) else {
            continue;
        };
        for backend in &seen.backends {
            all.extend(of_rest(pool, backend));
            all.extend(of_failures(&pool.name, backend));
            all.extend(of_operator(pool, backend));
        }
    }
    all
}

/// What harms requests at this moment.
pub(super) fn of_alarms(alarms: &[Alarm]) -> impl Iterator<Item = Advice> {
    // The rest is what an operator did, which is told from the status.
    let grave = alarms.iter().filter(|alarm| alarm.grave);
    grave.map(|alarm| Advice {
        path: match &alarm.pool {
            Some(pool) => format!("pools.{pool}"),
            None => "the instance".to_owned(),
        },
        what: format!("right now: {}", alarm.what),
        remedy: alarm.remedy.clone(),
    })
}

/// A backend that closes connections before we do.
fn of_rest(pool: &Pool, backend: &BackendStatus) -> Option<Advice> {
    let rested = Duration::from_millis(backend.closes_idle_after_milliseconds?);
    // One that has died closed all that it had, which is no habit of its.
    let is_habit = rested < pool.timeouts.idle
        && backend.standing != "ejected"
        && backend.standing != "failing";
    is_habit.then(|| Advice {
        path: format!("pools.{}.timeouts.idle", pool.name),
        what: format!(
            "{} has closed connections that had rested {rested:?}, and they are kept for {:?}: requests that meet one have to be sent again",
            backend.address, pool.timeouts.idle
        ),
        remedy: "let the backend keep them longer than this one does, or let `idle` be less than that".to_owned(),
    })
}

/// A backend of which more than one attempt in a hundred fails.
fn of_failures(pool: &str, backend: &BackendStatus) -> Option<Advice> {
    let attempts = backend.attempts();
    let many = attempts >= ENOUGH && backend.failures.saturating_mul(100) > attempts;
    let most = backend.failed_by.iter().max_by_key(|(_, count)| **count);
    let cause = most.and_then(|(word, _)| {
        let mut all = Cause::ALL.into_iter();
        all.find(|cause| cause.as_str() == word)
    });
    let causes = backend.failed_by.iter();
    let causes: Vec<_> = causes
        .map(|(cause, count)| format!("{count} {cause}"))
        .collect();
    many.then(|| Advice {
        path: format!("pools.{pool}.backends"),
        what: format!(
            "{} of {attempts} attempts at {} failed since it is known: {}",
            backend.failures,
            backend.address,
            causes.join(", ")
        ),
        remedy: cause.map_or_else(
            || "the README says what to do about each cause".to_owned(),
            |cause| cause.remedy().to_owned(),
        ),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::alarms::tests::backend;

    #[test]
    fn failures_are_a_part_of_all_attempts() {
        let mut status = backend("81").status;
        let mut seen = |requests, refused, cut| {
            status.requests = requests;
            status.failures = refused + cut;
            status.failed_by = [("connect-refused", refused), ("body-truncated", cut)]
                .map(|(cause, count)| (cause.to_owned(), count))
                .into();
            of_failures("shop", &status).map(|advice| advice.what)
        };
        let what = seen(150, 50, 0).unwrap();
        assert!(what.starts_with("50 of 200 attempts at "), "{what}");
        // What was cut has been answered too.
        let what = seen(200, 0, 50).unwrap();
        assert!(what.starts_with("50 of 200 attempts at "), "{what}");
        // None of all was answered.
        let what = seen(0, 200, 0).unwrap();
        assert!(what.starts_with("200 of 200 attempts at "), "{what}");
        assert_eq!(seen(100, 50, 0), None, "too few to say");
        assert_eq!(seen(1_980, 20, 0), None, "one in a hundred");
    }
}
