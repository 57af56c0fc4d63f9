//! What is wrong now, in words and with what can be done about it: one judgement for the dashboard, `forecourt top` and
//! `forecourt status`, so that none of them shows figures and leaves it to whoever was woken to find out what they mean.
//!
//! It judges the figures of one second and remembers nothing. An alarm changes nothing: who is picked is health's and the
//! operator's business.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::stats::{BackendStats, PoolStats, Stats};
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
        alarms.extend(failing_attempts(pool));
        alarms.extend(slow(pool));
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
    is_much(errors, all).then(|| Alarm {
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

fn nobody(pool: &PoolStats) -> Option<Alarm> {
    let ready = |backend: &&BackendStats| !is_out(backend) && !is_held(backend);
    let none = !pool.panic && !pool.backends.iter().any(|backend| ready(&backend));
    none.then(|| {
        let what = "no backend takes new requests: they are answered by 503".to_owned();
        let remedy = match pool.backends.iter().find(|backend| is_held(backend)) {
            Some(held) => command("ready", pool, held),
            None => "start the backends, or `forecourt config rollback N` if a change has done it"
                .to_owned(),
        };
        alarm(pool, true, what, remedy)
    })
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
            format!("{} {}, {why}", named(backend), status.standing)
        })
    );
    let cause = cause_of(first).map_or_else(
        || "look into its log".to_owned(),
        |cause| cause.remedy().to_owned(),
    );
    let remedy = format!("{cause}; it comes back by itself once it is well");
    Some(alarm(pool, true, what, remedy))
}

/// The cause that a backend fails by: of its check, or else the most frequent of its requests.
fn cause_of(backend: &BackendStats) -> Option<Cause> {
    let status = &backend.status;
    let of_check = status.check.as_ref().and_then(|check| check.cause.as_ref());
    let most = status.failed_by.iter().max_by_key(|(_, count)| **count);
    let word = of_check.or_else(|| most.map(|(cause, _)| cause))?;
    Cause::ALL.into_iter().find(|cause| cause.as_str() == word)
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

/// Who is asked, and fails or answers by 5xx.
fn failing_attempts(pool: &PoolStats) -> Option<Alarm> {
    let asked = pool.backends.iter().filter(|one| !is_out(one));
    let bad: Vec<_> = asked
        .filter(|one| {
            let wrong = one.failures_per_second + one.errors_per_second;
            is_much(wrong, one.requests_per_second.max(wrong))
        })
        .collect();
    let first = bad.first()?;
    let what = listed(&bad, |backend| {
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
    // One that is drained gets bound sessions still.
    let word = if is_held(first) { "maint" } else { "drain" };
    let remedy = format!(
        "look into its log; to keep requests off it meanwhile: {}",
        command(word, pool, first)
    );
    Some(alarm(pool, true, what, remedy))
}

/// Who takes far longer than the others of the pool.
fn slow(pool: &PoolStats) -> Option<Alarm> {
    let (usual, bound) = (usual(pool)?, slow_from(pool)?);
    // Who is held out already is no news.
    let asked = timed(pool).filter(|(_, backend)| !is_held(backend));
    let mut slow: Vec<_> = asked.filter(|(p50, _)| *p50 >= bound).collect();
    slow.sort_by(|one, other| other.0.total_cmp(&one.0));
    let slow: Vec<_> = slow.into_iter().map(|(_, backend)| backend).collect();
    let first = slow.first()?;
    let what = listed(&slow, |backend| {
        let p50 = backend.times.p50_milliseconds.unwrap_or_default();
        let name = named(backend);
        format!("{name} is slow: half of its answers take {p50:.0} ms or more")
    });
    let what = format!("{what}; of the whole pool it is {usual:.1} ms");
    let remedy = format!(
        "find out why; to keep new requests off it meanwhile: {}",
        command("drain", pool, first)
    );
    Some(alarm(pool, true, what, remedy))
}

/// From which median on a backend is slow, in milliseconds; nothing where there are not two to compare.
pub fn slow_from(pool: &PoolStats) -> Option<f64> {
    usual(pool).map(|usual| (usual * SLOW_TIMES).max(usual + SLOW_MILLISECONDS))
}

/// What is usual in a pool: the median of the medians, the lower one of two, for half of them may be slow.
fn usual(pool: &PoolStats) -> Option<f64> {
    let mut times: Vec<_> = timed(pool).map(|(p50, _)| p50).collect();
    times.sort_by(f64::total_cmp);
    let is_comparable = times.len() > 1;
    is_comparable.then(|| times[(times.len() - 1) / 2])
}

fn timed(pool: &PoolStats) -> impl Iterator<Item = (f64, &BackendStats)> {
    let asked = pool.backends.iter().filter(|one| !is_out(one));
    asked.filter_map(|one| Some((one.times.p50_milliseconds?, one)))
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

/// One in a hundred, and not a single one in passing.
fn is_much(wrong: f64, all: f64) -> bool {
    wrong >= 0.5 && wrong * 100.0 >= all
}

/// Of many, those that are named.
const NAMED: usize = 3;

/// A backend is slow whose median is so many times the pool's, and above it by so many milliseconds.
const SLOW_TIMES: f64 = 4.0;
const SLOW_MILLISECONDS: f64 = 100.0;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A backend of a pool `shop`, ready and with a median of 2 ms.
    pub(crate) fn backend(id: &str) -> BackendStats {
        serde_json::from_value(serde_json::json!({
            "address": format!("10.0.0.1:{id}"), "id": format!("{id}"), "name": null, "weight": 1, "weight_configured": 1,
            "state": "ready", "state_by": "configuration", "standing": "ready", "check": null, "in_flight": 2, "limit": 0,
            "streams": 0, "requests": 100, "errors": 0, "failures": 0, "connections_active": 1, "connections_idle": 1,
            "requests_per_second": 50.0, "errors_per_second": 0.0, "failures_per_second": 0.0, "last_failure": null,
            "sticky_per_second": 0.0, "p50_milliseconds": 2.0, "p90_milliseconds": 3.0, "p99_milliseconds": 4.0,
            "share_wanted": 0.25, "share_got": 0.25
        }))
        .unwrap()
    }

    /// An instance with these backends in a pool `shop`.
    pub(crate) fn stats(backends: Vec<BackendStats>) -> Stats {
        let mut stats: Stats = serde_json::from_value(serde_json::json!({
            "time": "2026-01-02T03:04:05Z", "seconds": 1.0, "version": "0.1.0", "state": "serving", "generation": 4,
            "uptime_seconds": 3_725, "requests_per_second": 200.0, "errors_per_second": 0.0, "p50_milliseconds": 2.0,
            "p90_milliseconds": 3.0, "p99_milliseconds": 4.0, "connections": 12, "listeners": [], "pools": []
        }))
        .unwrap();
        stats.pools.push(PoolStats {
            name: "shop".to_owned(),
            strategy: "round-robin".to_owned(),
            sticky: false,
            panic: false,
            in_flight: 8,
            queued: 0,
            requests_per_second: 200.0,
            retries_per_second: 0.0,
            sessions_per_second: 0.0,
            backends,
        });
        stats
    }

    fn four() -> Vec<BackendStats> {
        ["81", "82", "83", "84"].map(backend).into()
    }

    #[test]
    fn of_a_well_instance_nothing_is_said() {
        assert_eq!(of(&stats(four())), []);
    }

    #[test]
    fn who_is_out_is_named_with_why_and_remedy() {
        let mut backends = four();
        let status = &mut backends[1].status;
        status.standing = "ejected".to_owned();
        status.why = Some("requests to it failed in a row".to_owned());
        status.failed_by.insert("connect-refused".to_owned(), 7);
        let alarms = of(&stats(backends));
        assert_eq!(alarms.len(), 1);
        assert_eq!(
            alarms[0].what,
            "1 of 4 backends is out: 82 (10.0.0.1:82) ejected, requests to it failed in a row"
        );
        assert!(
            alarms[0].remedy.starts_with("start the backend"),
            "{alarms:?}"
        );
        assert!(alarms[0].grave);
    }

    #[test]
    fn many_that_are_out_are_counted_and_not_all_named() {
        let mut backends: Vec<_> = (0..1000).map(|port| backend(&port.to_string())).collect();
        for one in &mut backends[..400] {
            one.status.standing = "failing".to_owned();
        }
        let alarms = of(&stats(backends));
        assert_eq!(alarms.len(), 1);
        assert!(alarms[0].what.starts_with("400 of 1000 backends are out: "));
        assert!(
            alarms[0].what.ends_with("; and 397 more"),
            "{}",
            alarms[0].what
        );
    }

    #[test]
    fn nobody_left_is_said_with_the_command_that_brings_one_back() {
        let mut backends = four();
        backends.truncate(2);
        backends[0].status.standing = "failing".to_owned();
        backends[1].status.standing = "maintenance".to_owned();
        let alarms = of(&stats(backends));
        assert!(alarms[0].what.starts_with("no backend takes new requests"));
        assert_eq!(alarms[0].remedy, "forecourt backend ready shop 10.0.0.1:82");
        assert_eq!(alarms.len(), 3, "{alarms:?}");
    }

    #[test]
    fn slow_is_who_is_slower_than_the_others_by_much() {
        let mut backends = four();
        backends[2].times.p50_milliseconds = Some(90.0);
        assert_eq!(of(&stats(backends.clone())), [], "a little");
        backends[2].times.p50_milliseconds = Some(800.0);
        let alarms = of(&stats(backends.clone()));
        assert!(
            alarms[0].what.starts_with("83 (10.0.0.1:83) is slow: "),
            "{alarms:?}"
        );
        assert!(
            alarms[0]
                .remedy
                .ends_with("forecourt backend drain shop 10.0.0.1:83")
        );
        let mut drained = backends.clone();
        drained[2].status.standing = "draining".to_owned();
        let alarms = of(&stats(drained));
        assert!(!alarms.iter().any(|alarm| alarm.grave), "{alarms:?}");
        for one in &mut backends {
            one.times.p50_milliseconds = Some(800.0);
        }
        assert_eq!(of(&stats(backends)), [], "all alike: no backend's fault");
    }

    #[test]
    fn what_an_operator_did_is_no_grave_alarm_and_comes_last() {
        let mut backends = four();
        backends[0].status.standing = "draining".to_owned();
        backends[3].errors_per_second = 5.0;
        let mut stats = stats(backends);
        stats.errors_per_second = 5.0;
        let alarms = of(&stats);
        let graves: Vec<_> = alarms.iter().map(|alarm| alarm.grave).collect();
        assert_eq!(graves, [true, true, false], "{alarms:?}");
        assert!(
            alarms[1]
                .what
                .contains("84 (10.0.0.1:84): 5.0 answers/s are 5xx")
        );
    }
}
