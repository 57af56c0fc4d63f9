//! The obvious reading of a connection, message by message: the oracle of `src/h1/tests`, made to read
//! streams. What clients and backends meant by their bytes is what it says, and it shares no code with
//! the product.

use std::fmt;

use super::readings::shown;
use crate::oracle::{self, Frame};

/// Names and values, in order.
pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A request.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) minor: u8,
    pub(crate) fields: Fields,
    pub(crate) content: Vec<u8>,
    pub(crate) trailers: Fields,
}

/// A response, interim ones among them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) content: Vec<u8>,
    pub(crate) trailers: Fields,
    /// Whether it lasts until the end of the connection.
    pub(crate) until_close: bool,
}

/// What stands at the front of a stream that has come so far and no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next<M> {
    /// Nothing of a message.
    Nothing,
    /// Something, and no whole head.
    Begun,
    /// A head that nobody should act on.
    Refused,
    /// A sound head; its body is not whole, or broken.
    Headed(M),
    /// A whole message of so many bytes.
    Whole(M, usize),
}

/// The request at the front of `bytes`, of so many fields at most. Two empty lines may go before it.
pub(crate) fn request(bytes: &[u8], most_fields: usize) -> Next<Request> {
    let mut start = 0;
    while start < 4 && bytes[start..].starts_with(b"\r\n") {
        start += 2;
    }
    let bytes = &bytes[start..];
    if matches!(bytes, [] | [b'\r']) {
        return Next::Nothing;
    }
    let Some(head_length) = head_length(bytes) else {
        return Next::Begun;
    };
    let (head, rest) = bytes.split_at(head_length);
    let Some(head) = oracle::request(head).filter(|head| head.fields.len() <= most_fields) else {
        return Next::Refused;
    };
    let Some(frame) = oracle::frame(&head) else {
        return Next::Refused;
    };
    let mut request = Request {
        method: head.method,
        target: head.target,
        minor: head.minor,
        fields: head.fields,
        content: Vec::new(),
        trailers: Fields::new(),
    };
    match body(&frame, rest) {
        Some((content, trailers, length)) => {
            (request.content, request.trailers) = (content, trailers);
            Next::Whole(request, start + head_length + length)
        }
        None => Next::Headed(request),
    }
}

/// The response to a request of this method at the front of `bytes`, of so many fields at most; `ended` says
/// whether the stream was ended properly behind them.
pub(crate) fn response(
    bytes: &[u8],
    method: &[u8],
    ended: bool,
    most_fields: usize,
) -> Next<Response> {
    if bytes.is_empty() {
        return Next::Nothing;
    }
    let Some(head_length) = head_length(bytes) else {
        return Next::Begun;
    };
    let (head, rest) = bytes.split_at(head_length);
    let Some((mut response, minor)) =
        response_head(head).filter(|(response, _)| response.fields.len() <= most_fields)
    else {
        return Next::Refused;
    };
    let Some(declared) = declared(&response, minor) else {
        return Next::Refused;
    };
    if response.status < 200 {
        // It ends with its head: with a length or a coding, whether it does is anyone's guess.
        let sound = response.status != 101 && matches!(declared, Frame::None | Frame::Length(0));
        return if sound {
            Next::Whole(response, head_length)
        } else {
            Next::Refused
        };
    }
    let frame = match declared {
        Frame::None | Frame::Length(0) if response.status == 204 => Frame::None,
        _ if response.status == 204 => return Next::Refused,
        _ if method == b"HEAD" || response.status == 304 => Frame::None,
        Frame::None => {
            response.until_close = true;
            if !ended {
                return Next::Headed(response);
            }
            Frame::Length(rest.len() as u64)
        }
        declared => declared,
    };
    match body(&frame, rest) {
        Some((content, trailers, length)) => {
            (response.content, response.trailers) = (content, trailers);
            Next::Whole(response, head_length + length)
        }
        None => Next::Headed(response),
    }
}

/// Whether the connection may carry another request behind this one.
pub(crate) fn keep_alive(fields: &Fields, minor: u8) -> bool {
    let options = options(fields);
    let says = |word: &[u8]| options.iter().any(|option| option == word);
    !says(b"close") && (minor == 1 || says(b"keep-alive"))
}

/// What `Connection` says, in lower case.
pub(crate) fn options(fields: &Fields) -> Vec<Vec<u8>> {
    values(fields, "connection")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(|option| option.trim_ascii().to_ascii_lowercase())
        .filter(|option| !option.is_empty())
        .collect()
}

/// The values of the fields of one name.
pub(crate) fn values<'f>(fields: &'f Fields, name: &str) -> impl Iterator<Item = &'f [u8]> {
    fields
        .iter()
        .filter(move |(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| value.as_slice())
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, target) = (shown(&self.method), shown(&self.target));
        write!(f, "{method} {target} HTTP/1.{}", self.minor)?;
        rest(f, &self.fields, &self.content, &self.trailers)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        rest(f, &self.fields, &self.content, &self.trailers)
    }
}

fn rest(
    f: &mut fmt::Formatter<'_>,
    fields: &Fields,
    content: &[u8],
    trailers: &Fields,
) -> fmt::Result {
    for (name, value) in fields {
        write!(f, " | {}: {}", shown(name), shown(value))?;
    }
    write!(f, " | {:?}", shown(content))?;
    for (name, value) in trailers {
        write!(f, " | {}: {}", shown(name), shown(value))?;
    }
    Ok(())
}

fn head_length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    end.map(|at| at + 4)
}

fn response_head(bytes: &[u8]) -> Option<(Response, u8)> {
    let mut lines = oracle::lines(bytes)?.into_iter();
    let first = lines.next()?.strip_prefix(b"HTTP/1.")?;
    let (minor, rest) = match first {
        [b'0', b' ', rest @ ..] => (0, rest),
        [b'1', b' ', rest @ ..] => (1, rest),
        _ => return None,
    };
    let (code, reason) = rest.split_at_checked(3)?;
    if !code.iter().all(u8::is_ascii_digit) || !matches!(reason, [] | [b' ', ..]) {
        return None;
    }
    if reason
        .iter()
        .any(|byte| matches!(byte, 0..=8 | 10..=31 | 127))
    {
        return None;
    }
    let status = std::str::from_utf8(code).ok()?.parse().ok()?;
    let fields: Fields = lines.map(oracle::field).collect::<Option<_>>()?;
    let disguised = fields.iter().any(|(name, _)| {
        let name = name.to_ascii_lowercase();
        name == b"content_length" || name == b"transfer_encoding"
    });
    if status < 100 || disguised {
        return None;
    }
    let response = Response {
        status,
        fields,
        content: Vec::new(),
        trailers: Fields::new(),
        until_close: false,
    };
    Some((response, minor))
}

/// What the fields say of the body, by the rules for requests, which are the same.
fn declared(response: &Response, minor: u8) -> Option<Frame> {
    oracle::frame(&oracle::Request {
        method: b"GET".to_vec(),
        target: b"/".to_vec(),
        minor,
        fields: response.fields.clone(),
    })
}

/// Content, trailers and length of a whole body.
fn body(frame: &Frame, bytes: &[u8]) -> Option<(Vec<u8>, Fields, usize)> {
    match frame {
        Frame::None => Some((Vec::new(), Fields::new(), 0)),
        Frame::Length(length) => {
            let length = usize::try_from(*length).ok()?;
            let content = bytes.get(..length)?.to_vec();
            Some((content, Fields::new(), length))
        }
        Frame::Chunked => {
            let body = oracle::chunked(bytes)?;
            Some((body.content, body.trailers, body.length))
        }
    }
}
