//! `Transfer-Encoding`: the one word `chunked`, once, and never beside a length.

use super::{get, post};
use crate::hostile::request::{Case, Seen, passed, refused, run, seen};

#[test]
fn transfer_encodings() {
    run(CASES);
}

const HELLO: Seen = seen("POST /case").body(b"hello").with(&[
    ("transfer-encoding", Some("chunked")),
    ("content-length", None),
]);

pub(super) const CASES: &[Case] = &[
    refused("length before coding", "RFC 9112 §6.1", 400, post!("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
    refused("coding before length", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")),
    refused("length and coding that agree", "RFC 9112 §6.1", 400, post!("Content-Length: 15\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")),
    refused("length of nothing and coding", "RFC 9112 §6.1", 400, post!("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
    refused("length and a coding that is none", "RFC 9112 §6.1", 400, post!("Content-Length: 5\r\nTransfer-Encoding: identity\r\n", "hello")),
    refused("length and coding, far apart", "RFC 9112 §6.1", 400, post!("transfer-encoding: chunked\r\nA: 1\r\nB: 2\r\nC: 3\r\ncontent-length: 5\r\n", "0\r\n\r\n")),
    refused("coding twice", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
    refused("coding twice, in different case", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: chunked\r\nTRANSFER-ENCODING: chunked\r\n", "0\r\n\r\n")),
    refused("a sound coding and an odd one", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "0\r\n\r\n")),
    refused("an odd coding and a sound one", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
    refused("chunked, chunked", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n")),
    refused("gzip, chunked", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
    refused("chunked, gzip", "RFC 9112 §6.3", 400, post!("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n")),
    refused("gzip", "RFC 9112 §6.3", 400, post!("Transfer-Encoding: gzip\r\n", "hello")),
    refused("identity", "RFC 9112 §7", 400, post!("Transfer-Encoding: identity\r\n", "hello")),
    refused("identity, chunked", "RFC 9112 §7", 400, post!("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n")),
    refused("chunked, identity", "RFC 9112 §7", 400, post!("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")),
    refused("xchunked", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
    refused("chunkedx", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: chunkedx\r\n", "0\r\n\r\n")),
    refused("chunked in quotes", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n")),
    refused("chunked in single quotes", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: 'chunked'\r\n", "0\r\n\r\n")),
    refused("chunked and a comma", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: chunked,\r\n", "0\r\n\r\n")),
    refused("a comma and chunked", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n")),
    refused("chunked and a semicolon", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: chunked;\r\n", "0\r\n\r\n")),
    refused("chunked with a parameter", "RFC 9112 §7.1", 400, post!("Transfer-Encoding: chunked;a=b\r\n", "0\r\n\r\n")),
    refused("chunked with a weight", "RFC 9112 §7.1", 400, post!("Transfer-Encoding: chunked;q=0\r\n", "0\r\n\r\n")),
    refused("chunked in two words", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: chunk ed\r\n", "0\r\n\r\n")),
    refused("two codings without a comma", "RFC 9112 §6.1", 400, post!("Transfer-Encoding: x chunked\r\n", "0\r\n\r\n")),
    refused("coding of nothing", "RFC 9112 §6.1", 400, post!("Transfer-Encoding:\r\n", "hello")),
    refused("coding behind a vertical tab", "RFC 9110 §5.5", 400, post!("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n")),
    refused("coding behind a form feed", "RFC 9110 §5.5", 400, post!("Transfer-Encoding: \x0cchunked\r\n", "0\r\n\r\n")),
    refused("coding with a NUL", "RFC 9110 §5.5", 400, post!("Transfer-Encoding: chunked\0\r\n", "0\r\n\r\n")),
    refused("coding behind a CR", "RFC 9112 §2.2", 400, post!("Transfer-Encoding:\rchunked\r\n", "0\r\n\r\n")),
    refused("coding that is folded", "RFC 9112 §5.2", 400, post!("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n")),
    refused("coding that is folded by a tab", "RFC 9112 §5.2", 400, post!("Transfer-Encoding:\r\n\tchunked\r\n", "0\r\n\r\n")),
    refused("coding folded behind an odd one", "RFC 9112 §5.2", 400, post!("Transfer-Encoding: identity\r\n , chunked\r\n", "0\r\n\r\n")),
    refused("coding hidden behind LF", "RFC 9112 §2.2", 400, post!("X: 1\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")),
    refused("LF before the colon of a coding", "RFC 9112 §5.1", 400, post!("Transfer-Encoding\n: chunked\r\n", "0\r\n\r\n")),
    refused("coding beyond ASCII", "RFC 9112 §6.1", 400, b"POST /case HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n"),
    refused("coding of HTTP/1.0", "RFC 9112 §6.1", 400, b"POST /case HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    refused("coding and length of HTTP/1.0", "RFC 9112 §6.1", 400, b"POST /case HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    refused("coding of HTTP/1.0 that stays", "RFC 9112 §6.1", 400, b"POST /case HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    passed("coding", "RFC 9112 §6.1", post!("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"), HELLO).split(),
    passed("coding in upper case", "RFC 9112 §7", post!("Transfer-Encoding: CHUNKED\r\n", "5\r\nhello\r\n0\r\n\r\n"), HELLO),
    passed("coding in mixed case", "RFC 9112 §7", post!("tRANSFER-eNCODING: chUNked\r\n", "5\r\nhello\r\n0\r\n\r\n"), HELLO),
    passed("coding behind a tab", "RFC 9112 §5.1", post!("Transfer-Encoding:\tchunked\t \r\n", "5\r\nhello\r\n0\r\n\r\n"), HELLO),
    passed("coding without white space", "RFC 9112 §5.1", post!("Transfer-Encoding:chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"), HELLO),
    passed("coding of GET", "RFC 9110 §9.3.1", b"GET /case HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", seen("GET /case").body(b"hi")),
    passed("coding of HEAD", "RFC 9110 §9.3.2", b"HEAD /case HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", seen("HEAD /case").body(b"hi")),
    passed("a field that only looks like a coding", "RFC 9112 §6.1", get!("X-Transfer-Encoding: chunked\r\nTransferEncoding: chunked\r\n"), seen("GET /case").with(&[("transfer-encoding", None)])),
];
