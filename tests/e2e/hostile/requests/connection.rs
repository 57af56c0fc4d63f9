//! What belongs to one connection, and what `Connection` may not name away.

use super::{get, kept, post};
use crate::hostile::request::{Case, passed, run, seen};

#[test]
fn connections() {
    run(CASES);
}

#[test]
fn connections_with_very_many_options() {
    run(&computed());
}

pub(super) const CASES: &[Case] = &[
    passed(
        "a field named by Connection",
        "RFC 9110 §7.6.1",
        get!("Connection: X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\n"),
        seen("GET /case").with(&[("x-hop", None), ("x-end", Some("2"))]),
    ),
    passed(
        "a field named in another case",
        "RFC 9110 §7.6.1",
        get!("connection: x-HOP\r\nX-Hop: 1\r\n"),
        seen("GET /case").with(&[("x-hop", None)]),
    ),
    passed(
        "a field named by the second Connection",
        "RFC 9110 §7.6.1",
        get!("Connection: keep-alive\r\nX-Hop: 1\r\nConnection: a, X-Hop\r\n"),
        seen("GET /case").with(&[("x-hop", None)]),
    ),
    passed(
        "Connection names the length",
        "RFC 9110 §7.6.1",
        post!(
            "Connection: Content-Length\r\nContent-Length: 5\r\n",
            "hello"
        ),
        seen("POST /case")
            .body(b"hello")
            .with(&[("content-length", Some("5"))]),
    ),
    passed(
        "Connection names the coding",
        "RFC 9110 §7.6.1",
        post!(
            "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\n\r\n"
        ),
        seen("POST /case")
            .body(b"hello")
            .with(&[("transfer-encoding", Some("chunked"))]),
    ),
    passed(
        "Connection names the host",
        "RFC 9110 §7.6.1",
        get!("Connection: Host\r\n"),
        seen("GET /case").with(&[("host", Some("shop.example"))]),
    ),
    passed(
        "Connection names who the client is",
        "RFC 9110 §7.6.1",
        get!(
            "Connection: X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Real-IP, Forwarded\r\n"
        ),
        seen("GET /case").with(&[("x-forwarded-host", Some("shop.example"))]),
    ),
    passed(
        "Connection names authorization and cookie",
        "RFC 9110 §7.6.1",
        get!("Connection: Authorization, Cookie\r\nAuthorization: Basic eA==\r\nCookie: a=b\r\n"),
        seen("GET /case").with(&[
            ("authorization", Some("Basic eA==")),
            ("cookie", Some("a=b")),
        ]),
    ),
    passed(
        "Connection names the content's type",
        "RFC 9110 §7.6.1",
        post!(
            "Connection: Content-Type\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n",
            "hello"
        ),
        seen("POST /case")
            .body(b"hello")
            .with(&[("content-type", Some("text/plain"))]),
    ),
    passed(
        "Connection names the cache's rules",
        "RFC 9110 §7.6.1",
        get!("Connection: Cache-Control\r\nCache-Control: no-store\r\n"),
        seen("GET /case").with(&[("cache-control", Some("no-store"))]),
    ),
    passed(
        "Connection names the request's id",
        "RFC 9110 §7.6.1",
        get!("Connection: X-Request-Id\r\n"),
        seen("GET /case"),
    ),
    passed(
        "fields of a connection",
        "RFC 9110 §7.6.1",
        get!(
            "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n"
        ),
        seen("GET /case").with(&[
            ("keep-alive", None),
            ("proxy-connection", None),
            ("proxy-authorization", None),
        ]),
    ),
    passed(
        "empty options",
        "RFC 9110 §5.6.1.2",
        get!("Connection: ,, ,keep-alive,\r\n"),
        seen("GET /case"),
    ),
    passed(
        "Connection without a word",
        "RFC 9110 §7.6.1",
        get!("Connection:\r\n"),
        seen("GET /case"),
    ),
    passed(
        "Connection with a malformed option",
        "RFC 9110 §7.6.1",
        get!("Connection: a b, \"close\"\r\n"),
        seen("GET /case"),
    ),
    passed(
        "close",
        "RFC 9112 §9.6",
        get!("Connection: close\r\n"),
        seen("GET /case"),
    )
    .closed(),
    passed(
        "close in odd case",
        "RFC 9112 §9.6",
        get!("connection: ClOsE\r\n"),
        seen("GET /case"),
    )
    .closed(),
    passed(
        "close beside keep-alive",
        "RFC 9112 §9.3",
        get!("Connection: keep-alive, close\r\n"),
        seen("GET /case"),
    )
    .closed(),
    passed(
        "close in the second Connection",
        "RFC 9112 §9.3",
        get!("Connection: keep-alive\r\nConnection: close\r\n"),
        seen("GET /case"),
    )
    .closed(),
    passed(
        "keep-alive of HTTP/1.0",
        "RFC 9112 §9.3",
        b"GET /case HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        seen("GET /case"),
    ),
    passed(
        "keep-alive and close of HTTP/1.0",
        "RFC 9112 §9.3",
        b"GET /case HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n",
        seen("GET /case"),
    )
    .closed(),
    passed(
        "codings that the client takes",
        "RFC 9110 §10.1.4",
        get!("Connection: TE\r\nTE: gzip;q=0.5\r\n"),
        seen("GET /case"),
    )
    .split(),
    passed(
        "an upgrade to h2c",
        "RFC 9110 §7.8",
        get!(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
        ),
        seen("GET /case").with(&[("upgrade", None), ("http2-settings", None)]),
    ),
    passed(
        "an upgrade to h2c with a body",
        "RFC 9110 §7.8",
        post!(
            "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n",
            "hello"
        ),
        seen("POST /case").body(b"hello").with(&[("upgrade", None)]),
    ),
    passed(
        "an upgrade to what nobody knows",
        "RFC 9110 §7.8",
        get!("Connection: upgrade\r\nUpgrade: foo/2, \"bar\"\r\n"),
        seen("GET /case").with(&[("upgrade", None)]),
    ),
    passed(
        "an upgrade that Connection does not name",
        "RFC 9110 §7.8",
        get!("Upgrade: h2c\r\n"),
        seen("GET /case").with(&[("upgrade", None)]),
    ),
    passed(
        "an upgrade of HTTP/1.0",
        "RFC 9110 §7.8",
        b"GET /case HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        seen("GET /case").with(&[("upgrade", None)]),
    )
    .closed(),
];

pub(super) fn computed() -> Vec<Case> {
    let naming = |count: usize| {
        let names: Vec<_> = (0..count).map(|number| format!("a{number}")).collect();
        kept(format!(
            "GET /case HTTP/1.1\r\nHost: shop.example\r\nConnection: {}\r\nA1: 1\r\nCookie: a=b\r\n\r\n",
            names.join(", ")
        ))
    };
    let left = seen("GET /case").with(&[
        ("a1", None),
        ("cookie", Some("a=b")),
        ("host", Some("shop.example")),
    ]);
    vec![
        passed("some options", "RFC 9110 §7.6.1", naming(60), left),
        passed("very many options", "RFC 9110 §7.6.1", naming(3000), left),
    ]
}
