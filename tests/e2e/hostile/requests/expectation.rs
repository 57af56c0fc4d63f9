//! `Expect`: leave to send, and what else is expected.

use super::{get, post};
use crate::hostile::request::{Case, passed, refused, run, seen};

#[test]
fn expectations() {
    run(CASES);
}

pub(super) const CASES: &[Case] = &[
    passed(
        "100-continue with a length",
        "RFC 9110 §10.1.1",
        post!("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
        seen("POST /case")
            .body(b"hello")
            .with(&[("expect", Some("100-continue"))]),
    )
    .split(),
    passed(
        "100-continue with chunks",
        "RFC 9110 §10.1.1",
        post!(
            "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\n\r\n"
        ),
        seen("POST /case")
            .body(b"hello")
            .with(&[("expect", Some("100-continue"))]),
    ),
    passed(
        "100-continue in odd case",
        "RFC 9110 §10.1.1",
        post!("eXPECT: 100-Continue\r\nContent-Length: 5\r\n", "hello"),
        seen("POST /case").body(b"hello"),
    ),
    passed(
        "100-continue named by Connection",
        "RFC 9110 §7.6.1",
        post!(
            "Connection: Expect\r\nExpect: 100-continue\r\nContent-Length: 5\r\n",
            "hello"
        ),
        seen("POST /case")
            .body(b"hello")
            .with(&[("expect", Some("100-continue"))]),
    ),
    passed(
        "100-continue without a body",
        "RFC 9110 §10.1.1",
        get!("Expect: 100-continue\r\n"),
        seen("GET /case"),
    ),
    passed(
        "100-continue with a length of nothing",
        "RFC 9110 §10.1.1",
        post!("Expect: 100-continue\r\nContent-Length: 0\r\n", ""),
        seen("POST /case"),
    ),
    passed(
        "100-continue of HTTP/1.0",
        "RFC 9110 §10.1.1",
        b"POST /case HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        seen("POST /case").body(b"hello").with(&[("expect", None)]),
    )
    .closed(),
    passed(
        "an expectation that nobody knows",
        "RFC 9110 §10.1.1",
        get!("Expect: 200-ok\r\n"),
        seen("GET /case").with(&[("expect", Some("200-ok"))]),
    ),
    refused(
        "no leave for length and coding",
        "RFC 9112 §6.1",
        400,
        post!(
            "Expect: 100-continue\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            ""
        ),
    ),
    refused(
        "no leave for two lengths",
        "RFC 9112 §6.3",
        400,
        post!(
            "Expect: 100-continue\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
            ""
        ),
    ),
    refused(
        "no leave for a malformed host",
        "RFC 9112 §3.2",
        400,
        b"POST /case HTTP/1.1\r\nHost: a b\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    ),
];
