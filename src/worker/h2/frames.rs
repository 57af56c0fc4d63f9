//! A body that goes by HTTP/2.

use std::task::{Context, Poll};

use ::h2::{Reason, SendStream};
use bytes::Bytes;

use crate::h2;
use crate::message::body::{Body, Length, Piece};
use crate::worker::pump::{PumpFailure, Side};

/// Moves one body onto one stream. A piece is taken when stream and connection have room for it, never before.
#[derive(Debug)]
pub struct Frames {
    stream: SendStream<Bytes>,
    /// Bytes that are still to be sent, where that is known.
    left: Option<u64>,
    done: bool,
    waits_for: Side,
    /// Frames that a window made small, and nobody has asked about.
    drips: u32,
}

impl Frames {
    /// For a body of this length, behind a head that ended the stream if [`Frames::is_nothing`] said so.
    pub fn new(stream: SendStream<Bytes>, length: Length) -> Self {
        Self {
            stream,
            left: match length {
                Length::Exact(length) => Some(length),
                Length::Absent { .. } | Length::Unknown => None,
            },
            done: Self::is_nothing(length),
            waits_for: Side::Source,
            drips: 0,
        }
    }

    /// Frames that a window made small although there was more to send, since this was last asked.
    pub fn take_drips(&mut self) -> u32 {
        std::mem::take(&mut self.drips)
    }

    /// Whether no body follows, so that the head ends the stream.
    pub fn is_nothing(length: Length) -> bool {
        matches!(length, Length::Absent { .. } | Length::Exact(0))
    }

    /// Whether all has been handed to the connection.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Which side it last waited for.
    pub fn waits_for(&self) -> Side {
        self.waits_for
    }

    /// Moves what can be moved, and adds the bytes to `moved`. Ready when all has been handed to the connection.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut impl Body,
        moved: &mut u64,
    ) -> Poll<Result<(), PumpFailure>> {
        while !self.done {
            match self.poll_once(cx, body, moved) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the peer wants no more of the stream, or the connection is gone.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reason>> {
        self.stream.poll_reset(cx).map(Result::ok)
    }

    /// Ends the stream at once. What has been handed to the connection and not been sent is lost.
    pub fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Puts bytes behind what has gone, whether the window has room for them or not.
    ///
    /// # Errors
    /// When the stream takes no more.
    pub fn say(&mut self, bytes: &'static [u8]) -> Result<(), PumpFailure> {
        let sent = self.stream.send_data(Bytes::from_static(bytes), false);
        sent.map_err(|error| PumpFailure::Sink(gone(&error)))
    }

    /// Ends our side of the stream, if it has not ended.
    ///
    /// # Errors
    /// When the stream takes no more.
    pub fn end(&mut self) -> Result<(), PumpFailure> {
        if self.done {
            return Ok(());
        }
        self.finish(|stream| stream.send_data(Bytes::new(), true))
    }

    fn poll_once(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut impl Body,
        moved: &mut u64,
    ) -> Poll<Result<(), PumpFailure>> {
        let piece = match body.poll_piece(cx) {
            Poll::Ready(Ok(piece)) => piece,
            Poll::Ready(Err(failure)) => return Poll::Ready(Err(PumpFailure::Source(failure))),
            Poll::Pending => {
                self.waits_for = Side::Source;
                return Poll::Pending;
            }
        };
        let bytes = match piece {
            None => return Poll::Ready(self.finish(|stream| stream.send_data(Bytes::new(), true))),
            Some(Piece::Trailers(trailers)) => {
                let trailers = h2::trailers::write(trailers);
                return Poll::Ready(self.finish(|stream| stream.send_trailers(trailers)));
            }
            Some(Piece::Data(bytes)) => bytes,
        };
        let n = self.room(cx, bytes.len())?.min(bytes.len());
        if n == 0 {
            self.waits_for = Side::Sink;
            return Poll::Pending;
        }
        self.drips += u32::from(n < bytes.len().min(SMALL));
        let last = self.left == Some(n as u64);
        let sent = self
            .stream
            .send_data(Bytes::copy_from_slice(&bytes[..n]), last);
        sent.map_err(|error| PumpFailure::Sink(gone(&error)))?;
        body.consume(n);
        *moved += n as u64;
        self.left = self.left.map(|left| left.saturating_sub(n as u64));
        self.done = last;
        if last && let Poll::Ready(Err(failure)) = body.poll_piece(cx) {
            // It is read to its end, or its connection could not be used again.
            return Poll::Ready(Err(PumpFailure::Source(failure)));
        }
        Poll::Ready(Ok(()))
    }

    /// Bytes that stream and connection have room for now; 0 if it has to be waited for.
    fn room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Result<usize, PumpFailure> {
        self.stream.reserve_capacity(wanted.min(MOST_AT_ONCE));
        if let room @ 1.. = self.stream.capacity() {
            return Ok(room);
        }
        match self.stream.poll_capacity(cx) {
            Poll::Ready(Some(Ok(room))) => Ok(room),
            Poll::Ready(Some(Err(error))) => Err(PumpFailure::Sink(gone(&error))),
            Poll::Ready(None) => Err(PumpFailure::Sink(std::io::ErrorKind::BrokenPipe.into())),
            Poll::Pending => Ok(0),
        }
    }

    fn finish(
        &mut self,
        send: impl FnOnce(&mut SendStream<Bytes>) -> Result<(), ::h2::Error>,
    ) -> Result<(), PumpFailure> {
        self.done = true;
        send(&mut self.stream).map_err(|error| PumpFailure::Sink(gone(&error)))
    }
}

fn gone(error: &::h2::Error) -> std::io::Error {
    match error.get_io() {
        Some(error) => error.kind().into(),
        None => std::io::ErrorKind::ConnectionReset.into(),
    }
}

/// A frame with less content costs more than what is in it.
const SMALL: usize = 256;

/// Bytes that are reserved at once: some frames, so that streams take turns.
const MOST_AT_ONCE: usize = 64 * 1024;
