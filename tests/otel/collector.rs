//! A collector that takes OTLP over HTTP: it remembers what it was sent, and misbehaves when told to.
//!
//! It reads HTTP by the harness's own strict reader and OTLP by the generated messages.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use crate::harness::{DEADLINE, wait_for};

/// An OTLP server on an address of the kernel's choosing.
#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    shared: Arc<Mutex<State>>,
    /// Bound and never listening.
    _holder: Option<Socket>,
}

/// What a collector does with a batch.
#[derive(Clone, Debug, Default)]
pub(crate) enum Answer {
    /// Takes it.
    #[default]
    Take,
    /// Takes all but so many spans.
    Partly(i64),
    /// Another status, with these fields.
    Status(&'static str),
    /// Says nothing, until the other side gives up.
    Hang,
    /// 200, and then a body without an end.
    Endless,
    /// Bytes that are no HTTP.
    Garbage,
    /// Takes it and closes.
    TakeAndClose,
}

#[derive(Debug, Default)]
struct State {
    answer: Answer,
    posts: Vec<Post>,
    connections: usize,
    is_over: bool,
    open: Vec<TcpStream>,
}

/// A batch as it came.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    /// The head's lines.
    pub(crate) head: String,
    pub(crate) resource: Attributes,
    pub(crate) spans: Vec<Told>,
}

pub(crate) type Attributes = BTreeMap<String, String>;

/// A span, with ids in hexadecimal.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty if it has none.
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) is_error: bool,
    pub(crate) attributes: Attributes,
}

impl Collector {
    /// Starts a collector that takes what it is sent.
    pub(crate) fn new() -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    pub(crate) fn at(address: SocketAddr) -> Self {
        Self::start(address, None)
    }

    /// The same with TLS, and its certificate for `localhost`, in PEM.
    pub(crate) fn secure() -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        (Self::start(any, Some(Arc::new(config))), made.cert.pem())
    }

    fn start(address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Mutex<State>>::default();
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let again = stream.try_clone().unwrap();
                let mut state = lock(&theirs);
                if state.is_over {
                    return;
                }
                state.connections += 1;
                state.open.push(stream.try_clone().unwrap());
                drop(state);
                let (shared, tls) = (Arc::clone(&theirs), tls.clone());
                thread::spawn(move || {
                    match tls {
                        None => serve(stream, &shared),
                        Some(tls) => {
                            let connection = ServerConnection::new(tls).unwrap();
                            serve(StreamOwned::new(connection, stream), &shared);
                        }
                    }
                    let _ = again.shutdown(Shutdown::Both);
                });
            }
        });
        Self {
            address,
            shared,
            _holder: None,
        }
    }

    /// One that is not there; its address is kept for it.
    pub(crate) fn absent() -> Self {
        let holder = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // Somebody may listen there beside one who does not.
        holder.set_reuse_address(true).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        holder.bind(&any.into()).unwrap();
        Self {
            address: holder.local_addr().unwrap().as_socket().unwrap(),
            shared: Arc::default(),
            _holder: Some(holder),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL to give to an exporter.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn answer(&self, answer: Answer) {
        lock(&self.shared).answer = answer;
    }

    /// Batches that came, whatever was answered.
    pub(crate) fn posts(&self) -> Vec<Post> {
        lock(&self.shared).posts.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        lock(&self.shared).connections
    }

    /// All spans that came.
    pub(crate) fn spans(&self) -> Vec<Told> {
        let posts = self.posts();
        posts.into_iter().flat_map(|post| post.spans).collect()
    }

    /// The spans of requests, when there are so many of them.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: usize) -> Vec<Told> {
        wait_for(DEADLINE, "spans of requests", || {
            let mut spans = self.spans();
            spans.retain(|span| span.kind == SpanKind::Server);
            (spans.len() >= count).then_some(spans)
        })
    }

    /// The spans of a trace whose request has one, that of the request first and then by their beginnings.
    #[track_caller]
    pub(crate) fn wait_for_trace(&self, id: &str) -> Vec<Told> {
        wait_for(DEADLINE, "the spans of a trace", || {
            let mut spans = self.spans();
            spans.retain(|span| span.trace == id);
            spans.sort_by_key(|span| (span.kind != SpanKind::Server, span.start));
            (!spans.is_empty()).then_some(spans)
        })
    }
}

impl Drop for Collector {
    /// From then on nobody listens there.
    fn drop(&mut self) {
        let mut state = lock(&self.shared);
        state.is_over = true;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        let _ = TcpStream::connect(self.address);
    }
}

impl Told {
    /// An attribute; empty if there is none.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn serve<S: Read + Write>(mut stream: S, shared: &Mutex<State>) {
    while let Some((head, body)) = read(&mut stream) {
        let post = understood(head, &body);
        let mut state = lock(shared);
        state.posts.push(post);
        let answer = state.answer.clone();
        drop(state);
        if respond(&mut stream, &answer).is_none() {
            return;
        }
    }
}

/// Answers; nothing if the connection is over with that.
fn respond<S: Read + Write>(stream: &mut S, answer: &Answer) -> Option<()> {
    let taken = |rejected_spans: i64| {
        let partial = ExportTracePartialSuccess {
            rejected_spans,
            error_message: String::new(),
        };
        let response = ExportTraceServiceResponse {
            partial_success: (rejected_spans > 0).then_some(partial),
        };
        let body = response.encode_to_vec();
        let mut bytes = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend(body);
        bytes
    };
    match answer {
        Answer::Take => stream.write_all(&taken(0)).ok(),
        Answer::Partly(refused) => stream.write_all(&taken(*refused)).ok(),
        Answer::Status(status) => {
            let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(text.as_bytes()).ok()
        }
        Answer::Hang => {
            let _ = stream.read(&mut [0; 1]);
            None
        }
        Answer::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
            None
        }
        Answer::Garbage => {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
            None
        }
        Answer::TakeAndClose => {
            let _ = stream.write_all(&taken(0));
            None
        }
    }
}

/// A request's head and body; nothing at the end.
fn read<S: Read>(stream: &mut S) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        (name == "content-length").then(|| value.parse().unwrap())
    });
    let mut body = vec![0; length.expect("a batch has a known length")];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn understood(head: String, body: &[u8]) -> Post {
    let request = ExportTraceServiceRequest::decode(body).expect("a batch is OTLP");
    let [of_one] = &request.resource_spans[..] else {
        panic!("{request:?}");
    };
    let scopes = of_one.scope_spans.iter();
    Post {
        head,
        resource: attributes(&of_one.resource.as_ref().unwrap().attributes),
        spans: scopes.flat_map(|scope| &scope.spans).map(told).collect(),
    }
}

fn told(span: &Span) -> Told {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    assert_eq!(span.flags & 1, 1, "who is told of is sampled");
    Told {
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name.clone(),
        kind: span.kind(),
        start: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
        is_error: span.status.as_ref().is_some_and(|status| status.code == 2),
        attributes: attributes(&span.attributes),
    }
}

fn attributes(all: &[KeyValue]) -> Attributes {
    let mut read = Attributes::new();
    for attribute in all {
        let value = attribute
            .value
            .as_ref()
            .and_then(|value| value.value.as_ref());
        let text = match value.expect("a key has a value") {
            Value::StringValue(text) => text.clone(),
            Value::IntValue(number) => number.to_string(),
            Value::BoolValue(is) => is.to_string(),
            other => panic!("{}: {other:?}", attribute.key),
        };
        let before = read.insert(attribute.key.clone(), text);
        assert_eq!(before, None, "{} stands twice", attribute.key);
    }
    read
}
