//! Interim responses: relayed, bounded, never taken for the answer.

use crate::hostile::response::{Reply, passed, refused, run, wanted};

#[test]
fn interim_responses() {
    run(CASES);
}

#[test]
fn interim_responses_that_are_many() {
    run(&computed());
}

/// These bytes, and then a sound answer.
macro_rules! before_ok {
    ($interim:literal) => {
        concat!($interim, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").as_bytes()
    };
}

pub(super) const CASES: &[Reply] = &[
    passed("100 that nobody asked for", "RFC 9110 §15.2", before_ok!("HTTP/1.1 100 Continue\r\n\r\n"), wanted(200, b"hi").interim(&[100])).split(),
    passed("102", "RFC 9110 §15.2", before_ok!("HTTP/1.1 102 Processing\r\n\r\n"), wanted(200, b"hi").interim(&[102])),
    passed("103", "RFC 8297 §2", before_ok!("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"), wanted(200, b"hi").interim(&[103])),
    passed("an interim response that nobody knows", "RFC 9110 §15", before_ok!("HTTP/1.1 199 Odd\r\n\r\n"), wanted(200, b"hi").interim(&[199])),
    passed("several interim responses", "RFC 9110 §15.2", before_ok!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 \r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"), wanted(200, b"hi").interim(&[100, 102, 103])).split(),
    passed("an interim response to HTTP/1.0", "RFC 9110 §15.2", before_ok!("HTTP/1.1 103 Early Hints\r\n\r\n"), wanted(200, b"hi")).to(b"GET /case HTTP/1.0\r\nHost: a\r\n\r\n").closed(),
    passed("an interim response with close", "RFC 9110 §7.6.1", before_ok!("HTTP/1.1 103 Early Hints\r\nConnection: X\r\nX: 1\r\n\r\n"), wanted(200, b"hi").interim(&[103])),
    refused("101 that nobody asked for", "RFC 9110 §15.2.2", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    refused("101 without a word of what to", "RFC 9110 §15.2.2", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    refused("101 and bytes of another protocol", "RFC 9110 §15.2.2", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n\0\0\0\x04\0\0\0\0\0").split(),
    refused("101 to h2c, which was not passed on", "RFC 9110 §7.8", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n").to(b"GET /case HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
    refused("101 and then an answer", "RFC 9110 §15.2.2", before_ok!("HTTP/1.1 101 Switching Protocols\r\n\r\n")),
    refused("an interim response with a length", "RFC 9110 §8.6", before_ok!("HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n")),
    refused("an interim response with a body", "RFC 9110 §15.2", before_ok!("HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello")),
    refused("an interim response with chunks", "RFC 9112 §6.1", before_ok!("HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n")),
    refused("an interim response with bytes behind it", "RFC 9112 §6.3", before_ok!("HTTP/1.1 100 Continue\r\n\r\nhello\r\n\r\n")),
    refused("an interim response that is folded", "RFC 9112 §5.2", before_ok!("HTTP/1.1 103 Early Hints\r\nLink: </a>,\r\n </b>\r\n\r\n")),
    refused("an interim response ended by LF", "RFC 9112 §2.2", before_ok!("HTTP/1.1 100 Continue\n\n")),
    refused("an interim response and no answer", "RFC 9112 §8", b"HTTP/1.1 100 Continue\r\n\r\n").closing(),
    refused("an interim response and a malformed answer", "RFC 9112 §4", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2000 OK\r\n\r\n"),
];

pub(super) fn computed() -> Vec<Reply> {
    let flood = |interim: &str, count: usize| -> &'static [u8] {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        format!("{}{answer}", interim.repeat(count))
            .leak()
            .as_bytes()
    };
    let first = wanted(200, b"hi");
    vec![
        passed(
            "a flood of 100",
            "RFC 9110 §15.2",
            flood("HTTP/1.1 100 Continue\r\n\r\n", 500),
            first.interim(&[100, 100]),
        ),
        passed(
            "a flood of 102",
            "RFC 9110 §15.2",
            flood("HTTP/1.1 102 \r\n\r\n", 500),
            first.interim(&[102, 102]),
        ),
        passed(
            "a flood of 103",
            "RFC 8297 §2",
            flood("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", 500),
            first.interim(&[103, 103]),
        ),
    ]
}
