//! Finding the end of a head, and reading it.
//!
//! [`HeadScan`] looks at each byte once, however they come; the head it finds is then parsed as a whole by
//! `httparse`. That parser is quick and sound, but made to be lenient: it takes lines that end in a bare
//! LF, empty lines before the first, `#` and UTF-8 in targets, status 099. So its result is walked
//! once more against the bytes: first line and fields must follow each other with nothing between them
//! but what the grammar puts there. The walk steps from line to line by the lengths that `httparse`
//! found and looks at the few bytes between; it costs next to nothing.

use std::mem::MaybeUninit;

use httparse::{Header, Status};

use super::limits::{INLINE_FIELDS, Limits, TRAILERS};
use crate::message::grammar;
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

/// The incremental search for the end of a head.
#[derive(Debug, Default)]
pub struct HeadScan {
    /// Bytes that need not be looked at again.
    scanned: usize,
    /// Where the line under way begins.
    line: usize,
    /// Empty lines that were skipped before this head.
    skipped: usize,
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

impl HeadScan {
    /// Bytes of empty lines at the front of `bytes`, to be dropped before a request's head is looked for:
    /// clients of old sent a CRLF too many behind a body (RFC 9112 section 2.2). At most two for each head,
    /// however they come; what is beyond shows as malformed. Nothing is skipped within a head.
    pub fn skip_empty_lines(&mut self, bytes: &[u8]) -> usize {
        if self.started() {
            return 0;
        }
        let lines = bytes
            .chunks_exact(2)
            .take(MOST_EMPTY_LINES - self.skipped)
            .take_while(|pair| *pair == b"\r\n")
            .count();
        self.skipped += lines;
        lines * 2
    }

    /// Looks for the end of the head that begins with `bytes`, which are all that came so far; gives its
    /// length with the final CRLF. What cannot become a head is refused as soon as it shows: a bare LF, a
    /// first byte that begins no method and no version (a TLS handshake, say), too many bytes.
    pub fn find(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, HeadError> {
        // Nothing beyond the limit is looked at, so that the verdict does not depend on how bytes come.
        let window = &bytes[..bytes.len().min(limits.head_bytes)];
        let scanned = self.scanned.min(window.len());
        if scanned == 0 {
            match window {
                // It may be an empty line before the head, which is the caller's to skip.
                [] | [b'\r'] if bytes.len() < limits.head_bytes => return Ok(None),
                [b'\n', ..] => return Err(HeadError::BareLf),
                [first, ..] if !grammar::is_token_byte(*first) => return Err(HeadError::StartLine),
                _ => {}
            }
        }
        for offset in memchr::memchr_iter(b'\n', &window[scanned..]) {
            let at = scanned + offset;
            if at == 0 || window[at - 1] != b'\r' {
                return Err(HeadError::BareLf);
            }
            if at == self.line + 1 {
                return Ok(Some(at + 1));
            }
            self.line = at + 1;
        }
        self.scanned = window.len();
        if bytes.len() < limits.head_bytes {
            Ok(None)
        } else if self.line == 0 {
            Err(HeadError::FirstLineTooLong)
        } else {
            Err(HeadError::HeadTooLarge)
        }
    }

    /// Begins anew, for the next head.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Whether a byte of a head has been seen, so that the peer owes us the rest.
    pub fn started(&self) -> bool {
        self.scanned > 0
    }
}

/// Reads `bytes`, which are exactly one request's head, into `head`. When it fails, `head` holds what had
/// been read until then, for the log.
pub fn parse_request(bytes: &[u8], limits: &Limits, head: &mut Head) -> Result<(), HeadError> {
    parse_with_slots(bytes, limits, head, request_into)
}

/// Reads `bytes`, which are exactly one response's head, into `head`.
///
/// A status line without the space behind the code is taken: RFC 9112 section 4 demands it, some servers
/// leave it out with the reason, and nothing can be read into it.
pub fn parse_response(bytes: &[u8], limits: &Limits, head: &mut Head) -> Result<(), HeadError> {
    parse_with_slots(bytes, limits, head, response_into)
}

/// Reads a trailer section, its final empty line included.
pub(super) fn parse_trailers(bytes: &[u8], head: &mut Head) -> Result<(), HeadError> {
    head.clear();
    let mut slots = [httparse::EMPTY_HEADER; TRAILERS.fields];
    match httparse::parse_headers(bytes, &mut slots) {
        Ok(Status::Complete((length, fields))) if length == bytes.len() => {
            head.adopt(bytes, Version::Http11);
            adopt_fields(bytes, 0, fields, head)
        }
        Ok(Status::Complete(_) | Status::Partial) => Err(HeadError::Length),
        Err(error) => Err(named(error)),
    }
}

type Slot<'b> = MaybeUninit<Header<'b>>;

fn parse_with_slots<'b>(
    bytes: &'b [u8],
    limits: &Limits,
    head: &mut Head,
    parse: impl Fn(&'b [u8], &mut [Slot<'b>], &mut Head) -> Result<(), HeadError>,
) -> Result<(), HeadError> {
    head.clear();
    // A head's spans are 32 bits wide, whatever the limit says.
    if bytes.len() > limits.head_bytes.min(u32::MAX as usize) {
        return Err(HeadError::HeadTooLarge);
    }
    let inline = limits.fields.min(INLINE_FIELDS);
    let mut slots = [const { MaybeUninit::uninit() }; INLINE_FIELDS];
    match parse(bytes, &mut slots[..inline], head) {
        Err(HeadError::TooManyFields) if limits.fields > INLINE_FIELDS => {
            let most = limits.fields.min(bytes.len() / SHORTEST_FIELD + 1);
            parse(bytes, &mut vec![MaybeUninit::uninit(); most], head)
        }
        result => result,
    }
}

fn request_into<'b>(
    bytes: &'b [u8],
    slots: &mut [Slot<'b>],
    head: &mut Head,
) -> Result<(), HeadError> {
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, slots) {
        Ok(Status::Complete(length)) if length == bytes.len() => {}
        Ok(Status::Complete(_) | Status::Partial) => return Err(HeadError::Length),
        Err(httparse::Error::Version) if names_a_version(bytes) => return Err(HeadError::Version),
        Err(error) => return Err(named(error)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(HeadError::StartLine);
    };
    if !bytes.starts_with(method.as_bytes()) {
        // Empty lines before the first.
        return Err(HeadError::StartLine);
    }
    let target = method.len() + 1..method.len() + 1 + target.len();
    let fields_start = after_line(bytes, target.end + 1 + VERSION_LENGTH)?;
    debug_assert_eq!(bytes.get(target.clone()), request.path.map(str::as_bytes));
    if !bytes.get(target.clone()).is_some_and(grammar::is_target) {
        return Err(HeadError::Target);
    }
    head.adopt(bytes, version(minor));
    head.adopt_request(0..method.len(), target);
    adopt_fields(bytes, fields_start, request.headers, head)?;
    match head.all(Name::Host).count() {
        0 if minor == 1 => Err(HeadError::HostMissing),
        0 | 1 => Ok(()),
        _ => Err(HeadError::HostRepeated),
    }
}

fn response_into<'b>(
    bytes: &'b [u8],
    slots: &mut [Slot<'b>],
    head: &mut Head,
) -> Result<(), HeadError> {
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut response, bytes, slots) {
        Ok(Status::Complete(length)) if length == bytes.len() => {}
        Ok(Status::Complete(_) | Status::Partial) => return Err(HeadError::Length),
        Err(httparse::Error::Version) if names_a_version(bytes) => return Err(HeadError::Version),
        Err(error) => return Err(named(error)),
    }
    let (Some(status), Some(minor)) = (response.code, response.version) else {
        return Err(HeadError::StartLine);
    };
    if !bytes.starts_with(b"HTTP/1.") {
        return Err(HeadError::StartLine);
    }
    if status < 100 {
        return Err(HeadError::Status);
    }
    // The reason is taken from the bytes: httparse gives none if it is not ASCII, which it may be.
    let code_end = VERSION_LENGTH + 1 + CODE_LENGTH;
    let start = code_end + usize::from(bytes.get(code_end) == Some(&b' '));
    let rest = bytes.get(start..).unwrap_or_default();
    let end = start + memchr::memchr2(b'\r', b'\n', rest).ok_or(HeadError::Length)?;
    let fields_start = after_line(bytes, end)?;
    head.adopt(bytes, version(minor));
    head.adopt_response(status, start..end);
    adopt_fields(bytes, fields_start, response.headers, head)
}

/// Walks over the fields that `httparse` found and hands them to `head`, which has adopted `bytes`.
fn adopt_fields(
    bytes: &[u8],
    mut at: usize,
    fields: &[Header<'_>],
    head: &mut Head,
) -> Result<(), HeadError> {
    for field in fields {
        let name = at..at + field.name.len();
        let start = after_spaces(bytes, name.end + 1);
        let value = start..start + field.value.len();
        at = after_line(bytes, after_spaces(bytes, value.end))?;
        debug_assert_eq!(bytes.get(name.clone()), Some(field.name.as_bytes()));
        debug_assert_eq!(bytes.get(value.clone()), Some(field.value));
        if is_framing_in_disguise(field.name.as_bytes()) {
            return Err(HeadError::FieldName);
        }
        head.adopt_field(name, value);
    }
    if after_line(bytes, at)? == bytes.len() {
        Ok(())
    } else {
        Err(HeadError::Length)
    }
}

/// The place behind the CRLF that has to be at `at`.
fn after_line(bytes: &[u8], at: usize) -> Result<usize, HeadError> {
    match bytes.get(at..) {
        Some([b'\r', b'\n', ..]) => Ok(at + 2),
        Some([b'\n', ..]) => Err(HeadError::BareLf),
        Some(_) | None => Err(HeadError::LineEnd),
    }
}

fn after_spaces(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
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

fn version(minor: u8) -> Version {
    if minor == 0 {
        Version::Http10
    } else {
        Version::Http11
    }
}

fn named(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::HeaderName => HeadError::FieldName,
        httparse::Error::HeaderValue => HeadError::FieldValue,
        httparse::Error::NewLine => HeadError::LineEnd,
        httparse::Error::Status | httparse::Error::Token | httparse::Error::Version => {
            HeadError::StartLine
        }
        httparse::Error::TooManyHeaders => HeadError::TooManyFields,
    }
}

/// Length of `HTTP/1.1`.
const VERSION_LENGTH: usize = 8;
/// Length of `200`.
const CODE_LENGTH: usize = 3;
/// Length of `a:` and CRLF.
const SHORTEST_FIELD: usize = 4;
const MOST_EMPTY_LINES: usize = 2;
