//! Pseudo-fields that HTTP/2 can say and HTTP/1 must never get to read (RFC 9113 section 8.3).
#![allow(clippy::too_many_lines, reason = "tables")]

use super::case::{Case, Want, case, run, seen};
use super::frame::{self as f, headers};

#[test]
fn heads() {
    run(&cases());
}

/// Malformed, which is the stream's end; some are understood far enough to be answered.
pub(super) const MALFORMED: Want = Want::Reset(&[f::PROTOCOL_ERROR]);
pub(super) const BAD: Want = Want::Answered(400);

/// The library takes such a name for a broken block, and ends the connection.
pub(super) const BAD_NAME: Want = Want::GoAway(&[f::PROTOCOL_ERROR, f::COMPRESSION_ERROR]);

pub(super) fn cases() -> Vec<Case> {
    [pseudo_fields(), paths(), authorities()].concat()
}

pub(super) type Bytes = &'static [u8];

pub(super) const METHOD: (Bytes, Bytes) = (b":method", b"GET");
pub(super) const SCHEME: (Bytes, Bytes) = (b":scheme", b"http");
pub(super) const HOST: (Bytes, Bytes) = (b":authority", b"shop.example");
pub(super) const PATH: (Bytes, Bytes) = (b":path", b"/case");

pub(super) fn of(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    headers(1, f::END_STREAM, fields)
}

/// A GET with one more field.
pub(super) fn with(name: &[u8], value: &[u8]) -> Vec<u8> {
    of(&[METHOD, SCHEME, HOST, PATH, (name, value)])
}

pub(super) fn to(path: &[u8]) -> Vec<u8> {
    of(&[METHOD, SCHEME, HOST, (b":path", path)])
}

fn at(authority: &[u8]) -> Vec<u8> {
    of(&[METHOD, SCHEME, (b":authority", authority), PATH])
}

fn pseudo_fields() -> Vec<Case> {
    let rule = "RFC 9113 §8.3";
    vec![
        case(
            "no method",
            "RFC 9113 §8.3.1",
            of(&[SCHEME, HOST, PATH]),
            MALFORMED,
        ),
        case(
            "no scheme",
            "RFC 9113 §8.3.1",
            of(&[METHOD, HOST, PATH]),
            MALFORMED,
        ),
        case(
            "no path",
            "RFC 9113 §8.3.1",
            of(&[METHOD, SCHEME, HOST]),
            MALFORMED,
        ),
        case(
            "two methods",
            "RFC 9113 §8.3.1",
            of(&[METHOD, METHOD, SCHEME, HOST, PATH]),
            MALFORMED,
        ),
        case(
            "two schemes",
            "RFC 9113 §8.3.1",
            of(&[METHOD, SCHEME, SCHEME, HOST, PATH]),
            MALFORMED,
        ),
        case(
            "two authorities",
            "RFC 9113 §8.3.1",
            of(&[METHOD, SCHEME, HOST, HOST, PATH]),
            MALFORMED,
        ),
        case(
            "two paths",
            "RFC 9113 §8.3.1",
            of(&[METHOD, SCHEME, HOST, PATH, PATH]),
            MALFORMED,
        ),
        case(
            "a pseudo-field that nobody knows",
            rule,
            with(b":colour", b"red"),
            BAD_NAME,
        ),
        case(
            "a pseudo-field of responses",
            rule,
            of(&[METHOD, SCHEME, HOST, PATH, (b":status", b"200")]),
            MALFORMED,
        ),
        case(
            "a pseudo-field behind a field",
            rule,
            of(&[METHOD, SCHEME, HOST, (b"x-a", b"1"), PATH]),
            MALFORMED,
        ),
        case(
            ":protocol without CONNECT",
            "RFC 9113 §8.3",
            of(&[METHOD, SCHEME, HOST, PATH, (b":protocol", b"websocket")]),
            MALFORMED,
        ),
        case(
            "an empty method",
            "RFC 9110 §9.1",
            of(&[(b":method", b""), SCHEME, HOST, PATH]),
            Want::GoAway(&[f::PROTOCOL_ERROR, f::COMPRESSION_ERROR]),
        ),
        case(
            "a method with a space",
            "RFC 9110 §9.1",
            of(&[(b":method", b"GET /x"), SCHEME, HOST, PATH]),
            Want::GoAway(&[f::PROTOCOL_ERROR, f::COMPRESSION_ERROR]),
        ),
        case(
            "a method with a line end",
            "RFC 9110 §9.1",
            of(&[(b":method", b"GET\r\n"), SCHEME, HOST, PATH]),
            Want::GoAway(&[f::PROTOCOL_ERROR, f::COMPRESSION_ERROR]),
        ),
        case(
            "a scheme of another kind",
            "RFC 9113 §8.3.1",
            of(&[METHOD, (b":scheme", b"ftp"), HOST, PATH]),
            BAD,
        ),
        case(
            "a scheme with a space",
            "RFC 9113 §8.3.1",
            of(&[METHOD, (b":scheme", b"ht tp"), HOST, PATH]),
            MALFORMED,
        ),
        case(
            "a scheme that is a URL",
            "RFC 9113 §8.3.1",
            of(&[METHOD, (b":scheme", b"http://evil.example/x?"), HOST, PATH]),
            MALFORMED,
        ),
        case(
            "an empty scheme",
            "RFC 9113 §8.3.1",
            of(&[METHOD, (b":scheme", b""), HOST, PATH]),
            BAD,
        ),
        case(
            "CONNECT with a path",
            "RFC 9113 §8.5",
            of(&[(b":method", b"CONNECT"), SCHEME, HOST, PATH]),
            MALFORMED,
        ),
        case(
            "CONNECT",
            "RFC 9113 §8.5",
            headers(
                1,
                0,
                &[
                    (b":method", b"CONNECT"),
                    (b":authority", b"shop.example:80"),
                ],
            ),
            Want::AnsweredEarly(405),
        ),
    ]
}

fn paths() -> Vec<Case> {
    let rule = "RFC 9113 §8.3.1";
    vec![
        case("an empty path", rule, to(b""), MALFORMED),
        case("a path without its slash", rule, to(b"case"), MALFORMED),
        case("a path with a space", rule, to(b"/ca se"), MALFORMED),
        case(
            "a path that is a request line",
            rule,
            to(b"/ HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /x"),
            MALFORMED,
        ),
        case("a path with a tab", rule, to(b"/ca\tse"), MALFORMED),
        case("a path with a NUL", rule, to(b"/ca\0se"), MALFORMED),
        case("a path with a line feed", rule, to(b"/ca\nse"), MALFORMED),
        case("a path with DEL", rule, to(b"/ca\x7fse"), MALFORMED),
        case(
            "a path with a fragment, which is cut off",
            rule,
            to(b"/case#part"),
            Want::Passes(seen("GET /case")),
        ),
        case(
            "an absolute path",
            rule,
            to(b"http://evil.example/case"),
            MALFORMED,
        ),
        case("a star for a GET", rule, to(b"*"), BAD),
        case(
            "OPTIONS of a star",
            rule,
            of(&[(b":method", b"OPTIONS"), SCHEME, HOST, (b":path", b"*")]),
            Want::Passes(seen("OPTIONS *")),
        ),
    ]
}

fn authorities() -> Vec<Case> {
    let rule = "RFC 9113 §8.3.1";
    let beside = |host: Bytes| with(b"host", host);
    vec![
        case(
            "an authority with a user",
            rule,
            at(b"user@shop.example"),
            BAD,
        ),
        case(
            "an authority with a user and a password",
            rule,
            at(b"user:pass@shop.example"),
            BAD,
        ),
        case(
            "an authority with a path",
            rule,
            at(b"shop.example/x"),
            MALFORMED,
        ),
        case(
            "an authority with a space",
            rule,
            at(b"shop example"),
            MALFORMED,
        ),
        case(
            "an authority with a comma",
            rule,
            at(b"a.example,b.example"),
            BAD,
        ),
        case(
            "an authority with a port too large",
            rule,
            at(b"shop.example:70000"),
            BAD,
        ),
        case(
            "an authority with a port of letters",
            rule,
            at(b"shop.example:http"),
            BAD,
        ),
        case(
            "an authority with two ports",
            rule,
            at(b"shop.example:80:80"),
            MALFORMED,
        ),
        case(
            "an authority with a line end",
            rule,
            at(b"shop.example\r\nx: 1"),
            MALFORMED,
        ),
        case(
            "an authority with a bracket that stays open",
            rule,
            at(b"[::1"),
            MALFORMED,
        ),
        case("an empty authority", rule, at(b""), MALFORMED),
        case(
            "another host beside the authority",
            rule,
            beside(b"evil.example"),
            BAD,
        ),
        case(
            "another port beside the authority",
            rule,
            beside(b"shop.example:81"),
            BAD,
        ),
        case(
            "two hosts beside the authority",
            rule,
            of(&[
                METHOD,
                SCHEME,
                HOST,
                PATH,
                (b"host", b"shop.example"),
                (b"host", b"shop.example"),
            ]),
            BAD,
        ),
        case(
            "two hosts and no authority",
            rule,
            of(&[
                METHOD,
                SCHEME,
                PATH,
                (b"host", b"shop.example"),
                (b"host", b"evil.example"),
            ]),
            BAD,
        ),
        case(
            "neither authority nor host",
            rule,
            of(&[METHOD, SCHEME, PATH]),
            BAD,
        ),
        case(
            "a host of the same name beside the authority",
            rule,
            beside(b"SHOP.example"),
            Want::Passes(seen("GET /case").with("host", Some("shop.example"))),
        ),
        case(
            "a host and no authority",
            rule,
            of(&[METHOD, SCHEME, PATH, (b"host", b"shop.example")]),
            Want::Passes(seen("GET /case").with("host", Some("shop.example"))),
        ),
        case(
            "an authority with a port",
            rule,
            at(b"shop.example:8080"),
            Want::Passes(seen("GET /case").with("host", Some("shop.example:8080"))),
        ),
        case(
            "an authority of IPv6",
            rule,
            at(b"[::1]:8080"),
            Want::Passes(seen("GET /case").with("host", Some("[::1]:8080"))),
        ),
    ]
}
