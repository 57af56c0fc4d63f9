//! Asking a running instance, for the commands.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Builder;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{CertificateError, read_authorities, system_roots};

/// Where an instance's admin API is: `http://127.0.0.1:9900`, `127.0.0.1:9900`, `https://lb.example:9900` or
/// `unix:/run/admin.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// Host and port.
    Tcp(String),
    /// The same over TLS.
    Tls {
        /// Host and port.
        authority: String,
        /// The PEM file of those who vouch for its certificate; absent: whom the system trusts.
        ca: Option<PathBuf>,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why an instance gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is there.
    #[error("no instance answers at {0}: {1}")]
    Absent(String, io::Error),
    /// Whoever is there is not an instance, or not well.
    #[error("what answers at {0} is no instance of forecourt: {1}")]
    Strange(String, String),
    /// It cannot be known whether it is the instance.
    #[error("{0} cannot be trusted: {1}")]
    Untrusted(String, String),
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
        let (secure, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://").unwrap_or(text)),
        };
        let plain = rest.trim_end_matches('/');
        let port = plain
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse::<u16>().ok());
        match port {
            Some(_) if plain.contains('/') => Err(EXPECTED.to_owned()),
            Some(_) if secure => Ok(Self::Tls {
                authority: plain.to_owned(),
                ca: None,
            }),
            Some(_) => Ok(Self::Tcp(plain.to_owned())),
            None => Err(EXPECTED.to_owned()),
        }
    }

    /// The same, trusting those in a PEM file; an address without TLS has nobody to trust.
    #[must_use]
    pub fn trusting(mut self, file: Option<PathBuf>) -> Self {
        if let Self::Tls { ca, .. } = &mut self {
            *ca = file;
        }
        self
    }

    /// What a request says of whom it asks.
    fn host(&self) -> &str {
        match self {
            Self::Tls { authority, .. } => authority,
            Self::Tcp(_) | Self::Unix(_) => "localhost",
        }
    }
}

impl std::fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Tls { authority, .. } => write!(f, "https://{authority}"),
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

/// Gets something from an instance, with success or without, as the bearer of a token if there is one.
///
/// # Errors
/// When nobody answers in time.
pub async fn ask_as(
    address: &AdminAddress,
    path: &str,
    token: Option<&str>,
) -> Result<Answer, ClientError> {
    let request = bearing(Request::get(path), token);
    exchange(address, request, String::new(), PATIENCE).await
}

/// Gets something that is shown to the bearer of a token only, and waits as long as a configuration may take to be read.
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
        Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
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
    let request = request.header("host", address.host());
    let request = request.body(Full::from(body));
    let request =
        request.map_err(|error| ClientError::Strange(address.to_string(), error.to_string()))?;
    let absent = |error| ClientError::Absent(address.to_string(), error);
    let asked = async {
        match address {
            AdminAddress::Tcp(tcp) => {
                let stream = TcpStream::connect(tcp).await.map_err(absent)?;
                let peer = stream.peer_addr().map_err(absent)?;
                if request.headers().contains_key(AUTHORIZATION) && !is_this_machine(peer) {
                    let (address, why) = (address.to_string(), IN_CLEAR.to_owned());
                    return Err(ClientError::Untrusted(address, why));
                }
                ask(stream, address, request).await
            }
            AdminAddress::Tls { authority, ca } => {
                let connector = connector(ca.as_deref());
                let connector =
                    connector.map_err(|why| ClientError::Untrusted(address.to_string(), why))?;
                let stream = TcpStream::connect(authority).await.map_err(absent)?;
                let stream = secured(stream, authority, &connector).await;
                let stream = stream.map_err(|error| untrusted(address, ca.is_some(), &error))?;
                ask(stream, address, request).await
            }
            AdminAddress::Unix(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(absent)?;
                ask(stream, address, request).await
            }
        }
    };
    match tokio::time::timeout(patience, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(ClientError::Slow(address.to_string(), patience)),
    }
}

/// Whether nobody but programs of this machine can hear what is said to it in clear text.
fn is_this_machine(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

/// What does handshakes with instances, trusting those of a file, or of the system.
fn connector(ca: Option<&Path>) -> Result<TlsConnector, String> {
    let roots = match ca {
        None => system_roots()?,
        Some(file) => {
            let authorities = read_authorities(file);
            let authorities = authorities.map_err(|error: CertificateError| error.what)?;
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(authorities);
            Arc::new(roots)
        }
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn secured(
    stream: TcpStream,
    authority: &str,
    connector: &TlsConnector,
) -> io::Result<TlsStream<TcpStream>> {
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let name = ServerName::try_from(bare.unwrap_or(host).to_owned()).map_err(io::Error::other)?;
    connector.connect(name, stream).await
}

/// Why a handshake has failed, and what can be done.
fn untrusted(address: &AdminAddress, named: bool, error: &io::Error) -> ClientError {
    let inner = error.get_ref();
    let remedy = match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))
            if named =>
        {
            "; the file of --admin-ca does not vouch for it"
        }
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
            "; --admin-ca FILE names who vouches for it"
        }
        Some(rustls::Error::InvalidMessage(_)) => "; it may speak plain HTTP: http://",
        _ => "",
    };
    ClientError::Untrusted(address.to_string(), format!("{error}{remedy}"))
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
    let mut exchange = pin!(exchange);
    let answered = tokio::select! {
        answered = exchange.as_mut() => answered,
        // Behind its last answer an instance may close: what has come of that is there all the same.
        _ = connection => exchange.await,
    };
    answered.map_err(|error| strange(&error))
}

const IN_CLEAR: &str = "by plain HTTP everybody on the way could read the token, so it was not sent: ask by https://HOST:PORT, over a Unix socket (unix:/PATH), or through SSH (ssh -L 9900:127.0.0.1:9900 HOST)";

const EXPECTED: &str = "expected `http://HOST:PORT`, `https://HOST:PORT` or `unix:/PATH`";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same where a configuration may be read first: names are resolved, files are opened.
const LONG_PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_in_clear_text_to_this_machine_only() {
        for here in [
            "127.0.0.1:9900",
            "127.8.8.8:1",
            "[::1]:9900",
            "[::ffff:127.0.0.1]:9900",
        ] {
            assert!(is_this_machine(here.parse().unwrap()), "{here}");
        }
        for away in [
            "10.0.0.1:9900",
            "192.0.2.7:9900",
            "0.0.0.0:9900",
            "[2001:db8::1]:9900",
            "[fe80::1]:9900",
            "[::ffff:192.0.2.7]:9900",
            "[::ffff:10.0.0.1]:9900",
        ] {
            assert!(!is_this_machine(away.parse().unwrap()), "{away}");
        }
    }
}
