//! The life of an HTTP/1 connection: read a head, have it answered, deliver the answer, again.
//!
//! One task for each connection, and within it no second task, channel or wake-up. Between two requests
//! the connection holds no buffer, only its small future; what an exchange needs is boxed while it lasts.

use std::cell::RefCell;
use std::future::{Future, poll_fn, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::{Connection, Input, Wire, limits};
use super::delivery::{self, Outcome};
use super::request_body::RequestReader;
use super::watch::Watch;
use super::{Answer, Handler, Peer, Request, Terms, Tunnel, h2, tunnel};
use crate::h1::write;
use crate::message::body::{AnswerBody, Body, Ending, Interim, RequestBody};
use crate::message::framing::{self, Framing};
use crate::message::head::Version;
use crate::message::{Head, hop_by_hop};
use crate::telemetry::Cause;
use crate::worker::pump::Coding;
use crate::worker::{Buffer, Output, Phase, Pump, Stream, Timer, Worker};

/// Serves a connection until it ends. `early` is what has been read of it before. Dropping the future closes
/// it at once.
pub fn serve<H: Handler>(
    stream: Stream,
    early: Buffer,
    peer: Peer,
    handler: Rc<H>,
    worker: Rc<Worker>,
) -> impl Future<Output = ()> {
    // Made out here: an argument that an async function moves lies twice in its future.
    let wire = RefCell::new(Wire {
        stream,
        output: Output::default(),
    });
    let timer = worker.timer();
    let mut input = Input::from(early);
    async move {
        let mut since = Instant::now();
        let mut terms = handler.terms(&peer);
        let mut nth = 0;
        loop {
            let mut waiting = Waiting {
                timer: &timer,
                worker: &worker,
                terms,
                has_begun: false,
            };
            let now = || handler.terms(&peer);
            let got = next_head(&wire, &mut input, &mut waiting, now, since).await;
            terms = waiting.terms;
            if matches!(got, NextHead::Closed) {
                drop(got);
                return farewell(&wire).await;
            }
            let is_of_other_version =
                matches!(got, NextHead::Refused(Cause::VersionUnsupported, _));
            let may_be_http2 = nth == 0 && !peer.tls && terms.listener.http2;
            if is_of_other_version && may_be_http2 && input.is_http2() {
                // Prior knowledge (RFC 9113 section 3.3). Where there is a handshake, it says what is spoken.
                drop((got, timer));
                let (stream, peer) = (wire.into_inner().stream, Rc::new(peer));
                return Box::pin(h2::serve(stream, input.buffer, peer, handler, worker)).await;
            }
            nth += 1;
            let mut connection = Connection {
                wire: &wire,
                input: &mut input,
                timer: &timer,
                worker: &worker,
                peer: &peer,
                terms,
                nth,
            };
            let next = answer(got, &mut connection, &handler).await;
            match next {
                Next::Again(at) => (since, terms) = (at, connection.terms),
                Next::Break => return,
                Next::Close => return farewell(&wire).await,
                Next::Linger => return linger(&wire, &mut input, &timer, &worker).await,
            }
        }
    }
}

/// Answers a connection that is not served for `cause`, without waiting for what it wants, and ends it.
pub async fn turn_away<H: Handler>(
    stream: Stream,
    early: Buffer,
    peer: Peer,
    cause: Cause,
    handler: Rc<H>,
    worker: Rc<Worker>,
) {
    let wire = RefCell::new(Wire {
        stream,
        output: Output::default(),
    });
    let timer = worker.timer();
    let mut input = Input::from(early);
    let mut connection = Connection {
        wire: &wire,
        input: &mut input,
        timer: &timer,
        worker: &worker,
        peer: &peer,
        terms: handler.terms(&peer),
        nth: 1,
    };
    let head = worker.take_head();
    match refuse(&mut connection, &handler, cause, head).await {
        Next::Break => {}
        Next::Again(_) | Next::Close | Next::Linger => {
            linger(&wire, &mut input, &timer, &worker).await;
        }
    }
}

/// Answers what has come. Boxed while it lasts, the head with it: an idle connection is to be small.
fn answer<'a, H: Handler>(
    got: NextHead,
    connection: &'a mut Connection<'_>,
    handler: &'a Rc<H>,
) -> Pin<Box<dyn Future<Output = Next> + 'a>> {
    match got {
        NextHead::Whole(head) => {
            // Made where it will lie: made first, it would have to be moved there, and it is large.
            let exchange = Box::write(Box::new_uninit(), exchange(connection, handler, head));
            Box::into_pin(exchange)
        }
        NextHead::Closed => Box::pin(ready(Next::Close)),
        NextHead::Refused(cause, head) => Box::pin(refuse(connection, handler, cause, head)),
    }
}

/// What comes after an exchange.
#[derive(Debug)]
enum Next {
    Again(Instant),
    /// Without a word: it is of no more use, or its end must not look like one.
    Break,
    Close,
    Linger,
}

enum NextHead {
    /// A request's, off the input.
    Whole(Head),
    /// The client has nothing more to say, or said nothing in time.
    Closed,
    /// What could be read of one that is not served.
    Refused(Cause, Head),
}

/// A connection that waits for a head.
struct Waiting<'a> {
    timer: &'a Timer,
    worker: &'a Worker,
    /// As they were when it was last looked at.
    terms: Terms,
    /// Whether a byte of the head is there.
    has_begun: bool,
}

/// Waits for a head and reads it, under the terms that hold when it comes. Cancel-safe.
async fn next_head(
    wire: &RefCell<Wire>,
    input: &mut Input,
    waiting: &mut Waiting<'_>,
    now: impl Fn() -> Terms,
    since: Instant,
) -> NextHead {
    waiting
        .timer
        .set(since + waiting.terms.listener.timeouts.idle);
    poll_fn(|cx| {
        loop {
            input.skip_empty_lines();
            if !input.buffer.is_empty() {
                // It may have waited for long: the request counts by what holds now.
                waiting.terms = now();
                if let Some(got) = waiting.read(input) {
                    return Poll::Ready(got);
                }
            }
            let buffers = waiting.worker.buffers();
            let most = limits(&waiting.terms).head_bytes.max(Buffer::SMALL) + SPARE_ROOM;
            if !input.buffer.make_room(buffers, Buffer::SMALL, most) {
                return Poll::Ready(waiting.refuse(Cause::HeadTooLarge));
            }
            match wire.borrow_mut().stream.poll_read(cx, &mut input.buffer) {
                Poll::Ready(Ok(0) | Err(_)) => {
                    // Given back: memory for the next connection would have to be cleared first.
                    buffers.take_back(&mut input.buffer);
                    return Poll::Ready(NextHead::Closed);
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    if input.buffer.is_empty() {
                        buffers.take_back(&mut input.buffer);
                    }
                    return waiting.poll(cx);
                }
            }
        }
    })
    .await
}

impl Waiting<'_> {
    /// Reads the head that the input begins with, if all of it is there.
    fn read(&mut self, input: &mut Input) -> Option<NextHead> {
        let mut head = self.worker.take_head();
        match input.take_head(&limits(&self.terms), &mut head) {
            Ok(true) => return Some(NextHead::Whole(head)),
            Err(cause) => return Some(NextHead::Refused(cause, head)),
            Ok(false) => self.worker.give_head(head),
        }
        if !self.has_begun {
            self.has_begun = true;
            let most = self.terms.listener.timeouts.header;
            self.timer.set(Instant::now() + most);
        }
        None
    }

    fn refuse(&self, cause: Cause) -> NextHead {
        NextHead::Refused(cause, self.worker.take_head())
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<NextHead> {
        let Self { timer, worker, .. } = self;
        if !self.has_begun && worker.phase() == Phase::Draining {
            // A request may be on its way: closing now would lose it.
            let until = worker.idle_grace_until().unwrap_or_else(Instant::now);
            timer.set(until.min(Instant::now() + self.terms.listener.timeouts.idle));
        }
        timer.poll_expired(cx).map(|()| {
            if self.has_begun {
                self.refuse(Cause::HeaderTimeout)
            } else {
                NextHead::Closed
            }
        })
    }
}

/// One exchange: the request is answered, and the answer delivered.
async fn exchange<H: Handler>(
    connection: &mut Connection<'_>,
    handler: &Rc<H>,
    head: Head,
) -> Next {
    let received = Instant::now();
    connection.prepare_output();
    let Ok(framing) = framing::request_framing(&head) else {
        // Boxed, as below: most requests are not refused, and have no use for the room.
        let cause = Cause::BadRequest;
        return Box::pin(refuse_with(connection, handler, cause, head, received)).await;
    };
    if connection.input.buffer.is_empty() {
        // A backend may take its time: what waits for it holds no memory that is of no use.
        let buffers = connection.worker.buffers();
        buffers.take_back(&mut connection.input.buffer);
    }
    let keep_alive = hop_by_hop::keep_alive(&head);
    let mut way = way(connection, head.version());
    way.keep_alive = keep_alive && !connection.is_last();
    let interim = Informer {
        wire: way.wire,
        version: way.version,
    };
    let (peer, worker) = (connection.peer, connection.worker);
    way.timer.clear();
    if too_large(framing, &connection.terms) {
        let cause = Cause::BodyTooLarge;
        return Box::pin(refuse_with(connection, handler, cause, head, received)).await;
    }
    let outcome = {
        let mut reader = RequestReader::new(connection, framing);
        // A request that asks for another protocol may have the rest of the connection for its body.
        let has_body = framing != Framing::None || hop_by_hop::upgrade(&head).is_some();
        let source = has_body.then_some(&mut reader as &mut dyn Body);
        let request = Request {
            head,
            body: RequestBody::new(source, Some(&interim)),
            peer,
            received,
        };
        let answered = {
            // Pinned here: handed over by value it would lie twice in this future. It ends here, so that the delivery
            // has its room.
            let answering = pin!(Rc::clone(handler).handle(request));
            answered_or_gone(&way, worker, answering).await
        };
        let Some(mut answer) = answered else {
            return Next::Break;
        };
        way.keep_alive &= !(handler.terms(peer).closing || worker.phase() == Phase::Draining);
        match answer.tunnel {
            // Boxed: few connections ever become one.
            Some(tunnel) => Box::pin(carry(way, answer, tunnel, worker)).await,
            None => delivery::deliver(way, &mut answer, worker).await,
        }
    };
    match outcome {
        // It may have sent its next request before it was told.
        Outcome::Close if keep_alive => Next::Linger,
        outcome => after(connection, outcome),
    }
}

/// Says that the protocol changes, and carries what follows.
async fn carry<B: AnswerBody>(
    way: delivery::Way<'_>,
    answer: Answer<B>,
    tunnel: Tunnel,
    worker: &Worker,
) -> Outcome {
    let Answer { head, body, .. } = answer;
    write::interim_head(&head, way.wire.borrow_mut().output.append());
    worker.give_head(head);
    let client = tunnel::Connection {
        wire: way.wire,
        pump: Pump::new(Coding::UntilClose),
    };
    let bounds = tunnel::Bounds {
        tunnel,
        timer: way.timer,
        half: way.body_timeout,
        worker,
    };
    match tunnel::carry(client, body, bounds).await {
        Ending::Delivered => Outcome::Close,
        Ending::ClientGone
        | Ending::ClientStalled
        | Ending::SourceFailed(_)
        | Ending::UploadFailed(_) => Outcome::Broken,
    }
}

/// Polls the handler and watches the client: one that is gone needs no answer.
///
/// A FIN behind a whole request is no farewell (RFC 9112 section 9.6), unless the listener takes it for one: the answer
/// still goes out.
async fn answered_or_gone<B>(
    way: &delivery::Way<'_>,
    worker: &Worker,
    mut answer: Pin<&mut impl Future<Output = Answer<B>>>,
) -> Option<Answer<B>> {
    let mut watch = Watch::new(worker, way.end_is_gone);
    poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        let mut wire = way.wire.borrow_mut();
        let Wire { stream, output } = &mut *wire;
        if !output.is_empty() {
            // An interim response that did not go out at once. A failure shows as a client that is gone.
            let _ = output.poll_flush(stream, cx);
        }
        watch.poll_gone(stream, cx).map(|()| None)
    })
    .await
}

fn after(connection: &mut Connection<'_>, outcome: Outcome) -> Next {
    match outcome {
        Outcome::Clean(at) => {
            let buffers = connection.worker.buffers();
            connection.wire.borrow_mut().output.release(buffers);
            Next::Again(at)
        }
        Outcome::Close
            if connection.input.buffer.is_empty()
                && connection.wire.borrow_mut().stream.is_quiet() =>
        {
            Next::Close
        }
        Outcome::Close | Outcome::Linger => Next::Linger,
        Outcome::Broken => Next::Break,
    }
}

async fn refuse<H: Handler>(
    connection: &mut Connection<'_>,
    handler: &Rc<H>,
    cause: Cause,
    head: Head,
) -> Next {
    connection.prepare_output();
    refuse_with(connection, handler, cause, head, Instant::now()).await
}

/// Answers what cannot be handled, and ends the connection: where its next request begins is unknown.
async fn refuse_with<H: Handler>(
    connection: &mut Connection<'_>,
    handler: &Rc<H>,
    cause: Cause,
    head: Head,
    received: Instant,
) -> Next {
    let version = head.version();
    let mut answer = Rc::clone(handler).refuse(cause, head, connection.peer, received);
    let way = way(connection, version);
    match delivery::deliver(way, &mut answer, connection.worker).await {
        Outcome::Broken => Next::Break,
        Outcome::Clean(_) | Outcome::Close | Outcome::Linger => Next::Linger,
    }
}

/// The way to the client of a request, of whose connection it is the last.
fn way<'a>(connection: &Connection<'a>, version: Version) -> delivery::Way<'a> {
    let listener = &connection.terms.listener;
    delivery::Way {
        wire: connection.wire,
        timer: connection.timer,
        body_timeout: listener.timeouts.body,
        patience: connection.patience(),
        version,
        keep_alive: false,
        end_is_gone: listener.abort_on_close,
    }
}

/// Tells a TLS client that this is the end and no cut: without that, a body that lasts until the end of the
/// connection is an incomplete one (RFC 9112 section 9.8). What does not go out at once is not waited for.
async fn farewell(wire: &RefCell<Wire>) {
    poll_fn(|cx| {
        let stream = &mut wire.borrow_mut().stream;
        if matches!(stream, Stream::Tls(_)) {
            let _ = stream.poll_shutdown(cx);
        }
        Poll::Ready(())
    })
    .await;
}

/// Ends our side and reads on for a while: closing a socket with unread bytes would reset the connection,
/// and the reset may overtake the answer (RFC 9112 section 9.6).
async fn linger(wire: &RefCell<Wire>, input: &mut Input, timer: &Timer, worker: &Worker) {
    timer.set(Instant::now() + LINGER);
    let mut shut = false;
    let mut left = LINGER_BYTES;
    poll_fn(|cx| {
        let mut wire = wire.borrow_mut();
        if !shut {
            shut = wire.stream.poll_shutdown(cx).is_ready();
        }
        loop {
            left = left.saturating_sub(input.buffer.bytes().len());
            worker.buffers().take_back(&mut input.buffer);
            if left == 0
                || !input
                    .buffer
                    .make_room(worker.buffers(), Buffer::SMALL, Buffer::SMALL)
            {
                return Poll::Ready(());
            }
            match wire.stream.poll_read(cx, &mut input.buffer) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => break,
            }
        }
        worker.buffers().take_back(&mut input.buffer);
        timer.poll_expired(cx)
    })
    .await;
    worker.buffers().take_back(&mut input.buffer);
}

/// Takes interim responses to the client of the request that is being handled.
struct Informer<'a> {
    wire: &'a RefCell<Wire>,
    version: Version,
}

impl Interim for Informer<'_> {
    fn inform(&self, head: &Head, cx: &mut Context<'_>) {
        if self.version < Version::Http11 {
            return;
        }
        let mut wire = self.wire.borrow_mut();
        let Wire { stream, output } = &mut *wire;
        if output.len() > MOST_INTERIM {
            // A client that does not read gets none, rather than all of them later.
            return;
        }
        write::interim_head(head, output.append());
        // What does not go out now goes before the answer; a failure shows there.
        let _ = output.poll_flush(stream, cx);
    }
}

/// Whether the length that the head announces is over the limit.
fn too_large(framing: Framing, terms: &Terms) -> bool {
    let most = terms.listener.limits.body_bytes;
    matches!(framing, Framing::Length(length) if most > 0 && length > most)
}

/// Room behind the largest head allowed, so that one byte too many can be seen.
const SPARE_ROOM: usize = 1;

/// Bytes that may wait for the client before an interim response is left out.
const MOST_INTERIM: usize = 16 * 1024;

/// How long and for how many bytes a closed connection is read on.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;
