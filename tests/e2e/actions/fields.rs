//! Fields of requests and responses that the operator removes, sets and adds.

use super::*;
use crate::harness::Behaviour;

/// First all of `remove` go, then `set` takes the place of all fields of its name, then `add` comes besides; names are
/// compared without regard to case, and to what stands for a hyphen.
#[test]
fn requests_are_changed_in_order() {
    let routes = r#"
        [[routes]]
        pool = "shop"
        [routes.request_headers]
        remove = ["X-Debug", "x-both", "cookie"]
        set = { x-shop = "de", X-Client = "{client} {method} {listener} {route} {scheme} {host} {port}" }
        add = { x-hop = "{{two}}", x-both = "{request_id}", x-shop = "more" }
    "#;
    let site = Site::with("", routes);
    let request = Request::post("/a", b"x")
        .field("x-debug", "1")
        .field("X-DEBUG", "2")
        .field("x_debug", "3")
        .field("X.Debug", "4")
        .field("x-Shop", "fr")
        .field("X_Shop", "it")
        .field("X_Request_Id", "forged")
        .field("X-Shop", "es")
        .field("X-Both", "old")
        .field("x-hop", "one")
        .field("x-other", "stays")
        .field("Cookie", "a=b");
    let received = site.seen(&request);
    // To an application that has them as variables, the same name in other letters would be the same.
    for gone in [
        "x-debug",
        "x_debug",
        "x.debug",
        "cookie",
        "x_shop",
        "x_request_id",
    ] {
        assert!(received.fields.all(gone).is_empty(), "{gone}");
    }
    assert_eq!(received.fields.all("x-shop"), ["de", "more"]);
    assert_eq!(received.fields.all("x-hop"), ["one", "{two}"]);
    assert_eq!(
        received.fields.all("x-both"),
        [received.field("x-request-id").unwrap()]
    );
    assert_eq!(
        received.field("x-client"),
        Some("127.0.0.1 POST web * http shop.example 80")
    );
    assert_eq!(
        (received.field("x-other"), &received.body[..]),
        (Some("stays"), &b"x"[..])
    );
}

/// The listener's rules come first, then the route's; they hold for backends' responses, errors of backends and all
/// answers of our own, before a route is known as well.
#[test]
#[allow(clippy::too_many_lines, reason = "one scene, looked at from all sides")]
fn responses_of_all_kinds_are_changed() {
    let listener = r#"response_headers = { set = { x-frame-options = "DENY", x-by = "listener" }, remove = ["server", "x-secret"] }"#;
    let routes = r#"
        [[routes]]
        path_prefix = "/shop"
        response_headers = { set = { x-by = "{route} by {backend}" }, add = { x-hop = "last" }, remove = ["X-Powered-By"] }
        pool = "shop"
        [[routes]]
        path = "/away"
        response_headers = { set = { x-by = "away" }, remove = ["retry-after"] }
        redirect = { to = "/there" }
        [[routes]]
        path = "/here"
        respond = { body = "here" }
        [[routes]]
        path = "/down"
        response_headers = { set = { retry-after = "60", cache-control = "max-age=9", content-type = "a/b", x-by = "[{backend}]" } }
        pool = "none"
        [pools.none]
        backends = [{ address = "127.0.0.1:1", weight = 0 }, { address = "127.0.0.1:2", weight = 1 }]
    "#;
    let site = Site::with(listener, routes);
    let mut client = site.client();
    let raw = b"HTTP/1.1 500 Oops\r\nServer: s\r\nX-Powered-By: p\r\nx-secret: 1\r\nX-SECRET: 2\r\nx-hop: first\r\nx-origin: shop\r\ncontent-length: 2\r\n\r\nno";
    site.origin.behave(Behaviour::Raw(raw.to_vec()));
    let response = client.get("/shop");
    assert_eq!((response.status, response.text()), (500, "no".to_owned()));
    let by = format!("/shop by {}", site.origin.address());
    assert_eq!(response.field("x-by"), Some(&*by));
    assert_eq!(response.head.fields.all("x-hop"), ["first", "last"]);
    for gone in ["server", "x-powered-by", "x-secret"] {
        assert!(response.field(gone).is_none(), "{gone}: {response}");
    }
    for (path, status, by) in [
        ("/away", 307, "away"),
        ("/here", 200, "listener"),
        ("/nowhere", 404, "listener"),
    ] {
        let response = client.get(path);
        assert_eq!(
            (response.status, response.field("x-by")),
            (status, Some(by)),
            "{response}"
        );
        assert_eq!(response.field("x-frame-options"), Some("DENY"));
    }
    let down = client.get("/down");
    assert_eq!((down.status, down.cause()), (502, Some("connect-refused")));
    assert_eq!(down.field("x-by"), Some("[127.0.0.1:2]"));
    // What says of an error that it is one stays.
    assert_eq!(down.head.fields.all("cache-control"), ["no-store"]);
    assert_eq!(
        down.head.fields.all("content-type"),
        ["text/plain; charset=utf-8"]
    );
    assert_eq!(down.head.fields.all("retry-after"), ["60"]);
    client.close();
    client
        .send_raw(b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
        .unwrap();
    let refused = client.read_response("GET").unwrap();
    assert_eq!(
        (refused.status, refused.field("x-by")),
        (400, Some("listener"))
    );
}

/// Values out of a request end no field, whatever stands in them.
#[test]
fn nothing_that_is_filled_in_ends_a_field() {
    let routes = r#"
        [[routes]]
        path_regex = "(?s-u)^/(.*)$"
        request_headers = { set = { x-in = "<{1}>" } }
        response_headers = { set = { x-out = "<{1}>", x-space = "{1}" } }
        pool = "shop"
    "#;
    let site = Site::with("", routes);
    let response = site.client().get("/%20a%0d%0ax-evil:%201%0a%09b%7f%01%20");
    assert_eq!(response.field("x-out"), Some("< ax-evil: 1b >"));
    assert_eq!(response.field("x-space"), Some("ax-evil: 1b"));
    assert!(response.field("x-evil").is_none());
    let received = site.origin.last_received();
    assert_eq!(received.field("x-in"), Some("< ax-evil: 1b >"));
    assert!(received.field("x-evil").is_none());
}

/// Cookies of backends can be removed; the one of stickiness is added behind the rules.
#[test]
fn the_sticky_cookie_stays() {
    let route = "[[routes]]\nresponse_headers = { remove = [\"set-cookie\"] }\npool = \"shop\"\n";
    let origin = Origin::named("shop");
    let raw =
        b"HTTP/1.1 200 OK\r\nset-cookie: session=1\r\nx-origin: shop\r\ncontent-length: 0\r\n\r\n";
    origin.behave(Behaviour::Raw(raw.to_vec()));
    let pool = pool("shop", "round-robin", &[&origin]) + "sticky = { cookie = \"fc\" }\n";
    let balancer = Balancer::start(&(front("") + route + &pool));
    let response = balancer.client("web").get("/");
    let cookies = response.head.fields.all("set-cookie");
    assert!(
        cookies.len() == 1 && cookies[0].starts_with("fc="),
        "{cookies:?}"
    );
    assert!(
        balancer
            .stderr()
            .contains("sticky cookie of the pool `shop` stays")
    );
}
