//! A request's body on its way to a backend: while its response's head is awaited, and after that.

use std::task::{Context, Poll, ready};

use super::Connection;
use crate::message::body::{Body, BodyFailure, RequestBody, Upload};
use crate::worker::Pump;
use crate::worker::pump::{Coding, PumpFailure, Side};

/// A request's body on its way to the backend.
#[derive(Debug)]
pub(super) struct Uploading<'c> {
    pub(super) body: RequestBody<'c>,
    pump: Pump,
    /// Whether the backend takes no more.
    refused: bool,
}

impl<'c> Uploading<'c> {
    pub(super) fn new(body: RequestBody<'c>) -> Self {
        Self {
            pump: Pump::new(Coding::choose(body.length(), true)),
            body,
            refused: false,
        }
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
            return Poll::Ready(Ok(Upload::Whole));
        }
        let wire = (&mut connection.stream, &mut connection.output);
        Poll::Ready(
            match ready!(self.pump.poll(cx, &mut self.body, wire, moved)) {
                Ok(()) => Ok(Upload::Whole),
                Err(PumpFailure::Source(failure)) => Err(failure),
                Err(PumpFailure::Sink(_)) => {
                    connection.output.reset();
                    self.refused = true;
                    Ok(Upload::Unfinished)
                }
            },
        )
    }
}
