//! From segments to bytes, with each value made harmless for where it goes.
//!
//! | [`Encoding`] | what is filled in |
//! |---|---|
//! | [`Url`](Encoding::Url) | text of a URL (path, query, rest) as it is, but for bytes that a URL may not have, which are percent-encoded; everything else percent-encoded but for unreserved characters, in captures also but for `/` and escapes. Behind a `?` all but `/` is data, so that no `&` of a path begins a parameter; a query that is filled in there goes on with `&`. |
//! | [`Field`](Encoding::Field) | without control bytes |
//! | [`Html`](Encoding::Html) | `& < > " '` as entities, without control bytes, in UTF-8 |
//! | [`Json`](Encoding::Json) | for between two quotes: `"` and `\` escaped, without control bytes, in UTF-8 |
//! | [`Text`](Encoding::Text) | without control bytes, in UTF-8 |

use std::io::Write as _;
use std::net::IpAddr;

use super::{Segment, Template, Variable};

/// Where a rendered template goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A URL or the path of one.
    Url,
    /// The value of a field.
    Field,
    /// HTML or XML, between tags or within a quoted attribute.
    Html,
    /// A string of JSON.
    Json,
    /// Plain text.
    Text,
}

/// What is known of a request. What is not known is empty.
#[derive(Clone, Debug, Default)]
pub struct Values<'a> {
    /// See [`Variable::Host`].
    pub host: &'a [u8],
    /// See [`Variable::Port`].
    pub port: Option<u16>,
    /// See [`Variable::Scheme`].
    pub scheme: &'a str,
    /// See [`Variable::Method`].
    pub method: &'a [u8],
    /// See [`Variable::Path`].
    pub path: &'a [u8],
    /// See [`Variable::Query`].
    pub query: &'a [u8],
    /// See [`Variable::Rest`].
    pub rest: &'a [u8],
    /// What the groups of the regex took, the whole match first.
    pub captures: &'a [&'a [u8]],
    /// See [`Variable::Client`].
    pub client: Option<IpAddr>,
    /// See [`Variable::RequestId`].
    pub request_id: &'a [u8],
    /// See [`Variable::Listener`].
    pub listener: &'a str,
    /// See [`Variable::Route`].
    pub route: &'a str,
    /// See [`Variable::Backend`].
    pub backend: &'a str,
    /// See [`Variable::Status`].
    pub status: Option<u16>,
    /// See [`Variable::Reason`].
    pub reason: &'a str,
    /// See [`Variable::Code`].
    pub code: &'a str,
}

impl Template {
    /// Appends the template, filled in, to `out`.
    pub fn render(&self, values: &Values<'_>, encoding: Encoding, out: &mut Vec<u8>) {
        let start = out.len();
        for segment in self.segments() {
            match segment {
                Segment::Text { text, .. } => out.extend_from_slice(text.as_bytes()),
                Segment::Value { variable, .. } => values.put(*variable, encoding, start, out),
            }
        }
        if encoding == Encoding::Field {
            trim(start, out);
        }
    }
}

impl Values<'_> {
    /// Appends one value; what is rendered begins at `start`.
    fn put(&self, variable: Variable, encoding: Encoding, start: usize, out: &mut Vec<u8>) {
        if encoding == Encoding::Url {
            return self.put_in_url(variable, start, out);
        }
        let mut put = |bytes: &[u8]| match encoding {
            Encoding::Field => plain(bytes, out),
            Encoding::Html => readable(bytes, out, html_entity),
            Encoding::Json => readable(bytes, out, json_escape),
            Encoding::Url | Encoding::Text => readable(bytes, out, |_| None),
        };
        match variable {
            Variable::Uri => {
                put(self.path);
                put(self.query);
            }
            variable => self.with(variable, put),
        }
    }

    fn put_in_url(&self, variable: Variable, start: usize, out: &mut Vec<u8>) {
        let in_query = memchr::memchr2(b'?', b'#', &out[start..]).is_some();
        // `*` is no path; of a URL whose path it was, the root is left.
        let rooted = if self.path.starts_with(b"/") {
            self.path
        } else {
            b"/"
        };
        match variable {
            Variable::Path if in_query => data(rooted, b"/", out),
            Variable::Path => url_text(rooted, out),
            Variable::Rest if in_query => data(self.rest, b"/", out),
            Variable::Rest => url_text(self.rest, out),
            Variable::Uri if in_query => {
                data(rooted, b"/", out);
                data(self.query, b"/", out);
            }
            Variable::Uri => {
                url_text(rooted, out);
                url_text(self.query, out);
            }
            Variable::Query => match self.query.split_first() {
                Some((_, pairs)) if in_query => {
                    out.push(b'&');
                    url_text(pairs, out);
                }
                Some(_) => url_text(self.query, out),
                None => {}
            },
            Variable::Capture(_) => self.with(variable, |bytes| captured(bytes, out)),
            // What a host may be made of; brackets and colons are those of IPv6.
            Variable::Host => data(self.host, b"[]:", out),
            _ => self.with(variable, |bytes| data(bytes, b"", out)),
        }
    }

    /// Gives the bytes of a value; those of a number are made for it.
    fn with(&self, variable: Variable, take: impl FnOnce(&[u8])) {
        let mut number = itoa::Buffer::new();
        match variable {
            Variable::Host => take(self.host),
            Variable::Port => take(self.port.map_or("", |port| number.format(port)).as_bytes()),
            Variable::Scheme => take(self.scheme.as_bytes()),
            Variable::Method => take(self.method),
            Variable::Path | Variable::Uri => take(self.path),
            Variable::Query => take(self.query),
            Variable::Rest => take(self.rest),
            Variable::Capture(group) => take(self.captures.get(group).copied().unwrap_or_default()),
            Variable::Client => {
                let mut text = Vec::new();
                if let Some(client) = self.client {
                    // Writing to memory does not fail.
                    let _ = write!(text, "{client}");
                }
                take(&text);
            }
            Variable::RequestId => take(self.request_id),
            Variable::Listener => take(self.listener.as_bytes()),
            Variable::Route => take(self.route.as_bytes()),
            Variable::Backend => take(self.backend.as_bytes()),
            Variable::Status => {
                take(
                    self.status
                        .map_or("", |status| number.format(status))
                        .as_bytes(),
                );
            }
            Variable::Reason => take(self.reason.as_bytes()),
            Variable::Code => take(self.code.as_bytes()),
        }
    }
}

/// Without control bytes.
fn plain(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(bytes.iter().filter(|byte| !byte.is_ascii_control()));
}

/// In UTF-8 and without control characters; what `escape` knows is replaced.
fn readable(bytes: &[u8], out: &mut Vec<u8>, escape: impl Fn(char) -> Option<&'static str>) {
    let text = String::from_utf8_lossy(bytes);
    for character in text.chars().filter(|character| !character.is_control()) {
        match escape(character) {
            Some(escaped) => out.extend_from_slice(escaped.as_bytes()),
            None => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn html_entity(character: char) -> Option<&'static str> {
    match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&#39;"),
        _ => None,
    }
}

fn json_escape(character: char) -> Option<&'static str> {
    match character {
        '"' => Some("\\\""),
        '\\' => Some("\\\\"),
        _ => None,
    }
}

/// Text of a URL stays, escapes included; what a URL may not have becomes an escape.
fn url_text(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        let stays = is_unreserved(byte) || b"%:/?[]@!$&'()*+,;=".contains(&byte);
        put_byte(byte, stays, out);
    }
}

/// What a group took of a path in which all escapes are written out but those of `/` and `%`: these stay.
fn captured(bytes: &[u8], out: &mut Vec<u8>) {
    for (at, &byte) in bytes.iter().enumerate() {
        let is_escape = byte == b'%'
            && bytes
                .get(at + 1..at + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let stays = is_unreserved(byte) || byte == b'/' || is_escape;
        put_byte(byte, stays, out);
    }
}

/// Nothing in it means anything, but for the bytes of `kept`.
fn data(bytes: &[u8], kept: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        let stays = is_unreserved(byte) || kept.contains(&byte);
        put_byte(byte, stays, out);
    }
}

fn put_byte(byte: u8, stays: bool, out: &mut Vec<u8>) {
    if stays {
        out.push(byte);
    } else {
        let digit = |nibble: u8| HEX[usize::from(nibble & 0xf)];
        out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte)]);
    }
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// White space at the ends is no part of a field's value (RFC 9110 section 5.5).
fn trim(start: usize, out: &mut Vec<u8>) {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let end = out[start..].iter().rposition(|byte| !is_space(byte));
    out.truncate(end.map_or(start, |last| start + last + 1));
    let spaces = out[start..].iter().position(|byte| !is_space(byte));
    out.drain(start..start + spaces.unwrap_or(0));
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";
