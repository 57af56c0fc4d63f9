//! A proxy with one listener, one route and one pool, and its figures.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::backend::{Address, OperatorWord};
use crate::limit::{Budget, Door};
use crate::message::FieldCase;
use crate::message::body::{AnswerBody, Body, BodyFailure, Ending, Length, Piece, RequestBody};
use crate::message::forwarded::Words;
use crate::message::head::Version;
use crate::message::{Head, Name};
use crate::plan::fields::FieldRules;
use crate::plan::listener::{ListenAddress, ListenerLimits, ListenerTimeouts, ProxyProtocol};
use crate::plan::pages::ErrorPages;
use crate::plan::pool::{
    BackendPlan, Hedge, Limits, PoolTimeouts, Protocol, RequestStyle, Retry, RetryOn,
};
use crate::plan::process::{AccessFormat, AccessTarget, Level, Log, Shutdown};
use crate::plan::{Action, Edits, Listener, Plan, Pool, Route, Server, process};
use crate::proxy::Proxy;
use crate::route::{Matcher, PathPattern};
use crate::server::{Answer, Handler, ListenerKey, Peer, Request};
use crate::snapshot::{Registry, Snapshot, Snapshots};
use crate::strategy::{PanicThreshold, Spec, StickySpec};
use crate::telemetry::meters::{BackendTotal, ListenerTotal, PoolTotal, RouteTotal};
use crate::telemetry::{AccessControl, WorkerId};
use crate::upstream::Transport;
use crate::worker::Worker;

/// Deadlines that tests reckon with.
pub(super) const BODY: Duration = Duration::from_secs(30);
pub(super) const RESPONSE: Duration = Duration::from_secs(20);
pub(super) const QUEUE: Duration = Duration::from_secs(1);

/// A proxy before one pool, on a worker of its own.
pub(super) struct House<T> {
    pub(super) proxy: Rc<Proxy<T>>,
    pub(super) worker: Rc<Worker>,
    pub(super) peer: Peer,
    snapshots: Snapshots,
    access: AccessControl,
    folder: TempDir,
}

/// An answer, taken to its end.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
    pub(super) last: bool,
}

/// A request's body that is there.
pub(super) struct Bytes(pub(super) &'static [u8]);

impl<T: Transport> House<T> {
    pub(super) fn new(
        backends: &[Address],
        sticky: Option<StickySpec>,
        transport: impl FnOnce(&Rc<Worker>) -> T,
    ) -> Self {
        Self::with_retry(backends, sticky, retry(), transport)
    }

    /// The same, with rules for what is sent again.
    pub(super) fn with_retry(
        backends: &[Address],
        sticky: Option<StickySpec>,
        retry: Retry,
        transport: impl FnOnce(&Rc<Worker>) -> T,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plan = Arc::new(plan(backends, sticky, retry, &folder));
        let registry = Arc::new(Registry::new(1, 0));
        let snapshots = Snapshots::new(Snapshot::assemble(Arc::clone(&plan), &registry, 1));
        let access = &plan.log.access;
        let access = AccessControl::start(access.target.clone(), access.format).unwrap();
        let worker = Worker::new(WorkerId(0), 7);
        let log = Rc::new(RefCell::new(access.worker()));
        let transport = transport(&worker);
        let proxy = Proxy::new(Rc::clone(&worker), snapshots.reader(), transport, log);
        Self {
            proxy: Rc::new(proxy),
            worker,
            peer: Peer {
                address: Some(Ipv4Addr::LOCALHOST.into()),
                listener: ListenerKey(0),
                accepted_by: Arc::clone(&plan.listeners[0]),
                tls: false,
                session: None,
            },
            snapshots,
            access,
            folder,
        }
    }

    /// Has a request answered, and takes the answer to its end.
    pub(super) async fn ask(&self, head: Head, body: Option<&mut Bytes>) -> Told {
        let answer = self.answer(head, body).await;
        Told::all_of(answer)
    }

    /// Has a request answered.
    pub(super) async fn answer<'c>(
        &'c self,
        head: Head,
        body: Option<&'c mut Bytes>,
    ) -> Answer<<Proxy<T> as Handler>::Body<'c>> {
        let source = body.map(|body| body as &mut dyn Body);
        let request = Request {
            head,
            body: RequestBody::new(source, None),
            peer: &self.peer,
            received: Instant::now(),
        };
        Rc::clone(&self.proxy).handle(request).await
    }

    /// What was counted for the route.
    pub(super) fn route(&self) -> RouteTotal {
        self.snapshots.load().route_meters(0, Some(0)).total()
    }

    /// What was counted for the listener.
    pub(super) fn listener(&self) -> ListenerTotal {
        self.snapshots.load().listener_meters[0].total()
    }

    /// Sets how many requests may be in flight, in all and at each backend, and how many may wait.
    pub(super) fn limit(&self, in_flight: u32, per_backend: u32, queue: usize) {
        let snapshot = self.snapshots.load();
        for member in snapshot.pools[0].members.all() {
            member.backend.set_most_in_flight(per_backend);
        }
        snapshot.pools[0].door.set(in_flight, queue);
    }

    /// Says the operator's word of a backend, as yet unseen by those that have a view.
    pub(super) fn say(&self, number: u32, word: OperatorWord) {
        let snapshot = self.snapshots.load();
        let mut members = snapshot.pools[0].members.all().iter();
        let member = members.find(|member| member.backend.number() == number);
        member.unwrap().backend.set_operator(word);
    }

    /// Notes the weight 0 of a backend as a new generation does, which those that have a view do not see.
    pub(super) fn take_weight(&self, number: u32) {
        let snapshot = self.snapshots.load();
        let mut members = snapshot.pools[0].members.all().iter();
        let member = members.find(|member| member.backend.number() == number);
        member.unwrap().backend.set_weightless(true);
    }

    /// Who is in, and who waits.
    pub(super) fn door(&self) -> Arc<Door> {
        Arc::clone(&self.snapshots.load().pools[0].door)
    }

    /// The budget of the pool.
    pub(super) fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.snapshots.load().pools[0].budget)
    }

    /// What was counted for the pool.
    pub(super) fn pool(&self) -> PoolTotal {
        self.snapshots.load().pools[0].meters.total()
    }

    /// What was counted for its backends.
    pub(super) fn backends(&self) -> Vec<BackendTotal> {
        let snapshot = self.snapshots.load();
        let members = snapshot.pools[0].members.all().iter();
        members
            .map(|member| member.backend.meters().total())
            .collect()
    }

    /// Failures in a row, of each backend.
    pub(super) fn failures_in_row(&self) -> Vec<u32> {
        let snapshot = self.snapshots.load();
        let members = snapshot.pools[0].members.all().iter();
        members
            .map(|member| member.backend.failures_in_row())
            .collect()
    }

    /// Requests in flight, all backends together.
    pub(super) fn in_flight(&self) -> u32 {
        let snapshot = self.snapshots.load();
        let members = snapshot.pools[0].members.all().iter();
        members.map(|member| member.backend.in_flight()).sum()
    }

    /// Ends the house and reads its access log.
    pub(super) fn records(self) -> Vec<Value> {
        let Self {
            proxy,
            access,
            folder,
            ..
        } = self;
        drop(proxy);
        assert!(access.finish(Duration::from_secs(20)));
        let lines = std::fs::read_to_string(folder.path().join("access.log")).unwrap();
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Told {
    fn all_of<B: AnswerBody>(answer: Answer<B>) -> Self {
        let Answer {
            head,
            mut body,
            last,
            ..
        } = answer;
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let _ = body.poll_upload(cx, &mut 0);
        let mut all = Vec::new();
        let ending = loop {
            let n = match body.poll_piece(cx) {
                Poll::Ready(Ok(Some(Piece::Data(bytes)))) => {
                    all.extend_from_slice(bytes);
                    bytes.len()
                }
                Poll::Ready(Ok(Some(Piece::Trailers(_)) | None)) => break Ending::Delivered,
                Poll::Ready(Err(failure)) => break Ending::SourceFailed(failure),
                Poll::Pending => panic!("an answer of these tests is there or fails"),
            };
            body.consume(n);
            body.delivered(n as u64);
        };
        body.end(ending, std::time::Instant::now());
        Self {
            head,
            body: all,
            last,
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.head.status()
    }

    /// The code of a reply of our own.
    pub(super) fn error(&self) -> Option<&str> {
        let error = self.head.first_named(b"forecourt-error")?;
        Some(std::str::from_utf8(error).unwrap())
    }

    pub(super) fn text(&self, name: Name) -> &str {
        std::str::from_utf8(self.head.first(name).unwrap_or_default()).unwrap()
    }
}

impl Body for Bytes {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Piece<'_>>, BodyFailure>> {
        Poll::Ready(Ok((!self.0.is_empty()).then_some(Piece::Data(self.0))))
    }

    fn consume(&mut self, n: usize) {
        self.0 = &self.0[n..];
    }

    fn length(&self) -> Length {
        Length::Exact(self.0.len() as u64)
    }
}

/// A request's head.
pub(super) fn head(method: &str, fields: &[(&str, &str)]) -> Head {
    let mut head = Head::new();
    head.set_request(method.as_bytes(), b"/a?b", Version::Http11);
    head.push(b"Host", b"shop.example");
    for (name, value) in fields {
        head.push(name.as_bytes(), value.as_bytes());
    }
    head
}

/// The defaults.
pub(super) fn retry() -> Retry {
    Retry {
        attempts: 2,
        budget: 20,
        on: RetryOn {
            connect: true,
            stale: true,
            reset: true,
            statuses: Vec::new(),
        },
        per_try_timeout: None,
        deadline: None,
        replay_buffer: 0,
        hedge: Hedge::Off,
    }
}

fn plan(backends: &[Address], sticky: Option<StickySpec>, retry: Retry, folder: &TempDir) -> Plan {
    let route = Route {
        name: "all".into(),
        matcher: Matcher {
            hosts: Vec::new(),
            path: PathPattern::Any,
            conditions: None,
        },
        listeners: Vec::new(),
        action: Action::Pool(0),
        edits: Edits::default(),
        upgrade: Vec::new(),
        idempotency_key: true,
        priority: 5,
    };
    Plan {
        server: Server {
            workers: 1,
            shutdown: Shutdown {
                delay: Duration::ZERO,
                deadline: Duration::ZERO,
                spread: Duration::ZERO,
            },
        },
        admin: None,
        log: Log {
            level: Level::Info,
            access: process::AccessLog {
                target: AccessTarget::File(folder.path().join("access.log")),
                format: AccessFormat::Json,
                ..process::AccessLog::default()
            },
            recent: 0,
        },
        trace: process::Trace::default(),
        dns: crate::plan::Dns::default(),
        listeners: vec![Arc::new(listener())],
        routes: vec![route],
        pools: vec![shop(backends, sticky, retry)],
    }
}

fn shop(backends: &[Address], sticky: Option<StickySpec>, retry: Retry) -> Pool {
    let backends = backends.iter().map(|address| BackendPlan {
        address: address.clone(),
        id: address.to_string().into(),
        weight: 1,
        max_in_flight: 0,
        backup: false,
        server_name: None,
        name: None,
    });
    Pool {
        name: "shop".into(),
        strategy: Spec::RoundRobin,
        sticky,
        backends: backends.collect(),
        names: Vec::new(),
        timeouts: PoolTimeouts {
            connect: Duration::from_secs(1),
            response: RESPONSE,
            idle: Duration::from_secs(60),
            tunnel: Duration::from_secs(3600),
        },
        protocol: Protocol::Http1,
        tls: None,
        style: RequestStyle {
            case: FieldCase::Keep,
            forwarded: Words::XForwarded,
            via: true,
        },
        retry,
        limits: Limits {
            in_flight: 0,
            queue: 100,
            queue_timeout: QUEUE,
            adaptive: None,
        },
        health: None,
        panic_threshold: PanicThreshold(50),
        outlier: Default::default(),
        slow_start: Duration::ZERO,
        drain: crate::plan::pool::Drain::default(),
    }
}

fn listener() -> Listener {
    Listener {
        name: "web".into(),
        address: ListenAddress::Tcp((Ipv4Addr::LOCALHOST, 80).into()),
        tls: None,
        trusted_proxies: Vec::new(),
        http2: true,
        abort_on_close: false,
        proxy_protocol: ProxyProtocol::Off,
        paths: Default::default(),
        timeouts: ListenerTimeouts {
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            body: BODY,
        },
        limits: ListenerLimits {
            connections: 0,
            connections_per_client: 0,
            requests: 0,
            header_bytes: 32 * 1024,
            headers: 100,
            body_bytes: 0,
            body_rate: 500,
        },
        response_headers: FieldRules::default(),
        error_pages: ErrorPages::default(),
    }
}
