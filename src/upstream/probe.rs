//! One check of one backend, over a connection of its own.
//!
//! It goes the way of a request: the same connecting, the same TLS, the same engines of HTTP/1.1 and HTTP/2, and a
//! descriptor out of the same budget; so what a check finds is what a request would find. It takes none of the pool's
//! connections and leaves none behind, and counts in nobody's figures: the backend that it is made with is one for this
//! check alone.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::time::{Instant, timeout};

use super::{Attempt, BackendBody, Response, Reuse, Transport, Upstream};
use crate::backend::{Address, Backend, BackendMeters, Secure};
use crate::health::{Check, HttpCheck, Policy, grpc};
use crate::message::body::{Body, BodyFailure, Length, Piece, RequestBody};
use crate::message::head::Version;
use crate::message::{FieldCase, Head, Name, grpc as calls};
use crate::plan::pool::{PoolTimeouts, Protocol};
use crate::telemetry::{Cause, WorkerId};
use crate::worker::{Descriptors, Worker};

/// Whom to check, and how.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Whom.
    pub backend: Arc<Backend>,
    /// What is asked, and for how long.
    pub policy: Arc<Policy>,
    /// What is spoken with it.
    pub protocol: Protocol,
    /// TLS with it, if it is spoken.
    pub secure: Option<Arc<Secure>>,
    /// In which case it wants field names.
    pub case: FieldCase,
}

/// Checks a backend once.
///
/// # Errors
/// Says what a request would have failed by, or [`Cause::BadStatus`] or [`Cause::BadBody`] if it was answered, but not as
/// expected; after [`Policy::timeout`], all in all, which phase ran out of it. [`Cause::DescriptorsExhausted`]
/// says nothing of the backend. Cancel-safe: dropping the future closes the connection.
pub async fn check(
    subject: &Subject,
    worker: &Rc<Worker>,
    descriptors: &Arc<Descriptors>,
) -> Result<(), Cause> {
    let key = subject.backend.key().clone();
    let meters = Arc::new(BackendMeters::new(worker.id().0 + 1));
    let backend = Backend::new(key, subject.backend.number(), meters);
    let probe = Probe {
        subject,
        backend,
        upstream: Upstream::new(Rc::clone(worker), (0, 1), Arc::clone(descriptors)),
        worker,
        heard: Cell::new(false),
    };
    let mut checking = pin!(probe.check());
    let checked = timeout(subject.policy.timeout, checking.as_mut()).await;
    // Asked while what it waits for is still there.
    let checked = checked.unwrap_or_else(|_| Err(probe.phase()));
    // A connection of HTTP/2 would live until it is found idle.
    probe.upstream.lines.sweep(|_| false);
    checked
}

struct Probe<'a> {
    subject: &'a Subject,
    /// The same as the subject's, with figures that nobody reads.
    backend: Arc<Backend>,
    upstream: Upstream,
    worker: &'a Rc<Worker>,
    /// Whether the answer's head has come.
    heard: Cell<bool>,
}

impl Probe<'_> {
    async fn check(&self) -> Result<(), Cause> {
        match &self.subject.policy.check {
            Check::Tcp => self.connect().await,
            Check::Http(http) => self.ask(http).await,
            Check::Grpc { service, host } => self.call(service, host.as_deref()).await,
        }
    }

    async fn connect(&self) -> Result<(), Cause> {
        let timer = self.worker.timer();
        timer.set(Instant::now() + self.subject.policy.timeout);
        let attempt = self.attempt();
        let whose = (attempt.backend, attempt.secure);
        let both = self.upstream.dialler.dial(whose, false, &timer).await;
        let (mut stream, descriptor) = both?;
        stream.say_goodbye();
        drop(stream);
        drop(descriptor);
        Ok(())
    }

    async fn ask(&self, http: &HttpCheck) -> Result<(), Cause> {
        let mut head = self.head(http.method.as_str(), &http.path, http.host.as_deref());
        head.push(b"accept", b"*/*");
        if self.subject.protocol == Protocol::Http1 {
            head.push(b"connection", b"close");
        }
        let response = self
            .send(self.attempt(), head, RequestBody::default())
            .await?;
        let Response { head, body, .. } = response;
        if !http.expected.has(head.status()) {
            return Err(Cause::BadStatus);
        }
        match &http.body {
            Some(wanted) => find(body, wanted.as_bytes()).await,
            None => Ok(()),
        }
    }

    async fn call(&self, service: &str, host: Option<&str>) -> Result<(), Cause> {
        let mut head = self.head("POST", grpc::PATH, host);
        head.push(b"content-type", calls::CONTENT_TYPE);
        head.push(b"te", b"trailers");
        let patience = self.subject.policy.timeout.as_millis().min(99_999_999);
        head.push(b"grpc-timeout", format!("{patience}m").as_bytes());
        let mut attempt = self.attempt();
        if attempt.protocol == Protocol::Auto {
            // Calls are made by HTTP/2 alone: one that agrees to less cannot answer any.
            attempt.protocol = Protocol::H2;
        }
        let mut question = Question(grpc::question(service).into());
        let body = RequestBody::new(Some(&mut question), None);
        let Response { head, body, .. } = self.send(attempt, head, body).await?;
        if head.status() != 200 || !head.first(Name::ContentType).is_some_and(calls::is_type) {
            return Err(Cause::BadStatus);
        }
        let (content, ended_well) = answer(body).await?;
        if ended_well && grpc::is_serving(&content) {
            Ok(())
        } else {
            Err(Cause::BadStatus)
        }
    }

    async fn send<'c>(
        &self,
        attempt: Attempt<'_>,
        head: Head,
        body: RequestBody<'c>,
    ) -> Result<Response<BackendBody<'c>>, Cause> {
        let sent = self.upstream.send(attempt, &head, body).await;
        self.worker.give_head(head);
        let response = sent.map_err(|(error, _)| error.cause)?;
        self.heard.set(true);
        Ok(response)
    }

    fn head(&self, method: &str, path: &str, host: Option<&str>) -> Head {
        let mut head = self.worker.take_head();
        head.set_request(method.as_bytes(), path.as_bytes(), Version::Http11);
        match (host, self.backend.address()) {
            (Some(host), _) => head.push(b"host", host.as_bytes()),
            (None, Address::Tcp(address)) => head.push(b"host", address.to_string().as_bytes()),
            (None, Address::Unix(_)) => head.push(b"host", b"localhost"),
        }
        head.push(b"user-agent", USER_AGENT.as_bytes());
        head
    }

    fn attempt(&self) -> Attempt<'_> {
        let patience = self.subject.policy.timeout;
        Attempt {
            backend: &self.backend,
            timeouts: PoolTimeouts {
                connect: patience,
                response: patience,
                idle: Duration::ZERO,
                tunnel: patience,
            },
            protocol: self.subject.protocol,
            secure: self.subject.secure.as_ref(),
            case: self.subject.case,
            reuse: Reuse::Never,
            begun: Instant::now(),
        }
    }

    /// What a check waits for that has run out of time.
    fn phase(&self) -> Cause {
        let cells = self.backend.meters().at(self.worker.id());
        let connected = cells.connections_active.get() + cells.connections_idle.get() > 0;
        match (self.heard.get(), connected) {
            (true, _) => Cause::BodyTimeout,
            (false, true) => Cause::ResponseTimeout,
            (false, false) => Cause::ConnectTimeout,
        }
    }
}

/// Looks for a text in the first bytes of a body.
async fn find(mut body: BackendBody<'_>, wanted: &[u8]) -> Result<(), Cause> {
    let mut seen = Vec::new();
    loop {
        let before = seen.len();
        if !more(&mut body, &mut seen, BODY_MOST, &mut |_| {}).await? {
            return Err(Cause::BadBody);
        }
        // What has been looked through is not looked through again.
        let from = before.saturating_sub(wanted.len());
        if memchr::memmem::find(&seen[from..], wanted).is_some() {
            return Ok(());
        }
        if seen.len() >= BODY_MOST {
            return Err(Cause::BadBody);
        }
    }
}

/// The content of an answer of gRPC, and whether its trailers say that all went well.
async fn answer(mut body: BackendBody<'_>) -> Result<(Vec<u8>, bool), Cause> {
    let mut content = Vec::new();
    let mut ended_well = false;
    let mut look = |trailers: &Head| {
        ended_well = trailers.first_named(b"grpc-status") == Some(b"0");
    };
    while content.len() < ANSWER_MOST
        && more(&mut body, &mut content, ANSWER_MOST, &mut look).await?
    {}
    Ok((content, ended_well))
}

/// Reads on; false at the end. No more than `most` bytes are kept.
async fn more(
    body: &mut BackendBody<'_>,
    into: &mut Vec<u8>,
    most: usize,
    trailers: &mut impl FnMut(&Head),
) -> Result<bool, Cause> {
    poll_fn(|cx: &mut Context<'_>| {
        let used = match std::task::ready!(body.poll_piece(cx)) {
            Ok(None) => return Poll::Ready(Ok(false)),
            Ok(Some(Piece::Trailers(head))) => {
                trailers(head);
                // Nothing but the end follows.
                return Poll::Ready(Ok(false));
            }
            Ok(Some(Piece::Data(bytes))) => {
                let room = most.saturating_sub(into.len());
                into.extend_from_slice(&bytes[..bytes.len().min(room)]);
                bytes.len()
            }
            Err(failure) => return Poll::Ready(Err(cause_of(failure))),
        };
        body.consume(used);
        Poll::Ready(Ok(true))
    })
    .await
}

fn cause_of(failure: BodyFailure) -> Cause {
    match failure {
        BodyFailure::Cut | BodyFailure::Cancelled | BodyFailure::Exhausted => Cause::BodyTruncated,
        BodyFailure::Malformed => Cause::Protocol,
        BodyFailure::Overrun | BodyFailure::TooLarge => Cause::BodyOverrun,
        BodyFailure::TimedOut | BodyFailure::TooSlow => Cause::BodyTimeout,
    }
}

/// The body of a call: one message.
struct Question(Bytes);

impl Body for Question {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Piece<'_>>, BodyFailure>> {
        let piece = (!self.0.is_empty()).then_some(Piece::Data(&self.0));
        Poll::Ready(Ok(piece))
    }

    fn consume(&mut self, n: usize) {
        self.0.advance(n);
    }

    fn length(&self) -> Length {
        Length::Exact(self.0.len() as u64)
    }
}

/// The worker that whoever checks has to be: its figures are a check's own.
pub const WORKER: WorkerId = WorkerId(0);

/// By this a backend tells checks from shoppers.
const USER_AGENT: &str = concat!("forecourt-check/", env!("CARGO_PKG_VERSION"));

/// Bytes of a body in which a text is looked for.
const BODY_MOST: usize = 64 * 1024;

/// Bytes of an answer of gRPC: it is one number.
const ANSWER_MOST: usize = 4 * 1024;
