//! Three readings of the same bytes, which have to agree: the obvious one, the product's own, hyper's.
//!
//! Of hyper two things are known, and the comparison allows for them: it keeps no order between fields of
//! different names, so fields are put in order by name; and it holds targets as URIs by RFC 3986 where the
//! product passes on what browsers send beyond that (`<`, `^`), so such bytes are escaped before it reads.

use std::ops::Range;

use forecourt::h1::Limits;
use forecourt::message::Head;
use forecourt::message::Method;
use forecourt::message::framing::{request_framing, response_framing};
use hyper::{HeaderMap, Uri};

use super::reference::{self, Fields, Next, Request, Response};
use crate::ours;
use crate::theirs::{self, End};

/// The answers on a client's connection.
#[derive(Debug)]
pub(crate) struct Answers {
    /// One for each request that was answered at all.
    pub(crate) answers: Vec<Answer>,
    /// What comes behind the last one.
    pub(crate) rest: Vec<u8>,
}

/// What was sent in answer to one request.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Status codes of interim responses.
    pub(crate) interim: Vec<u16>,
    /// The final response; `None` if it is not whole.
    pub(crate) response: Option<Response>,
}

/// Reads what came on a backend's connection. Gives the whole requests, and whether behind them comes
/// one that is not whole.
pub(crate) fn upstream(bytes: &[u8]) -> (Vec<Request>, bool) {
    let mut requests = Vec::new();
    let mut spans = Vec::new();
    let mut at = 0;
    let partial = loop {
        match reference::request(&bytes[at..], LIMITS.fields) {
            Next::Nothing => {
                assert_eq!(at, bytes.len(), "empty lines go to a backend");
                break false;
            }
            Next::Begun | Next::Headed(_) => break true,
            Next::Refused => panic!(
                "a backend is sent what is no request:\n{}",
                shown(&bytes[at..])
            ),
            Next::Whole(request, length) => {
                requests.push(request);
                spans.push(at..at + length);
                at += length;
            }
        }
    };
    for (request, span) in requests.iter().zip(&spans) {
        assert_eq!(
            our_request(&bytes[span.start..]),
            Some((request.clone(), span.len())),
            "we read another request than the obvious reader:\n{}",
            shown(bytes)
        );
    }
    assert!(
        !partial || our_request(&bytes[at..]).is_none(),
        "we take for whole what the obvious reader does not:\n{}",
        shown(bytes)
    );
    compare_hyper_upstream(bytes, &requests, &spans);
    (requests, partial)
}

/// Reads what came on a client's connection, which asked with these methods and saw it end so.
pub(crate) fn downstream(bytes: &[u8], methods: &[Vec<u8>], end: End) -> Answers {
    let mut answers = Vec::new();
    let mut spans = Vec::new();
    let mut at = 0;
    for method in methods {
        if at == bytes.len() {
            break;
        }
        let start = at;
        let mut interim = Vec::new();
        let response = loop {
            match reference::response(&bytes[at..], method, end == End::Fin, LIMITS.fields) {
                Next::Whole(response, length) if response.status < 200 => {
                    interim.push(response.status);
                    at += length;
                }
                Next::Whole(response, length) => {
                    at += length;
                    break Some(response);
                }
                Next::Nothing | Next::Begun | Next::Headed(_) => {
                    at = bytes.len();
                    break None;
                }
                Next::Refused => panic!(
                    "a client is sent what is no response:\n{}",
                    shown(&bytes[at..])
                ),
            }
        };
        let read = our_response(&bytes[start..], method, end);
        let expected = response.clone().map(|response| (response, at - start));
        assert_eq!(
            read,
            expected,
            "we read another response than the obvious reader:\n{}",
            shown(&bytes[start..])
        );
        answers.push(Answer { interim, response });
        spans.push(start..at);
    }
    compare_hyper_downstream(bytes, methods, &answers, &spans, end);
    Answers {
        answers,
        rest: bytes[at..].to_vec(),
    }
}

/// Bytes as people can read them.
pub(crate) fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\r\\n", "\r\n")
}

/// Fields as they can be compared: names in lower case, those of one name in order.
fn normal(fields: &Fields) -> Fields {
    let mut fields: Fields = fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect();
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

fn normal_map(map: &HeaderMap) -> Fields {
    let fields = map
        .iter()
        .map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec()));
    normal(&fields.collect())
}

fn our_request(bytes: &[u8]) -> Option<(Request, usize)> {
    let (head, length) = ours::request_within(bytes, &LIMITS).ok()?;
    let framing = request_framing(&head).ok()?;
    let body = ours::body(framing, [&bytes[length..]], usize::MAX);
    let request = Request {
        method: head.method_bytes().to_vec(),
        target: head.target().to_vec(),
        minor: ours::minor(&head),
        fields: ours::fields(&head),
        content: body.content,
        trailers: body.trailers.unwrap_or_default(),
    };
    Some((request, length + body.length.ok()?))
}

/// The final response at the front of `bytes`, behind interim ones.
fn our_response(bytes: &[u8], method: &[u8], end: End) -> Option<(Response, usize)> {
    let mut at = 0;
    let head = loop {
        let (head, length) = ours::response_within(&bytes[at..], &LIMITS).ok()?;
        at += length;
        if head.status() >= 200 {
            break head;
        }
    };
    let framing = response_framing(&head, method_of(method)).ok()?;
    let until_close = framing == forecourt::message::framing::Framing::UntilClose;
    let body = ours::body(framing, [&bytes[at..]], usize::MAX);
    let length = body.length.ok()?;
    let response = Response {
        status: head.status(),
        fields: ours::fields(&head),
        content: body.content,
        trailers: body.trailers.unwrap_or_default(),
        until_close,
    };
    (!until_close || end == End::Fin).then_some((response, at + length))
}

fn method_of(method: &[u8]) -> Method {
    let mut head = Head::new();
    head.set_request(method, b"/", forecourt::message::Version::Http11);
    head.method()
}

fn compare_hyper_upstream(bytes: &[u8], requests: &[Request], spans: &[Range<usize>]) {
    let mut stream = Vec::new();
    let mut targets = Vec::new();
    let mut at = 0;
    for (request, span) in requests.iter().zip(spans) {
        let target = escaped(&request.target);
        let start = span.start + request.method.len() + 1;
        stream.extend_from_slice(&bytes[span.start..start]);
        stream.extend_from_slice(&target);
        stream.extend_from_slice(&bytes[start + request.target.len()..span.end]);
        targets.push(Uri::try_from(&target[..]).expect("an escaped target is a URI"));
        at = span.end;
    }
    stream.extend_from_slice(&bytes[at..]);
    let seen = theirs::requests(stream);
    for (index, (request, target)) in requests.iter().zip(&targets).enumerate() {
        let seen = seen.get(index).unwrap_or_else(|| {
            panic!("hyper sees fewer requests:\n{}", shown(bytes));
        });
        assert_eq!(seen.method.as_str().as_bytes(), request.method);
        assert_eq!(seen.target, *target);
        assert_eq!(normal_map(&seen.fields), normal(&request.fields));
        assert_eq!(seen.content.as_ref(), Some(&request.content));
        assert_eq!(normal_map(&seen.trailers), normal(&request.trailers));
    }
    let more = &seen[requests.len()..];
    assert!(
        more.len() <= 1 && more.iter().all(|seen| seen.content.is_none()),
        "hyper sees more requests:\n{}",
        shown(bytes)
    );
}

fn compare_hyper_downstream(
    bytes: &[u8],
    methods: &[Vec<u8>],
    answers: &[Answer],
    spans: &[Range<usize>],
    end: End,
) {
    let methods: Vec<hyper::Method> = methods[..answers.len()]
        .iter()
        .map(|method| hyper::Method::from_bytes(method).expect("it is a token"))
        .collect();
    let parts = spans.iter().map(|span| bytes[span.clone()].to_vec());
    let seen = theirs::responses_to(&methods, parts.collect(), end);
    for (index, answer) in answers.iter().enumerate() {
        let seen = seen.get(index);
        let Some(response) = &answer.response else {
            assert!(
                seen.is_none_or(|seen| seen.content.is_none()),
                "hyper takes for whole what was cut:\n{}",
                shown(bytes)
            );
            continue;
        };
        let seen = seen.unwrap_or_else(|| panic!("hyper sees fewer responses:\n{}", shown(bytes)));
        assert_eq!(seen.status.as_u16(), response.status);
        assert_eq!(normal_map(&seen.fields), normal(&response.fields));
        assert_eq!(seen.content.as_ref(), Some(&response.content));
        assert_eq!(normal_map(&seen.trailers), normal(&response.trailers));
    }
}

/// A target that hyper can hold.
fn escaped(target: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::new();
    for &byte in target {
        if byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte) {
            escaped.push(byte);
        } else {
            escaped.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    escaped
}

/// What a message may be that has come through: more than a listener takes, for fields are added.
pub(crate) const LIMITS: Limits = Limits {
    head_bytes: 128 * 1024,
    fields: 300,
};
