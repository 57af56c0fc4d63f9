//! A record as one flat JSON object, in ASCII, on one line.
//!
//! Strings are escaped by serde_json. Beyond what JSON asks for, everything outside printable ASCII
//! is written as `\u....`: a line can neither be broken for readers with wider ideas of a line end
//! (U+0085, U+2028) nor drive a terminal. Durations are nanoseconds.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serializer as _;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::record::{AccessRecord, Attempt, Lossy, Stamp};

impl AccessRecord<'_> {
    /// Appends the line, its line feed included.
    pub fn write_json(&self, stamp: &mut Stamp, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"@timestamp\":\"");
        stamp.write(self.timestamp, out);
        out.push(b'"');
        self.write_request(out);
        self.write_decisions(out);
        if !self.attempts.is_empty() {
            key("forecourt.attempts", out);
            write_attempts(self.attempts, out);
        }
        for (name, time) in [
            ("forecourt.times.queue", self.times.queue),
            ("forecourt.times.connect", self.times.connect),
            ("forecourt.times.first_byte", self.times.first_byte),
            ("forecourt.times.total", Some(self.times.total)),
        ] {
            if let Some(time) = time {
                number(name, nanoseconds(time), out);
            }
        }
        out.extend_from_slice(b"}\n");
    }

    /// What ECS has a name for.
    fn write_request(&self, out: &mut Vec<u8>) {
        key("http.request.method", out);
        bytes(self.method, out);
        key("url.path", out);
        bytes(self.path, out);
        if let Some(status) = self.status {
            number("http.response.status_code", u64::from(status), out);
        }
        number("http.response.body.bytes", self.body_bytes, out);
        number("event.duration", nanoseconds(self.times.total), out);
        if let Some(client) = self.client {
            key("client.ip", out);
            shown(&client, out);
        }
        if !self.request_id.is_empty() {
            key("http.request.id", out);
            bytes(self.request_id, out);
        }
    }

    /// What forecourt decided.
    fn write_decisions(&self, out: &mut Vec<u8>) {
        key("forecourt.listener", out);
        text(self.listener, out);
        for (name, value) in [
            ("forecourt.route", self.route),
            ("forecourt.pool", self.pool),
            ("forecourt.strategy", self.strategy),
            (
                "forecourt.sticky",
                self.sticky.map(|sticky| sticky.as_str()),
            ),
            ("forecourt.error", self.error.map(|cause| cause.as_str())),
        ] {
            if let Some(value) = value {
                key(name, out);
                text(value, out);
            }
        }
        if let Some(backend) = self.backend {
            key("forecourt.backend", out);
            shown(&backend, out);
        }
        number("forecourt.generation", self.generation, out);
    }
}

fn write_attempts(attempts: &[Attempt<'_>], out: &mut Vec<u8>) {
    for (index, attempt) in attempts.iter().enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        out.extend_from_slice(b"{\"backend\":");
        shown(&attempt.backend, out);
        if let Some(cause) = attempt.cause {
            key("cause", out);
            text(cause.as_str(), out);
        }
        number("duration", nanoseconds(attempt.duration), out);
        out.push(b'}');
    }
    out.push(b']');
}

/// Begins a member that is not the first of its object.
fn key(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn number(name: &str, value: u64, out: &mut Vec<u8>) {
    key(name, out);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes bytes as a JSON string; what is not UTF-8 becomes U+FFFD.
pub(super) fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    match str::from_utf8(bytes) {
        Ok(valid) => text(valid, out),
        Err(_) => shown(&Lossy(bytes), out),
    }
}

/// Writes a JSON string.
fn text(text: &str, out: &mut Vec<u8>) {
    Serializer::with_formatter(out, Ascii)
        .serialize_str(text)
        .expect(VEC_TAKES_ALL);
}

/// Writes what `value` displays as a JSON string.
pub(super) fn shown(value: &impl std::fmt::Display, out: &mut Vec<u8>) {
    Serializer::with_formatter(out, Ascii)
        .collect_str(value)
        .expect(VEC_TAKES_ALL);
}

/// 584 years fit; what is longer is written as that.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes every character outside printable ASCII as `\u....`; those that JSON forbids never come here.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        // By bytes: the first one outside ASCII begins a character, so the split is at a boundary.
        while let Some(at) = rest.bytes().position(|byte| !matches!(byte, b' '..=b'~')) {
            let (plain, tail) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut chars = tail.chars();
            if let Some(char) = chars.next() {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

const VEC_TAKES_ALL: &str =
    "a Vec takes all bytes, and what we show displays itself without an error";
