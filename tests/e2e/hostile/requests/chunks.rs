//! Chunks: their sizes, their ends, their extensions.

use super::{chunked, kept};
use crate::hostile::request::{Case, Seen, Step, breaks, passed, run, seen};

#[test]
fn chunks() {
    run(CASES);
}

#[test]
fn chunks_that_are_many_or_long() {
    run(&computed());
}

const HELLO: Seen = seen("POST /case").body(b"hello").with(&[
    ("transfer-encoding", Some("chunked")),
    ("content-length", None),
]);

pub(super) const CASES: &[Case] = &[
    breaks(
        "size with 0x",
        "RFC 9112 §7.1",
        chunked!("0x5\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size with a plus",
        "RFC 9112 §7.1",
        chunked!("+5\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size with a minus",
        "RFC 9112 §7.1",
        chunked!("-5\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "space before a size",
        "RFC 9112 §7.1",
        chunked!(" 5\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "space behind a size",
        "RFC 9112 §7.1",
        chunked!("5 \r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "tab behind a size",
        "RFC 9112 §7.1",
        chunked!("5\t\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "space behind the last size",
        "RFC 9112 §7.1",
        chunked!("5\r\nhello\r\n0 \r\n\r\n"),
    ),
    breaks(
        "two sizes",
        "RFC 9112 §7.1",
        chunked!("5 5\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size with a comma",
        "RFC 9112 §7.1",
        chunked!("5,5\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size with an underscore",
        "RFC 9112 §7.1",
        chunked!("0_5\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size that is no number",
        "RFC 9112 §7.1",
        chunked!("g\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size with h behind",
        "RFC 9112 §7.1",
        chunked!("5h\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size that is empty",
        "RFC 9112 §7.1",
        chunked!("\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size that is an extension",
        "RFC 9112 §7.1",
        chunked!(";a=b\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size with a NUL",
        "RFC 9112 §7.1",
        chunked!("5\0\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size beyond 64 bits",
        "RFC 9112 §7.1",
        chunked!("10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size of all 64 bits",
        "RFC 9112 §7.1",
        chunked!("ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size beyond signed 64 bits",
        "RFC 9112 §7.1",
        chunked!("8000000000000005\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size beyond 128 bits",
        "RFC 9112 §7.1",
        chunked!("100000000000000000000000000000005\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size of very many zeros",
        "RFC 9112 §7.1",
        chunked!("000000000000000000000000000000000005\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size ended by LF alone",
        "RFC 9112 §7.1",
        chunked!("5\nhello\r\n0\r\n\r\n"),
    )
    .split(),
    breaks(
        "size ended by CR alone",
        "RFC 9112 §7.1",
        chunked!("5\rhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size ended by CR CR LF",
        "RFC 9112 §7.1",
        chunked!("5\r\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "size ended by LF CR",
        "RFC 9112 §7.1",
        chunked!("5\n\rhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "last size ended by LF alone",
        "RFC 9112 §7.1",
        chunked!("5\r\nhello\r\n0\n\r\n"),
    ),
    breaks(
        "body ended by LF alone",
        "RFC 9112 §7.1",
        chunked!("5\r\nhello\r\n0\r\n\n"),
    ),
    breaks(
        "body ended by LF LF",
        "RFC 9112 §7.1",
        chunked!("5\r\nhello\r\n0\n\n"),
    ),
    breaks(
        "chunk ended by LF alone",
        "RFC 9112 §7.1",
        chunked!("5\r\nhello\n0\r\n\r\n"),
    ),
    breaks(
        "chunk ended by CR alone",
        "RFC 9112 §7.1",
        chunked!("5\r\nhello\r0\r\n\r\n"),
    ),
    breaks(
        "chunk that is not ended",
        "RFC 9112 §7.1",
        chunked!("5\r\nhello0\r\n\r\n"),
    ),
    breaks(
        "chunk that is longer than its size",
        "RFC 9112 §7.1",
        chunked!("5\r\nhello!\r\n0\r\n\r\n"),
    ),
    breaks(
        "chunk that is shorter than its size",
        "RFC 9112 §7.1",
        chunked!("5\r\nhell\r\n0\r\n\r\n"),
    ),
    breaks(
        "chunk ended by two bytes that are no CRLF",
        "RFC 9112 §7.1",
        chunked!("5\r\nhelloXX0\r\n\r\n"),
    ),
    breaks(
        "extension without a name",
        "RFC 9112 §7.1.1",
        chunked!("5;\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "extension without a value",
        "RFC 9112 §7.1.1",
        chunked!("5;a=\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "extension with a value alone",
        "RFC 9112 §7.1.1",
        chunked!("5;=b\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "extension of two words",
        "RFC 9112 §7.1.1",
        chunked!("5;a b\r\nhello\r\n0\r\n\r\n"),
    ),
    // RFC 9110 section 5.6.3 would have it borne; but readers differ about it, and nobody honest sends it.
    breaks(
        "extension behind a space",
        "RFC 9112 §7.1.1",
        chunked!("5 ;a=b\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "extension behind a tab",
        "RFC 9112 §7.1.1",
        chunked!("5\t;a=b\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "extension with a quote left open",
        "RFC 9112 §7.1.1",
        chunked!("5;a=\"b\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "extension with bytes behind its quote",
        "RFC 9112 §7.1.1",
        chunked!("5;a=\"b\"c\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "extension with CR",
        "RFC 9112 §7.1.1",
        chunked!("5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "extension with a quoted CR",
        "RFC 9112 §7.1.1",
        chunked!("5;a=\"\r\"\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "extension ended by LF alone",
        "RFC 9112 §7.1.1",
        chunked!("5;a\nhello\r\n0\r\n\r\n"),
    )
    .split(),
    breaks(
        "extension with a quoted LF",
        "RFC 9112 §7.1.1",
        chunked!("5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "extension with a quoted CRLF",
        "RFC 9112 §7.1.1",
        chunked!("5;a=\"\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nX: \"\r\n"),
    ),
    breaks(
        "extension with NUL",
        "RFC 9112 §7.1.1",
        chunked!("5;a\0\r\nhello\r\n0\r\n\r\n"),
    ),
    breaks(
        "extension of the last chunk, ended by LF",
        "RFC 9112 §7.1.1",
        chunked!("5\r\nhello\r\n0;a\n\r\n"),
    ),
    breaks("no last chunk", "RFC 9112 §8", chunked!("5\r\nhello\r\n")).finishing(),
    breaks(
        "no end behind the last chunk",
        "RFC 9112 §8",
        chunked!("5\r\nhello\r\n0\r\n"),
    )
    .finishing(),
    breaks("no chunk at all", "RFC 9112 §8", chunked!("")).finishing(),
    breaks("chunk cut short", "RFC 9112 §8", chunked!("5\r\nhel")).finishing(),
    passed(
        "several chunks",
        "RFC 9112 §7.1",
        chunked!("1\r\nh\r\n3\r\nell\r\n1\r\no\r\n0\r\n\r\n"),
        HELLO,
    )
    .split(),
    passed(
        "no content",
        "RFC 9112 §7.1",
        chunked!("0\r\n\r\n"),
        seen("POST /case").with(&[("transfer-encoding", Some("chunked"))]),
    ),
    passed(
        "size in upper case",
        "RFC 9112 §7.1",
        chunked!("A\r\nhellohello\r\n0\r\n\r\n"),
        seen("POST /case").body(b"hellohello"),
    ),
    passed(
        "size in lower case",
        "RFC 9112 §7.1",
        chunked!("a\r\nhellohello\r\n0\r\n\r\n"),
        seen("POST /case").body(b"hellohello"),
    ),
    passed(
        "size with some zeros",
        "RFC 9112 §7.1",
        chunked!("00000005\r\nhello\r\n0000\r\n\r\n"),
        HELLO,
    ),
    passed(
        "extension with a name",
        "RFC 9112 §7.1.1",
        chunked!("5;a\r\nhello\r\n0;b\r\n\r\n"),
        HELLO,
    ),
    passed(
        "extension with a value behind spaces",
        "RFC 9112 §7.1.1",
        chunked!("5; a = b ;c\r\nhello\r\n0\r\n\r\n"),
        HELLO,
    ),
    passed(
        "extension with a quoted value",
        "RFC 9112 §7.1.1",
        chunked!("5;a=\"b;\\\"=,c\"\r\nhello\r\n0\r\n\r\n"),
        HELLO,
    )
    .split(),
    passed(
        "content of line ends",
        "RFC 9112 §7.1",
        chunked!("8\r\n\r\n0\r\n\r\n\n\r\n0\r\n\r\n"),
        seen("POST /case").body(b"\r\n0\r\n\r\n\n"),
    ),
    passed(
        "a request behind the last chunk",
        "RFC 9112 §9.3.2",
        chunked!("5\r\nhello\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n"),
        HELLO,
    )
    .then(Step::Passes(seen("GET /next")))
    .split(),
];

const HEAD: &str = "POST /case HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

pub(super) fn computed() -> Vec<Case> {
    let sent = |body: &str| kept(format!("{HEAD}{body}"));
    let extension = |length: usize| format!("1;{}\r\nx\r\n", "a".repeat(length));
    let chunks = |count: usize| format!("{}0\r\n\r\n", extension(500).repeat(count));
    let content = |length: usize| "x".repeat(length).leak().as_bytes();
    vec![
        passed(
            "extension of nearly a kilobyte",
            "RFC 9112 §7.1.1",
            sent(&(extension(1000) + "0\r\n\r\n")),
            seen("POST /case").body(b"x"),
        ),
        breaks(
            "extension of more than a kilobyte",
            "RFC 9112 §7.1.1",
            sent(&(extension(1100) + "0\r\n\r\n")),
        ),
        breaks(
            "extension without an end",
            "RFC 9112 §7.1.1",
            sent(&format!("1;{}", "a".repeat(20_000))),
        ),
        passed(
            "some extensions",
            "RFC 9112 §7.1.1",
            sent(&chunks(20)),
            seen("POST /case").body(content(20)),
        ),
        breaks(
            "hardly anything but extensions",
            "RFC 9112 §7.1.1",
            sent(&chunks(40)),
        ),
        passed(
            "a thousand chunks of a byte",
            "RFC 9112 §7.1",
            sent(&("1\r\nx\r\n".repeat(1000) + "0\r\n\r\n")),
            seen("POST /case").body(content(1000)),
        ),
        passed(
            "a chunk larger than any buffer",
            "RFC 9112 §7.1",
            sent(&format!("30d40\r\n{}\r\n0\r\n\r\n", "x".repeat(200_000))),
            seen("POST /case").body(content(200_000)),
        ),
        breaks(
            "a fault behind much that was sound",
            "RFC 9112 §7.1",
            sent(&("1\r\nx\r\n".repeat(1000) + "0x0\r\n\r\n")),
        ),
    ]
}
