//! What holds for every message: it does not matter how its bytes come, what is written reads back, and
//! nothing panics.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{
    HeadError, HeadScan, Limits, field_list, parse_request, parse_response, read_body,
    read_request, read_response,
};
use crate::h1::write::{self, Connection};
use crate::message::FieldCase;
use crate::message::authority::request_authority;
use crate::message::body::Length;
use crate::message::cookie;
use crate::message::forwarded::{Teller, Words, client_address, set_forwarded};
use crate::message::framing::{Framing, request_framing, response_framing};
use crate::message::head::{Head, Version};
use crate::message::hop_by_hop;
use crate::message::method::Method;

/// Scans a head that comes in pieces.
fn scan<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    limits: &Limits,
) -> Result<Option<usize>, HeadError> {
    let mut scan = HeadScan::default();
    let mut seen = Vec::new();
    for piece in pieces {
        seen.extend_from_slice(piece);
        if let Some(length) = scan.find(&seen, limits)? {
            assert_eq!(
                scan.find(&seen, limits),
                Ok(Some(length)),
                "asking twice changes nothing"
            );
            return Ok(Some(length));
        }
        assert!(scan.started() || seen.is_empty() || seen == b"\r");
    }
    Ok(None)
}

fn cut<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

fn token() -> impl Strategy<Value = Vec<u8>> {
    "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}"
        .prop_map(String::into_bytes)
        .prop_filter("framing and host have rules of their own", |name| {
            let name = name.to_ascii_lowercase();
            !matches!(
                &name[..],
                b"host"
                    | b"content-length"
                    | b"transfer-encoding"
                    | b"content_length"
                    | b"transfer_encoding"
            )
        })
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let inner = prop_oneof![Just(b'\t'), 0x20..=0x7e_u8, 0x80..=0xff_u8];
    vec(inner, 0..40).prop_map(|bytes| crate::message::grammar::trim(&bytes).to_vec())
}

fn fields() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    vec((token(), value()), 0..12)
}

fn length() -> impl Strategy<Value = (Length, Framing)> {
    prop_oneof![
        Just((Length::Absent { announced: None }, Framing::None)),
        (0..=i64::MAX as u64).prop_map(|n| (Length::Exact(n), Framing::Length(n))),
        Just((Length::Unknown, Framing::Chunked)),
    ]
}

/// Bytes that look like HTTP often enough to get past the first line.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let starts: [&[u8]; 8] = [
        b"GET / HTTP/1.1\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"GET / HTTP/1.1\r\nHost: ",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: ",
        b"CONNECT ",
        b"GET http://",
        b"",
    ];
    let ends: [&[u8]; 3] = [b"\r\n\r\n", b" HTTP/1.1\r\nHost: a\r\n\r\n", b""];
    let middle = prop_oneof![
        vec(any::<u8>(), 0..80),
        "[ -~]{0,80}".prop_map(String::into_bytes)
    ];
    (select(starts.to_vec()), middle, select(ends.to_vec()))
        .prop_map(|(start, middle, end)| [start, &middle, end].concat())
}

fn head_of(method: &[u8], target: &[u8], fields: &[(Vec<u8>, Vec<u8>)]) -> Head {
    let mut head = Head::new();
    head.set_request(method, target, Version::Http11);
    head.push(b"Host", b"shop.example");
    fields
        .iter()
        .for_each(|(name, value)| head.push(name, value));
    head
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_request_reads_back_as_written(
        method in token(), target in "/[!-\"$-~]{0,40}", fields in fields(), (length, framing) in length(), rest in vec(any::<u8>(), 0..20),
    ) {
        let head = head_of(&method, target.as_bytes(), &fields);
        let mut bytes = Vec::new();
        write::request_head(&head, length, FieldCase::Keep, &mut bytes);
        bytes.extend_from_slice(&rest);
        let read = read_request(&bytes).unwrap();
        prop_assert_eq!(read.method_bytes(), &method[..]);
        prop_assert_eq!(read.target(), target.as_bytes());
        prop_assert_eq!(read.version(), Version::Http11);
        prop_assert_eq!(field_list(&read).iter().take(fields.len() + 1).cloned().collect::<Vec<_>>(), field_list(&head));
        prop_assume!(method != b"CONNECT");
        prop_assert_eq!(request_framing(&read), Ok(framing));
    }

    #[test]
    fn a_response_reads_back_as_written(
        status in 200..1000_u16, reason in value(), fields in fields(), (length, framing) in length(), keep in any::<bool>(),
    ) {
        let mut head = Head::new();
        head.set_response(status, &reason, Version::Http11);
        fields.iter().for_each(|(name, value)| head.push(name, value));
        let connection = if keep { Connection::KeepAlive } else { Connection::Close };
        let mut bytes = Vec::new();
        write::response_head(&head, length, connection, Version::Http11, &mut bytes);
        let read = read_response(&bytes).unwrap();
        prop_assert_eq!(read.status(), status);
        if !reason.is_empty() {
            prop_assert_eq!(read.reason(), &reason[..]);
        }
        prop_assert!(keep || !hop_by_hop::keep_alive(&read));
        prop_assume!(status != 204 && status != 304);
        let expected = if framing == Framing::None { Framing::UntilClose } else { framing };
        prop_assert_eq!(response_framing(&read, Method::Get), Ok(expected));
        prop_assert_eq!(response_framing(&read, Method::Head), Ok(Framing::None));
    }

    #[test]
    fn a_head_is_found_alike_however_it_comes(
        bytes in prop_oneof![hostile(), fields().prop_map(|fields| {
            let mut bytes = Vec::new();
            write::request_head(&head_of(b"GET", b"/", &fields), Length::Absent { announced: None }, FieldCase::Keep, &mut bytes);
            bytes
        })],
        cuts in vec(any::<Index>(), 0..6),
        most in 1..200_usize,
    ) {
        let limits = Limits { head_bytes: most, fields: 100 };
        let whole = scan([&bytes[..]], &limits);
        prop_assert_eq!(scan(cut(&bytes, &cuts), &limits), whole);
        prop_assert_eq!(scan(bytes.chunks(1), &limits), whole);
    }

    #[test]
    fn a_chunked_body_reads_back_as_written(
        pieces in vec(vec(any::<u8>(), 1..300), 0..6), trailers in fields(), cuts in vec(any::<Index>(), 0..6), bite in 1..400_usize,
    ) {
        let mut bytes = Vec::new();
        for piece in &pieces {
            write::chunk_head(piece.len(), &mut bytes);
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(write::CHUNK_END);
        }
        let mut section = Head::new();
        trailers.iter().for_each(|(name, value)| section.push(name, value));
        write::last_chunk(Some(&section), &mut bytes);
        let length = bytes.len();
        bytes.extend_from_slice(b"GET / HTTP/1.1\r\n");
        hop_by_hop::strip_trailers(&mut section);
        let read = read_body(Framing::Chunked, cut(&bytes, &cuts), bite);
        prop_assert_eq!(read.length, Ok(length));
        prop_assert_eq!(read.content, pieces.concat());
        prop_assert_eq!(read.trailers.unwrap_or_default(), field_list(&section));
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in hostile(), limit in 0..200_usize, fields in 0..300_usize) {
        let limits = Limits { head_bytes: limit, fields };
        let _ = scan(bytes.chunks(7), &limits);
        let mut head = Head::new();
        let _ = parse_response(&bytes, &limits, &mut head);
        let _ = response_framing(&head, Method::Get);
        let _ = parse_request(&bytes, &limits, &mut head);
        let _ = request_framing(&head);
        if let Ok(mut authority) = request_authority(&head) {
            let _ = authority.path(&head);
            authority.normalise(&mut head, b"");
            prop_assert!(matches!(authority.path(&head), [] | [b'/', ..] | b"*"));
        }
        let peer = "10.0.0.1".parse().unwrap();
        let _ = client_address(&head, peer, &["10.0.0.0/8".parse().unwrap()]);
        let _ = cookie::find(&head, "fc");
        cookie::remove(&mut head, "fc");
        hop_by_hop::strip(&mut head);
        let teller = Teller { peer: Some(peer), trusted: true, https: false, host: b"a" };
        set_forwarded(&mut head, Words::Both, &teller);
        let _ = read_body(Framing::Chunked, bytes.chunks(5), 3);
    }
}
