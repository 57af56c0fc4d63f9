//! A response's body by HTTP/2, with the rest of the upload beside it.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use ::h2::RecvStream;

use super::super::recall::{Recall, read_up};
use super::shared::Place;
use crate::message::body::{
    AnswerBody, Body, BodyFailure, Ending, Length, Pause, Piece, RequestBody, Upload,
};
use crate::worker::h2::{Content, Frames};
use crate::worker::pump::{PumpFailure, Side};

/// A request's body on its way to the backend.
#[derive(Debug)]
pub(super) struct Uploading<'c> {
    pub(super) body: RequestBody<'c>,
    frames: Frames,
    /// Whether the backend takes no more.
    refused: bool,
}

impl<'c> Uploading<'c> {
    pub(super) fn new(frames: Frames, body: RequestBody<'c>) -> Self {
        Self {
            body,
            frames,
            refused: false,
        }
    }

    pub(super) fn into_body(self) -> RequestBody<'c> {
        self.body
    }

    /// Whether the backend has all that the client has sent, and it is not all of the body.
    pub(super) fn waits_for_client(&self) -> bool {
        !self.refused && !self.frames.is_done() && self.frames.waits_for() == Side::Source
    }

    /// Moves the body on. An error is the client's; a backend that takes no more ends the upload quietly.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        moved: &mut u64,
    ) -> Poll<Result<Upload, BodyFailure>> {
        if self.refused {
            return Poll::Ready(Ok(Upload::Unfinished));
        }
        match ready!(self.frames.poll(cx, &mut self.body, moved)) {
            Ok(()) => Poll::Ready(Ok(Upload::Whole)),
            Err(PumpFailure::Source(failure)) => Poll::Ready(Err(failure)),
            Err(PumpFailure::Sink(_)) => {
                self.refused = true;
                Poll::Ready(Ok(Upload::Unfinished))
            }
        }
    }
}

/// The body of a response that comes by HTTP/2. Dropping it before its end takes the request back.
#[derive(Debug)]
pub struct H2Body<'c> {
    content: Content,
    upload: Uploading<'c>,
    uploaded: Option<Upload>,
    _place: Place,
}

impl<'c> H2Body<'c> {
    pub(super) fn new(
        stream: RecvStream,
        length: Length,
        most: usize,
        upload: Uploading<'c>,
        place: Place,
    ) -> Self {
        Self {
            content: Content::new(stream, length, most),
            upload,
            uploaded: None,
            _place: place,
        }
    }
}

impl Body for H2Body<'_> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece<'_>>, BodyFailure>> {
        self.content.poll_piece(cx)
    }

    fn consume(&mut self, n: usize) {
        self.content.consume(n);
    }

    fn length(&self) -> Length {
        self.content.length()
    }

    fn may_pause(&mut self, pause: Pause) {
        self.upload.body.may_pause(pause);
    }
}

impl<'c> Recall<'c> for H2Body<'c> {
    fn can_return(&self) -> bool {
        self.upload.body.can_return()
    }

    fn recall(mut self) -> RequestBody<'c> {
        read_up(&mut self);
        self.upload.into_body()
    }
}

impl AnswerBody for H2Body<'_> {
    fn poll_upload(&mut self, cx: &mut Context<'_>, moved: &mut u64) -> Poll<Upload> {
        if let Some(done) = self.uploaded {
            return Poll::Ready(done);
        }
        let done = ready!(self.upload.poll(cx, moved)).unwrap_or_else(Upload::Failed);
        self.uploaded = Some(done);
        Poll::Ready(done)
    }

    fn delivered(&mut self, _: u64) {}

    fn end(&mut self, _: Ending, _: Instant) {}
}
