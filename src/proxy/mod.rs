//! The data path: one request, from its head to the last byte of its answer.
//!
//! *What enters*: a request off the wire (from `server`). *What leaves*: an answer whose body carries the
//! claim on its backend, the rest of the upload, and the record of the exchange.
//!
//! [`Proxy::handle`] reads as the table of contents; the files in the order of the way: [`exchange`] (one
//! request and all that is known of it), [`admit`] (is it a request we take, and for whom), [`answer`] (routes
//! that answer by themselves), [`affinity`] (what the strategy wants to know), [`request`] (the head that the
//! backend sees), with [`path`], [`rewrite`] and [`headers`], [`retry`] (pick, send, perhaps again) with [`course`] (what may be due), [`hedge`] (two at once) and [`queue`] (waiting for a place), [`response`] (the head
//! that the client sees), [`trace`] (which goes on, or begins) with [`spans`](mod@spans) (where it is recorded), [`stream`] (the body that carries it all), [`pauses`] (whose streams may be silent), [`failure`] (three questions to whatever
//! went wrong), [`reply`] (failures become responses here and nowhere else) with [`pages`] and [`grpc`], [`record`] (once, at
//! the end), [`decision`] (what was decided, for whoever asks). What templates are filled with is in [`values`].
//!
//! Deliberately absent: sockets, configuration, signals; which member is picked (`strategy`).

mod admit;
mod affinity;
mod answer;
mod course;
mod decision;
mod exchange;
mod failure;
mod grpc;
mod headers;
mod hedge;
mod pages;
mod path;
mod pauses;
mod queue;
mod record;
mod reply;
mod request;
mod response;
mod retry;
mod rewrite;
#[cfg(feature = "otel")]
mod spans;
#[cfg(not(feature = "otel"))]
#[path = "no_spans.rs"]
mod spans;
mod stream;
mod trace;
mod upgrade;
mod values;

#[cfg(test)]
mod tests;

use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use ahash::RandomState;
use tokio::time::Instant;

pub use failure::{Failure, Replay, Side, status};
pub use grpc::code as grpc_code;
pub use stream::Outgoing;

use crate::message::{Head, Name};
use crate::plan::Listener;
use crate::server::{Answer, Handler, ListenerKey, Peer, Request, Terms, h2};
use crate::snapshot::{Reader, View};
use crate::strategy::Opened;
use crate::telemetry::{AccessLog, Cause};
use crate::upstream::{Response, Transport};
use crate::worker::{Crew, Worker};

use exchange::Exchange;

/// Answers the requests of one worker.
#[derive(Debug)]
pub struct Proxy<T> {
    worker: Rc<Worker>,
    reader: Reader,
    transport: T,
    log: Rc<RefCell<AccessLog>>,
    listeners: RefCell<HashMap<ListenerKey, Known, RandomState>>,
    opened: RefCell<Opened>,
    streams: Rc<Crew<h2::Opened<Self>>>,
    /// Where spans go.
    spans: spans::Outlet,
}

/// A listener's address as connections know it, and where it stands in the generation seen last.
#[derive(Debug)]
struct Known {
    listener: Arc<Listener>,
    /// The same, for the requests: by a count that is the worker's own.
    settings: Rc<Listener>,
    /// Its index in the plan of `generation`; `None` once it is no longer there.
    index: Option<usize>,
    generation: u64,
}

impl Known {
    fn new(listener: &Arc<Listener>) -> Self {
        Self {
            settings: Rc::new(Listener::clone(listener)),
            listener: Arc::clone(listener),
            index: None,
            generation: 0,
        }
    }
}

impl<T: Transport> Proxy<T> {
    /// A proxy that sees generations through `reader`.
    pub fn new(
        worker: Rc<Worker>,
        reader: Reader,
        transport: T,
        log: Rc<RefCell<AccessLog>>,
    ) -> Self {
        Self {
            worker,
            reader,
            transport,
            log,
            listeners: RefCell::default(),
            opened: RefCell::default(),
            streams: Rc::default(),
            spans: spans::Outlet::default(),
        }
    }

    /// The same, which hands the spans of sampled traces over.
    #[cfg(feature = "otel")]
    #[must_use]
    pub fn with_spans(mut self, outlet: crate::otel::Outlet) -> Self {
        self.spans = Some(outlet);
        self
    }

    /// The way to the backends.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// The generation of now.
    pub fn view(&self) -> View {
        self.reader.view()
    }

    /// The settings of a listener now; those of its last generation once it is gone. `first` are those it
    /// had when the connection, or the socket, was made.
    pub fn listener_now(&self, key: ListenerKey, first: &Arc<Listener>) -> Arc<Listener> {
        let known = self.known(&self.reader.view(), key, first);
        Arc::clone(&known.listener)
    }

    /// Forgets a listener that is gone and has no connection left.
    pub fn forget_listener(&self, key: ListenerKey) {
        self.listeners.borrow_mut().remove(&key);
    }

    /// A listener as it is in `view`.
    fn known(&self, view: &View, key: ListenerKey, first: &Arc<Listener>) -> RefMut<'_, Known> {
        let listeners = self.listeners.borrow_mut();
        let mut known = RefMut::map(listeners, |listeners| {
            listeners.entry(key).or_insert_with(|| Known::new(first))
        });
        if known.generation != view.generation {
            known.generation = view.generation;
            let listeners = &view.plan.listeners;
            let index = listeners
                .iter()
                .position(|listener| listener.shares_sockets(&known.listener));
            if let Some(index) = index {
                *known = Known::new(&listeners[index]);
                known.generation = view.generation;
            }
            known.index = index;
        }
        known
    }

    async fn exchange<'c>(
        &self,
        request: &mut Incoming<'c>,
        x: &mut Exchange,
    ) -> Result<Reached<T::Body<'c>>, Failure> {
        let view = x.view.clone();
        let admitted = admit::admit(request, x)?;
        let admitted = request.admitted.insert(admitted);
        let route = admit::route(&request.head, admitted, &view, x)?;
        if admitted.ends_here {
            let own = answer::options(&request.head, admitted, x);
            return Ok(Reached::Route(own));
        }
        let by_connect = upgrade::is_by_connect(&request.head);
        let Some(pool) = route.pool() else {
            let own = answer::make(route, &request.head, admitted, x)?;
            if by_connect && upgrade::is_false_grant(own.status()) {
                return Err(Failure::before(Cause::MethodNotAllowed));
            }
            return Ok(Reached::Route(own));
        };
        x.pool = Some(pool);
        let pool = &*view.pools[pool];
        let inputs = affinity::extract(admitted, &request.head, (pool, &self.opened), x);
        if let Some(body) = &mut request.body {
            pauses::allow(&request.head, body, pool);
        }
        let body = request.body.as_ref();
        let protocol = upgrade::wanted(&request.head, body, pool, &route.upgrade);
        request::shape(&mut request.head, request.peer, admitted, &inputs, pool, x);
        if let Some(protocol) = protocol {
            upgrade::say(&protocol, &mut request.head);
        }
        rewrite::apply(route, request, x)?;
        let (mut response, slot) = retry::until_answered(self, pool, &inputs, request, x).await?;
        if by_connect && upgrade::is_false_grant(response.head.status()) {
            return Err(retry::no_answer(pool, x));
        }
        response::shape(&mut response.head, request, pool, slot, &inputs, x);
        Ok(Reached::Backend(response))
    }
}

/// What has an answer.
enum Reached<B> {
    /// A backend of the route's pool.
    Backend(Response<B>),
    /// The route itself.
    Route(answer::Own),
}

/// A request on its way through the spine.
struct Incoming<'c> {
    head: Head,
    /// Away while an attempt has it.
    body: Option<crate::message::body::RequestBody<'c>>,
    peer: &'c Peer,
    /// Whom it is for, once that is known.
    admitted: Option<admit::Admitted>,
}

impl<T: Transport> Handler for Proxy<T> {
    type Body<'c> = Outgoing<'c, T::Body<'c>>;

    async fn handle<'c>(self: Rc<Self>, request: Request<'c>) -> Answer<Self::Body<'c>> {
        let Request {
            head,
            body,
            peer,
            received,
        } = request;
        let mut x = self.open(peer, received);
        let mut incoming = Incoming {
            head,
            body: Some(body),
            peer,
            admitted: None,
        };
        if incoming.head.may_have(Name::ForecourtExplain) {
            decision::ask(&mut incoming.head, &mut x);
        }
        x.begin(&incoming.head, peer, &self.spans);
        let answer = match self.exchange(&mut incoming, &mut x).await {
            Ok(Reached::Backend(response)) => Outgoing::relay(response.head, response.body, x),
            Ok(Reached::Route(own)) => own.answer(&incoming.head, incoming.body.take(), x),
            Err(failure) => {
                let asked = (&incoming.head, incoming.admitted.as_ref());
                reply::reply(failure.cause, asked, incoming.body.take(), x)
            }
        };
        self.worker.give_head(incoming.head);
        answer
    }

    fn refuse<'c>(
        self: Rc<Self>,
        cause: Cause,
        mut head: Head,
        peer: &'c Peer,
        received: Instant,
    ) -> Answer<Self::Body<'c>> {
        let mut x = self.open(peer, received);
        if head.may_have(Name::ForecourtExplain) {
            decision::ask(&mut head, &mut x);
        }
        x.begin(&head, peer, &self.spans);
        let answer = reply::reply(cause, (&head, None), None, x);
        self.worker.give_head(head);
        answer
    }

    fn streams(&self) -> &Rc<Crew<h2::Opened<Self>>> {
        &self.streams
    }

    fn terms(&self, peer: &Peer) -> Terms {
        let view = self.reader.view();
        let known = self.known(&view, peer.listener, &peer.accepted_by);
        Terms {
            listener: Rc::clone(&known.settings),
            closing: known.index.is_none(),
        }
    }
}

impl<T: Transport> Proxy<T> {
    fn open(&self, peer: &Peer, received: Instant) -> Box<Exchange> {
        let view = self.reader.view();
        let known = self.known(&view, peer.listener, &peer.accepted_by);
        let (listener, index) = (Rc::clone(&known.settings), known.index);
        drop(known);
        Exchange::open(view, &self.worker, &self.log, listener, index, received)
    }
}
