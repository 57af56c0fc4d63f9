//! Request targets: their four forms and the bytes in them.

use crate::hostile::request::{Case, passed, refused, run, seen};

#[test]
fn targets() {
    run(CASES);
}

/// A `GET` of this target from the host `a`.
macro_rules! of {
    ($target:literal) => {
        concat!("GET ", $target, " HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()
    };
}

pub(super) const CASES: &[Case] = &[
    passed(
        "absolute-form that agrees with the host",
        "RFC 9112 §3.2.2",
        of!("http://a/case?q"),
        seen("GET /case?q").with(&[("host", Some("a"))]),
    )
    .split(),
    passed(
        "absolute-form wins over the host",
        "RFC 9112 §3.2.2",
        of!("http://b.example:81/case"),
        seen("GET /case").with(&[
            ("host", Some("b.example:81")),
            ("x-forwarded-host", Some("b.example:81")),
        ]),
    ),
    passed(
        "absolute-form wins over an empty host",
        "RFC 9112 §3.2.2",
        b"GET http://b/case HTTP/1.1\r\nHost:\r\n\r\n",
        seen("GET /case").with(&[("host", Some("b"))]),
    ),
    passed(
        "absolute-form in upper case",
        "RFC 9110 §4.2.3",
        of!("HTTP://B/case"),
        seen("GET /case").with(&[("host", Some("B"))]),
    ),
    passed(
        "absolute-form without a path",
        "RFC 9112 §3.2.1",
        of!("http://b"),
        seen("GET /").with(&[("host", Some("b"))]),
    ),
    passed(
        "absolute-form with a query alone",
        "RFC 9112 §3.2.1",
        of!("http://b?x=/y"),
        seen("GET /?x=/y"),
    ),
    passed(
        "absolute-form of HTTP/1.0",
        "RFC 9112 §3.2.2",
        b"GET http://b/case HTTP/1.0\r\n\r\n",
        seen("GET /case").with(&[("host", Some("b"))]),
    )
    .closed(),
    passed(
        "absolute-form with a URL within",
        "RFC 9112 §3.2.2",
        of!("http://b/http://c/"),
        seen("GET /http://c/").with(&[("host", Some("b"))]),
    ),
    refused(
        "absolute-form without a host field",
        "RFC 9112 §3.2",
        400,
        b"GET http://a/case HTTP/1.1\r\n\r\n",
    ),
    refused(
        "absolute-form beside two hosts",
        "RFC 9112 §3.2",
        400,
        b"GET http://a/case HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ),
    refused(
        "absolute-form beside a malformed host",
        "RFC 9112 §3.2",
        400,
        b"GET http://a/case HTTP/1.1\r\nHost: a b\r\n\r\n",
    ),
    refused(
        "absolute-form with a user",
        "RFC 9110 §4.2.4",
        400,
        of!("http://a@b/case"),
    ),
    refused(
        "absolute-form with user and password",
        "RFC 9110 §4.2.4",
        400,
        of!("http://a:80@b/case"),
    ),
    refused(
        "absolute-form without an authority",
        "RFC 9110 §4.2.1",
        400,
        of!("http:///case"),
    ),
    refused(
        "absolute-form with a port alone",
        "RFC 9110 §4.2.1",
        400,
        of!("http://:80/case"),
    ),
    refused(
        "absolute-form with a bad port",
        "RFC 3986 §3.2.3",
        400,
        of!("http://a:x/case"),
    ),
    refused(
        "absolute-form with a backslash",
        "RFC 3986 §3.2.2",
        400,
        of!("http://a\\@b/case"),
    ),
    refused(
        "absolute-form of another scheme",
        "RFC 9112 §3.2.2",
        400,
        of!("ftp://a/case"),
    ),
    refused(
        "absolute-form of a file",
        "RFC 9112 §3.2.2",
        400,
        of!("file:///etc/passwd"),
    ),
    refused(
        "scheme without slashes",
        "RFC 9112 §3.2.2",
        400,
        of!("http:/case"),
    ),
    refused(
        "scheme without an authority",
        "RFC 9112 §3.2.2",
        400,
        of!("javascript:alert(1)"),
    ),
    refused("asterisk-form of GET", "RFC 9112 §3.2.4", 400, of!("*")),
    refused(
        "asterisk with more",
        "RFC 9112 §3.2.4",
        400,
        b"OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused("authority-form of GET", "RFC 9112 §3.2.3", 400, of!("a:80")),
    refused("path without a slash", "RFC 9112 §3.2.1", 400, of!("case")),
    refused("query without a path", "RFC 9112 §3.2.1", 400, of!("?case")),
    refused(
        "dots without a slash",
        "RFC 9112 §3.2.1",
        400,
        of!("../case"),
    ),
    refused("backslash first", "RFC 9112 §3.2.1", 400, of!("\\case")),
    refused("at sign first", "RFC 9112 §3.2.1", 400, of!("@b/case")),
    refused("fragment", "RFC 9112 §3.2", 400, of!("/case#x")),
    refused(
        "fragment in a query",
        "RFC 9112 §3.2",
        400,
        of!("/case?a#x"),
    ),
    refused("space in the target", "RFC 9112 §3.2", 400, of!("/ca se")),
    refused(
        "version in the target",
        "RFC 9112 §3.2",
        400,
        of!("/case HTTP/1.1"),
    ),
    refused("NUL in the target", "RFC 3986 §2", 400, of!("/case\0")),
    refused(
        "control character in the target",
        "RFC 3986 §2",
        400,
        of!("/case\x01"),
    ),
    refused("DEL in the target", "RFC 3986 §2", 400, of!("/case\x7f")),
    refused("LF in the target", "RFC 9112 §2.2", 400, of!("/case\nX: 1")),
    refused(
        "Latin-1 in the target",
        "RFC 3986 §2",
        400,
        b"GET /c\xe4se HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "UTF-8 in the target",
        "RFC 3986 §2",
        400,
        "GET /c\u{e4}se HTTP/1.1\r\nHost: a\r\n\r\n".as_bytes(),
    ),
    passed(
        "two slashes first",
        "RFC 3986 §3.3",
        of!("//evil.example/case"),
        seen("GET //evil.example/case").with(&[("host", Some("a"))]),
    ),
    passed(
        "escaped CRLF stays escaped",
        "RFC 3986 §2.1",
        of!("/case?%0d%0aX-Evil:%201"),
        seen("GET /case?%0d%0aX-Evil:%201").with(&[("x-evil", None)]),
    ),
    passed(
        "escaped space and slash stay escaped",
        "RFC 3986 §2.2",
        of!("/case/%20%2F%2f"),
        seen("GET /case/%20%2F%2f"),
    ),
    passed(
        "marks that browsers send in queries",
        "RFC 3986 §3.4",
        of!("/case?a={\"b\":[1|2]}^`\\<>"),
        seen("GET /case?a={\"b\":[1|2]}^`\\<>"),
    ),
    passed(
        "a question mark too many",
        "RFC 3986 §3.4",
        of!("/case??a?"),
        seen("GET /case??a?"),
    ),
    passed(
        "an authority in a query",
        "RFC 3986 §3.4",
        of!("/case?http://b@c:1/"),
        seen("GET /case?http://b@c:1/").with(&[("host", Some("a"))]),
    ),
];
