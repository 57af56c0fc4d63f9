//! Who may steer: whoever has the token, or the Unix socket; and no web page.

use super::*;
use crate::harness::pool;

const RIGHT: (&str, &str) = ("authorization", "Bearer 0123456789abcdef0123456789abcdef");
const HOST: (&str, &str) = ("host", "localhost");
const DRAIN: &str = r#"{"state": "draining"}"#;

#[track_caller]
fn is_refused(answer: &Response, status: u16, part: &str) {
    assert_eq!(
        (answer.status, answer.field("content-type")),
        (status, Some("application/problem+json")),
        "{answer}"
    );
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(part), "{detail} without {part}");
}

#[test]
fn nobody_steers_without_the_token() {
    let a = Origin::named("a");
    let steered = Steered::before(&pool("shop", "round-robin", &[&a]));
    for fields in [
        vec![HOST],
        vec![
            HOST,
            ("authorization", "Bearer 0123456789abcdef0123456789abcdeX"),
        ],
        vec![
            HOST,
            ("authorization", "Basic 0123456789abcdef0123456789abcdef"),
        ],
        vec![HOST, RIGHT, RIGHT],
    ] {
        let answer = steered.put(&a, DRAIN, &fields);
        is_refused(&answer, 401, "--token-file");
        assert!(
            answer
                .field("www-authenticate")
                .unwrap()
                .starts_with("Bearer")
        );
    }
    for (fields, part) in [
        ([("host", "shop.example"), RIGHT, ("x-a", "b")], "Host"),
        ([HOST, RIGHT, ("origin", "http://evil.example")], "Origin"),
        ([HOST, RIGHT, ("origin", "null")], "Origin"),
    ] {
        is_refused(&steered.put(&a, DRAIN, &fields), 403, part);
    }
    assert_eq!(steered.status(&a)["state"], "ready");
    assert!(!steered.balancer.stderr().contains("backend steered"));
    let own = [HOST, RIGHT, ("origin", "http://localhost")];
    assert_eq!(steered.put(&a, DRAIN, &own).status, 200);
    assert_eq!(steered.status(&a)["state"], "draining");
}

#[test]
fn wishes_that_cannot_be_read_change_nothing() {
    let a = Origin::named("a");
    let steered = Steered::before(&pool("shop", "round-robin", &[&a]));
    for (body, part) in [
        ("", "expected {"),
        ("{}", "neither `state` nor `weight`"),
        ("drain", "expected {"),
        (r#"{"state": "gone"}"#, "unknown variant `gone`"),
        (
            r#"{"state": "draining", "wait": 1}"#,
            "unknown field `wait`",
        ),
        (r#"{"weight": -1}"#, "expected u32"),
        (
            r#"{"state": "ready", "deadline": "5m"}"#,
            "goes with the states",
        ),
        (
            r#"{"state": "draining", "deadline": "-5m"}"#,
            "is no time such as",
        ),
        (r#"{"state": "draining", "deadline": "99h"}"#, "up to a day"),
        (
            r#"{"weight": 65536, "state": "draining"}"#,
            "not in 0 to 65535",
        ),
    ] {
        is_refused(&steered.put(&a, body, &[HOST, RIGHT]), 400, part);
    }
    let long = "x".repeat(20_000);
    is_refused(&steered.put(&a, &long, &[HOST, RIGHT]), 413, "");
    let status = steered.status(&a);
    assert_eq!(
        (&status["state"], &status["weight"]),
        (&"ready".into(), &1.into())
    );
}

#[test]
fn without_a_token_file_the_remedy_is_named() {
    let a = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&a]);
    let admin = balancer.address("admin").to_string();
    let address = a.address().to_string();
    let output = program(&["backend", "drain", "shop", &address, "--admin", &admin]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("give [admin] a token_file"), "{said}");
}

#[test]
fn a_unix_socket_needs_no_token() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let folder = tempfile::tempdir().unwrap();
    let admin = format!("unix:{}", folder.path().join("admin.sock").display());
    let configuration = Balancer::front("shop").replace(
        "127.0.0.1:0\"\n\n[listeners",
        &format!("{admin}\"\n\n[listeners"),
    ) + &pool("shop", "round-robin", &[&a, &b]);
    let mut balancer = Balancer::spawn(&configuration);
    balancer.wait_for_listener("web");
    let address = a.address().to_string();
    let output = program(&[
        "backend", "drain", "shop", &address, "--wait", "--admin", &admin,
    ]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let mut client = balancer.client("web");
    for _ in 0..10 {
        assert_eq!(client.get("/").origin(), "b");
    }
    let uid = rustix::process::getuid().as_raw();
    let log = balancer.stderr();
    assert!(log.contains(&format!("who=unix uid {uid}")), "{log}");
}
