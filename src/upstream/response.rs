//! A response's body, read from the backend's connection, with the rest of the upload beside it.
//!
//! The connection goes back to the store only when both messages are whole and nothing is left over;
//! in every other case it is closed with this body.

use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::recall::{Recall, read_up};
use super::upload::Uploading;
use super::{Connection, Store};
use crate::h1::{Decoded, Decoder};
use crate::message::body::{
    AnswerBody, Body, BodyFailure, Ending, Length, Pause, Piece, RequestBody, Upload,
};
use crate::message::framing::Framing;
use crate::message::websocket;
use crate::telemetry::Cause;
use crate::worker::Buffer;
use crate::worker::splice::is_unsupported;

/// The body of a response that comes by HTTP/1.
#[derive(Debug)]
pub struct H1Body<'c> {
    /// Gone once it went back to the store.
    connection: Option<Box<Connection>>,
    store: Rc<Store>,
    upload: Uploading<'c>,
    uploaded: Option<Upload>,
    decoder: Decoder,
    length: Length,
    /// How long the connection may be kept afterwards; `None` if it may not.
    keep: Option<Duration>,
    ended: bool,
    /// Where the frames of a tunnel begin, should it be a WebSocket.
    frames: Option<websocket::Frames>,
}

impl<'c> H1Body<'c> {
    /// The body behind a head. What came with the head is looked at at once, so that a response that is
    /// broken from the start can still be told from a good one.
    pub(super) fn new(
        connection: Box<Connection>,
        store: Rc<Store>,
        upload: Uploading<'c>,
        (framing, length): (Framing, Length),
        keep: Option<Duration>,
    ) -> Result<Box<Self>, (Cause, Uploading<'c>)> {
        let mut decoder = Decoder::new(framing);
        if overruns(&decoder, connection.input.bytes()) {
            return Err((Cause::BodyOverrun, upload));
        }
        if decoder.decode(connection.input.bytes()).is_err() {
            return Err((Cause::Protocol, upload));
        }
        connection.timer.clear();
        let room = Box::new_uninit();
        let body = Self {
            connection: Some(connection),
            store,
            upload,
            uploaded: None,
            decoder,
            length,
            keep,
            ended: false,
            frames: None,
        };
        Ok(Box::write(room, body))
    }

    /// It is one direction of a tunnel.
    pub(super) fn follow_frames(&mut self) {
        self.frames = Some(websocket::Frames::default());
    }

    /// Gives the connection back if both messages are whole.
    fn release(&mut self) {
        if !self.ended || self.uploaded != Some(Upload::Whole) {
            return;
        }
        if let (Some(connection), Some(keep)) = (self.connection.take(), self.keep)
            && connection.input.is_empty()
            && !keep.is_zero()
        {
            self.store.put(connection, keep);
        }
    }

    fn end_of_stream(&mut self) -> Result<(), BodyFailure> {
        self.decoder.at_eof().map_err(|_| BodyFailure::Cut)
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyFailure>> {
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(Err(BodyFailure::Cut));
        };
        let buffers = connection.worker.buffers();
        if !connection
            .input
            .make_room(buffers, Buffer::LARGE, Buffer::LARGE)
        {
            return Poll::Ready(Err(BodyFailure::Malformed));
        }
        match connection.stream.poll_read(cx, &mut connection.input) {
            Poll::Ready(Ok(0)) => Poll::Ready(self.end_of_stream()),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => Poll::Ready(Err(BodyFailure::Cut)),
            Poll::Pending => {
                if connection.input.is_empty() {
                    buffers.take_back(&mut connection.input);
                }
                Poll::Pending
            }
        }
    }

    fn input(&self) -> &[u8] {
        self.connection
            .as_ref()
            .map_or(b"", |connection| connection.input.bytes())
    }

    fn drop_front(&mut self, n: usize) {
        if let Some(connection) = &mut self.connection {
            if let Some(frames) = &mut self.frames {
                frames.follow(&connection.input.bytes()[..n]);
            }
            self.decoder.consume(n);
            connection.input.consume(n);
        }
    }
}

impl Body for H1Body<'_> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece<'_>>, BodyFailure>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        let available = loop {
            if overruns(&self.decoder, self.input()) {
                return Poll::Ready(Err(BodyFailure::Overrun));
            }
            let input = self
                .connection
                .as_ref()
                .map_or(&b""[..], |connection| connection.input.bytes());
            match self.decoder.decode(input) {
                Err(_) => return Poll::Ready(Err(BodyFailure::Malformed)),
                Ok(Decoded::Data { skip, len }) => {
                    self.drop_front(skip);
                    break len;
                }
                Ok(Decoded::More { skip }) => self.drop_front(skip),
                Ok(Decoded::End { skip }) => {
                    self.drop_front(skip);
                    if !self.input().is_empty() && self.length == Length::Unknown {
                        return Poll::Ready(Err(BodyFailure::Overrun));
                    }
                    self.ended = true;
                    self.release();
                    let trailers = self
                        .decoder
                        .trailers()
                        .filter(|trailers| !trailers.is_empty());
                    return Poll::Ready(Ok(trailers.map(Piece::Trailers)));
                }
            }
            match self.poll_more(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                Poll::Pending => return Poll::Pending,
            }
        };
        Poll::Ready(Ok(Some(Piece::Data(&self.input()[..available]))))
    }

    fn consume(&mut self, n: usize) {
        self.drop_front(n);
    }

    fn length(&self) -> Length {
        self.length
    }

    fn may_pause(&mut self, pause: Pause) {
        self.upload.body.may_pause(pause);
    }

    fn unseen(&self) -> u64 {
        match &self.connection {
            Some(connection)
                if connection.input.is_empty()
                    && connection.stream.can_splice()
                    && self.frames.is_none()
                    && !self.ended =>
            {
                self.decoder.unframed()
            }
            _ => 0,
        }
    }

    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        pipe: BorrowedFd<'_>,
        most: usize,
    ) -> Poll<Result<Option<usize>, BodyFailure>> {
        let most = usize::try_from(self.unseen()).map_or(most, |unseen| unseen.min(most));
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(Err(BodyFailure::Cut));
        };
        connection.worker.buffers().take_back(&mut connection.input);
        match ready!(connection.stream.poll_fill(cx, pipe, most)) {
            // No proof of an end: reading tells.
            Ok(0) => Poll::Ready(Ok(Some(0))),
            Ok(n) => {
                self.decoder.consume(n);
                // As with bytes that are read: the last piece of a body that overruns its length must not go out.
                if self.decoder.is_end() && connection.stream.has_more() {
                    return Poll::Ready(Err(BodyFailure::Overrun));
                }
                Poll::Ready(Ok(Some(n)))
            }
            Err(error) if is_unsupported(&error) => Poll::Ready(Ok(None)),
            Err(_) => Poll::Ready(Err(BodyFailure::Cut)),
        }
    }
}

impl<'c> Recall<'c> for H1Body<'c> {
    fn can_return(&self) -> bool {
        self.upload.body.can_return()
    }

    fn recall(mut self) -> RequestBody<'c> {
        read_up(&mut self);
        self.upload.into_body()
    }
}

impl AnswerBody for H1Body<'_> {
    fn poll_upload(&mut self, cx: &mut Context<'_>, moved: &mut u64) -> Poll<Upload> {
        if let Some(done) = self.uploaded {
            return Poll::Ready(done);
        }
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(Upload::Unfinished);
        };
        self.upload.poll(cx, connection, moved).map(|result| {
            let done = result.unwrap_or_else(Upload::Failed);
            self.uploaded = Some(done);
            self.release();
            done
        })
    }

    fn awaits_client(&self) -> bool {
        self.upload.waits_for_client()
    }

    fn is_silent(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(|connection| connection.stream.is_silent())
    }

    fn delivered(&mut self, _: u64) {}

    fn is_between_frames(&self) -> bool {
        let frames = self.frames.as_ref();
        frames.is_some_and(|frames| frames.is_between() && !frames.is_closed())
    }

    fn end(&mut self, _: Ending, _: Instant) {}
}

/// Finds a body that came with more bytes than its length: the last piece must not go out, or the
/// client would have a whole response that the backend did not mean.
fn overruns(decoder: &Decoder, input: &[u8]) -> bool {
    decoder
        .remaining_length()
        .is_some_and(|left| left > 0 && input.len() as u64 > left)
}
