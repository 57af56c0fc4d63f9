//! A client's connection: its socket, what has been read, and the head at the front of that.

use std::cell::RefCell;

use super::patience::Patience;
use super::{Peer, Terms};
use crate::h1::{self, HeadErrorKind, HeadScan, Limits};
use crate::message::Head;
use crate::message::framing::{self, Framing};
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

    /// Takes the head of `length` bytes off the input and decides how its body is framed.
    pub(super) fn take_head(&mut self, length: usize) -> Result<(Head, Framing), (Cause, Head)> {
        let mut head = self.worker.take_head();
        let parsed = h1::parse_request(
            &self.input.buffer.bytes()[..length],
            &limits(&self.terms),
            &mut head,
        );
        self.input.buffer.consume(length);
        self.input.scan.reset();
        if let Err(error) = parsed {
            return Err((cause_of(error.kind()), head));
        }
        match framing::request_framing(&head) {
            Ok(framing) => Ok((head, framing)),
            Err(_) => Err((Cause::BadRequest, head)),
        }
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

    pub(super) fn find_head(&mut self, limits: &Limits) -> Result<Option<usize>, Cause> {
        if self.buffer.is_empty() {
            return Ok(None);
        }
        self.scan
            .find(self.buffer.bytes(), limits)
            .map_err(|error| cause_of(error.kind()))
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
