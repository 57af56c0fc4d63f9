//! Asking a running instance, for the commands.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::http::request::Builder;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Where an instance's admin API is: `http://127.0.0.1:9900`, `127.0.0.1:9900` or `unix:/run/admin.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// Host and port.
    Tcp(String),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why an instance gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is there.
    #[error("no instance answers at {0}: {1}")]
    Absent(String, std::io::Error),
    /// Whoever is there is not an instance, or not well.
    #[error("what answers at {0} is no instance of forecourt: {1}")]
    Strange(String, String),
    /// It took too long.
    #[error("the instance at {0} did not answer within {1:?}")]
    Slow(String, Duration),
}

impl AdminAddress {
    /// Reads an address as an operator writes it.
    ///
    /// # Errors
    /// Says what is understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let plain = text
            .strip_prefix("http://")
            .unwrap_or(text)
            .trim_end_matches('/');
        let port = plain
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse::<u16>().ok());
        match port {
            Some(_) if !plain.contains('/') => Ok(Self::Tcp(plain.to_owned())),
            Some(_) | None => Err("expected `http://HOST:PORT` or `unix:/PATH`".to_owned()),
        }
    }
}

impl std::fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What an instance answers, with success or without.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Why there is no success, in the words of the instance; nothing if there is.
    pub fn refused(&self) -> Option<String> {
        if self.status.is_success() {
            return None;
        }
        let problem: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let detail = problem
            .as_ref()
            .and_then(|problem| problem["detail"].as_str());
        Some(detail.map_or_else(|| self.status.to_string(), str::to_owned))
    }
}

/// Gets a document from an instance.
///
/// # Errors
/// When nobody answers in time, or not with success.
pub async fn get(address: &AdminAddress, path: &str) -> Result<Vec<u8>, ClientError> {
    let answer = ask_for(address, path).await?;
    match answer.status {
        StatusCode::OK => Ok(answer.body),
        status => Err(ClientError::Strange(
            address.to_string(),
            status.to_string(),
        )),
    }
}

/// The same, with success or without.
///
/// # Errors
/// When nobody answers in time.
pub async fn ask_for(address: &AdminAddress, path: &str) -> Result<Answer, ClientError> {
    exchange(address, Request::get(path), String::new(), PATIENCE).await
}

/// Gets something that is shown to the bearer of a token only.
///
/// # Errors
/// When nobody answers in time.
pub async fn get_as(
    address: &AdminAddress,
    path: &str,
    token: Option<&str>,
) -> Result<Answer, ClientError> {
    let request = bearing(Request::get(path), token);
    exchange(address, request, String::new(), LONG_PATIENCE).await
}

/// Posts a text to an instance, as the bearer of a token, and waits as long as a configuration may take to be read.
///
/// # Errors
/// When nobody answers in time.
pub async fn post(
    address: &AdminAddress,
    path: &str,
    token: Option<&str>,
    text: String,
) -> Result<Answer, ClientError> {
    let request = bearing(Request::post(path), token);
    exchange(address, request, text, LONG_PATIENCE).await
}

fn bearing(request: Builder, token: Option<&str>) -> Builder {
    match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    }
}

/// Puts a JSON document to an instance, as the bearer of a token.
///
/// # Errors
/// When nobody answers in time.
pub async fn put(
    address: &AdminAddress,
    path: &str,
    token: Option<&str>,
    document: String,
) -> Result<Answer, ClientError> {
    let request = Request::put(path).header("content-type", "application/json");
    exchange(address, bearing(request, token), document, PATIENCE).await
}

async fn exchange(
    address: &AdminAddress,
    request: Builder,
    body: String,
    patience: Duration,
) -> Result<Answer, ClientError> {
    let request = request.header("host", "localhost").body(Full::from(body));
    let request =
        request.map_err(|error| ClientError::Strange(address.to_string(), error.to_string()))?;
    let asked = async {
        match address {
            AdminAddress::Tcp(tcp) => match TcpStream::connect(tcp).await {
                Ok(stream) => ask(stream, address, request).await,
                Err(error) => Err(ClientError::Absent(address.to_string(), error)),
            },
            AdminAddress::Unix(socket) => match UnixStream::connect(socket).await {
                Ok(stream) => ask(stream, address, request).await,
                Err(error) => Err(ClientError::Absent(address.to_string(), error)),
            },
        }
    };
    match tokio::time::timeout(patience, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(ClientError::Slow(address.to_string(), patience)),
    }
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: &AdminAddress,
    request: Request<Full<Bytes>>,
) -> Result<Answer, ClientError> {
    let strange = |error: &dyn std::fmt::Display| {
        ClientError::Strange(address.to_string(), error.to_string())
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| strange(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes().to_vec();
        Ok::<_, hyper::Error>(Answer { status, body })
    };
    tokio::select! {
        answered = exchange => answered.map_err(|error| strange(&error)),
        _ = connection => Err(strange(&"it closed the connection")),
    }
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same where a configuration may be read first: names are resolved, files are opened.
const LONG_PATIENCE: Duration = Duration::from_secs(60);
