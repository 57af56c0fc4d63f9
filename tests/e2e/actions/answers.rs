//! Routes that answer by themselves: redirects and fixed responses.

use std::fs;

use serde_json::Value;

use super::*;
use crate::harness::{DEADLINE, wait_for, wait_until};

/// Each status as configured, 307 if nothing is said; the location is filled in; the body is small and says the same.
#[test]
fn redirects_lead_where_they_say() {
    let routes: String = [301, 302, 303, 307, 308]
        .map(|status| {
            format!(
                "[[routes]]\npath_prefix = \"/{status}\"\n\
                 redirect = {{ to = \"https://{{host}}:8443/new{{rest}}{{query}}\", status = {status} }}\n"
            )
        })
        .concat();
    let more = r#"
        [[routes]]
        path_regex = "^/product_(?<number>[0-9]+)[.]php$"
        redirect = { to = "/products/{number}?was={1}{query}" }
    "#;
    let site = Site::with("", &(routes + more));
    let mut client = site.client();
    for status in [301, 302, 303, 307, 308] {
        let target = format!("/{status}/a%2Fb//c;d?x=1&y=%20");
        let response = client.send(&Request::get(&target).host("Shop.Example:80"));
        let location = "https://shop.example:8443/new/a%2Fb/c;d?x=1&y=%20";
        assert_eq!(
            (response.status, response.field("location")),
            (status, Some(location))
        );
        assert!(response.text().contains(location), "{response}");
        assert!(response.cause().is_none() && client.is_connected());
    }
    let response = client.get("/product_17.php?a=b");
    assert_eq!(response.status, 307);
    assert_eq!(response.field("location"), Some("/products/17?was=17&a=b"));
    assert_eq!(site.origin.requests(), 0);
}

/// Whatever a link says, the host is the template's; and nothing that it says ends the field.
#[test]
fn no_link_chooses_the_host_of_a_redirect() {
    let routes = r#"
        [[routes]]
        path_prefix = "/to"
        redirect = { to = "https://shop.example{rest}" }
        [[routes]]
        path_regex = "(?s)^/there(.*)$"
        redirect = { to = "/here{1}" }
        [[routes]]
        redirect = { to = "https://{host}{uri}", status = 308 }
    "#;
    let site = Site::with("", routes);
    for (target, location) in [
        ("//evil.example/", "https://shop.example//evil.example/"),
        ("/\\evil.example/", "https://shop.example/%5Cevil.example/"),
        (
            "http://shop.example//evil.example",
            "https://shop.example//evil.example",
        ),
        ("/to@evil.example", "https://shop.example/to@evil.example"),
        ("/to/@evil.example", "https://shop.example/@evil.example"),
        (
            "/to/..//evil.example",
            "https://shop.example/to/..//evil.example",
        ),
        (
            "/there/%0d%0aset-cookie:%20a=b",
            "/here/%0D%0Aset-cookie%3A%20a%3Db",
        ),
        ("/there%09//evil", "/here%09/evil"),
        ("/there%3F%23%26", "/here%3F%23%26"),
    ] {
        let response = site
            .client()
            .send(&Request::get(target).host("shop.example"));
        assert_eq!(
            response.field("location"),
            Some(location),
            "{target}: {response}"
        );
        assert!(response.field("set-cookie").is_none());
    }
}

/// Without a host there is nowhere to go: the request is refused, not sent to whom its path names.
#[test]
fn a_request_without_a_host_is_not_redirected() {
    let site = Site::with(
        "",
        "[[routes]]\nredirect = { to = \"https://{host}{uri}\" }\n",
    );
    let mut client = site.client();
    client
        .send_raw(b"GET //evil.example/ HTTP/1.0\r\n\r\n")
        .unwrap();
    let response = client.read_response("GET").unwrap();
    assert_eq!(
        (response.status, response.cause()),
        (400, Some("bad-request"))
    );
    assert!(response.field("location").is_none());
}

/// HEAD has no body, a small upload is dropped and the connection lives, a client that waits for leave is told at once
/// and closed.
#[test]
fn own_answers_keep_connections_in_order() {
    let routes = r#"
        [[routes]]
        path = "/away"
        redirect = { to = "/there" }
        [[routes]]
        path = "/closed"
        respond = { status = 503, body = "Back soon" }
    "#;
    let site = Site::with("", routes);
    let mut client = site.client();
    for path in ["/away", "/closed"] {
        let whole = client.get(path);
        let length = whole.body.len().to_string();
        let head = client.send(&Request::new("HEAD", path));
        assert_eq!(head.status, whole.status);
        assert!(head.body.is_empty());
        assert_eq!(head.field("content-length"), Some(&*length));
        let posted = client.send(&Request::post(path, b"a body that nobody reads"));
        assert_eq!(posted.status, whole.status);
        let chunked = client.send(&Request::new("PUT", path).chunks(&[b"one", b"two"]));
        assert_eq!((chunked.status, chunked.is_whole()), (whole.status, true));
        client.close();
        let waiting = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"
        );
        client.send_raw(waiting.as_bytes()).unwrap();
        let told = client.read_response("POST").unwrap();
        assert_eq!(
            (told.status, told.field("connection")),
            (whole.status, Some("close"))
        );
        client.close();
    }
}

/// Body, type and status as configured; files are read when the configuration is loaded, and again when it is reloaded.
#[test]
fn fixed_responses_are_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    fs::write(&file, "<h1>one {host}</h1>").unwrap();
    let routes = format!(
        "[[routes]]\npath = \"/robots.txt\"\nrespond = {{ body = \"User-agent: *\\n\" }}\n\
         [[routes]]\npath = \"/json\"\nrespond = {{ status = 404, body = \"{{}}\", content_type = \"application/json\" }}\n\
         [[routes]]\npath = \"/empty\"\nrespond = {{ status = 204 }}\n\
         [[routes]]\npath = \"/forbidden\"\nrespond = {{ status = 403 }}\n\
         [[routes]]\npath = \"/page\"\nrespond = {{ status = 503, file = {file:?} }}\n{TO_SHOP}"
    );
    let site = Site::with("", &routes);
    let mut client = site.client();
    for (path, status, kind, body) in [
        (
            "/robots.txt",
            200,
            Some("text/plain; charset=utf-8"),
            "User-agent: *\n",
        ),
        ("/json", 404, Some("application/json"), "{}"),
        ("/empty", 204, None, ""),
        ("/forbidden", 403, None, ""),
        (
            "/page",
            503,
            Some("text/html; charset=utf-8"),
            "<h1>one {host}</h1>",
        ),
    ] {
        let response = client.get(path);
        assert_eq!(
            (response.status, response.field("content-type")),
            (status, kind),
            "{path}"
        );
        assert_eq!(response.text(), body);
        assert_eq!(response.field("content-length").is_none(), status == 204);
        assert!(response.cause().is_none());
    }
    assert!(client.is_connected());
    fs::write(&file, "<h1>two</h1>").unwrap();
    assert_eq!(client.get("/page").text(), "<h1>one {host}</h1>");
    let configuration = fs::read_to_string(site.balancer.config_file()).unwrap();
    site.balancer.reload(&configuration);
    wait_until(DEADLINE, "the new page", || {
        client.get("/page").text() == "<h1>two</h1>"
    });
    wait_until(DEADLINE, "a word of it in the log", || {
        let log = site.balancer.stderr();
        log.contains("content of respond 503 changed")
    });
}

/// Answers of routes are requests like others in metrics and log: with a route, without a pool.
#[test]
fn own_answers_are_counted_and_logged() {
    let routes = "[[routes]]\nname = \"away\"\nhosts = [\"old.example\"]\nredirect = { to = \"https://shop.example{uri}\", status = 301 }\n";
    let site = Site::with("", routes);
    site.client()
        .send(&Request::get("/a?b").host("old.example"));
    let line = wait_for(DEADLINE, "a line of the log", || {
        let log = site.balancer.stdout();
        log.strip_suffix('\n')
            .and_then(|line| serde_json::from_str::<Value>(line).ok())
    });
    for (field, value) in [
        ("forecourt.route", "away"),
        ("url.path", "/a"),
        ("client.ip", "127.0.0.1"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert_eq!(line["http.response.status_code"], 301);
    assert!(
        line["http.request.id"]
            .as_str()
            .is_some_and(|id| id.len() == 32),
        "{line}"
    );
    for field in [
        "forecourt.pool",
        "forecourt.backend",
        "forecourt.strategy",
        "forecourt.error",
    ] {
        assert!(line.get(field).is_none(), "{line}");
    }
    let name = "forecourt_requests_total{listener=\"web\",route=\"away\",code=\"3xx\"}";
    assert_eq!(site.balancer.metric(name), 1.0);
}
