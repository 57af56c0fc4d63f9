//! TLS towards clients: settings become a rustls configuration, a socket becomes a stream.
//!
//! The provider is always named, so that no dependency can switch another one on. Session tickets are
//! sealed by one set of keys for the whole process and the next one ([`super::tickets`]): a client that comes back to another worker resumes, also
//! after its certificate was renewed, for that is replaced inside the configuration
//! (see [`super::certificates`]). Where client certificates are asked for there are no tickets: a session that
//! is resumed would not show its certificate again, and one that has expired meanwhile would go on.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, PeerIncompatible, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::{TlsAcceptor, TlsStream, server};

use super::certificates::{Certificates, Names};
use super::client_certificate::ClientCertificate;
use super::tickets::{TicketKey, Tickets};
use crate::plan::Listener;
use crate::plan::tls::{ClientCertificates, ClientMode, Tls, TlsVersion};
use crate::telemetry::TlsResult;
use crate::worker::{Stream, Timer};

/// What all TLS listeners of a process share.
#[derive(Clone)]
pub struct TlsShared {
    tickets: Arc<Tickets>,
}

/// Why a TLS listener cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The system gives no random bytes.
    #[error("there are no random bytes to be had")]
    NoRandomBytes,
    /// No certificate is configured.
    #[error("no certificate")]
    NoCertificate,
    /// The library refuses the settings.
    #[error(transparent)]
    Refused(#[from] rustls::Error),
    /// The library refuses the authorities of clients.
    #[error(transparent)]
    Authorities(#[from] VerifierBuilderError),
}

/// What does handshakes for a listener.
#[derive(Clone)]
pub struct Acceptor {
    of: Arc<Listener>,
    acceptor: TlsAcceptor,
    certificates: Arc<Certificates>,
}

/// What is known of a session beyond its stream.
#[derive(Debug)]
pub struct Session {
    /// What the client asked for, if there was more than one certificate to choose from.
    asked: Option<(Box<str>, Arc<Names>)>,
    client: Option<ClientCertificate>,
}

impl TlsShared {
    /// Seals session tickets with the keys of the process before, if there was one.
    ///
    /// # Errors
    /// When there are no random bytes to be had.
    pub fn new(known: &[TicketKey]) -> Result<Self, TlsError> {
        let tickets = Tickets::new(known).ok_or(TlsError::NoRandomBytes)?;
        Ok(Self {
            tickets: Arc::new(tickets),
        })
    }

    /// The keys that seal session tickets, for the process after this one.
    pub fn ticket_keys(&self) -> Vec<TicketKey> {
        self.tickets.keys()
    }

    /// What does handshakes for a listener; `None` if it has no TLS.
    ///
    /// # Errors
    /// When the library refuses its settings; `config` has looked at all of them before.
    pub fn acceptor(&self, listener: &Arc<Listener>) -> Result<Option<Acceptor>, TlsError> {
        let Some(tls) = &listener.tls else {
            return Ok(None);
        };
        let certificates = Arc::new(Certificates::new(&tls.certificates));
        let mut config = server_config(tls, &certificates)?;
        if listener.http2 {
            config.alpn_protocols.insert(0, b"h2".to_vec());
        }
        if tls.client.is_none() {
            config.ticketer = Arc::clone(&self.tickets) as _;
            // Each ticket is a sealing and 100 bytes; one is enough to come back with.
            config.send_tls13_tickets = 1;
        }
        Ok(Some(Acceptor {
            of: Arc::clone(listener),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificates,
        }))
    }
}

/// What does handshakes for the admin listener. Those who come are few: no session is resumed.
///
/// # Errors
/// When the library refuses the settings; `config` has looked at all of them before.
pub fn admin_config(tls: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let certificates = Arc::new(Certificates::new(&tls.certificates));
    server_config(tls, &certificates).map(Arc::new)
}

/// What all have in common: HTTP/1.1, and no session that is resumed.
fn server_config(tls: &Tls, certificates: &Arc<Certificates>) -> Result<ServerConfig, TlsError> {
    if tls.certificates.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let versions = match tls.min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12][..],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)?;
    let builder = match &tls.client {
        None => builder.with_no_client_auth(),
        Some(client) => builder.with_client_cert_verifier(verifier(client)?),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(certificates) as _);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn verifier(client: &ClientCertificates) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in &client.authorities {
        roots.add(authority.clone())?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match client.mode {
        ClientMode::Required => builder,
        ClientMode::Optional => builder.allow_unauthenticated(),
    };
    Ok(builder.build()?)
}

impl Acceptor {
    /// Takes the listener's newer settings over, if they differ in certificates at most; false if another
    /// acceptor is needed.
    pub fn follow(&mut self, listener: &Arc<Listener>) -> bool {
        if Arc::ptr_eq(&self.of, listener) {
            return true;
        }
        let (Some(old), Some(new)) = (&self.of.tls, &listener.tls) else {
            return false;
        };
        if !old.is_like(new) || self.of.http2 != listener.http2 {
            return false;
        }
        if old.certificates != new.certificates {
            self.certificates.replace(&new.certificates);
        }
        self.of = Arc::clone(listener);
        true
    }

    /// Does the handshake. Cancel-safe.
    ///
    /// # Errors
    /// When it fails, or the timer fires first; says why.
    pub async fn handshake(
        &self,
        stream: TcpStream,
        timer: &Timer,
    ) -> Result<(Stream, Option<Rc<Session>>), TlsResult> {
        let mut accepting = pin!(self.acceptor.accept(stream).into_fallible());
        let accepted = poll_fn(|cx| match accepting.as_mut().poll(cx) {
            Poll::Ready(Ok(stream)) => Poll::Ready(Ok(stream)),
            Poll::Ready(Err((error, stream))) => Poll::Ready(Err((reason(&error), Some(stream)))),
            Poll::Pending => timer
                .poll_expired(cx)
                .map(|()| Err((TlsResult::TimedOut, None))),
        })
        .await;
        let stream = match accepted {
            Ok(stream) => stream,
            Err((result, stream)) => {
                if let Some(stream) = stream.filter(|_| result.is_of_certificate()) {
                    hear_out(stream, timer).await;
                }
                return Err(result);
            }
        };
        let session = self.session(&stream);
        let stream = Stream::Tls(Box::new(TlsStream::Server(stream)));
        Ok((stream, session))
    }

    fn session(&self, stream: &server::TlsStream<TcpStream>) -> Option<Rc<Session>> {
        let (_, connection) = stream.get_ref();
        let asked = connection.server_name().and_then(|name| {
            let name = name.strip_suffix('.').unwrap_or(name);
            Some((name.to_ascii_lowercase().into(), self.certificates.names()?))
        });
        let chain = connection.peer_certificates().unwrap_or_default();
        let client = ClientCertificate::of(chain);
        (asked.is_some() || client.is_some()).then(|| Rc::new(Session { asked, client }))
    }
}

impl Session {
    /// Whether a request for this host (in lower case, without port) belongs on another connection: it is the name
    /// of another certificate than the one that this client has asked for. Who asked for none is not sent away: it
    /// has nothing to ask for.
    pub fn is_misdirected(&self, host: &[u8]) -> bool {
        let Some((name, names)) = &self.asked else {
            return false;
        };
        let host = std::str::from_utf8(host);
        host.is_ok_and(|host| names.is_misdirected(name, host))
    }

    /// The certificate that the client has shown, verified.
    pub fn client(&self) -> Option<&ClientCertificate> {
        self.client.as_ref()
    }
}

/// Ends our side and reads what there is. A client of TLS 1.3 sends its request along with its certificate: to
/// close before that is read would be a reset, which overtakes the alert that says what is wrong.
async fn hear_out(mut stream: TcpStream, timer: &Timer) {
    timer.set(Instant::now() + HEARING);
    let mut room = [0; 1024];
    let mut pieces = 0;
    poll_fn(|cx| {
        if ready!(Pin::new(&mut stream).poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        while pieces < MOST_PIECES && timer.poll_expired(cx).is_pending() {
            let mut into = ReadBuf::new(&mut room);
            let read = ready!(Pin::new(&mut stream).poll_read(cx, &mut into));
            if read.is_err() || into.filled().is_empty() {
                break;
            }
            pieces += 1;
        }
        Poll::Ready(())
    })
    .await;
}

/// How long, and how many reads, a client that is refused is heard out.
const HEARING: Duration = Duration::from_secs(1);
const MOST_PIECES: usize = 64;

/// The reason of a handshake that failed, as it is counted.
fn reason(error: &io::Error) -> TlsResult {
    let inner = error.get_ref();
    let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        // What is not TLS's is the socket's.
        return TlsResult::ClientGone;
    };
    match error {
        rustls::Error::AlertReceived(_) => TlsResult::ClientAlert,
        rustls::Error::InvalidMessage(_) => TlsResult::NotTls,
        rustls::Error::NoCertificatesPresented => TlsResult::CertificateMissing,
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsResult::CertificateExpired,
            CertificateError::UnknownIssuer => TlsResult::CertificateUntrusted,
            _ => TlsResult::CertificateInvalid,
        },
        rustls::Error::PeerIncompatible(error) => match error {
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled => TlsResult::ProtocolVersion,
            _ => TlsResult::NothingInCommon,
        },
        rustls::Error::NoApplicationProtocol => TlsResult::NothingInCommon,
        _ => TlsResult::Failed,
    }
}

impl fmt::Debug for TlsShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsShared").finish_non_exhaustive()
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("of", &self.of.name)
            .finish_non_exhaustive()
    }
}
