//! Status lines: versions, codes, reasons, and what is no HTTP at all.

use crate::hostile::response::{Reply, passed, refused, run, wanted};

#[test]
fn status_lines() {
    run(CASES);
}

/// A response with this first line and no content.
macro_rules! line {
    ($line:literal) => {
        concat!($line, "\r\nContent-Length: 0\r\n\r\n").as_bytes()
    };
}

pub(super) const CASES: &[Reply] = &[
    refused(
        "answer without a head",
        "RFC 9112 §4",
        b"hello, world\r\n\r\n",
    )
    .split(),
    refused(
        "answer of HTML",
        "RFC 9112 §4",
        b"<html><body>hello</body></html>\r\n\r\n",
    ),
    refused("answer of an empty line", "RFC 9112 §4", b"\r\n\r\n"),
    refused(
        "answer behind an empty line",
        "RFC 9112 §4",
        line!("\r\nHTTP/1.1 200 OK"),
    ),
    refused(
        "answer behind a space",
        "RFC 9112 §4",
        line!(" HTTP/1.1 200 OK"),
    ),
    refused(
        "answer behind a NUL",
        "RFC 9112 §4",
        line!("\0HTTP/1.1 200 OK"),
    ),
    refused(
        "answer behind a byte order mark",
        "RFC 9112 §4",
        line!("\u{feff}HTTP/1.1 200 OK"),
    ),
    refused(
        "answer of TLS",
        "RFC 8446 §6",
        b"\x15\x03\x03\x00\x02\x02\x46\r\n\r\n",
    ),
    refused(
        "answer of HTTP/2",
        "RFC 9113 §3.4",
        b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64\r\n\r\n",
    ),
    refused(
        "answer of SMTP",
        "RFC 9112 §4",
        b"220 mail.example ESMTP\r\n\r\n",
    ),
    refused("answer of ICY", "RFC 9112 §4", line!("ICY 200 OK")),
    refused(
        "answer that is a request",
        "RFC 9112 §4",
        b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "answer of version 2.0",
        "RFC 9112 §2.3",
        line!("HTTP/2.0 200 OK"),
    ),
    refused(
        "answer of version 2",
        "RFC 9112 §2.3",
        line!("HTTP/2 200 OK"),
    ),
    refused(
        "answer of version 1.2",
        "RFC 9112 §2.3",
        line!("HTTP/1.2 200 OK"),
    ),
    refused(
        "answer of version 0.9",
        "RFC 9112 §2.3",
        line!("HTTP/0.9 200 OK"),
    ),
    refused(
        "answer of version 1.10",
        "RFC 9112 §2.3",
        line!("HTTP/1.10 200 OK"),
    ),
    refused(
        "answer in lower case",
        "RFC 9112 §2.3",
        line!("http/1.1 200 OK"),
    ),
    refused("status 099", "RFC 9110 §15", line!("HTTP/1.1 099 Odd")),
    refused("status 000", "RFC 9110 §15", line!("HTTP/1.1 000 Odd")),
    refused("status 1000", "RFC 9112 §4", line!("HTTP/1.1 1000 Odd")),
    refused("status 20", "RFC 9112 §4", line!("HTTP/1.1 20 OK")),
    refused("status of letters", "RFC 9112 §4", line!("HTTP/1.1 abc OK")),
    refused(
        "status with a letter",
        "RFC 9112 §4",
        line!("HTTP/1.1 20O OK"),
    ),
    refused(
        "status with a sign",
        "RFC 9112 §4",
        line!("HTTP/1.1 +20 OK"),
    ),
    refused(
        "status in hexadecimal",
        "RFC 9112 §4",
        line!("HTTP/1.1 0xC OK"),
    ),
    refused(
        "status with a fraction",
        "RFC 9112 §4",
        line!("HTTP/1.1 200.1 OK"),
    ),
    refused("no status", "RFC 9112 §4", line!("HTTP/1.1 OK")),
    refused(
        "nothing behind the version",
        "RFC 9112 §4",
        line!("HTTP/1.1"),
    ),
    refused(
        "no space before the status",
        "RFC 9112 §4",
        line!("HTTP/1.1200 OK"),
    ),
    refused(
        "no space behind the status",
        "RFC 9112 §4",
        line!("HTTP/1.1 200OK"),
    ),
    refused(
        "two spaces before the status",
        "RFC 9112 §4",
        line!("HTTP/1.1  200 OK"),
    ),
    refused(
        "tab before the status",
        "RFC 9112 §4",
        line!("HTTP/1.1\t200 OK"),
    ),
    refused(
        "tab behind the status",
        "RFC 9112 §4",
        line!("HTTP/1.1 200\tOK"),
    ),
    refused(
        "NUL in the reason",
        "RFC 9112 §4",
        line!("HTTP/1.1 200 O\0K"),
    ),
    refused(
        "CR in the reason",
        "RFC 9112 §2.2",
        line!("HTTP/1.1 200 O\rK"),
    ),
    refused(
        "control character in the reason",
        "RFC 9112 §4",
        line!("HTTP/1.1 200 O\x1b[2J"),
    ),
    refused(
        "status line ended by LF alone",
        "RFC 9112 §2.2",
        b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    )
    .split(),
    refused(
        "status line ended by CR alone",
        "RFC 9112 §2.2",
        b"HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n",
    ),
    refused(
        "status line folded",
        "RFC 9112 §5.2",
        b"HTTP/1.1 200\r\n OK\r\nContent-Length: 0\r\n\r\n",
    ),
    passed(
        "status without a reason",
        "RFC 9112 §4",
        line!("HTTP/1.1 200 "),
        wanted(200, b""),
    ),
    passed(
        "status without space and reason",
        "RFC 9112 §4",
        line!("HTTP/1.1 404"),
        wanted(404, b""),
    ),
    passed(
        "reason beyond ASCII",
        "RFC 9112 §4",
        b"HTTP/1.1 200 Sch\xf6n\tso\r\nContent-Length: 0\r\n\r\n",
        wanted(200, b""),
    )
    .split(),
    passed(
        "status that nobody knows",
        "RFC 9110 §15",
        line!("HTTP/1.1 299 Odd"),
        wanted(299, b""),
    ),
    passed(
        "status beyond the classes",
        "RFC 9110 §15",
        line!("HTTP/1.1 999 Odd"),
        wanted(999, b""),
    ),
    passed(
        "answer of HTTP/1.0",
        "RFC 9112 §9.3",
        line!("HTTP/1.0 200 OK"),
        wanted(200, b""),
    )
    .spent(),
    passed(
        "answer of HTTP/1.0 that stays",
        "RFC 9112 §9.3",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
        wanted(200, b"").with(&[("connection", None)]),
    ),
];
