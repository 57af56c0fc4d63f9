//! What clients send, one table a topic.

mod chunks;
mod connection;
mod content_length;
mod expectation;
mod fields;
mod forwarded;
mod host;
mod limits;
mod methods;
mod pipelining;
mod start_line;
mod target;
mod trailers;
mod transfer_encoding;

use super::request::{Case, failures, refused};

/// A `GET` of `/case` with these field lines.
macro_rules! get {
    ($fields:literal) => {
        concat!(
            "GET /case HTTP/1.1\r\nHost: shop.example\r\n",
            $fields,
            "\r\n"
        )
        .as_bytes()
    };
}

/// A `POST` to `/case` with these field lines, and what follows the head.
macro_rules! post {
    ($fields:literal, $body:literal) => {
        concat!(
            "POST /case HTTP/1.1\r\nHost: shop.example\r\n",
            $fields,
            "\r\n",
            $body
        )
        .as_bytes()
    };
}

/// A `POST` to `/case` with a chunked body.
macro_rules! chunked {
    ($body:literal) => {
        concat!(
            "POST /case HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n",
            $body
        )
        .as_bytes()
    };
}

use {chunked, get, post};

/// Every case of a client.
pub(super) fn all() -> Vec<Case> {
    let computed = [
        chunks::computed(),
        connection::computed(),
        limits::computed(),
        trailers::computed(),
    ];
    let tables = [
        chunks::CASES,
        connection::CASES,
        content_length::CASES,
        expectation::CASES,
        fields::CASES,
        forwarded::CASES,
        host::CASES,
        methods::CASES,
        pipelining::CASES,
        start_line::CASES,
        target::CASES,
        trailers::CASES,
        transfer_encoding::CASES,
    ];
    [tables.concat(), computed.concat()].concat()
}

/// Bytes that a test makes and keeps for ever, as tables want them.
fn kept(bytes: impl Into<Vec<u8>>) -> &'static [u8] {
    bytes.into().leak()
}

/// What judges has to find what is wrong.
#[test]
fn a_wrong_verdict_is_found() {
    use super::request::{breaks, passed, seen};
    let rule = "RFC 9112 §6";
    let sound = get!("X: 1\r\n");
    let wrong = [
        refused("refused", rule, 400, sound),
        breaks("broken", rule, sound),
        passed("closed", rule, sound, seen("GET /case")).closed(),
        passed("target", rule, sound, seen("GET /other")),
        passed(
            "field",
            rule,
            sound,
            seen("GET /case").with(&[("x", Some("2"))]),
        ),
        passed("gone", rule, sound, seen("GET /case").with(&[("x", None)])),
        passed("body", rule, sound, seen("GET /case").body(b"a")),
        passed(
            "trailer",
            rule,
            sound,
            seen("GET /case").trailers(&[("a", "b")]),
        ),
        passed(
            "status",
            rule,
            b"GET /case HTTP/1.1\r\n\r\n",
            seen("GET /case"),
        ),
    ];
    let house = super::house::House::new();
    for case in wrong {
        assert_eq!(failures(&house, &[case]).len(), 4, "{}", case.name);
    }
    // What one table's cases left behind would show in the next one's.
    let right = passed(
        "right",
        rule,
        sound,
        seen("GET /case").with(&[("x", Some("1"))]),
    );
    house.judge(&failures(&super::house::House::new(), &[right]));
}
