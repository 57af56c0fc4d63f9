//! A request's body, read from its connection while it is used.

use std::cell::RefCell;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::connection::{Connection, Wire};
use super::patience::Patience;
use crate::h1::{Decoded, Decoder};
use crate::message::body::{Body, BodyFailure, Length, Piece};
use crate::message::framing::Framing;
use crate::worker::splice::is_unsupported;
use crate::worker::{Buffer, Timer, Worker};

/// Reads the body that follows a head. Lent to the exchange as a [`Body`].
#[derive(Debug)]
pub(super) struct RequestReader<'a> {
    wire: &'a RefCell<Wire>,
    worker: &'a Worker,
    buffer: &'a mut Buffer,
    decoder: Decoder,
    framing: Framing,
    /// Made when the client first keeps us waiting.
    stall: Option<Timer>,
    patience: Patience,
    /// Bytes of content that may still come; `None` for no limit.
    allowance: Option<u64>,
    trailers_given: bool,
    /// Whether the connection has become a tunnel: nothing is bounded then, and it ends when the client ends it.
    tunnel: bool,
}

impl<'a> RequestReader<'a> {
    pub(super) fn new(connection: &'a mut Connection<'_>, framing: Framing) -> Self {
        let limit = connection.terms.listener.limits.body_bytes;
        let patience = connection.patience();
        Self {
            wire: connection.wire,
            worker: connection.worker,
            buffer: &mut connection.input.buffer,
            decoder: Decoder::new(framing),
            framing,
            stall: None,
            patience,
            allowance: (limit > 0).then_some(limit),
            trailers_given: false,
            tunnel: false,
        }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyFailure>> {
        let size = match self.decoder.remaining_length() {
            Some(length) if length <= Buffer::SMALL as u64 => Buffer::SMALL,
            Some(_) | None => Buffer::LARGE,
        };
        if !self
            .buffer
            .make_room(self.worker.buffers(), size, Buffer::LARGE)
        {
            // The decoder asks for more than a whole buffer before it can say anything.
            return Poll::Ready(Err(BodyFailure::Malformed));
        }
        let read = self.wire.borrow_mut().stream.poll_read(cx, self.buffer);
        match read {
            Poll::Ready(Ok(n)) if n > 0 => {
                self.arrived(n);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(_)) if self.tunnel => {
                self.decoder = Decoder::new(Framing::None);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(_) | Err(_)) => Poll::Ready(Err(BodyFailure::Cut)),
            Poll::Pending => {
                if self.buffer.is_empty() {
                    self.worker.buffers().take_back(self.buffer);
                }
                self.poll_stall(cx)
            }
        }
    }

    fn arrived(&mut self, n: usize) {
        if self.patience.is_waiting() {
            self.patience.end_wait(Instant::now());
        }
        self.patience.moved(n as u64);
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyFailure>> {
        if self.tunnel {
            return Poll::Pending;
        }
        let timer = self.stall.get_or_insert_with(|| self.worker.timer());
        if !self.patience.is_waiting() {
            timer.set(self.patience.wait(Instant::now()));
        }
        ready!(timer.poll_expired(cx));
        Poll::Ready(Err(self.patience.failure()))
    }

    fn spend(&mut self, n: usize) {
        if let Some(allowance) = &mut self.allowance {
            *allowance = allowance.saturating_sub(n as u64);
        }
    }

    fn drop_front(&mut self, n: usize) {
        self.decoder.consume(n);
        self.buffer.consume(n);
    }
}

impl Body for RequestReader<'_> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece<'_>>, BodyFailure>> {
        let available = loop {
            match self.decoder.decode(self.buffer.bytes()) {
                Err(_) => return Poll::Ready(Err(BodyFailure::Malformed)),
                Ok(Decoded::Data { skip, len }) => {
                    self.drop_front(skip);
                    break len;
                }
                Ok(Decoded::More { skip }) => self.drop_front(skip),
                Ok(Decoded::End { skip }) => {
                    self.drop_front(skip);
                    let first = !std::mem::replace(&mut self.trailers_given, true);
                    let trailers = self
                        .decoder
                        .trailers()
                        .filter(|trailers| first && !trailers.is_empty());
                    return Poll::Ready(Ok(trailers.map(Piece::Trailers)));
                }
            }
            match self.poll_more(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                Poll::Pending => return Poll::Pending,
            }
        };
        if self
            .allowance
            .is_some_and(|allowance| available as u64 > allowance)
        {
            return Poll::Ready(Err(BodyFailure::TooLarge));
        }
        Poll::Ready(Ok(Some(Piece::Data(&self.buffer.bytes()[..available]))))
    }

    fn consume(&mut self, n: usize) {
        self.drop_front(n);
        self.spend(n);
    }

    fn length(&self) -> Length {
        match self.framing {
            Framing::None => Length::Absent { announced: None },
            Framing::Length(length) => Length::Exact(length),
            Framing::Chunked | Framing::UntilClose => Length::Unknown,
        }
    }

    fn open(&mut self) {
        self.decoder = Decoder::new(Framing::UntilClose);
        self.tunnel = true;
        self.allowance = None;
    }

    fn unseen(&self) -> u64 {
        let unread = self.decoder.unframed();
        let is_allowed = self.allowance.is_none_or(|allowance| unread <= allowance);
        let is_plain = self.buffer.is_empty() && self.wire.borrow().stream.can_splice();
        if is_plain && is_allowed && !self.tunnel {
            unread
        } else {
            0
        }
    }

    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        pipe: BorrowedFd<'_>,
        most: usize,
    ) -> Poll<Result<Option<usize>, BodyFailure>> {
        let most = usize::try_from(self.unseen()).map_or(most, |unseen| unseen.min(most));
        self.worker.buffers().take_back(self.buffer);
        let filled = self.wire.borrow().stream.poll_fill(cx, pipe, most);
        match filled {
            Poll::Ready(Ok(n)) if n > 0 => {
                self.arrived(n);
                self.decoder.consume(n);
                self.spend(n);
                Poll::Ready(Ok(Some(n)))
            }
            // No proof of an end: reading tells.
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(Some(0))),
            Poll::Ready(Err(error)) if is_unsupported(&error) => Poll::Ready(Ok(None)),
            Poll::Ready(Err(_)) => Poll::Ready(Err(BodyFailure::Cut)),
            Poll::Pending => self.poll_stall(cx).map_ok(|()| Some(0)),
        }
    }
}
