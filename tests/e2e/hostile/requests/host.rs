//! The host: missing, repeated, malformed, and what looks odd and is sound.

use crate::hostile::request::{Case, passed, refused, run, seen};

#[test]
fn hosts() {
    run(CASES);
}

/// A request with this host line.
macro_rules! host {
    ($host:literal) => {
        concat!("GET /case HTTP/1.1\r\nHost:", $host, "\r\n\r\n").as_bytes()
    };
}

const LONG_LABEL: &[u8] = b"GET /case HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example\r\n\r\n";

pub(super) const CASES: &[Case] = &[
    refused(
        "no host",
        "RFC 9112 §3.2",
        400,
        b"GET /case HTTP/1.1\r\nX: 1\r\n\r\n",
    ),
    refused(
        "no field at all",
        "RFC 9112 §3.2",
        400,
        b"GET /case HTTP/1.1\r\n\r\n",
    ),
    refused(
        "two hosts that differ",
        "RFC 9112 §3.2",
        400,
        b"GET /case HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ),
    refused(
        "two hosts that are equal",
        "RFC 9112 §3.2",
        400,
        b"GET /case HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    ),
    refused(
        "two hosts in different case",
        "RFC 9112 §3.2",
        400,
        b"GET /case HTTP/1.1\r\nHost: a\r\nX: 1\r\nhOST: a\r\n\r\n",
    ),
    refused(
        "two hosts, one empty",
        "RFC 9112 §3.2",
        400,
        b"GET /case HTTP/1.1\r\nHost:\r\nHost: a\r\n\r\n",
    ),
    refused(
        "two hosts of HTTP/1.0",
        "RFC 9112 §3.2",
        400,
        b"GET /case HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
    ),
    refused("host that is a list", "RFC 9112 §3.2", 400, host!(" a, b")),
    refused("host with a comma", "RFC 9112 §3.2", 400, host!(" a,b")),
    refused(
        "host with a user",
        "RFC 9110 §4.2.4",
        400,
        host!(" user@shop.example"),
    ),
    refused(
        "host with user and password",
        "RFC 9110 §4.2.4",
        400,
        host!(" user:pw@shop.example"),
    ),
    refused(
        "host with an empty user",
        "RFC 9110 §4.2.4",
        400,
        host!(" @shop.example"),
    ),
    refused(
        "port that is a word",
        "RFC 3986 §3.2.3",
        400,
        host!(" shop.example:http"),
    ),
    refused(
        "port too large",
        "RFC 3986 §3.2.3",
        400,
        host!(" shop.example:65536"),
    ),
    refused(
        "port with a sign",
        "RFC 3986 §3.2.3",
        400,
        host!(" shop.example:-80"),
    ),
    refused(
        "port with a plus",
        "RFC 3986 §3.2.3",
        400,
        host!(" shop.example:+80"),
    ),
    refused(
        "port behind a space",
        "RFC 3986 §3.2.3",
        400,
        host!(" shop.example: 80"),
    ),
    refused(
        "port of too many digits",
        "RFC 3986 §3.2.3",
        400,
        host!(" shop.example:00000000080"),
    ),
    refused(
        "two ports",
        "RFC 3986 §3.2.3",
        400,
        host!(" shop.example:80:80"),
    ),
    refused("port without a host", "RFC 9112 §3.2", 400, host!(" :80")),
    refused(
        "host with a space",
        "RFC 3986 §3.2.2",
        400,
        host!(" shop example"),
    ),
    refused(
        "host with a tab",
        "RFC 3986 §3.2.2",
        400,
        host!(" shop\texample"),
    ),
    refused(
        "host with a path",
        "RFC 3986 §3.2.2",
        400,
        host!(" shop.example/x"),
    ),
    refused(
        "host with a query",
        "RFC 3986 §3.2.2",
        400,
        host!(" shop.example?x"),
    ),
    refused(
        "host with a fragment",
        "RFC 3986 §3.2.2",
        400,
        host!(" shop.example#x"),
    ),
    refused(
        "host with a backslash",
        "RFC 3986 §3.2.2",
        400,
        host!(" shop.example\\x"),
    ),
    refused(
        "host with a percent sign",
        "RFC 3986 §3.2.2",
        400,
        host!(" shop%2eexample"),
    ),
    refused(
        "host with an escaped CRLF",
        "RFC 3986 §3.2.2",
        400,
        host!(" a%0d%0aX:1"),
    ),
    refused(
        "host with quotes",
        "RFC 3986 §3.2.2",
        400,
        host!(" \"shop.example\""),
    ),
    refused(
        "host with a semicolon",
        "RFC 3986 §3.2.2",
        400,
        host!(" shop.example;a"),
    ),
    refused(
        "host with a tag",
        "RFC 3986 §3.2.2",
        400,
        host!(" <script>"),
    ),
    refused(
        "host that is a URL",
        "RFC 9112 §3.2",
        400,
        host!(" http://shop.example"),
    ),
    refused(
        "host beyond ASCII",
        "RFC 3986 §3.2.2",
        400,
        b"GET /case HTTP/1.1\r\nHost: sh\xf6p.example\r\n\r\n",
    ),
    refused(
        "host in UTF-8",
        "RFC 3986 §3.2.2",
        400,
        "GET /case HTTP/1.1\r\nHost: sh\u{f6}p.example\r\n\r\n".as_bytes(),
    ),
    refused("host of dots", "RFC 1035 §2.3.1", 400, host!(" ..")),
    refused(
        "host with a dot first",
        "RFC 1035 §2.3.1",
        400,
        host!(" .shop.example"),
    ),
    refused(
        "host with an empty label",
        "RFC 1035 §2.3.1",
        400,
        host!(" shop..example"),
    ),
    refused(
        "host with a label too long",
        "RFC 1035 §2.3.4",
        400,
        LONG_LABEL,
    ),
    refused("bracket not closed", "RFC 3986 §3.2.2", 400, host!(" [::1")),
    refused("bracket not opened", "RFC 3986 §3.2.2", 400, host!(" ::1]")),
    refused("empty brackets", "RFC 3986 §3.2.2", 400, host!(" []")),
    refused(
        "name in brackets",
        "RFC 3986 §3.2.2",
        400,
        host!(" [shop.example]"),
    ),
    refused(
        "IPv6 without brackets",
        "RFC 3986 §3.2.2",
        400,
        host!(" 2001:db8::1"),
    ),
    refused(
        "IPv6 with a zone",
        "RFC 3986 §3.2.2",
        400,
        host!(" [fe80::1%25eth0]"),
    ),
    refused(
        "address of the future",
        "RFC 3986 §3.2.2",
        400,
        host!(" [v1.a]"),
    ),
    refused(
        "bytes behind a bracket",
        "RFC 3986 §3.2.2",
        400,
        host!(" [::1]x"),
    ),
    refused("NUL in the host", "RFC 9110 §5.5", 400, host!(" a\0b")),
    passed(
        "host without white space",
        "RFC 9112 §5.1",
        host!("shop.example"),
        seen("GET /case").with(&[
            ("host", Some("shop.example")),
            ("x-forwarded-host", Some("shop.example")),
        ]),
    )
    .split(),
    passed(
        "host that is empty",
        "RFC 9112 §3.2",
        host!(""),
        seen("GET /case").with(&[("host", Some("")), ("x-forwarded-host", None)]),
    ),
    passed(
        "host in upper case",
        "RFC 9110 §4.2.3",
        host!(" SHOP.Example"),
        seen("GET /case").with(&[("host", Some("SHOP.Example"))]),
    ),
    passed(
        "host with a port",
        "RFC 9112 §3.2",
        host!(" shop.example:8080"),
        seen("GET /case").with(&[("host", Some("shop.example:8080"))]),
    ),
    passed(
        "host with an empty port",
        "RFC 3986 §3.2.3",
        host!(" shop.example:"),
        seen("GET /case"),
    ),
    passed(
        "host with a dot at its end",
        "RFC 1035 §2.3.1",
        host!(" shop.example."),
        seen("GET /case"),
    ),
    passed(
        "host with an underscore",
        "RFC 3986 §3.2.2",
        host!(" my_shop.example"),
        seen("GET /case").with(&[("host", Some("my_shop.example"))]),
    ),
    passed(
        "IPv4",
        "RFC 3986 §3.2.2",
        host!(" 192.0.2.1:80"),
        seen("GET /case").with(&[("host", Some("192.0.2.1:80"))]),
    ),
    passed(
        "IPv6",
        "RFC 3986 §3.2.2",
        host!(" [2001:db8::1]:80"),
        seen("GET /case").with(&[("host", Some("[2001:db8::1]:80"))]),
    ),
];
