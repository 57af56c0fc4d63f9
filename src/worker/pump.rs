//! Moves a body onto a stream: the same for an answer to a client and for an upload to a backend.
//!
//! Small pieces are gathered behind the head that waits in the output, so that a whole small message
//! leaves in one system call; large ones are written from where they were read.

use std::io;
use std::task::{Context, Poll, ready};

use super::{Output, Stream};
use crate::h1::write;
use crate::message::body::{Body, BodyFailure, Length, Piece};

/// A body on its way onto a stream.
#[derive(Debug)]
pub struct Pump {
    coding: Coding,
    /// Bytes that the chunk under way still lacks.
    open_chunk: usize,
    phase: Phase,
    waits_for: Side,
}

/// How a body is marked off on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// By chunks.
    Chunked,
    /// By its length, or there is none.
    Length,
    /// By the end of the connection.
    UntilClose,
}

/// The two ends of a pump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where bytes go.
    Sink,
    /// Where bytes come from.
    Source,
}

/// Why a pump stopped before the end.
#[derive(Debug)]
pub enum PumpFailure {
    /// The stream took no more.
    Sink(io::Error),
    /// The body broke off.
    Source(BodyFailure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Flowing,
    /// The last byte is queued.
    Ended,
    /// The last byte is out.
    Flushed,
}

impl Coding {
    /// How to send a body to a peer that understands chunks, or does not.
    pub fn choose(length: Length, understands_chunks: bool) -> Self {
        match length {
            Length::Absent { .. } | Length::Exact(_) => Self::Length,
            Length::Unknown if understands_chunks => Self::Chunked,
            Length::Unknown => Self::UntilClose,
        }
    }
}

impl Pump {
    /// A pump that has moved nothing yet.
    pub fn new(coding: Coding) -> Self {
        Self {
            coding,
            open_chunk: 0,
            phase: Phase::Flowing,
            waits_for: Side::Source,
        }
    }

    /// How it marks the body off.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Whether all of the body is out.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Flushed
    }

    /// Which side kept it waiting when it was last pending.
    pub fn waits_for(&self) -> Side {
        self.waits_for
    }

    /// Moves what can be moved, and adds the number of bytes of content to `moved`. Ready when all of the
    /// body is out. Cancel-safe.
    pub fn poll<B: Body + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
        (stream, output): (&mut Stream, &mut Output),
        moved: &mut u64,
    ) -> Poll<Result<(), PumpFailure>> {
        while self.phase == Phase::Flowing {
            if output.len() >= GATHERED {
                ready!(self.poll_flush(cx, stream, output))?;
            }
            let used = match body.poll_piece(cx) {
                Poll::Ready(Ok(Some(Piece::Data(bytes)))) => {
                    ready!(self.poll_data(cx, bytes, stream, output))?
                }
                Poll::Ready(Ok(Some(Piece::Trailers(trailers)))) => {
                    self.finish(output, |out| write::last_chunk(Some(trailers), out));
                    break;
                }
                Poll::Ready(Ok(None)) => {
                    self.finish(output, |out| write::last_chunk(None, out));
                    break;
                }
                Poll::Ready(Err(failure)) => {
                    // What came before the failure is the peer's; the cut shows in what is missing.
                    let _ = output.poll_flush(stream, cx);
                    return Poll::Ready(Err(PumpFailure::Source(failure)));
                }
                Poll::Pending => {
                    ready!(self.poll_flush(cx, stream, output))?;
                    self.waits_for = Side::Source;
                    return Poll::Pending;
                }
            };
            body.consume(used);
            *moved += used as u64;
        }
        if self.phase == Phase::Ended {
            ready!(self.poll_flush(cx, stream, output))?;
            self.phase = Phase::Flushed;
        }
        Poll::Ready(Ok(()))
    }

    /// Queues or writes the front of `bytes`; gives how many of them were used.
    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        stream: &mut Stream,
        output: &mut Output,
    ) -> Poll<Result<usize, PumpFailure>> {
        let chunked = self.coding == Coding::Chunked;
        if chunked && self.open_chunk == 0 {
            self.open_chunk = bytes.len();
            write::chunk_head(bytes.len(), output.append());
        }
        let most = if chunked {
            bytes.len().min(self.open_chunk)
        } else {
            bytes.len()
        };
        let used = if most <= SMALL_PIECE {
            output.append().extend_from_slice(&bytes[..most]);
            most
        } else {
            self.waits_for = Side::Sink;
            ready!(output.poll_write_with(stream, &bytes[..most], cx)).map_err(PumpFailure::Sink)?
        };
        if chunked {
            self.open_chunk -= used;
            if self.open_chunk == 0 {
                output.append().extend_from_slice(write::CHUNK_END);
            }
        }
        Poll::Ready(Ok(used))
    }

    fn finish(&mut self, output: &mut Output, last_chunk: impl FnOnce(&mut Vec<u8>)) {
        debug_assert_eq!(self.open_chunk, 0);
        if self.coding == Coding::Chunked {
            last_chunk(output.append());
        }
        self.phase = Phase::Ended;
    }

    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        output: &mut Output,
    ) -> Poll<Result<(), PumpFailure>> {
        self.waits_for = Side::Sink;
        output.poll_flush(stream, cx).map_err(PumpFailure::Sink)
    }
}

/// A piece up to this size is copied behind the head rather than written by itself.
const SMALL_PIECE: usize = 4 * 1024;

/// Queued bytes beyond which they are written before more is read.
const GATHERED: usize = 16 * 1024;
