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
mod response;
mod store;
mod upload;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

pub use connection::Connection;
pub use response::H1Body;
pub use store::Store;

use crate::backend::Backend;
use crate::message::FieldCase;
use crate::message::Head;
use crate::message::body::{AnswerBody, RequestBody};
use crate::plan::pool::PoolTimeouts;
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
    descriptors: Arc<Descriptors>,
}

impl Upstream {
    /// A worker's connections, out of `descriptors`; `most_idle` of them are kept unused at once.
    pub fn new(worker: Rc<Worker>, most_idle: usize, descriptors: Arc<Descriptors>) -> Self {
        Self {
            store: Store::new(Rc::clone(&worker), most_idle, Arc::clone(&descriptors)),
            worker,
            descriptors,
        }
    }

    /// The idle connections.
    pub fn store(&self) -> &Rc<Store> {
        &self.store
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
    type Body<'c> = H1Body<'c>;

    async fn send<'c>(
        &self,
        attempt: Attempt<'_>,
        head: &Head,
        body: RequestBody<'c>,
    ) -> Sent<'c, H1Body<'c>> {
        match self.connection(&attempt).await {
            Ok((connection, connecting)) => {
                let sent = attempt.begun + connecting;
                let (head, body) =
                    h1::exchange(connection, &self.store, (&attempt, sent), head, body).await?;
                Ok(Response {
                    head,
                    body,
                    connecting,
                })
            }
            Err(error) => Err((error, body)),
        }
    }
}
