//! A running instance says what it would do, and does it.

use serde_json::json;

use super::{Asked, member};
use crate::harness::{Behaviour, Client, DEADLINE, Origin, Request, pool, program, wait_until};

/// Draws that are the same in every run.
struct Lots(u64);

impl Lots {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}

/// Whatever the operator has done to the backends, the one that is foreseen gets the next request.
#[test]
fn the_backend_that_is_foreseen_gets_the_next_request() {
    for (strategy, rest) in [
        ("round-robin", ""),
        ("weighted", ""),
        ("ip-hash", ""),
        ("least-connections", ""),
        ("round-robin", "[pools.shop.sticky]\n"),
    ] {
        let origins = ["a", "b", "c", "d"].map(Origin::named);
        let all: Vec<&Origin> = origins.iter().collect();
        let asked = Asked::before(
            "trusted_proxies = [\"127.0.0.1\"]",
            &(pool("shop", strategy, &all) + rest),
        );
        follow(&asked, &origins, strategy);
    }
}

fn follow(asked: &Asked, origins: &[Origin], strategy: &str) {
    let mut lots = Lots(0x5eed_0f15 + strategy.len() as u64);
    let mut client = asked.balancer.client("web");
    let mut cookie: Option<String> = None;
    let (mut sent, mut held) = (0, 0);
    for round in 0..40 {
        let origin = &origins[lots.below(4) as usize];
        let wish = match lots.below(6) {
            0 => json!({"state": "draining"}),
            1 => json!({"state": "maintenance"}),
            2 | 3 => json!({"state": "ready"}),
            _ => json!({"weight": lots.below(4)}),
        };
        asked.steer(origin, &wish);
        let address = format!("203.0.113.{}", lots.below(250));
        let mut fields = vec![("x-forwarded-for", address)];
        fields.extend(
            cookie
                .clone()
                .filter(|_| lots.below(2) == 0)
                .map(|cookie| ("cookie", cookie)),
        );
        asked.wait_until_quiet();
        let headers: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let said = asked.explain(&json!({"url": "/", "client": "127.0.0.1", "headers": headers}));
        let taker = &said["taken_by"];
        let request = fields
            .iter()
            .fold(Request::get("/"), |request, (name, value)| {
                request.field(name, value)
            });
        let answer = client.send(&request);
        if taker["now"]["held"] == "no-backend" {
            assert_eq!(
                answer.cause(),
                Some("no-backend"),
                "{strategy} {round}: {said}"
            );
            held += 1;
            continue;
        }
        let foreseen = taker["backend"]["id"].as_str();
        assert_eq!(
            foreseen,
            Some(answer.origin()),
            "{strategy} {round}: {said}"
        );
        assert_eq!(member(taker, answer.origin())["chance"], 1.0, "{said}");
        if let Some(set) = answer.field("set-cookie") {
            cookie = set.split(';').next().map(str::to_owned);
        }
        sent += 1;
    }
    assert!(sent >= 20, "{strategy}: {sent} sent, {held} held");
}

/// A full backend is passed over, a full pool queues, a full queue refuses: said before it happens.
#[test]
fn limits_and_the_queue_are_foreseen() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let limits = "[pools.shop.limits]\nper_backend = 1\nqueue = 1\nqueue_timeout = \"60s\"\n";
    let asked = Asked::before("", &(pool("shop", "least-connections", &[&a, &b]) + limits));
    for origin in [&a, &b] {
        origin.behave(Behaviour::Gated);
    }
    let hold = |client: &mut Client| {
        client
            .send_raw(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n")
            .unwrap();
    };
    let mut clients = [(); 3].map(|()| asked.balancer.client("web"));
    let first = asked.now()["backend"]["id"].as_str().unwrap().to_owned();
    hold(&mut clients[0]);
    let (taken, free) = if first == "a" { (&a, &b) } else { (&b, &a) };
    taken.wait_for_requests(1);
    let taker = asked.now();
    assert_eq!(taker["backend"]["id"], free.name(), "{taker}");
    assert_eq!(member(&taker, taken.name())["out"], "at-limit", "{taker}");
    hold(&mut clients[1]);
    free.wait_for_requests(1);
    let taker = asked.now();
    assert_eq!(
        (&taker["backend"], &taker["now"]["held"]),
        (&json!(null), &json!("waits"))
    );
    hold(&mut clients[2]);
    wait_until(DEADLINE, "a request in the queue", || {
        asked.now()["now"]["queued"] == 1
    });
    assert_eq!(asked.now()["now"]["held"], "queue-full");
    assert_eq!(
        asked.balancer.client("web").get("/").cause(),
        Some("queue-full")
    );
    for origin in [&a, &b] {
        origin.open_gate();
    }
}

/// Chances of lots; questions that are none; and what asks nobody.
#[test]
fn chances_are_given_and_mistakes_are_named() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let asked = Asked::before("", &pool("shop", "two-choices", &[&a, &b]));
    let taker = asked.now();
    assert_eq!(taker["backend"], json!(null));
    for id in ["a", "b"] {
        assert_eq!(member(&taker, id)["chance"], 0.5, "{taker}");
    }
    for (question, part) in [
        (json!({}), "url"),
        (json!({"url": "/", "hedaers": []}), "hedaers"),
        (json!({"url": "ftp://a/"}), "scheme"),
        (json!({"url": "/", "listener": "x"}), "web"),
        (json!({"url": "/", "client": "nobody"}), "IP"),
        (json!({"url": "/", "method": "G T"}), "method"),
    ] {
        let answer = asked.ask(&question);
        assert_eq!(answer.status, 400, "{question}: {answer}");
        assert!(answer.text().contains(part), "{part} is not in {answer}");
    }
    let output = program(&["explain", "/", "--admin", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(3));
    let admin = format!("http://{}", asked.balancer.address("admin"));
    let output = program(&["explain", "/", "--admin", &admin, "--listener", "x"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("web"));
}
