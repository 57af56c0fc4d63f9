//! A connection, or a stream of HTTP/2, that has changed its protocol (RFC 9110 section 7.8, RFC 8441): bytes both ways,
//! until both ends have ended.
//!
//! Nothing is read here but where the frames of a WebSocket begin, and that only to say goodbye between two of them:
//! when the process drains, when its backend is to be empty, or when nothing has moved for too long.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop::has_budget_remaining;
use tokio::time::Instant;

use super::Tunnel;
use super::connection::Wire;
use crate::message::body::{AnswerBody, Ending, Upload};
use crate::message::websocket;
use crate::worker::pump::{PumpFailure, Side};
use crate::worker::{Pump, Timer, Worker};

/// The client's end of a tunnel.
pub(super) trait ClientEnd {
    /// Moves what comes from the backend; ready once that has ended and all of it is out.
    fn poll_pump(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut impl AnswerBody,
        moved: &mut u64,
    ) -> Poll<Result<(), PumpFailure>>;

    /// Whether nothing has come from the client since a read was last pending, so that whoever waits for it is still to be
    /// woken. False also where that cannot be told.
    fn is_silent(&self) -> bool {
        false
    }

    /// Whether the pump, pending, waits for bytes of the backend and for nothing else.
    fn awaits_backend(&self) -> bool {
        false
    }

    /// Whether nothing waits to be written, so that something can be put behind what has gone.
    fn is_clear(&self) -> bool;

    /// Puts bytes behind what has gone. A failure shows in [`ClientEnd::poll_flush`].
    fn say(&mut self, bytes: &'static [u8]);

    /// Writes what waits to be written.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PumpFailure>>;

    /// Tells the client that no more will come.
    fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// What bounds a tunnel.
pub(super) struct Bounds<'a> {
    pub(super) tunnel: Tunnel,
    pub(super) timer: &'a Timer,
    /// How long it may be silent once one side has ended.
    pub(super) half: Duration,
    pub(super) worker: &'a Worker,
}

/// Carries bytes both ways, and says to the body how that ended.
pub(super) async fn carry(
    mut client: impl ClientEnd,
    mut body: impl AnswerBody,
    bounds: Bounds<'_>,
) -> Ending {
    let mut carrier = Carrier {
        lot: (bounds.worker.draw() % 255) as u8,
        client: &mut client,
        bounds,
        down: false,
        upload: None,
        shut: false,
        goodbye: Goodbye::None,
        timed: false,
        asleep: Asleep::default(),
    };
    let ending = poll_fn(|cx| carrier.poll(cx, &mut body)).await;
    body.end(ending, Instant::now().into_std());
    ending
}

struct Carrier<'a, C> {
    client: &'a mut C,
    bounds: Bounds<'a>,
    /// Below how many of 255 that its backend or the worker calls off it is one of them.
    lot: u8,
    /// Whether the backend has ended its side, and all of that is out.
    down: bool,
    /// What became of the other direction.
    upload: Option<Upload>,
    /// Whether the client has been told that no more will come.
    shut: bool,
    goodbye: Goodbye,
    /// Whether the deadline of silence is running.
    timed: bool,
    asleep: Asleep,
}

/// Which directions waited for bytes to come, and for nothing else, when they were last polled: as long as none has, they
/// need not be polled again. Most of the time one of the two has bytes, and the other has none.
#[derive(Clone, Copy, Debug, Default)]
struct Asleep {
    up: bool,
    down: bool,
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

impl<C: ClientEnd> Carrier<'_, C> {
    fn poll(&mut self, cx: &mut Context<'_>, body: &mut impl AnswerBody) -> Poll<Ending> {
        let mut moved = 0;
        let upload_sleeps = self.asleep.up && self.client.is_silent();
        if self.upload.is_none()
            && !upload_sleeps
            && let Poll::Ready(upload) = body.poll_upload(cx, &mut moved)
        {
            self.upload = Some(upload);
            if let Upload::Failed(_) = upload {
                return Poll::Ready(Ending::ClientGone);
            }
        }
        let called_off = self.bounds.worker.called_off().max(body.called_off());
        if self.goodbye == Goodbye::None && self.lot < called_off {
            self.goodbye = Goodbye::Due;
        }
        let uploaded = moved;
        let polled = self.poll_down(cx, body, &mut moved);
        body.delivered(moved - uploaded);
        if let Err(failure) = polled {
            return Poll::Ready(match failure {
                PumpFailure::Sink(_) => Ending::ClientGone,
                PumpFailure::Source(failure) => Ending::SourceFailed(failure),
            });
        }
        let said = self.down || self.goodbye == Goodbye::Said;
        if said && self.upload.is_some() {
            return Poll::Ready(Ending::Delivered);
        }
        self.note_sleepers(body);
        self.poll_silence(cx, moved > 0)
    }

    /// Notes who waits for bytes to come. A task that has used up its budget is told that everything is pending, and not
    /// woken by what comes.
    fn note_sleepers(&mut self, body: &impl AnswerBody) {
        let registered = has_budget_remaining();
        self.asleep = Asleep {
            up: registered && body.awaits_client(),
            down: registered && self.client.awaits_backend(),
        };
    }

    /// Moves what comes from the backend, and says goodbye where there is a place for it.
    fn poll_down(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut impl AnswerBody,
        moved: &mut u64,
    ) -> Result<(), PumpFailure> {
        // Twice: what has been moved may have brought the end of a frame.
        self.say_goodbye(body);
        let sleeps = self.asleep.down && body.is_silent();
        if !self.down && self.goodbye != Goodbye::Said && !sleeps {
            match self.client.poll_pump(cx, body, moved) {
                Poll::Ready(Ok(())) => self.down = true,
                Poll::Ready(Err(failure)) => return Err(failure),
                Poll::Pending => {}
            }
            self.say_goodbye(body);
        }
        if self.goodbye == Goodbye::Said {
            if let Poll::Ready(Err(failure)) = self.client.poll_flush(cx) {
                return Err(failure);
            }
        } else if self.down && !self.shut {
            self.shut = self.client.poll_shut(cx).is_ready();
        }
        Ok(())
    }

    /// Other protocols than WebSocket have no word for it, and are not cut within what they say as long as they talk.
    fn say_goodbye(&mut self, body: &impl AnswerBody) {
        let is_place = self.bounds.tunnel.websocket && body.is_between_frames();
        if self.goodbye != Goodbye::Due || self.down || !is_place || !self.client.is_clear() {
            return;
        }
        self.client.say(&websocket::GOING_AWAY);
        self.goodbye = Goodbye::Said;
        // Its deadline begins now.
        self.timed = false;
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>, moved: bool) -> Poll<Ending> {
        let timer = self.bounds.timer;
        if moved || !self.timed {
            self.timed = true;
            let idle = self.bounds.tunnel.idle;
            let half = self.upload.is_some() || self.down;
            let most = match self.goodbye {
                Goodbye::Said => FAREWELL,
                Goodbye::None | Goodbye::Due if half => self.bounds.half.min(idle),
                Goodbye::None | Goodbye::Due => idle,
            };
            timer.set(Instant::now() + most);
        }
        if timer.poll_expired(cx).is_pending() {
            return Poll::Pending;
        }
        if self.goodbye == Goodbye::None && self.bounds.tunnel.websocket && !self.down {
            // It ends in order if there is a place for that, and at once if there is none.
            self.goodbye = Goodbye::Due;
            timer.set(Instant::now() + FAREWELL);
            cx.waker().wake_by_ref();
            return timer.poll_expired(cx).map(|()| Ending::Delivered);
        }
        Poll::Ready(Ending::Delivered)
    }
}

/// A connection of HTTP/1.
pub(super) struct Connection<'a> {
    pub(super) wire: &'a std::cell::RefCell<Wire>,
    pub(super) pump: Pump,
}

impl ClientEnd for Connection<'_> {
    fn poll_pump(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut impl AnswerBody,
        moved: &mut u64,
    ) -> Poll<Result<(), PumpFailure>> {
        let Wire { stream, output } = &mut *self.wire.borrow_mut();
        self.pump.poll(cx, body, (stream, output), moved)
    }

    fn is_silent(&self) -> bool {
        self.wire.borrow().stream.is_silent()
    }

    fn awaits_backend(&self) -> bool {
        !self.pump.is_done() && self.pump.waits_for() == Side::Source
    }

    fn is_clear(&self) -> bool {
        self.wire.borrow().output.is_empty()
    }

    fn say(&mut self, bytes: &'static [u8]) {
        self.wire
            .borrow_mut()
            .output
            .append()
            .extend_from_slice(bytes);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PumpFailure>> {
        let Wire { stream, output } = &mut *self.wire.borrow_mut();
        output.poll_flush(stream, cx).map_err(PumpFailure::Sink)
    }

    fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // If it fails the client is gone, which shows in the other direction.
        let stream = &mut self.wire.borrow_mut().stream;
        stream.poll_shutdown(cx).map(|_| ())
    }
}

/// How long a client may take to answer a goodbye.
const FAREWELL: Duration = Duration::from_secs(5);
