//! A client's connection: its socket, what has been read, and the head at the front of that.

use std::cell::RefCell;

use super::patience::Patience;
use super::{Peer, Terms, h2};
use crate::h1::{HeadError, HeadErrorKind, HeadScan, Limits};
use crate::message::Head;
use crate::telemetry::Cause;
use crate::worker::{Buffer, Output, Stream, Timer, Worker};

/// The socket and what waits to be written to it.
#[derive(Debug)]
pub(super) struct Wire {
    /// The socket.
    pub(super) stream: Stream,
    /// What waits.
    pub(super) output: Output,
}

/// What has been read and not yet understood.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// The bytes.
    pub(super) buffer: Buffer,
    scan: HeadScan,
}

/// A connection during one exchange.
#[derive(Debug)]
pub(super) struct Connection<'a> {
    pub(super) wire: &'a RefCell<Wire>,
    pub(super) input: &'a mut Input,
    pub(super) timer: &'a Timer,
    pub(super) worker: &'a Worker,
    pub(super) peer: &'a Peer,
    pub(super) terms: Terms,
    /// Which request of the connection this is, from 1.
    pub(super) nth: u32,
}

impl Connection<'_> {
    /// Borrows memory for what will be written.
    pub(super) fn prepare_output(&self) {
        let output = &mut self.wire.borrow_mut().output;
        output.prepare(self.worker.buffers());
    }

    /// Full patience with the client, for a body.
    pub(super) fn patience(&self) -> Patience {
        Patience::of(&self.terms.listener)
    }

    /// Whether it is to end behind the answer under way.
    pub(super) fn is_last(&self) -> bool {
        let most = self.terms.listener.limits.requests;
        most > 0 && self.nth >= most
    }
}

impl From<Buffer> for Input {
    fn from(buffer: Buffer) -> Self {
        Self {
            buffer,
            scan: HeadScan::default(),
        }
    }
}

impl Input {
    /// Drops empty lines before a request line (RFC 9112 section 2.2).
    pub(super) fn skip_empty_lines(&mut self) {
        let n = self.scan.skip_empty_lines(self.buffer.bytes());
        self.buffer.consume(n);
    }

    /// Reads a request's head and takes it off the input; false as long as not all of it is there. When it fails, `head`
    /// holds what had been read until then.
    pub(super) fn take_head(&mut self, limits: &Limits, head: &mut Head) -> Result<bool, Cause> {
        let bytes = self.buffer.bytes();
        let read = self.scan.read_request(bytes, limits, head);
        let Some(length) = read.map_err(|error| cause_of(HeadError::kind(error)))? else {
            return Ok(false);
        };
        self.buffer.consume(length);
        self.scan.reset();
        Ok(true)
    }

    /// Whether it begins as HTTP/2 does with prior knowledge (RFC 9113 section 3.4).
    pub(super) fn is_http2(&self) -> bool {
        self.buffer.bytes().starts_with(h2::PREFACE_HEAD)
    }
}

/// What a head may be.
pub(super) fn limits(terms: &Terms) -> Limits {
    Limits {
        head_bytes: terms.listener.limits.header_bytes,
        fields: terms.listener.limits.headers,
    }
}

fn cause_of(kind: HeadErrorKind) -> Cause {
    match kind {
        HeadErrorKind::HeadTooLarge => Cause::HeadTooLarge,
        HeadErrorKind::Malformed => Cause::BadRequest,
        HeadErrorKind::TargetTooLong => Cause::TargetTooLong,
        HeadErrorKind::VersionUnsupported => Cause::VersionUnsupported,
    }
}
