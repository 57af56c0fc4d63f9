//! Path and host that the backend sees.

use serde_json::Value;

use super::*;
use crate::harness::{DEADLINE, wait_for};

/// A prefix is replaced by whole segments, whatever its spelling; what is behind it keeps its meaning and its query.
#[test]
fn a_prefix_is_replaced_by_segments() {
    let routes = r#"
        [[routes]]
        path_prefix = "/api"
        rewrite = { path = "/v2{rest}" }
        pool = "shop"
        [[routes]]
        path_prefix = "/bare/"
        rewrite = { path = "{rest}" }
        pool = "shop"
        [[routes]]
        path_prefix = "/search"
        rewrite = { path = "/find?where={rest}{query}" }
        pool = "shop"
        [[routes]]
        path_regex = "^/p/(?<name>[^/]+)/(.*)$"
        rewrite = { path = "/products/{2}/{name}" }
        pool = "shop"
    "#;
    let site = Site::with("", routes);
    for (target, seen) in [
        ("/api", "/v2"),
        ("/api/", "/v2/"),
        ("/api/x?a=b%3B;c", "/v2/x?a=b%3B;c"),
        ("/api?", "/v2?"),
        ("/%61pi/x", "/v2/x"),
        ("/api//x/./y/../z", "/v2/x/z"),
        ("/api/a%3Bb;c%2fd%2Fe%20f", "/v2/a%3Bb;c%2Fd%2Fe%20f"),
        ("/api/%41%7e%25%3f%23", "/v2/A~%25%3F%23"),
        ("/x/../api/%2e%2E/api/y", "/v2/y"),
        ("/api/caf%c3%a9", "/v2/caf%C3%A9"),
        ("http://shop.example/api/x", "/v2/x"),
        ("/bare", "/"),
        ("/bare/a", "/a"),
        ("/search/a&b=c?d=e", "/find?where=/a%26b%3Dc&d=e"),
        ("/p/a;b%3Bc/d/e%2Ff?q", "/products/d/e%2Ff/a%3Bb%3Bc?q"),
        ("/p/caf%C3%A9%20/", "/products/caf%C3%A9%20"),
    ] {
        let received = site.seen(&Request::get(target));
        assert_eq!(received.target, seen, "{target}");
    }
}

/// What a regex took cannot lead out of where the template puts it.
#[test]
fn a_capture_leads_nowhere_else() {
    let routes = "[[routes]]\npath_regex = \"^/f(.*)$\"\nrewrite = { path = \"/files/{1}\" }\npool = \"shop\"\n";
    let site = Site::with("", routes);
    for target in ["/f..", "/f../secret", "/f.", "/f%2e%2e/secret"] {
        let response = site.client().get(target);
        assert_eq!(
            (response.status, response.cause()),
            (400, Some("ambiguous-path")),
            "{target}"
        );
    }
    assert_eq!(site.origin.requests(), 0);
    assert_eq!(site.seen(&Request::get("/f/a")).target, "/files/a");
    assert_eq!(site.seen(&Request::get("/f...")).target, "/files/...");
}

/// The log and templates go on with what the client wrote.
#[test]
fn the_clients_path_is_remembered() {
    let routes = r#"
        [[routes]]
        path_prefix = "/api"
        rewrite = { path = "/v2{rest}", host = "internal.example" }
        request_headers = { set = { x-was = "{path}" } }
        response_headers = { set = { x-asked = "{host} {uri} {rest}" } }
        pool = "shop"
    "#;
    let site = Site::with("", routes);
    let request = Request::get("/api/%78?y").host("Shop.Example:8080");
    let response = site.client().send(&request);
    assert_eq!(
        response.field("x-asked"),
        Some("shop.example /api/%78?y /x")
    );
    let received = site.origin.last_received();
    assert_eq!(received.target, "/v2/x?y");
    assert_eq!(received.field("x-was"), Some("/api/%78"));
    assert_eq!(received.fields.all("host"), ["internal.example"]);
    assert_eq!(
        received.field("x-forwarded-host"),
        Some("Shop.Example:8080")
    );
    let line = wait_for(DEADLINE, "a line of the log", || {
        let log = site.balancer.stdout();
        log.strip_suffix('\n')
            .and_then(|line| serde_json::from_str::<Value>(line).ok())
    });
    assert_eq!(line["url.path"], "/api/%78");
}

/// `{backend}` is the address of whoever is asked, also by the second attempt.
#[test]
fn the_host_can_be_the_backends_address() {
    let mut dead = Origin::named("dead");
    let alive = Origin::named("alive");
    dead.refuse();
    let route = "[[routes]]\nrewrite = { host = \"{backend}\" }\npool = \"shop\"\n";
    let balancer =
        Balancer::start(&(front("") + route + &pool("shop", "round-robin", &[&dead, &alive])));
    for _ in 0..4 {
        let response = balancer.client("web").get("/");
        assert_eq!(response.origin(), "alive");
        let received = alive.last_received();
        assert_eq!(received.fields.all("host"), [alive.address().to_string()]);
        assert_eq!(received.field("x-forwarded-host"), Some("shop.example"));
    }
}

/// A host out of a path is one, or the request is refused.
#[test]
fn a_host_is_checked_when_it_is_filled_in() {
    let routes = "[[routes]]\npath_regex = \"^/([^/]*)\"\nrewrite = { host = \"{1}.internal\" }\npool = \"shop\"\n";
    let site = Site::with("", routes);
    assert_eq!(
        site.seen(&Request::get("/de/a")).field("host"),
        Some("de.internal")
    );
    for target in ["/de%20en/", "/a%40b/", "/%0d%0aa/", "//"] {
        let response = site.client().get(target);
        assert_eq!(
            (response.status, response.cause()),
            (400, Some("bad-request")),
            "{target}"
        );
    }
}
