//! Deadlines that are in each other's way.

use std::time::Duration;

use super::Notes;
use crate::plan::Pool;

pub(super) fn look(pool: &Pool, notes: &mut Notes) {
    let at = |key: &str| format!("pools.{}.{key}", pool.name);
    let (times, retry) = (&pool.timeouts, &pool.retry);
    notes.note(
        times.idle > KEPT_BY_MOST,
        at("timeouts.idle"),
        format!(
            "connections are kept for {:?}, longer than most servers keep them (Node 5 s, Apache 5 s, Tomcat 60 s, nginx 75 s): each request that meets one as it closes has to be sent again, and one that cannot be is lost",
            times.idle
        ),
        "let it be less than the backend's own; `check --doctor --admin URL` says what a running instance has seen",
    );
    notes.note(
        times.connect >= times.response,
        at("timeouts.connect"),
        format!(
            "it may take {:?} to connect and only {:?} to answer: a network that is down holds clients longer than a backend that works",
            times.connect, times.response
        ),
        "a connection within a data centre stands in milliseconds: a second or three are enough",
    );
    if let Some(each) = retry.per_try_timeout {
        notes.note(
            each >= times.response,
            at("retry.per_try_timeout"),
            format!(
                "{each:?} for one attempt is never reached: `timeouts.response` ends it after {:?}",
                times.response
            ),
            "let it be less than `timeouts.response`, or leave it out",
        );
    }
    if let (Some(deadline), true) = (retry.deadline, pool.limits.queue > 0) {
        notes.note(
            pool.limits.queue_timeout >= deadline,
            at("limits.queue_timeout"),
            format!(
                "a request may wait {:?} for a place and has {deadline:?} in all: it gets its place when it is too late",
                pool.limits.queue_timeout
            ),
            "let it be a fraction of `retry.deadline`",
        );
    }
}

/// What the most patient of the usual servers have by default.
const KEPT_BY_MOST: Duration = Duration::from_secs(75);
