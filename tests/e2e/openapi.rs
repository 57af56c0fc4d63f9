//! `/openapi.json` and what is served: the same paths and methods, and answers as the document has them.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

#[path = "../schema/judge.rs"]
mod judge;

use crate::harness::{Balancer, Origin, Request, Response, pool};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A balancer that can be steered, and its document.
struct Described {
    balancer: Balancer,
    origin: Origin,
    document: Value,
    _folder: tempfile::TempDir,
}

impl Described {
    fn new() -> Self {
        let origin = Origin::named("a");
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        fs::write(&token, TOKEN).unwrap();
        let admin = format!(
            "[admin]\naddress = \"127.0.0.1:0\"\ntoken_file = \"{}\"\n",
            token.display()
        );
        let text = Balancer::front("shop").replace("[admin]\naddress = \"127.0.0.1:0\"\n", &admin)
            + &pool("shop", "round-robin", &[&origin])
            + "[pools.shop.health]\npath = \"/\"\n";
        let balancer = Balancer::start(&text);
        let answer = balancer.admin("/openapi.json");
        assert_eq!(
            (answer.status, answer.field("content-type")),
            (200, Some("application/json"))
        );
        Self {
            document: serde_json::from_slice(&answer.body).unwrap(),
            balancer,
            origin,
            _folder: folder,
        }
    }

    /// Paths and methods of the document.
    fn operations(&self) -> Vec<(String, String)> {
        let paths = self.document["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(|method| (method.to_uppercase(), path.clone()))
        });
        operations.collect()
    }

    /// A path with something that is there in the place of its parameters.
    fn filled(&self, path: &str) -> String {
        path.replace("{pool}", "shop")
            .replace("{address}", &self.origin.address().to_string())
            .replace("{generation}", "1")
    }

    fn ask(&self, method: &str, path: &str, body: &str, bearing: bool) -> Response {
        let mut request = match method {
            "POST" => Request::post(path, body.as_bytes()),
            "PUT" => Request::put(path, body.as_bytes()),
            _ => Request::new(method, path),
        };
        request = request.host("localhost");
        if bearing {
            request = request.field("authorization", &format!("Bearer {TOKEN}"));
        }
        self.balancer.client("admin").send(&request)
    }

    /// Checks an answer against what the document says of its operation, its status and its type.
    #[track_caller]
    fn check(&self, method: &str, path: &str, answer: &Response) {
        let operation = &self.document["paths"][path][method.to_lowercase()];
        let said = &operation["responses"][answer.status.to_string()];
        assert!(said.is_object(), "{method} {path}: {answer}");
        let kind = answer.field("content-type").unwrap();
        let kind = kind.split(';').next().unwrap();
        let schema = &said["content"][kind]["schema"];
        assert!(schema.is_object(), "{method} {path}: {kind} of {said}");
        if !kind.ends_with("json") {
            return;
        }
        let value: Value = serde_json::from_slice(&answer.body).unwrap();
        let faults = judge::faults(&self.document, schema, &value);
        assert!(faults.is_empty(), "{method} {path}: {faults:#?}\n{value:#}");
    }
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let described = Described::new();
    let operations = described.operations();
    let paths: BTreeSet<&str> = operations.iter().map(|(_, path)| path.as_str()).collect();
    // What stands behind `.route(` in the router.
    let router = include_str!("../../src/admin/api.rs");
    let served = router.split(".route(").skip(1).map(|rest| {
        let from = rest.find('"').unwrap() + 1;
        let to = from + rest[from..].find('"').unwrap();
        &rest[from..to]
    });
    let served: BTreeSet<&str> = served.collect();
    assert!(served.len() > 20);
    assert_eq!(paths, served);
    for path in paths {
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let is_described = operations.contains(&(method.to_owned(), path.to_owned()));
            // A story that is not remembered is answered with 404; streams never end.
            if path == "/v1/requests/{id}" && is_described || path == "/v1/events" {
                continue;
            }
            let answer = described.ask(method, &described.filled(path), "", false);
            let is_served = !matches!(answer.status, 404 | 405);
            assert_eq!(is_served, is_described, "{method} {path}: {answer}");
        }
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table of questions")]
fn answers_are_as_described() {
    let described = Described::new();
    let client_id = described.balancer.client("web").get("/");
    let id = client_id.field("x-request-id").unwrap_or("none").to_owned();
    let address = described.origin.address();
    let backend = format!("/v1/pools/shop/backends/{address}");
    let of_backend = "/v1/pools/{pool}/backends/{address}";
    let configuration = fs::read_to_string(described.balancer.config_file()).unwrap();
    let broken = "[listeners.web]\naddress = 1\n";
    let wish = r#"{"state": "draining", "weight": 3}"#;
    let question = r#"{"url": "http://localhost/"}"#;
    for (method, path, of, body, bearing, status) in [
        ("GET", "/", "/", "", false, 200),
        ("GET", "/dashboard.css", "/dashboard.css", "", false, 200),
        ("GET", "/dashboard.js", "/dashboard.js", "", false, 200),
        ("GET", "/openapi.json", "/openapi.json", "", false, 200),
        ("GET", "/healthz", "/healthz", "", false, 200),
        ("GET", "/readyz", "/readyz", "", false, 200),
        ("GET", "/metrics", "/metrics", "", false, 200),
        ("GET", "/v1/status", "/v1/status", "", false, 200),
        ("GET", "/v1/stats", "/v1/stats", "", false, 200),
        ("GET", "/v1/events?stats=x", "/v1/events", "", false, 400),
        ("GET", "/v1/pools", "/v1/pools", "", false, 200),
        ("GET", "/v1/pools/shop", "/v1/pools/{pool}", "", false, 200),
        ("GET", "/v1/pools/x", "/v1/pools/{pool}", "", false, 404),
        ("GET", &backend, of_backend, "", false, 200),
        ("GET", "/v1/pools/x/backends/y", of_backend, "", false, 404),
        ("PUT", &backend, of_backend, wish, true, 200),
        ("PUT", &backend, of_backend, "{}", true, 400),
        ("PUT", &backend, of_backend, wish, false, 401),
        ("PUT", "/v1/pools/x/backends/y", of_backend, wish, true, 404),
        ("POST", "/v1/explain", "/v1/explain", question, false, 200),
        ("POST", "/v1/explain", "/v1/explain", "?", false, 400),
        ("GET", "/v1/requests", "/v1/requests", "", false, 200),
        ("GET", "/v1/requests?x=1", "/v1/requests", "", false, 400),
        ("GET", "/v1/requests/x", "/v1/requests/{id}", "", false, 404),
        ("GET", "/v1/reload", "/v1/reload", "", false, 200),
        ("GET", "/v1/config", "/v1/config", "", true, 200),
        ("GET", "/v1/config", "/v1/config", "", false, 401),
        (
            "GET",
            "/v1/config/history",
            "/v1/config/history",
            "",
            false,
            200,
        ),
        (
            "POST",
            "/v1/config/diff",
            "/v1/config/diff",
            &configuration,
            true,
            200,
        ),
        (
            "POST",
            "/v1/config/diff",
            "/v1/config/diff",
            broken,
            true,
            422,
        ),
        ("POST", "/v1/config/diff", "/v1/config/diff", "", false, 401),
        (
            "POST",
            "/v1/reload?dry_run=true",
            "/v1/reload",
            "",
            true,
            200,
        ),
        ("POST", "/v1/reload?x=1", "/v1/reload", "", true, 400),
        (
            "POST",
            "/v1/reload/confirm",
            "/v1/reload/confirm",
            "",
            true,
            409,
        ),
        (
            "POST",
            "/v1/reload?confirm=60s",
            "/v1/reload",
            "",
            true,
            200,
        ),
        ("GET", "/v1/reload", "/v1/reload", "", false, 200),
        ("POST", "/v1/reload", "/v1/reload", "", true, 409),
        (
            "POST",
            "/v1/reload/confirm",
            "/v1/reload/confirm",
            "",
            true,
            200,
        ),
        (
            "POST",
            "/v1/reload/revert",
            "/v1/reload/revert",
            "",
            true,
            409,
        ),
        (
            "POST",
            "/v1/reload/revert",
            "/v1/reload/revert",
            "",
            false,
            401,
        ),
        (
            "POST",
            "/v1/config/rollback/1",
            "/v1/config/rollback/{generation}",
            "",
            true,
            200,
        ),
        (
            "POST",
            "/v1/config/rollback/999",
            "/v1/config/rollback/{generation}",
            "",
            true,
            404,
        ),
    ] {
        let answer = described.ask(method, path, body, bearing);
        assert_eq!(answer.status, status, "{method} {path}: {answer}");
        described.check(method, of, &answer);
    }
    let story = described.ask("GET", &format!("/v1/requests/{id}"), "", false);
    described.check("GET", "/v1/requests/{id}", &story);
}

#[test]
fn security_and_examples_are_said() {
    let described = Described::new();
    let document = &described.document;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(schemes["token"]["scheme"], "bearer");
    for (method, path) in described.operations() {
        let operation = &document["paths"][&path][method.to_lowercase()];
        let said = operation["summary"].as_str().unwrap_or_default();
        assert!(!said.is_empty(), "{method} {path}");
        // Whatever refuses without a token says so, and the other way round. Streams never end.
        if path != "/v1/events" {
            let answer = described.ask(&method, &described.filled(&path), "", false);
            let takes_token = operation["security"] == json!([{"token": []}]);
            assert_eq!(answer.status == 401, takes_token, "{method} {path}");
        }
        for status in operation["responses"].as_object().unwrap().keys() {
            if status.starts_with('4') || status.starts_with('5') {
                let content = &operation["responses"][status]["content"];
                let schema = &content["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{path} {status}");
            }
        }
    }
    let wish = &document["paths"]["/v1/pools/{pool}/backends/{address}"]["put"]["requestBody"];
    let wish = &wish["content"]["application/json"];
    assert_eq!(wish["example"]["state"], "draining");
    assert!(document["components"]["schemas"]["Problem"]["example"].is_object());
}
