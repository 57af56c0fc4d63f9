//! Fields that HTTP/2 can say and HTTP/1 must never get to read, what they say of the content, and what is sound
//! (RFC 9113 sections 8.1 and 8.2).
#![allow(clippy::too_many_lines, reason = "tables")]

use super::case::{Case, Want, case, run, seen};
use super::frame::{self as f, data, head, headers};
use super::heads::{BAD, BAD_NAME, Bytes, HOST, MALFORMED, METHOD, PATH, SCHEME, of, to, with};
use super::raw::get;

#[test]
fn fields() {
    run(&cases());
}

pub(super) fn cases() -> Vec<Case> {
    [
        connection_fields(),
        names(),
        values(),
        lengths(),
        limits(),
        sound(),
    ]
    .concat()
}

const BAD_VALUE: Want = BAD_NAME;

fn connection_fields() -> Vec<Case> {
    let rule = "RFC 9113 §8.2.2";
    vec![
        case("connection", rule, with(b"connection", b"close"), MALFORMED),
        case(
            "keep-alive",
            rule,
            with(b"keep-alive", b"timeout=5"),
            MALFORMED,
        ),
        case(
            "proxy-connection",
            rule,
            with(b"proxy-connection", b"keep-alive"),
            MALFORMED,
        ),
        case(
            "transfer-encoding",
            rule,
            with(b"transfer-encoding", b"chunked"),
            MALFORMED,
        ),
        case("upgrade", rule, with(b"upgrade", b"websocket"), MALFORMED),
        case(
            "te that is no trailers",
            rule,
            with(b"te", b"gzip"),
            MALFORMED,
        ),
        case(
            "te with more than trailers",
            rule,
            with(b"te", b"trailers, gzip"),
            MALFORMED,
        ),
        case(
            "te: trailers",
            rule,
            with(b"te", b"trailers"),
            Want::Passes(seen("GET /case")),
        ),
        case(
            "transfer_encoding",
            "RFC 9110 §5.1",
            with(b"transfer_encoding", b"chunked"),
            BAD,
        ),
        case(
            "content_length",
            "RFC 9110 §5.1",
            with(b"content_length", b"5"),
            BAD,
        ),
    ]
}

fn names() -> Vec<Case> {
    let rule = "RFC 9113 §8.2.1";
    vec![
        case(
            "a name in upper case",
            rule,
            with(b"X-Upper", b"1"),
            BAD_NAME,
        ),
        case("an empty name", rule, with(b"", b"1"), BAD_NAME),
        case("a name with a space", rule, with(b"x a", b"1"), BAD_NAME),
        case(
            "a name with a space behind",
            rule,
            with(b"content-length ", b"5"),
            BAD_NAME,
        ),
        case("a name with a colon", rule, with(b"x:a", b"1"), BAD_NAME),
        case(
            "a name with a line end",
            rule,
            with(b"x\r\ny", b"1"),
            BAD_NAME,
        ),
        case("a name with a NUL", rule, with(b"x\0y", b"1"), BAD_NAME),
        case("a name above ASCII", rule, with(b"x-\xe9", b"1"), BAD_NAME),
        case(
            "a name with a quotation mark",
            rule,
            with(b"x\"y", b"1"),
            BAD,
        ),
        case("a name in parentheses", rule, with(b"x(y)", b"1"), BAD_NAME),
    ]
}

fn values() -> Vec<Case> {
    let rule = "RFC 9113 §8.2.1";
    vec![
        case(
            "a value with CR and LF",
            rule,
            with(b"x-a", b"1\r\nx-b: 2"),
            BAD_VALUE,
        ),
        case(
            "a value with LF",
            rule,
            with(b"x-a", b"1\nx-b: 2"),
            BAD_VALUE,
        ),
        case(
            "a value with CR",
            rule,
            with(b"x-a", b"1\rx-b: 2"),
            BAD_VALUE,
        ),
        case("a value with NUL", rule, with(b"x-a", b"1\x002"), BAD_VALUE),
        case("a value with DEL", rule, with(b"x-a", b"1\x7f2"), BAD_VALUE),
        case(
            "a value with a space before",
            rule,
            with(b"x-a", b" 1"),
            BAD,
        ),
        case(
            "a value with a space behind",
            rule,
            with(b"x-a", b"1 "),
            BAD,
        ),
        case("a value with a tab before", rule, with(b"x-a", b"\t1"), BAD),
        case(
            "a value with a tab within",
            rule,
            with(b"x-a", b"1\t2"),
            Want::Passes(seen("GET /case").with("x-a", Some("1\t2"))),
        ),
        case(
            "an empty value",
            rule,
            with(b"x-a", b""),
            Want::Passes(seen("GET /case").with("x-a", Some(""))),
        ),
    ]
}

/// What a head says of the length, and what comes.
fn lengths() -> Vec<Case> {
    let rule = "RFC 9113 §8.1.1";
    let posted = |length: Bytes, content: &[u8]| {
        let head = headers(
            1,
            0,
            &[
                (b":method", b"POST"),
                SCHEME,
                HOST,
                PATH,
                (b"content-length", length),
            ],
        );
        [head, data(1, f::END_STREAM, content)].concat()
    };
    vec![
        case(
            "less content than said",
            rule,
            posted(b"10", b"hello"),
            MALFORMED,
        ),
        case(
            "more content than said",
            rule,
            posted(b"3", b"hello"),
            MALFORMED,
        ),
        case(
            "no content where some was said",
            rule,
            with(b"content-length", b"5"),
            MALFORMED,
        ),
        case(
            "two lengths that agree",
            "RFC 9110 §8.6",
            of(&[
                METHOD,
                SCHEME,
                HOST,
                PATH,
                (b"content-length", b"0"),
                (b"content-length", b"0"),
            ]),
            BAD,
        ),
        case(
            "two lengths that differ",
            "RFC 9110 §8.6",
            of(&[
                METHOD,
                SCHEME,
                HOST,
                PATH,
                (b"content-length", b"0"),
                (b"content-length", b"5"),
            ]),
            MALFORMED,
        ),
        case(
            "a length with a plus",
            "RFC 9110 §8.6",
            posted(b"+5", b"hello"),
            MALFORMED,
        ),
        case(
            "a length that is a list",
            "RFC 9110 §8.6",
            posted(b"5, 5", b"hello"),
            MALFORMED,
        ),
        case(
            "a length above 64 bits",
            "RFC 9110 §8.6",
            posted(b"99999999999999999999999", b"hello"),
            MALFORMED,
        ),
        case(
            "a length that is right",
            rule,
            posted(b"5", b"hello"),
            Want::Passes(
                seen("POST /case")
                    .body(b"hello")
                    .with("content-length", Some("5"))
                    .with("transfer-encoding", None),
            ),
        ),
    ]
}

fn limits() -> Vec<Case> {
    let many: Vec<(String, &str)> = (0..60).map(|number| (format!("x-{number}"), "1")).collect();
    let mut fields: Vec<(&[u8], &[u8])> = vec![METHOD, SCHEME, HOST, PATH];
    fields.extend(
        many.iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes())),
    );
    let too_many = of(&fields);
    let long = [b'x'; 9000];
    let longer = [b'x'; 15_000];
    let posted = headers(
        1,
        0,
        &[
            (b":method", b"POST"),
            SCHEME,
            HOST,
            PATH,
            (b"content-length", b"1048577"),
        ],
    );
    vec![
        case(
            "too many fields",
            "RFC 9110 §5.4",
            too_many,
            Want::Answered(431),
        ),
        case(
            "a field over the limit of the head",
            "RFC 9113 §10.5.1",
            with(b"x-long", &long),
            Want::Answered(431),
        ),
        case(
            "a field far over the limit of the head",
            "RFC 9113 §10.5.1",
            with(b"x-longer", &longer),
            Want::Answered(431),
        ),
        case(
            "more content announced than the limit",
            "RFC 9110 §15.5.14",
            posted,
            Want::AnsweredEarly(413),
        ),
    ]
}

fn sound() -> Vec<Case> {
    let trailers = |fields: &[(&str, &str)]| {
        [
            headers(1, 0, &[(b":method", b"POST"), SCHEME, HOST, PATH]),
            data(1, 0, b"hello"),
            head(1, f::END_STREAM, fields),
        ]
        .concat()
    };
    let passed = seen("POST /case")
        .body(b"hello")
        .with("transfer-encoding", Some("chunked"));
    let mut cookies = get("/case").to_vec();
    cookies.extend([
        ("cookie", "a=1"),
        ("x-between", "1"),
        ("cookie", "b=2"),
        ("cookie", "c=3"),
    ]);
    vec![
        case(
            "cookies in pieces",
            "RFC 9113 §8.2.3",
            head(1, f::END_STREAM, &cookies),
            Want::Passes(seen("GET /case").with("cookie", Some("a=1; b=2; c=3"))),
        ),
        case(
            "trailers",
            "RFC 9113 §8.1",
            trailers(&[("x-sum", "7")]),
            Want::Passes(passed.clone().trailer("x-sum", "7")),
        ),
        case(
            "trailers that frame",
            "RFC 9110 §6.5.1",
            trailers(&[("x-sum", "7"), ("content-length", "3")]),
            Want::Passes(passed.clone().trailer("x-sum", "7")),
        ),
        case(
            "trailers with a pseudo-field, which is dropped",
            "RFC 9113 §8.1",
            trailers(&[(":path", "/x"), ("x-sum", "7")]),
            Want::Passes(passed.trailer("x-sum", "7")),
        ),
        case(
            "trailers of the connection",
            "RFC 9113 §8.2.2",
            trailers(&[("transfer-encoding", "chunked")]),
            MALFORMED,
        ),
        case(
            "a query",
            "RFC 9113 §8.3.1",
            to(b"/case?a=b&c=%20d"),
            Want::Passes(seen("GET /case?a=b&c=%20d")),
        ),
        case(
            "a scheme that is not the connection's",
            "RFC 9113 §8.3.1",
            of(&[METHOD, (b":scheme", b"https"), HOST, PATH]),
            Want::Passes(seen("GET /case")),
        ),
        case(
            "a method of one's own",
            "RFC 9110 §9.1",
            of(&[(b":method", b"PURGE"), SCHEME, HOST, PATH]),
            Want::Passes(seen("PURGE /case")),
        ),
        case(
            "HEAD",
            "RFC 9110 §9.3.2",
            of(&[(b":method", b"HEAD"), SCHEME, HOST, PATH]),
            Want::Passes(seen("HEAD /case")),
        ),
        case(
            "a GET with content",
            "RFC 9110 §9.3.1",
            [
                headers(1, 0, &[METHOD, SCHEME, HOST, PATH]),
                data(1, f::END_STREAM, b"hello"),
            ]
            .concat(),
            Want::Passes(seen("GET /case").body(b"hello")),
        ),
        case(
            "a POST without content",
            "RFC 9110 §8.6",
            of(&[(b":method", b"POST"), SCHEME, HOST, PATH]),
            Want::Passes(seen("POST /case").with("transfer-encoding", None)),
        ),
        case(
            "expect without content",
            "RFC 9110 §10.1.1",
            with(b"expect", b"100-continue"),
            Want::Passes(seen("GET /case")),
        ),
    ]
}
