//! The body of an answer: it carries the exchange, and the request ends with it.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::exchange::Exchange;
use super::{decision, pauses, upgrade};
use crate::message::Head;
use crate::message::body::{
    AnswerBody, Body, BodyFailure, Ending, Length, Piece, RequestBody, Upload,
};
use crate::server::{Answer, Tunnel};

/// The body of an answer on its way to the client. Dropping it ends the exchange.
#[derive(Debug)]
pub struct Outgoing<'c, B> {
    source: Source<'c, B>,
    exchange: Box<Exchange>,
}

#[derive(Debug)]
enum Source<'c, B> {
    Backend(B),
    Own(Own<'c>),
}

/// A reply of our own.
#[derive(Debug)]
struct Own<'c> {
    content: Content,
    used: usize,
    head_only: bool,
    /// What the client is still sending; dropped if it is little, so that its connection lives on.
    unread: Unread<'c>,
    dropped: usize,
}

/// What a reply of our own says.
pub(super) enum Content {
    /// Made for this request.
    Made(Vec<u8>),
    /// The same for all.
    Fixed(Arc<[u8]>),
}

#[derive(Debug)]
enum Unread<'c> {
    /// Nothing, or what will be read and dropped.
    Dropped(Option<RequestBody<'c>>),
    /// More than will be read.
    Left,
}

impl<'c, B: AnswerBody> Outgoing<'c, B> {
    /// A backend's response.
    pub(super) fn relay(mut head: Head, mut body: B, mut exchange: Box<Exchange>) -> Answer<Self> {
        exchange.answered(head.status());
        if exchange.tells {
            decision::tell(&mut head, &exchange);
        }
        let tunnel = (head.status() == 101).then(|| Tunnel {
            idle: exchange.tunnel_idle(),
            websocket: upgrade::begins_websocket(&head),
        });
        body.may_pause(pauses::behind(&head));
        let silence = pauses::in_answer(&head).then(|| exchange.tunnel_idle());
        Answer {
            head,
            body: Self {
                source: Source::Backend(body),
                exchange,
            },
            last: false,
            tunnel,
            silence,
        }
    }

    /// A reply of our own. `head_only`: to HEAD; `ends`: nothing more is taken from the connection. `unread` is what
    /// the client may still be sending.
    pub(super) fn own(
        mut head: Head,
        content: Content,
        (head_only, ends): (bool, bool),
        unread: Option<RequestBody<'c>>,
        mut exchange: Box<Exchange>,
    ) -> Answer<Self> {
        exchange.answered(head.status());
        if exchange.tells {
            decision::tell(&mut head, &exchange);
        }
        let too_much = unread.as_ref().is_some_and(|body| match body.length() {
            _ if body.is_broken() => true,
            Length::Absent { .. } => false,
            // It may wait for a 100 that never comes, or send for ever.
            Length::Exact(length) => exchange.expects_continue() || length > DROPPED_MOST as u64,
            Length::Unknown => true,
        });
        let last = ends || too_much;
        Answer {
            head,
            body: Self {
                source: Source::Own(Own {
                    content,
                    used: 0,
                    head_only,
                    unread: if last {
                        Unread::Left
                    } else {
                        Unread::Dropped(unread)
                    },
                    dropped: 0,
                }),
                exchange,
            },
            last,
            tunnel: None,
            silence: None,
        }
    }
}

impl Content {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Made(bytes) => bytes,
            Self::Fixed(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("bytes", &self.bytes().len())
            .finish()
    }
}

impl Own<'_> {
    fn poll_upload(&mut self, cx: &mut Context<'_>, moved: &mut u64) -> Poll<Upload> {
        let body = match &mut self.unread {
            Unread::Dropped(Some(body)) => body,
            Unread::Dropped(None) => return Poll::Ready(Upload::Whole),
            Unread::Left => return Poll::Ready(Upload::Unfinished),
        };
        loop {
            let n = match body.poll_piece(cx) {
                Poll::Ready(Ok(Some(Piece::Data(bytes)))) => bytes.len(),
                Poll::Ready(Ok(Some(Piece::Trailers(_)) | None)) => {
                    return Poll::Ready(Upload::Whole);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Upload::Unfinished),
                Poll::Pending => return Poll::Pending,
            };
            body.consume(n);
            self.dropped += n;
            *moved += n as u64;
            if self.dropped > DROPPED_MOST {
                return Poll::Ready(Upload::Unfinished);
            }
        }
    }
}

impl<B: Body> Body for Outgoing<'_, B> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece<'_>>, BodyFailure>> {
        match &mut self.source {
            Source::Backend(body) => body.poll_piece(cx),
            Source::Own(own) if own.head_only || own.used == own.content.bytes().len() => {
                Poll::Ready(Ok(None))
            }
            Source::Own(own) => {
                Poll::Ready(Ok(Some(Piece::Data(&own.content.bytes()[own.used..]))))
            }
        }
    }

    fn consume(&mut self, n: usize) {
        match &mut self.source {
            Source::Backend(body) => body.consume(n),
            Source::Own(own) => own.used += n,
        }
    }

    fn length(&self) -> Length {
        match &self.source {
            Source::Backend(body) => body.length(),
            Source::Own(own) if own.head_only => Length::Absent {
                announced: Some(own.content.bytes().len() as u64),
            },
            Source::Own(own) => Length::Exact(own.content.bytes().len() as u64),
        }
    }

    fn unseen(&self) -> u64 {
        match &self.source {
            Source::Backend(body) => body.unseen(),
            Source::Own(_) => 0,
        }
    }

    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        pipe: BorrowedFd<'_>,
        most: usize,
    ) -> Poll<Result<Option<usize>, BodyFailure>> {
        match &mut self.source {
            Source::Backend(body) => body.poll_splice(cx, pipe, most),
            Source::Own(_) => Poll::Ready(Ok(None)),
        }
    }
}

impl<B: AnswerBody> AnswerBody for Outgoing<'_, B> {
    fn poll_upload(&mut self, cx: &mut Context<'_>, moved: &mut u64) -> Poll<Upload> {
        match &mut self.source {
            Source::Backend(body) => body.poll_upload(cx, moved),
            Source::Own(own) => own.poll_upload(cx, moved),
        }
    }

    fn awaits_client(&self) -> bool {
        match &self.source {
            Source::Backend(body) => body.awaits_client(),
            Source::Own(_) => false,
        }
    }

    fn is_silent(&self) -> bool {
        match &self.source {
            Source::Backend(body) => body.is_silent(),
            Source::Own(_) => false,
        }
    }

    fn delivered(&mut self, n: u64) {
        self.exchange.delivered(n);
    }

    fn called_off(&self) -> u8 {
        let claim = self.exchange.in_flight.as_ref();
        claim.map_or(0, |claim| claim.backend().called_off())
    }

    fn is_between_frames(&self) -> bool {
        match &self.source {
            Source::Backend(body) => body.is_between_frames(),
            Source::Own(_) => false,
        }
    }

    fn end(&mut self, how: Ending, now: Instant) {
        self.exchange.end(how, now);
    }
}

/// Bytes of a request's body that are read and dropped behind a reply of our own.
const DROPPED_MOST: usize = 256 * 1024;
