//! How responses and connections end, and what comes too early.

use crate::hostile::response::{Reply, broken, passed, refused, run, wanted};

#[test]
fn endings() {
    run(CASES);
}

const POST: &[u8] = b"POST /case HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const HALF: &[u8] = b"POST /case HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe";
const HALF_CHUNKED: &[u8] =
    b"POST /case HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n";
const EXPECTING: &[u8] =
    b"POST /case HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
const OLD: &[u8] = b"GET /case HTTP/1.0\r\nHost: a\r\n\r\n";

pub(super) const CASES: &[Reply] = &[
    refused("the end in place of an answer", "RFC 9112 §8", b"")
        .to(POST)
        .closing()
        .cause("closed"),
    refused(
        "the end within the status line",
        "RFC 9112 §8",
        b"HTTP/1.1 20",
    )
    .closing(),
    refused(
        "the end behind the status line",
        "RFC 9112 §8",
        b"HTTP/1.1 200 OK\r\n",
    )
    .closing(),
    refused(
        "the end within a field",
        "RFC 9112 §8",
        b"HTTP/1.1 200 OK\r\nContent-Le",
    )
    .closing(),
    refused(
        "the end before the empty line",
        "RFC 9112 §8",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
    )
    .closing(),
    refused("the end of what HTTP/0.9 would be", "RFC 9112 §8", b"hello").closing(),
    passed(
        "content up to the end",
        "RFC 9112 §6.3",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        wanted(200, b"hello").with(&[("content-length", None)]),
    )
    .closing()
    .split(),
    passed(
        "content up to the end by HTTP/1.0",
        "RFC 9112 §6.3",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        wanted(200, b"hello"),
    )
    .closing(),
    passed(
        "content up to the end, to HTTP/1.0",
        "RFC 9112 §6.3",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        wanted(200, b"hello").with(&[("transfer-encoding", None)]),
    )
    .to(OLD)
    .closing()
    .closed(),
    passed(
        "content up to the end that looks like an answer",
        "RFC 9112 §6.3",
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        wanted(200, b"HTTP/1.1 200 OK\r\n\r\n"),
    )
    .closing(),
    passed(
        "no content up to the end",
        "RFC 9112 §6.3",
        b"HTTP/1.1 200 OK\r\n\r\n",
        wanted(200, b""),
    )
    .closing(),
    broken(
        "content up to a reset",
        "RFC 9112 §8",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
    )
    .resetting(),
    broken(
        "content up to a reset, to HTTP/1.0",
        "RFC 9112 §8",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
    )
    .to(OLD)
    .resetting()
    .closed(),
    broken(
        "content cut short, to HTTP/1.0",
        "RFC 9112 §8",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
    )
    .to(OLD)
    .closing()
    .closed(),
    passed(
        "an answer, then the end",
        "RFC 9112 §9.6",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        wanted(200, b"hi"),
    )
    .closing()
    .split(),
    passed(
        "an answer before the body has come",
        "RFC 9112 §9.5",
        b"HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig",
        wanted(413, b"big"),
    )
    .to(POST)
    .early()
    .spent(),
    passed(
        "an answer before the rest of the body has come",
        "RFC 9112 §9.5",
        b"HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\n\r\nbig",
        wanted(413, b"big"),
    )
    .to(HALF)
    .early()
    .spent()
    .leaving(),
    passed(
        "an answer before the rest of the chunks has come",
        "RFC 9112 §9.5",
        b"HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\n\r\nbig",
        wanted(413, b"big"),
    )
    .to(HALF_CHUNKED)
    .early()
    .spent()
    .leaving(),
    refused(
        "a malformed answer before the body has come",
        "RFC 9112 §4",
        b"HTTP/1.1 99 Odd\r\n\r\n",
    )
    .to(HALF)
    .early()
    .leaving(),
    broken(
        "a broken answer before the body has come",
        "RFC 9112 §7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n",
    )
    .to(HALF)
    .early()
    .leaving(),
    passed(
        "a refusal in place of leave to send",
        "RFC 9110 §10.1.1",
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno",
        wanted(401, b"no"),
    )
    .to(EXPECTING)
    .early()
    .spent()
    .leaving(),
    broken("the end in place of leave to send", "RFC 9112 §8", b"")
        .to(EXPECTING)
        .early()
        .closing()
        .cause("closed")
        .leaving(),
];
