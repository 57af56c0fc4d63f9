//! Heads that attack, each with the rule that stops it, and odd ones that have to pass.

use super::{HeadError, HeadScan, Limits, parse_request, read_request, read_response};
use crate::h1::HeadErrorKind;
use crate::message::framing::{Framing, FramingError, request_framing, response_framing};
use crate::message::head::{Head, Name, Version};
use crate::message::method::Method;

#[test]
fn hostile_requests_are_refused() {
    for (bytes, error) in HOSTILE_REQUESTS {
        assert_eq!(
            read_request(bytes).map(|_| ()),
            Err(*error),
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn hostile_responses_are_refused() {
    for (bytes, error) in [
        (&b"HTTP/1.1 099 Odd\r\n\r\n"[..], HeadError::Status),
        (b"HTTP/1.1 20 OK\r\n\r\n", HeadError::StartLine),
        (b"HTTP/1.1 2000 OK\r\n\r\n", HeadError::StartLine),
        (b"HTTP/1.1 +20 OK\r\n\r\n", HeadError::StartLine),
        (b"HTTP/1.1  200 OK\r\n\r\n", HeadError::StartLine),
        (b"HTTP/1.1\t200 OK\r\n\r\n", HeadError::StartLine),
        (b"HTTP/1.1 200\tOK\r\n\r\n", HeadError::StartLine),
        (b"HTTP/1.1 200 O\0K\r\n\r\n", HeadError::StartLine),
        (b"HTTP/1.1 200 O\rK\r\n\r\n", HeadError::StartLine),
        (b"HTTP/1.1 200 OK\n\r\n", HeadError::BareLf),
        (b"HTTP/2.0 200 OK\r\n\r\n", HeadError::Version),
        (b"ICY 200 OK\r\n\r\n", HeadError::StartLine),
        (
            b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            HeadError::FieldName,
        ),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", HeadError::FieldName),
        (
            b"HTTP/1.1 200 OK\r\nContent_Length: 1\r\n\r\n",
            HeadError::FieldName,
        ),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", HeadError::StartLine),
    ] {
        assert_eq!(
            read_response(bytes).map(|_| ()),
            Err(error),
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn parsing_is_strict_without_the_scan_before_it() {
    for bytes in [
        &b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\r\nHost:\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET",
        b"",
    ] {
        let mut head = Head::new();
        assert!(
            parse_request(bytes, &Limits::default(), &mut head).is_err(),
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn odd_messages_that_are_sound_pass() {
    let head = read_request(b"G!T /a?q={\"b\":[1|2]}^`\\<> HTTP/1.1\r\nhOST:\t a \t\r\nX_Y:\r\nZ: \xff\xe4 :;\r\n\r\nrest").unwrap();
    assert_eq!(head.method_bytes(), b"G!T");
    assert_eq!(head.method(), Method::Other);
    assert_eq!(head.target(), b"/a?q={\"b\":[1|2]}^`\\<>");
    assert_eq!(head.first(Name::Host), Some(&b"a"[..]));
    assert_eq!(head.first_named(b"x_y"), Some(&b""[..]));
    assert_eq!(head.first_named(b"z"), Some(&b"\xff\xe4 :;"[..]));
    assert_eq!(
        read_request(b"GET / HTTP/1.0\r\n\r\n").unwrap().version(),
        Version::Http10
    );
    for (bytes, reason) in [
        (
            &b"HTTP/1.1 200 Alles \xfc\tklar\r\nA: b\r\n\r\n"[..],
            &b"Alles \xfc\tklar"[..],
        ),
        (b"HTTP/1.1 200 \r\nA: b\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\nA: b\r\n\r\n", b""),
        (b"HTTP/1.0 999 x\r\nA: b\r\n\r\n", b"x"),
    ] {
        let head = read_response(bytes).unwrap();
        assert_eq!(head.reason(), reason);
        assert_eq!(head.first_named(b"a"), Some(&b"b"[..]));
    }
}

#[test]
fn smuggling_dies_at_the_framing() {
    let framed = |fields: &str| {
        let head =
            read_request(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).unwrap();
        request_framing(&head)
    };
    let both = framed("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n");
    assert_eq!(both, Err(FramingError::LengthAndCoding));
    assert_eq!(
        framed("Transfer-Encoding: xchunked\r\n"),
        Err(FramingError::TransferEncoding)
    );
    assert_eq!(
        framed("Transfer-Encoding: \"chunked\"\r\n"),
        Err(FramingError::TransferEncoding)
    );
    assert_eq!(
        framed("Transfer-Encoding:\r\n"),
        Err(FramingError::TransferEncoding)
    );
    assert_eq!(
        framed("Content-Length: 6\r\nContent-Length: 5\r\n"),
        Err(FramingError::RepeatedContentLength)
    );
    assert_eq!(
        framed("Content-Length:\r\n"),
        Err(FramingError::ContentLength)
    );
    assert_eq!(
        framed("Transfer-Encoding: \tchunked \r\n"),
        Ok(Framing::Chunked)
    );
    let early = read_response(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    assert_eq!(
        response_framing(&early, Method::Get),
        Err(FramingError::TransferEncodingVersion)
    );
}

#[test]
fn limits_hold_to_the_byte() {
    let bytes = b"GET /abc HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    let length = bytes.len();
    let find = |head_bytes| {
        HeadScan::default().find(
            bytes,
            &Limits {
                head_bytes,
                fields: 9,
            },
        )
    };
    assert_eq!(find(length), Ok(Some(length)));
    assert_eq!(find(length - 1), Err(HeadError::HeadTooLarge));
    assert_eq!(find(19), Err(HeadError::HeadTooLarge));
    assert_eq!(find(18), Err(HeadError::FirstLineTooLong));
    assert_eq!(find(0), Err(HeadError::FirstLineTooLong));
    let mut head = Head::new();
    let mut parse =
        |head_bytes, fields| parse_request(bytes, &Limits { head_bytes, fields }, &mut head);
    assert_eq!(parse(length, 2), Ok(()));
    assert_eq!(parse(length, 1), Err(HeadError::TooManyFields));
    assert_eq!(parse(length - 1, 2), Err(HeadError::HeadTooLarge));
    assert_eq!(
        HeadError::FirstLineTooLong.kind(),
        HeadErrorKind::TargetTooLong
    );
    assert_eq!(HeadError::TooManyFields.kind(), HeadErrorKind::HeadTooLarge);
    assert_eq!(HeadError::Version.kind(), HeadErrorKind::VersionUnsupported);
    assert_eq!(HeadError::BareLf.kind(), HeadErrorKind::Malformed);
}

#[test]
fn as_many_fields_are_read_as_are_allowed() {
    let bytes = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "a: b\r\n".repeat(300)
    );
    let mut head = Head::new();
    let mut parse = |fields| {
        parse_request(
            bytes.as_bytes(),
            &Limits {
                head_bytes: 1 << 20,
                fields,
            },
            &mut head,
        )
    };
    assert_eq!(parse(128), Err(HeadError::TooManyFields));
    assert_eq!(parse(300), Err(HeadError::TooManyFields));
    assert_eq!(parse(usize::MAX), Ok(()));
    assert_eq!(parse(301), Ok(()));
    assert_eq!(head.len(), 301);
}

#[test]
fn empty_lines_before_a_request_are_few() {
    let skipped = |bytes: &[u8]| HeadScan::default().skip_empty_lines(bytes);
    assert_eq!(skipped(b""), 0);
    assert_eq!(skipped(b"\r"), 0);
    assert_eq!(skipped(b"\r\n"), 2);
    assert_eq!(skipped(b"\r\n\r\nGET"), 4);
    assert_eq!(skipped(b"\r\n\r\n\r\nGET"), 4);
    assert_eq!(skipped(b"\n\nGET"), 0);
    // They are no more when they come one by one.
    let mut scan = HeadScan::default();
    assert_eq!(
        [(); 4].map(|()| scan.skip_empty_lines(b"\r\n")),
        [2, 2, 0, 0]
    );
    assert_eq!(
        scan.find(b"\r\n", &Limits::default()),
        Err(HeadError::StartLine)
    );
    scan.reset();
    assert_eq!(scan.skip_empty_lines(b"\r\nGET"), 2);
    let mut scan = HeadScan::default();
    assert_eq!(scan.find(b"\r", &Limits::default()), Ok(None));
    assert!(!scan.started());
    assert_eq!(scan.find(b"G", &Limits::default()), Ok(None));
    assert!(scan.started());
    scan.reset();
    assert!(!scan.started());
}

#[test]
fn what_was_read_of_a_refused_head_stays_for_the_log() {
    let mut head = Head::new();
    let refused = parse_request(b"GET /a HTTP/1.1\r\n\r\n", &Limits::default(), &mut head);
    assert_eq!(refused, Err(HeadError::HostMissing));
    assert_eq!(head.target(), b"/a");
    let refused = parse_request(b"GET\r\n\r\n", &Limits::default(), &mut head);
    assert_eq!(refused, Err(HeadError::StartLine));
    assert_eq!(head.target(), b"");
}

const HOSTILE_REQUESTS: &[(&[u8], HeadError)] = &[
    (b"GET / HTTP/1.1\nHost: a\r\n\r\n", HeadError::BareLf),
    (b"GET / HTTP/1.1\r\nHost: a\n\r\n", HeadError::BareLf),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\n", HeadError::BareLf),
    (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::BareLf),
    (
        b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        HeadError::StartLine,
    ),
    (b"GET / HTTP/1.1\rHost: a\r\n\r\n", HeadError::LineEnd),
    (
        b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        HeadError::FieldValue,
    ),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        HeadError::FieldValue,
    ),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        HeadError::FieldValue,
    ),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n",
        HeadError::FieldValue,
    ),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        HeadError::FieldName,
    ),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n",
        HeadError::FieldName,
    ),
    (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", HeadError::FieldName),
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", HeadError::FieldName),
    (b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", HeadError::FieldName),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        HeadError::FieldName,
    ),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        HeadError::FieldName,
    ),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\nX(): b\r\n\r\n",
        HeadError::FieldName,
    ),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\n\xc3\xa4: b\r\n\r\n",
        HeadError::FieldName,
    ),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 3\r\n\r\n",
        HeadError::FieldName,
    ),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\ntransfer_encoding: chunked\r\n\r\n",
        HeadError::FieldName,
    ),
    (b"GET / HTTP/1.1\r\n\r\n", HeadError::HostMissing),
    (b"GET http://a/ HTTP/1.1\r\n\r\n", HeadError::HostMissing),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
        HeadError::HostRepeated,
    ),
    (
        b"GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n",
        HeadError::HostRepeated,
    ),
    (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::Target),
    (
        b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
        HeadError::Target,
    ),
    (b"GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::Target),
    (
        b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
        HeadError::StartLine,
    ),
    (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::StartLine),
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::StartLine),
    (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::StartLine),
    (b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", HeadError::StartLine),
    (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", HeadError::LineEnd),
    (
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        HeadError::StartLine,
    ),
    (b"GET /\r\n\r\n", HeadError::StartLine),
    (b"GET\r\n\r\n", HeadError::StartLine),
    (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::StartLine),
    (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::StartLine),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01", HeadError::StartLine),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", HeadError::StartLine),
    (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", HeadError::LineEnd),
    (b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", HeadError::StartLine),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", HeadError::Version),
    (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", HeadError::Version),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HeadError::Version),
    (b"GET / HTTP/1.1\r\nHost: a\r\n", HeadError::Length),
];
