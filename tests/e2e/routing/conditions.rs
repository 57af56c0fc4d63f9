//! What a route may ask besides host, path and listener; and who comes first of those that ask.

use super::*;

fn asking(method: &str, target: &str, fields: &[(&str, &str)]) -> Request {
    fields
        .iter()
        .fold(Request::new(method, target), |request, (name, value)| {
            request.field(name, value)
        })
}

/// Methods are compared as they are written.
#[test]
fn a_route_may_ask_for_methods() {
    let site = Site::with(&[
        ("writes", ""),
        ("reads", r#"methods = ["GET", "HEAD"]"#),
        ("odd", r#"methods = ["PURGE"]"#),
    ]);
    for (method, route) in [
        ("GET", "reads"),
        ("HEAD", "reads"),
        ("POST", "writes"),
        ("DELETE", "writes"),
        ("get", "writes"),
        ("PURGE", "odd"),
    ] {
        let response = site.client().send(&asking(method, "/", &[]));
        assert_eq!(response.field("x-origin"), Some(route), "{method}");
    }
}

/// TRACE shows what others have added, so only a route that names it gets it; a route that does not is no reason.
#[test]
fn trace_goes_to_those_who_name_it() {
    let site = Site::with(&[
        ("all", ""),
        (
            "traced",
            "path_prefix = \"/traced\"\nmethods = [\"TRACE\", \"GET\"]",
        ),
        ("only", "path_prefix = \"/only\"\nmethods = [\"GET\"]"),
    ]);
    site.assert_takes(&asking("TRACE", "/traced", &[]), "traced", "named");
    let received = site.origin("traced").last_received();
    assert_eq!(received.method, "TRACE");
    let last = [("max-forwards", "0")];
    for (target, fields) in [("/", &[][..]), ("/only", &[]), ("/traced", &last)] {
        let response = site.client().send(&asking("TRACE", target, fields));
        assert_eq!(
            (response.status, response.cause()),
            (405, Some("method-not-allowed")),
            "{target}: {response}"
        );
        assert!(response.field("allow").is_some());
    }
    assert_eq!(
        site.origin("all").requests() + site.origin("only").requests(),
        0
    );
    assert_eq!(site.origin("traced").requests(), 1);
    // The same where no other route is there to take it.
    let site = Site::with(&[("only", "methods = [\"GET\"]")]);
    let response = site.client().send(&asking("TRACE", "/", &[]));
    assert_eq!(response.status, 405, "{response}");
}

/// By presence, absence, value and regular expression; of several fields of one name any.
#[test]
fn a_route_may_ask_for_headers() {
    let site = Site::with(&[
        ("rest", ""),
        ("there", r#"headers = [{ name = "X-There" }]"#),
        (
            "value",
            r#"headers = [{ name = "x-value", value = "One" }]"#,
        ),
        (
            "regex",
            r#"headers = [{ name = "accept", regex = "json$" }]"#,
        ),
        (
            "absent",
            "path_prefix = \"/absent\"\nheaders = [{ name = \"x-debug\", present = false }]",
        ),
    ]);
    for (target, fields, route) in [
        ("/", &[][..], "rest"),
        ("/", &[("x-there", "")], "there"),
        ("/", &[("X-THERE", "1")], "there"),
        ("/", &[("x-theree", "1")], "rest"),
        ("/", &[("x-value", "One")], "value"),
        ("/", &[("x-value", "  One ")], "value"),
        ("/", &[("X-Value", "two"), ("x-vALUE", "One")], "value"),
        ("/", &[("x-value", "one")], "rest"),
        ("/", &[("x-value", "One, two")], "rest"),
        (
            "/",
            &[("accept", "text/html"), ("accept", "application/json")],
            "regex",
        ),
        ("/", &[("accept", "application/json;q=1")], "rest"),
        ("/absent", &[], "absent"),
        ("/absent", &[("x-debug", "")], "rest"),
    ] {
        site.assert_takes(
            &asking("GET", target, fields),
            route,
            &format!("{target} {fields:?}"),
        );
    }
}

/// Compared after decoding, name and value; what is sent on is what came.
#[test]
fn a_route_may_ask_for_parameters_of_the_query() {
    let site = Site::with(&[
        ("rest", ""),
        ("page", r#"query = [{ name = "page", value = "2" }]"#),
        ("search", r#"query = [{ name = "q", value = "a b&c" }]"#),
        ("flag", r#"query = [{ name = "flag" }]"#),
        ("digits", r#"query = [{ name = "n", regex = "^[0-9]+$" }]"#),
        (
            "absent",
            "path_prefix = \"/absent\"\nquery = [{ name = \"x\", present = false }]",
        ),
    ]);
    for (target, route) in [
        ("/", "rest"),
        ("/page=2", "rest"),
        ("/?page=2", "page"),
        ("/?page=1&page=2", "page"),
        ("/?p%61ge=%32", "page"),
        ("/?page=22", "rest"),
        ("/?Page=2", "rest"),
        ("/?x=page=2", "rest"),
        ("/?q=a+b%26c", "search"),
        ("/?q=a%20b%26c", "search"),
        ("/?q=a%2Bb%26c", "rest"),
        ("/?a&flag", "flag"),
        ("/?flag=1", "flag"),
        ("/?flagged", "rest"),
        ("/?n=17", "digits"),
        ("/?n=%317", "digits"),
        ("/?n=1x", "rest"),
        ("/absent?y=x", "absent"),
        ("/absent?x", "rest"),
        ("http://shop.example/?page=2", "page"),
    ] {
        site.assert_takes(&Request::get(target), route, target);
    }
    site.client().get("/?p%61ge=%32");
    assert_eq!(site.origin("page").last_received().target, "/?p%61ge=%32");
}

/// Each cookie of each field; of one name the first.
#[test]
fn a_route_may_ask_for_cookies() {
    let site = Site::with(&[
        ("rest", ""),
        ("beta", r#"cookies = [{ name = "beta", value = "yes" }]"#),
        (
            "token",
            r#"cookies = [{ name = "token", regex = "^v1[.]" }]"#,
        ),
        (
            "new",
            "path_prefix = \"/new\"\ncookies = [{ name = \"seen\", present = false }]",
        ),
    ]);
    for (target, fields, route) in [
        ("/", &[][..], "rest"),
        ("/", &[("cookie", "a=1; beta=yes; b=2")], "beta"),
        ("/", &[("cookie", "a=1"), ("cookie", "beta=yes")], "beta"),
        ("/", &[("cookie", "beta=no; beta=yes")], "rest"),
        ("/", &[("cookie", "Beta=yes")], "rest"),
        ("/", &[("cookie", "xbeta=yes")], "rest"),
        ("/", &[("x-cookie", "beta=yes")], "rest"),
        ("/", &[("cookie", "token=v1.abc")], "token"),
        ("/", &[("cookie", "token=v2.v1.")], "rest"),
        ("/new", &[], "new"),
        ("/new", &[("cookie", "seen=1")], "rest"),
    ] {
        site.assert_takes(
            &asking("GET", target, fields),
            route,
            &format!("{target} {fields:?}"),
        );
    }
}

/// The client's address counts as it is found behind trusted proxies, and what a stranger says of it does not.
#[test]
fn a_route_may_ask_for_clients() {
    let routes = [
        ("rest", ""),
        ("office", r#"clients = ["10.0.0.0/8", "2001:db8::/32"]"#),
        ("one", r#"clients = ["192.0.2.7"]"#),
        (
            "local",
            "path_prefix = \"/local\"\nclients = [\"127.0.0.0/8\"]",
        ),
    ];
    let trusting = Site::behind("trusted_proxies = [\"127.0.0.1\"]", &routes);
    for (target, forwarded, route) in [
        ("/", "10.1.2.3", "office"),
        ("/", "192.0.2.1, 10.1.2.3", "office"),
        ("/", "10.1.2.3, 192.0.2.1", "rest"),
        ("/", "2001:db8::1", "office"),
        ("/", "[2001:db8::1]:80", "office"),
        ("/", "::ffff:10.1.2.3", "office"),
        ("/", "11.1.2.3", "rest"),
        ("/", "192.0.2.7", "one"),
        ("/", "192.0.2.70", "rest"),
        ("/local", "127.0.0.1", "local"),
        ("/local", "10.1.2.3", "office"),
    ] {
        let request = asking("GET", target, &[("x-forwarded-for", forwarded)]);
        trusting.assert_takes(&request, route, &format!("{target} {forwarded}"));
    }
    let strict = Site::with(&routes);
    let request = asking("GET", "/", &[("x-forwarded-for", "10.1.2.3")]);
    strict.assert_takes(&request, "rest", "nobody is believed");
    strict.assert_takes(&Request::get("/local"), "local", "the peer itself");
}

/// Fields in which proxies tell of the client choose a route only if their sender is believed.
#[test]
fn strangers_choose_no_route_by_what_proxies_say() {
    let routes = [
        ("rest", ""),
        (
            "secure",
            r#"headers = [{ name = "x-forwarded-proto", value = "https" }]"#,
        ),
    ];
    let request = asking("GET", "/", &[("X-Forwarded-Proto", "https")]);
    Site::with(&routes).assert_takes(&request, "rest", "a stranger");
    let trusting = Site::behind("trusted_proxies = [\"127.0.0.1\"]", &routes);
    trusting.assert_takes(&request, "secure", "a trusted proxy");
}

/// Host, kind of path, length of prefix, listeners, number of conditions, position: the first difference decides.
#[test]
fn what_is_asked_for_decides_only_between_equals() {
    let canary = r#"headers = [{ name = "x-canary" }]"#;
    let more =
        "methods = [\"GET\"]\nheaders = [{ name = \"x-canary\" }]\ncookies = [{ name = \"a\" }]";
    let at = |place: &str, keys: &str| format!("{place}\n{keys}");
    let root = "path_prefix = \"/\"";
    let keys = [
        ("plain", at(root, "")),
        ("one", at(root, canary)),
        ("three", at(root, more)),
        ("one-too", at(root, canary)),
        (
            "two",
            at(root, "methods = [\"GET\"]\ncookies = [{ name = \"a\" }]"),
        ),
        ("longer", at("path_prefix = \"/long\"", "")),
        ("regex", at("path_regex = \"^/long/r\"", "")),
        ("exact", at("path = \"/long/r\"", "")),
        ("exact-canary", at("path = \"/long/r/canary\"", canary)),
        (
            "host",
            at("hosts = [\"other.example\"]\npath_prefix = \"/only\"", ""),
        ),
        (
            "bound",
            at("listeners = [\"web\"]\npath_prefix = \"/bound\"", ""),
        ),
        ("unbound", at("path_prefix = \"/bound\"", more)),
    ];
    let routes: Vec<(&str, &str)> = keys
        .iter()
        .map(|(name, keys)| (*name, keys.as_str()))
        .collect();
    let site = Site::with(&routes);
    let all = &[("x-canary", "1"), ("cookie", "a=1")][..];
    for (target, host, fields, route) in [
        ("/", "shop.example", &[][..], "plain"),
        ("/", "shop.example", &all[..1], "one"),
        ("/", "shop.example", &all[1..], "two"),
        ("/", "shop.example", all, "three"),
        ("/long", "shop.example", all, "longer"),
        ("/long/r", "shop.example", all, "exact"),
        ("/long/r/x", "shop.example", all, "regex"),
        ("/long/r/canary", "shop.example", all, "exact-canary"),
        ("/long/r/canary", "shop.example", &[], "regex"),
        ("/only", "other.example", all, "host"),
        ("/", "other.example", all, "three"),
        ("/bound", "shop.example", all, "bound"),
    ] {
        let request = asking("GET", target, fields).host(host);
        site.assert_takes(&request, route, &format!("{host}{target} {fields:?}"));
    }
}
