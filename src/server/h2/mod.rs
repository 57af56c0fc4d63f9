//! The life of an HTTP/2 connection (RFC 9113): one task reads frames and opens streams, one task for each stream has its
//! request answered.
//!
//! Frames, HPACK and windows are the `h2` crate's. Ours is what it leaves open: deadlines for every direction of
//! every stream, how many requests a client may take back, the end of a connection.
//!
//! In reading order: this file (the connection), `exchange` (a stream's request), `delivery` (its answer), `tunnel` (a stream that has changed its protocol).

mod delivery;
mod exchange;
mod tunnel;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::h2::server::{Builder, Connection, SendResponse};
use ::h2::{Reason, RecvStream};
use bytes::Bytes;
use http::Request as HttpRequest;
use tokio::time::Instant;

use super::{Handler, Peer, Terms};
use crate::telemetry::Cause;
use crate::worker::io::Outflow;
use crate::worker::{Buffer, Io, Phase, Stream, Timer, Worker};

/// What a client sends first (RFC 9113 section 3.4), as far as HTTP/1 takes it for a head.
pub(super) const PREFACE_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// Serves a connection whose handshake settled on HTTP/2 until it ends. `front` is what has been read of it. Dropping the future closes it at once; its
/// streams see that and end.
pub async fn serve<H: Handler>(
    stream: Stream,
    front: Buffer,
    peer: Rc<Peer>,
    handler: Rc<H>,
    worker: Rc<Worker>,
) {
    let io = Io::behind(front, stream, &worker);
    // Boxed, or every connection would hold room for its beginning for its whole life.
    if let Some(mut serving) = Box::pin(begin(io, peer, handler, worker)).await {
        poll_fn(|cx| serving.poll(cx)).await;
    }
}

/// Exchanges prefaces; `None` if the client has none, or not in time.
async fn begin<H: Handler>(
    io: Io,
    peer: Rc<Peer>,
    handler: Rc<H>,
    worker: Rc<Worker>,
) -> Option<Box<Serving<H>>> {
    let terms = handler.terms(&peer);
    let timer = worker.timer();
    timer.set(Instant::now() + terms.listener.timeouts.header);
    let outflow = io.outflow();
    let mut handshake = pin!(builder(&terms).handshake::<_, Bytes>(io));
    let connection = poll_fn(|cx| match handshake.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(done.ok()),
        Poll::Pending if outflow.flush(cx).is_err() => Poll::Ready(None),
        Poll::Pending => timer.poll_expired(cx).map(|()| None),
    })
    .await?;
    let common = Rc::new(Common {
        peer,
        handler,
        worker,
        streams: Cell::new(0),
        patience: Cell::new(RESETS_AT_FIRST),
        drips: Cell::new(0),
        waker: RefCell::new(None),
    });
    Some(Box::new(Serving {
        connection,
        timer,
        idle_since: Some(Instant::now()),
        outflow,
        held_up: None,
        leaving: false,
        nth: 0,
        common,
    }))
}

/// What the streams of a connection share with it.
struct Common<H> {
    peer: Rc<Peer>,
    handler: Rc<H>,
    worker: Rc<Worker>,
    /// Streams that are being answered.
    streams: Cell<usize>,
    /// Requests that the client may still take back; each that it lets be answered earns it one more.
    patience: Cell<u32>,
    /// Frames that windows made small, less what larger ones have made good.
    drips: Cell<u32>,
    /// The connection's task.
    waker: RefCell<Option<Waker>>,
}

impl<H: Handler> Common<H> {
    /// Counts and logs the end of a connection whose client misused it. No request is left to be answered.
    fn note_misuse(&self) {
        let (handler, head) = (Rc::clone(&self.handler), self.worker.take_head());
        drop(handler.refuse(Cause::BadRequest, head, &self.peer, Instant::now()));
    }
}

impl<H> Common<H> {
    /// Notes how a stream ended whose request was `received` then. A client that does nothing but take its requests back has
    /// each of them begun at a backend for nothing (CVE-2023-44487); one that has watched for a while and ends it does no
    /// harm, and earns nothing.
    fn note_end(&self, how: delivery::Outcome, received: Instant) {
        let patience = self.patience.get();
        self.patience.set(match how {
            delivery::Outcome::TakenBack if received.elapsed() < HASTY => {
                patience.saturating_sub(1)
            }
            delivery::Outcome::TakenBack => patience,
            delivery::Outcome::Over => patience.saturating_add(1).min(RESETS_AT_FIRST),
        });
    }

    /// Notes what has been handed over of an answer, and how many of its frames windows made small: a client that opens
    /// its windows by a byte at a time has us work as much for each.
    fn note_sent(&self, bytes: u64, drips: u32) {
        let before = self.drips.get();
        let made_good = u32::try_from(bytes / SMALL_FRAME).unwrap_or(u32::MAX);
        let after = before.saturating_add(drips).saturating_sub(made_good);
        self.drips.set(after);
        if after >= MOST_DRIPS && before < MOST_DRIPS {
            self.wake();
        }
    }

    /// Whether the client has had us do much for nothing.
    fn is_misused(&self) -> bool {
        self.patience.get() == 0 || self.drips.get() >= MOST_DRIPS
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

/// A stream that a client has opened, and its request.
#[derive(Debug)]
pub struct Opened<H> {
    request: HttpRequest<RecvStream>,
    respond: SendResponse<Bytes>,
    counted: Counted<H>,
}

/// A stream among those that are being answered.
struct Counted<H>(Rc<Common<H>>);

impl<H> fmt::Debug for Counted<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counted").field(&self.0.streams).finish()
    }
}

impl<H> Counted<H> {
    fn new(common: &Rc<Common<H>>) -> Self {
        common.streams.set(common.streams.get() + 1);
        Self(Rc::clone(common))
    }
}

impl<H> Drop for Counted<H> {
    fn drop(&mut self) {
        let common = &self.0;
        common.streams.set(common.streams.get() - 1);
        common.wake();
    }
}

struct Serving<H> {
    connection: Connection<Io, Bytes>,
    timer: Timer,
    /// Since when no stream is open, and nothing that waited for the client has moved.
    idle_since: Option<Instant>,
    outflow: Rc<Outflow>,
    /// What had been written when the client took no more, as long as it does not.
    held_up: Option<u64>,
    /// Whether the client has been told that this is the end.
    leaving: bool,
    /// Requests that it has sent.
    nth: u32,
    common: Rc<Common<H>>,
}

impl<H: Handler> Serving<H> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.common.waker.replace(Some(cx.waker().clone()));
        loop {
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.nth += 1;
                    let opened = Opened {
                        request,
                        respond,
                        counted: Counted::new(&self.common),
                    };
                    let streams = self.common.handler.streams();
                    // Boxed, for a task is moved several times before it runs and once when it ends.
                    streams.give(opened, |hand| Box::pin(exchange::answer_all(hand)));
                    // More may have come with it, and nothing would wake us for them.
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    if error.is_library() {
                        self.common.note_misuse();
                    }
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending if self.outflow.flush(cx).is_err() => continue,
                Poll::Pending => {}
            }
            if self.common.is_misused() {
                self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                self.common.note_misuse();
                self.common.patience.set(RESETS_AT_FIRST);
                self.common.drips.set(0);
                self.leaving = true;
                continue;
            }
            let terms = self.common.handler.terms(&self.common.peer);
            let most = terms.listener.limits.requests;
            let enough = most > 0 && self.nth >= most;
            let draining = self.common.worker.phase() == Phase::Draining;
            if !self.leaving && (terms.closing || enough || draining) {
                self.leave();
                continue;
            }
            match self.poll_idle(cx, &terms) {
                Poll::Ready(()) if self.leaving => return Poll::Ready(()),
                Poll::Ready(()) => self.leave(),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Says that no more requests are taken; those that are on their way still are (RFC 9113 section 6.8).
    fn leave(&mut self) {
        self.connection.graceful_shutdown();
        self.leaving = true;
        self.idle_since = None;
    }

    /// Ready when no stream has been open for as long as may be.
    fn poll_idle(&mut self, cx: &mut Context<'_>, terms: &Terms) -> Poll<()> {
        if self.common.streams.get() > 0 {
            self.idle_since = None;
            // Polled all the same: the timer also wakes when the worker begins to drain.
            self.timer.clear();
        } else if self.idle_since.is_none() {
            self.idle_since = Some(Instant::now());
        }
        // Answers that are over for us may still lie in the library: their client has the time of any reader.
        let written = self.outflow.written();
        if self.idle_since.is_some() && self.held_up.is_some_and(|before| before != written) {
            self.idle_since = Some(Instant::now());
        }
        let blocked = self.outflow.is_blocked();
        self.held_up = blocked.then_some(written);
        if let Some(since) = self.idle_since {
            let most = if blocked {
                terms.listener.timeouts.body
            } else if self.leaving {
                FAREWELL
            } else {
                terms.listener.timeouts.idle
            };
            self.timer.set(since + most);
        }
        self.timer.poll_expired(cx)
    }
}

/// A head over the limit is for us to answer, and to count; the library answers what is far over it, unheard.
fn builder(terms: &Terms) -> Builder {
    let limits = &terms.listener.limits;
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(2 * limits.header_bytes).unwrap_or(u32::MAX))
        .data_frame_budget(SMALL_FRAMES)
        .max_send_buffer_size(SEND_BUFFER)
        .enable_connect_protocol();
    builder
}

/// Streams at once: what RFC 9113 section 6.5.2 has as the least.
const STREAMS: u32 = 100;

/// Bytes that a client may send ahead of the backend, for each request and for all of a connection together. Less for all
/// than for each of so many: that is what one connection may have us hold, and uploads that wait for slow backends hold up
/// others of the same client only when there are more than thirty of them.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// What small frames that wait for their backends may cost, which have 256 bytes each less their own: beyond it the library
/// ends the connection. As much as the windows of all streams, so that a client's small messages of gRPC are no reason to.
const SMALL_FRAMES: usize = (STREAMS * STREAM_WINDOW) as usize;

/// Bytes of an answer that wait for the connection, for each stream: two frames of the usual size. All streams of a client
/// that does not read hold 3 MiB so.
const SEND_BUFFER: usize = 32 * 1024;

/// Bytes of content that make a frame worth its while; each so many make one small frame good.
const SMALL_FRAME: u64 = 256;

/// Small frames that a client may have made of answers by its windows, beyond those made good.
const MOST_DRIPS: u32 = 1_000;

/// How soon a request is taken back by a client that only wants it begun.
const HASTY: Duration = Duration::from_secs(1);

/// Requests that a client may take back before any has been answered.
const RESETS_AT_FIRST: u32 = 200;

/// How long a connection without streams is kept after its client has been told: a request may be on its way.
const FAREWELL: Duration = Duration::from_secs(1);
