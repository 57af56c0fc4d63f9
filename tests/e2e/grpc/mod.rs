//! gRPC through the program: calls of all kinds, what becomes of those that fail, streams that are long, silent or many.
//!
//! [`Service`] is a backend of HTTP/2 that does what its paths say; [`Caller`] is a client. Messages are any bytes with
//! gRPC's five before them, so that no protobuf is needed.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod calls;
mod errors;
mod secure;
mod silence;
mod streams;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::harness::{Balancer, DEADLINE};
use crate::tls::Visitor;

/// A backend of gRPC.
struct Service {
    address: SocketAddr,
    told: Arc<Told>,
}

/// What a backend has seen, and what it is told to do.
#[derive(Default)]
struct Told {
    connections: AtomicUsize,
    calls: AtomicUsize,
    /// Calls that their callers took back.
    cancelled: AtomicUsize,
    /// The fields of the last call.
    fields: Mutex<HeaderMap>,
    /// Has all connections say that they take no more calls.
    leave: Notify,
}

impl Service {
    fn start() -> Self {
        Self::over(None)
    }

    /// By TLS, if this is how.
    fn over(tls: Option<TlsAcceptor>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Told::default());
        let shared = Arc::clone(&told);
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).unwrap();
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    let (told, tls) = (Arc::clone(&shared), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => serve(stream, told).await,
                            Some(tls) => {
                                let Ok(stream) = tls.accept(stream).await else {
                                    return;
                                };
                                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                                serve(stream, told).await;
                            }
                        }
                    });
                }
            });
        });
        Self { address, told }
    }

    fn seen(&self, field: &str) -> Option<String> {
        let fields = self.told.fields.lock().unwrap();
        let value = fields.get(field)?;
        Some(value.to_str().unwrap().to_owned())
    }

    /// The program in front of it, with these keys of the pool besides.
    fn behind(&self, listener: &str, keys: &str) -> Balancer {
        Balancer::start(&configuration(&[self.address], listener, keys))
    }
}

fn configuration(backends: &[SocketAddr], listener: &str, keys: &str) -> String {
    let backends: Vec<_> = backends
        .iter()
        .map(|address| format!("{{ address = \"{address}\" }}"))
        .collect();
    let backends = backends.join(", ");
    format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n\
         [listeners.web]\naddress = \"127.0.0.1:0\"\n{listener}\n\
         [listeners.secure]\naddress = \"127.0.0.1:0\"\n[listeners.secure.tls]\nself_signed = [\"localhost\"]\n\
         [[routes]]\npath_prefix = \"/test.Service\"\npool = \"calls\"\n\
         [pools.calls]\nprotocol = \"h2c\"\nbackends = [{backends}]\n{keys}\n"
    )
}

async fn serve(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, told: Arc<Told>) {
    let mut builder = h2::server::Builder::new();
    // A client of ours is no attacker.
    builder.data_frame_budget(usize::MAX);
    let Ok(mut connection) = builder.handshake(stream).await else {
        return;
    };
    loop {
        tokio::select! {
            () = told.leave.notified() => connection.graceful_shutdown(),
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                told.calls.fetch_add(1, Ordering::SeqCst);
                *told.fields.lock().unwrap() = request.headers().clone();
                tokio::spawn(answer(request, respond, Arc::clone(&told)));
            }
        }
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    told: Arc<Told>,
) {
    let path = request.uri().path().rsplit('/').next().unwrap().to_owned();
    let number: usize = request
        .uri()
        .query()
        .map_or(0, |query| query.parse().unwrap());
    let mut content = request.into_body();
    let head = || {
        let response = Response::builder().header("content-type", "application/grpc");
        response.body(()).unwrap()
    };
    match path.as_str() {
        "Fails" => {
            let mut head = head();
            head.headers_mut().extend(status("5", "no%20such%20thing"));
            respond.send_response(head, true).unwrap();
        }
        "Silent" => {
            std::future::poll_fn(|cx| respond.poll_reset(cx))
                .await
                .unwrap();
            told.cancelled.fetch_add(1, Ordering::SeqCst);
        }
        // Answers once it has all of it.
        "Unary" => {
            let all = read(&mut content).await.unwrap();
            let mut stream = respond.send_response(head(), false).unwrap();
            stream.send_data(all.into(), false).unwrap();
            stream.send_trailers(status("0", "fine")).unwrap();
        }
        // So many messages, each of its number.
        "Many" => {
            let stream = respond.send_response(head(), false).unwrap();
            count(number, stream).await;
        }
        // Whatever comes, as it comes.
        "Echo" => {
            let stream = respond.send_response(head(), false).unwrap();
            if echo(content, stream).await.is_none() {
                told.cancelled.fetch_add(1, Ordering::SeqCst);
            }
        }
        "Ticks" => tick(respond, head(), number > 0, &told).await,
        "Sink" => sink(respond, head(), content, &told).await,
        // A verdict before the caller has said all.
        "Early" => {
            let mut stream = respond.send_response(head(), false).unwrap();
            stream.send_trailers(status("9", "enough")).unwrap();
        }
        "Cut" => {
            let mut stream = respond.send_response(head(), false).unwrap();
            stream.send_data(message(b"half"), false).unwrap();
            read(&mut content).await.unwrap();
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        "Refused" => respond.send_reset(Reason::REFUSED_STREAM),
        "Dies" => respond.send_reset(Reason::INTERNAL_ERROR),
        other => panic!("no method {other}"),
    }
}

/// Speaks without end, whatever comes; or so that nobody takes it for gRPC.
async fn tick(
    mut respond: h2::server::SendResponse<Bytes>,
    mut head: Response<()>,
    as_text: bool,
    told: &Told,
) {
    if as_text {
        let kind = "text/plain".parse().unwrap();
        head.headers_mut().insert("content-type", kind);
    }
    let mut stream = respond.send_response(head, false).unwrap();
    while stream.send_data(message(b"tick"), false).is_ok() {
        tokio::time::sleep(TICK).await;
    }
    told.cancelled.fetch_add(1, Ordering::SeqCst);
}

/// Listens, and says nothing before the end.
async fn sink(
    mut respond: h2::server::SendResponse<Bytes>,
    head: Response<()>,
    mut content: RecvStream,
    told: &Told,
) {
    let mut stream = respond.send_response(head, false).unwrap();
    match read(&mut content).await {
        Ok(_) => stream.send_trailers(status("0", "")).unwrap(),
        Err(_) => _ = told.cancelled.fetch_add(1, Ordering::SeqCst),
    }
}

/// Between two messages of those that speak all the time.
const TICK: Duration = Duration::from_millis(5);

async fn count(number: usize, mut stream: SendStream<Bytes>) {
    for n in 0..number {
        stream.send_data(message(&n.to_be_bytes()), false).unwrap();
        if n % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    stream.send_trailers(status("0", "")).unwrap();
}

/// Sends back what comes; `None` if the caller took it back.
async fn echo(mut content: RecvStream, mut stream: SendStream<Bytes>) -> Option<()> {
    while let Some(piece) = content.data().await {
        let piece = piece.ok()?;
        let _ = content.flow_control().release_capacity(piece.len());
        // The library counts empty frames, and the end of a request may be one.
        if !piece.is_empty() {
            stream.send_data(piece, false).ok()?;
        }
    }
    let mut trailers = status("0", "");
    if let Some(theirs) = content.trailers().await.ok()? {
        trailers.extend(theirs);
    }
    stream.send_trailers(trailers).ok()
}

fn status(code: &str, message: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert("grpc-status", code.parse().unwrap());
    fields.insert("grpc-message", message.parse().unwrap());
    fields
}

/// A message with gRPC's five bytes before it.
fn message(content: &[u8]) -> Bytes {
    let length = u32::try_from(content.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], content].concat().into()
}

async fn read(content: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = content.data().await {
        let piece = piece?;
        content.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// A client's connection.
#[derive(Clone)]
struct Caller(SendRequest<Bytes>, &'static str);

/// A call that has been begun.
struct Call {
    response: h2::client::ResponseFuture,
    stream: SendStream<Bytes>,
}

/// What came of a call.
#[derive(Debug)]
struct Came {
    http: u16,
    head: HeaderMap,
    content: Vec<u8>,
    trailers: HeaderMap,
    ended_by_head: bool,
}

impl Caller {
    async fn to(balancer: &Balancer) -> Self {
        let stream = TcpStream::connect(balancer.address("web")).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream, "http").await
    }

    async fn by_tls(balancer: &Balancer) -> Self {
        let mut config = rustls::ClientConfig::clone(&Visitor::new().config);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(balancer.address("secure"))
            .await
            .unwrap();
        let name = "localhost".try_into().unwrap();
        let tls = TlsConnector::from(Arc::new(config)).connect(name, stream);
        Self::over(tls.await.unwrap(), "https").await
    }

    async fn over(
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        scheme: &'static str,
    ) -> Self {
        let mut builder = h2::client::Builder::new();
        builder.data_frame_budget(usize::MAX);
        // So that streams that are not read leave room for the others.
        builder.initial_connection_window_size(8 << 20);
        let (sender, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(sender, scheme)
    }

    async fn begin(&self, method: &str) -> Call {
        self.begin_with(method, |request| request).await
    }

    async fn begin_with(
        &self,
        method: &str,
        change: impl FnOnce(http::request::Builder) -> http::request::Builder,
    ) -> Call {
        let request = Request::post(format!("{}://localhost/test.Service/{method}", self.1))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let request = change(request).body(()).unwrap();
        let mut ready = self.0.clone().ready().await.unwrap();
        let (response, stream) = ready.send_request(request, false).unwrap();
        Call { response, stream }
    }

    /// Sends one message and takes all that comes.
    async fn call(&self, method: &str, content: &[u8]) -> Came {
        let mut call = self.begin(method).await;
        call.say(content, true);
        call.end().await.unwrap()
    }
}

impl Call {
    fn say(&mut self, content: &[u8], last: bool) {
        self.stream.send_data(message(content), last).unwrap();
    }

    /// Takes all that comes.
    async fn end(self) -> Result<Came, h2::Error> {
        let (head, mut content) = self.response.await?.into_parts();
        let ended_by_head = content.is_end_stream();
        Ok(Came {
            http: head.status.as_u16(),
            head: head.headers,
            ended_by_head,
            content: read(&mut content).await?,
            trailers: content.trailers().await?.unwrap_or_default(),
        })
    }
}

impl Came {
    /// The status, in the trailers or, if nothing else came, in the head.
    fn status(&self) -> &str {
        let from = if self.ended_by_head {
            &self.head
        } else {
            &self.trailers
        };
        from.get("grpc-status")
            .map_or("", |status| status.to_str().unwrap())
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.head.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Runs a client, which has to be done in time.
fn run<T>(client: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let within = async { tokio::time::timeout(DEADLINE, client).await };
    runtime.block_on(within).unwrap()
}
