//! TLS with backends: the handshake, and why one failed.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use rustls::{AlertDescription, CertificateError, Error};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::backend::{Backend, Secure};
use crate::telemetry::Cause;
use crate::worker::{Stream, Timer};

/// Does a handshake, offering HTTP/1.1 alone if nothing else will do. Cancel-safe.
///
/// # Errors
/// [`Cause::TlsFailed`], with the reason in the log; [`Cause::ConnectTimeout`] when the timer fires first.
pub(super) async fn handshake(
    stream: TcpStream,
    (backend, secure): (&Backend, &Arc<Secure>),
    only_http1: bool,
    timer: &Timer,
) -> Result<Stream, Cause> {
    let connector = TlsConnector::from(Arc::clone(secure.config(only_http1)));
    let mut connecting = pin!(connector.connect(secure.name().clone(), stream));
    let connected = poll_fn(|cx| match connecting.as_mut().poll(cx) {
        Poll::Ready(Ok(stream)) => Poll::Ready(Ok(stream)),
        Poll::Ready(Err(error)) => {
            tell(backend, secure, &reason(&error));
            Poll::Ready(Err(Cause::TlsFailed))
        }
        Poll::Pending => timer.poll_expired(cx).map(|()| Err(Cause::ConnectTimeout)),
    })
    .await?;
    Ok(Stream::Tls(Box::new(TlsStream::Client(connected))))
}

/// Tells the log why there is no TLS with a backend, if that is news.
pub(super) fn tell(backend: &Backend, secure: &Secure, reason: &str) {
    if secure.is_news(reason, Instant::now()) {
        let (pool, address) = (&backend.key().pool, backend.address());
        let name = secure.name().to_str();
        tracing::warn!(%pool, backend = %address, %name, %reason, "no TLS with a backend");
    }
}

/// What a backend says that does not like our certificate. In TLS 1.3 it comes in place of the response, for our side of
/// the handshake is over by then; the request has not been looked at.
pub(super) fn refusal(error: &io::Error) -> Option<String> {
    // The framing library keeps no more of an error than its text.
    let text = error.to_string();
    let refusal = OF_CERTIFICATE.map(Error::AlertReceived);
    let refusal = refusal.iter().find(|refusal| refusal.to_string() == text)?;
    Some(words(refusal))
}

/// What is said of certificates.
const OF_CERTIFICATE: [AlertDescription; 9] = [
    AlertDescription::AccessDenied,
    AlertDescription::BadCertificate,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateRequired,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateUnknown,
    AlertDescription::HandshakeFailure,
    AlertDescription::UnknownCA,
    AlertDescription::UnsupportedCertificate,
];

/// Why there is no TLS, in words that say whose it is to correct.
fn reason(error: &io::Error) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    match (inner, error.kind()) {
        (Some(inner), _) => words(inner),
        (None, io::ErrorKind::UnexpectedEof) => "the backend ended the handshake".to_owned(),
        (None, _) => format!("the connection broke: {error}"),
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::AlertReceived(alert) => format!("the backend refused: {alert:?}"),
        Error::NoApplicationProtocol => "the backend does not speak the protocol".to_owned(),
        Error::InvalidMessage(_) => "the backend does not speak TLS".to_owned(),
        Error::InvalidCertificate(of) => match of {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("its certificate has expired: {of}")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("its certificate is not valid yet: {of}")
            }
            CertificateError::UnknownIssuer => {
                "its certificate is of an authority that is not trusted".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("its certificate is for another name: {of}")
            }
            _ => format!("its certificate is not good: {of}"),
        },
        other => other.to_string(),
    }
}
