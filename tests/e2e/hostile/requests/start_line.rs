//! Request lines: versions, spaces, and what is no HTTP at all.

use crate::hostile::request::{Case, Step, passed, refused, run, seen};

#[test]
fn request_lines() {
    run(CASES);
}

pub(super) const CASES: &[Case] = &[
    refused(
        "version 1.2",
        "RFC 9110 §15.6.6",
        505,
        b"GET /case HTTP/1.2\r\nHost: a\r\n\r\n",
    ),
    refused(
        "version 2.0",
        "RFC 9110 §15.6.6",
        505,
        b"GET /case HTTP/2.0\r\nHost: a\r\n\r\n",
    ),
    refused(
        "version 3.0",
        "RFC 9110 §15.6.6",
        505,
        b"GET /case HTTP/3.0\r\nHost: a\r\n\r\n",
    ),
    refused(
        "version 0.9 spelt out",
        "RFC 9110 §15.6.6",
        505,
        b"GET /case HTTP/0.9\r\nHost: a\r\n\r\n",
    ),
    refused(
        "version 9.9",
        "RFC 9110 §15.6.6",
        505,
        b"GET /case HTTP/9.9\r\nHost: a\r\n\r\n",
    ),
    refused(
        "HTTP/0.9: no version",
        "RFC 9112 §3",
        400,
        b"GET /case\r\n\r\n",
    ),
    refused(
        "HTTP/0.9: no version but a space",
        "RFC 9112 §3",
        400,
        b"GET /case \r\n\r\n",
    ),
    refused(
        "version of one digit",
        "RFC 9112 §2.3",
        400,
        b"GET /case HTTP/1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "version of two digits behind the dot",
        "RFC 9112 §2.3",
        400,
        b"GET /case HTTP/1.10\r\nHost: a\r\n\r\n",
    ),
    refused(
        "version with a leading zero",
        "RFC 9112 §2.3",
        400,
        b"GET /case HTTP/01.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "version with a comma",
        "RFC 9112 §2.3",
        400,
        b"GET /case HTTP/1,1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "version in lower case",
        "RFC 9112 §2.3",
        400,
        b"GET /case http/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "version in mixed case",
        "RFC 9112 §2.3",
        400,
        b"GET /case Http/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "version of another protocol",
        "RFC 9112 §2.3",
        400,
        b"GET /case RTSP/1.0\r\nHost: a\r\n\r\n",
    ),
    refused(
        "version broken by a space",
        "RFC 9112 §3",
        400,
        b"GET /case HTTP/ 1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "version twice",
        "RFC 9112 §3",
        400,
        b"GET /case HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "space behind the version",
        "RFC 9112 §3",
        400,
        b"GET /case HTTP/1.1 \r\nHost: a\r\n\r\n",
    ),
    refused(
        "tab behind the version",
        "RFC 9112 §3",
        400,
        b"GET /case HTTP/1.1\t\r\nHost: a\r\n\r\n",
    ),
    refused(
        "two spaces before the target",
        "RFC 9112 §3",
        400,
        b"GET  /case HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "two spaces behind the target",
        "RFC 9112 §3",
        400,
        b"GET /case  HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "tab before the target",
        "RFC 9112 §3",
        400,
        b"GET\t/case HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "tab behind the target",
        "RFC 9112 §3",
        400,
        b"GET /case\tHTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "vertical tab before the target",
        "RFC 9112 §3",
        400,
        b"GET\x0b/case HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "form feed behind the target",
        "RFC 9112 §3",
        400,
        b"GET /case\x0cHTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "bare CR behind the target",
        "RFC 9112 §2.2",
        400,
        b"GET /case\rHTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "space before the method",
        "RFC 9112 §3",
        400,
        b" GET /case HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "no method",
        "RFC 9112 §3.1",
        400,
        b"/case HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "no target",
        "RFC 9112 §3.2",
        400,
        b"GET HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "no target between two spaces",
        "RFC 9112 §3.2",
        400,
        b"GET  HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "request line ended by LF alone",
        "RFC 9112 §2.2",
        400,
        b"GET /case HTTP/1.1\nHost: a\r\n\r\n",
    ),
    refused(
        "request line ended by CR alone",
        "RFC 9112 §2.2",
        400,
        b"GET /case HTTP/1.1\rHost: a\r\n\r\n",
    ),
    refused(
        "request line ended by CR CR LF",
        "RFC 9112 §2.2",
        400,
        b"GET /case HTTP/1.1\r\r\nHost: a\r\n\r\n",
    ),
    refused(
        "request line folded",
        "RFC 9112 §2.2",
        400,
        b"GET /case HTTP/1.1\r\n Host: a\r\n\r\n",
    ),
    refused(
        "request line folded in its middle",
        "RFC 9112 §3",
        400,
        b"GET /case\r\n HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "NUL first",
        "RFC 9112 §3.1",
        400,
        b"\0GET /case HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "byte order mark first",
        "RFC 9112 §3.1",
        400,
        b"\xef\xbb\xbfGET /case HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "LF first",
        "RFC 9112 §2.2",
        400,
        b"\nGET /case HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "CR alone first",
        "RFC 9112 §2.2",
        400,
        b"\rGET /case HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "three empty lines first",
        "RFC 9112 §2.2",
        400,
        b"\r\n\r\n\r\nGET /case HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    passed(
        "one empty line first",
        "RFC 9112 §2.2",
        b"\r\nGET /case HTTP/1.1\r\nHost: a\r\n\r\n",
        seen("GET /case"),
    )
    .split(),
    passed(
        "two empty lines first",
        "RFC 9112 §2.2",
        b"\r\n\r\nGET /case HTTP/1.1\r\nHost: a\r\n\r\n",
        seen("GET /case"),
    ),
    passed(
        "HTTP/1.0",
        "RFC 9110 §2.5",
        b"GET /case HTTP/1.0\r\nHost: a\r\n\r\n",
        seen("GET /case"),
    )
    .closed(),
    passed(
        "HTTP/1.0 without a host",
        "RFC 9112 §3.2",
        b"GET /case HTTP/1.0\r\n\r\n",
        seen("GET /case"),
    )
    .closed(),
    refused(
        "a TLS ClientHello",
        "RFC 8446 §4.1.2",
        400,
        b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03\x11\x22\x33\x44\x55\x66\x77",
    ),
    refused(
        "an SSLv2 ClientHello",
        "RFC 9112 §3.1",
        400,
        b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10",
    ),
    refused(
        "the preface of HTTP/2",
        "RFC 9113 §3.4",
        505,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ),
    refused(
        "a PROXY header that was not agreed on",
        "RFC 9112 §3",
        400,
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /case HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "a binary PROXY header",
        "RFC 9112 §3.1",
        400,
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x50\0\x51",
    ),
    refused("SSH", "RFC 9112 §3", 400, b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    refused("SMTP", "RFC 9112 §3", 400, b"EHLO mail.example\r\n\r\n"),
    refused("SOCKS 5", "RFC 9112 §3.1", 400, b"\x05\x01\x00"),
    passed(
        "a sound request behind none",
        "RFC 9112 §3",
        b"GET /case HTTP/1.1\r\nHost: a\r\n\r\nGET /case HTTP/1.2\r\nHost: a\r\n\r\n",
        seen("GET /case"),
    )
    .then(Step::Refused(505)),
];
