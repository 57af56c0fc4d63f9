//! Heads that go from one protocol to the other: what HTTP/2 understood and HTTP/1 says is understood alike by whoever
//! reads that, and what cannot be said is refused rather than written.
//!
//! A request is a line `METHOD SCHEME AUTHORITY PATH`, parts of which may be empty, and a response a line with its status; fields
//! follow, a line each. A value may have `\r`, `\n` and `\0` written out, so that lines can hold them.

use forecourt::h1::write::{Connection, request_head, response_head};
use forecourt::h2::{request, response};
use forecourt::message::body::Length;
use forecourt::message::framing::{Framing, request_framing, response_framing};
use forecourt::message::{FieldCase, Head, Method, Name, Version};
use http::uri::{Authority, Parts as UriParts, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};

use crate::{cut_line, oracle, ours};

/// Judges a request on its way down to HTTP/1 and back up.
pub fn judge_request(bytes: &[u8]) {
    let (line, rest) = cut_line(bytes);
    if let Some(parts) = asked(line, rest) {
        let mut head = Head::new();
        if request::read(&parts, MOST, &mut head).is_ok() {
            judge_request_by_h1(&head);
            judge_request_by_h2(&head);
        }
    }
    // The other way round: what HTTP/1 understood.
    if let Ok((mut head, _)) = ours::request(bytes) {
        forecourt::message::hop_by_hop::strip(&mut head);
        if head.all(Name::Host).count() == 1 && head.target().starts_with(b"/") {
            judge_request_by_h2(&head);
        }
    }
}

/// Judges a response on its way down to HTTP/1 and back up.
pub fn judge_response(bytes: &[u8]) {
    let (line, rest) = cut_line(bytes);
    let status = std::str::from_utf8(line)
        .ok()
        .and_then(|text| text.parse().ok());
    if let (Some(Ok(status)), Some(fields)) = (status.map(StatusCode::from_u16), fields(rest)) {
        let mut whole = Response::new(());
        *whole.status_mut() = status;
        *whole.headers_mut() = fields;
        let mut head = Head::new();
        if response::read(&whole.into_parts().0, MOST, &mut head).is_ok() && head.status() >= 200 {
            judge_response_by_h1(&head);
            judge_response_by_h2(&head);
        }
    }
    if let Ok((mut head, _)) = ours::response(bytes) {
        forecourt::message::hop_by_hop::strip(&mut head);
        if head.status() >= 200 {
            judge_response_by_h2(&head);
        }
    }
}

/// A request as the framing library gives it; `None` for what it refuses.
fn asked(line: &[u8], rest: &[u8]) -> Option<http::request::Parts> {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let (method, scheme) = (words.next()?, words.next()?);
    let (authority, path) = (unescaped(words.next()?), unescaped(words.next()?));
    let mut uri = UriParts::default();
    if !authority.is_empty() {
        uri.authority = Some(Authority::try_from(&authority[..]).ok()?);
        uri.scheme = Some(Scheme::try_from(scheme).ok()?);
    }
    uri.path_and_query = Some(PathAndQuery::try_from(&path[..]).ok()?);
    let mut whole = Request::new(());
    *whole.method_mut() = http::Method::from_bytes(method).ok()?;
    if *whole.method() == http::Method::CONNECT {
        // It has no path, and is refused whatever it says.
        return None;
    }
    *whole.uri_mut() = Uri::from_parts(uri).ok()?;
    *whole.headers_mut() = fields(rest)?;
    Some(whole.into_parts().0)
}

fn fields(mut rest: &[u8]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    while !rest.is_empty() {
        let (line, behind) = cut_line(rest);
        rest = behind;
        let at = line.iter().position(|byte| *byte == b':')?;
        // The library takes names in lower case only.
        let name = HeaderName::from_lowercase(&line[..at]).ok()?;
        fields.append(
            name,
            HeaderValue::from_bytes(&unescaped(&line[at + 1..])).ok()?,
        );
    }
    Some(fields)
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut text = text.iter();
    while let Some(byte) = text.next() {
        bytes.push(match (byte, text.as_slice().first()) {
            (b'\\', Some(b'r')) => b'\r',
            (b'\\', Some(b'n')) => b'\n',
            (b'\\', Some(b'0')) => b'\0',
            _ => {
                bytes.push(*byte);
                continue;
            }
        });
        text.next();
    }
    bytes
}

fn judge_request_by_h1(head: &Head) {
    for (length, framing) in [
        (Length::Absent { announced: None }, Framing::None),
        (Length::Exact(5), Framing::Length(5)),
        (Length::Unknown, Framing::Chunked),
    ] {
        let mut bytes = Vec::new();
        request_head(head, length, FieldCase::Keep, &mut bytes);
        let read = ours::request(&bytes);
        let Ok((read, taken)) = read else {
            // What HTTP/1 refuses is refused before it is written: by the host's grammar and the target's form.
            assert!(
                !is_plain(head),
                "cannot be read again: {}",
                bytes.escape_ascii()
            );
            return;
        };
        assert_eq!(taken, bytes.len(), "two heads: {}", bytes.escape_ascii());
        assert!(
            oracle::request(&bytes).is_some(),
            "another reader refuses {}",
            bytes.escape_ascii()
        );
        assert_eq!(read.method_bytes(), head.method_bytes());
        assert_eq!(read.target(), head.target());
        assert_eq!(request_framing(&read), Ok(framing));
        assert_eq!(content(&read), content(head));
        assert_eq!(read.all(Name::Host).count(), 1);
    }
}

fn judge_request_by_h2(head: &Head) {
    let Some(whole) = request::write(head, Length::Unknown, false) else {
        return;
    };
    let mut read = Head::new();
    request::read(&whole.into_parts().0, MORE, &mut read).expect("we write what we read");
    assert_eq!(read.method_bytes(), head.method_bytes());
    assert_eq!(cut_fragment(read.target()), cut_fragment(head.target()));
    let host = head.first(Name::Host).filter(|host| !host.is_empty());
    assert_eq!(read.first(Name::Host), Some(host.unwrap_or(b"localhost")));
    let count = |head: &Head| content(head).len();
    assert!(count(&read) <= count(head), "fields appeared");
}

fn judge_response_by_h1(head: &Head) {
    for length in [
        Length::Exact(5),
        Length::Unknown,
        Length::Absent { announced: None },
    ] {
        let mut bytes = Vec::new();
        response_head(
            head,
            length,
            Connection::KeepAlive,
            Version::Http11,
            &mut bytes,
        );
        let (read, taken) = ours::response(&bytes).expect("what HTTP/2 said, HTTP/1 can read");
        assert_eq!(taken, bytes.len(), "two heads: {}", bytes.escape_ascii());
        assert_eq!(read.status(), head.status());
        assert_eq!(content(&read), content(head));
        if let (Length::Exact(length), 205..=303 | 305..) = (length, head.status()) {
            assert_eq!(
                response_framing(&read, Method::Get),
                Ok(Framing::Length(length))
            );
        }
    }
}

fn judge_response_by_h2(head: &Head) {
    let whole = response::write(head, Length::Unknown);
    let mut read = Head::new();
    response::read(&whole.into_parts().0, MORE, &mut read).expect("we write what we read");
    if (200..1000).contains(&head.status()) {
        assert_eq!(read.status(), head.status());
    }
    assert!(
        content(&read).len() <= content(head).len(),
        "fields appeared"
    );
}

/// Names and values without what the writer says by itself, those of one name together.
fn content(head: &Head) -> ours::Fields {
    let framing = [&b"content-length"[..], b"transfer-encoding", b"host"];
    let mut fields = ours::fields(head);
    for (name, _) in &mut fields {
        name.make_ascii_lowercase();
    }
    fields.retain(|(name, _)| !framing.contains(&&name[..]));
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

/// Whether nothing but the fields decides what becomes of it: a usual path, and a host of usual letters.
fn is_plain(head: &Head) -> bool {
    let host = head.first(Name::Host).unwrap_or_default();
    let usual = |byte: &u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
    !host.is_empty() && host.iter().all(usual) && head.target().starts_with(b"/")
}

fn cut_fragment(target: &[u8]) -> &[u8] {
    target
        .split(|byte| *byte == b'#')
        .next()
        .unwrap_or_default()
}

/// Fields that a head may have: what both readings take, those included that the writer adds.
const MOST: usize = 90;

/// What is written is read again, whatever it came from.
const MORE: usize = 200;
