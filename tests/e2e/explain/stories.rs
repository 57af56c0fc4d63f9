//! Requests of late are remembered, and their story is told by id.

use serde_json::Value;

use crate::harness::{Balancer, Behaviour, DEADLINE, Origin, pool, program, wait_for, wait_until};

fn why(balancer: &Balancer, id: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let admin = format!("http://{}", balancer.address("admin"));
    let output = program(&[&["why", id, "--admin", &admin], more].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// The story of a failure, whether there is an access log or not.
#[test]
fn a_failure_is_told_with_cause_and_remedy() {
    for log in ["", "[log.access]\npath = \"off\"\n"] {
        let [mut a, mut b] = ["a", "b"].map(Origin::named);
        let configuration =
            log.to_owned() + &Balancer::front("shop") + &pool("shop", "round-robin", &[&a, &b]);
        let balancer = Balancer::start(&configuration);
        a.refuse();
        b.refuse();
        let failed = balancer.client("web").get("/basket?secret=1");
        assert_eq!(failed.cause(), Some("connect-refused"));
        let id = failed.field("x-request-id").unwrap();
        // The record is written when the answer is through, a moment after the client has it.
        let said = wait_for(DEADLINE, "the story", || {
            let (code, said, _) = why(&balancer, id, &[]);
            (code == Some(0)).then_some(said)
        });
        let (a, b) = (a.address().to_string(), b.address().to_string());
        for part in [
            "GET /basket -> 502 connect-refused, in ",
            "pool      shop, round-robin, 2 of 2 backends could be picked, the last by retry",
            "tried     ",
            "then      ",
            "the backend refused the connection",
            "start the backend, or correct its address",
            &a,
            &b,
            id,
        ] {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
        assert!(!said.contains("secret"));
        let (code, said, _) = why(&balancer, id, &["--json"]);
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(code, Some(0));
        assert_eq!(
            said["request"]["forecourt.attempts"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        assert!(said["causes"]["connect-refused"]["remedy"].is_string());
    }
}

#[test]
fn what_is_not_remembered_is_said_to_be_so() {
    let origin = Origin::named("a");
    let none = "[log]\nrecent = 0\n".to_owned();
    let balancer =
        Balancer::start(&(none + &Balancer::front("shop") + &pool("shop", "random", &[&origin])));
    origin.behave(Behaviour::Reset);
    let failed = balancer.client("web").get("/");
    let id = failed.field("x-request-id").unwrap();
    let (code, said, errors) = why(&balancer, id, &[]);
    assert_eq!((code, said.as_str()), (Some(4), ""), "{errors}");
    assert!(errors.contains("is remembered"), "{errors}");
    let nobody = program(&["why", "x", "--admin", "http://127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(3));
}

/// The last failures for a dashboard, with what they mean; successes only as a sample.
#[test]
fn the_last_failures_are_listed() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    origin.on("/503", Behaviour::Status(503));
    origin.on("/cut", Behaviour::Garbage);
    let mut client = balancer.client("web");
    for path in ["/", "/503", "/cut", "/", "/503"] {
        client.get(path);
    }
    let list = |query: &str| -> Value {
        let answer = balancer.admin(&format!("/v1/requests{query}"));
        assert_eq!(answer.status, 200, "{answer}");
        serde_json::from_slice(&answer.body).unwrap()
    };
    let paths = |list: &Value| -> Vec<String> {
        let requests = list["requests"].as_array().unwrap().iter();
        requests
            .map(|request| request["url.path"].as_str().unwrap().to_owned())
            .collect()
    };
    wait_until(DEADLINE, "three failures", || {
        paths(&list("?errors=true")).len() == 3
    });
    let failures = list("?errors=true");
    assert_eq!(
        failures["causes"]["protocol"]["meaning"]
            .as_str()
            .unwrap()
            .split(' ')
            .next(),
        Some("the")
    );
    let mut failed = paths(&failures);
    failed.sort();
    assert_eq!(failed, ["/503", "/503", "/cut"]);
    assert_eq!(paths(&list("?errors=true&limit=1")).len(), 1);
    assert!(
        paths(&list("")).contains(&"/".to_owned()),
        "the first is a sample"
    );
    assert_eq!(balancer.admin("/v1/requests?eror=true").status, 400);
    assert_eq!(balancer.admin("/v1/requests/none").status, 404);
}
