//! Why a request goes where it goes: asked before ([`running`]), with why others get nothing ([`reasons`]), heard while it
//! goes ([`live`]), and told afterwards ([`stories`]).
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod live;
mod reasons;
mod running;
mod stories;

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Balancer, Origin, Request, Response};

const TOKEN: &str = "fedcba9876543210fedcba9876543210";

/// A balancer that can be asked, and steered by the token.
#[derive(Debug)]
struct Asked {
    balancer: Balancer,
    _folder: tempfile::TempDir,
}

impl Asked {
    /// Before these pools, with these lines for the listener; one route leads to `shop`.
    fn before(listener: &str, rest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("admin.token");
        fs::write(&token, format!("{TOKEN}\n")).unwrap();
        let token = token.display();
        let front = Balancer::front("shop")
            .replace("[admin]\n", &format!("[admin]\ntoken_file = \"{token}\"\n"))
            .replace(
                "[listeners.web]\n",
                &format!("[listeners.web]\n{listener}\n"),
            );
        Self {
            balancer: Balancer::start(&(front + rest)),
            _folder: folder,
        }
    }

    /// What is said of a request now.
    #[track_caller]
    fn explain(&self, question: &Value) -> Value {
        let answer = self.ask(question);
        assert_eq!(answer.status, 200, "{answer}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    fn ask(&self, question: &Value) -> Response {
        let body = question.to_string();
        let request = Request::post("/v1/explain", body.as_bytes());
        self.balancer.client("admin").send(&request)
    }

    /// Of `GET /` by a client of this machine: how its pool stands.
    #[track_caller]
    fn now(&self) -> Value {
        self.explain(&json!({"url": "/"}))["taken_by"].clone()
    }

    /// Has the operator's wish done.
    #[track_caller]
    fn steer(&self, origin: &Origin, wish: &Value) {
        let path = format!("/v1/pools/shop/backends/{}", origin.address());
        let request = Request::put(&path, wish.to_string().as_bytes())
            .without_host()
            .field("host", "localhost")
            .field("authorization", &format!("Bearer {TOKEN}"));
        let answer = self.balancer.client("admin").send(&request);
        assert_eq!(answer.status, 200, "{wish}: {answer}");
    }

    /// Nothing is in flight: whoever has an answer may be a moment ahead of the count.
    #[track_caller]
    fn wait_until_quiet(&self) {
        crate::harness::wait_until(crate::harness::DEADLINE, "a quiet pool", || {
            self.now()["now"]["in_flight"] == 0
        });
    }
}

/// How one member stands, by its id.
#[track_caller]
fn member(taker: &Value, id: &str) -> Value {
    let members = taker["now"]["members"].as_array().unwrap();
    let found = members.iter().find(|member| member["id"] == id);
    found.unwrap_or_else(|| panic!("{id} in {taker}")).clone()
}
