//! One stream: its request is read and has an answer made.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use ::h2::RecvStream;
use ::h2::server::SendResponse;
use bytes::Bytes;
use tokio::time::Instant;

use super::{Opened, delivery, tunnel};
use crate::h2::{self, HeadError};
use crate::message::Head;
use crate::message::body::{Body, BodyFailure, Interim, Length, Pause, Piece, RequestBody};
use crate::message::head::Version;
use crate::server::patience::Patience;
use crate::server::pauses::Pauses;
use crate::server::{Answer, Handler, Request, Terms};
use crate::telemetry::Cause;
use crate::worker::crew::Hand;
use crate::worker::h2::Content;
use crate::worker::{Timer, Worker};

type Respond = RefCell<SendResponse<Bytes>>;

/// Answers one stream after another.
pub(super) async fn answer_all<H: Handler>(hand: Hand<Opened<H>>) {
    while let Some(opened) = hand.next().await {
        answer(opened).await;
    }
}

/// Has a request answered, and delivers the answer. The stream counts as open until then.
async fn answer<H: Handler>(opened: Opened<H>) {
    let received = Instant::now();
    let Opened {
        request,
        respond,
        counted,
    } = opened;
    let common = &*counted.0;
    let (handler, worker, peer) = (&common.handler, &common.worker, &*common.peer);
    let terms = handler.terms(peer);
    let respond = Respond::new(respond);
    let (parts, content) = request.into_parts();
    let mut head = worker.take_head();
    let length = match read_head(&parts, content.is_end_stream(), &terms, &mut head) {
        Ok(length) => length,
        Err(cause) => {
            let answer = Rc::clone(handler).refuse(cause, head, peer, received);
            let delivering = delivery::deliver(&respond, answer, common, &terms);
            // Boxed: few requests are refused, and the others have no use for the room.
            let ended = Box::pin(delivering).await;
            return common.note_end(ended, received);
        }
    };
    let key = tunnel::ask(&parts, &mut head, worker);
    drop(parts);
    let has_body = key.is_some() || !matches!(length, Length::Absent { .. });
    let mut reader = has_body.then(|| Reader::new(content, length, worker, &terms));
    if let (Some(_), Some(reader)) = (&key, &mut reader) {
        reader.hold_back();
    }
    let informer = Informer {
        respond: &respond,
        heads: Cell::new(0),
        bytes: Cell::new(0),
    };
    let source = reader.as_mut().map(|reader| reader as &mut dyn Body);
    let request = Request {
        head,
        body: RequestBody::new(source, Some(&informer)),
        peer,
        received,
    };
    let answered = {
        let answering = pin!(Rc::clone(handler).handle(request));
        answered_or_taken_back(&respond, answering).await
    };
    let ended = match answered {
        Some(answer) if answer.tunnel.is_some() => {
            Box::pin(tunnel::carry(&respond, answer, key, (worker, &terms))).await
        }
        Some(answer) => delivery::deliver(&respond, answer, common, &terms).await,
        None => delivery::Outcome::TakenBack,
    };
    common.note_end(ended, received);
}

/// Understands the head; says how long the body is.
fn read_head(
    parts: &http::request::Parts,
    ended: bool,
    terms: &Terms,
    head: &mut Head,
) -> Result<Length, Cause> {
    let limits = &terms.listener.limits;
    h2::request::read(parts, limits.headers, head).map_err(|error| match error {
        HeadError::TooManyFields => Cause::HeadTooLarge,
        HeadError::Authority
        | HeadError::ConnectionField
        | HeadError::Field
        | HeadError::Path
        | HeadError::Scheme => Cause::BadRequest,
    })?;
    if section_size(parts) > limits.header_bytes {
        return Err(Cause::HeadTooLarge);
    }
    let length = h2::request::length(head, ended).map_err(|_| Cause::BadRequest)?;
    match length {
        Length::Exact(length) if limits.body_bytes > 0 && length > limits.body_bytes => {
            Err(Cause::BodyTooLarge)
        }
        length => Ok(length),
    }
}

/// What a field section counts for (RFC 9113 section 6.5.2), but for the shortest of its lines.
fn section_size(parts: &http::request::Parts) -> usize {
    let path = parts.uri.path_and_query();
    let fields = parts.headers.iter();
    fields
        .map(|(name, value)| name.as_str().len() + value.len() + EACH)
        .sum::<usize>()
        + path.map_or(0, |path| path.as_str().len())
}

/// Polls the handler and watches the client: a request that is taken back needs no answer.
async fn answered_or_taken_back<B>(
    respond: &Respond,
    mut answer: Pin<&mut impl Future<Output = Answer<B>>>,
) -> Option<Answer<B>> {
    poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        respond.borrow_mut().poll_reset(cx).map(|_| None)
    })
    .await
}

/// A request's body: bounded in time and size.
struct Reader {
    content: Content,
    timer: Timer,
    patience: Patience,
    /// Of a call of gRPC.
    pauses: Option<Pauses>,
    /// Bytes of content that may still come; `None` for no limit.
    allowance: Option<u64>,
    way: Way,
}

/// What is read of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A body.
    Body,
    /// Nothing yet: it is to become a tunnel.
    HeldBack,
    /// All of it, unbounded.
    Tunnel,
}

impl Reader {
    fn new(content: RecvStream, length: Length, worker: &Worker, terms: &Terms) -> Self {
        let limits = &terms.listener.limits;
        Self {
            content: Content::new(content, length, limits.headers),
            timer: worker.timer(),
            patience: Patience::of(&terms.listener),
            pauses: None,
            allowance: (limits.body_bytes > 0).then_some(limits.body_bytes),
            way: Way::Body,
        }
    }

    /// Has it read nothing, as if there were no body, until it is opened.
    fn hold_back(&mut self) {
        self.way = Way::HeldBack;
        self.allowance = None;
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<BodyFailure> {
        if let Some(pauses) = &mut self.pauses
            && let Some(polled) = pauses.poll_wait(cx, &self.timer)
        {
            return polled.map(|()| BodyFailure::TimedOut);
        }
        if !self.patience.is_waiting() {
            self.timer.set(self.patience.wait(Instant::now()));
        }
        let expired = self.timer.poll_expired(cx);
        expired.map(|()| self.patience.failure())
    }
}

impl Body for Reader {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece<'_>>, BodyFailure>> {
        match self.way {
            Way::Body => {}
            Way::HeldBack => return Poll::Ready(Ok(None)),
            Way::Tunnel => return self.content.poll_piece(cx),
        }
        match self.content.poll_piece(cx) {
            Poll::Pending => return self.poll_stall(cx).map(Err),
            // Said once only.
            Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
            Poll::Ready(Ok(_)) => {}
        }
        let at_hand = self.content.at_hand().len() as u64;
        if self.patience.is_waiting() {
            self.patience.end_wait(Instant::now());
        }
        if let Some(pauses) = &mut self.pauses {
            pauses.end_wait();
        }
        if self.allowance.is_some_and(|allowance| at_hand > allowance) {
            return Poll::Ready(Err(BodyFailure::TooLarge));
        }
        // The same answer once more: it could not be kept across the look at its length.
        self.content.poll_piece(cx)
    }

    fn consume(&mut self, n: usize) {
        if let Some(pauses) = &mut self.pauses {
            pauses.follow(&self.content.at_hand()[..n]);
        }
        self.content.consume(n);
        self.patience.moved(n as u64);
        if let Some(allowance) = &mut self.allowance {
            *allowance = allowance.saturating_sub(n as u64);
        }
    }

    fn length(&self) -> Length {
        match self.way {
            Way::Body => self.content.length(),
            Way::HeldBack | Way::Tunnel => Length::Absent { announced: None },
        }
    }

    fn open(&mut self) {
        self.way = Way::Tunnel;
    }

    fn may_pause(&mut self, pause: Pause) {
        match (pause, &mut self.pauses) {
            (Pause::Never, pauses) => *pauses = None,
            (pause, Some(pauses)) => pauses.change(pause),
            (pause, pauses) => *pauses = Some(Pauses::new(pause)),
        }
    }
}

/// Takes interim responses to the client of the request that is being handled.
struct Informer<'a> {
    respond: &'a Respond,
    /// What has been taken, all in all.
    heads: Cell<usize>,
    bytes: Cell<usize>,
}

impl Interim for Informer<'_> {
    fn inform(&self, head: &Head, _: &mut Context<'_>) {
        debug_assert!(head.version() <= Version::Http2);
        let fields = head.fields();
        let size: usize = fields
            .map(|field| field.name.len() + field.value.len() + EACH)
            .sum();
        let (heads, bytes) = (self.heads.get() + 1, self.bytes.get() + size);
        if heads > MOST_INTERIM || bytes > MOST_INTERIM_BYTES {
            // They wait in the library, which no window bounds: a client can do without the rest.
            return;
        }
        self.heads.set(heads);
        self.bytes.set(bytes);
        let response = h2::response::write(head, Length::Unknown);
        // A failure shows as a request that is taken back.
        let _ = self.respond.borrow_mut().send_informational(response);
    }
}

/// What a line of a field section counts for beyond its name and value (RFC 9113 section 6.5.2).
const EACH: usize = 32;

/// Interim responses that a client gets for one request, and the bytes of all of them.
const MOST_INTERIM: usize = 100;
const MOST_INTERIM_BYTES: usize = 16 * 1024;
