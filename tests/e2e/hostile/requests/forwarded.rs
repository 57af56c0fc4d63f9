//! Who the client is: strangers say nothing about it.

use super::get;
use crate::hostile::request::{Case, passed, run, seen};

#[test]
fn forwarded_fields() {
    run(CASES);
}

pub(super) const CASES: &[Case] = &[
    passed(
        "X-Forwarded-For of a stranger",
        "RFC 7239 §8.1",
        get!("X-Forwarded-For: 192.0.2.1\r\n"),
        seen("GET /case").with(&[("x-forwarded-for", Some("127.0.0.1"))]),
    ),
    passed(
        "X-Forwarded-For in odd case",
        "RFC 7239 §8.1",
        get!("x-fORWARDED-fOR: 192.0.2.1\r\n"),
        seen("GET /case").with(&[("x-forwarded-for", Some("127.0.0.1"))]),
    ),
    passed(
        "many X-Forwarded-For",
        "RFC 7239 §8.1",
        get!("X-Forwarded-For: a, b\r\nX-Forwarded-For:\r\nX-Forwarded-For: ,\r\n"),
        seen("GET /case").with(&[("x-forwarded-for", Some("127.0.0.1"))]),
    ),
    passed(
        "X_Forwarded_For",
        "RFC 7239 §8.1",
        get!("X_Forwarded_For: 192.0.2.1\r\nX-Forwarded_For: 192.0.2.1\r\n"),
        seen("GET /case").with(&[("x_forwarded_for", None), ("x-forwarded_for", None)]),
    ),
    passed(
        "X-Forwarded-Proto of a stranger",
        "RFC 7239 §8.1",
        get!("X-Forwarded-Proto: gopher\r\nX_FORWARDED_PROTO: gopher\r\n"),
        seen("GET /case").with(&[("x_forwarded_proto", None)]),
    ),
    passed(
        "X-Forwarded-Host of a stranger",
        "RFC 7239 §8.1",
        get!("X-Forwarded-Host: evil.example\r\nX_Forwarded_Host: evil.example\r\n"),
        seen("GET /case").with(&[
            ("x-forwarded-host", Some("shop.example")),
            ("x_forwarded_host", None),
        ]),
    ),
    passed(
        "X-Forwarded-Port, -Server and -Prefix of a stranger",
        "RFC 7239 §8.1",
        get!("X-Forwarded-Port: 1\r\nX-Forwarded-Server: a\r\nX-Forwarded-Prefix: /a\r\n"),
        seen("GET /case").with(&[
            ("x-forwarded-port", None),
            ("x-forwarded-server", None),
            ("x-forwarded-prefix", None),
        ]),
    ),
    passed(
        "X-Real-IP of a stranger",
        "RFC 7239 §8.1",
        get!("X-Real-IP: 192.0.2.1\r\nX_Real_IP: 192.0.2.1\r\n"),
        seen("GET /case").with(&[("x-real-ip", None), ("x_real_ip", None)]),
    ),
    passed(
        "Forwarded of a stranger",
        "RFC 7239 §4",
        get!("Forwarded: for=192.0.2.1;proto=https, for=\"[2001:db8::1]:1\"\r\n"),
        seen("GET /case").with(&[("forwarded", None)]),
    ),
    passed(
        "Forwarded that is malformed",
        "RFC 7239 §4",
        get!("Forwarded: for=\"\r\nForwarded: ;;=,\r\n"),
        seen("GET /case").with(&[("forwarded", None)]),
    ),
    passed(
        "X-Request-Id of a stranger",
        "RFC 9110 §5.5",
        get!("X-Request-Id: a\"><script>\r\n"),
        seen("GET /case"),
    ),
    passed(
        "several X-Request-Id",
        "RFC 9110 §5.3",
        get!("X-Request-Id: a\r\nx-request-id: b\r\n"),
        seen("GET /case"),
    ),
];
