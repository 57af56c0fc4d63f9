//! A body that comes by HTTP/2.

use std::task::{Context, Poll, ready};

use ::h2::{Reason, RecvStream};
use bytes::{Buf as _, Bytes};

use crate::h2;
use crate::message::Head;
use crate::message::body::{Body, BodyFailure, Length, Piece};

/// The content of one stream, read while it is used.
#[derive(Debug)]
pub struct Content {
    stream: RecvStream,
    /// The piece at hand.
    piece: Bytes,
    length: Length,
    trailers: Option<Box<Head>>,
    /// Fields that a trailer section may have.
    most: usize,
    ended: bool,
}

impl Content {
    /// The content of `stream`, which is so long. A trailer section may have `most` fields.
    pub fn new(stream: RecvStream, length: Length, most: usize) -> Self {
        Self {
            stream,
            piece: Bytes::new(),
            length,
            trailers: None,
            most,
            ended: false,
        }
    }

    /// What has come and not been used.
    pub fn at_hand(&self) -> &[u8] {
        &self.piece
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyFailure>> {
        while self.piece.is_empty() && !self.ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => return Poll::Ready(Err(failure(&error))),
                None => {
                    let trailers = ready!(self.stream.poll_trailers(cx));
                    if let Some(trailers) = trailers.map_err(|error| failure(&error))? {
                        let mut head = Head::new();
                        h2::trailers::read(&trailers, self.most, &mut head)
                            .map_err(|_| BodyFailure::Malformed)?;
                        self.trailers = Some(Box::new(head));
                    }
                    self.ended = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Body for Content {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece<'_>>, BodyFailure>> {
        ready!(self.poll_content(cx))?;
        if !self.ended {
            return Poll::Ready(Ok(Some(Piece::Data(&self.piece))));
        }
        let trailers = self.trailers.as_deref();
        let trailers = trailers.filter(|trailers| !trailers.is_empty());
        Poll::Ready(Ok(trailers.map(Piece::Trailers)))
    }

    fn consume(&mut self, n: usize) {
        self.piece.advance(n);
        // The window opens by what has been taken; on a stream that has been reset there is none to open.
        let _ = self.stream.flow_control().release_capacity(n);
    }

    fn length(&self) -> Length {
        self.length
    }
}

/// What the peer ended, and what the library found wrong in what it sent.
fn failure(error: &::h2::Error) -> BodyFailure {
    let reset = error.is_reset() && error.is_remote();
    match error.reason() {
        Some(Reason::CANCEL) if reset => return BodyFailure::Cancelled,
        Some(Reason::ENHANCE_YOUR_CALM) if reset => return BodyFailure::Exhausted,
        _ => {}
    }
    if error.is_remote() || error.is_io() {
        BodyFailure::Cut
    } else {
        BodyFailure::Malformed
    }
}
