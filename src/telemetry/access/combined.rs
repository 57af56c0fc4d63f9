//! A record as Apache's combined log format has it, for programs that read that.
//!
//! ```text
//! 203.0.113.7 - - [21/Nov/2026:09:30:00 +0000] "GET /checkout HTTP/1.1" 200 512 "https://shop.example/" "Mozilla/5.0"
//! ```
//!
//! The time is that of the request, as Apache has it, and not the end as in our other forms. What a client can choose is
//! escaped as Apache does: `\"`, `\\`, and `\xhh` for all that is not printable ASCII. Who went away before there was a
//! status has 499, which nginx has made known. What the format has no place for is not there: of all that forecourt decides
//! nothing, but for the share of a sampled line, behind the last field.

use std::io::Write;

use super::record::{AccessRecord, Stamp};

impl AccessRecord<'_> {
    /// Appends the line, its line feed included.
    pub fn write_combined(&self, stamp: &mut Stamp, out: &mut Vec<u8>) {
        match self.client {
            Some(client) => {
                let _ = write!(out, "{client}"); // a Vec takes all bytes
            }
            None => out.push(b'-'),
        }
        out.extend_from_slice(b" - - [");
        let began = self.timestamp.checked_sub(self.times.total);
        stamp.write_common(began.unwrap_or(self.timestamp), out);
        out.extend_from_slice(b"] \"");
        self.write_request_line(out);
        out.extend_from_slice(b"\" ");
        number(u64::from(self.status.unwrap_or(CLIENT_WENT)), out);
        out.push(b' ');
        match self.body_bytes {
            0 => out.push(b'-'),
            bytes => number(bytes, out),
        }
        for field in [self.referer, self.user_agent] {
            out.extend_from_slice(b" \"");
            if field.is_empty() {
                out.push(b'-');
            }
            escaped(field, out);
            out.push(b'"');
        }
        if let Some(percent) = self.sampled {
            let _ = write!(out, " sample={percent}%"); // a Vec takes all bytes
        }
        out.push(b'\n');
    }

    fn write_request_line(&self, out: &mut Vec<u8>) {
        if self.method.is_empty() {
            // There was none that could be read.
            return out.push(b'-');
        }
        escaped(self.method, out);
        out.push(b' ');
        escaped(self.path, out);
        if !self.query.is_empty() {
            out.push(b'?');
            escaped(self.query, out);
        }
        out.push(b' ');
        out.extend_from_slice(self.protocol.as_bytes());
    }
}

fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => {
                let _ = write!(out, "\\x{byte:02x}"); // a Vec takes all bytes
            }
        }
    }
}

fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The client closed its connection before there was an answer: no status of HTTP, but one that readers of logs know.
const CLIENT_WENT: u16 = 499;
