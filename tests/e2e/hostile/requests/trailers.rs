//! Trailer sections: what may stand there, and what must never become a field of the head.

use super::kept;
use crate::hostile::request::{Case, Seen, Step, breaks, passed, run, seen};

#[test]
fn trailers() {
    run(CASES);
}

#[test]
fn trailers_that_are_many_or_long() {
    run(&computed());
}

/// A chunked `POST` to `/case` with these trailers.
macro_rules! with {
    ($trailers:literal) => {
        concat!("POST /case HTTP/1.1\r\nHost: shop.example\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", $trailers, "\r\n").as_bytes()
    };
}

const HI: Seen = seen("POST /case").body(b"hi");
/// One of them is sound and must arrive alone.
const ALONE: Seen = HI.trailers(&[("x-sum", "6")]);

pub(super) const CASES: &[Case] = &[
    passed("trailer", "RFC 9112 §7.1.2", with!("x-sum: 6\r\n"), ALONE).split(),
    passed("trailer that is declared in mixed case", "RFC 9110 §6.6.2", b"POST /case HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-sUM\r\n\r\n0\r\nX-Sum: 6\r\n\r\n", seen("POST /case").trailers(&[("X-Sum", "6")]).with(&[("trailer", Some("X-sUM"))])),
    passed("trailer without a value", "RFC 9112 §7.1.2", with!("x-sum:\r\n"), HI.trailers(&[("x-sum", "")])),
    passed("length among the trailers", "RFC 9110 §6.5.1", with!("Content-Length: 5\r\nx-sum: 6\r\n"), ALONE.with(&[("content-length", None)])),
    passed("coding among the trailers", "RFC 9110 §6.5.1", with!("Transfer-Encoding: chunked\r\nx-sum: 6\r\n"), ALONE.with(&[("transfer-encoding", Some("chunked"))])),
    passed("host among the trailers", "RFC 9110 §6.5.1", with!("Host: evil.example\r\nx-sum: 6\r\n"), ALONE.with(&[("host", Some("shop.example"))])),
    passed("authorization among the trailers", "RFC 9110 §6.5.1", with!("Authorization: Basic eA==\r\nx-sum: 6\r\n"), ALONE.with(&[("authorization", None)])),
    passed("cookie among the trailers", "RFC 9110 §6.5.1", with!("Cookie: a=b\r\nx-sum: 6\r\n"), ALONE.with(&[("cookie", None)])),
    passed("X-Forwarded-For among the trailers", "RFC 9110 §6.5.1", with!("X-Forwarded-For: 192.0.2.1\r\nX_Forwarded_For: 192.0.2.1\r\nx-sum: 6\r\n"), ALONE),
    passed("Forwarded among the trailers", "RFC 7239 §4", with!("Forwarded: for=192.0.2.1\r\nx-sum: 6\r\n"), ALONE.with(&[("forwarded", None)])),
    passed("connection among the trailers", "RFC 9110 §6.5.1", with!("Connection: close\r\nx-sum: 6\r\n"), ALONE),
    passed("expectation among the trailers", "RFC 9110 §6.5.1", with!("Expect: 100-continue\r\nx-sum: 6\r\n"), ALONE.with(&[("expect", None)])),
    passed("content's type among the trailers", "RFC 9110 §6.5.1", with!("Content-Type: text/html\r\nContent-Encoding: gzip\r\nx-sum: 6\r\n"), ALONE),
    passed("a request behind the trailers", "RFC 9112 §9.3.2", b"POST /case HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx-sum: 6\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n", seen("POST /case").trailers(&[("x-sum", "6")]))
        .then(Step::Passes(seen("GET /next"))).split(),
    breaks("trailer without a colon", "RFC 9112 §7.1.2", with!("x-sum\r\n")),
    breaks("trailer without a name", "RFC 9112 §7.1.2", with!(": 6\r\n")),
    breaks("trailer with a space before the colon", "RFC 9112 §5.1", with!("x-sum : 6\r\n")),
    breaks("trailer that is folded", "RFC 9112 §5.2", with!("x-sum: 6\r\n 7\r\n")),
    breaks("trailer behind white space", "RFC 9112 §2.2", with!(" x-sum: 6\r\n")),
    breaks("trailer ended by LF alone", "RFC 9112 §2.2", with!("x-sum: 6\n")),
    breaks("trailer ended by CR alone", "RFC 9112 §2.2", with!("x-sum: 6\rx-too: 7\r\n")),
    breaks("trailer with NUL", "RFC 9110 §5.5", with!("x-sum: \0\r\n")),
    breaks("trailer with a control character", "RFC 9110 §5.5", with!("x-sum: \x01\r\n")),
    breaks("length in disguise among the trailers", "RFC 9112 §6.3", with!("Content_Length: 5\r\n")),
    breaks("a request in place of trailers", "RFC 9112 §7.1.2", b"POST /case HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
    breaks("trailers without an end", "RFC 9112 §8", b"POST /case HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx-sum: 6\r\n").finishing(),
];

pub(super) fn computed() -> Vec<Case> {
    let sent = |trailers: String| {
        kept(format!(
            "POST /case HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{trailers}\r\n"
        ))
    };
    let many = |count: usize| sent("a: b\r\n".repeat(count));
    let long = |length: usize| sent(format!("x: {}\r\n", "a".repeat(length)));
    let all: &'static [(&str, &str)] = vec![("a", "b"); 32].leak();
    let value: &'static str = "a".repeat(8000).leak();
    let one: &'static [(&str, &str)] = vec![("x", value)].leak();
    vec![
        passed(
            "as many trailers as are taken",
            "RFC 9110 §6.5",
            many(32),
            HI.trailers(all),
        ),
        breaks("one trailer too many", "RFC 9110 §6.5", many(33)),
        breaks("very many trailers", "RFC 9110 §6.5", many(1000)),
        passed(
            "trailer of nearly 8 KiB",
            "RFC 9110 §6.5",
            long(8000),
            HI.trailers(one),
        ),
        breaks("trailer of more than 8 KiB", "RFC 9110 §6.5", long(8200)),
    ]
}
