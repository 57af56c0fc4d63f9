//! The operator's pages for errors that forecourt makes itself.

use std::fs;
use std::path::Path;

use super::*;
use crate::harness::{Behaviour, DEADLINE, wait_until};

/// A folder of pages.
fn pages() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for (name, text) in [
        (
            "route.html",
            "<p title=\"{path}\">route {status} {reason} {code} {request_id} {host}{query}</p><style>p{color:red}</style>",
        ),
        ("listener.html", "listener {status} [{path}] [{route}]"),
        (
            "many.json",
            "{\"status\": {status}, \"path\": \"{path}\", \"id\": \"{request_id}\"}",
        ),
        ("plain.txt", "plain {code} {listener} {client}\n"),
    ] {
        fs::write(folder.path().join(name), text).expect("a new folder can be written to");
    }
    folder
}

fn table(pages: &Path, entries: &[(&str, &str)]) -> String {
    let entry = |(status, name): &(&str, &str)| format!("\"{status}\" = {:?}", pages.join(name));
    let entries: Vec<_> = entries.iter().map(entry).collect();
    format!("error_pages = {{ {} }}\n", entries.join(", "))
}

/// The route's before the listener's, the narrowest first, and only in a type that the client accepts.
#[test]
fn the_page_that_fits_best_is_shown() {
    let folder = pages();
    let of_listener = table(
        folder.path(),
        &[
            ("4xx", "listener.html"),
            ("5xx", "many.json"),
            ("502-504", "listener.html"),
        ],
    );
    let of_route = table(folder.path(), &[("502", "route.html")]);
    let routes =
        format!("[[routes]]\npath_prefix = \"/down\"\n{of_route}pool = \"down\"\n{TO_SHOP}");
    let down = "[pools.down]\nbackends = [{ address = \"127.0.0.1:1\" }]\n";
    let site = Site::with(&of_listener, &(routes + down));
    let mut client = site.client();
    for (accept, kind, start) in [
        (
            None,
            "text/html; charset=utf-8",
            "<p title=\"/down\">route 502 Bad Gateway connect-refused ",
        ),
        (Some("*/*"), "text/html; charset=utf-8", "<p title"),
        (Some("text/html"), "text/html; charset=utf-8", "<p title"),
        (
            Some("application/json"),
            "application/json",
            "{\"status\": 502, \"path\": \"/down\", \"id\": \"",
        ),
        (
            Some("text/plain"),
            "text/plain; charset=utf-8",
            "502 Bad Gateway: connect-refused",
        ),
        (
            Some("text/html;q=0, application/json"),
            "application/json",
            "{",
        ),
    ] {
        let request = Request::get("/down");
        let response = client.send(&match accept {
            Some(accept) => request.field("accept", accept),
            None => request,
        });
        assert_eq!(
            (response.status, response.cause()),
            (502, Some("connect-refused"))
        );
        assert_eq!(
            response.head.fields.all("content-type"),
            [kind],
            "{accept:?}"
        );
        assert!(response.text().starts_with(start), "{accept:?}: {response}");
        assert_eq!(response.field("cache-control"), Some("no-store"));
        let id = response.field("x-request-id").unwrap();
        assert!(response.text().contains(id));
        assert!(!kind.contains("html") || response.text().contains("p{color:red}"));
        assert!(client.is_connected());
    }
    let head = client.send(&Request::new("HEAD", "/down"));
    assert!(
        head.body.is_empty()
            && head
                .field("content-length")
                .is_some_and(|length| length != "0")
    );
    // What backends answer passes as it is.
    site.origin.behave(Behaviour::Status(503));
    let response = client.get("/");
    assert_eq!((response.status, response.text()), (503, "shop".to_owned()));
}

/// What a request brings is text in a page, never a tag or a value's end.
#[test]
fn requests_write_no_tags() {
    let folder = pages();
    let listener = table(
        folder.path(),
        &[("404", "listener.html"), ("4xx", "many.json")],
    );
    let site = Site::with(&listener, "[[routes]]\npath = \"/\"\npool = \"shop\"\n");
    let target = "/<script>alert('1')</script>\"&{status}";
    let html = site.client().get(target).text();
    assert_eq!(
        html,
        "listener 404 [/&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;{status}] []"
    );
    let request = Request::get("/\"\\").field("accept", "application/json");
    let json: serde_json::Value =
        serde_json::from_str(&site.client().send(&request).text()).unwrap();
    assert_eq!(json["path"], "/\"\\");
}

/// The listener's pages serve where no route is known, and where the head could not be read.
#[test]
fn requests_without_a_route_see_the_listeners_pages() {
    let folder = pages();
    let listener = table(folder.path(), &[("4xx", "plain.txt")]);
    let listener =
        listener + "timeouts = { header = \"1s\" }\nlimits = { header_bytes = \"1KiB\" }\n";
    let site = Site::with(&listener, "[[routes]]\npath = \"/\"\npool = \"shop\"\n");
    let long = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "x".repeat(4000)
    );
    for (sent, status, code) in [
        ("GET /a HTTP/1.1\r\nhost: a\r\n\r\n", 404, "no-route"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "bad-request"),
        ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400, "bad-request"),
        ("nonsense\r\n\r\n", 400, "bad-request"),
        (&*long, 431, "head-too-large"),
        ("GET / HTTP/1.1\r\nhost: a\r\n", 408, "header-timeout"),
    ] {
        let mut client = site.client();
        client.send_raw(sent.as_bytes()).unwrap();
        let response = client.read_response("GET").unwrap();
        assert_eq!(
            (response.status, response.cause()),
            (status, Some(code)),
            "{response}"
        );
        assert_eq!(response.text(), format!("plain {code} web 127.0.0.1\n"));
    }
}

/// A reload reads pages again, and says so.
#[test]
fn pages_are_read_again_by_a_reload() {
    let folder = pages();
    let listener = table(folder.path(), &[("404", "plain.txt")]);
    let site = Site::with(&listener, "[[routes]]\npath = \"/\"\npool = \"shop\"\n");
    let configuration = fs::read_to_string(site.balancer.config_file()).unwrap();
    fs::write(folder.path().join("plain.txt"), "changed").unwrap();
    assert!(site.client().get("/a").text().starts_with("plain"));
    site.balancer.reload(&configuration);
    wait_until(DEADLINE, "the new page", || {
        site.client().get("/a").text() == "changed"
    });
    // A page that is wrong changes nothing.
    fs::write(folder.path().join("plain.txt"), "{nonsense}").unwrap();
    site.balancer.reload(&configuration);
    wait_until(DEADLINE, "the refusal", || {
        site.balancer
            .stderr()
            .contains("there is no value `{nonsense}`")
    });
    assert_eq!(site.client().get("/a").text(), "changed");
}
