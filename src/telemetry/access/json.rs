//! A record as one flat JSON object, in ASCII, on one line.
//!
//! Strings are escaped by serde_json. Beyond what JSON asks for, everything outside printable ASCII
//! is written as `\u....`: a line can neither be broken for readers with wider ideas of a line end
//! (U+0085, U+2028) nor drive a terminal. Durations are nanoseconds.

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use serde::Serializer as _;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::record::{AccessRecord, Attempt, Decision, Lossy, Stamp};
use crate::telemetry::words::PickReason;

/// A key with all that stands around it, for a member that is not the first of its object.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

impl AccessRecord<'_> {
    /// Appends the line, its line feed included.
    pub fn write_json(&self, stamp: &mut Stamp, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"@timestamp\":\"");
        stamp.write(self.timestamp, out);
        out.push(b'"');
        self.write_request(out);
        self.write_decisions(out);
        if !self.attempts.is_empty() {
            out.extend_from_slice(key!("forecourt.attempts").as_bytes());
            write_attempts(self.attempts, out);
        }
        if let Some(decision) = &self.decision {
            write_decision(decision, out);
        }
        time(key!("forecourt.times.queue"), self.times.queue, out);
        time(key!("forecourt.times.connect"), self.times.connect, out);
        let first_byte = self.times.first_byte;
        time(key!("forecourt.times.first_byte"), first_byte, out);
        time(key!("forecourt.times.total"), Some(self.times.total), out);
        out.extend_from_slice(b"}\n");
    }

    /// What ECS has a name for.
    fn write_request(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(key!("http.request.method").as_bytes());
        bytes(self.method, out);
        out.extend_from_slice(key!("url.path").as_bytes());
        bytes(self.path, out);
        given(key!("url.query"), self.query, out);
        if let Some(status) = self.status {
            number(key!("http.response.status_code"), u64::from(status), out);
        }
        number(key!("http.response.body.bytes"), self.body_bytes, out);
        number(key!("event.duration"), nanoseconds(self.times.total), out);
        if let Some(client) = self.client {
            out.extend_from_slice(key!("client.ip").as_bytes());
            address(client, out);
        }
        given(key!("http.request.referrer"), self.referer, out);
        given(key!("user_agent.original"), self.user_agent, out);
        given(key!("http.request.id"), self.request_id, out);
        given(key!("trace.id"), self.trace_id, out);
    }

    /// What forecourt decided.
    fn write_decisions(&self, out: &mut Vec<u8>) {
        name(key!("forecourt.listener"), Some(self.listener), out);
        name(key!("forecourt.route"), self.route, out);
        name(key!("forecourt.pool"), self.pool, out);
        name(key!("forecourt.strategy"), self.strategy, out);
        let sticky = self.sticky.map(|sticky| sticky.as_str());
        name(key!("forecourt.sticky"), sticky, out);
        let error = self.error.map(|cause| cause.as_str());
        name(key!("forecourt.error"), error, out);
        name(key!("forecourt.backend"), self.backend, out);
        number(key!("forecourt.generation"), self.generation, out);
        if let Some(percent) = self.sampled {
            out.extend_from_slice(key!("forecourt.sample_rate").as_bytes());
            share(percent, out);
        }
    }
}

fn write_attempts(attempts: &[Attempt<'_>], out: &mut Vec<u8>) {
    for (index, attempt) in attempts.iter().enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        out.extend_from_slice(b"{\"backend\":");
        text(attempt.backend, out);
        if let Some(cause) = attempt.cause {
            out.extend_from_slice(key!("cause").as_bytes());
            text(cause.as_str(), out);
        }
        number(key!("duration"), nanoseconds(attempt.duration), out);
        out.push(b'}');
    }
    out.push(b']');
}

fn write_decision(decision: &Decision, out: &mut Vec<u8>) {
    out.extend_from_slice(key!("forecourt.decision").as_bytes());
    out.extend_from_slice(b"{\"eligible\":");
    let mut count = itoa::Buffer::new();
    out.extend_from_slice(count.format(decision.eligible).as_bytes());
    number(key!("members"), decision.members as u64, out);
    name(key!("reason"), decision.reason.map(PickReason::as_str), out);
    if decision.panic {
        out.extend_from_slice(key!("panic").as_bytes());
        out.extend_from_slice(b"true");
    }
    out.push(b'}');
}

/// Writes a member that may be absent. In line, as those below: then the compiler knows how long its key is.
#[inline(always)]
fn name(key: &str, value: Option<&str>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        out.extend_from_slice(key.as_bytes());
        text(value, out);
    }
}

/// The same of bytes, which are absent if there are none.
#[inline(always)]
fn given(key: &str, value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        out.extend_from_slice(key.as_bytes());
        bytes(value, out);
    }
}

#[inline(always)]
fn time(key: &str, value: Option<Duration>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        number(key, nanoseconds(value), out);
    }
}

#[inline(always)]
fn number(key: &str, value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    match value {
        // Of the times, many are nothing.
        0..=9 => out.push(b'0' + value as u8),
        _ => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
    }
}

/// Writes so many per cent as a share of 1, from 0 to 0.99.
fn share(percent: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0', b'.', b'0' + percent / 10 % 10]);
    if !percent.is_multiple_of(10) {
        out.push(b'0' + percent % 10);
    }
}

/// Writes an address as a JSON string: those of IPv4, which are most, without the machinery of formatting.
fn address(address: IpAddr, out: &mut Vec<u8>) {
    let IpAddr::V4(v4) = address else {
        return shown(&address, out);
    };
    out.push(b'"');
    for (index, part) in v4.octets().into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(itoa::Buffer::new().format(part).as_bytes());
    }
    out.push(b'"');
}

/// Writes bytes as a JSON string; what is not UTF-8 becomes U+FFFD.
pub(super) fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    if is_plain(bytes) {
        return quoted(bytes, out);
    }
    match str::from_utf8(bytes) {
        Ok(valid) => shown(&valid, out),
        Err(_) => shown(&Lossy(bytes), out),
    }
}

/// Writes a JSON string.
fn text(text: &str, out: &mut Vec<u8>) {
    bytes(text.as_bytes(), out);
}

/// Whether a string stands in JSON as it is: nearly all do.
fn is_plain(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks();
    // No early exit: looking at the next byte is cheaper than a branch.
    words
        .iter()
        .fold(true, |plain, word| plain & is_plain_word(*word))
        & rest
            .iter()
            .fold(true, |plain, byte| plain & PLAIN[usize::from(*byte)])
}

/// The same for eight bytes at once.
fn is_plain_word(word: [u8; 8]) -> bool {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let word = u64::from_le_bytes(word);
    let below = |word: u64, bound: u8| word.wrapping_sub(EACH * u64::from(bound)) & !word;
    let is_one = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    // The top bit of a byte says that it is one of these.
    let odd = below(word, b' ') | is_one(b'"') | is_one(b'\\') | is_one(0x7f) | word;
    odd & (EACH << 7) == 0
}

/// The bytes that are written as they are: printable ASCII without what JSON escapes.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        table[byte as usize] = byte != b'"' && byte != b'\\';
        byte += 1;
    }
    table
};

fn quoted(plain: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(plain);
    out.push(b'"');
}

/// Any value as JSON in printable ASCII.
pub fn ascii_json(value: &impl serde::Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    value
        .serialize(&mut Serializer::with_formatter(&mut out, Ascii))
        .expect(VEC_TAKES_ALL);
    out
}

/// Writes what `value` displays as a JSON string.
pub(super) fn shown(value: &impl std::fmt::Display, out: &mut Vec<u8>) {
    Serializer::with_formatter(out, Ascii)
        .collect_str(value)
        .expect(VEC_TAKES_ALL);
}

/// A duration in nanoseconds. 584 years fit; what is longer is written as that.
pub fn nanoseconds(duration: Duration) -> u64 {
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
