//! What is known of an exchange when it has ended, borrowed from those who know it.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use crate::telemetry::cause::Cause;
use crate::telemetry::words::{PickReason, StickyOutcome};

/// One exchange. What is `None` or empty is absent from the line.
#[derive(Clone, Copy, Debug)]
pub struct AccessRecord<'a> {
    /// When the exchange ended; written to the millisecond. It began `times.total` earlier.
    pub timestamp: Timestamp,
    /// The method as the client wrote it.
    pub method: &'a [u8],
    /// The path without its query, as the client wrote it.
    pub path: &'a [u8],
    /// What may be logged of the query, without its `?`.
    pub query: &'a [u8],
    /// The version of HTTP that the client speaks, as `HTTP/1.1`.
    pub protocol: &'static str,
    /// What may be logged of the field `Referer`.
    pub referer: &'a [u8],
    /// The field `User-Agent`, if it may be logged.
    pub user_agent: &'a [u8],
    /// The status that was sent; `None` if the client went away before.
    pub status: Option<u16>,
    /// Bytes of the response body that were sent, without framing.
    pub body_bytes: u64,
    /// The client, as believed after trusted proxies; `None` on a Unix socket.
    pub client: Option<IpAddr>,
    /// The request's id.
    pub request_id: &'a [u8],
    /// The trace that it is part of, in hexadecimal (W3C Trace Context).
    pub trace_id: &'a [u8],
    /// Of how many exchanges like this one are logged, in per cent; `None` if all are.
    pub sampled: Option<u8>,
    /// Name of the listener.
    pub listener: &'a str,
    /// Name of the route; `None` if none was found.
    pub route: Option<&'a str>,
    /// Name of the pool.
    pub pool: Option<&'a str>,
    /// The backend that answered, or that was tried last.
    pub backend: Option<&'a str>,
    /// Name of the strategy that picked it.
    pub strategy: Option<&'a str>,
    /// What became of the sticky cookie, in a pool with stickiness.
    pub sticky: Option<StickyOutcome>,
    /// The configuration that the exchange was served by.
    pub generation: u64,
    /// Why it failed; the word of the `forecourt-error` header.
    pub error: Option<Cause>,
    /// Every attempt, in order.
    pub attempts: &'a [Attempt<'a>],
    /// Where the time went.
    pub times: Times,
    /// How the backend came to be picked.
    pub decision: Option<Decision>,
}

/// How a backend came to be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Why the last one that was picked was; `None` if none was.
    pub reason: Option<PickReason>,
    /// Members of the pool that could be picked.
    pub eligible: usize,
    /// Members of the pool.
    pub members: usize,
    /// Whether so few were well that health was not asked for.
    pub panic: bool,
}

/// One attempt at having the request answered.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The backend that was tried.
    pub backend: &'a str,
    /// Why it failed; `None` if it did not.
    pub cause: Option<Cause>,
    /// From its start to its failure or the end of its response.
    pub duration: Duration,
}

/// Where the time of an exchange went; each counted from the end of the one before, but for the total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From the request's head to the pick of the backend that answered.
    pub queue: Option<Duration>,
    /// To a connection; zero on a kept one.
    pub connect: Option<Duration>,
    /// To the first byte of the response.
    pub first_byte: Option<Duration>,
    /// From the request's head to the end of the response; also the line's `event.duration`.
    pub total: Duration,
}

/// Bytes written as UTF-8, each invalid part as U+FFFD, as [`String::from_utf8_lossy`] does but without a string.
pub(super) struct Lossy<'a>(pub(super) &'a [u8]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

/// Writes timestamps; the calendar is asked once a second only.
#[derive(Debug, Default)]
pub struct Stamp {
    second: Option<i64>,
    /// Up to the second, without the `Z`.
    text: String,
    common_second: Option<i64>,
    common: String,
}

impl Stamp {
    /// Appends `timestamp` as the common log format has it, in UTC, in whole seconds.
    pub(super) fn write_common(&mut self, timestamp: Timestamp, out: &mut Vec<u8>) {
        let second = timestamp.as_millisecond().div_euclid(1000);
        if self.common_second != Some(second) {
            self.common_second = Some(second);
            self.common.clear();
            let whole = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
            let shown = whole.strftime("%d/%b/%Y:%H:%M:%S +0000");
            let _ = write!(self.common, "{shown}"); // a String takes all
        }
        out.extend_from_slice(self.common.as_bytes());
    }

    /// Appends `timestamp` as RFC 3339 has it, in UTC, with milliseconds.
    pub fn write(&mut self, timestamp: Timestamp, out: &mut Vec<u8>) {
        // Rounded down, also before 1970, where jiff counts the fraction from above.
        let milliseconds = timestamp.as_millisecond();
        let (second, rest) = (milliseconds.div_euclid(1000), milliseconds.rem_euclid(1000));
        if self.second != Some(second) {
            self.second = Some(second);
            self.text.clear();
            let whole = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
            let _ = write!(self.text, "{whole}"); // a String takes all
            self.text.pop();
        }
        let digit = |value: i64| b'0' + (value % 10) as u8;
        out.extend_from_slice(self.text.as_bytes());
        out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest), b'Z']);
    }
}
