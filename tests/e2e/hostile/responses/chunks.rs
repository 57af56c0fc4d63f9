//! Chunks and codings of responses.

use crate::hostile::response::{Reply, Wanted, broken, overrun, passed, refused, run, wanted};

#[test]
fn response_chunks() {
    run(CASES);
}

/// A chunked response.
macro_rules! chunked {
    ($body:literal) => {
        concat!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            $body
        )
        .as_bytes()
    };
}

/// A response with this coding.
macro_rules! coded {
    ($coding:literal) => {
        concat!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding:",
            $coding,
            "\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        )
        .as_bytes()
    };
}

const HI: Wanted = wanted(200, b"hi");

pub(super) const CASES: &[Reply] = &[
    refused("answer in gzip, chunked", "RFC 9112 §6.1", coded!(" gzip, chunked")),
    refused("answer in gzip", "RFC 9112 §6.1", coded!(" gzip")),
    refused("answer in identity", "RFC 9112 §7", coded!(" identity")),
    refused("answer in xchunked", "RFC 9112 §6.1", coded!(" xchunked")),
    refused("answer in chunked, chunked", "RFC 9112 §6.1", coded!(" chunked, chunked")),
    refused("answer in chunked, identity", "RFC 9112 §6.3", coded!(" chunked, identity")),
    refused("answer in chunked and a comma", "RFC 9112 §6.1", coded!(" chunked,")),
    refused("answer in quoted chunked", "RFC 9112 §6.1", coded!(" \"chunked\"")),
    refused("answer in no coding", "RFC 9112 §6.1", coded!("")),
    refused("answer in a coding behind a vertical tab", "RFC 9110 §5.5", coded!(" \x0bchunked")),
    refused("answer in a folded coding", "RFC 9112 §5.2", coded!("\r\n chunked")),
    refused("answer in two codings", "RFC 9112 §6.1", coded!(" chunked\r\nTransfer-Encoding: chunked")),
    refused("answer in chunks by HTTP/1.0", "RFC 9112 §6.1", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
    passed("answer in CHUNKED", "RFC 9112 §7", coded!("\tCHUNKED "), HI.with(&[("transfer-encoding", Some("chunked"))])),
    passed("answer in chunks", "RFC 9112 §7.1", chunked!("1\r\nh\r\n01\r\ni\r\n0\r\n\r\n"), HI).split(),
    passed("answer in chunks with extensions", "RFC 9112 §7.1.1", chunked!("2;a=\"b;\\\"\" ;c\r\nhi\r\n0;d\r\n\r\n"), HI),
    passed("answer in chunks with a trailer", "RFC 9112 §7.1.2", chunked!("2\r\nhi\r\n0\r\nx-sum: 6\r\n\r\n"), HI.trailers(&[("x-sum", "6")])).to(b"GET /case HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n").split(),
    passed("answer with a trailer that is declared in mixed case", "RFC 9110 §6.6.2", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-sUM\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 6\r\n\r\n", HI.with(&[("trailer", Some("X-sUM"))]).trailers(&[("X-Sum", "6")])).to(b"GET /case HTTP/1.1\r\nHost: a\r\nConnection: te\r\nTE: gzip, Trailers;q=0.5\r\n\r\n"),
    passed("answer with trailers that may not be", "RFC 9110 §6.5.1", chunked!("2\r\nhi\r\n0\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\nTransfer-Encoding: gzip\r\nConnection: close\r\nCache-Control: public\r\n\r\n"), HI.with(&[("set-cookie", None)])),
    passed("answer in chunks of nothing", "RFC 9112 §7.1", chunked!("0\r\n\r\n"), wanted(200, b"")),
    passed("answer in chunks to HTTP/1.0", "RFC 9112 §7.1", chunked!("2\r\nhi\r\n0\r\n\r\n"), HI.with(&[("transfer-encoding", None)])).to(b"GET /case HTTP/1.0\r\nHost: a\r\n\r\n").closed(),
    broken("answer with a size of 0x", "RFC 9112 §7.1", chunked!("2\r\nhi\r\n0x1\r\n!\r\n0\r\n\r\n")).split(),
    broken("answer with a signed size", "RFC 9112 §7.1", chunked!("2\r\nhi\r\n+1\r\n!\r\n0\r\n\r\n")),
    broken("answer with a space behind a size", "RFC 9112 §7.1", chunked!("2 \r\nhi\r\n0\r\n\r\n")),
    broken("answer with an empty size", "RFC 9112 §7.1", chunked!("2\r\nhi\r\n\r\n0\r\n\r\n")),
    broken("answer with a size beyond 64 bits", "RFC 9112 §7.1", chunked!("10000000000000002\r\nhi\r\n0\r\n\r\n")),
    broken("answer with a size ended by LF", "RFC 9112 §7.1", chunked!("2\nhi\r\n0\r\n\r\n")),
    broken("answer with a chunk ended by LF", "RFC 9112 §7.1", chunked!("2\r\nhi\n0\r\n\r\n")),
    broken("answer with a chunk longer than its size", "RFC 9112 §7.1", chunked!("2\r\nhi!\r\n0\r\n\r\n")),
    broken("answer ended by LF LF", "RFC 9112 §7.1", chunked!("2\r\nhi\r\n0\n\n")),
    broken("answer with a broken extension", "RFC 9112 §7.1.1", chunked!("2\r\nhi\r\n0;a=\r\n\r\n")),
    broken("answer with LF in an extension", "RFC 9112 §7.1.1", chunked!("2;a\nhi\r\n0\r\n\r\n")),
    broken("answer with a malformed trailer", "RFC 9112 §7.1.2", chunked!("2\r\nhi\r\n0\r\nx sum: 6\r\n\r\n")),
    broken("answer with a folded trailer", "RFC 9112 §5.2", chunked!("2\r\nhi\r\n0\r\nx-sum: 6\r\n 7\r\n\r\n")),
    broken("answer with NUL in a trailer", "RFC 9110 §5.5", chunked!("2\r\nhi\r\n0\r\nx-sum: \0\r\n\r\n")),
    broken("answer without a last chunk", "RFC 9112 §8", chunked!("2\r\nhi\r\n")).closing().split(),
    broken("answer without an end behind the last chunk", "RFC 9112 §8", chunked!("2\r\nhi\r\n0\r\n")).closing(),
    broken("answer cut within a chunk", "RFC 9112 §8", chunked!("5\r\nhi")).closing(),
    broken("answer cut within a size", "RFC 9112 §8", chunked!("2\r\nhi\r\n1")).closing(),
    broken("answer reset within its chunks", "RFC 9112 §8", chunked!("2\r\nhi\r\n")).resetting(),
    broken("answer cut within a chunk, to HTTP/1.0", "RFC 9112 §8", chunked!("5\r\nhi")).to(b"GET /case HTTP/1.0\r\nHost: a\r\n\r\n").closing().closed(),
    overrun("answer with more behind its last chunk", "RFC 9112 §9.2", chunked!("2\r\nhi\r\n0\r\n\r\nevil"), HI).split(),
    overrun("a second answer behind the last chunk", "RFC 9112 §9.2", chunked!("2\r\nhi\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nX-Target: /sentinel\r\nContent-Length: 9\r\n\r\n/sentinel"), HI).split(),
];
