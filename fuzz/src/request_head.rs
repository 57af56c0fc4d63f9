//! A request, head and body, read three times: by the product, by the obvious reader, by hyper's server.

use forecourt::h1::BodyError;
use forecourt::message::authority::request_authority;
use forecourt::message::framing::{Framing, request_framing};
use forecourt::message::hop_by_hop;
use forecourt::message::{Head, Method};
use hyper::{Uri, Version};

use crate::oracle::{self, Frame};
use crate::ours;
use crate::theirs::{self, SeenRequest};

/// Judges the bytes of a connection, of which only the first request counts.
pub fn judge(bytes: &[u8]) {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let obvious = oracle::request(&bytes[..end.map_or(bytes.len(), |at| at + 4)]);
    let (head, length) = match ours::request(bytes) {
        Ok(read) => read,
        Err(error) => {
            assert!(
                obvious.is_none() || ours::is_limit(error),
                "refused without need: {error}"
            );
            return;
        }
    };
    let obvious = obvious.expect("the obvious reader refuses this head");
    assert_eq!(head.method_bytes(), obvious.method);
    assert_eq!(head.target(), obvious.target);
    assert_eq!(ours::minor(&head), obvious.minor);
    assert_eq!(ours::fields(&head), obvious.fields);
    let framing = request_framing(&head);
    let frame = framing.ok().map(|framing| match framing {
        Framing::None => Frame::None,
        Framing::Length(length) => Frame::Length(length),
        Framing::Chunked => Frame::Chunked,
        Framing::UntilClose => panic!("a request until the end of the connection"),
    });
    assert_eq!(frame, oracle::frame(&obvious));
    judge_authority(&head);
    if let Ok(framing) = framing {
        judge_by_hyper(&head, framing, bytes, length);
    }
}

/// What routes and the backend are told is of one reading.
fn judge_authority(head: &Head) {
    let Ok(mut authority) = request_authority(head) else {
        return;
    };
    let host = authority.host().to_vec();
    let odd = |byte: &u8| !byte.is_ascii_graphic() || byte.is_ascii_uppercase();
    assert!(
        !host
            .iter()
            .any(|byte| odd(byte) || b"@/?#,%\\".contains(byte))
    );
    let mut normal = Head::new();
    normal.set_request(head.method_bytes(), head.target(), head.version());
    for field in head.fields() {
        normal.push(field.name, field.value);
    }
    authority.normalise(&mut normal, b"");
    let again = request_authority(&normal).expect("what was made normal is sound");
    assert_eq!(again.host(), host, "the host is not what it was");
    assert_eq!(again.path(&normal), authority.path(&normal));
    assert!(matches!(again.path(&normal), [b'/', ..] | b"*") || head.method() == Method::Connect);
}

fn judge_by_hyper(head: &Head, framing: Framing, bytes: &[u8], head_length: usize) {
    // hyper holds targets as URIs by RFC 3986. The product takes what browsers send beyond that (`<`, `^`); the
    // reason stands at `grammar::is_target`.
    let Ok(target) = Uri::try_from(head.target()) else {
        return;
    };
    let body = ours::body(framing, [&bytes[head_length..]], usize::MAX);
    let Ok(body_length) = body.length else {
        let seen = theirs::requests(bytes.to_vec());
        let seen = seen.first().expect("hyper refuses this head");
        compare_heads(head, &target, seen);
        // Beyond what is cut short, hyper may be the more lenient one.
        assert!(body.length != Err(BodyError::Truncated) || seen.content.is_none());
        return;
    };
    // A second request shows whether both see the end at the same place.
    let mut stream = bytes[..head_length + body_length].to_vec();
    stream.extend_from_slice(NEXT);
    let seen = theirs::requests(stream);
    let first = seen.first().expect("hyper refuses this head");
    compare_heads(head, &target, first);
    assert_eq!(first.content.as_ref(), Some(&body.content));
    // Behind CONNECT comes a tunnel, and hyper reads no request behind one that ends the connection.
    if head.method() == Method::Connect || !hop_by_hop::keep_alive(head) {
        return;
    }
    // Nor does it read a Connection that is no text, and then HTTP/1.0 ends with the answer.
    let is_text = |value: &[u8]| value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    let mut fields = head.fields();
    if fields.any(|field| field.name.eq_ignore_ascii_case(b"connection") && !is_text(field.value)) {
        return;
    }
    assert_eq!(seen.len(), 2, "hyper sees another end: {seen:?}");
    assert_eq!(seen[1].target, "/next");
}

fn compare_heads(head: &Head, target: &Uri, seen: &SeenRequest) {
    assert_eq!(head.method_bytes(), seen.method.as_str().as_bytes());
    assert_eq!(*target, seen.target);
    let version = match ours::minor(head) {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    assert_eq!(version, seen.version);
    compare_fields(head, &seen.fields);
}

/// Compares fields by name, since hyper keeps no order between names.
pub fn compare_fields(head: &Head, seen: &hyper::HeaderMap) {
    assert_eq!(head.len(), seen.len());
    for field in head.fields() {
        let ours = head
            .fields()
            .filter(|other| other.name.eq_ignore_ascii_case(field.name))
            .map(|other| other.value);
        let name = hyper::header::HeaderName::from_bytes(field.name).expect("it is a token");
        assert!(ours.eq(seen.get_all(name).iter().map(|value| value.as_bytes())));
    }
}

const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
