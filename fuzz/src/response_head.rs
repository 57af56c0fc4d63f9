//! A response, head and body, read by the product and by hyper's client.

use forecourt::h1::BodyError;
use forecourt::message::framing::{Framing, response_framing};
use forecourt::message::{Head, Method, hop_by_hop};
use hyper::Version;

use crate::request_head::compare_fields;
use crate::theirs::{self, SeenResponse};
use crate::{oracle, ours};

/// Judges the bytes of a connection to a backend, of which only the first response counts.
pub fn judge(bytes: &[u8]) {
    let Ok((head, length)) = ours::response(bytes) else {
        return;
    };
    judge_lines(&head, &bytes[..length]);
    // Both pass over interim responses; hyper gives the connection away behind a 101.
    if head.status() < 200 {
        return;
    }
    for (method, theirs) in [
        (Method::Get, hyper::Method::GET),
        (Method::Head, hyper::Method::HEAD),
    ] {
        if let Ok(framing) = response_framing(&head, method) {
            judge_by_hyper(&head, framing, &theirs, (bytes, length));
        }
    }
}

/// The obvious reader knows requests only: behind their first line both kinds of head are the same.
fn judge_lines(head: &Head, bytes: &[u8]) {
    let line = bytes.windows(2).position(|window| window == b"\r\n");
    let line = line.expect("a head has a line");
    let mut request = b"GET / HTTP/1.0".to_vec();
    request.extend_from_slice(&bytes[line..]);
    match oracle::request(&request) {
        Some(obvious) => assert_eq!(ours::fields(head), obvious.fields),
        // `Host` has no meaning in a response, so it may stand there twice.
        None => assert!(head.all(forecourt::message::Name::Host).count() > 1),
    }
    let first = &bytes[..line];
    assert_eq!(first[..7], *b"HTTP/1.");
    assert_eq!(first[8..12], *format!(" {:03}", head.status()).as_bytes());
    assert_eq!(*head.reason(), first[first.len().min(13)..]);
}

fn judge_by_hyper(
    head: &Head,
    framing: Framing,
    method: &hyper::Method,
    (bytes, head_length): (&[u8], usize),
) {
    let body = ours::body(framing, [&bytes[head_length..]], usize::MAX);
    let Ok(body_length) = body.length else {
        let seen = theirs::responses(method, vec![bytes.to_vec()]);
        let seen = seen.first().expect("hyper refuses this head");
        compare_heads(head, seen);
        // Beyond what is cut short, hyper may be the more lenient one.
        assert!(body.length != Err(BodyError::Truncated) || seen.content.is_none());
        return;
    };
    let mut parts = vec![bytes[..head_length + body_length].to_vec()];
    // A second response shows whether both see the end at the same place.
    let again = framing != Framing::UntilClose && hop_by_hop::keep_alive(head);
    if again {
        parts.push(NEXT.to_vec());
    }
    let seen = theirs::responses(method, parts);
    let first = seen.first().expect("hyper refuses this head");
    compare_heads(head, first);
    assert_eq!(first.content.as_ref(), Some(&body.content));
    if again {
        assert_eq!(seen.len(), 2, "hyper sees another end: {seen:?}");
        assert_eq!(seen[1].status, 299);
    }
}

fn compare_heads(head: &Head, seen: &SeenResponse) {
    assert_eq!(head.status(), seen.status.as_u16());
    let version = match ours::minor(head) {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    assert_eq!(version, seen.version);
    compare_fields(head, &seen.fields);
}

const NEXT: &[u8] = b"HTTP/1.1 299 Next\r\nContent-Length: 0\r\n\r\n";
