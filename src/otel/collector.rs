//! One collector over HTTP/1.1: a connection that is kept, a deadline for each batch, and no trust in what it answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::plan::export::Export;

/// Sends batches, over one connection at a time.
#[derive(Default)]
pub(super) struct Collector {
    kept: Option<Connection>,
}

/// Why a batch has not arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) cause: String,
    /// Whether it may be sent again, and after which time if the collector says so.
    pub(super) again: Option<Option<Duration>>,
}

struct Connection {
    export: Arc<Export>,
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    /// Sends one batch; gives how many spans of it the collector has refused. Cancel-safe: what was begun is given up.
    ///
    /// # Errors
    /// When it has not arrived within `limit`, or the collector has not taken it.
    pub(super) async fn send(
        &mut self,
        export: &Arc<Export>,
        body: Bytes,
        limit: Duration,
    ) -> Result<usize, Failure> {
        // Out of its place while it is used: what is given up half-way is not used again.
        let kept = self.kept.take();
        let kept = kept.filter(|kept| kept.leads_to(export));
        match timeout(limit, exchange(kept, export, body)).await {
            Ok(Ok((refused, connection))) => {
                self.kept = connection;
                Ok(refused)
            }
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(later(format!("no answer within {limit:?}"))),
        }
    }
}

impl Connection {
    fn leads_to(&self, export: &Export) -> bool {
        let own = &*self.export;
        own.endpoint == export.endpoint && own.tls == export.tls && !self.sender.is_closed()
    }
}

async fn exchange(
    kept: Option<Connection>,
    export: &Arc<Export>,
    body: Bytes,
) -> Result<(usize, Option<Connection>), Failure> {
    if let Some(mut connection) = kept {
        let request = post(export, body.clone())?;
        let sent = match connection.sender.ready().await {
            Ok(()) => connection.sender.send_request(request).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(response) => return read(response, connection).await,
            // It may have been closed while it was idle; that says nothing of the collector.
            Err(error)
                if error.is_canceled() || error.is_closed() || error.is_incomplete_message() => {}
            Err(error) => return Err(broken(&error)),
        }
    }
    let mut connection = connect(export).await?;
    let sent = connection.sender.send_request(post(export, body)?);
    let response = sent.await.map_err(|error| broken(&error))?;
    read(response, connection).await
}

async fn connect(export: &Arc<Export>) -> Result<Connection, Failure> {
    let (host, port) = (&*export.endpoint.host, export.endpoint.port);
    let failed = |error: std::io::Error| later(format!("no connection: {error}"));
    let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
    match &export.tls {
        None => open(stream, export).await,
        Some(tls) => {
            let name = ServerName::try_from(host.to_owned());
            let name =
                name.map_err(|error| never(format!("{host} cannot be verified: {error}")))?;
            let connector = TlsConnector::from(Arc::clone(&tls.config));
            let stream = connector.connect(name, stream).await;
            let stream = stream.map_err(|error| later(format!("no TLS: {error}")))?;
            open(stream, export).await
        }
    }
}

async fn open<S>(stream: S, export: &Arc<Export>) -> Result<Connection, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let opened = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = opened.map_err(|error| broken(&error))?;
    let task = tokio::task::spawn_local(async move {
        // Whoever waits for an answer hears of its end.
        let _ = connection.await;
    });
    Ok(Connection {
        export: Arc::clone(export),
        sender,
        task,
    })
}

fn post(export: &Export, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
    let request = Request::post(&*export.endpoint.path)
        .header(HOST, &*export.endpoint.authority)
        .header(CONTENT_TYPE, PROTOBUF)
        .header(USER_AGENT, concat!("forecourt/", env!("CARGO_PKG_VERSION")));
    let fields = export.headers.iter();
    let request = fields.fold(request, |request, (name, value)| {
        request.header(name, value)
    });
    let request = request.body(Full::new(body));
    request.map_err(|error| never(format!("it cannot be asked: {error}")))
}

/// What a collector has made of a batch; its connection, if that can be used again.
async fn read(
    response: Response<Incoming>,
    connection: Connection,
) -> Result<(usize, Option<Connection>), Failure> {
    let status = response.status();
    if !status.is_success() {
        let wait = response.headers().get(RETRY_AFTER);
        let wait = wait.and_then(|wait| wait.to_str().ok()?.trim().parse().ok());
        return Err(Failure {
            cause: format!("it answered {status}"),
            again: is_passing(status).then(|| wait.map(Duration::from_secs)),
        });
    }
    let body = Limited::new(response.into_body(), ANSWER_MOST);
    let Ok(body) = body.collect().await else {
        // It has taken the batch; what else it has to say is too long, or broken.
        return Ok((0, None));
    };
    let answer = ExportTraceServiceResponse::decode(body.to_bytes()).unwrap_or_default();
    let refused = answer.partial_success.map_or(0, |part| part.rejected_spans);
    Ok((
        usize::try_from(refused).unwrap_or_default(),
        Some(connection),
    ))
}

/// Whether a batch may be sent again (OTLP, section "Retryable Response Codes").
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

fn later(cause: String) -> Failure {
    Failure {
        cause,
        again: Some(None),
    }
}

const fn never(cause: String) -> Failure {
    Failure { cause, again: None }
}

fn broken(error: &hyper::Error) -> Failure {
    later(format!("the connection broke: {error}"))
}

/// What OTLP over HTTP is, in its binary form.
const PROTOBUF: &str = "application/x-protobuf";

/// An answer has no more to say than how many spans were refused, and why.
const ANSWER_MOST: usize = 64 * 1024;
