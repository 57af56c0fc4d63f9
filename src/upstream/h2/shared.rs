//! HTTP/2 connections of one worker: each carries as many requests at once as its backend allows.
//!
//! A connection's frames are moved by a task of its own. It ends when the backend ends it, when it has been
//! without a request for too long, or when nobody wants its backend any more.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::h2::client::{Builder, Connection, SendRequest};
use ahash::RandomState;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::h1::LIMITS;
use super::super::store::is_same;
use super::super::tls;
use crate::backend::{Backend, Secure};
use crate::telemetry::{BackendCells, Cause};
use crate::worker::io::Outflow;
use crate::worker::{Descriptor, Io, Stream, Timer, Worker};

/// The connections of one worker, by backend.
#[derive(Debug, Default)]
pub struct Lines {
    by_backend: RefCell<HashMap<u32, Rc<Line>, RandomState>>,
}

/// The connections to one backend.
#[derive(Debug, Default)]
pub(crate) struct Line {
    connections: RefCell<Vec<Rc<Shared>>>,
    /// Whether somebody is connecting, so that those who come meanwhile wait for that one.
    dialling: Cell<bool>,
    dialled: Notify,
}

/// One connection, with requests on it.
#[derive(Debug)]
pub(crate) struct Shared {
    sender: SendRequest<Bytes>,
    streams: Cell<usize>,
    /// Whether it has carried a request.
    used: Cell<bool>,
    /// Whether it takes no more.
    ended: Cell<bool>,
    /// TLS with the backend as it was when the connection was made.
    secure: Option<Arc<Secure>>,
    backend: Arc<Backend>,
    /// The task that moves its frames.
    driver: RefCell<Option<Waker>>,
}

/// One request's place on a connection.
#[derive(Debug)]
pub(super) struct Place(Rc<Shared>);

/// Who connects, while the others wait.
pub(crate) struct Dialling(Rc<Line>);

impl Lines {
    /// The connections to a backend.
    pub(crate) fn to(&self, backend: &Backend) -> Rc<Line> {
        let mut lines = self.by_backend.borrow_mut();
        Rc::clone(lines.entry(backend.number()).or_default())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_backend.borrow().is_empty()
    }

    /// Ends what belongs to a backend that is no longer `wanted`, and forgets what has ended.
    pub fn sweep(&self, mut wanted: impl FnMut(u32) -> bool) {
        self.by_backend.borrow_mut().retain(|number, line| {
            let wanted = wanted(*number);
            let mut connections = line.connections.borrow_mut();
            if !wanted {
                connections.iter().for_each(|shared| shared.give_up());
            }
            connections.retain(|shared| !shared.ended.get());
            wanted || !connections.is_empty()
        });
    }
}

impl Line {
    /// The first connection with room, so that few are full rather than many half empty.
    pub(crate) fn with_room(&self, secure: Option<&Arc<Secure>>) -> Option<Rc<Shared>> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|shared| !shared.ended.get());
        let fits =
            |shared: &&Rc<Shared>| is_same(shared.secure.as_ref(), secure) && shared.has_room();
        connections.iter().find(fits).cloned()
    }

    /// The right to connect, or a wait for whoever has it.
    pub(crate) fn dial(self: &Rc<Self>) -> Option<Dialling> {
        (!self.dialling.replace(true)).then(|| Dialling(Rc::clone(self)))
    }

    /// Waits until whoever connects has done so or failed. Cancel-safe.
    pub(crate) async fn dialled(&self, timer: &Timer) -> Result<(), Cause> {
        let mut waiting = std::pin::pin!(self.dialled.notified());
        poll_fn(|cx| match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => timer.poll_expired(cx).map(|()| Err(Cause::ConnectTimeout)),
        })
        .await
    }

    pub(crate) fn add(&self, shared: &Rc<Shared>) {
        self.connections.borrow_mut().push(Rc::clone(shared));
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        self.0.dialling.set(false);
        self.0.dialled.notify_waiters();
    }
}

impl Shared {
    /// Speaks HTTP/2 on a new connection, and has its frames moved from now on.
    pub(crate) async fn begin(
        (stream, descriptor): (Stream, Descriptor),
        (backend, secure): (&Arc<Backend>, Option<&Arc<Secure>>),
        worker: &Rc<Worker>,
        keep: Duration,
        timer: Timer,
    ) -> Result<Rc<Self>, Cause> {
        let io = Io::new(stream, worker);
        let outflow = io.outflow();
        let mut handshake = std::pin::pin!(builder().handshake(io));
        let (sender, connection) = poll_fn(|cx| match handshake.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(done.map_err(|_| Cause::ConnectFailed)),
            Poll::Pending => timer.poll_expired(cx).map(|()| Err(Cause::ConnectTimeout)),
        })
        .await?;
        let mut frames = FrameMover {
            connection,
            outflow,
        };
        poll_fn(|cx| poll_settings(cx, (&mut frames, &sender), (backend, secure), &timer)).await?;
        let shared = Rc::new(Self {
            sender,
            streams: Cell::new(0),
            used: Cell::new(false),
            ended: Cell::new(false),
            secure: secure.cloned(),
            backend: Arc::clone(backend),
            driver: RefCell::new(None),
        });
        let counted = Counted::new(Arc::clone(backend), Rc::clone(worker));
        let mut driver = Driver {
            frames,
            sender: shared.sender(),
            shared: Rc::clone(&shared),
            timer,
            idle_since: None,
            keep,
            counted,
        };
        tokio::task::spawn_local(async move {
            poll_fn(|cx| driver.poll(cx)).await;
            driver.shared.ended.set(true);
            drop(driver);
            // The last: the socket is closed by now.
            drop(descriptor);
        });
        Ok(shared)
    }

    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.sender.clone()
    }

    /// Whether it has carried a request before; it has from now on.
    pub(super) fn is_used(&self) -> bool {
        self.used.replace(true)
    }

    /// Whether it is TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.secure.is_some()
    }

    /// Why it has ended: its backend has refused our certificate, which is told, or it is closed.
    pub(super) fn cause_of_end(&self, error: &::h2::Error) -> Cause {
        cause_of_end(error, &self.backend, self.secure.as_ref())
    }

    /// Puts no more requests on it. Those that are on it go on.
    pub(super) fn give_up(&self) {
        self.ended.set(true);
        self.wake();
    }

    fn has_room(&self) -> bool {
        let most = self.sender.current_max_send_streams();
        !self.ended.get() && self.streams.get() < most.min(MOST_STREAMS as usize)
    }

    fn wake(&self) {
        if let Some(waker) = self.driver.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

impl Place {
    pub(super) fn take(shared: &Rc<Shared>) -> Self {
        shared.streams.set(shared.streams.get() + 1);
        shared.wake();
        Self(Rc::clone(shared))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.wake();
    }
}

fn cause_of_end(error: &::h2::Error, backend: &Backend, secure: Option<&Arc<Secure>>) -> Cause {
    match (error.get_io().and_then(tls::refusal), secure) {
        (Some(reason), Some(secure)) => {
            tls::tell(backend, secure, &reason);
            Cause::TlsFailed
        }
        _ => Cause::Closed,
    }
}

/// Ready when the backend has said how many requests it takes at once: only then is it known to speak HTTP/2, with nothing sent
/// that could not be sent to another.
fn poll_settings(
    cx: &mut Context<'_>,
    (frames, sender): (&mut FrameMover, &SendRequest<Bytes>),
    (backend, secure): (&Backend, Option<&Arc<Secure>>),
    timer: &Timer,
) -> Poll<Result<(), Cause>> {
    match frames.poll(cx) {
        Poll::Ready(Err(error)) if error.is_library() => Poll::Ready(Err(Cause::Protocol)),
        Poll::Ready(Err(error)) => Poll::Ready(Err(cause_of_end(&error, backend, secure))),
        Poll::Ready(Ok(())) => Poll::Ready(Err(Cause::Closed)),
        Poll::Pending if sender.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => timer.poll_expired(cx).map(|()| Err(Cause::ConnectTimeout)),
    }
}

/// The library's side of a connection, and its way out.
struct FrameMover {
    connection: Connection<Io, Bytes>,
    outflow: Rc<Outflow>,
}

impl FrameMover {
    /// Reads and writes frames; ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ::h2::Error>> {
        let polled = Pin::new(&mut self.connection).poll(cx);
        if polled.is_pending() && self.outflow.flush(cx).is_err() {
            // The library learns of it when it reads.
            return Pin::new(&mut self.connection).poll(cx);
        }
        polled
    }
}

/// Has a connection's frames moved for as long as it is of use.
struct Driver {
    frames: FrameMover,
    /// Opens no stream: it is asked whether that could be done.
    sender: SendRequest<Bytes>,
    shared: Rc<Shared>,
    timer: Timer,
    idle_since: Option<Instant>,
    keep: Duration,
    counted: Counted,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.driver.replace(Some(cx.waker().clone()));
        if self.frames.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // The backend may have said goodbye, with streams still to be answered.
        if let Poll::Ready(Err(_)) = self.sender.poll_ready(cx) {
            self.shared.ended.set(true);
        }
        let idle = self.shared.streams.get() == 0;
        self.counted.set(idle);
        if !idle {
            self.idle_since = None;
            self.timer.clear();
            return Poll::Pending;
        }
        if self.shared.ended.get() {
            return Poll::Ready(());
        }
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        self.timer.set(since + self.keep);
        self.timer.poll_expired(cx)
    }
}

/// A connection in its backend's figures.
struct Counted {
    backend: Arc<Backend>,
    worker: Rc<Worker>,
    idle: bool,
}

impl Counted {
    fn new(backend: Arc<Backend>, worker: Rc<Worker>) -> Self {
        let counted = Self {
            backend,
            worker,
            idle: false,
        };
        counted.cells().connections_active.add(1);
        counted
    }

    fn set(&mut self, idle: bool) {
        if self.idle != idle {
            self.count(-1);
            self.idle = idle;
            self.count(1);
        }
    }

    fn count(&self, by: i64) {
        let cells = self.cells();
        if self.idle {
            cells.connections_idle.add(by);
        } else {
            cells.connections_active.add(by);
        }
    }

    fn cells(&self) -> &BackendCells {
        self.backend.meters().at(self.worker.id())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.count(-1);
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        // None before the backend has said how many.
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(LIMITS.head_bytes as u32)
        .data_frame_budget(SMALL_FRAMES)
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// Bytes that a backend may send ahead of the client, for each response.
const STREAM_WINDOW: u32 = 128 * 1024;

/// Requests on one connection at once, however many its backend would take: so many that clients who do not read, all of
/// them together, cannot shut the window of one who does.
const MOST_STREAMS: u32 = 128;

/// The same for all of a connection together.
const CONNECTION_WINDOW: u32 = MOST_STREAMS * STREAM_WINDOW;

/// What small frames that wait for their clients may cost, which have 256 bytes each less their own: beyond it the library
/// ends the connection and all that is on it. Streams of gRPC are made of such frames, so this is out of reach
/// before the window is shut, for messages of 32 bytes and more.
const SMALL_FRAMES: usize = 64 * 1024 * 1024;

/// Bytes of a request that wait for the connection, for each stream.
const SEND_BUFFER: usize = 64 * 1024;
