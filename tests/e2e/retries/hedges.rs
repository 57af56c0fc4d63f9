//! A second attempt beside one that takes long.

use std::time::Duration;

use super::{KEPT, asked, balancer};
use crate::failure::front;
use crate::harness::{Balancer, Behaviour, DEADLINE, Origin, Request, pool, wait_until};
use crate::metrics::{Figures, wait_for_records};

const SOON: &str = "hedge = \"30ms\"";

/// Longer than that by far.
const LONG: Duration = Duration::from_millis(300);

/// Before a pool of these origins by chance: in turn, two picks for each request would make the same one the first.
#[track_caller]
fn random(origins: &[&Origin], retry: &str) -> Balancer {
    let pool = pool("shop", "random", origins);
    Balancer::start(&format!(
        "{}{pool}{KEPT}[pools.shop.retry]\n{retry}\n",
        front("")
    ))
}

fn hedges(figures: &Figures, outcome: &str) -> f64 {
    figures.sum("forecourt_hedges_total", &[("outcome", outcome)])
}

#[track_caller]
fn assert_no_failure(figures: &Figures) {
    assert_eq!(figures.sum("forecourt_backend_failures_total", &[]), 0.0);
    assert_eq!(figures.sum("forecourt_backend_in_flight", &[]), 0.0);
    assert_eq!(figures.sum("forecourt_retries_total", &[]), 0.0);
}

#[test]
fn a_backend_that_takes_long_is_outrun_and_its_connection_is_closed() {
    let (stuck, good) = (Origin::named("stuck"), Origin::named("good"));
    stuck.behave(Behaviour::Hang);
    let balancer = balancer(&[&stuck, &good], SOON);
    let mut client = balancer.client("web");
    for round in 0..6 {
        for request in [Request::get("/"), Request::new("HEAD", "/")] {
            let response = client.send(&request);
            assert_eq!((response.status, response.origin()), (200, "good"));
        }
        assert_eq!(good.requests(), 2 * (round + 1), "each is answered once");
    }
    let figures = wait_for_records(&balancer, 12);
    let won = hedges(&figures, "won");
    assert_eq!(won, stuck.requests() as f64);
    assert!(won >= 1.0);
    assert_no_failure(&figures);
    let picks = figures.sum("forecourt_backend_picks_total", &[("reason", "hedge")]);
    assert_eq!(picks, won);
    let answered = figures.sum("forecourt_backend_requests_total", &[("code", "2xx")]);
    assert_eq!(answered, 12.0, "what was outrun was not answered");
    wait_until(DEADLINE, "what was outrun is cancelled", || {
        stuck.open_connections() == 0
    });
    wait_until(DEADLINE, "the log tells of it", || {
        balancer.stdout().matches("\"outrun\"").count() == won as usize
    });
    let log = balancer.stdout();
    let line = log.lines().find(|line| line.contains("outrun")).unwrap();
    let backend = format!("\"forecourt.backend\":\"{}\"", good.address());
    assert!(line.contains(&backend), "who answered: {line}");
}

#[test]
fn the_first_may_answer_first_after_all() {
    let (slow, stuck) = (Origin::named("slow"), Origin::named("stuck"));
    slow.behave(Behaviour::Slow(LONG));
    stuck.behave(Behaviour::Hang);
    let balancer = random(&[&slow, &stuck], SOON);
    let mut client = balancer.client("web");
    let mut requests = 0;
    wait_until(DEADLINE, "both have been first", || {
        assert_eq!(client.get("/").origin(), "slow");
        requests += 1;
        let figures = wait_for_records(&balancer, requests);
        let (won, lost) = (hedges(&figures, "won"), hedges(&figures, "lost"));
        assert_eq!(won + lost, requests as f64);
        assert_no_failure(&figures);
        won > 0.0 && lost > 0.0
    });
    wait_until(DEADLINE, "what was outrun is cancelled", || {
        stuck.open_connections() == 0
    });
    let answered = format!("\"forecourt.backend\":\"{}\"", slow.address());
    wait_until(DEADLINE, "the log tells of it", || {
        let log = balancer.stdout();
        log.matches("\"outrun\"").count() == requests && log.matches(&answered).count() == requests
    });
}

#[test]
fn only_what_is_read_is_asked_for_twice() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    for origin in [&a, &b] {
        origin.behave(Behaviour::Slow(LONG));
    }
    let balancer = balancer(&[&a, &b], SOON);
    let requests = [
        Request::post("/", b"order"),
        Request::put("/", b"stock"),
        Request::new("DELETE", "/"),
        Request::new("GET", "/").chunks(&[b"query"]),
    ];
    for (round, request) in requests.iter().enumerate() {
        assert_eq!(balancer.client("web").send(request).status, 200);
        assert_eq!(a.requests() + b.requests(), round + 1);
    }
    let figures = wait_for_records(&balancer, 4);
    assert_eq!(figures.sum("forecourt_hedges_total", &[]), 0.0);
}

#[test]
fn one_that_fails_leaves_the_other_and_two_are_a_failure() {
    let (slow, broken) = (Origin::named("slow"), Origin::named("broken"));
    slow.behave(Behaviour::Slow(LONG));
    broken.behave(Behaviour::Reset);
    let balancer = random(&[&slow, &broken], &format!("{SOON}\non = [\"connect\"]"));
    let mut client = balancer.client("web");
    wait_until(DEADLINE, "the second one fails", || {
        // The broken one, if it is the first, fails before anything is due.
        assert!([200, 502].contains(&client.get("/").status));
        hedges(&Figures::of(&balancer), "lost") > 0.0
    });
    slow.behave(Behaviour::Hang);
    wait_until(DEADLINE, "both fail", || {
        let before = broken.requests();
        client.send_raw(&Request::get("/").to_bytes()).unwrap();
        wait_until(DEADLINE, "the broken one is asked", || {
            broken.requests() > before
        });
        slow.close_connections();
        assert_eq!(client.read_response("GET").unwrap().status, 502);
        hedges(&Figures::of(&balancer), "failed") > 0.0
    });
    let figures = Figures::of(&balancer);
    let failures = figures.by("forecourt_backend_failures_total", "cause", &[]);
    assert_eq!(failures["reset"], broken.requests() as f64);
    assert_eq!(figures.sum("forecourt_backend_in_flight", &[]), 0.0);
}

#[test]
fn a_status_that_is_a_failure_does_not_win() {
    let (slow, busy) = (Origin::named("slow"), Origin::named("busy"));
    slow.behave(Behaviour::Slow(LONG));
    busy.behave(Behaviour::Status(503));
    let balancer = random(&[&slow, &busy], &format!("{SOON}\non = [\"503\"]"));
    let mut client = balancer.client("web");
    wait_until(DEADLINE, "the second one says that it is busy", || {
        let response = client.get("/");
        assert_eq!((response.status, response.origin()), (200, "slow"));
        hedges(&Figures::of(&balancer), "lost") > 0.0
    });
    assert!(busy.requests() > 0);
    assert_eq!(
        Figures::of(&balancer).sum("forecourt_backend_in_flight", &[]),
        0.0
    );
}

#[test]
fn a_client_that_leaves_ends_both() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    for origin in [&a, &b] {
        origin.behave(Behaviour::Hang);
    }
    let balancer = balancer(&[&a, &b], SOON);
    let mut client = balancer.client("web");
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    a.wait_for_requests(1);
    b.wait_for_requests(1);
    client.reset();
    wait_until(DEADLINE, "both connections are closed", || {
        a.open_connections() + b.open_connections() == 0
    });
    let figures = wait_for_records(&balancer, 1);
    assert_eq!(hedges(&figures, "left"), 1.0);
    assert_no_failure(&figures);
}

#[test]
fn the_budget_bounds_it_and_one_backend_has_no_other() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    for origin in [&a, &b] {
        origin.on("/hang", Behaviour::Hang);
    }
    let both = balancer(&[&a, &b], SOON);
    let mut clients: Vec<_> = (0..10).map(|_| both.client("web")).collect();
    for client in &mut clients {
        client.send_raw(&Request::get("/hang").to_bytes()).unwrap();
    }
    wait_until(DEADLINE, "all are due", || {
        asked(&a, "GET") + asked(&b, "GET") >= 13 && hedges(&Figures::of(&both), "budget") >= 7.0
    });
    // Ten in flight, and three more in any case.
    assert_eq!(asked(&a, "GET") + asked(&b, "GET"), 13);
    assert_eq!(hedges(&Figures::of(&both), "budget"), 7.0);
    let alone = balancer(&[&a], SOON);
    let mut client = alone.client("web");
    client.send_raw(&Request::get("/hang").to_bytes()).unwrap();
    wait_until(DEADLINE, "it is due", || {
        hedges(&Figures::of(&alone), "none-left") == 1.0
    });
}

#[test]
fn a_bound_session_stays_with_its_backend() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let configuration = front("")
        + &pool("shop", "round-robin", &[&a, &b])
        + "[pools.shop.sticky]\ncookie = \"fc\"\n[pools.shop.retry]\n"
        + SOON;
    let balancer = Balancer::start(&configuration);
    let mut client = balancer.client("web");
    let first = client.get("/");
    let cookie = first.field("set-cookie").unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let (home, other) = if first.origin() == "a" {
        (&a, &b)
    } else {
        (&b, &a)
    };
    home.behave(Behaviour::Slow(LONG));
    let bound = Request::get("/basket").field("cookie", &cookie);
    assert_eq!(client.send(&bound).origin(), home.name());
    assert_eq!(other.requests(), 0);
    let figures = wait_for_records(&balancer, 2);
    assert_eq!(figures.sum("forecourt_hedges_total", &[]), 0.0);
    // Who is not bound yet is bound to whoever answers.
    home.behave(Behaviour::Hang);
    for _ in 0..2 {
        let response = balancer.client("web").get("/");
        assert_eq!(response.origin(), other.name());
        assert!(response.field("set-cookie").is_some());
    }
}

#[test]
fn p95_is_what_the_pool_takes() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let balancer = balancer(&[&a, &b], "hedge = \"p95\"");
    let mut client = balancer.client("web");
    a.on("/stuck", Behaviour::Slow(LONG));
    b.on("/stuck", Behaviour::Slow(LONG));
    // Nothing is known yet.
    assert_eq!(client.get("/stuck").status, 200);
    assert_eq!(
        Figures::of(&balancer).sum("forecourt_hedges_total", &[]),
        0.0
    );
    for _ in 0..300 {
        assert_eq!(client.get("/").status, 200);
    }
    wait_until(DEADLINE, "what takes long is asked for twice", || {
        assert_eq!(client.get("/stuck").status, 200);
        Figures::of(&balancer).sum("forecourt_hedges_total", &[]) > 0.0
    });
}
