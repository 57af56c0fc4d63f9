//! Which route takes a request, and what the backend sees of where it was meant to go.

use super::*;

/// An exact host before wildcards, the longest of these before others, and any host last; where no path of a more
/// specific host fits, the next one is asked.
#[test]
fn the_most_specific_host_wins() {
    let site = Site::with(&[
        ("any", ""),
        ("wild", r#"hosts = ["*.shop.example"]"#),
        ("wilder", r#"hosts = ["*.eu.shop.example"]"#),
        ("exact", r#"hosts = ["www.shop.example"]"#),
        (
            "paths",
            "hosts = [\"paths.shop.example\"]\npath_prefix = \"/here\"",
        ),
        (
            "several",
            r#"hosts = ["one.example", "Two.Example", "*.three.example"]"#,
        ),
        ("address", r#"hosts = ["192.0.2.1", "[2001:db8::1]"]"#),
    ]);
    for (host, route) in [
        ("www.shop.example", "exact"),
        ("WWW.Shop.Example", "exact"),
        ("www.shop.example.", "exact"),
        ("www.shop.example:80", "exact"),
        ("www.shop.example.:8443", "exact"),
        ("www.shop.example:", "exact"),
        ("other.shop.example", "wild"),
        ("a.b.shop.example", "wild"),
        ("eu.shop.example", "wild"),
        ("de.eu.shop.example", "wilder"),
        ("a.b.eu.shop.example:8080", "wilder"),
        ("shop.example", "any"),
        ("wwwshop.example", "any"),
        ("shop.example.org", "any"),
        ("paths.shop.example", "wild"),
        ("one.example", "several"),
        ("two.example", "several"),
        ("x.three.example", "several"),
        ("three.example", "any"),
        ("192.0.2.1:8080", "address"),
        ("[2001:db8::1]", "address"),
        ("[2001:DB8:0:0::1]:443", "address"),
        ("[2001:db8::2]", "any"),
    ] {
        site.assert_takes(&Request::get("/").host(host), route, host);
    }
    let request = Request::get("/here/too").host("paths.shop.example");
    site.assert_takes(&request, "paths", "its own path");
}

/// Within a host: the exact path, then regular expressions as they stand, then the longest prefix, then any path.
#[test]
fn the_most_specific_path_wins() {
    let site = Site::with(&[
        ("any", ""),
        ("root", r#"path_prefix = "/""#),
        ("a", r#"path_prefix = "/a""#),
        ("ab", r#"path_prefix = "/a/b/""#),
        ("number", r#"path_regex = "^/a/[0-9]+$""#),
        ("digits", r#"path_regex = "[0-9]{3}""#),
        ("exact", r#"path = "/a/777""#),
        ("exact-again", r#"path = "/a/777""#),
        ("accent", r#"path = "/caf%C3%A9""#),
    ]);
    for (target, route) in [
        ("/", "root"),
        ("/ab", "root"),
        ("/a", "a"),
        ("/a?x=/b", "a"),
        ("/a/", "a"),
        ("/a/bc", "a"),
        ("/a/b", "ab"),
        ("/a/b/c", "ab"),
        ("/a/1", "number"),
        ("/a/123", "number"),
        ("/a/x123", "digits"),
        ("/b/1234", "digits"),
        ("/b/12?345", "root"),
        ("/a/777", "exact"),
        ("/a/777?query", "exact"),
        ("/a/777/", "digits"),
        ("/%61/b", "ab"),
        ("/x/../a/777", "exact"),
        ("//a//777", "exact"),
        ("/a/./b", "ab"),
        ("/a%2f777", "digits"),
        ("/caf%c3%a9", "accent"),
    ] {
        site.assert_takes(&Request::get(target), route, target);
        let received = site.origin(route).last_received();
        assert_eq!(
            received.target, target,
            "what is forwarded is what the client wrote"
        );
    }
}

/// A host that is more specific beats a path that is; and of equals the first in the file wins.
#[test]
fn the_host_counts_before_the_path_and_position_last() {
    let site = Site::with(&[
        ("path", r#"path = "/cart""#),
        ("host", "hosts = [\"shop.example\"]\npath_prefix = \"/\""),
        ("late", "hosts = [\"shop.example\"]\npath_prefix = \"/\""),
    ]);
    site.assert_takes(&Request::get("/cart"), "host", "host before path");
    site.assert_takes(&Request::get("/cart").host("x.example"), "path", "any host");
    assert_eq!(site.origin("late").requests(), 0);
}

/// A route that names listeners serves these only, and there comes before one that serves all.
#[test]
fn routes_can_be_restricted_to_listeners() {
    let origins = ["inner", "outer", "all"].map(Origin::named);
    let routes = [
        ("all", r#"path_prefix = "/shop""#),
        ("inner", "path_prefix = \"/shop\"\nlisteners = [\"inner\"]"),
        ("inner", "path = \"/secret\"\nlisteners = [\"inner\"]"),
        (
            "outer",
            "path = \"/hello\"\nlisteners = [\"outer\", \"third\"]",
        ),
    ];
    let listeners: String = ["inner", "outer", "third"]
        .map(|name| format!("[listeners.{name}]\naddress = \"127.0.0.1:0\"\n"))
        .concat();
    let balancer = Balancer::start(&(listeners + &table(&routes) + &pools(&origins)));
    for (listener, target, answer) in [
        ("inner", "/shop", Some("inner")),
        ("outer", "/shop", Some("all")),
        ("third", "/shop", Some("all")),
        ("inner", "/secret", Some("inner")),
        ("outer", "/secret", None),
        ("inner", "/hello", None),
        ("outer", "/hello", Some("outer")),
        ("third", "/hello", Some("outer")),
    ] {
        let response = balancer.client(listener).get(target);
        let got = response.field("x-origin");
        assert_eq!(got, answer, "{target} by {listener}: {response}");
        assert_eq!(response.status, if answer.is_some() { 200 } else { 404 });
    }
}

/// The same after a reload that changes which listeners serve a route, on connections that stay.
#[test]
fn a_reload_changes_the_listeners_of_a_route() {
    let origins = ["a", "b"].map(Origin::named);
    let with = |listener: &str| {
        let restricted = format!("listeners = [\"{listener}\"]");
        let listeners: String = ["one", "two"]
            .map(|name| format!("[listeners.{name}]\naddress = \"127.0.0.1:0\"\n"))
            .concat();
        "[admin]\naddress = \"127.0.0.1:0\"\n".to_owned()
            + &listeners
            + &table(&[("a", &restricted), ("b", "")])
            + &pools(&origins)
    };
    let balancer = Balancer::start(&with("one"));
    let [mut one, mut two] = ["one", "two"].map(|name| balancer.client(name));
    assert_eq!((one.get("/").origin(), two.get("/").origin()), ("a", "b"));
    let connections = [one.local_address(), two.local_address()];
    balancer.reload(&with("two"));
    wait_until(DEADLINE, "generation 2", || {
        balancer.metric("forecourt_config_generation") >= 2.0
    });
    assert_eq!((one.get("/").origin(), two.get("/").origin()), ("b", "a"));
    assert_eq!([one.local_address(), two.local_address()], connections);
}

/// The authority of an absolute-form target wins over `Host`; the backend gets an origin-form target and that authority.
#[test]
fn an_absolute_form_target_says_where_to() {
    let site = Site::with(&[
        ("host", r#"hosts = ["other.example"]"#),
        ("target", r#"hosts = ["shop.example"]"#),
    ]);
    for (target, forwarded, host) in [
        ("http://shop.example/a?b=c", "/a?b=c", "shop.example"),
        ("HTTP://SHOP.example:8080/a", "/a", "SHOP.example:8080"),
        ("http://shop.example", "/", "shop.example"),
        ("http://shop.example?q", "/?q", "shop.example"),
        ("https://shop.example/", "/", "shop.example"),
    ] {
        let request = Request::get(target).host("other.example");
        site.assert_takes(&request, "target", target);
        let received = site.origin("target").last_received();
        assert_eq!(received.target, forwarded, "{target}");
        assert_eq!(received.fields.all("host"), [host], "{target}");
        assert_eq!(received.field("x-forwarded-host"), Some(host), "{target}");
    }
}

/// `Host` goes on as it was written, with port and case.
#[test]
fn the_host_is_forwarded_as_written() {
    let site = Site::with(&[("shop", r#"hosts = ["shop.example"]"#)]);
    for host in ["Shop.Example", "shop.example:8080", "shop.example."] {
        site.assert_takes(&Request::get("/").host(host), "shop", host);
        let received = site.origin("shop").last_received();
        assert_eq!(received.fields.all("host"), [host]);
        assert_eq!(received.field("x-forwarded-host"), Some(host));
    }
}

/// 400 and nothing forwarded where the host is missing, doubled or none, so that nobody can read another one than we do.
#[test]
fn a_host_that_can_be_read_in_two_ways_is_refused() {
    let site = Site::with(&[("any", "")]);
    for (what, request) in [
        ("none", Request::get("/").without_host()),
        ("two", Request::get("/").field("Host", "other.example")),
        ("a list", Request::get("/").host("a.example,b.example")),
        ("a user", Request::get("/").host("user@shop.example")),
        ("a path", Request::get("/").host("shop.example/x")),
        ("an escape", Request::get("/").host("shop%2eexample")),
        ("an odd port", Request::get("/").host("shop.example:http")),
        ("no port", Request::get("/").host("shop.example:99999")),
        (
            "a user in the target",
            Request::get("http://user@shop.example/"),
        ),
    ] {
        let response = site.client().send(&request);
        let got = (response.status, response.cause());
        assert_eq!(got, (400, Some("bad-request")), "{what}: {response}");
    }
    assert_eq!(site.origin("any").requests(), 0);
}

/// 404 with `forecourt-error: no-route`, in the type that the client accepts; for HEAD the same head and no body. The
/// connection stays.
#[test]
fn no_route_is_a_404_in_the_clients_type() {
    let site = Site::with(&[("shop", r#"hosts = ["shop.example"]"#)]);
    let mut client = site.client();
    for (accept, kind) in [
        (None, "text/plain; charset=utf-8"),
        (Some("*/*"), "text/plain; charset=utf-8"),
        (Some("image/png"), "text/plain; charset=utf-8"),
        (Some("text/plain"), "text/plain; charset=utf-8"),
        (Some("application/json"), "application/problem+json"),
        (Some("application/problem+json"), "application/problem+json"),
        (
            Some("APPLICATION/JSON; charset=utf-8"),
            "application/problem+json",
        ),
        (Some("text/html"), "text/html; charset=utf-8"),
        (
            Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            "text/html; charset=utf-8",
        ),
    ] {
        for method in ["GET", "HEAD", "DELETE"] {
            let request = Request::new(method, "/<script>").host("nobody.example");
            let request = accept
                .into_iter()
                .fold(request, |request, accept| request.field("accept", accept));
            let response = client.send(&request);
            let got = (
                response.status,
                response.cause(),
                response.field("content-type"),
            );
            let what = format!("{method} {accept:?}: {response}");
            assert_eq!(got, (404, Some("no-route"), Some(kind)), "{what}");
            assert_eq!(response.field("cache-control"), Some("no-store"), "{what}");
            assert_body(method, kind, &response);
        }
    }
    assert!(client.is_connected());
    assert_eq!(site.origin("shop").requests(), 0);
}

/// What has no route is counted and logged under a name of its own.
#[test]
fn what_has_no_route_is_counted() {
    let site = Site::with(&[("shop", r#"hosts = ["shop.example"]"#)]);
    site.client()
        .send(&Request::get("/").host("nobody.example"));
    let name = r#"forecourt_requests_total{listener="web",route="-",code="4xx"}"#;
    wait_until(DEADLINE, "the count", || site.balancer.metric(name) == 1.0);
}

/// Methods that are not ours to know go through; CONNECT and TRACE do not.
#[test]
fn methods_go_through_but_for_two() {
    let site = Site::with(&[("any", "")]);
    let mut client = site.client();
    for method in [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "BREW",
    ] {
        let response = client.send(&Request::new(method, "/"));
        assert_eq!(
            (response.status, response.origin()),
            (200, "any"),
            "{method}"
        );
        assert_eq!(site.origin("any").last_received().method, method);
    }
    let before = site.origin("any").requests();
    let response = site.client().send(&Request::new("OPTIONS", "*"));
    assert_eq!((response.status, response.origin()), (200, "any"));
    assert_eq!(site.origin("any").last_received().target, "*");
    for (method, target) in [("TRACE", "/"), ("CONNECT", "shop.example:443")] {
        let response = site.client().send(&Request::new(method, target));
        let got = (response.status, response.cause());
        assert_eq!(
            got,
            (405, Some("method-not-allowed")),
            "{method}: {response}"
        );
        assert!(response.field("allow").is_some());
    }
    assert_eq!(site.origin("any").requests(), before + 1);
}

/// Ten thousand hosts more, and each request still finds its own.
#[test]
fn many_routes_stay_apart() {
    let origins = ["even", "odd"].map(Origin::named);
    let mut routes = String::new();
    for number in 0..10_000 {
        let pool = origins[number % 2].name();
        routes.push_str(&format!(
            "[[routes]]\nname = \"r{number}\"\nhosts = [\"h{number}.example\"]\npool = \"{pool}\"\n"
        ));
    }
    let listener = "[listeners.web]\naddress = \"127.0.0.1:0\"\n";
    let balancer = Balancer::start(&(listener.to_owned() + &routes + &pools(&origins)));
    let mut client = balancer.client("web");
    for number in (0..10_000).step_by(333).chain([9_999]) {
        let request = Request::get("/").host(&format!("h{number}.example"));
        assert_eq!(
            client.send(&request).origin(),
            origins[number % 2].name(),
            "{number}"
        );
    }
    assert_eq!(
        client
            .send(&Request::get("/").host("h10000.example"))
            .status,
        404
    );
}
