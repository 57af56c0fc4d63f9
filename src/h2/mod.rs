//! HTTP/2 heads (RFC 9113): what the framing library understood, to the head of the house, and back.
//!
//! *What enters*: requests and responses as the `h2` crate gives them, their frames, HPACK and pseudo-fields
//! understood. *What leaves*: a [`Head`] like any other, or the reason why none can be made. What HTTP/2 can
//! say and HTTP/1 cannot is refused here, since every request may go on by HTTP/1, where it would begin
//! another one: that is how requests are smuggled through a downgrade.
//!
//! In reading order: [`request`] (a request from a client, one to a backend), [`response`] (a response from a
//! backend, one to a client), [`trailers`].
//!
//! Deliberately absent: frames, streams, windows and everything that waits (`server`, `upstream`).

pub mod request;
pub mod response;
pub mod trailers;

use bytes::BytesMut;
use http::header::{self, CONTENT_LENGTH, HeaderMap, HeaderName};

use crate::message::grammar;
use crate::message::head::{Head, Name};

/// Why a message that came by HTTP/2 is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// `:authority` and `Host` name different hosts, or none (RFC 9113 section 8.3.1).
    #[error("the authority and the host field do not name one host")]
    Authority,
    /// A field that belongs to a connection, which HTTP/2 has no use for (section 8.2.2).
    #[error("a field of a connection")]
    ConnectionField,
    /// A value that HTTP/1 cannot carry, or a name that is taken for one that frames messages.
    #[error("a field that cannot be passed on")]
    Field,
    /// More fields than the limit.
    #[error("too many fields")]
    TooManyFields,
    /// `:path` is missing or no target.
    #[error("the path is malformed")]
    Path,
    /// A scheme other than those that are served here.
    #[error("a scheme that is not of the web")]
    Scheme,
}

/// Copies the fields of a message, one for each value, into a head that has its first line.
fn adopt_fields(fields: &HeaderMap, most: usize, head: &mut Head) -> Result<(), HeadError> {
    if fields.len() > most {
        return Err(HeadError::TooManyFields);
    }
    for (name, value) in fields {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        if is_of_connection(name) {
            return Err(HeadError::ConnectionField);
        }
        // The library takes a quotation mark for a letter of names; HTTP/1 does not (RFC 9110 section 5.6.2).
        if !grammar::is_token(name) || is_framing_in_disguise(name) || !is_value(value) {
            return Err(HeadError::Field);
        }
        head.push(name, value);
    }
    Ok(())
}

/// Copies fields of a head that can be said in HTTP/2, and `may` be, and puts a length behind them. Those that frame the
/// message or manage the connection are left out.
fn give_fields(head: &Head, may: impl Fn(Name) -> bool, length: Option<u64>, to: &mut HeaderMap) {
    let fields = || {
        head.fields()
            .filter(|field| !is_of_framing(field.known) && may(field.known))
    };
    // One piece of memory for the values of all: a piece for each would cost more than the copy.
    let (mut count, mut size) = (1, 0);
    for field in fields() {
        count += 1;
        size += field.value.len();
    }
    // More names than the map can hold are far beyond every limit of a head.
    let _ = to.try_reserve(count);
    let mut values = BytesMut::with_capacity(size + LENGTH_DIGITS);
    let mut value_of = |bytes: &[u8]| {
        values.extend_from_slice(bytes);
        http::HeaderValue::from_maybe_shared(values.split().freeze())
    };
    for field in fields() {
        let name = known(field.known).map_or_else(|| HeaderName::from_bytes(field.name), Ok);
        if let (Ok(name), Ok(value)) = (name, value_of(field.value)) {
            let _ = to.try_append(name, value);
        }
    }
    let length = length.map(|length| value_of(itoa::Buffer::new().format(length).as_bytes()));
    if let Some(Ok(length)) = length {
        to.insert(CONTENT_LENGTH, length);
    }
}

/// A name that need not be read to be the library's.
fn known(name: Name) -> Option<HeaderName> {
    Some(match name {
        Name::Accept => header::ACCEPT,
        Name::AcceptEncoding => header::ACCEPT_ENCODING,
        Name::CacheControl => header::CACHE_CONTROL,
        Name::ContentType => header::CONTENT_TYPE,
        Name::Cookie => header::COOKIE,
        Name::Date => header::DATE,
        Name::SetCookie => header::SET_COOKIE,
        Name::Via => header::VIA,
        _ => return None,
    })
}

/// Digits of the longest length.
const LENGTH_DIGITS: usize = 20;

fn is_of_framing(name: Name) -> bool {
    matches!(
        name,
        Name::Connection
            | Name::ContentLength
            | Name::KeepAlive
            | Name::ProxyConnection
            | Name::TransferEncoding
            | Name::Upgrade
    )
}

fn is_of_connection(name: &[u8]) -> bool {
    matches!(
        name,
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade"
    )
}

/// One variable with the real ones in CGI and its heirs; see `h1::parse`.
fn is_framing_in_disguise(name: &[u8]) -> bool {
    matches!(name, b"content_length" | b"transfer_encoding")
}

/// White space around a value is malformed in HTTP/2 (section 8.2.1), control characters everywhere.
fn is_value(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let has_control = value
        .iter()
        .any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f);
    !is_space(value.first()) && !is_space(value.last()) && !has_control
}
