//! Towards backends: who is asked, and who finds out that one is gone.

use super::Notes;
use crate::health::Check;
use crate::plan::Pool;
use crate::plan::pool::Protocol;
use crate::strategy::{PanicThreshold, Spec};

pub(super) fn look(pool: &Pool, notes: &mut Notes) {
    let at = |key: &str| format!("pools.{}.{key}", pool.name);
    of_health(pool, &at, notes);
    of_shares(pool, &at, notes);
    of_retries(pool, &at, notes);
    let bounded = pool.limits.in_flight > 0
        || pool
            .backends
            .iter()
            .any(|backend| backend.max_in_flight > 0);
    notes.note(
        !bounded,
        at("limits.per_backend"),
        "nothing bounds what a backend gets at once: one that becomes slow is given ever more, until it falls",
        "set it to what one backend can work on at once, such as its threads, and `queue` to what may wait",
    );
}

fn of_health(pool: &Pool, at: &dyn Fn(&str) -> String, notes: &mut Notes) {
    let Some(policy) = &pool.health else {
        notes.note(
            true,
            at("health"),
            "nobody asks whether its backends are well: a dead one is found out by requests, again after each ejection",
            "add `[pools.X.health]` with a `path` that answers 200 when the application can work",
        );
        return;
    };
    notes.note(
        matches!(policy.check, Check::Tcp) && pool.protocol == Protocol::Http1,
        at("health.check"),
        "that a port can be connected to says nothing about the application behind it: it may answer 500 to everything",
        "let the check ask a `path`",
    );
    let noticed = policy.interval * policy.fall + policy.timeout;
    notes.note(
        noticed.as_secs() >= SLOW_TO_NOTICE,
        at("health.interval"),
        format!("it takes up to {noticed:?} until a backend that hangs is noticed, and until then it gets its share"),
        "let interval times fall be a few seconds; a check costs next to nothing",
    );
}

fn of_shares(pool: &Pool, at: &dyn Fn(&str) -> String, notes: &mut Notes) {
    let ready = pool.backends.iter().filter(|backend| backend.weight > 0);
    notes.note(
        ready.count() == 1,
        at("backends"),
        "only one backend takes requests: each restart of it is an outage, and no retry has anywhere to go",
        "add another, be it a `backup`",
    );
    if let Spec::IpHash { ipv6_prefix, .. } = pool.strategy {
        notes.note(
            ipv6_prefix > Spec::DEFAULT_IPV6_PREFIX,
            at("hash.ipv6_prefix"),
            "an IPv6 client changes the last 64 bits of its address by itself, every few hours or with each connection, and changes its backend with them",
            "let it be 64, a household, or less",
        );
    }
    notes.note(
        pool.panic_threshold == PanicThreshold(0),
        at("panic_threshold"),
        "if all backends seem ill at once, which most often means that the check is, every request gets 503",
        "let it be 50: when fewer are well, all are asked",
    );
}

fn of_retries(pool: &Pool, at: &dyn Fn(&str) -> String, notes: &mut Notes) {
    let retry = &pool.retry;
    notes.note(
        retry.attempts == 1 && pool.backends.len() > 1,
        at("retry.attempts"),
        "no request is sent again: a backend that is restarted costs its share of all requests until it is found out",
        "let it be 2; what is not safe to repeat is not repeated whatever the number",
    );
    notes.note(
        retry.on.has_status(500),
        at("retry.on"),
        "500 is most often the application's fault on one page: it will fail on the next backend too, and each such request costs twice",
        "keep to 502, 503 and 504, which say that a backend cannot work now",
    );
    notes.note(
        retry.budget >= 100,
        at("retry.budget"),
        "when everything fails, retries double the load at the moment when backends can bear it least",
        "let it be 20%",
    );
}

/// Seconds that a backend may hang unnoticed.
const SLOW_TO_NOTICE: u64 = 20;
