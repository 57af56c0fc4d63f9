//! A record as one short line for people.
//!
//! ```text
//! 2026-11-21T09:30:00.125Z 203.0.113.7 web "GET /checkout" 200 512B 12.345ms checkout -> 127.0.0.1:9003 id="01J.."
//! ```
//!
//! What a client can choose stands in quotes, escaped as in the JSON form, so that it can neither end
//! the line nor pass for one of our words. Durations are milliseconds.

use std::io::Write;
use std::time::Duration;

use super::json;
use super::record::{AccessRecord, Lossy, Stamp};

impl AccessRecord<'_> {
    /// Appends the line, its line feed included.
    pub fn write_text(&self, stamp: &mut Stamp, out: &mut Vec<u8>) {
        stamp.write(self.timestamp, out);
        out.push(b' ');
        match self.client {
            Some(client) => plain(&client, out),
            None => out.push(b'-'),
        }
        out.push(b' ');
        word(self.listener, out);
        out.push(b' ');
        let mark = if self.query.is_empty() { "" } else { "?" };
        let (method, path, query) = (Lossy(self.method), Lossy(self.path), Lossy(self.query));
        json::shown(&format_args!("{method} {path}{mark}{query}"), out);
        out.push(b' ');
        match self.status {
            Some(status) => number(u64::from(status), out),
            None => out.push(b'-'),
        }
        out.push(b' ');
        number(self.body_bytes, out);
        out.extend_from_slice(b"B ");
        milliseconds(self.times.total, out);
        self.write_way(out);
        out.push(b'\n');
    }

    /// Where it went, and what was unusual about it.
    fn write_way(&self, out: &mut Vec<u8>) {
        if let Some(pool) = self.pool {
            out.push(b' ');
            word(pool, out);
        }
        if let Some(backend) = self.backend {
            out.extend_from_slice(b" -> ");
            word(backend, out);
        }
        if let Some(sticky) = self.sticky {
            out.extend_from_slice(b" sticky=");
            out.extend_from_slice(sticky.as_str().as_bytes());
        }
        if self.attempts.len() > 1 {
            out.extend_from_slice(b" attempts=");
            number(self.attempts.len() as u64, out);
        }
        if let Some(cause) = self.error {
            out.extend_from_slice(b" error=");
            out.extend_from_slice(cause.as_str().as_bytes());
        }
        for (name, value) in [
            (&b" referer="[..], self.referer),
            (b" agent=", self.user_agent),
            (b" id=", self.request_id),
            (b" trace=", self.trace_id),
        ] {
            if !value.is_empty() {
                out.extend_from_slice(name);
                json::bytes(value, out);
            }
        }
        if let Some(percent) = self.sampled {
            out.extend_from_slice(b" sample=");
            number(u64::from(percent), out);
            out.push(b'%');
        }
    }
}

/// A name from the configuration: bare if it is one plain word, else in quotes.
fn word(name: &(impl std::fmt::Display + ?Sized), out: &mut Vec<u8>) {
    let start = out.len();
    plain(name, out);
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=');
    if out.len() == start || !out[start..].iter().all(is_plain) {
        out.truncate(start);
        json::shown(&format_args!("{name}"), out);
    }
}

fn plain(value: &(impl std::fmt::Display + ?Sized), out: &mut Vec<u8>) {
    let _ = write!(out, "{value}"); // a Vec takes all bytes
}

fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn milliseconds(duration: Duration, out: &mut Vec<u8>) {
    let microseconds = duration.as_micros();
    out.extend_from_slice(itoa::Buffer::new().format(microseconds / 1000).as_bytes());
    let rest = (microseconds % 1000) as u16;
    let digit = |value: u16| b'0' + (value % 10) as u8;
    out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
    out.extend_from_slice(b"ms");
}
