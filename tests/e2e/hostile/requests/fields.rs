//! Field lines: names, values and the ends of lines.

use super::{get, post};
use crate::hostile::request::{Case, passed, refused, run, seen};

#[test]
fn field_lines() {
    run(CASES);
}

pub(super) const CASES: &[Case] = &[
    refused(
        "field ended by LF alone",
        "RFC 9112 §2.2",
        400,
        get!("X: 1\nY: 2\r\n"),
    ),
    refused(
        "last field ended by LF alone",
        "RFC 9112 §2.2",
        400,
        get!("X: 1\n"),
    ),
    refused(
        "head ended by LF alone",
        "RFC 9112 §2.2",
        400,
        b"GET /case HTTP/1.1\r\nHost: a\r\n\n",
    ),
    refused(
        "head of LF alone",
        "RFC 9112 §2.2",
        400,
        b"GET /case HTTP/1.1\nHost: a\n\n",
    ),
    refused(
        "field ended by CR alone",
        "RFC 9112 §2.2",
        400,
        get!("X: 1\rY: 2\r\n"),
    ),
    refused(
        "field ended by CR CR LF",
        "RFC 9112 §2.2",
        400,
        get!("X: 1\r\r\n"),
    ),
    refused(
        "CR alone behind the colon",
        "RFC 9112 §2.2",
        400,
        get!("X:\r1\r\n"),
    ),
    refused(
        "CR alone in a name",
        "RFC 9112 §5.1",
        400,
        get!("X\rY: 1\r\n"),
    ),
    refused(
        "head ended by CR CR LF",
        "RFC 9112 §2.2",
        400,
        b"GET /case HTTP/1.1\r\nHost: a\r\n\r\r\n\r\n",
    ),
    refused(
        "LF CR in place of CR LF",
        "RFC 9112 §2.2",
        400,
        b"GET /case HTTP/1.1\r\nHost: a\n\rX: 1\r\n\r\n",
    ),
    refused(
        "a field hidden behind LF",
        "RFC 9110 §5.5",
        400,
        get!("X: a\nTransfer-Encoding: chunked\r\n"),
    ),
    refused(
        "a field hidden behind CR",
        "RFC 9110 §5.5",
        400,
        get!("X: a\rTransfer-Encoding: chunked\r\n"),
    ),
    refused("NUL in a value", "RFC 9110 §5.5", 400, get!("X: a\0b\r\n")),
    refused(
        "NUL at a value's end",
        "RFC 9110 §5.5",
        400,
        get!("X: a\0\r\n"),
    ),
    refused(
        "escape character in a value",
        "RFC 9110 §5.5",
        400,
        get!("X: a\x1b[2J\r\n"),
    ),
    refused(
        "backspace in a value",
        "RFC 9110 §5.5",
        400,
        get!("X: a\x08\r\n"),
    ),
    refused(
        "vertical tab in a value",
        "RFC 9110 §5.5",
        400,
        get!("X: a\x0bb\r\n"),
    ),
    refused("DEL in a value", "RFC 9110 §5.5", 400, get!("X: a\x7f\r\n")),
    refused(
        "folded by a space",
        "RFC 9112 §5.2",
        400,
        get!("X: a\r\n b\r\n"),
    ),
    refused(
        "folded by a tab",
        "RFC 9112 §5.2",
        400,
        get!("X: a\r\n\tb\r\n"),
    ),
    refused(
        "folded to nothing",
        "RFC 9112 §5.2",
        400,
        get!("X: a\r\n \r\n"),
    ),
    refused("folded at once", "RFC 9112 §5.2", 400, get!("X:\r\n a\r\n")),
    refused(
        "folded host",
        "RFC 9112 §5.2",
        400,
        b"GET /case HTTP/1.1\r\nHost:\r\n shop.example\r\n\r\n",
    ),
    refused(
        "white space before the first field",
        "RFC 9112 §2.2",
        400,
        b"GET /case HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "tab before the first field",
        "RFC 9112 §2.2",
        400,
        b"GET /case HTTP/1.1\r\n\tX: 1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "space before the colon",
        "RFC 9112 §5.1",
        400,
        get!("X : 1\r\n"),
    ),
    refused(
        "tab before the colon",
        "RFC 9112 §5.1",
        400,
        get!("X\t: 1\r\n"),
    ),
    refused(
        "space before the colon of the host",
        "RFC 9112 §5.1",
        400,
        b"GET /case HTTP/1.1\r\nHost : a\r\n\r\n",
    ),
    refused(
        "space before the colon of the length",
        "RFC 9112 §5.1",
        400,
        post!("Content-Length : 5\r\n", "hello"),
    ),
    refused(
        "space before the colon of the coding",
        "RFC 9112 §5.1",
        400,
        post!("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
    ),
    refused("no name", "RFC 9112 §5", 400, get!(": 1\r\n")),
    refused("no colon", "RFC 9112 §5", 400, get!("X\r\n")),
    refused(
        "no colon in the last of many",
        "RFC 9112 §5",
        400,
        get!("A: 1\r\nB: 2\r\nC\r\n"),
    ),
    refused(
        "name with a space",
        "RFC 9110 §5.1",
        400,
        get!("X Y: 1\r\n"),
    ),
    refused("name with a NUL", "RFC 9110 §5.1", 400, get!("X\0Y: 1\r\n")),
    refused(
        "name with a quote",
        "RFC 9110 §5.1",
        400,
        get!("\"X\": 1\r\n"),
    ),
    refused(
        "name with a parenthesis",
        "RFC 9110 §5.1",
        400,
        get!("X(1): 1\r\n"),
    ),
    refused(
        "name with a slash",
        "RFC 9110 §5.1",
        400,
        get!("X/Y: 1\r\n"),
    ),
    refused(
        "name with an at sign",
        "RFC 9110 §5.1",
        400,
        get!("X@Y: 1\r\n"),
    ),
    refused(
        "name with a bracket",
        "RFC 9110 §5.1",
        400,
        get!("X[]: 1\r\n"),
    ),
    refused("name with DEL", "RFC 9110 §5.1", 400, get!("X\x7f: 1\r\n")),
    refused(
        "name beyond ASCII",
        "RFC 9110 §5.1",
        400,
        b"GET /case HTTP/1.1\r\nHost: a\r\nX\xe4: 1\r\n\r\n",
    ),
    refused(
        "Content_Length",
        "RFC 9112 §6.3",
        400,
        post!("Content_Length: 5\r\n", ""),
    ),
    refused(
        "CONTENT_LENGTH",
        "RFC 9112 §6.3",
        400,
        post!("CONTENT_LENGTH: 5\r\n", ""),
    ),
    refused(
        "Transfer_Encoding",
        "RFC 9112 §6.3",
        400,
        post!("Transfer_Encoding: chunked\r\n", ""),
    ),
    refused(
        "transfer_encoding beside a length",
        "RFC 9112 §6.3",
        400,
        post!(
            "Content-Length: 5\r\ntransfer_encoding: chunked\r\n",
            "hello"
        ),
    ),
    passed(
        "empty value",
        "RFC 9110 §5.5",
        get!("X:\r\nY: 1\r\n"),
        seen("GET /case").with(&[("x", Some("")), ("y", Some("1"))]),
    ),
    passed(
        "value of white space",
        "RFC 9112 §5.1",
        get!("X: \t \r\n"),
        seen("GET /case").with(&[("x", Some(""))]),
    ),
    passed(
        "white space around a value",
        "RFC 9112 §5.1",
        get!("X: \t a b \t\r\n"),
        seen("GET /case").with(&[("x", Some("a b"))]),
    )
    .split(),
    passed(
        "tab within a value",
        "RFC 9110 §5.5",
        get!("X: a\tb\r\n"),
        seen("GET /case").with(&[("x", Some("a\tb"))]),
    ),
    passed(
        "value of colons",
        "RFC 9112 §5",
        get!("X:: :\r\n"),
        seen("GET /case").with(&[("x", Some(": :"))]),
    ),
    passed(
        "value beyond ASCII",
        "RFC 9110 §5.5",
        b"GET /case HTTP/1.1\r\nHost: a\r\nX: \xe4\xff\r\n\r\n",
        seen("GET /case").with(&[("x", Some("\u{e4}\u{ff}"))]),
    ),
    passed(
        "name of odd token characters",
        "RFC 9110 §5.6.2",
        get!("!#$%&'*+-.^_`|~1: a\r\n"),
        seen("GET /case").with(&[("!#$%&'*+-.^_`|~1", Some("a"))]),
    ),
    passed(
        "host in odd case",
        "RFC 9110 §5.1",
        b"GET /case HTTP/1.1\r\nhOsT: shop.example\r\n\r\n",
        seen("GET /case").with(&[("host", Some("shop.example"))]),
    ),
    passed(
        "length in odd case",
        "RFC 9110 §5.1",
        post!("cOnTeNt-LeNgTh: 5\r\n", "hello"),
        seen("POST /case")
            .body(b"hello")
            .with(&[("content-length", Some("5"))]),
    ),
    passed(
        "names keep their case",
        "RFC 9110 §5.1",
        get!("X-oDD: 1\r\nETag: 2\r\n"),
        seen("GET /case").with(&[("X-oDD", Some("1")), ("ETag", Some("2"))]),
    ),
    passed(
        "cookie with odd bytes",
        "RFC 6265 §5.2",
        b"GET /case HTTP/1.1\r\nHost: a\r\nCookie: a=\xe4\"; =; b\r\n\r\n",
        seen("GET /case").with(&[("cookie", Some("a=\u{e4}\"; =; b"))]),
    ),
];
