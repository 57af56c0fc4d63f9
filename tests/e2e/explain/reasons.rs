//! Why a backend gets nothing now: each reason once, brought about, said, and borne out by what follows.

use serde_json::{Value, json};

use super::{Asked, member};
use crate::harness::{Behaviour, Client, DEADLINE, Origin, pool, wait_for, wait_until};

/// Often enough for a test.
const CHECKED: &str =
    "[pools.shop.health]\npath = \"/healthz\"\ninterval = \"100ms\"\nfast_interval = \"20ms\"\n";

fn two() -> [Origin; 2] {
    ["a", "b"].map(Origin::named)
}

/// Before both, by round robin, with these lines for the pool.
fn before([a, b]: &[Origin; 2], lines: &str) -> Asked {
    Asked::before("", &(pool("shop", "round-robin", &[a, b]) + lines))
}

/// Waits until it is said that `a` gets nothing for this reason, in a sentence with this part; and nothing goes there.
#[track_caller]
fn is_out(asked: &Asked, word: &str, part: &str) -> Value {
    let seen = wait_for(DEADLINE, &format!("a to be out: {word}"), || {
        let seen = member(&asked.now(), "a");
        (seen["out"] == word).then_some(seen)
    });
    let why = seen["why"].as_str().unwrap();
    assert!(why.contains(part), "{why} without {part}");
    assert_eq!(
        (&seen["eligible"], &seen["chance"]),
        (&json!(false), &json!(0.0))
    );
    let mut client = asked.balancer.client("web");
    for _ in 0..6 {
        assert_eq!(asked.now()["backend"]["id"], "b");
        assert_eq!(client.get("/").origin(), "b");
    }
    seen
}

/// Waits until nothing keeps `a` away any more, and something goes there.
#[track_caller]
fn is_in(asked: &Asked) {
    let mut client = asked.balancer.client("web");
    wait_until(DEADLINE, "a to be in", || {
        let seen = member(&asked.now(), "a");
        seen["out"].is_null() && seen["eligible"] == true
    });
    wait_until(DEADLINE, "a request at a", || {
        client.get("/").origin() == "a"
    });
}

#[test]
fn what_the_operator_wants_is_said() {
    let origins = two();
    let asked = before(&origins, "");
    is_in(&asked);
    for (wish, word, part) in [
        (
            json!({"state": "draining"}),
            "draining",
            "the operator drains it",
        ),
        (
            json!({"state": "maintenance"}),
            "maintenance",
            "the operator has taken it out",
        ),
        (json!({"weight": 0}), "weight-0", "its weight is 0"),
    ] {
        asked.steer(&origins[0], &wish);
        let seen = is_out(&asked, word, part);
        assert_eq!(seen["weight_configured"], 1);
        asked.steer(&origins[0], &json!({"state": "ready", "weight": 1}));
        is_in(&asked);
    }
}

#[test]
fn a_weight_of_zero_in_the_file_is_said() {
    let origins = two();
    let [a, b] = &origins;
    let pools =
        pool("shop", "round-robin", &[a, b]).replace("id = \"a\"", "id = \"a\", weight = 0");
    let seen = is_out(&Asked::before("", &pools), "weight-0", "its weight is 0");
    assert_eq!(
        (&seen["weight"], &seen["weight_configured"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn failing_checks_are_said_with_their_cause() {
    let origins = two();
    let asked = before(&origins, CHECKED);
    origins[0].on("/healthz", Behaviour::Status(500));
    let seen = is_out(&asked, "failing", "its health checks fail since ");
    let why = seen["why"].as_str().unwrap();
    assert!(
        why.contains("bad-status") && why.contains(" in a row"),
        "{why}"
    );
    assert!(seen["failing_since"].as_u64().is_some(), "{seen}");
    origins[0].on("/healthz", Behaviour::Answer);
    is_in(&asked);
}

#[test]
fn a_backend_that_no_check_has_proven_is_said() {
    let origins = two();
    origins[0].on("/healthz", Behaviour::Hang);
    let lines = CHECKED.replace("100ms", "1h") + "initial = \"down\"\ntimeout = \"1h\"\n";
    let asked = before(&origins, &lines);
    // The other one has to prove itself too.
    wait_until(DEADLINE, "b to be in", || {
        member(&asked.now(), "b")["eligible"] == true
    });
    is_out(&asked, "unproven", "no health check has said yet how it is");
}

#[test]
fn an_ejection_is_said_with_its_cause_and_its_end() {
    let origins = two();
    let asked = before(&origins, "[pools.shop.outlier]\nconsecutive = 3\n");
    origins[0].behave(Behaviour::Status(503));
    let mut client = asked.balancer.client("web");
    wait_until(DEADLINE, "an ejection", || {
        client.get("/");
        member(&asked.now(), "a")["out"] == "ejected"
    });
    let seen = is_out(
        &asked,
        "ejected",
        "ejected for what requests found (failures), for ",
    );
    let left = seen["ejected_for"].as_u64().unwrap();
    assert!(left <= 30, "{seen}");
}

#[test]
fn a_backup_that_nobody_needs_is_said_and_steps_in() {
    let origins = two();
    let [a, b] = &origins;
    let pools =
        pool("shop", "round-robin", &[a, b]).replace("id = \"a\"", "id = \"a\", backup = true");
    let asked = Asked::before("", &pools);
    is_out(&asked, "backup", "it is a backup, and others are ready");
    asked.steer(b, &json!({"state": "maintenance"}));
    is_in(&asked);
    assert_eq!(member(&asked.now(), "b")["out"], "maintenance");
}

/// Its own limit, and not the pool's.
#[test]
fn a_backend_over_its_cap_is_said() {
    let origins = two();
    let [a, b] = &origins;
    let pools =
        pool("shop", "round-robin", &[a, b]).replace("id = \"a\"", "id = \"a\", max_in_flight = 1");
    let asked = Asked::before("", &pools);
    a.behave(Behaviour::Gated);
    let mut held = held_at(&asked, a);
    let seen = member(&asked.now(), "a");
    assert_eq!(
        (&seen["out"], &seen["limit"]),
        (&json!("at-limit"), &json!(1)),
        "{seen}"
    );
    assert_eq!(seen["why"], "it has all 1 requests that it may have");
    assert_eq!(
        (&seen["in_flight"], &seen["chance"]),
        (&json!(1), &json!(0.0))
    );
    let mut client = asked.balancer.client("web");
    for _ in 0..6 {
        assert_eq!(asked.now()["backend"]["id"], "b");
        assert_eq!(client.get("/").origin(), "b");
    }
    a.open_gate();
    assert_eq!(held.read_response("GET").unwrap().origin(), "a");
    is_in(&asked);
}

/// Has one request wait at an origin; others go where they go.
fn held_at(asked: &Asked, origin: &Origin) -> Client {
    loop {
        let mut client = asked.balancer.client("web");
        if asked.now()["backend"]["id"] == origin.name() {
            client
                .send_raw(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n")
                .unwrap();
            origin.wait_for_requests(1);
            return client;
        }
        client.get("/");
        asked.wait_until_quiet();
    }
}

/// Who is back takes a tenth of its share at first: in, and said to be held back.
#[test]
fn the_share_of_a_slow_start_is_said() {
    let origins = two();
    let [a, b] = &origins;
    let pools = pool("shop", "weighted", &[a, b])
        .replace("[pools.shop]\n", "[pools.shop]\nslow_start = \"10m\"\n");
    let asked = Asked::before("", &(pools + CHECKED));
    assert_eq!(member(&asked.now(), "a")["ramp"], 100);
    a.on("/healthz", Behaviour::Status(500));
    is_out(&asked, "failing", "its health checks fail");
    a.on("/healthz", Behaviour::Answer);
    is_in(&asked);
    let taker = asked.now();
    let (slow, whole) = (member(&taker, "a"), member(&taker, "b"));
    let ramp = slow["ramp"].as_u64().unwrap();
    assert!((10..50).contains(&ramp), "{slow}");
    assert_eq!((&slow["out"], &slow["weight"]), (&json!(null), &json!(1)));
    assert_eq!(whole["ramp"], 100);
    let share = |id: &str| {
        let mut shares = taker["share"].as_array().unwrap().iter();
        let found = shares.find(|share| share["id"] == id);
        found.unwrap()["share"].as_f64().unwrap()
    };
    assert!(share("a") < 0.5 * share("b"), "{taker}");
}

/// When most seem to be down, all are asked, and it is said that it is so.
#[test]
fn a_pool_in_panic_is_said() {
    let origins = two();
    let asked = before(&origins, CHECKED);
    for origin in &origins {
        origin.on("/healthz", Behaviour::Status(500));
    }
    wait_until(DEADLINE, "panic", || asked.now()["now"]["panic"] == true);
    let taker = asked.now();
    for id in ["a", "b"] {
        let seen = member(&taker, id);
        assert_eq!(
            (&seen["eligible"], &seen["out"]),
            (&json!(true), &json!(null)),
            "{seen}"
        );
        assert!(seen["failing_since"].is_u64(), "{seen}");
    }
    assert_eq!(asked.balancer.client("web").get("/").status, 200);
}
