//! Reading a head: one pass over its bytes, by the grammar of RFC 9112 and nothing beside it.
//!
//! Each line is read from its first byte to its end, and what may stand there is checked on the way: no line ends in a
//! bare LF, nothing stands between name and colon, nothing but one space between the words of the first line.
//! What is read are places; the bytes themselves are copied into the head once, at the end.

use super::limits::{Limits, TRAILERS};
use crate::message::Method;
use crate::message::grammar::{is_target_byte, is_token_byte, length_of, text_length};
use crate::message::head::{Head, Name, Version};

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// A line that ends in LF alone.
    #[error("a line ends without a carriage return")]
    BareLf,
    /// Neither a field nor the end where a line begins: white space (a folded line among it), a field name
    /// with a byte that is none of a token, white space before the colon, or no colon.
    #[error("a field name is malformed")]
    FieldName,
    /// A control character in a field's value.
    #[error("a field value is malformed")]
    FieldValue,
    /// The first line does not fit in the limit.
    #[error("the first line is too long")]
    FirstLineTooLong,
    /// The head does not fit in the limit.
    #[error("the head is too large")]
    HeadTooLarge,
    /// HTTP/1.1 demands a `Host` (RFC 9112 section 3.2).
    #[error("the host field is missing")]
    HostMissing,
    /// More than one `Host`, be they equal.
    #[error("more than one host field")]
    HostRepeated,
    /// The bytes are less or more than one head.
    #[error("not exactly one head")]
    Length,
    /// CR without LF, or a line that does not end where it has to.
    #[error("a line is not ended by CRLF")]
    LineEnd,
    /// A request line or status line of no known form.
    #[error("the first line is malformed")]
    StartLine,
    /// A status code below 100.
    #[error("the status code is out of range")]
    Status,
    /// A byte that may not stand in a request target.
    #[error("the target is malformed")]
    Target,
    /// More fields than the limit.
    #[error("too many fields")]
    TooManyFields,
    /// HTTP, but neither 1.0 nor 1.1.
    #[error("the version is not supported")]
    Version,
}

/// What an error means to whoever answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadErrorKind {
    /// 431.
    HeadTooLarge,
    /// 400.
    Malformed,
    /// 414.
    TargetTooLong,
    /// 505.
    VersionUnsupported,
}

impl HeadError {
    /// What it means to whoever answers it.
    pub fn kind(self) -> HeadErrorKind {
        match self {
            Self::FirstLineTooLong => HeadErrorKind::TargetTooLong,
            Self::HeadTooLarge | Self::TooManyFields => HeadErrorKind::HeadTooLarge,
            Self::Version => HeadErrorKind::VersionUnsupported,
            Self::BareLf
            | Self::FieldName
            | Self::FieldValue
            | Self::HostMissing
            | Self::HostRepeated
            | Self::Length
            | Self::LineEnd
            | Self::StartLine
            | Self::Status
            | Self::Target => HeadErrorKind::Malformed,
        }
    }
}

/// Reads `bytes`, which are exactly one request's head, into `head`. When it fails, `head` holds what had
/// been read until then, for the log.
pub fn parse_request(bytes: &[u8], limits: &Limits, head: &mut Head) -> Result<(), HeadError> {
    exactly(bytes, limits, head, read_request)
}

/// Reads `bytes`, which are exactly one response's head, into `head`.
///
/// A status line without the space behind the code is taken: RFC 9112 section 4 demands it, some servers
/// leave it out with the reason, and nothing can be read into it.
pub fn parse_response(bytes: &[u8], limits: &Limits, head: &mut Head) -> Result<(), HeadError> {
    exactly(bytes, limits, head, read_response)
}

/// Reads a trailer section, its final empty line included.
pub(super) fn parse_trailers(bytes: &[u8], head: &mut Head) -> Result<(), HeadError> {
    exactly(bytes, &TRAILERS, head, |bytes, limits, head| {
        head.begin(Version::Http11);
        read_fields(bytes, 0, limits, head)
    })
}

/// Reads what is exactly one head, or one section of trailers.
pub(super) fn exactly(
    bytes: &[u8],
    limits: &Limits,
    head: &mut Head,
    read: impl FnOnce(&[u8], &Limits, &mut Head) -> Result<usize, HeadError>,
) -> Result<(), HeadError> {
    head.clear();
    // A head's spans are 32 bits wide, whatever the limit says.
    if bytes.len() > limits.head_bytes.min(u32::MAX as usize) {
        return Err(HeadError::HeadTooLarge);
    }
    let length = read(bytes, limits, head);
    head.adopt(bytes);
    if length? == bytes.len() {
        Ok(())
    } else {
        Err(HeadError::Length)
    }
}

/// Reads a request's head at the front of `bytes`, and gives its length. `head` is to adopt the bytes then, also when it
/// fails.
pub(super) fn read_request(
    bytes: &[u8],
    limits: &Limits,
    head: &mut Head,
) -> Result<usize, HeadError> {
    head.clear();
    let method = 0..length_of(bytes, is_token_byte);
    let start = method.end + 1;
    if method.is_empty() || bytes.get(method.end) != Some(&b' ') {
        return Err(HeadError::StartLine);
    }
    let target = start..start + length_of(&bytes[start..], is_target_byte);
    let version = match bytes.get(target.end..target.end + 1 + VERSION_LENGTH) {
        Some(b" HTTP/1.1") => Version::Http11,
        Some(b" HTTP/1.0") => Version::Http10,
        _ => {
            return Err(match bytes.get(target.end) {
                Some(b'#' | 0x80..) => HeadError::Target,
                Some(b' ') if names_a_version(bytes) => HeadError::Version,
                _ => HeadError::StartLine,
            });
        }
    };
    if target.is_empty() {
        return Err(HeadError::StartLine);
    }
    let fields = after_line(bytes, target.end + 1 + VERSION_LENGTH)?;
    head.begin(version);
    head.adopt_request(Method::from_bytes(&bytes[method.clone()]), method, target);
    let length = read_fields(bytes, fields, limits, head)?;
    match head.count(Name::Host) {
        0 if version == Version::Http11 => Err(HeadError::HostMissing),
        0 | 1 => Ok(length),
        _ => Err(HeadError::HostRepeated),
    }
}

/// Reads a response's head at the front of `bytes`, as [`read_request`] does.
pub(super) fn read_response(
    bytes: &[u8],
    limits: &Limits,
    head: &mut Head,
) -> Result<usize, HeadError> {
    head.clear();
    let version = match bytes.get(..VERSION_LENGTH + 1) {
        Some(b"HTTP/1.1 ") => Version::Http11,
        Some(b"HTTP/1.0 ") => Version::Http10,
        Some(b"HTTP/1.1\r" | b"HTTP/1.0\r") | None => return Err(HeadError::StartLine),
        Some(_) if names_a_version(bytes) => return Err(HeadError::Version),
        Some(_) => return Err(HeadError::StartLine),
    };
    let code = VERSION_LENGTH + 1..VERSION_LENGTH + 1 + CODE_LENGTH;
    let status = status(bytes.get(code.clone())).ok_or(HeadError::StartLine)?;
    if status < 100 {
        return Err(HeadError::Status);
    }
    let rest = &bytes[code.end..];
    let end = code.end + text_length(rest);
    let reason = match rest.first() {
        Some(b' ') => code.end + 1..end,
        _ if end == code.end => end..end,
        _ => return Err(HeadError::StartLine),
    };
    let fields = match bytes.get(end) {
        None | Some(b'\n') => after_line(bytes, end)?,
        Some(_) => after_line(bytes, end).map_err(|_| HeadError::StartLine)?,
    };
    head.begin(version);
    head.adopt_response(status, reason);
    read_fields(bytes, fields, limits, head)
}

fn status(code: Option<&[u8]>) -> Option<u16> {
    let digits = code?;
    let is_number = digits.iter().all(u8::is_ascii_digit);
    let number = digits.iter().fold(0, |number, digit| {
        number * 10 + u16::from(digit.wrapping_sub(b'0'))
    });
    is_number.then_some(number)
}

/// Reads the fields from `at` on, up to the empty line; gives the place behind it.
fn read_fields(
    bytes: &[u8],
    mut at: usize,
    limits: &Limits,
    head: &mut Head,
) -> Result<usize, HeadError> {
    for nth in 0.. {
        let rest = &bytes[at..];
        let name = at..at + length_of(rest, is_token_byte);
        if name.is_empty() {
            break;
        }
        if nth == limits.fields {
            return Err(HeadError::TooManyFields);
        }
        let Some(b':') = bytes.get(name.end) else {
            return Err(HeadError::FieldName);
        };
        let line = &bytes[name.end + 1..];
        let spaces = line.iter().take_while(|byte| is_space(**byte)).count();
        let length = spaces + text_length(&line[spaces..]);
        let end = name.end + 1 + length;
        at = match bytes.get(end) {
            None | Some(b'\n') => after_line(bytes, end)?,
            Some(_) => after_line(bytes, end).map_err(|_| HeadError::FieldValue)?,
        };
        let value = name.end + 1 + spaces..end - spaces_at_end(&line[spaces..length]);
        let known = Name::from_bytes(&bytes[name.clone()]);
        if known == Name::Other && is_framing_in_disguise(&bytes[name.clone()]) {
            return Err(HeadError::FieldName);
        }
        let is_line = value.end == end && spaces == 1 && line[0] == b' ';
        head.adopt_field(known, name, value, is_line);
    }
    match bytes.get(at) {
        None | Some(b'\r' | b'\n') => after_line(bytes, at),
        Some(_) => Err(HeadError::FieldName),
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn spaces_at_end(text: &[u8]) -> usize {
    let spaces = text.iter().rev().position(|byte| !is_space(*byte));
    spaces.unwrap_or(text.len())
}

/// The place behind the CRLF that has to be at `at`.
fn after_line(bytes: &[u8], at: usize) -> Result<usize, HeadError> {
    match bytes.get(at..) {
        Some([b'\r', b'\n', ..]) => Ok(at + 2),
        Some([b'\n', ..]) => Err(HeadError::BareLf),
        Some([] | [b'\r']) | None => Err(HeadError::Length),
        Some(_) => Err(HeadError::LineEnd),
    }
}

/// `Content_Length` and `Transfer_Encoding`: one variable with the real ones in CGI and its heirs, and
/// sent by nobody for any other reason.
fn is_framing_in_disguise(name: &[u8]) -> bool {
    match name.len() {
        14 => name.eq_ignore_ascii_case(b"content_length"),
        17 => name.eq_ignore_ascii_case(b"transfer_encoding"),
        _ => false,
    }
}

/// Whether the first line has a word of the form `HTTP/2.0` where the version belongs.
fn names_a_version(bytes: &[u8]) -> bool {
    let end = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
    let is_version = |word: &[u8]| matches!(word, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit());
    let mut words = bytes[..end].split(|byte| *byte == b' ');
    words.next().is_some_and(is_version) || words.nth(1).is_some_and(is_version)
}

/// Length of `HTTP/1.1`.
const VERSION_LENGTH: usize = 8;
/// Length of `200`.
const CODE_LENGTH: usize = 3;
