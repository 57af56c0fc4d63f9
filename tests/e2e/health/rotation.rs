//! Out of rotation after `fall` failures, back after `rise` successes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::super::harness::{Balancer, Behaviour, Client, DEADLINE, Origin, Request, wait_until};
use super::{
    FAILS, IS_WELL, answers, checked, checks, lines, metric, status, visits, wait_for_checks,
    wait_for_standing,
};

#[test]
fn a_backend_that_fails_goes_out_and_comes_back() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let balancer = Balancer::start(&checked(&[&a, &b], ""));
    wait_for_checks(&a, 2);
    assert_eq!(
        status(&balancer, &a.address().to_string())["standing"],
        "ready"
    );
    assert_eq!(metric(&balancer, "forecourt_backend_up", &a, ""), 1.0);
    a.on("/healthz", Behaviour::Status(503));
    wait_for_standing(&balancer, &a, "failing");
    assert_eq!(metric(&balancer, "forecourt_backend_up", &a, ""), 0.0);
    // What was published before the standing could be read may still be under way.
    wait_until(DEADLINE, "picks of b alone", || {
        answers(&balancer, 4).iter().all(|name| name == "b")
    });
    let before = visits(&a);
    assert_eq!(answers(&balancer, 20), vec!["b"; 20]);
    assert_eq!(visits(&a), before);
    let said = lines(&balancer, FAILS);
    assert_eq!(said.len(), 1, "{said:?}");
    for part in [
        "pool=shop".to_owned(),
        format!("backend={}", a.address()),
        "from=ready to=failing cause=bad-status checks=3".to_owned(),
    ] {
        assert!(said[0].contains(&part), "{said:?} without {part}");
    }
    a.on("/healthz", Behaviour::Answer);
    wait_for_standing(&balancer, &a, "ready");
    wait_until(DEADLINE, "a pick of a", || {
        answers(&balancer, 4).contains(&"a".to_owned())
    });
    assert_eq!(lines(&balancer, IS_WELL).len(), 1);
    let check = &status(&balancer, &a.address().to_string())["check"];
    assert_eq!(check["result"], "ok");
    assert!(check["at"].as_u64() > Some(1_600_000_000) && check["in_row"].as_u64() >= Some(2));
}

#[test]
fn checks_are_no_requests() {
    let a = Origin::named("a");
    let balancer = Balancer::start(&checked(&[&a], ""));
    wait_for_checks(&a, 5);
    assert_eq!(answers(&balancer, 3), vec!["a"; 3]);
    let requests = |code: &str| {
        metric(
            &balancer,
            "forecourt_backend_requests_total",
            &a,
            &format!(",code=\"{code}\""),
        )
    };
    wait_until(DEADLINE, "three records", || requests("2xx") == 3.0);
    wait_until(DEADLINE, "three lines", || {
        balancer.stdout().lines().count() == 3
    });
    let seen = checks(&a);
    wait_for_checks(&a, seen + 3);
    assert_eq!(
        (requests("2xx"), balancer.stdout().lines().count()),
        (3.0, 3)
    );
    for state in ["active", "idle"] {
        let open = metric(
            &balancer,
            "forecourt_backend_connections",
            &a,
            &format!(",state=\"{state}\""),
        );
        assert_eq!(open, if state == "idle" { 1.0 } else { 0.0 }, "{state}");
    }
    let check = a
        .received()
        .into_iter()
        .find(|request| request.target == "/healthz")
        .unwrap();
    assert!(
        check
            .field("user-agent")
            .unwrap()
            .starts_with("forecourt-check/")
    );
    assert_eq!(check.field("host"), Some(a.address().to_string().as_str()));
    assert_eq!(check.field("x-forwarded-for"), None);
}

/// Clients that ask again and again on connections that are kept.
#[derive(Default)]
struct Visitors {
    ended: AtomicBool,
    answered: AtomicUsize,
    failed: AtomicUsize,
}

impl Visitors {
    fn visit(&self, mut client: Client) {
        while !self.ended.load(Ordering::Relaxed) {
            let answer = client.try_send(&Request::get("/"));
            let good = answer.is_ok_and(|answer| answer.status == 200 && answer.is_whole());
            let which = if good { &self.answered } else { &self.failed };
            which.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wait_for_more(&self, count: usize) {
        let before = self.answered.load(Ordering::Relaxed);
        wait_until(DEADLINE, "more answers", || {
            self.answered.load(Ordering::Relaxed) >= before + count
        });
    }
}

/// A backend dies under load and comes back: from when it is out nobody notices, and neither when it is in again.
#[test]
fn a_death_and_a_return_under_load_are_not_noticed() {
    let [mut a, b] = ["a", "b"].map(Origin::named);
    let balancer = Balancer::start(&checked(&[&a, &b], ""));
    let visitors = Visitors::default();
    thread::scope(|scope| {
        for _ in 0..8 {
            let client = balancer.client("web");
            scope.spawn(|| visitors.visit(client));
        }
        // However this ends, so do they.
        let _end = End(&visitors);
        visitors.wait_for_more(100);
        a.refuse();
        a.close_connections();
        wait_for_standing(&balancer, &a, "failing");
        let before = visitors.failed.load(Ordering::Relaxed);
        let visited = visits(&a);
        visitors.wait_for_more(500);
        assert_eq!(visits(&a), visited);
        a.accept_again();
        wait_for_standing(&balancer, &a, "ready");
        wait_until(DEADLINE, "requests to a", || visits(&a) > visited);
        visitors.wait_for_more(100);
        assert_eq!(visitors.failed.load(Ordering::Relaxed), before);
    });
}

struct End<'a>(&'a Visitors);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}
