//! TLS towards clients: settings become a rustls configuration, a socket becomes a stream.
//!
//! The provider is always named, so that no dependency can switch another one on. Session tickets are
//! sealed by one ticketer for the whole process: a client that comes back to another worker resumes.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::plan::listener::Tls;
use crate::worker::{Stream, Timer};

/// What all TLS listeners of a process share.
#[derive(Clone)]
pub struct TlsShared {
    tickets: Arc<dyn ProducesTickets>,
}

/// Why a TLS listener cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate is configured.
    #[error("no certificate")]
    NoCertificate,
    /// The library refuses the settings.
    #[error(transparent)]
    Refused(#[from] rustls::Error),
}

impl TlsShared {
    /// Makes the keys that seal session tickets.
    ///
    /// # Errors
    /// When there are no random bytes to be had.
    pub fn new() -> Result<Self, TlsError> {
        Ok(Self {
            tickets: aws_lc_rs::Ticketer::new()?,
        })
    }

    /// What does handshakes for a listener with these settings; `http2` says whether HTTP/2 is offered.
    ///
    /// # Errors
    /// When the library refuses them; `config` has looked at certificate and key before.
    pub fn acceptor(&self, tls: &Tls, http2: bool) -> Result<TlsAcceptor, TlsError> {
        let certificate = tls.certificates.first().ok_or(TlsError::NoCertificate)?;
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(certificate.chain.clone(), certificate.key.clone_key())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if http2 {
            config.alpn_protocols.insert(0, b"h2".to_vec());
        }
        config.ticketer = Arc::clone(&self.tickets);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // Each ticket is a sealing and 100 bytes; one is enough to come back with.
        config.send_tls13_tickets = 1;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Why there is no TLS session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The client does not speak TLS, or not as we do.
    #[error("the handshake failed")]
    Failed,
    /// It did not come to its end in time.
    #[error("the handshake did not end in time")]
    TimedOut,
}

/// Does the handshake. Cancel-safe.
///
/// # Errors
/// When it fails, or the timer fires first.
pub async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    timer: &Timer,
) -> Result<Stream, HandshakeError> {
    let mut accepting = pin!(acceptor.accept(stream));
    poll_fn(|cx| match accepting.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(
            done.map(|stream| Stream::Tls(Box::new(TlsStream::Server(stream))))
                .map_err(|_| HandshakeError::Failed),
        ),
        Poll::Pending => timer
            .poll_expired(cx)
            .map(|()| Err(HandshakeError::TimedOut)),
    })
    .await
}

impl fmt::Debug for TlsShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsShared").finish_non_exhaustive()
    }
}
