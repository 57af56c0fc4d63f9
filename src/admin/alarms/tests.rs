//! What is said of figures, and what is not.

use super::*;
use crate::admin::stats::LastFailure;
use crate::admin::status::CheckStatus;
use crate::admin::window::Recent;

/// A backend of a pool `shop`, ready and with a median of 2 ms.
pub(crate) fn backend(id: &str) -> BackendStats {
    serde_json::from_value(serde_json::json!({
        "address": format!("10.0.0.1:{id}"), "id": format!("{id}"), "name": null, "weight": 1, "weight_configured": 1,
        "state": "ready", "state_by": "configuration", "standing": "ready", "check": null, "in_flight": 2, "limit": 0,
        "streams": 0, "requests": 100, "errors": 0, "failures": 0, "connections_active": 1, "connections_idle": 1,
        "requests_per_second": 50.0, "errors_per_second": 0.0, "failures_per_second": 0.0, "last_failure": null,
        "sticky_per_second": 0.0, "p50_milliseconds": 2.0, "p90_milliseconds": 3.0, "p99_milliseconds": 4.0,
        "share_wanted": 0.25, "share_got": 0.25,
        "recent": {"answers": 50, "p50_milliseconds": 2.0, "others": 150, "others_p50_milliseconds": 2.0}
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

/// A backend that stands so, and gets nothing new.
fn stands(backend: &mut BackendStats, standing: &str) {
    backend.status.standing = standing.to_owned();
    backend.share_wanted = 0.0;
}

/// A backend that is ejected since the second 2026-01-02T03:04:00Z, and had failed often by another cause long ago.
fn ejected(backend: &mut BackendStats, word: Ejection) {
    stands(backend, "ejected");
    let status = &mut backend.status;
    status.why = Some("as it was found".to_owned());
    status.ejected_for = Some(word.as_str().to_owned());
    status.since = Some(1_767_323_040);
    status.failed_by.insert("connect-timeout".to_owned(), 7_000);
}

fn failed_at(time: &str) -> LastFailure {
    LastFailure {
        time: time.to_owned(),
        cause: "connect-refused".to_owned(),
    }
}

fn grave(backends: Vec<BackendStats>) -> Vec<Alarm> {
    let mut alarms = of(&stats(backends));
    alarms.retain(|alarm| alarm.grave);
    alarms
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
    ejected(&mut backends[1], Ejection::Failures);
    backends[1].last_failure = Some(failed_at("2026-01-02T03:03:56Z"));
    let alarms = of(&stats(backends));
    assert_eq!(alarms.len(), 1);
    assert_eq!(
        alarms[0].what,
        "1 of 4 backends is out: 82 (10.0.0.1:82) ejected, as it was found, last by connect-refused"
    );
    assert!(
        alarms[0].remedy.starts_with("start the backend"),
        "{alarms:?}"
    );
    assert!(alarms[0].grave);
}

#[test]
fn a_cause_of_long_ago_is_not_what_it_is_out_for() {
    let remedy = "look into its log; it comes back by itself once it is well";
    let mut backends = four();
    ejected(&mut backends[1], Ejection::Failures);
    for last in [None, Some(failed_at("2026-01-02T03:03:54Z"))] {
        backends[1].last_failure = last;
        let alarms = of(&stats(backends.clone()));
        assert!(alarms[0].what.ends_with(", as it was found"), "{alarms:?}");
        assert_eq!(alarms[0].remedy, remedy);
    }
    // Nobody knows since when.
    backends[1].last_failure = Some(failed_at("2026-01-02T03:04:00Z"));
    backends[1].status.since = None;
    assert_eq!(of(&stats(backends))[0].remedy, remedy);
}

#[test]
fn who_is_out_for_what_it_answered_has_no_cause_of_attempts() {
    let mut backends = four();
    ejected(&mut backends[1], Ejection::Errors);
    backends[1].last_failure = Some(failed_at("2026-01-02T03:04:00Z"));
    let alarms = of(&stats(backends));
    assert!(alarms[0].what.ends_with(", as it was found"), "{alarms:?}");
    let remedy = "look into its log for the errors that it answers; ";
    assert!(alarms[0].remedy.starts_with(remedy), "{alarms:?}");
}

#[test]
fn who_fails_its_checks_is_told_the_cause_of_these() {
    let mut backends = four();
    stands(&mut backends[1], "failing");
    backends[1].status.check = Some(CheckStatus {
        at: 1_767_323_040,
        took_milliseconds: 1,
        result: "failed".to_owned(),
        cause: Some("connect-refused".to_owned()),
        in_row: 3,
    });
    let alarms = of(&stats(backends));
    assert!(
        alarms[0].remedy.starts_with("start the backend"),
        "{alarms:?}"
    );
}

#[test]
fn many_that_are_out_are_counted_and_not_all_named() {
    let mut backends: Vec<_> = (0..1000).map(|port| backend(&port.to_string())).collect();
    for one in &mut backends[..400] {
        stands(one, "failing");
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
    stands(&mut backends[0], "failing");
    stands(&mut backends[1], "maintenance");
    let alarms = of(&stats(backends.clone()));
    assert!(alarms[0].what.starts_with("no backend takes new requests"));
    assert_eq!(alarms[0].remedy, "forecourt backend ready shop 10.0.0.1:82");
    assert_eq!(alarms.len(), 3, "{alarms:?}");
    backends[1].status.weight = 0;
    let alarms = of(&stats(backends));
    assert_eq!(
        alarms[0].remedy,
        "forecourt backend ready shop 10.0.0.1:82; forecourt backend weight shop 10.0.0.1:82 1"
    );
}

#[test]
fn who_is_ready_without_a_weight_takes_nothing() {
    let mut backends = four();
    for one in &mut backends {
        one.share_wanted = 0.0;
        one.status.weight = 0;
        one.status.weight_configured = 3;
    }
    let said = "no backend takes new requests: they are answered by 503";
    let alarms = of(&stats(backends.clone()));
    assert_eq!((alarms.len(), &*alarms[0].what), (1, said));
    assert_eq!(
        alarms[0].remedy,
        "it is well and has the weight 0: forecourt backend weight shop 10.0.0.1:81 3"
    );
    // The only one with a weight is out.
    backends[0].status.weight = 3;
    stands(&mut backends[0], "failing");
    let alarms = of(&stats(backends.clone()));
    assert_eq!((alarms.len(), &*alarms[0].what), (2, said));
    assert!(alarms[0].remedy.ends_with("weight shop 10.0.0.1:82 3"));
    // It gets everything when there is a panic, and a backup where there is one.
    let mut panics = stats(backends.clone());
    panics.pools[0].panic = true;
    assert!(!of(&panics).iter().any(|alarm| alarm.what == said));
    backends[3].share_wanted = 1.0;
    assert!(!grave(backends).iter().any(|alarm| alarm.what == said));
}

/// A median of so many milliseconds of late.
fn takes(backend: &mut BackendStats, milliseconds: f64) {
    backend.recent.p50_milliseconds = Some(milliseconds);
}

#[test]
fn slow_is_who_is_slower_than_the_others_by_much() {
    let mut backends = four();
    takes(&mut backends[2], 90.0);
    assert_eq!(of(&stats(backends.clone())), [], "a little");
    takes(&mut backends[2], 800.0);
    let alarms = of(&stats(backends.clone()));
    assert_eq!(
        alarms[0].what,
        "83 (10.0.0.1:83) is slow: half of its answers take about 800 ms or more, half of the others' about 2.0 ms"
    );
    assert!(
        alarms[0]
            .remedy
            .ends_with("forecourt backend drain shop 10.0.0.1:83")
    );
    let mut drained = backends.clone();
    stands(&mut drained[2], "draining");
    assert_eq!(grave(drained), []);
    for one in &mut backends {
        takes(one, 800.0);
        one.recent.others_p50_milliseconds = Some(800.0);
    }
    assert_eq!(of(&stats(backends)), [], "all alike: no backend's fault");
}

#[test]
fn few_answers_say_nothing_of_who_is_slow() {
    let mut backends = four();
    takes(&mut backends[2], 800.0);
    for (answers, others, named) in [(10, 10, 1), (9, 150, 0), (50, 9, 0)] {
        let recent = &mut backends[2].recent;
        (recent.answers, recent.others) = (answers, others);
        let alarms = of(&stats(backends.clone()));
        assert_eq!(alarms.len(), named, "{answers} and {others}: {alarms:?}");
    }
    // One second in which it was slow is not looked at.
    takes(&mut backends[2], 2.0);
    backends[2].times.p50_milliseconds = Some(800.0);
    assert_eq!(of(&stats(backends)), []);
}

/// A backend of whose fifty attempts a second five are answered by 5xx.
fn errs(backend: &mut BackendStats) {
    backend.errors_per_second = 5.0;
}

#[test]
fn to_take_one_out_is_advised_only_where_another_takes_its_requests() {
    let drain = "look into its log; to keep new requests off it meanwhile: forecourt backend drain shop 10.0.0.1:81";
    let add = "look into its log; no other backend could take its requests: add one, or bring one back, before this one is taken out";
    let remedy = |backends: &[BackendStats]| {
        let alarms = grave(backends.to_vec());
        let mut alarms = alarms.into_iter();
        let failing = alarms.find(|alarm| alarm.what.contains("are 5xx"));
        failing.expect("one that answers by 5xx").remedy
    };
    let mut backends = four();
    errs(&mut backends[0]);
    assert_eq!(remedy(&backends), drain);
    assert_eq!(remedy(&backends[..1]), add, "the only one");
    // The other one is out, drained, without a weight, or slow.
    let mut two = backends[..2].to_vec();
    assert_eq!(remedy(&two), drain);
    for standing in ["failing", "ejected", "draining", "maintenance", "ready"] {
        stands(&mut two[1], standing);
        assert_eq!(remedy(&two), add, "{standing}");
    }
    let mut two = backends[..2].to_vec();
    takes(&mut two[1], 800.0);
    assert_eq!(remedy(&two), add);
    // And so for one that is slow.
    let mut two = four()[..2].to_vec();
    takes(&mut two[0], 800.0);
    let ready = grave(two.clone());
    assert!(ready[0].remedy.ends_with("drain shop 10.0.0.1:81"));
    stands(&mut two[1], "ejected");
    let slow = grave(two);
    let slow = slow.iter().find(|alarm| alarm.what.contains("is slow"));
    assert!(!slow.unwrap().remedy.contains("drain"), "{slow:?}");
}

#[test]
fn where_most_do_alike_what_they_share_is_looked_at() {
    let mut backends = four();
    for failing in 1..=4 {
        errs(&mut backends[failing - 1]);
        let alarms = grave(backends.clone());
        assert_eq!(alarms.len(), 1, "{alarms:?}");
        let is_shared = alarms[0].remedy.contains("something behind them");
        assert_eq!(is_shared, failing > 2, "{failing}: {alarms:?}");
        assert_eq!(alarms[0].remedy.contains("drain"), !is_shared);
    }
    // Those that nobody has asked say nothing either way.
    let mut backends = four();
    backends[..2].iter_mut().for_each(errs);
    for idle in &mut backends[2..] {
        idle.requests_per_second = 0.0;
        idle.recent = Recent::default();
    }
    assert!(grave(backends)[0].remedy.contains("something behind them"));
}

#[test]
fn one_or_two_failures_in_passing_are_not_told() {
    for (wrong, all, named) in [(1.0, 10.0, 0), (2.0, 2.0, 0), (3.0, 3.0, 1)] {
        let mut backends = four();
        backends[0].failures_per_second = wrong;
        backends[0].requests_per_second = all;
        assert_eq!(grave(backends.clone()).len(), named, "{wrong} of {all}");
        // As many in a longer time.
        let mut stats = stats(backends);
        stats.seconds = 1.007;
        stats.pools[0].backends[0].failures_per_second = wrong / 1.007;
        stats.pools[0].backends[0].requests_per_second = all / 1.007;
        assert_eq!(of(&stats).len(), named, "{wrong} of {all} in 1.007 s");
    }
    // And of many requests a few are not much.
    let mut backends = four();
    backends[0].failures_per_second = 3.0;
    backends[0].requests_per_second = 301.0;
    assert_eq!(grave(backends), []);
}

#[test]
fn what_an_operator_did_is_no_grave_alarm_and_comes_last() {
    let mut backends = four();
    stands(&mut backends[0], "draining");
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
