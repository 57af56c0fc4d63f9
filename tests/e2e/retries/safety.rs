//! What no backend has seen goes elsewhere; what one may have acted on does so only if that does no harm.

use super::{KEPT, asked, balancer};
use crate::failure::front;
use crate::harness::{Balancer, Behaviour, Origin, Request, pool};
use crate::metrics::wait_for_records;

#[test]
fn with_one_or_two_of_four_dead_no_request_fails() {
    for dead in [1, 2] {
        for strategy in ["round-robin", "random", "two-choices", "ip-hash"] {
            let mut origins = ["a", "b", "c", "d"].map(Origin::named);
            for origin in &mut origins[..dead] {
                origin.refuse();
            }
            let all: Vec<&Origin> = origins.iter().collect();
            let balancer = Balancer::start(&(front("") + &pool("shop", strategy, &all)));
            let mut client = balancer.client("web");
            for round in 0..60 {
                let get = Request::get(&format!("/{round}"));
                let post = Request::post(&format!("/{round}"), b"order");
                for request in [get, post] {
                    let response = client.send(&request);
                    assert_eq!(response.status, 200, "{dead} {strategy}: {response}");
                }
            }
            let orders: usize = origins.iter().map(|origin| asked(origin, "POST")).sum();
            assert_eq!(orders, 60, "each once");
            let figures = wait_for_records(&balancer, 120);
            let retries = figures.by("forecourt_retries_total", "outcome", &[]);
            let made = figures.sum("forecourt_backend_picks_total", &[("reason", "retry")]);
            let good = retries.get("ok").copied().unwrap_or_default();
            // By ip-hash a client may never meet a dead one.
            assert!(good > 0.0 || strategy == "ip-hash");
            assert!(made >= good);
            assert_eq!(retries.values().sum::<f64>(), good);
        }
    }
}

#[test]
fn what_was_read_and_reset_goes_elsewhere_if_it_is_idempotent_and_an_order_never() {
    for behaviour in [Behaviour::Reset, Behaviour::Close] {
        let (bad, good) = (Origin::named("bad"), Origin::named("good"));
        bad.behave(behaviour);
        let balancer = balancer(&[&bad, &good], "");
        let mut client = balancer.client("web");
        for _ in 0..10 {
            assert_eq!(client.get("/").origin(), "good");
        }
        assert!(asked(&bad, "GET") > 0);
        assert_eq!(asked(&good, "GET"), 10);
        let mut failed = 0;
        for _ in 0..10 {
            let response = client.send(&Request::post("/order", b"one"));
            match response.status {
                200 => assert_eq!(response.origin(), "good"),
                502 => failed += 1,
                _ => panic!("{response}"),
            }
        }
        assert!(failed > 0);
        assert_eq!(
            (asked(&bad, "POST"), asked(&good, "POST")),
            (failed, 10 - failed),
            "no order was placed twice"
        );
    }
}

#[test]
fn a_key_makes_an_order_safe_where_the_route_says_so() {
    let (bad, good) = (Origin::named("bad"), Origin::named("good"));
    bad.behave(Behaviour::Reset);
    let routes = "[admin]\naddress = \"127.0.0.1:0\"\n[listeners.web]\naddress = \"127.0.0.1:0\"\n\
        [[routes]]\npath = \"/keyed\"\nidempotency_key = true\npool = \"shop\"\n\
        [[routes]]\npath = \"/plain\"\npool = \"shop\"\n";
    let pool = pool("shop", "round-robin", &[&bad, &good]);
    let balancer = Balancer::start(&format!("{routes}{pool}{KEPT}"));
    let mut client = balancer.client("web");
    let order = |path: &str| Request::new("POST", path).field("Idempotency-Key", "\"8e03978e\"");
    for _ in 0..6 {
        assert_eq!(client.send(&order("/keyed")).origin(), "good");
    }
    let first = &good.received()[0];
    assert_eq!(first.field("idempotency-key"), Some("\"8e03978e\""));
    let statuses = |client: &mut crate::harness::Client, request: &Request| {
        let mut statuses: Vec<u16> = (0..6).map(|_| client.send(request).status).collect();
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    };
    let without = Request::new("POST", "/keyed");
    assert_eq!(statuses(&mut client, &without), [200, 502]);
    assert_eq!(statuses(&mut client, &order("/plain")), [200, 502]);
}
