//! Both directions at once, until the answer has gone out and the request has come in.
//!
//! A response that ends before its request keeps the upload going; an answer that fails on its way is
//! cut so that the client can see it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::Answer;
use super::connection::Wire;
use super::patience::Patience;
use super::watch::Watch;
use crate::h1::write::{self, Connection};
use crate::message::body::{AnswerBody, BodyFailure, Ending, Upload};
use crate::message::head::Version;
use crate::worker::pump::{Coding, PumpFailure, Side};
use crate::worker::{Pump, Timer, Worker};

/// The way to the client.
#[derive(Debug)]
pub(super) struct Way<'a> {
    pub(super) wire: &'a RefCell<Wire>,
    pub(super) timer: &'a Timer,
    pub(super) body_timeout: Duration,
    pub(super) patience: Patience,
    pub(super) version: Version,
    pub(super) keep_alive: bool,
    /// Whether a client that ends its side gives up its answer.
    pub(super) end_is_gone: bool,
}

/// What a delivery leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The connection is ready for the next request, since this moment.
    Clean(Instant),
    /// All went well, and the connection ends here.
    Close,
    /// The answer is out, but the client may still be sending: read on a little before closing.
    Linger,
    /// The connection is of no more use.
    Broken,
}

/// Writes the answer, moves the rest of the upload, and says how it ended to the answer's body. The answer is used up:
/// by reference, for by value it would be copied from place to place.
pub(super) async fn deliver<B: AnswerBody>(
    way: Way<'_>,
    answer: &mut Answer<B>,
    worker: &Worker,
) -> Outcome {
    let head = std::mem::take(&mut answer.head);
    let body = &mut answer.body;
    let coding = Coding::choose(body.length(), way.version >= Version::Http11);
    let keep_alive = way.keep_alive && !answer.last && coding != Coding::UntilClose;
    let connection = if keep_alive {
        Connection::KeepAlive
    } else {
        Connection::Close
    };
    write::response_head(
        &head,
        body.length(),
        connection,
        way.version,
        way.wire.borrow_mut().output.append(),
    );
    worker.give_head(head);
    if coding == Coding::UntilClose {
        // Nothing but a reset tells this client that the end it sees is not the end, whatever cuts the answer:
        // the backend, a stall, the client's own upload, our own end.
        way.wire.borrow().stream.reset_on_close(true);
    }
    let mut delivery = Delivery {
        way: &way,
        pump: Pump::new(coding).splicing(body.length(), worker.pipes()),
        upload: None,
        patience: way.patience,
        silence: answer.silence.unwrap_or(way.body_timeout),
        watch: Watch::new(worker, way.end_is_gone),
        written: way.wire.borrow().output.written(),
        stalled: false,
        ended: false,
    };
    let ending = poll_fn(|cx| delivery.poll(cx, body)).await;
    let upload = delivery.upload;
    let now = Instant::now();
    body.end(ending, now.into_std());
    if ending == Ending::Delivered && coding == Coding::UntilClose {
        way.wire.borrow().stream.reset_on_close(false);
    }
    match ending {
        Ending::Delivered if upload != Some(Upload::Whole) => Outcome::Linger,
        Ending::Delivered if keep_alive => Outcome::Clean(now),
        Ending::Delivered => Outcome::Close,
        Ending::ClientStalled
        | Ending::UploadFailed(BodyFailure::TimedOut | BodyFailure::TooSlow) => {
            // What waits in the system's memory would hold it for as long as the client likes.
            way.wire.borrow().stream.reset_on_close(true);
            Outcome::Broken
        }
        Ending::ClientGone | Ending::SourceFailed(_) | Ending::UploadFailed(_) => Outcome::Broken,
    }
}

struct Delivery<'a> {
    way: &'a Way<'a>,
    pump: Pump,
    upload: Option<Upload>,
    /// With a client that does not read.
    patience: Patience,
    /// How long nothing may move before the answer's end.
    silence: Duration,
    watch: Watch<'a>,
    /// Bytes that the client's connection had taken when this was last looked at.
    written: u64,
    /// Whether the deadline of a stall is running that is not the client's.
    stalled: bool,
    /// Whether our side has been ended while the upload goes on.
    ended: bool,
}

impl Delivery<'_> {
    fn poll(&mut self, cx: &mut Context<'_>, body: &mut impl AnswerBody) -> Poll<Ending> {
        let mut moved = 0;
        if self.upload.is_none()
            && let Poll::Ready(upload) = body.poll_upload(cx, &mut moved)
        {
            self.upload = Some(upload);
            // A client that has had its answer need not send the rest.
            if let Upload::Failed(failure) = upload
                && !self.pump.is_done()
            {
                return Poll::Ready(Ending::UploadFailed(failure));
            }
        }
        let uploaded = moved;
        if !self.pump.is_done() {
            let polled = {
                let mut wire = self.way.wire.borrow_mut();
                let Wire { stream, output } = &mut *wire;
                self.pump.poll(cx, body, (stream, output), &mut moved)
            };
            body.delivered(moved - uploaded);
            if let Poll::Ready(Err(failure)) = polled {
                return Poll::Ready(match failure {
                    PumpFailure::Sink(_) => Ending::ClientGone,
                    PumpFailure::Source(failure) => Ending::SourceFailed(failure),
                });
            }
        }
        if self.pump.is_done() && self.upload.is_some() {
            return Poll::Ready(Ending::Delivered);
        }
        self.end_early(cx);
        let written = self.way.wire.borrow().output.written();
        let taken = written - std::mem::replace(&mut self.written, written);
        self.poll_stall(cx, uploaded + taken)
    }

    /// Ends our side when the answer is out, the request is not, and nothing else tells the client that this
    /// was all: it may be waiting for that before it sends the rest.
    fn end_early(&mut self, cx: &mut Context<'_>) {
        let out = self.pump.is_done() && self.pump.coding() == Coding::UntilClose;
        if out && !self.ended {
            let stream = &mut self.way.wire.borrow_mut().stream;
            stream.reset_on_close(false);
            // A failure shows as a client that is gone.
            self.ended = stream.poll_shutdown(cx).is_ready();
        }
    }

    /// Nothing moves now: looks whether the client is there, and whether this has lasted too long. What
    /// moves the one way keeps the other alive: a backend may answer when it has read everything, and
    /// may read on when it has answered.
    fn poll_stall(&mut self, cx: &mut Context<'_>, moved: u64) -> Poll<Ending> {
        let done = self.pump.is_done();
        if !done && self.pump.waits_for() == Side::Sink {
            // A client that is gone shows in the writing.
            return self.poll_reader(cx, moved);
        }
        let (gone, stalled) = if done {
            // The client has had its answer, and a backend need not take all of the request.
            (Ending::Delivered, Ending::Delivered)
        } else {
            let timed_out = Ending::SourceFailed(BodyFailure::TimedOut);
            (Ending::ClientGone, timed_out)
        };
        let wire = self.way.wire.borrow();
        if self.watch.poll_gone(&wire.stream, cx).is_ready() {
            return Poll::Ready(gone);
        }
        if moved > 0 || !self.stalled {
            self.stalled = true;
            let now = Instant::now();
            self.patience.end_wait(now);
            self.patience.moved(moved);
            let most = if done {
                self.way.body_timeout
            } else {
                self.silence
            };
            self.way.timer.set(now + most);
        }
        self.way.timer.poll_expired(cx).map(|()| stalled)
    }

    /// The client takes no more for now: that uses up patience, until it has taken or sent enough.
    fn poll_reader(&mut self, cx: &mut Context<'_>, moved: u64) -> Poll<Ending> {
        if moved > 0 || !self.patience.is_waiting() {
            self.stalled = false;
            let now = Instant::now();
            self.patience.end_wait(now);
            self.patience.moved(moved);
            self.way.timer.set(self.patience.wait(now));
        }
        let expired = self.way.timer.poll_expired(cx);
        expired.map(|()| Ending::ClientStalled)
    }
}
