//! Responses that are given up for another backend's.

use std::task::{Context, Poll, Waker};

use super::BackendBody;
use crate::message::body::{AnswerBody, Piece, RequestBody};

/// The body of a response that can be given up for another one.
pub trait Recall<'c>: AnswerBody {
    /// Whether the request's body could be sent again.
    fn can_return(&self) -> bool;

    /// Gives the response up, and the request's body back. What has come of it already is read, so that its connection
    /// can be used again if that was all.
    fn recall(self) -> RequestBody<'c>;
}

/// Reads what is there of a response that nobody wants, within reason.
pub(super) fn read_up(body: &mut impl AnswerBody) {
    let cx = &mut Context::from_waker(Waker::noop());
    if body.poll_upload(cx, &mut 0).is_pending() {
        return;
    }
    let mut left = READ_UP_MOST;
    while let Poll::Ready(Ok(Some(Piece::Data(bytes)))) = body.poll_piece(cx) {
        let n = bytes.len();
        body.consume(n);
        if n >= left {
            break;
        }
        left -= n;
    }
}

/// Bytes of an unwanted response that are read to keep its connection: more than a page that tells of an error.
const READ_UP_MOST: usize = 64 * 1024;

impl<'c> Recall<'c> for BackendBody<'c> {
    fn can_return(&self) -> bool {
        match self {
            Self::H1(body) => body.can_return(),
            Self::H2(body) => body.can_return(),
        }
    }

    fn recall(self) -> RequestBody<'c> {
        match self {
            Self::H1(body) => body.recall(),
            Self::H2(body) => body.recall(),
        }
    }
}
