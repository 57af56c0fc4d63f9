//! From a stream to requests: HTTP towards the client.
//!
//! *What enters*: a connected stream and the [`Handler`] that answers. *What leaves*: requests, one after
//! the other, each with a body that is read while it is used; and on the wire, answers.
//! The connection's deadlines, its limits, keep-alive and the order of its end are decided here.
//!
//! In reading order: [`h1`] (the life of an HTTP/1 connection), `connection` (its socket and what has been
//! read), `patience` (how long it may keep us waiting), `pauses` (how long a call of gRPC may), `request_body` (a body read from it), `delivery` (both
//! directions at once until the answer has gone out), `watch` (whether the client is still there meanwhile),
//! `tunnel` (a connection that has changed its protocol), [`h2`] (the life of an HTTP/2 connection).
//!
//! Deliberately absent: routes, pools, backends, what an answer says.

mod connection;
mod delivery;
pub mod h1;
pub mod h2;
mod patience;
mod pauses;
mod request_body;
mod tunnel;
mod watch;

use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::listener::tls::Session;
use crate::message::Head;
use crate::message::body::{AnswerBody, RequestBody};
use crate::plan::Listener;
use crate::telemetry::Cause;
use crate::worker::Crew;

/// Who is at the other end of a connection, and how it came.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address of the peer; `None` on a Unix socket.
    pub address: Option<IpAddr>,
    /// The address that it came by, the same in all generations.
    pub listener: ListenerKey,
    /// The listener's settings when it came.
    pub accepted_by: Arc<Listener>,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// What is known of the TLS session, if it matters to requests.
    pub session: Option<Rc<Session>>,
}

/// Names the address that a connection was accepted on, across generations and renamings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerKey(pub u32);

/// One request as it came off the wire.
#[derive(Debug)]
pub struct Request<'c> {
    /// Its head, as the client sent it.
    pub head: Head,
    /// Its body.
    pub body: RequestBody<'c>,
    /// Who sent it.
    pub peer: &'c Peer,
    /// When its head was complete.
    pub received: Instant,
}

/// A response on its way to the client.
#[derive(Debug)]
pub struct Answer<B> {
    /// Its head, without the fields that frame a message or manage a connection.
    pub head: Head,
    /// Its body, which says how long it is.
    pub body: B,
    /// Whether the connection is to end behind it, for what is left of its request will not be read.
    pub last: bool,
    /// Set if the connection changes its protocol with this answer, whose body is then one direction of a tunnel.
    pub tunnel: Option<Tunnel>,
    /// How long nothing may move while it is delivered and the client takes what there is; `None` for the listener's
    /// `timeouts.body`.
    pub silence: Option<Duration>,
}

/// A connection that has changed its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// How long it may be silent both ways.
    pub idle: Duration,
    /// Whether what goes through it is a WebSocket.
    pub websocket: bool,
}

/// What a connection is to observe now; asked for anew for each request, so that a reload shows at once.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The listener's settings, by a count that is the worker's own.
    pub listener: Rc<Listener>,
    /// Whether the connection is to end behind its next answer.
    pub closing: bool,
}

/// Answers requests. One for each worker; neither it nor its futures leave the thread.
pub trait Handler: Sized + 'static {
    /// The body of its answers, which may borrow from the connection.
    type Body<'c>: AnswerBody;

    /// Answers a request. Dropping the future cancels the exchange.
    fn handle<'c>(
        self: Rc<Self>,
        request: Request<'c>,
    ) -> impl Future<Output = Answer<Self::Body<'c>>>;

    /// The answer to what is not a request that can be handled: `cause` says why. `head` is what could be
    /// read of it, empty if nothing could.
    fn refuse<'c>(
        self: Rc<Self>,
        cause: Cause,
        head: Head,
        peer: &'c Peer,
        received: Instant,
    ) -> Answer<Self::Body<'c>>;

    /// Who answers the streams of HTTP/2.
    fn streams(&self) -> &Rc<Crew<h2::Opened<Self>>>;

    /// What the connection is to observe now.
    fn terms(&self, peer: &Peer) -> Terms;
}
