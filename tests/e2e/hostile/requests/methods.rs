//! Methods: those that mean something to a proxy, and those that mean nothing to it.

use crate::hostile::request::{Case, Step, answered, passed, refused, run, seen};

#[test]
fn methods() {
    run(CASES);
}

pub(super) const CASES: &[Case] = &[
    refused("CONNECT", "RFC 9110 §9.3.6", 405, b"CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n\r\n"),
    refused("CONNECT with a tunnel's bytes behind it", "RFC 9110 §9.3.6", 405, b"CONNECT shop.example:80 HTTP/1.1\r\nHost: shop.example:80\r\n\r\nGET /case HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("CONNECT to a path", "RFC 9112 §3.2.3", 405, b"CONNECT /case HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("CONNECT with a length", "RFC 9110 §9.3.6", 400, b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 4\r\n\r\nGET "),
    refused("CONNECT with a coding", "RFC 9110 §9.3.6", 400, b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    answered("TRACE", "RFC 9110 §9.3.8", 405, b"TRACE /case HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\n\r\n"),
    answered("TRACE, then a request", "RFC 9110 §9.3.8", 405, b"TRACE /case HTTP/1.1\r\nHost: a\r\n\r\nGET /case HTTP/1.1\r\nHost: a\r\n\r\n")
        .then(Step::Passes(seen("GET /case"))),
    passed("OPTIONS of a path", "RFC 9110 §9.3.7", b"OPTIONS /case HTTP/1.1\r\nHost: a\r\n\r\n", seen("OPTIONS /case")),
    passed("method in lower case", "RFC 9110 §9.1", b"get /case HTTP/1.1\r\nHost: a\r\n\r\n", seen("get /case")),
    passed("method that nobody knows", "RFC 9110 §9.1", b"BREW /case HTTP/1.1\r\nHost: a\r\n\r\n", seen("BREW /case")),
    passed("method of odd token characters", "RFC 9110 §9.1", b"!#$%&'*+-.^_`|~ /case HTTP/1.1\r\nHost: a\r\n\r\n", seen("!#$%&'*+-.^_`|~ /case")),
    passed("method that nobody knows, with a body", "RFC 9110 §9.1", b"M-SEARCH /case HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", seen("M-SEARCH /case").body(b"hi")),
    passed("connect in lower case is no CONNECT", "RFC 9110 §9.1", b"connect /case HTTP/1.1\r\nHost: a\r\n\r\n", seen("connect /case")),
    passed("HEAD", "RFC 9110 §9.3.2", b"HEAD /case HTTP/1.1\r\nHost: a\r\n\r\n", seen("HEAD /case")),
    passed("DELETE with a body", "RFC 9110 §9.3.5", b"DELETE /case HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", seen("DELETE /case").body(b"hi")),
    passed("PRI is a method like others in HTTP/1.1", "RFC 9113 §11.6", b"PRI /case HTTP/1.1\r\nHost: a\r\n\r\n", seen("PRI /case")),
    refused("method with a parenthesis", "RFC 9110 §9.1", 400, b"G(T /case HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("method with a colon", "RFC 9110 §9.1", 400, b"GET: /case HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("method with a slash", "RFC 9110 §9.1", 400, b"GET/x /case HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("method with a quote", "RFC 9110 §9.1", 400, b"\"GET\" /case HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("method with a NUL", "RFC 9110 §9.1", 400, b"GE\0T /case HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("method beyond ASCII", "RFC 9110 §9.1", 400, b"G\xcbT /case HTTP/1.1\r\nHost: a\r\n\r\n"),
];
