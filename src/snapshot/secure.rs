//! TLS with backends, kept over generations as long as its settings are the same.

use std::fmt;
use std::sync::{Arc, Weak};

use ahash::RandomState;
use dashmap::DashMap;
use rustls_pki_types::ServerName;

use crate::backend::secure::Offer;
use crate::backend::{BackendKey, Secure};
use crate::plan::pool::{PoolTls, Protocol};

/// What TLS with one backend is made of.
#[derive(Debug, PartialEq)]
pub(super) struct Settings {
    tls: Arc<PoolTls>,
    protocol: Protocol,
    name: ServerName<'static>,
}

impl Settings {
    pub(super) fn new(tls: &Arc<PoolTls>, protocol: Protocol, name: ServerName<'static>) -> Self {
        Self {
            tls: Arc::clone(tls),
            protocol,
            name,
        }
    }

    fn make(&self) -> Arc<Secure> {
        let offer = match self.protocol {
            Protocol::Http1 => Offer::Http1,
            Protocol::H2c | Protocol::H2 => Offer::H2,
            Protocol::Auto => Offer::Both,
        };
        Secure::new(&self.tls.config, self.name.clone(), offer)
    }
}

/// The newest of each backend, with its settings.
#[derive(Default)]
pub(super) struct Secured(DashMap<BackendKey, (Settings, Weak<Secure>), RandomState>);

impl Secured {
    /// The one of these settings, living or new.
    pub(super) fn adopt(&self, key: BackendKey, settings: Settings) -> Arc<Secure> {
        let living = self.0.get(&key).and_then(|entry| {
            let (last, secure) = entry.value();
            (*last == settings).then(|| secure.upgrade()).flatten()
        });
        living.unwrap_or_else(|| {
            let made = settings.make();
            self.0.insert(key, (settings, Arc::downgrade(&made)));
            made
        })
    }

    pub(super) fn sweep(&self) {
        self.0.retain(|_, (_, secure)| secure.strong_count() > 0);
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secured").field(&self.0.len()).finish()
    }
}
