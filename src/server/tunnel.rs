//! A connection that has changed its protocol (RFC 9110 section 7.8): bytes both ways, until both ends have ended.
//!
//! Nothing is read here but where the frames of a WebSocket begin, and that only to say goodbye between two of them:
//! when the process drains, or when nothing has moved for too long.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Wire;
use super::delivery::{Outcome, Way};
use super::{Answer, Tunnel};
use crate::h1::write;
use crate::message::body::{AnswerBody, Ending, Upload};
use crate::message::websocket;
use crate::worker::pump::{Coding, PumpFailure};
use crate::worker::{Phase, Pump, Worker};

/// Says that the protocol changes, then carries what follows.
pub(super) async fn carry<B: AnswerBody>(
    way: Way<'_>,
    answer: Answer<B>,
    tunnel: Tunnel,
    worker: &Worker,
) -> Outcome {
    let Answer { head, mut body, .. } = answer;
    write::interim_head(&head, way.wire.borrow_mut().output.append());
    worker.give_head(head);
    let mut carrier = Carrier {
        way: &way,
        tunnel,
        worker,
        pump: Pump::new(Coding::UntilClose),
        upload: None,
        shut: false,
        goodbye: Goodbye::None,
        moving: false,
    };
    let ending = poll_fn(|cx| carrier.poll(cx, &mut body)).await;
    body.end(ending, Instant::now().into_std());
    match ending {
        Ending::Delivered => Outcome::Close,
        Ending::ClientGone | Ending::ClientStalled | Ending::SourceFailed(_) => Outcome::Broken,
    }
}

struct Carrier<'a> {
    way: &'a Way<'a>,
    tunnel: Tunnel,
    worker: &'a Worker,
    /// Towards the client.
    pump: Pump,
    /// What became of the other direction.
    upload: Option<Upload>,
    /// Whether the client has been told that no more will come.
    shut: bool,
    goodbye: Goodbye,
    /// Whether the deadline of silence is running.
    moving: bool,
}

/// How far the end that we bring about has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goodbye {
    None,
    /// To be said between two frames.
    Due,
    /// Said: the client has a while to answer.
    Said,
}

impl Carrier<'_> {
    fn poll(&mut self, cx: &mut Context<'_>, body: &mut impl AnswerBody) -> Poll<Ending> {
        let mut moved = 0;
        if self.upload.is_none()
            && let Poll::Ready(upload) = body.poll_upload(cx, &mut moved)
        {
            self.upload = Some(upload);
            if let Upload::Failed(_) = upload {
                return Poll::Ready(Ending::ClientGone);
            }
        }
        if self.worker.phase() == Phase::Draining && self.goodbye == Goodbye::None {
            self.goodbye = Goodbye::Due;
        }
        let uploaded = moved;
        if let Poll::Ready(failure) = self.poll_down(cx, body, &mut moved) {
            return Poll::Ready(match failure {
                PumpFailure::Sink(_) => Ending::ClientGone,
                PumpFailure::Source(failure) => Ending::SourceFailed(failure),
            });
        }
        body.delivered(moved - uploaded);
        let down = self.pump.is_done() || self.goodbye == Goodbye::Said;
        if down && self.upload.is_some() {
            return Poll::Ready(Ending::Delivered);
        }
        self.poll_silence(cx, moved > 0)
    }

    /// Moves what comes from the backend, and says goodbye where there is a place for it.
    fn poll_down(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut impl AnswerBody,
        moved: &mut u64,
    ) -> Poll<PumpFailure> {
        let mut wire = self.way.wire.borrow_mut();
        let Wire { stream, output } = &mut *wire;
        loop {
            if self.goodbye == Goodbye::Due && output.is_empty() && self.may_end(body) {
                self.goodbye = Goodbye::Said;
                // Its deadline begins now.
                self.moving = false;
                if self.tunnel.websocket && !self.pump.is_done() {
                    output.append().extend_from_slice(&websocket::GOING_AWAY);
                }
            }
            if self.goodbye == Goodbye::Said {
                // Nothing may follow it. What cannot be written is a client that is gone.
                return match output.poll_flush(stream, cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(PumpFailure::Sink(error)),
                    Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
                };
            }
            if self.pump.is_done() {
                if !self.shut {
                    self.shut = stream.poll_shutdown(cx).is_ready();
                }
                return Poll::Pending;
            }
            match self
                .pump
                .poll(cx, body, (&mut *stream, &mut *output), moved)
            {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(failure)) => return Poll::Ready(failure),
                // What has been moved may have brought the end of a frame.
                Poll::Pending if self.goodbye == Goodbye::Due && output.is_empty() => {
                    if !self.may_end(body) {
                        return Poll::Pending;
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Other protocols than WebSocket have no word for it, and are not cut within what they say as long as they talk.
    fn may_end(&self, body: &impl AnswerBody) -> bool {
        self.pump.is_done() || (self.tunnel.websocket && body.is_between_frames())
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>, moved: bool) -> Poll<Ending> {
        if moved || !self.moving {
            self.moving = true;
            let half = self.upload.is_some() || self.pump.is_done();
            let most = match self.goodbye {
                Goodbye::Said => FAREWELL,
                Goodbye::None | Goodbye::Due if half => self.way.body_timeout.min(self.tunnel.idle),
                Goodbye::None | Goodbye::Due => self.tunnel.idle,
            };
            self.way.timer.set(Instant::now() + most);
        }
        if self.way.timer.poll_expired(cx).is_pending() {
            return Poll::Pending;
        }
        if self.goodbye == Goodbye::None {
            // Where frames can be told apart it ends in order; there is one more while for that.
            self.goodbye = Goodbye::Due;
            self.moving = false;
            cx.waker().wake_by_ref();
            if self.tunnel.websocket {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ending::Delivered)
    }
}

/// How long a client may take to answer a goodbye.
const FAREWELL: Duration = Duration::from_secs(5);
