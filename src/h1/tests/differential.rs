//! The two readers against each other, over messages that are nearly right.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::oracle::{self, Frame};
use super::{field_list, read_body, read_request};
use crate::message::authority::request_authority;
use crate::message::framing::{Framing, request_framing};
use crate::message::head::Version;

/// Parts of heads, right and wrong, from which a line of chance is strung.
const HEAD_PARTS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"CONNECT ",
    b"OPTIONS ",
    b"/",
    b"*",
    b"http://a/",
    b"a:1",
    b"/a?b#c",
    b" ",
    b"\t",
    b"HTTP/1.1\r\n",
    b"HTTP/1.0\r\n",
    b"HTTP/1.1\n",
    b"HTTP/2.0\r\n",
    b"\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"Host: a\r\n",
    b"host:b\r\n",
    b"Content-Length: 3\r\n",
    b"content-length:+3\r\n",
    b"Content-Length: 3, 3\r\n",
    b"Content_Length: 3\r\n",
    b"Content-Length : 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked \r\n",
    b"transfer-encoding:\tCHUNKED\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"X: \xe4\r\n",
    b"X:\r\n",
    b"X: a\0b\r\n",
    b"X: a\rb\r\n",
    b" folded\r\n",
    b": empty\r\n",
    b"\xe4: a\r\n",
    b"X",
    b":",
];

/// Parts of chunked bodies.
const BODY_PARTS: &[&[u8]] = &[
    b"0",
    b"3",
    b"a",
    b"0003",
    b"ffffffffffffffff",
    b"00000000000000003",
    b"+3",
    b"-1",
    b"0x3",
    b" ",
    b"\t",
    b"\r\n",
    b"\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"3\r\nabc\r\n",
    b"3;x\r\nabc\r\n",
    b"A\r\n0123456789\r\n",
    b";",
    b";a=b",
    b"; a = \"b;\\\" c\"",
    b";a=\"",
    b"=",
    b";;",
    b"abc",
    b"0\r\n\r\n",
    b"0\r\n",
    b"X-Sum: 1\r\n",
    b"Host: a\r\n",
    b"X : 1\r\n",
    b": 1\r\n",
    b"\0",
    b"\xff",
];

fn strung(parts: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    vec(select(parts), 0..14).prop_map(|parts| parts.concat())
}

/// A good message with a few bytes changed, put in or taken out.
fn bent(good: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let odd = select(b"\r\n\t\0 :;,=\"#/@[]0-+aF_\x7f\x80\xff".as_slice());
    let change = (0..3_u8, any::<prop::sample::Index>(), odd);
    (select(good), vec(change, 0..4)).prop_map(|(good, changes)| {
        let mut bytes = good.to_vec();
        for (kind, index, odd) in changes {
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = odd,
                1 => bytes.insert(at, odd),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

const GOOD_HEADS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"POST /a?b=c HTTP/1.1\r\nHost: shop.example:80\r\nContent-Length: 12\r\nCookie: a=b; c=d\r\n\r\n",
    b"PUT http://a.example/x HTTP/1.1\r\nhost:a\r\nTransfer-Encoding:chunked\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:8080\r\nX:\r\nY: \t z \t\r\n\r\n",
];

const GOOD_BODIES: &[&[u8]] = &[
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"00A;name=value;other=\"quo\\\"ted\"\r\n0123456789\r\n1 \r\nx\r\n0\r\n\r\n",
    b"1;a\r\nx\r\n2; b = c\r\nyz\r\n0;last\r\nX-Sum: 1\r\ngrpc-status:0\r\n\r\nGET / HTTP/1.1",
];

/// Both readers on one head: they agree in what they take and in what they make of it.
fn compare_heads(bytes: &[u8]) {
    let ours = read_request(bytes);
    // The first reader is given what its own scan found; the second has to see the same end.
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map_or(bytes.len(), |at| at + 4);
    let theirs = oracle::request(&bytes[..end]);
    let shown = bytes.escape_ascii();
    assert_eq!(ours.is_ok(), theirs.is_some(), "{ours:?} {shown}");
    let (Ok(ours), Some(theirs)) = (ours, theirs) else {
        return;
    };
    assert_eq!(ours.method_bytes(), theirs.method, "{shown}");
    assert_eq!(ours.target(), theirs.target, "{shown}");
    assert_eq!(
        ours.version() == Version::Http11,
        theirs.minor == 1,
        "{shown}"
    );
    assert_eq!(field_list(&ours), theirs.fields, "{shown}");
    let framing = match request_framing(&ours) {
        Ok(Framing::None) => Some(Frame::None),
        Ok(Framing::Length(length)) => Some(Frame::Length(length)),
        Ok(Framing::Chunked) => Some(Frame::Chunked),
        Ok(Framing::UntilClose) => panic!("a request until the end of the connection: {shown}"),
        Err(_) => None,
    };
    assert_eq!(framing, oracle::frame(&theirs), "{shown}");
    if let Ok(authority) = request_authority(&ours) {
        let host = authority.host();
        assert!(
            host.iter()
                .all(|byte| byte.is_ascii_graphic() && !b"@/?#,%\\".contains(byte)),
            "{shown}"
        );
        assert!(!host.iter().any(u8::is_ascii_uppercase), "{shown}");
    }
}

/// Both readers on one chunked body.
fn compare_bodies(bytes: &[u8]) {
    let ours = read_body(Framing::Chunked, [bytes], usize::MAX);
    let theirs = oracle::chunked(bytes);
    let shown = bytes.escape_ascii();
    match theirs {
        None => assert!(ours.length.is_err(), "{ours:?} {shown}"),
        Some(theirs) => {
            assert_eq!(ours.length, Ok(theirs.length), "{shown}");
            assert_eq!(ours.content, theirs.content, "{shown}");
            assert!(
                ours.trailers.map_or(0, |trailers| trailers.len()) <= theirs.trailers.len(),
                "{shown}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn heads_strung_of_parts(bytes in strung(HEAD_PARTS)) {
        compare_heads(&bytes);
    }

    #[test]
    fn heads_bent_a_little(bytes in bent(GOOD_HEADS)) {
        compare_heads(&bytes);
    }

    #[test]
    fn bodies_strung_of_parts(bytes in strung(BODY_PARTS)) {
        compare_bodies(&bytes);
    }

    #[test]
    fn bodies_bent_a_little(bytes in bent(GOOD_BODIES)) {
        compare_bodies(&bytes);
    }
}

#[test]
fn every_single_byte_put_anywhere_is_read_alike() {
    for good in GOOD_HEADS {
        for at in 0..=good.len() {
            for byte in 0..=255 {
                let mut bytes = good.to_vec();
                bytes.insert(at, byte);
                compare_heads(&bytes);
            }
        }
    }
    for good in GOOD_BODIES {
        for at in 0..=good.len() {
            for byte in 0..=255 {
                let mut bytes = good.to_vec();
                bytes.insert(at, byte);
                compare_bodies(&bytes);
            }
        }
    }
}

#[test]
fn the_good_ones_are_taken() {
    for good in GOOD_HEADS {
        assert!(read_request(good).is_ok(), "{}", good.escape_ascii());
    }
    assert!(
        read_body(Framing::Chunked, [GOOD_BODIES[3]], usize::MAX)
            .length
            .is_ok()
    );
}
