//! A request's body on its way to a backend: while its response's head is awaited, and after that.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::Connection;
use crate::message::body::{Body, BodyFailure, RequestBody, Upload};
use crate::worker::pump::{Coding, PumpFailure, Side};
use crate::worker::{Pipes, Pump};

/// A request's body on its way to the backend.
#[derive(Debug)]
pub(super) struct Uploading<'c> {
    pub(super) body: RequestBody<'c>,
    pump: Pump,
    /// Whether the backend takes no more.
    refused: bool,
    /// Whether it has become one direction of a tunnel.
    tunnel: bool,
}

impl<'c> Uploading<'c> {
    pub(super) fn new(body: RequestBody<'c>, pipes: &Rc<Pipes>) -> Self {
        let length = body.length();
        let pump = Pump::new(Coding::choose(length, true));
        Self {
            pump: pump.splicing(length, pipes),
            body,
            refused: false,
            tunnel: false,
        }
    }

    /// The connection has become a tunnel: whatever the client sends from now on goes on as it is.
    pub(super) fn open(&mut self) {
        self.pump = Pump::new(Coding::UntilClose);
        self.body.open();
        self.tunnel = true;
    }

    pub(super) fn into_body(self) -> RequestBody<'c> {
        self.body
    }

    /// Whether the backend has all that the client has sent, and it is not all of the body.
    pub(super) fn waits_for_client(&self) -> bool {
        !self.refused && !self.pump.is_done() && self.pump.waits_for() == Side::Source
    }

    /// Moves the body on. An error is the client's; a backend that takes no more ends the upload quietly.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
        moved: &mut u64,
    ) -> Poll<Result<Upload, BodyFailure>> {
        if self.refused {
            return Poll::Ready(Ok(Upload::Unfinished));
        }
        if self.pump.is_done() {
            return self.poll_end(cx, connection).map(Ok);
        }
        let wire = (&mut connection.stream, &mut connection.output);
        match ready!(self.pump.poll(cx, &mut self.body, wire, moved)) {
            Ok(()) => self.poll_end(cx, connection).map(Ok),
            Err(PumpFailure::Source(failure)) => Poll::Ready(Err(failure)),
            Err(PumpFailure::Sink(_)) => {
                connection.output.reset();
                // With it goes a pipe that the rest of the body may be in.
                self.pump = Pump::new(self.pump.coding());
                self.refused = true;
                Poll::Ready(Ok(Upload::Unfinished))
            }
        }
    }

    /// The end of a tunnel's direction is the end of our side of the connection.
    fn poll_end(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<Upload> {
        if self.tunnel {
            // If it fails the backend is gone, which shows in the other direction.
            let _ = ready!(connection.stream.poll_shutdown(cx));
        }
        Poll::Ready(Upload::Whole)
    }
}
