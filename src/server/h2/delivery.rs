//! Both directions of a stream at once, until the answer has gone out and the request has come in.
//!
//! A piece of the answer is taken when the windows of stream and connection have room for it, never before: a client
//! that does not read slows its own backend and nobody else.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use ::h2::Reason;
use ::h2::server::SendResponse;
use bytes::Bytes;
use tokio::time::Instant;

use super::Common;
use crate::h2;
use crate::message::body::{AnswerBody, BodyFailure, Ending, Upload};
use crate::server::patience::Patience;
use crate::server::{Answer, Terms};
use crate::worker::h2::Frames;
use crate::worker::pump::{PumpFailure, Side};
use crate::worker::{Timer, Worker};

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// By its answer, or for a reason that is not the client's.
    Over,
    /// The client took its request back.
    TakenBack,
}

/// Sends the answer, moves the rest of the upload, and says how it ended to the answer's body.
pub(super) async fn deliver<B: AnswerBody, H>(
    respond: &RefCell<SendResponse<Bytes>>,
    answer: Answer<B>,
    common: &Common<H>,
    terms: &Terms,
) -> Outcome {
    let worker = &common.worker;
    let Answer {
        head,
        mut body,
        silence,
        ..
    } = answer;
    let length = body.length();
    let response = h2::response::write(&head, length);
    worker.give_head(head);
    let ends = Frames::is_nothing(length);
    let sent = respond.borrow_mut().send_response(response, ends);
    let Ok(stream) = sent else {
        body.end(Ending::ClientGone, Instant::now().into_std());
        return Outcome::TakenBack;
    };
    let mut delivery = Delivery {
        frames: Frames::new(stream, length),
        upload: None,
        worker,
        timer: None,
        patience: Patience::of(&terms.listener),
        stalled: None,
        sent: 0,
        body_timeout: terms.listener.timeouts.body,
        silence: silence.unwrap_or(terms.listener.timeouts.body),
    };
    let ending = poll_fn(|cx| {
        let polled = delivery.poll(cx, &mut body);
        let drips = delivery.frames.take_drips();
        common.note_sent(std::mem::take(&mut delivery.sent), drips);
        polled
    })
    .await;
    body.end(ending, Instant::now().into_std());
    delivery.part(ending)
}

struct Delivery<'a> {
    frames: Frames,
    upload: Option<Upload>,
    worker: &'a Worker,
    /// Made when something is waited for: most answers are at hand.
    timer: Option<Timer>,
    /// With a client whose windows stay shut.
    patience: Patience,
    /// Whether a deadline is running, and if so whether it is the client's as a reader, and whether the answer is out.
    stalled: Option<(bool, bool)>,
    /// Bytes that have been handed over and not been noted.
    sent: u64,
    /// How long nothing may move behind the answer, and before its end.
    body_timeout: Duration,
    silence: Duration,
}

impl Delivery<'_> {
    fn poll(&mut self, cx: &mut Context<'_>, body: &mut impl AnswerBody) -> Poll<Ending> {
        let mut moved = 0;
        if self.upload.is_none()
            && let Poll::Ready(upload) = body.poll_upload(cx, &mut moved)
        {
            self.upload = Some(upload);
            if let Upload::Failed(failure) = upload
                && !self.frames.is_done()
            {
                return Poll::Ready(Ending::UploadFailed(failure));
            }
        }
        let uploaded = moved;
        let polled = self.frames.poll(cx, body, &mut moved);
        self.sent += moved - uploaded;
        body.delivered(moved - uploaded);
        if let Poll::Ready(Err(failure)) = polled {
            return Poll::Ready(match failure {
                PumpFailure::Sink(_) => Ending::ClientGone,
                PumpFailure::Source(failure) => Ending::SourceFailed(failure),
            });
        }
        let done = self.frames.is_done();
        if done && self.upload.is_some() {
            return Poll::Ready(Ending::Delivered);
        }
        if self.frames.poll_reset(cx).is_ready() {
            return Poll::Ready(if done {
                Ending::Delivered
            } else {
                Ending::ClientGone
            });
        }
        self.poll_stall(cx, moved)
    }

    /// Nothing moves now. A window that stays shut uses up patience; a backend that is silent has its own deadline.
    fn poll_stall(&mut self, cx: &mut Context<'_>, moved: u64) -> Poll<Ending> {
        let done = self.frames.is_done();
        let reader = !done && self.frames.waits_for() == Side::Sink;
        let timer = self.timer.get_or_insert_with(|| self.worker.timer());
        if moved > 0 || self.stalled != Some((reader, done)) {
            self.stalled = Some((reader, done));
            let now = Instant::now();
            self.patience.end_wait(now);
            self.patience.moved(moved);
            timer.set(match () {
                () if reader => self.patience.wait(now),
                () if done => now + self.body_timeout,
                () => now + self.silence,
            });
        }
        timer.poll_expired(cx).map(|()| match () {
            () if done => Ending::Delivered,
            () if reader => Ending::ClientStalled,
            () => Ending::SourceFailed(BodyFailure::TimedOut),
        })
    }

    /// Ends the stream as its answer ended.
    fn part(mut self, ending: Ending) -> Outcome {
        match ending {
            // If the rest of the request is not wanted, the library says so behind the answer once the stream is
            // dropped (RFC 9113 section 8.1); a reset of ours would overtake it.
            Ending::Delivered => Outcome::Over,
            Ending::ClientGone
            | Ending::UploadFailed(
                BodyFailure::Cut | BodyFailure::Cancelled | BodyFailure::Exhausted,
            ) => {
                self.frames.reset(Reason::CANCEL);
                Outcome::TakenBack
            }
            Ending::ClientStalled | Ending::UploadFailed(_) => {
                self.frames.reset(Reason::CANCEL);
                Outcome::Over
            }
            Ending::SourceFailed(failure) => {
                self.frames.reset(code(failure));
                Outcome::Over
            }
        }
    }
}

/// What a client is told of an answer that failed on its way (RFC 9113 section 7). A backend's own word is passed on where it
/// means the same here, which matters to callers of gRPC. Never REFUSED_STREAM: an answer has begun, so the request was seen.
fn code(failure: BodyFailure) -> Reason {
    match failure {
        BodyFailure::Cancelled => Reason::CANCEL,
        BodyFailure::Exhausted => Reason::ENHANCE_YOUR_CALM,
        BodyFailure::Cut
        | BodyFailure::Malformed
        | BodyFailure::Overrun
        | BodyFailure::TooLarge
        | BodyFailure::TimedOut
        | BodyFailure::TooSlow => Reason::INTERNAL_ERROR,
    }
}
