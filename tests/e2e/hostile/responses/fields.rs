//! Field lines of responses, and how many there may be.

use crate::hostile::response::{Reply, passed, refused, run, wanted};

#[test]
fn response_fields() {
    run(CASES);
}

#[test]
fn response_heads_that_are_long() {
    run(&computed());
}

/// A response with these field lines and no content.
macro_rules! with {
    ($fields:literal) => {
        concat!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", $fields, "\r\n").as_bytes()
    };
}

pub(super) const CASES: &[Reply] = &[
    refused(
        "answer folded by a space",
        "RFC 9112 §5.2",
        with!("X: a\r\n b\r\n"),
    )
    .split(),
    refused(
        "answer folded by a tab",
        "RFC 9112 §5.2",
        with!("X: a\r\n\tb\r\n"),
    ),
    refused(
        "answer folded before its first field",
        "RFC 9112 §5.2",
        b"HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 0\r\n\r\n",
    ),
    refused(
        "answer with a space before a colon",
        "RFC 9112 §5.1",
        with!("X : 1\r\n"),
    ),
    refused(
        "answer with a space before the length's colon",
        "RFC 9112 §5.1",
        b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    ),
    refused(
        "answer with a field of no name",
        "RFC 9112 §5",
        with!(": 1\r\n"),
    ),
    refused(
        "answer with a field of no colon",
        "RFC 9112 §5",
        with!("X\r\n"),
    ),
    refused(
        "answer with a name of two words",
        "RFC 9110 §5.1",
        with!("X Y: 1\r\n"),
    ),
    refused(
        "answer with a name beyond ASCII",
        "RFC 9110 §5.1",
        b"HTTP/1.1 200 OK\r\nX\xe4: 1\r\nContent-Length: 0\r\n\r\n",
    ),
    refused(
        "answer with a NUL in a name",
        "RFC 9110 §5.1",
        with!("X\0: 1\r\n"),
    ),
    refused("answer with a NUL", "RFC 9110 §5.5", with!("X: a\0b\r\n")),
    refused(
        "answer with a control character",
        "RFC 9110 §5.5",
        with!("X: a\x01b\r\n"),
    ),
    refused("answer with DEL", "RFC 9110 §5.5", with!("X: a\x7fb\r\n")),
    refused(
        "answer with CR in a value",
        "RFC 9112 §2.2",
        with!("X: a\rb\r\n"),
    ),
    refused(
        "answer that splits itself by CR",
        "RFC 9110 §5.5",
        with!("X: a\r\rSet-Cookie: a=b\r\n"),
    ),
    refused(
        "answer with a field ended by LF alone",
        "RFC 9112 §2.2",
        with!("X: 1\nY: 2\r\n"),
    ),
    refused(
        "answer with a head ended by LF alone",
        "RFC 9112 §2.2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
    ),
    refused(
        "answer with a length in disguise",
        "RFC 9112 §6.3",
        with!("Content_Length: 5\r\n"),
    ),
    refused(
        "answer with a coding in disguise",
        "RFC 9112 §6.3",
        with!("transfer_encoding: chunked\r\n"),
    ),
    passed(
        "answer with a field named by Connection",
        "RFC 9110 §7.6.1",
        with!("Connection: X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\n"),
        wanted(200, b"").with(&[("x-hop", None), ("connection", None), ("x-end", Some("2"))]),
    ),
    passed(
        "answer whose Connection names its length",
        "RFC 9110 §7.6.1",
        b"HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nhi",
        wanted(200, b"hi").with(&[("content-length", Some("2"))]),
    ),
    passed(
        "answer whose Connection names its cookie",
        "RFC 9110 §7.6.1",
        with!("Connection: Set-Cookie\r\nSet-Cookie: a=b\r\n"),
        wanted(200, b"").with(&[("set-cookie", Some("a=b"))]),
    ),
    passed(
        "answer with the fields of a connection",
        "RFC 9110 §7.6.1",
        with!(
            "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n"
        ),
        wanted(200, b"").with(&[
            ("keep-alive", None),
            ("proxy-connection", None),
            ("proxy-authenticate", None),
            ("upgrade", None),
        ]),
    ),
    passed(
        "answer with close",
        "RFC 9112 §9.6",
        with!("Connection: close\r\n"),
        wanted(200, b"").with(&[("connection", None)]),
    )
    .spent(),
    passed(
        "answer with values beyond ASCII",
        "RFC 9110 §5.5",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: \xe4\t\xff\r\n\r\n",
        wanted(200, b"").with(&[("x", Some("\u{e4}\t\u{ff}"))]),
    ),
    passed(
        "answer whose names keep their case",
        "RFC 9110 §5.1",
        with!("X-oDD: 1\r\nWWW-Authenticate: Basic\r\n"),
        wanted(200, b"").with(&[("X-oDD", Some("1")), ("WWW-Authenticate", Some("Basic"))]),
    ),
    passed(
        "answer with an odd cookie",
        "RFC 6265 §4.1.1",
        with!("Set-Cookie: a=b; =;;; \"\r\n"),
        wanted(200, b"").with(&[("set-cookie", Some("a=b; =;;; \""))]),
    ),
];

/// What a backend's head may have.
const HEAD: usize = 64 * 1024;
const FIELDS: usize = 200;

fn kept(text: String) -> &'static [u8] {
    text.leak().as_bytes()
}

/// A head of exactly this length.
fn long(length: usize) -> &'static [u8] {
    let (start, end) = ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ", "\r\n\r\n");
    kept(format!(
        "{start}{}{end}",
        "x".repeat(length - start.len() - end.len())
    ))
}

/// A head of so many fields, `Content-Length` among them.
fn many(count: usize) -> &'static [u8] {
    kept(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{}\r\n",
        "x: y\r\n".repeat(count - 1)
    ))
}

fn endless(start: &str, filling: &str) -> &'static [u8] {
    kept(format!(
        "{start}{}",
        filling.repeat(2 * HEAD / filling.len())
    ))
}

pub(super) fn computed() -> Vec<Reply> {
    let (rule, sound) = ("RFC 9112 §5", wanted(200, b""));
    let (status, field) = ("HTTP/1.1 200 ", "HTTP/1.1 200 OK\r\n");
    vec![
        passed("answer with a head at the limit", rule, long(HEAD), sound),
        refused("answer with a head over the limit", rule, long(HEAD + 1)),
        passed(
            "answer with as many fields as are taken",
            rule,
            many(FIELDS),
            sound,
        ),
        refused("answer with one field too many", rule, many(FIELDS + 1)),
        refused("answer with very many fields", rule, many(20 * FIELDS)),
        refused(
            "answer with a reason without an end",
            "RFC 9112 §4",
            endless(status, "a"),
        ),
        refused(
            "answer with a name without an end",
            rule,
            endless(field, "a"),
        ),
        refused(
            "answer with fields without an end",
            rule,
            endless(field, "a: b\r\n"),
        ),
    ]
}
