//! Where a body ends (RFC 9112 section 6), strictly.
//!
//! Every disagreement about the end of a message between two readers on one connection is a smuggled
//! request. So a message is refused wherever readers are known to differ, also where the RFC would allow
//! to repair it: equal duplicates of `Content-Length`, a `Content-Length` beside a `Transfer-Encoding`,
//! codings before `chunked`, a `Transfer-Encoding` from HTTP/1.0, a body where none can be.

use super::body::Length;
use super::head::{Head, Name, Version};
use super::method::Method;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// This many bytes follow the head.
    Length(u64),
    /// The chunked coding (RFC 9112 section 7.1).
    Chunked,
    /// Everything up to the end of the connection; only a response can be so.
    UntilClose,
}

/// Why a message's framing is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A body is announced where none can be (1xx, 204, CONNECT).
    #[error("a body where none is allowed")]
    BodyNotAllowed,
    /// Not one number of digits, or one that is too large.
    #[error("content-length is not a number")]
    ContentLength,
    /// Both fields that frame a body.
    #[error("content-length beside transfer-encoding")]
    LengthAndCoding,
    /// A second `Content-Length`, be it equal.
    #[error("more than one content-length")]
    RepeatedContentLength,
    /// A second `Transfer-Encoding`.
    #[error("more than one transfer-encoding")]
    RepeatedTransferEncoding,
    /// Something other than the one word `chunked`.
    #[error("transfer-encoding is not exactly chunked")]
    TransferEncoding,
    /// `Transfer-Encoding` exists in HTTP/1.1 only.
    #[error("transfer-encoding in a version without it")]
    TransferEncodingVersion,
}

impl Framing {
    /// The framing that the head of a message with a body of this length states to a recipient of HTTP/1. A
    /// length that is only announced (HEAD) is [`Framing::Length`] here too.
    pub fn of(length: Length, recipient: Version) -> Self {
        match length {
            Length::Absent { announced: None } => Self::None,
            Length::Absent {
                announced: Some(length),
            }
            | Length::Exact(length) => Self::Length(length),
            Length::Unknown if recipient >= Version::Http11 => Self::Chunked,
            Length::Unknown => Self::UntilClose,
        }
    }
}

/// Decides how an HTTP/1 request's body is framed (RFC 9112 section 6.3). In HTTP/2 the frames say it, and
/// this only finds the contradictions.
pub fn request_framing(head: &Head) -> Result<Framing, FramingError> {
    match declared(head)? {
        None => Ok(Framing::None),
        // What follows a CONNECT is the tunnel's; whether it is a body too is anyone's guess.
        Some(_) if head.method() == Method::Connect => Err(FramingError::BodyNotAllowed),
        Some(framing) => Ok(framing),
    }
}

/// Decides how the body of a response is framed, given the request's method (RFC 9112 section 6.3).
///
/// [`Framing::UntilClose`] for a successful CONNECT stands for the tunnel. Of a response to HEAD, and of
/// a 304, [`announced_length`] tells the length that it would have.
pub fn response_framing(head: &Head, request_method: Method) -> Result<Framing, FramingError> {
    let declared = declared(head)?;
    let status = head.status();
    if is_bodiless(status) {
        // RFC 9110 forbids the fields here. If bytes do follow, they would be read as the next response,
        // which may be another client's.
        return match declared {
            None | Some(Framing::Length(0)) => Ok(Framing::None),
            Some(_) => Err(FramingError::BodyNotAllowed),
        };
    }
    if request_method == Method::Head || status == 304 {
        return Ok(Framing::None);
    }
    if request_method == Method::Connect && (200..300).contains(&status) {
        return Ok(Framing::UntilClose);
    }
    Ok(declared.unwrap_or(Framing::UntilClose))
}

/// The length that a response's `Content-Length` announces, if it has a sound one and may have one; for
/// responses to HEAD and for 304, which announce a body and send none. Ask before the field is stripped.
pub fn announced_length(head: &Head) -> Option<u64> {
    match declared(head) {
        Ok(Some(Framing::Length(length))) if !is_bodiless(head.status()) => Some(length),
        Ok(_) | Err(_) => None,
    }
}

/// The number that a `Content-Length` value is, if it is one. Says nothing about the other fields: to frame a
/// body, ask [`request_framing`] or [`response_framing`].
pub fn content_length(value: &[u8]) -> Option<u64> {
    parse_length(value).ok()
}

/// What the fields say, whoever sent them.
fn declared(head: &Head) -> Result<Option<Framing>, FramingError> {
    let mut lengths = head.all(Name::ContentLength);
    let length = lengths.next().map(parse_length).transpose()?;
    if lengths.next().is_some() {
        return Err(FramingError::RepeatedContentLength);
    }
    let mut codings = head.all(Name::TransferEncoding);
    let coding = codings.next();
    if codings.next().is_some() {
        return Err(FramingError::RepeatedTransferEncoding);
    }
    if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"chunked")) {
        return Err(FramingError::TransferEncoding);
    }
    let chunked = coding.is_some();
    match (length, chunked) {
        (Some(_), true) => Err(FramingError::LengthAndCoding),
        (None, true) if head.version() != Version::Http11 => {
            Err(FramingError::TransferEncodingVersion)
        }
        (None, true) => Ok(Some(Framing::Chunked)),
        (length, false) => Ok(length.map(Framing::Length)),
    }
}

/// Reads `1*DIGIT`. Nothing above `i64::MAX` and nothing of more digits than that has: many readers count
/// in signed numbers, and a length that is negative to the next one is no length.
fn parse_length(text: &[u8]) -> Result<u64, FramingError> {
    if text.is_empty() || text.len() > MAX_LENGTH_DIGITS {
        return Err(FramingError::ContentLength);
    }
    let mut length: u64 = 0;
    for &byte in text {
        if !byte.is_ascii_digit() {
            return Err(FramingError::ContentLength);
        }
        // 19 digits always fit.
        length = length * 10 + u64::from(byte - b'0');
    }
    if length > i64::MAX as u64 {
        Err(FramingError::ContentLength)
    } else {
        Ok(length)
    }
}

fn is_bodiless(status: u16) -> bool {
    status < 200 || status == 204
}

/// Digits of `i64::MAX`.
const MAX_LENGTH_DIGITS: usize = 19;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, fields: &[(&str, &str)]) -> Result<Framing, FramingError> {
        let mut head = Head::new();
        head.set_request(b"POST", b"/", version);
        fields
            .iter()
            .for_each(|(name, value)| head.push(name.as_bytes(), value.as_bytes()));
        request_framing(&head)
    }

    fn response(
        status: u16,
        method: Method,
        fields: &[(&str, &str)],
    ) -> Result<Framing, FramingError> {
        let mut head = Head::new();
        head.set_response(status, b"", Version::Http11);
        fields
            .iter()
            .for_each(|(name, value)| head.push(name.as_bytes(), value.as_bytes()));
        response_framing(&head, method)
    }

    #[test]
    fn requests_that_are_framed_in_one_way_pass() {
        let v11 = Version::Http11;
        assert_eq!(request(v11, &[]), Ok(Framing::None));
        assert_eq!(
            request(v11, &[("Content-Length", "0")]),
            Ok(Framing::Length(0))
        );
        assert_eq!(
            request(v11, &[("content-length", "9223372036854775807")]),
            Ok(Framing::Length(i64::MAX as u64))
        );
        assert_eq!(
            request(v11, &[("transfer-encoding", "CHUNKED")]),
            Ok(Framing::Chunked)
        );
        assert_eq!(
            request(Version::Http10, &[("content-length", "3")]),
            Ok(Framing::Length(3))
        );
    }

    #[test]
    fn odd_lengths_are_refused() {
        for value in [
            "",
            "+1",
            "-1",
            "1,1",
            "1, 1",
            "1 1",
            "0x1",
            "1.0",
            "9223372036854775808",
            "00000000000000000001",
            "\u{661}",
        ] {
            assert_eq!(
                request(Version::Http11, &[("content-length", value)]),
                Err(FramingError::ContentLength),
                "{value}"
            );
        }
        let twice = [("content-length", "1"), ("Content-Length", "1")];
        assert_eq!(
            request(Version::Http11, &twice),
            Err(FramingError::RepeatedContentLength)
        );
    }

    #[test]
    fn odd_codings_are_refused() {
        for value in [
            "",
            "identity",
            "gzip",
            "gzip, chunked",
            "chunked, gzip",
            "chunked,",
            "chunked, chunked",
            "chunked;q=1",
            "xchunked",
            "\x0bchunked",
        ] {
            let fields = [("transfer-encoding", value)];
            assert_eq!(
                request(Version::Http11, &fields),
                Err(FramingError::TransferEncoding),
                "{value}"
            );
            assert_eq!(
                response(200, Method::Get, &fields),
                Err(FramingError::TransferEncoding),
                "{value}"
            );
        }
        let chunked = ("transfer-encoding", "chunked");
        assert_eq!(
            request(Version::Http11, &[chunked, chunked]),
            Err(FramingError::RepeatedTransferEncoding)
        );
        assert_eq!(
            request(Version::Http11, &[chunked, ("content-length", "1")]),
            Err(FramingError::LengthAndCoding)
        );
        assert_eq!(
            request(Version::Http11, &[("content-length", "1"), chunked]),
            Err(FramingError::LengthAndCoding)
        );
        assert_eq!(
            request(Version::Http10, &[chunked]),
            Err(FramingError::TransferEncodingVersion)
        );
        assert_eq!(
            request(Version::Http2, &[chunked]),
            Err(FramingError::TransferEncodingVersion)
        );
    }

    #[test]
    fn responses_follow_status_and_method() {
        let five = [("content-length", "5")];
        let chunked = [("transfer-encoding", "chunked")];
        assert_eq!(response(200, Method::Get, &[]), Ok(Framing::UntilClose));
        assert_eq!(response(200, Method::Get, &five), Ok(Framing::Length(5)));
        assert_eq!(response(200, Method::Head, &five), Ok(Framing::None));
        assert_eq!(response(304, Method::Get, &five), Ok(Framing::None));
        assert_eq!(response(200, Method::Head, &chunked), Ok(Framing::None));
        assert_eq!(
            response(204, Method::Get, &[("content-length", "0")]),
            Ok(Framing::None)
        );
        assert_eq!(
            response(204, Method::Get, &five),
            Err(FramingError::BodyNotAllowed)
        );
        assert_eq!(
            response(103, Method::Get, &chunked),
            Err(FramingError::BodyNotAllowed)
        );
        assert_eq!(response(101, Method::Get, &[]), Ok(Framing::None));
        assert_eq!(response(200, Method::Connect, &[]), Ok(Framing::UntilClose));
        assert_eq!(
            response(200, Method::Head, &[("content-length", "x")]),
            Err(FramingError::ContentLength)
        );
    }

    #[test]
    fn a_connect_with_a_body_is_refused() {
        let mut head = Head::new();
        head.set_request(b"CONNECT", b"a:1", Version::Http11);
        assert_eq!(request_framing(&head), Ok(Framing::None));
        head.push(b"content-length", b"0");
        assert_eq!(request_framing(&head), Err(FramingError::BodyNotAllowed));
    }

    #[test]
    fn an_announced_length_is_told_where_it_may_be_said() {
        let mut head = Head::new();
        head.set_response(200, b"OK", Version::Http11);
        assert_eq!(announced_length(&head), None);
        head.push(b"content-length", b"7");
        assert_eq!(announced_length(&head), Some(7));
        head.set_response(204, b"", Version::Http11);
        head.push(b"content-length", b"0");
        assert_eq!(announced_length(&head), None);
    }

    #[test]
    fn lengths_are_written_as_the_recipient_can_read_them() {
        assert_eq!(
            Framing::of(Length::Unknown, Version::Http11),
            Framing::Chunked
        );
        assert_eq!(
            Framing::of(Length::Unknown, Version::Http10),
            Framing::UntilClose
        );
        assert_eq!(
            Framing::of(Length::Absent { announced: Some(3) }, Version::Http11),
            Framing::Length(3)
        );
        assert_eq!(
            Framing::of(Length::Absent { announced: None }, Version::Http11),
            Framing::None
        );
    }
}
