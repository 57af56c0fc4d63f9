//! Differences of what a pool sends again.

use std::time::Duration;

use super::{Lines, duration_text};
use crate::plan::pool::{Hedge, Retry, RetryOn};

pub(super) fn retry(old: &Retry, new: &Retry, lines: &mut Lines<'_>) {
    let Retry {
        attempts,
        budget,
        on,
        per_try_timeout,
        deadline,
        replay_buffer,
        hedge,
    } = old;
    lines.compare("retry.attempts", attempts, &new.attempts, u32::to_string);
    lines.compare("retry.budget", budget, &new.budget, |percent| {
        format!("{percent}%")
    });
    lines.compare("retry.on", on, &new.on, on_text);
    lines.compare(
        "retry.per_try_timeout",
        per_try_timeout,
        &new.per_try_timeout,
        bound_text,
    );
    lines.compare("retry.deadline", deadline, &new.deadline, bound_text);
    lines.compare(
        "retry.replay_buffer",
        replay_buffer,
        &new.replay_buffer,
        |bytes| format!("{bytes}B"),
    );
    lines.compare("retry.hedge", hedge, &new.hedge, |hedge| match hedge {
        Hedge::Off => "off".to_owned(),
        Hedge::After(delay) => duration_text(*delay),
        Hedge::Percentile95 => "p95".to_owned(),
    });
}

fn bound_text(bound: &Option<Duration>) -> String {
    bound.map_or_else(|| "none".to_owned(), duration_text)
}

fn on_text(on: &RetryOn) -> String {
    let RetryOn {
        connect,
        stale,
        reset,
        statuses,
    } = on;
    let words = [("connect", connect), ("stale", stale), ("reset", reset)];
    let words = words.into_iter().filter(|(_, is_on)| **is_on);
    let statuses = statuses
        .iter()
        .map(|range| match (*range.start(), *range.end()) {
            (500, 599) => "5xx".to_owned(),
            (status, _) => status.to_string(),
        });
    let all: Vec<String> = words
        .map(|(word, _)| word.to_owned())
        .chain(statuses)
        .collect();
    format!("[{}]", all.join(", "))
}
