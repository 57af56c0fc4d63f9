//! From an attempt to a response's head: connections towards the backends.
//!
//! *What enters*: a head that is ready to be sent, the request's body, and the backend that was picked.
//! *What leaves*: a response's head and a body that still reads from the backend's connection and moves
//! the rest of the upload; or a [`SendError`] that says what a retry must know: was anything sent, and was
//! the connection a reused one.
//!
//! In reading order: `store` (idle connections of one worker), with `habit` (how long a backend keeps them), [`connect`] (new ones), `tls` (the same with TLS),
//! `dial` (who connects and who waits, by `turns`),
//! `connection` (one connection and its counts), `upload` (a request's body on its way), `response` (the
//! response's body), `recall` (responses that nobody wants after all), `h1` (an exchange), `h2` (the same over a connection that many
//! share), [`probe`] (a check of a backend, over a connection of its own).
//!
//! Deliberately absent: clients, routes, strategies, retries. What an error means is `proxy`'s to decide.

pub mod connect;
mod connection;
mod dial;
mod h1;
mod h2;
mod habit;
pub mod probe;
mod recall;
mod response;
mod store;
mod tls;
mod turns;
mod upload;

use std::future::Future;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

pub use connection::Connection;
pub(crate) use h1::cause_of_upload;
pub use h2::{H2Body, Lines};
pub use recall::Recall;
pub use response::H1Body;
pub use store::Store;
pub use turns::turns_of;

use dial::Dialler;
use turns::Turns;

use crate::backend::secure::Agreed;
use crate::backend::{Backend, Secure};
use crate::message::FieldCase;
use crate::message::Head;
use crate::message::body::{
    AnswerBody, Body, BodyFailure, Ending, Length, Pause, Piece, RequestBody, Upload,
};
use crate::message::hop_by_hop;
use crate::plan::pool::{PoolTimeouts, Protocol};
use crate::telemetry::Cause;
use crate::worker::{Descriptors, Stream, Timer, Worker};

/// Has requests answered by backends. The worker's connections are one, the tests' fake is another.
pub trait Transport: 'static {
    /// The body of a response.
    type Body<'c>: Recall<'c>;

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
    /// TLS with it, if it is spoken.
    pub secure: Option<&'a Arc<Secure>>,
    /// In which case it wants field names.
    pub case: FieldCase,
    /// Which connections will do.
    pub reuse: Reuse,
    /// When it began.
    pub begun: Instant,
}

/// Which connections will do for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Any that stands: what its backend closes at that moment can be sent again.
    Any,
    /// One used just now, or a new one: what its backend closes at that moment would be lost.
    Recent,
    /// A new one only, because a reused one has just failed.
    Never,
}

impl Attempt<'_> {
    /// What the backend will speak, if it is known.
    fn agreed(&self) -> Option<Agreed> {
        match self.protocol {
            Protocol::Http1 => Some(Agreed::Http1),
            Protocol::H2c | Protocol::H2 => Some(Agreed::H2),
            Protocol::Auto => self.secure?.agreed(),
        }
    }

    /// Whether HTTP/2 is spoken on a new connection.
    fn is_h2(&self, stream: &Stream) -> Result<bool, Cause> {
        let h2 = stream.speaks_http2();
        match (self.protocol, self.secure) {
            (Protocol::Http1, _) => Ok(false),
            (Protocol::H2c, _) => Ok(true),
            (Protocol::H2, Some(secure)) if !h2 => {
                tls::tell(self.backend, secure, "the backend does not speak HTTP/2");
                Err(Cause::TlsFailed)
            }
            (Protocol::H2 | Protocol::Auto, Some(secure)) => {
                secure.note(if h2 { Agreed::H2 } else { Agreed::Http1 });
                Ok(h2)
            }
            (Protocol::H2 | Protocol::Auto, None) => Ok(false),
        }
    }
}

/// A way to a backend.
enum Way {
    /// For one exchange at a time.
    Own(Box<Connection>),
    /// For many.
    Shared(Rc<h2::Shared>),
}

/// How long somebody else's connecting was waited for; nothing if it was not.
fn waited(timer: Option<&Timer>, begun: Instant) -> Duration {
    timer.map_or(Duration::ZERO, |_| begun.elapsed())
}

fn unsent(cause: Cause) -> SendError {
    SendError {
        cause,
        sent: false,
        stale: false,
        lives: false,
    }
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
    /// Whether the backend has answered others while a connection was tried in vain: that one failed says nothing
    /// against it then.
    pub lives: bool,
}

/// The connections of one worker.
#[derive(Debug)]
pub struct Upstream {
    worker: Rc<Worker>,
    store: Rc<Store>,
    dialler: Dialler,
    lines: Lines,
}

impl Upstream {
    /// A worker's connections, out of `descriptors`; `most_idle` of them are kept unused at once, and `turns` may be on
    /// their way to one backend at once.
    pub fn new(
        worker: Rc<Worker>,
        (most_idle, turns): (usize, usize),
        descriptors: Arc<Descriptors>,
    ) -> Self {
        let turns = Turns::new(turns);
        let kept = (Arc::clone(&descriptors), Rc::clone(&turns));
        let store = Store::new(Rc::clone(&worker), most_idle, kept);
        Self {
            dialler: Dialler {
                worker: Rc::clone(&worker),
                store: Rc::clone(&store),
                turns,
                descriptors,
            },
            worker,
            store,
            lines: Lines::default(),
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

    /// A way to the backend that is there, or a new one; and how long connecting took. One that speaks HTTP/2 is waited
    /// for if somebody else is connecting, for it will carry both.
    async fn reach(
        &self,
        attempt: &Attempt<'_>,
        only_http1: bool,
    ) -> Result<(Way, Duration), SendError> {
        if only_http1 {
            let (connection, connecting) = self.dialler.get(attempt).await?;
            return Ok((Way::Own(connection), connecting));
        }
        let begun = Instant::now();
        let line = self.lines.to(attempt.backend);
        let mut timer = None;
        loop {
            let agreed = attempt.agreed();
            if agreed != Some(Agreed::Http1)
                && let Some(shared) = line.with_room(attempt.secure)
            {
                return Ok((Way::Shared(shared), waited(timer.as_ref(), begun)));
            }
            if agreed != Some(Agreed::H2)
                && let Some(connection) = self.idle(attempt)
            {
                return Ok((Way::Own(connection), waited(timer.as_ref(), begun)));
            }
            if agreed == Some(Agreed::Http1) {
                let (connection, _) = self.dialler.get(attempt).await?;
                return Ok((Way::Own(connection), begun.elapsed()));
            }
            let timer = timer.get_or_insert_with(|| {
                let timer = self.worker.timer();
                timer.set(begun + attempt.timeouts.connect);
                timer
            });
            let Some(dialling) = line.dial() else {
                line.dialled(timer).await.map_err(unsent)?;
                continue;
            };
            let whose = (attempt.backend, attempt.secure);
            let connected = self.dialler.dial(whose, false, timer).await;
            let connected = connected.map_err(unsent)?;
            let timer = self.worker.timer();
            timer.set(begun + attempt.timeouts.connect);
            if !attempt.is_h2(&connected.0).map_err(unsent)? {
                let whose = (Arc::clone(attempt.backend), attempt.secure.cloned());
                let connection = Connection::new(connected, whose, &self.worker, timer);
                return Ok((Way::Own(connection), begun.elapsed()));
            }
            let keep = attempt.timeouts.idle;
            let shared = h2::Shared::begin(connected, whose, &self.worker, keep, timer).await;
            let shared = shared.map_err(unsent)?;
            line.add(&shared);
            drop(dialling);
            return Ok((Way::Shared(shared), begun.elapsed()));
        }
    }

    /// An idle connection that will do, if there is one.
    fn idle(&self, attempt: &Attempt<'_>) -> Option<Box<Connection>> {
        let whose = (&**attempt.backend, attempt.secure);
        match attempt.reuse {
            Reuse::Any => self.store.take(whose, attempt.begun),
            Reuse::Recent => self.store.take_recent(whose, attempt.begun),
            Reuse::Never => None,
        }
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
        let only_http1 = match attempt.protocol {
            Protocol::Http1 => true,
            // Only HTTP/1.1 has that.
            Protocol::Auto => hop_by_hop::upgrade(head).is_some(),
            Protocol::H2c | Protocol::H2 => false,
        };
        let idle = only_http1.then(|| self.idle(&attempt)).flatten();
        let (way, connecting) = match idle {
            Some(connection) => (Way::Own(connection), Duration::ZERO),
            // Boxed, as is all that is rare: it is not to make the futures of all others larger.
            None => match Box::pin(self.reach(&attempt, only_http1)).await {
                Ok(both) => both,
                Err(error) => return Err((error, body)),
            },
        };
        let sent = attempt.begun + connecting;
        let (head, body) = match way {
            Way::Own(connection) => {
                let whose = (&attempt, sent);
                let exchange = h1::exchange(connection, &self.store, whose, head, body);
                let (head, body) = exchange.await?;
                (head, BackendBody::H1(body))
            }
            Way::Shared(shared) => {
                let exchange = h2::exchange(shared, (&self.worker, &attempt), sent, head, body);
                let (head, body) = Box::pin(exchange).await?;
                (head, BackendBody::H2(body))
            }
        };
        Ok(Response {
            head,
            body,
            connecting,
        })
    }
}

/// The body of a response, whichever way it comes. Boxed, for it is handed on from step to step.
#[derive(Debug)]
pub enum BackendBody<'c> {
    /// By HTTP/1.
    H1(Box<H1Body<'c>>),
    /// By HTTP/2.
    H2(Box<H2Body<'c>>),
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

    fn may_pause(&mut self, pause: Pause) {
        match self {
            Self::H1(body) => body.may_pause(pause),
            Self::H2(body) => body.may_pause(pause),
        }
    }

    fn unseen(&self) -> u64 {
        match self {
            Self::H1(body) => body.unseen(),
            Self::H2(body) => body.unseen(),
        }
    }

    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        pipe: BorrowedFd<'_>,
        most: usize,
    ) -> Poll<Result<Option<usize>, BodyFailure>> {
        match self {
            Self::H1(body) => body.poll_splice(cx, pipe, most),
            Self::H2(body) => body.poll_splice(cx, pipe, most),
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

    fn awaits_client(&self) -> bool {
        match self {
            Self::H1(body) => body.awaits_client(),
            Self::H2(body) => body.awaits_client(),
        }
    }

    fn is_silent(&self) -> bool {
        match self {
            Self::H1(body) => body.is_silent(),
            Self::H2(body) => body.is_silent(),
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
