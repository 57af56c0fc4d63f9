//! `[pools.*.limits]`.

use super::scope::{Given, Scope, Zero};
use crate::config::problem::Finding;
use crate::config::raw::pool as raw;
use crate::limit::adaptive::Bounds;
use crate::plan::pool::{BackendPlan, Limits};

/// Compiles how much at once; the defaults if nothing is said of it.
pub(super) fn limits(given: Option<&Given<'_, raw::Limits>>) -> Limits {
    let Some(Given { value, scope, .. }) = given else {
        return Limits {
            in_flight: raw::IN_FLIGHT,
            queue: raw::QUEUE,
            queue_timeout: raw::QUEUE_TIMEOUT,
            adaptive: None,
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
        adaptive: adaptive(value, scope),
    }
}

/// Within what the limits of backends are found, if they are. The most is for each backend to say.
fn adaptive<'a>(value: &'a raw::Limits, scope: &Scope<'a>) -> Option<Bounds> {
    let is_on = scope
        .get("adaptive", &value.adaptive)
        .map_or(raw::ADAPTIVE, |written| *written.value);
    let (key, written) = ("adaptive_floor", &value.adaptive_floor);
    let range = 1..=raw::IN_FLIGHT_MOST;
    let floor = scope.integer(key, written, raw::ADAPTIVE_FLOOR, range);
    if !is_on
        && floor != raw::ADAPTIVE_FLOOR
        && let Some(written) = scope.get(key, written)
    {
        let finding = Finding::warning("nothing is adapted, so `adaptive_floor` means nothing");
        written.report(finding.help("set `adaptive = true`"));
    }
    is_on.then_some(Bounds {
        floor,
        most: raw::ADAPTIVE_MOST,
    })
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
    if let Some(bounds) = limits.adaptive
        && let Some(low) = backends
            .iter()
            .find(|backend| backend.max_in_flight > 0 && backend.max_in_flight < bounds.floor)
        && let Some(adaptive) = scope.get("adaptive", &value.adaptive)
    {
        adaptive.report(
            Finding::warning(format!(
                "the limit of {} is below `adaptive_floor`, so it is always {}",
                low.address, low.max_in_flight
            ))
            .help("raise the one (`per_backend`, `max_in_flight`) or lower the other"),
        );
    }
    if limits.adaptive.is_some()
        || limits.in_flight > 0
        || backends.iter().any(|backend| backend.max_in_flight > 0)
    {
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
