//! Finding the end of a head as its bytes come, and reading it once it is there.
//!
//! Nearly every head comes whole. So what comes first is read at once, in one pass; only if that does not give a
//! head, because there is more to come or something is wrong with it, [`HeadScan`] looks for its end, at each byte once
//! however they come, and the head is then read as a whole. What is wrong is so told in one way only, and a head that
//! comes byte by byte costs no more than a few passes.

use super::limits::Limits;
use super::parse::{self, HeadError};
use crate::message::Head;
use crate::message::grammar;

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

    /// Reads the request's head that `bytes` begin with into `head` and gives its length, once all of it is there. When
    /// it fails, `head` holds what had been read until then, for the log. Fails no other way than [`HeadScan::find`] and
    /// [`parse_request`](parse::parse_request) one after the other.
    pub fn read_request(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        head: &mut Head,
    ) -> Result<Option<usize>, HeadError> {
        self.read(bytes, limits, head, parse::read_request)
    }

    /// The same for a response's head.
    pub fn read_response(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        head: &mut Head,
    ) -> Result<Option<usize>, HeadError> {
        self.read(bytes, limits, head, parse::read_response)
    }

    fn read(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        head: &mut Head,
        read: impl Fn(&[u8], &Limits, &mut Head) -> Result<usize, HeadError>,
    ) -> Result<Option<usize>, HeadError> {
        if !self.started() {
            let window = &bytes[..bytes.len().min(limits.head_bytes).min(u32::MAX as usize)];
            if let Ok(length) = read(window, limits, head) {
                head.adopt(&window[..length]);
                return Ok(Some(length));
            }
            head.clear();
        }
        let Some(length) = self.find(bytes, limits)? else {
            return Ok(None);
        };
        parse::exactly(&bytes[..length], limits, head, read).map(|()| Some(length))
    }
}

const MOST_EMPTY_LINES: usize = 2;
