//! Requests behind requests, and those that are hidden in others.

use super::post;
use crate::hostile::request::{Case, Step, passed, refused, run, seen};

#[test]
fn pipelines() {
    run(CASES);
}

pub(super) const CASES: &[Case] = &[
    passed("three requests at once", "RFC 9112 §9.3.2", b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n", seen("GET /1"))
        .then(Step::Passes(seen("GET /2"))).then(Step::Passes(seen("GET /3"))).split(),
    passed("a request behind a counted body", "RFC 9112 §9.3.2", b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", seen("POST /1").body(b"hello"))
        .then(Step::Passes(seen("GET /2"))).split(),
    passed("a counted body that looks like a request", "RFC 9112 §6.3", post!("Content-Length: 35\r\n", "GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n!"), seen("POST /case").body(b"GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n!")),
    passed("a chunk that looks like a request", "RFC 9112 §7.1", post!("Transfer-Encoding: chunked\r\n", "23\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\n!\r\n0\r\n\r\n"), seen("POST /case").body(b"GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n!")),
    refused("CL.TE", "RFC 9112 §11.2", 400, post!("Content-Length: 39\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\n")),
    refused("TE.CL", "RFC 9112 §11.2", 400, post!("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "22\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\n\r\n0\r\n\r\n")),
    refused("TE.TE", "RFC 9112 §11.2", 400, post!("Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\nContent-Length: 4\r\n", "5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n")),
    refused("TE.0", "RFC 9112 §11.2", 400, b"OPTIONS /case HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n22\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\n\r\n0\r\n\r\n"),
    passed("CL.0", "RFC 9112 §11.2", post!("Content-Length: 34\r\n", "GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n"), seen("POST /case").body(b"GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n")).split(),
    passed("0.CL", "RFC 9112 §11.2", b"GET /case HTTP/1.1\r\nHost: a\r\nContent-Length: 34\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\n", seen("GET /case").body(b"GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n")),
    refused("0.CL by a fold", "RFC 9112 §11.2", 400, b"GET /case HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 34\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\n"),
    passed("HEAD with a body", "RFC 9110 §9.3.2", b"HEAD /case HTTP/1.1\r\nHost: a\r\nContent-Length: 34\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", seen("HEAD /case").body(b"GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n"))
        .then(Step::Passes(seen("GET /2"))),
    passed("a body that nobody announced", "RFC 9112 §6.3", b"GET /case HTTP/1.1\r\nHost: a\r\n\r\nx=1\n", seen("GET /case")).then(Step::Refused(400)),
    passed("a body longer than its length", "RFC 9112 §6.3", post!("Content-Length: 5\r\n", "hello\0world"), seen("POST /case").body(b"hello")).then(Step::Refused(400)),
    passed("a malformed request between two", "RFC 9112 §9.3.2", b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost : a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n", seen("GET /1")).then(Step::Refused(400)).split(),
    passed("an ambiguous request behind one", "RFC 9112 §6.1", b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n", seen("GET /1")).then(Step::Refused(400)),
    refused("a sound request behind an ambiguous one", "RFC 9112 §6.1", 400, b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("a sound request behind a malformed host", "RFC 9112 §3.2", 400, b"GET /1 HTTP/1.1\r\nHost: a b\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    passed("a chunked body that breaks behind a request", "RFC 9112 §7.1", b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n", seen("GET /1")).then(Step::Breaks(400)),
    passed("an empty line between two", "RFC 9112 §2.2", b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", seen("POST /1").body(b"hello")).then(Step::Passes(seen("GET /2"))).split(),
    passed("two empty lines between two", "RFC 9112 §2.2", b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", seen("GET /1")).then(Step::Passes(seen("GET /2"))),
    passed("three empty lines between two", "RFC 9112 §2.2", b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", seen("GET /1")).then(Step::Refused(400)),
    passed("a bare LF between two", "RFC 9112 §2.2", b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", seen("GET /1")).then(Step::Refused(400)),
    passed("a request behind close", "RFC 9112 §9.6", b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", seen("GET /1")).closed(),
    passed("a request behind HTTP/1.0", "RFC 9112 §9.3", b"GET /1 HTTP/1.0\r\nHost: a\r\n\r\nGET /2 HTTP/1.0\r\nHost: a\r\n\r\n", seen("GET /1")).closed(),
    passed("a request behind HTTP/1.0 that stays", "RFC 9112 §9.3", b"GET /1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", seen("GET /1")).then(Step::Passes(seen("GET /2"))),
    passed("the preface of HTTP/2 behind a request", "RFC 9113 §3.4", b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", seen("GET /1")).then(Step::Refused(505)),
    passed("the client says that this is all", "RFC 9112 §9.6", b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", seen("GET /1")).then(Step::Passes(seen("GET /2"))).finishing(),
];
