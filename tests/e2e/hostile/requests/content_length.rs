//! `Content-Length`: one number of digits, once.

use super::{get, post};
use crate::hostile::request::{Case, breaks, passed, refused, run, seen};

#[test]
fn content_lengths() {
    run(CASES);
}

pub(super) const CASES: &[Case] = &[
    refused(
        "lengths that differ",
        "RFC 9112 §6.3",
        400,
        post!("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
    ),
    refused(
        "lengths that are equal",
        "RFC 9112 §6.3",
        400,
        post!("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
    ),
    refused(
        "lengths in different case",
        "RFC 9112 §6.3",
        400,
        post!("Content-Length: 5\r\ncontent-length: 5\r\n", "hello"),
    ),
    refused(
        "lengths far apart",
        "RFC 9112 §6.3",
        400,
        post!(
            "Content-Length: 5\r\nX: 1\r\nY: 2\r\nContent-Length: 0\r\n",
            "hello"
        ),
    ),
    refused(
        "list of equal lengths",
        "RFC 9112 §6.3",
        400,
        post!("Content-Length: 5, 5\r\n", "hello"),
    ),
    refused(
        "list of different lengths",
        "RFC 9112 §6.3",
        400,
        post!("Content-Length: 5, 6\r\n", "hello"),
    ),
    refused(
        "list without spaces",
        "RFC 9112 §6.3",
        400,
        post!("Content-Length: 5,5\r\n", "hello"),
    ),
    refused(
        "length with a comma behind",
        "RFC 9112 §6.3",
        400,
        post!("Content-Length: 5,\r\n", "hello"),
    ),
    refused(
        "length with a comma before",
        "RFC 9112 §6.3",
        400,
        post!("Content-Length: ,5\r\n", "hello"),
    ),
    refused(
        "length with a plus",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length: +5\r\n", "hello"),
    ),
    refused(
        "length with a minus",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length: -5\r\n", "hello"),
    ),
    refused(
        "length of minus nothing",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length: -0\r\n", ""),
    ),
    refused(
        "two numbers in a length",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length: 5 6\r\n", "hello"),
    ),
    refused(
        "tab within a length",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length: 5\t6\r\n", "hello"),
    ),
    refused(
        "length with 0x",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length: 0x5\r\n", "hello"),
    ),
    refused(
        "length in hexadecimal",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length: a\r\n", "hellohello"),
    ),
    refused(
        "length with a fraction",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length: 5.0\r\n", "hello"),
    ),
    refused(
        "length with an exponent",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length: 5e0\r\n", "hello"),
    ),
    refused(
        "length with an underscore",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length: 1_0\r\n", "hellohello"),
    ),
    refused(
        "length with a semicolon",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length: 5;\r\n", "hello"),
    ),
    refused(
        "length with a unit",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length: 5B\r\n", "hello"),
    ),
    refused(
        "length in quotes",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length: \"5\"\r\n", "hello"),
    ),
    refused(
        "length that is empty",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length:\r\n", "hello"),
    ),
    refused(
        "length of white space",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length: \t\r\n", "hello"),
    ),
    refused(
        "length that is a word",
        "RFC 9110 §8.6",
        400,
        post!("Content-Length: chunked\r\n", "hello"),
    ),
    refused(
        "length with NUL",
        "RFC 9110 §5.5",
        400,
        post!("Content-Length: 5\0\r\n", "hello"),
    ),
    refused(
        "length with a vertical tab",
        "RFC 9110 §5.5",
        400,
        post!("Content-Length: \x0b5\r\n", "hello"),
    ),
    refused(
        "length in Arabic digits",
        "RFC 9110 §8.6",
        400,
        "POST /case HTTP/1.1\r\nHost: a\r\nContent-Length: \u{665}\r\n\r\nhello".as_bytes(),
    ),
    refused(
        "length behind a no-break space",
        "RFC 9110 §8.6",
        400,
        b"POST /case HTTP/1.1\r\nHost: a\r\nContent-Length: \xa05\r\n\r\nhello",
    ),
    refused(
        "length that is folded",
        "RFC 9112 §5.2",
        400,
        post!("Content-Length:\r\n 5\r\n", "hello"),
    ),
    refused(
        "length that is folded in two",
        "RFC 9112 §5.2",
        400,
        post!("Content-Length: 5\r\n 0\r\n", "hello"),
    ),
    refused(
        "length beyond signed 64 bits",
        "RFC 9112 §6.3",
        400,
        post!("Content-Length: 9223372036854775808\r\n", "hello"),
    ),
    refused(
        "length beyond 64 bits",
        "RFC 9112 §6.3",
        400,
        post!("Content-Length: 18446744073709551621\r\n", "hello"),
    ),
    refused(
        "length beyond 128 bits",
        "RFC 9112 §6.3",
        400,
        post!(
            "Content-Length: 340282366920938463463374607431768211461\r\n",
            "hello"
        ),
    ),
    refused(
        "length of very many zeros",
        "RFC 9112 §6.3",
        400,
        post!(
            "Content-Length: 00000000000000000000000000000005\r\n",
            "hello"
        ),
    ),
    refused(
        "malformed length of GET",
        "RFC 9112 §6.3",
        400,
        get!("Content-Length: x\r\n"),
    ),
    refused(
        "malformed length of HTTP/1.0",
        "RFC 9112 §6.3",
        400,
        b"POST /case HTTP/1.0\r\nContent-Length: 5, 5\r\n\r\nhello",
    ),
    passed(
        "length",
        "RFC 9112 §6.3",
        post!("Content-Length: 5\r\n", "hello"),
        seen("POST /case")
            .body(b"hello")
            .with(&[("content-length", Some("5")), ("transfer-encoding", None)]),
    )
    .split(),
    passed(
        "length with zeros before",
        "RFC 9110 §8.6",
        post!("Content-Length: 0005\r\n", "hello"),
        seen("POST /case")
            .body(b"hello")
            .with(&[("content-length", Some("5"))]),
    ),
    passed(
        "length with white space around",
        "RFC 9112 §5.1",
        post!("Content-Length: \t5 \t\r\n", "hello"),
        seen("POST /case")
            .body(b"hello")
            .with(&[("content-length", Some("5"))]),
    ),
    passed(
        "length of nothing",
        "RFC 9112 §6.3",
        post!("Content-Length: 0\r\n", ""),
        seen("POST /case").with(&[("content-length", Some("0"))]),
    ),
    passed(
        "POST without a length",
        "RFC 9112 §6.3",
        post!("X: 1\r\n", ""),
        seen("POST /case").with(&[("transfer-encoding", None)]),
    ),
    passed(
        "GET with a body",
        "RFC 9110 §9.3.1",
        get!("Content-Length: 0\r\n"),
        seen("GET /case").with(&[("content-length", Some("0"))]),
    ),
    passed(
        "body of line ends",
        "RFC 9112 §6.3",
        post!("Content-Length: 8\r\n", "\r\n\r\n\0\n\r\n"),
        seen("POST /case").body(b"\r\n\r\n\0\n\r\n"),
    ),
    passed(
        "body of HTTP/1.0",
        "RFC 9112 §6.3",
        b"POST /case HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
        seen("POST /case").body(b"hello"),
    )
    .closed(),
    breaks(
        "body that ends before its length",
        "RFC 9112 §6.3",
        post!("Content-Length: 10\r\n", "hello"),
    )
    .finishing(),
    breaks(
        "body that does not begin",
        "RFC 9112 §6.3",
        post!("Content-Length: 10\r\n", ""),
    )
    .finishing(),
];
