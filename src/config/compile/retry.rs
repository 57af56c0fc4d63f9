//! `[pools.*.retry]`.

use std::time::Duration;

use super::scope::{Given, Zero, unknown_word};
use crate::config::problem::Finding;
use crate::config::raw::loose::List;
use crate::config::raw::pool as raw;
use crate::plan::pool::{Hedge, Retry, RetryOn};

/// Compiles what is sent again; the defaults if nothing is said of it.
pub(super) fn retry(given: Option<Given<'_, raw::Retry>>) -> Retry {
    let Some(given) = given else {
        return Retry {
            attempts: raw::RETRY_ATTEMPTS,
            budget: raw::RETRY_BUDGET,
            on: usual(),
            per_try_timeout: None,
            deadline: None,
            replay_buffer: 0,
            hedge: Hedge::Off,
        };
    };
    let Given { value, scope, .. } = &given;
    let retry = Retry {
        attempts: scope.integer(
            "attempts",
            &value.attempts,
            raw::RETRY_ATTEMPTS,
            1..=raw::RETRY_ATTEMPTS_MOST,
        ),
        budget: scope.percent("budget", &value.budget, raw::RETRY_BUDGET),
        on: scope
            .get("on", &value.on)
            .map_or_else(usual, |list| on(&list)),
        per_try_timeout: scope.optional_duration(
            "per_try_timeout",
            &value.per_try_timeout,
            Zero::Refused,
        ),
        deadline: scope.optional_duration("deadline", &value.deadline, Zero::Refused),
        replay_buffer: scope.size(
            "replay_buffer",
            &value.replay_buffer,
            0,
            0..=raw::REPLAY_BUFFER_MOST,
        ),
        hedge: hedge(&given),
    };
    if retry.hedge != Hedge::Off
        && (retry.attempts < 2 || retry.budget == 0)
        && let Some(written) = scope.get("hedge", &value.hedge)
    {
        let finding = Finding::error("a second attempt that is never allowed");
        let help = "it counts as an attempt and in the budget: set `attempts` to 2 or more, and a `budget` above 0%";
        written.report(finding.help(help));
    }
    if let (Some(deadline), Some(per_try)) = (retry.deadline, retry.per_try_timeout)
        && deadline <= per_try
        && let Some(written) = scope.get("deadline", &value.deadline)
    {
        let finding = Finding::warning("the first attempt may take all of `deadline`");
        written.report(finding.help("make `deadline` longer than `per_try_timeout`"));
    }
    retry
}

fn hedge(given: &Given<'_, raw::Retry>) -> Hedge {
    let Given { value, scope, .. } = given;
    let Some(written) = scope.get("hedge", &value.hedge) else {
        return Hedge::Off;
    };
    match written.value.as_str() {
        "off" => Hedge::Off,
        "p95" => Hedge::Percentile95,
        text if text.starts_with(|first: char| first.is_ascii_digit()) => {
            let after = scope.optional_duration("hedge", &value.hedge, Zero::Allowed);
            if after == Some(Duration::ZERO) {
                let finding = Finding::error("`hedge` of zero would ask for everything twice");
                written.report(finding.help("name a time that most answers keep, or \"p95\""));
            }
            after.map_or(Hedge::Off, Hedge::After)
        }
        word => {
            let words = ["off", "p95", "250ms"];
            written.report(unknown_word("hedge", word, words.into_iter()));
            Hedge::Off
        }
    }
}

/// What costs nothing but a connection, or can do no harm.
fn usual() -> RetryOn {
    RetryOn {
        connect: true,
        stale: true,
        reset: true,
        statuses: Vec::new(),
    }
}

fn on(list: &Given<'_, List<String>>) -> RetryOn {
    let mut on = RetryOn::default();
    for written in list.elements() {
        match written.value.as_str() {
            "connect" => on.connect = true,
            "stale" => on.stale = true,
            "reset" => on.reset = true,
            "5xx" => on.statuses.push(500..=599),
            word => match word.parse() {
                Ok(status) if word.len() == 3 && (500..=599).contains(&status) => {
                    on.statuses.push(status..=status);
                }
                Ok(status) if word.len() == 3 && (100..=499_u16).contains(&status) => {
                    let what = format!("{status} is an answer, and not a failure of the backend");
                    let finding = Finding::error(what);
                    written.report(finding.help("statuses from 500 to 599 can be retried"));
                }
                _ => {
                    let words = ["connect", "stale", "reset", "5xx", "502", "503", "504"];
                    written.report(unknown_word("failure", word, words.into_iter()));
                }
            },
        }
    }
    on
}
