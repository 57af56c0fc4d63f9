//! Lengths of responses: contradictory, malformed, too short and too long.

use crate::hostile::response::{Reply, broken, overrun, passed, refused, run, wanted};

#[test]
fn response_lengths() {
    run(CASES);
}

/// A response with these field lines, and what follows the head.
macro_rules! with {
    ($fields:literal, $body:literal) => {
        concat!("HTTP/1.1 200 OK\r\n", $fields, "\r\n", $body).as_bytes()
    };
}

pub(super) const CASES: &[Reply] = &[
    refused(
        "answer with length and coding",
        "RFC 9112 §6.1",
        with!(
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n"
        ),
    ),
    refused(
        "answer with coding and length",
        "RFC 9112 §6.1",
        with!(
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "0\r\n\r\n"
        ),
    ),
    refused(
        "answer with lengths that differ",
        "RFC 9112 §6.3",
        with!("Content-Length: 2\r\nContent-Length: 3\r\n", "hi!"),
    ),
    refused(
        "answer with lengths that are equal",
        "RFC 9112 §6.3",
        with!("Content-Length: 2\r\ncontent-length: 2\r\n", "hi"),
    ),
    refused(
        "answer with a list of lengths",
        "RFC 9112 §6.3",
        with!("Content-Length: 2, 2\r\n", "hi"),
    ),
    refused(
        "answer with a signed length",
        "RFC 9110 §8.6",
        with!("Content-Length: +2\r\n", "hi"),
    ),
    refused(
        "answer with a negative length",
        "RFC 9110 §8.6",
        with!("Content-Length: -2\r\n", "hi"),
    ),
    refused(
        "answer with a length in hexadecimal",
        "RFC 9110 §8.6",
        with!("Content-Length: 0x2\r\n", "hi"),
    ),
    refused(
        "answer with an empty length",
        "RFC 9110 §8.6",
        with!("Content-Length:\r\n", "hi"),
    ),
    refused(
        "answer with a length of two numbers",
        "RFC 9110 §8.6",
        with!("Content-Length: 2 3\r\n", "hi"),
    ),
    refused(
        "answer with a length that is a word",
        "RFC 9110 §8.6",
        with!("Content-Length: two\r\n", "hi"),
    ),
    refused(
        "answer with a length beyond 64 bits",
        "RFC 9112 §6.3",
        with!("Content-Length: 18446744073709551618\r\n", "hi"),
    ),
    refused(
        "answer with a length beyond signed 64 bits",
        "RFC 9112 §6.3",
        with!("Content-Length: 9223372036854775808\r\n", "hi"),
    ),
    passed(
        "answer with a length",
        "RFC 9112 §6.3",
        with!("Content-Length: 2\r\n", "hi"),
        wanted(200, b"hi").with(&[("content-length", Some("2"))]),
    )
    .split(),
    passed(
        "answer with zeros before its length",
        "RFC 9110 §8.6",
        with!("Content-Length: 0002\r\n", "hi"),
        wanted(200, b"hi").with(&[("content-length", Some("2"))]),
    ),
    passed(
        "answer with a body of line ends",
        "RFC 9112 §6.3",
        with!("Content-Length: 6\r\n", "\r\n\r\n\0\n"),
        wanted(200, b"\r\n\r\n\0\n"),
    ),
    passed(
        "answer with a body that looks like a head",
        "RFC 9112 §6.3",
        with!("Content-Length: 19\r\n", "HTTP/1.1 200 OK\r\n\r\n"),
        wanted(200, b"HTTP/1.1 200 OK\r\n\r\n"),
    ),
    overrun(
        "answer longer than its length",
        "RFC 9112 §6.3",
        with!("Content-Length: 2\r\n", "hi there"),
        wanted(200, b"hi"),
    )
    .split(),
    overrun(
        "answer of nothing with more behind",
        "RFC 9112 §6.3",
        with!("Content-Length: 0\r\n", "hi"),
        wanted(200, b""),
    ),
    overrun(
        "answer with CRLF behind",
        "RFC 9112 §6.3",
        with!("Content-Length: 2\r\n", "hi\r\n"),
        wanted(200, b"hi"),
    ),
    overrun(
        "a second answer behind the first",
        "RFC 9112 §9.2",
        with!(
            "Content-Length: 2\r\n",
            "hiHTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Target: /sentinel\r\n\r\nevil"
        ),
        wanted(200, b"hi"),
    )
    .split(),
    overrun(
        "a second answer behind one of nothing",
        "RFC 9112 §9.2",
        with!(
            "Content-Length: 0\r\n",
            "HTTP/1.1 200 OK\r\nX-Target: /sentinel\r\nContent-Length: 9\r\n\r\n/sentinel"
        ),
        wanted(200, b""),
    )
    .split(),
    overrun(
        "a final answer behind a final answer",
        "RFC 9112 §9.2",
        with!("Content-Length: 0\r\n", "HTTP/1.1 100 Continue\r\n\r\n"),
        wanted(200, b""),
    ),
    broken(
        "answer shorter than its length",
        "RFC 9112 §8",
        with!("Content-Length: 5\r\n", "hi"),
    )
    .closing()
    .split(),
    broken(
        "answer without any of its length",
        "RFC 9112 §8",
        with!("Content-Length: 5\r\n", ""),
    )
    .closing(),
    broken(
        "answer reset before its length",
        "RFC 9112 §8",
        with!("Content-Length: 5\r\n", "hi"),
    )
    .resetting(),
];
