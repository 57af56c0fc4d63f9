//! `[pools.*.limits]`.

use super::scope::{Given, Zero};
use crate::config::problem::Finding;
use crate::config::raw::pool as raw;
use crate::plan::pool::{BackendPlan, Limits};

/// Compiles how much at once; the defaults if nothing is said of it.
pub(super) fn limits(given: Option<&Given<'_, raw::Limits>>) -> Limits {
    let Some(Given { value, scope, .. }) = given else {
        return Limits {
            in_flight: raw::IN_FLIGHT,
            queue: raw::QUEUE,
            queue_timeout: raw::QUEUE_TIMEOUT,
        };
    };
    Limits {
        in_flight: scope.integer(
            "in_flight",
            &value.in_flight,
            raw::IN_FLIGHT,
            0..=raw::IN_FLIGHT_MOST,
        ),
        queue: scope.integer("queue", &value.queue, raw::QUEUE, 0..=raw::QUEUE_MOST),
        queue_timeout: scope.duration(
            "queue_timeout",
            &value.queue_timeout,
            raw::QUEUE_TIMEOUT,
            Zero::Refused,
        ),
    }
}

/// What each backend may have in flight that does not say so itself.
pub(super) fn per_backend(given: Option<&Given<'_, raw::Limits>>) -> u32 {
    let Some(Given { value, scope, .. }) = given else {
        return raw::IN_FLIGHT;
    };
    let written = &value.per_backend;
    scope.integer(
        "per_backend",
        written,
        raw::IN_FLIGHT,
        0..=raw::IN_FLIGHT_MOST,
    )
}

/// Warns of a queue in which nobody ever waits. That of the defaults says nothing.
pub(super) fn check(
    given: Option<&Given<'_, raw::Limits>>,
    limits: Limits,
    backends: &[BackendPlan],
) {
    let Some(Given { value, scope, .. }) = given else {
        return;
    };
    if limits.in_flight > 0 || backends.iter().any(|backend| backend.max_in_flight > 0) {
        return;
    }
    let help = "set `in_flight` or `per_backend`, or `max_in_flight` of a backend";
    let finding = |key: &str| {
        Finding::warning(format!("nothing is ever full, so `{key}` means nothing")).help(help)
    };
    if let Some(queue) = scope.get("queue", &value.queue)
        && limits.queue != 0
        && limits.queue != raw::QUEUE
    {
        queue.report(finding("queue"));
    }
    if let Some(timeout) = scope.get("queue_timeout", &value.queue_timeout)
        && limits.queue_timeout != raw::QUEUE_TIMEOUT
    {
        timeout.report(finding("queue_timeout"));
    }
}
