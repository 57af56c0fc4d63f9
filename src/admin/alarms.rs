//! What is wrong now, in words and with what can be done about it: one judgement for the dashboard, `forecourt top` and
//! `forecourt status`, so that none of them shows figures and leaves it to whoever was woken to find out what they mean.
//!
//! It judges the figures that it is given, of one second and of as many as an answer's time takes to be known, and
//! remembers nothing. An alarm changes nothing: who is picked is health's and the operator's business.

use std::ptr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::stats::{BackendStats, PoolStats, Stats};
use crate::backend::Ejection;
use crate::telemetry::Cause;

/// Something that an operator wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alarm {
    /// The pool that it is about; nothing for the whole instance.
    pub pool: Option<String>,
    /// What is wrong, in a sentence.
    pub what: String,
    /// What can be done about it.
    pub remedy: String,
    /// Whether it harms requests, or is only to be kept in mind, such as what an operator has taken out.
    pub grave: bool,
}

/// What is wrong by these figures, the gravest first.
pub fn of(stats: &Stats) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    if stats.state != "serving" {
        alarms.push(Alarm {
            pool: None,
            what: format!("the instance is {}", stats.state),
            remedy: "nothing, if it was told to; it takes no new connections for long".to_owned(),
            grave: false,
        });
    }
    alarms.extend(of_answers(stats));
    for pool in &stats.pools {
        let found = [
            nobody(pool),
            out(pool),
            panic(pool),
            queue(pool),
            held(pool),
        ];
        alarms.extend(found.into_iter().flatten());
        alarms.extend(of_asked(pool, stats.seconds));
    }
    // Stable: otherwise in the order of the pools.
    alarms.sort_by_key(|alarm| !alarm.grave);
    alarms
}

/// What a backend is called: by its id, if it has one, and its address.
pub fn named(backend: &BackendStats) -> String {
    let status = &backend.status;
    if status.id == status.address {
        status.address.clone()
    } else {
        format!("{} ({})", status.id, status.address)
    }
}

fn of_answers(stats: &Stats) -> Option<Alarm> {
    let (errors, all) = (stats.errors_per_second, stats.requests_per_second);
    is_much(errors, all, stats.seconds).then(|| Alarm {
        pool: None,
        what: format!(
            "{:.0} % of requests are answered by 5xx, {errors:.1} a second",
            errors * 100.0 / all
        ),
        remedy: "`GET /v1/requests?errors=true` has the last ones; `forecourt why ID` tells the story of each".to_owned(),
        grave: true,
    })
}

fn alarm(pool: &PoolStats, grave: bool, what: String, remedy: String) -> Alarm {
    Alarm {
        pool: Some(pool.name.clone()),
        what,
        remedy,
        grave,
    }
}

fn is_out(backend: &BackendStats) -> bool {
    matches!(backend.status.standing.as_str(), "failing" | "ejected")
}

fn is_held(backend: &BackendStats) -> bool {
    matches!(backend.status.standing.as_str(), "draining" | "maintenance")
}

/// Whether new requests may go to it.
fn takes_new(backend: &BackendStats) -> bool {
    backend.is_ready() && backend.share_wanted > 0.0
}

fn nobody(pool: &PoolStats) -> Option<Alarm> {
    // By the shares and not by how they stand: one that is well and has no weight takes nothing, and where backups take all,
    // these have shares.
    let is_taken = |backend: &BackendStats| backend.share_wanted > 0.0;
    let none = !pool.panic && !pool.backends.iter().any(is_taken);
    none.then(|| {
        let what = "no backend takes new requests: they are answered by 503".to_owned();
        alarm(pool, true, what, remedy_for_nobody(pool))
    })
}

/// What brings a backend back at once, if anything does.
fn remedy_for_nobody(pool: &PoolStats) -> String {
    let find = |may: fn(&BackendStats) -> bool| pool.backends.iter().find(|one| may(one));
    let weight = |backend: &BackendStats| {
        let configured = backend.status.weight_configured.max(1);
        format!("{} {configured}", command("weight", pool, backend))
    };
    if let Some(weightless) = find(|one| one.is_ready() && one.status.weight == 0) {
        return format!("it is well and has the weight 0: {}", weight(weightless));
    }
    if let Some(held) = find(|one| is_held(one) && one.status.weight > 0) {
        return command("ready", pool, held);
    }
    match find(is_held) {
        Some(held) => format!("{}; {}", command("ready", pool, held), weight(held)),
        None => "start the backends, or `forecourt config rollback N` if a change has done it"
            .to_owned(),
    }
}

/// Who is out for what requests or checks found.
fn out(pool: &PoolStats) -> Option<Alarm> {
    let out: Vec<_> = pool.backends.iter().filter(|one| is_out(one)).collect();
    let first = out.first()?;
    let all = pool.backends.len();
    let what = format!(
        "{} of {all} backends {}: {}",
        out.len(),
        if out.len() == 1 { "is out" } else { "are out" },
        listed(&out, |backend| {
            let status = &backend.status;
            let why = status.why.as_deref().unwrap_or("nobody knows why");
            let last = failed_by(backend);
            let last = last.map_or_else(String::new, |cause| format!(", last by {cause}"));
            format!("{} {}, {why}{last}", named(backend), status.standing)
        })
    );
    let cause = match cause_of(first) {
        Some(cause) => cause.remedy(),
        None if answered_errors(first) => "look into its log for the errors that it answers",
        None => "look into its log",
    };
    let remedy = format!("{cause}; it comes back by itself once it is well");
    Some(alarm(pool, true, what, remedy))
}

/// The cause that a backend is out for, if it is known: of its checks, or of the requests by which it was ejected.
fn cause_of(backend: &BackendStats) -> Option<Cause> {
    let word = match backend.status.standing.as_str() {
        "failing" => backend.status.check.as_ref()?.cause.as_deref()?,
        _ => failed_by(backend)?,
    };
    Cause::ALL.into_iter().find(|cause| cause.as_str() == word)
}

/// By what requests to it failed when it was ejected for that. A failure of long before says nothing of it.
fn failed_by(backend: &BackendStats) -> Option<&str> {
    let status = &backend.status;
    if status.standing != "ejected" || answered_errors(backend) {
        return None;
    }
    let last = backend.last_failure.as_ref()?;
    let at: jiff::Timestamp = last.time.parse().ok()?;
    let since = i64::try_from(status.since?).ok()?;
    (at.as_second() >= since.saturating_sub(BEFORE_SECONDS)).then_some(&*last.cause)
}

/// Whether it is ejected for what it answered, and not for attempts that failed.
fn answered_errors(backend: &BackendStats) -> bool {
    backend.status.ejected_for.as_deref() == Some(Ejection::Errors.as_str())
}

fn panic(pool: &PoolStats) -> Option<Alarm> {
    pool.panic.then(|| {
        let what = "panic: so few backends are well that requests go to all of them".to_owned();
        let remedy =
            "bring backends back, or add some; `panic` of the pool says from when on".to_owned();
        alarm(pool, true, what, remedy)
    })
}

fn queue(pool: &PoolStats) -> Option<Alarm> {
    (pool.queued > 0).then(|| {
        let what = format!("{} requests wait for a place at a backend", pool.queued);
        let remedy =
            "add backends, find out why they are slow, or raise `limits` of the pool".to_owned();
        alarm(pool, true, what, remedy)
    })
}

/// Who is out by an operator's word.
fn held(pool: &PoolStats) -> Option<Alarm> {
    let held: Vec<_> = pool.backends.iter().filter(|one| is_held(one)).collect();
    let first = held.first()?;
    let what = format!(
        "{} of {} backends {} kept out by an operator: {}",
        held.len(),
        pool.backends.len(),
        if held.len() == 1 { "is" } else { "are" },
        listed(&held, |backend| format!(
            "{} {}",
            named(backend),
            backend.status.standing
        ))
    );
    let remedy = format!("when it may serve again: {}", command("ready", pool, first));
    Some(alarm(pool, false, what, remedy))
}

/// Who is asked, and fails, answers by 5xx, or takes far longer than the others.
fn of_asked(pool: &PoolStats, seconds: f64) -> impl Iterator<Item = Alarm> {
    let asked = || pool.backends.iter().filter(|one| !is_out(one));
    let failing: Vec<_> = asked().filter(|one| is_failing(one, seconds)).collect();
    // Who is held out already is no news.
    let slow = asked().filter(|one| !is_held(one) && is_slow(one));
    let mut slow: Vec<_> = slow.collect();
    slow.sort_by(|one, other| p50_of(other).total_cmp(&p50_of(one)));
    let is_named = |one: &BackendStats| {
        let mut named = failing.iter().chain(&slow);
        named.any(|named| ptr::eq(*named, one))
    };
    let mut others = pool.backends.iter();
    let has_others = others.any(|one| takes_new(one) && !is_named(one));
    [
        of_failing(pool, &failing, has_others),
        of_slow(pool, &slow, has_others),
    ]
    .into_iter()
    .flatten()
}

fn is_failing(backend: &BackendStats, seconds: f64) -> bool {
    let wrong = backend.failures_per_second + backend.errors_per_second;
    is_much(wrong, backend.requests_per_second.max(wrong), seconds)
}

fn of_failing(pool: &PoolStats, failing: &[&BackendStats], has_others: bool) -> Option<Alarm> {
    let what = listed(failing, |backend| {
        let mut said = Vec::new();
        if backend.failures_per_second > 0.0 {
            let by = backend.last_failure.as_ref();
            let by = by.map_or_else(String::new, |last| format!(" by {}", last.cause));
            said.push(format!(
                "{:.1} attempts/s fail{by}",
                backend.failures_per_second
            ));
        }
        if backend.errors_per_second > 0.0 {
            said.push(format!(
                "{:.1} answers/s are 5xx",
                backend.errors_per_second
            ));
        }
        format!("{}: {}", named(backend), said.join(", "))
    });
    let remedy = remedy_for(pool, failing, has_others, "look into its log")?;
    Some(alarm(pool, true, what, remedy))
}

/// Who takes far longer than the others of the pool.
fn of_slow(pool: &PoolStats, slow: &[&BackendStats], has_others: bool) -> Option<Alarm> {
    let what = listed(slow, |backend| {
        let (name, p50) = (named(backend), p50_of(backend));
        let others = backend.recent.others_p50_milliseconds.unwrap_or_default();
        format!(
            "{name} is slow: half of its answers take about {p50:.0} ms or more, half of the others' about {others:.1} ms"
        )
    });
    let remedy = remedy_for(pool, slow, has_others, "find out why")?;
    Some(alarm(pool, true, what, remedy))
}

/// What to do about those that are asked and do badly; nothing if there are none. To take one out helps only where it is
/// to blame and others are left for its requests.
fn remedy_for(
    pool: &PoolStats,
    bad: &[&BackendStats],
    has_others: bool,
    look: &str,
) -> Option<String> {
    let first = bad.first()?;
    let is_asked = |one: &&BackendStats| {
        !is_out(one) && (one.requests_per_second > 0.0 || one.recent.answers > 0)
    };
    let asked = pool.backends.iter().filter(is_asked).count();
    let is_shared = bad.len() > 1 && bad.len() * 2 > asked;
    Some(if is_shared {
        "most that are asked do alike: it is likely something behind them that they share; look there (database, network), \
         or `forecourt config rollback N` if a change has done it"
            .to_owned()
    } else if !has_others {
        format!(
            "{look}; no other backend could take its requests: add one, or bring one back, before this one is taken out"
        )
    } else if is_held(first) {
        // One that is drained gets bound sessions still.
        let command = command("maint", pool, first);
        format!("{look}; to keep all requests off it meanwhile: {command}")
    } else {
        let command = command("drain", pool, first);
        format!("{look}; to keep new requests off it meanwhile: {command}")
    })
}

/// Whether it takes far longer than the others of its pool did of late.
pub fn is_slow(backend: &BackendStats) -> bool {
    let recent = &backend.recent;
    let is_enough = recent.answers >= ENOUGH && recent.others >= ENOUGH;
    is_enough
        && recent.others_p50_milliseconds.is_some_and(|usual| {
            p50_of(backend) >= (usual * SLOW_TIMES).max(usual + SLOW_MILLISECONDS)
        })
}

fn p50_of(backend: &BackendStats) -> f64 {
    backend.recent.p50_milliseconds.unwrap_or_default()
}

fn command(word: &str, pool: &PoolStats, backend: &BackendStats) -> String {
    format!(
        "forecourt backend {word} {} {}",
        pool.name, backend.status.address
    )
}

/// The first ones, and how many there are beside them.
fn listed(backends: &[&BackendStats], say: impl Fn(&BackendStats) -> String) -> String {
    let mut said: Vec<_> = backends.iter().take(NAMED).map(|one| say(one)).collect();
    if backends.len() > NAMED {
        said.push(format!("and {} more", backends.len() - NAMED));
    }
    said.join("; ")
}

/// One in a hundred, and not a single one in passing. Both are per second, of so many seconds.
fn is_much(wrong: f64, all: f64, seconds: f64) -> bool {
    // A rate is a count made fractional: rounded it is that again.
    (wrong * seconds).round() >= FEWEST && wrong * 100.0 >= all
}

/// Of many, those that are named.
const NAMED: usize = 3;

/// So many failures in the figures that are looked at, for one or two happen to every backend.
const FEWEST: f64 = 3.0;

/// Of so many answers a median says something. Of fewer it is the chance of a moment: tunnels and streams count by their
/// whole life, and are few.
pub(super) const ENOUGH: u64 = 10;

/// How long before it is ejected the failure may have been seen that it is ejected for: figures and ejection have
/// clocks of their own, and a run of failures takes its time.
const BEFORE_SECONDS: i64 = 5;

/// A backend is slow whose median is so many times that of the others, and above it by so many milliseconds.
const SLOW_TIMES: f64 = 4.0;
const SLOW_MILLISECONDS: f64 = 100.0;

#[cfg(test)]
pub(crate) mod tests;
