//! TLS with one backend: what a handshake needs, and what earlier ones have taught.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls_pki_types::ServerName;

/// TLS with one backend under one set of settings. Shared by all workers, and by all generations that have the same
/// settings: so sessions resume, and a connection made under other settings is known by its being made with another one
/// of these.
pub struct Secure {
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    /// The same with HTTP/1.1 alone.
    http1: Arc<ClientConfig>,
    agreed: AtomicU8,
    told: Mutex<Option<(Box<str>, Instant)>>,
}

/// What may be spoken on a connection, in the words of ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    H2,
    /// HTTP/2 rather than HTTP/1.1.
    Both,
}

/// What a backend has agreed to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreed {
    /// HTTP/1.1, or nothing, which is the same.
    Http1 = 1,
    /// HTTP/2.
    H2 = 2,
}

impl Secure {
    /// TLS by these settings with a backend that is to show a certificate for `name`.
    pub fn new(settings: &ClientConfig, name: ServerName<'static>, offer: Offer) -> Arc<Self> {
        let mut http1 = settings.clone();
        // Of each backend its own, for another one of the same name could not read its tickets.
        http1.resumption = Resumption::in_memory_sessions(SESSIONS);
        http1.alpn_protocols = vec![HTTP1.to_vec()];
        let mut config = http1.clone();
        config.alpn_protocols = match offer {
            Offer::Http1 => vec![HTTP1.to_vec()],
            Offer::H2 => vec![H2.to_vec()],
            Offer::Both => vec![H2.to_vec(), HTTP1.to_vec()],
        };
        Arc::new(Self {
            name,
            config: Arc::new(config),
            http1: Arc::new(http1),
            agreed: AtomicU8::new(0),
            told: Mutex::new(None),
        })
    }

    /// What its certificate has to be good for.
    pub fn name(&self) -> &ServerName<'static> {
        &self.name
    }

    /// How a handshake is to be done; with HTTP/1.1 only if nothing else will do.
    pub fn config(&self, only_http1: bool) -> &Arc<ClientConfig> {
        if only_http1 {
            &self.http1
        } else {
            &self.config
        }
    }

    /// What the last handshake that offered all there is has agreed on.
    pub fn agreed(&self) -> Option<Agreed> {
        match self.agreed.load(Ordering::Relaxed) {
            1 => Some(Agreed::Http1),
            2 => Some(Agreed::H2),
            _ => None,
        }
    }

    /// Remembers what a handshake has agreed on.
    pub fn note(&self, agreed: Agreed) {
        self.agreed.store(agreed as u8, Ordering::Relaxed);
    }

    /// Whether a failure is worth a word in the log: another one than the last, or one that was told of long ago.
    pub fn is_news(&self, reason: &str, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let old = told.as_ref().is_some_and(|(last, when)| {
            &**last == reason && now.saturating_duration_since(*when) < SILENCE
        });
        if !old {
            *told = Some((reason.into(), now));
        }
        !old
    }
}

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure")
            .field("name", &self.name)
            .field("agreed", &self.agreed())
            .finish_non_exhaustive()
    }
}

const HTTP1: &[u8] = b"http/1.1";
const H2: &[u8] = b"h2";

/// Sessions that wait to be resumed: those of one server.
const SESSIONS: usize = 8;

/// How long the same failure of the same backend is told once only.
const SILENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::crypto::aws_lc_rs;

    use super::*;

    #[test]
    fn the_same_failure_is_told_once_a_minute() {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let settings = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from("shop.test").unwrap();
        let secure = Secure::new(&settings, name, Offer::Both);
        let begin = Instant::now();
        for (after, reason, told) in [
            (0, "expired", true),
            (1, "expired", false),
            (59, "expired", false),
            (60, "expired", true),
            (61, "refused", true),
            (62, "expired", true),
            (63, "expired", false),
        ] {
            let now = begin + Duration::from_secs(after);
            assert_eq!(secure.is_news(reason, now), told, "{after} {reason}");
        }
    }
}
