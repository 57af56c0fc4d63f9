//! A backend that speaks TLS, HTTP/1.1 and HTTP/2, and remembers each handshake.

use std::sync::{Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio_rustls::{TlsAcceptor, server};

use super::super::*;

/// A server on an address of the kernel's choosing.
pub(super) struct SecureOrigin {
    name: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    name: String,
    state: Mutex<State>,
}

struct State {
    config: Arc<ServerConfig>,
    seen: Seen,
}

/// What has come so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) accepted: usize,
    pub(super) handshakes: Vec<Handshake>,
    /// By which protocol each request came, with its path.
    pub(super) requests: Vec<String>,
    /// Connections that the other side ended with a close_notify.
    pub(super) goodbyes: usize,
}

/// A handshake that was done.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Handshake {
    pub(super) resumed: bool,
    pub(super) name: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) client: bool,
}

/// Whether an origin wants certificates of those that this authority has signed.
#[derive(Clone, Copy)]
pub(super) enum Wants<'a> {
    Nothing,
    Required(&'a Authority),
}

impl SecureOrigin {
    /// Starts one that shows this certificate and speaks these protocols.
    pub(super) fn start(name: &str, made: &Made, alpn: &[&str], wants: Wants<'_>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            state: Mutex::new(State {
                config: config(made, alpn, wants),
                seen: Seen::default(),
            }),
        });
        let (stop, stopped) = oneshot::channel();
        let ours = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, ours) => {}
                }
            });
        });
        Self {
            name: name.to_owned(),
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// One that shows this certificate and speaks HTTP/1.1.
    pub(super) fn plain(name: &str, made: &Made) -> Self {
        Self::start(name, made, &["http/1.1"], Wants::Nothing)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn seen(&self) -> Seen {
        self.shared.lock().seen.clone()
    }

    /// Shows another certificate from now on.
    pub(super) fn show(&self, made: &Made) {
        self.shared.lock().config = config(made, &["http/1.1"], Wants::Nothing);
    }
}

impl Drop for SecureOrigin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn answer(&self, how: &str, path: &str) -> String {
        self.lock().seen.requests.push(format!("{how} {path}"));
        self.name.clone()
    }
}

fn config(made: &Made, alpn: &[&str], wants: Wants<'_>) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match wants {
        Wants::Nothing => builder.with_no_client_auth(),
        Wants::Required(authority) => {
            let mut roots = RootCertStore::empty();
            let own = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
            roots.add(own).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let mut config = builder
        .with_single_cert(vec![made.der.clone()], made.private())
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let config = {
            let mut state = shared.lock();
            state.seen.accepted += 1;
            Arc::clone(&state.config)
        };
        tokio::spawn(async move {
            let accepted = TlsAcceptor::from(config).accept(stream).into_fallible();
            match accepted.await {
                Ok(tls) => serve(tls, &shared).await,
                // To close before all is read would be a reset, which overtakes the alert.
                Err((_, mut stream)) => {
                    let _ = stream.shutdown().await;
                    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                }
            }
        });
    }
}

async fn serve(tls: server::TlsStream<tokio::net::TcpStream>, shared: &Shared) {
    let connection = tls.get_ref().1;
    let protocol = connection.alpn_protocol().map(String::from_utf8_lossy);
    let handshake = Handshake {
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        name: connection.server_name().map(str::to_owned),
        protocol: protocol.map(std::borrow::Cow::into_owned),
        client: connection.peer_certificates().is_some(),
    };
    let is_h2 = handshake.protocol.as_deref() == Some("h2");
    shared.lock().seen.handshakes.push(handshake);
    if is_h2 {
        serve_h2(tls, shared).await;
    } else {
        serve_h1(tls, shared).await;
    }
}

async fn serve_h2(tls: server::TlsStream<tokio::net::TcpStream>, shared: &Shared) {
    let Ok(mut connection) = ::h2::server::handshake(tls).await else {
        return;
    };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let scheme = request.uri().scheme_str().unwrap_or_default();
        let body = shared.answer(&format!("h2 {scheme}"), request.uri().path());
        let response = http::Response::builder()
            .header("origin", &body)
            .body(())
            .unwrap();
        if let Ok(mut stream) = respond.send_response(response, false) {
            let _ = stream.send_data(body.into_bytes().into(), true);
        }
    }
}

/// `/cut` and `/whole` are answered without a length, and end without and with a close_notify. `/echo` changes protocol
/// and sends back what comes.
async fn serve_h1(mut tls: server::TlsStream<tokio::net::TcpStream>, shared: &Shared) {
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 2048];
        match tls.read(&mut piece).await {
            Ok(0) => return shared.lock().seen.goodbyes += 1,
            Ok(n) => text.extend_from_slice(&piece[..n]),
            Err(_) => return,
        }
        if !text.ends_with(b"\r\n\r\n") {
            continue;
        }
        let head = String::from_utf8_lossy(&text).into_owned();
        text.clear();
        let path = head.split(' ').nth(1).unwrap_or_default();
        let name = shared.answer("http/1.1", path);
        let length = name.len();
        let answer = match path {
            "/cut" | "/whole" => {
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\norigin: {name}\r\n\r\n{name}")
            }
            "/echo" => {
                "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
                    .to_owned()
            }
            _ => format!(
                "HTTP/1.1 200 OK\r\norigin: {name}\r\ncontent-length: {length}\r\n\r\n{name}"
            ),
        };
        if tls.write_all(answer.as_bytes()).await.is_err() || tls.flush().await.is_err() {
            return;
        }
        match path {
            "/cut" => {
                let (stream, _) = tls.get_mut();
                let _ = stream.shutdown().await;
                return;
            }
            "/whole" => {
                let _ = tls.shutdown().await;
                return;
            }
            "/echo" => {
                let (mut from, mut to) = tokio::io::split(tls);
                let _ = tokio::io::copy(&mut from, &mut to).await;
                return;
            }
            _ => {}
        }
    }
}
