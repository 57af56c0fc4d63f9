//! The catalogue of errors: every code is provoked by some test, and every reply of our own says its code and its request.

use std::fs;
use std::path::Path;

use forecourt::telemetry::Cause;

use crate::harness::{Balancer, Request};

/// A code that no test names is one that nobody has seen.
#[test]
fn every_code_is_provoked_by_a_test() {
    let mut tests = String::new();
    for folder in ["tests/e2e", "src/proxy/tests"] {
        read_all(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut tests,
        );
    }
    let missing: Vec<_> = Cause::ALL
        .iter()
        .map(|cause| cause.as_str())
        .filter(|code| !tests.contains(&format!("{code}\"")))
        .collect();
    assert!(missing.is_empty(), "no test provokes {missing:?}");
}

/// All sources but this one and the one that lists words for another purpose.
fn read_all(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, into);
        } else if !path.ends_with("e2e/metrics/mod.rs") {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn replies_of_our_own_say_code_and_request() {
    let pools = [
        ("refused", "127.0.0.1:1".to_owned()),
        ("nowhere", "255.255.255.255:80".to_owned()),
    ];
    let mut text =
        "[admin]\naddress = \"127.0.0.1:0\"\n[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         limits = { body_bytes = \"10B\" }\n"
            .to_owned();
    for (name, address) in &pools {
        text += &format!(
            "[[routes]]\npath = \"/{name}\"\npool = \"{name}\"\n[pools.{name}]\nbackends = [{{ address = \"{address}\" }}]\n"
        );
    }
    let balancer = Balancer::start(&text);
    let large = Request::put("/refused", b"more than ten bytes");
    for (request, status, code) in [
        (Request::get("/refused"), 502, "connect-refused"),
        (Request::get("/nowhere"), 502, "connect-failed"),
        (Request::get("/elsewhere"), 404, "no-route"),
        (
            Request::new("CONNECT", "/refused"),
            405,
            "method-not-allowed",
        ),
        (large, 413, "body-too-large"),
    ] {
        let reply = balancer.client("web").send(&request);
        assert_eq!(
            (reply.status, reply.field("forecourt-error")),
            (status, Some(code)),
            "{reply}"
        );
        let id = reply.field("x-request-id");
        assert!(id.is_some_and(|id| !id.is_empty()), "{code}: {reply}");
        assert!(
            reply.text().contains(id.unwrap()),
            "{code}: its body does not name the request: {reply}"
        );
    }
}
