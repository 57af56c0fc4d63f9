//! Responses that have no body, whatever they say.

use crate::hostile::response::{Reply, overrun, passed, refused, run, wanted};

#[test]
fn responses_without_a_body() {
    run(CASES);
}

const HEAD: &[u8] = b"HEAD /case HTTP/1.1\r\nHost: a\r\n\r\n";

pub(super) const CASES: &[Reply] = &[
    passed("204", "RFC 9112 §6.3", b"HTTP/1.1 204 No Content\r\n\r\n", wanted(204, b"").with(&[("content-length", None), ("transfer-encoding", None)])).split(),
    passed("204 with a length of nothing", "RFC 9110 §8.6", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", wanted(204, b"").with(&[("content-length", None)])),
    refused("204 with a length", "RFC 9110 §8.6", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
    refused("204 with a length and its bytes", "RFC 9110 §8.6", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"),
    refused("204 with chunks", "RFC 9112 §6.1", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    refused("204 with two lengths", "RFC 9112 §6.3", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"),
    overrun("204 with bytes behind it", "RFC 9112 §6.3", b"HTTP/1.1 204 No Content\r\n\r\nhello", wanted(204, b"")).split(),
    overrun("204 with an answer behind it", "RFC 9112 §9.2", b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nX-Target: /sentinel\r\nContent-Length: 9\r\n\r\n/sentinel", wanted(204, b"")),
    passed("304", "RFC 9112 §6.3", b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", wanted(304, b"").with(&[("etag", Some("\"a\"")), ("transfer-encoding", None)])),
    passed("304 with a length", "RFC 9110 §8.6", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", wanted(304, b"").with(&[("content-length", Some("5"))])),
    passed("304 with chunks", "RFC 9112 §6.1", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", wanted(304, b"").with(&[("transfer-encoding", None)])),
    refused("304 with length and chunks", "RFC 9112 §6.1", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    refused("304 with a malformed length", "RFC 9110 §8.6", b"HTTP/1.1 304 Not Modified\r\nContent-Length: x\r\n\r\n"),
    overrun("304 with its body", "RFC 9112 §6.3", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", wanted(304, b"")).split(),
    overrun("304 with an answer behind it", "RFC 9112 §9.2", b"HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nX-Target: /sentinel\r\nContent-Length: 9\r\n\r\n/sentinel", wanted(304, b"")),
    passed("205 with a length of nothing", "RFC 9110 §15.3.6", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", wanted(205, b"").with(&[("content-length", Some("0"))])),
    passed("to HEAD, with a length", "RFC 9110 §9.3.2", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", wanted(200, b"").with(&[("content-length", Some("5"))])).to(HEAD).split(),
    passed("to HEAD, with chunks", "RFC 9110 §9.3.2", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", wanted(200, b"")).to(HEAD),
    passed("to HEAD, with neither", "RFC 9110 §9.3.2", b"HTTP/1.1 200 OK\r\n\r\n", wanted(200, b"").with(&[("content-length", None)])).to(HEAD),
    refused("to HEAD, with both", "RFC 9112 §6.1", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n").to(HEAD),
    refused("to HEAD, with two lengths", "RFC 9112 §6.3", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n").to(HEAD),
    overrun("to HEAD, with the body", "RFC 9112 §6.3", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", wanted(200, b"").with(&[("content-length", Some("5"))])).to(HEAD).split(),
    overrun("to HEAD, with the chunks", "RFC 9112 §6.3", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", wanted(200, b"")).to(HEAD),
    overrun("to HEAD, with an answer behind it", "RFC 9112 §9.2", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nX-Target: /sentinel\r\nContent-Length: 9\r\n\r\n/sentinel", wanted(200, b"")).to(HEAD).split(),
];
