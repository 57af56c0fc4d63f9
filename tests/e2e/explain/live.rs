//! Whoever has the token hears what was decided, and nobody else hears or sees anything of it.

use serde_json::Value;

use super::{Asked, TOKEN};
use crate::harness::{Balancer, Behaviour, DEADLINE, Origin, Request, Response, pool, wait_for};

fn with(token: &str) -> Request {
    Request::get("/").field("forecourt-explain", token)
}

#[track_caller]
fn told(answer: &Response) -> Value {
    let field = answer.field("forecourt-decision");
    let field = field.unwrap_or_else(|| panic!("no decision in {answer}"));
    assert!(field.len() <= 2048 && field.is_ascii(), "{field}");
    serde_json::from_str(field).unwrap()
}

#[test]
fn whoever_has_the_token_hears_what_was_decided() {
    let [mut a, b] = ["a", "b"].map(Origin::named);
    let asked = Asked::before(
        "",
        &(pool("shop", "round-robin", &[&a, &b]) + "[pools.shop.sticky]\n"),
    );
    let mut client = asked.balancer.client("web");
    let answer = client.send(&with(TOKEN));
    let decision = told(&answer);
    for (key, value) in [
        ("listener", "web"),
        ("route", "/"),
        ("pool", "shop"),
        ("strategy", "round-robin"),
        ("reason", "strategy"),
        ("sticky", "new"),
    ] {
        assert_eq!(decision[key], value, "{decision}");
    }
    let taken = if answer.origin() == "a" { &a } else { &b };
    assert_eq!(decision["backend"], taken.address().to_string());
    assert_eq!(
        decision["id"],
        taken.last_received().field("x-request-id").unwrap()
    );
    assert_eq!(
        (&decision["eligible"], &decision["generation"]),
        (&2.into(), &1.into())
    );
    assert!(decision["times"]["first_byte"].as_u64().unwrap() > 0);
    // No backend sees the token, and the cookie's verdict is told.
    let cookie = answer
        .field("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let decision = told(&client.send(&with(TOKEN).field("cookie", cookie)));
    assert_eq!(
        (&decision["sticky"], &decision["reason"]),
        (&"bound".into(), &"sticky".into())
    );
    // Retries, with their causes.
    a.refuse();
    let mut told_of = (0..4).map(|_| told(&client.send(&with(TOKEN))));
    let retried = told_of.find(|decision| decision["reason"] == "retry");
    let retried = retried.expect("one of four has its turn at a");
    let attempts = retried["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{retried}");
    assert!(attempts[0]["cause"].is_string() && attempts[0]["duration"].as_u64().unwrap() > 0);
    for origin in [&a, &b] {
        for received in origin.received() {
            assert_eq!(received.field("forecourt-explain"), None);
        }
    }
}

/// A reply of our own, and an answer of a route's own, tell it too.
#[test]
fn what_forecourt_answers_itself_is_told_of() {
    let mut origin = Origin::named("a");
    let rest = pool("shop", "round-robin", &[&origin])
        + "[[routes]]\nname = \"gone\"\npath = \"/gone\"\nrespond = { status = 410 }\n";
    let asked = Asked::before("", &rest);
    let mut client = asked.balancer.client("web");
    let gone = client.send(&Request::get("/gone").field("forecourt-explain", TOKEN));
    assert_eq!((gone.status, &told(&gone)["route"]), (410, &"gone".into()));
    origin.refuse();
    let failed = client.send(&with(TOKEN));
    assert_eq!(failed.cause(), Some("connect-refused"));
    let decision = told(&failed);
    assert_eq!(decision["error"], "connect-refused", "{decision}");
    assert_eq!(decision["id"], failed.field("x-request-id").unwrap());
}

#[test]
fn without_the_token_the_field_is_stripped_and_says_nothing() {
    let origin = Origin::named("a");
    let pools = pool("shop", "round-robin", &[&origin]);
    let asked = Asked::before("", &pools);
    let mut client = asked.balancer.client("web");
    let twice = with(TOKEN).field("forecourt-explain", TOKEN);
    let short = &TOKEN[..31];
    for request in [
        with("wrong"),
        with(""),
        with(short),
        twice,
        Request::get("/"),
    ] {
        let answer = client.send(&request);
        assert_eq!(
            (answer.status, answer.field("forecourt-decision")),
            (200, None)
        );
        assert_eq!(origin.last_received().field("forecourt-explain"), None);
    }
    // Where there is no token nothing opens anything.
    let without = Balancer::start(&(Balancer::front("shop") + &pools));
    let answer = without.client("web").send(&with(TOKEN));
    assert_eq!(
        (answer.status, answer.field("forecourt-decision")),
        (200, None)
    );
    assert_eq!(origin.last_received().field("forecourt-explain"), None);
    assert!(!asked.balancer.stdout().contains(TOKEN) && !asked.balancer.stderr().contains(TOKEN));
}

#[test]
fn the_log_says_it_of_each_request_if_it_is_to() {
    let origin = Origin::named("a");
    origin.on("/503", Behaviour::Status(503));
    let log = "[log.access]\ndecision = true\n";
    let balancer = Balancer::start(
        &(log.to_owned() + &Balancer::front("shop") + &pool("shop", "random", &[&origin])),
    );
    balancer.client("web").get("/503");
    let line = wait_for(DEADLINE, "a line of the log", || {
        let log = balancer.stdout();
        let (line, _) = log.split_once('\n')?;
        serde_json::from_str::<Value>(line).ok()
    });
    let decision = &line["forecourt.decision"];
    assert_eq!(decision["reason"], "strategy", "{line}");
    assert_eq!(
        (&decision["eligible"], &decision["members"]),
        (&1.into(), &1.into())
    );
}
