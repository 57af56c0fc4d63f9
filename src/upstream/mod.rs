//! From an attempt to a response's head: connections towards the backends.
//!
//! *What enters*: a head that is ready to be sent, the request's body, and the backend that was picked.
//! *What leaves*: a response's head and a body that still reads from the backend's connection and moves
//! the rest of the upload; or a [`SendError`] that says what a retry must know: was anything sent, and was
//! the connection a reused one.
//!
//! In reading order: `store` (idle connections of one worker), [`connect`] (new ones), `connection`
//! (one connection and its counts), `upload` (a request's body on its way), `response` (the response's
//! body), `h1` (an exchange).
//!
//! Deliberately absent: clients, routes, strategies, retries. What an error means is `proxy`'s to decide.

pub mod connect;
mod connection;
mod h1;
mod h2;
mod response;
mod store;
mod upload;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

pub use connection::Connection;
pub use h2::{H2Body, Lines};
pub use response::H1Body;
pub use store::Store;

use crate::backend::Backend;
use crate::message::FieldCase;
use crate::message::Head;
use crate::message::body::{
    AnswerBody, Body, BodyFailure, Ending, Length, Piece, RequestBody, Upload,
};
use crate::plan::pool::{PoolTimeouts, Protocol};
use crate::telemetry::Cause;
use crate::worker::{Descriptor, Descriptors, Stream, Timer, Worker};

/// Has requests answered by backends. The worker's connections are one, the tests' fake is another.
pub trait Transport: 'static {
    /// The body of a response.
    type Body<'c>: AnswerBody;

    /// Sends one request to one backend and waits for the response's head. A failure gives the body
    /// back for the next attempt. Dropping the future closes the connection.
    fn send<'c>(
        &self,
        attempt: Attempt<'_>,
        head: &Head,
        body: RequestBody<'c>,
    ) -> impl Future<Output = Sent<'c, Self::Body<'c>>>;
}

/// How a sending ended.
pub type Sent<'c, B> = Result<Response<B>, (SendError, RequestBody<'c>)>;

/// One try to have a request answered by one backend.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Who shall answer.
    pub backend: &'a Arc<Backend>,
    /// Deadlines of its pool.
    pub timeouts: PoolTimeouts,
    /// What is spoken with it.
    pub protocol: Protocol,
    /// In which case it wants field names.
    pub case: FieldCase,
    /// Whether only a new connection will do, because a reused one has just failed.
    pub fresh: bool,
    /// When it began.
    pub begun: Instant,
}

/// A response whose head is complete.
#[derive(Debug)]
pub struct Response<B> {
    /// Its head, as the backend sent it.
    pub head: Head,
    /// Its body.
    pub body: B,
    /// How long connecting took; zero on a reused connection.
    pub connecting: Duration,
}

/// Why a request was not answered, and what a retry must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct SendError {
    /// What happened.
    pub cause: Cause,
    /// Whether a byte of the request may have reached the backend.
    pub sent: bool,
    /// Whether the connection was a reused one that ended without a byte of response: the backend most
    /// likely closed it before the request came.
    pub stale: bool,
}

/// The connections of one worker.
#[derive(Debug)]
pub struct Upstream {
    worker: Rc<Worker>,
    store: Rc<Store>,
    lines: Lines,
    descriptors: Arc<Descriptors>,
}

impl Upstream {
    /// A worker's connections, out of `descriptors`; `most_idle` of them are kept unused at once.
    pub fn new(worker: Rc<Worker>, most_idle: usize, descriptors: Arc<Descriptors>) -> Self {
        Self {
            store: Store::new(Rc::clone(&worker), most_idle, Arc::clone(&descriptors)),
            worker,
            lines: Lines::default(),
            descriptors,
        }
    }

    /// The idle connections.
    pub fn store(&self) -> &Rc<Store> {
        &self.store
    }

    /// The connections that carry many requests at once.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// A connection with room for one more request, and how long connecting took.
    async fn shared(&self, attempt: &Attempt<'_>) -> Result<(Rc<h2::Shared>, Duration), Cause> {
        let begun = Instant::now();
        let line = self.lines.to(attempt.backend);
        let mut timer = None;
        loop {
            if let Some(shared) = line.with_room() {
                return Ok((shared, begun.elapsed()));
            }
            let timer = timer.get_or_insert_with(|| {
                let timer = self.worker.timer();
                timer.set(begun + attempt.timeouts.connect);
                timer
            });
            let Some(dialling) = line.dial() else {
                line.dialled(timer).await?;
                continue;
            };
            let connected = self.new_connection(attempt, timer).await?;
            let timer = self.worker.timer();
            timer.set(begun + attempt.timeouts.connect);
            let keep = attempt.timeouts.idle;
            let shared =
                h2::Shared::begin(connected, attempt.backend, &self.worker, keep, timer).await?;
            line.add(&shared);
            drop(dialling);
            return Ok((shared, begun.elapsed()));
        }
    }

    async fn connection(
        &self,
        attempt: &Attempt<'_>,
    ) -> Result<(Box<Connection>, Duration), SendError> {
        if !attempt.fresh
            && let Some(connection) = self.store.take(attempt.backend, attempt.begun)
        {
            return Ok((connection, Duration::ZERO));
        }
        let begun = Instant::now();
        let timer = self.worker.timer();
        timer.set(begun + attempt.timeouts.connect);
        let connected = self.new_connection(attempt, &timer).await;
        match connected {
            Ok(both) => Ok((
                Connection::new(both, Arc::clone(attempt.backend), &self.worker, timer),
                begun.elapsed(),
            )),
            Err(cause) => Err(SendError {
                cause,
                sent: false,
                stale: false,
            }),
        }
    }

    async fn new_connection(
        &self,
        attempt: &Attempt<'_>,
        timer: &Timer,
    ) -> Result<(Stream, Descriptor), Cause> {
        let address = attempt.backend.address();
        let descriptor = self.descriptor(timer).await?;
        let stream = match connect::connect(address, timer).await {
            // The whole machine is short of them, or the limit has been lowered since.
            Err(Cause::DescriptorsExhausted) if self.store.evict_some() => {
                connect::connect(address, timer).await?
            }
            result => result?,
        };
        Ok((stream, descriptor))
    }

    /// A descriptor for one more connection: at once if there is one, or for idle connections that are
    /// given up; else the next one that somebody gives back in time.
    async fn descriptor(&self, timer: &Timer) -> Result<Descriptor, Cause> {
        loop {
            if let Some(descriptor) = self.descriptors.take() {
                return Ok(descriptor);
            }
            if !self.store.evict_some() {
                break;
            }
        }
        let mut waiting = pin!(self.descriptors.wait());
        poll_fn(|cx| match waiting.as_mut().poll(cx) {
            Poll::Ready(descriptor) => Poll::Ready(Ok(descriptor)),
            Poll::Pending => timer
                .poll_expired(cx)
                .map(|()| Err(Cause::DescriptorsExhausted)),
        })
        .await
    }
}

impl Transport for Upstream {
    type Body<'c> = BackendBody<'c>;

    async fn send<'c>(
        &self,
        attempt: Attempt<'_>,
        head: &Head,
        body: RequestBody<'c>,
    ) -> Sent<'c, BackendBody<'c>> {
        match attempt.protocol {
            Protocol::Http1 => self.send_by_h1(&attempt, head, body).await,
            // Boxed: it is not to make the futures of all others larger.
            Protocol::H2c => Box::pin(self.send_by_h2(&attempt, head, body)).await,
        }
    }
}

impl Upstream {
    async fn send_by_h2<'c>(
        &self,
        attempt: &Attempt<'_>,
        head: &Head,
        body: RequestBody<'c>,
    ) -> Sent<'c, BackendBody<'c>> {
        let (shared, connecting) = match self.shared(attempt).await {
            Ok(both) => both,
            Err(cause) => {
                let error = SendError {
                    cause,
                    sent: false,
                    stale: false,
                };
                return Err((error, body));
            }
        };
        let sent = attempt.begun + connecting;
        let (head, body) = h2::exchange(shared, (&self.worker, attempt), sent, head, body).await?;
        Ok(Response {
            head,
            body: BackendBody::H2(body),
            connecting,
        })
    }

    async fn send_by_h1<'c>(
        &self,
        attempt: &Attempt<'_>,
        head: &Head,
        body: RequestBody<'c>,
    ) -> Sent<'c, BackendBody<'c>> {
        match self.connection(attempt).await {
            Ok((connection, connecting)) => {
                let sent = attempt.begun + connecting;
                let (head, body) =
                    h1::exchange(connection, &self.store, (attempt, sent), head, body).await?;
                Ok(Response {
                    head,
                    body: BackendBody::H1(body),
                    connecting,
                })
            }
            Err(error) => Err((error, body)),
        }
    }
}

/// The body of a response, whichever way it comes.
#[derive(Debug)]
pub enum BackendBody<'c> {
    /// By HTTP/1.
    H1(H1Body<'c>),
    /// By HTTP/2.
    H2(H2Body<'c>),
}

impl Body for BackendBody<'_> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece<'_>>, BodyFailure>> {
        match self {
            Self::H1(body) => body.poll_piece(cx),
            Self::H2(body) => body.poll_piece(cx),
        }
    }

    fn consume(&mut self, n: usize) {
        match self {
            Self::H1(body) => body.consume(n),
            Self::H2(body) => body.consume(n),
        }
    }

    fn length(&self) -> Length {
        match self {
            Self::H1(body) => body.length(),
            Self::H2(body) => body.length(),
        }
    }
}

impl AnswerBody for BackendBody<'_> {
    fn poll_upload(&mut self, cx: &mut Context<'_>, moved: &mut u64) -> Poll<Upload> {
        match self {
            Self::H1(body) => body.poll_upload(cx, moved),
            Self::H2(body) => body.poll_upload(cx, moved),
        }
    }

    fn delivered(&mut self, n: u64) {
        match self {
            Self::H1(body) => body.delivered(n),
            Self::H2(body) => body.delivered(n),
        }
    }

    fn is_between_frames(&self) -> bool {
        match self {
            Self::H1(body) => body.is_between_frames(),
            Self::H2(body) => body.is_between_frames(),
        }
    }

    fn end(&mut self, how: Ending, now: std::time::Instant) {
        match self {
            Self::H1(body) => body.end(how, now),
            Self::H2(body) => body.end(how, now),
        }
    }
}
