//! Pools: backends with a strategy, stickiness and deadlines.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;

use super::names::{self, Found, NamePlan, Question};
use super::tls::Certificate;
use crate::backend::Address;
use crate::health::{Policy, outlier};
use crate::limit::adaptive::Bounds;
use crate::message::FieldCase;
use crate::message::forwarded::Words;
use crate::strategy::{PanicThreshold, Spec, StickySpec};

/// A named group of backends.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// The name in the configuration; a label in metrics and log.
    pub name: Arc<str>,
    /// How a backend is picked.
    pub strategy: Spec,
    /// Whether sessions keep their backend, and by which cookie.
    pub sticky: Option<StickySpec>,
    /// Each address once; not all of weight 0. Empty only while no name has an address.
    pub backends: Vec<BackendPlan>,
    /// Its entries that are names; what they have found is among the backends.
    pub names: Vec<NamePlan>,
    /// Deadlines towards backends.
    pub timeouts: PoolTimeouts,
    /// What is spoken with its backends.
    pub protocol: Protocol,
    /// TLS towards its backends, if it is spoken.
    pub tls: Option<Arc<PoolTls>>,
    /// How requests look to its backends.
    pub style: RequestStyle,
    /// What is sent again.
    pub retry: Retry,
    /// How much at once.
    pub limits: Limits,
    /// How its backends are checked, if they are.
    pub health: Option<Arc<Policy>>,
    /// The share of backends that must be well for health to be asked for.
    pub panic_threshold: PanicThreshold,
    /// When what requests find takes a backend out.
    pub outlier: outlier::Policy,
    /// How long a backend that is back or new takes less than its share; zero: not at all.
    pub slow_start: Duration,
    /// How long what is at a backend may stay that is drained or removed.
    pub drain: Drain,
}

/// How a backend is emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long sessions that are bound to it still come; absent: as long as the drain lasts.
    pub sessions: Option<Duration>,
    /// How long WebSockets and other tunnels may stay once nothing new comes.
    pub streams: Duration,
    /// Over how long they are told to go then.
    pub spread: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            sessions: None,
            streams: Duration::from_secs(300),
            spread: Duration::from_secs(10),
        }
    }
}

impl Pool {
    /// Takes what names have found; says whether that makes other backends.
    pub fn take_found(&mut self, found: impl Fn(&Question) -> Option<Arc<[Found]>>) -> bool {
        for name in &mut self.names {
            if let Some(found) = found(&name.question) {
                name.found = found;
            }
        }
        let backends = names::expand(&self.backends, &self.names);
        let is_another = backends != self.backends;
        self.backends = backends;
        is_another
    }
}

/// How many requests at once, and how many may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in flight at all backends together; 0 for as many as come.
    pub in_flight: u32,
    /// Requests that wait for a place; 0 for none.
    pub queue: usize,
    /// How long they wait.
    pub queue_timeout: Duration,
    /// Whether what each backend may have in flight follows from how long it takes, within these.
    pub adaptive: Option<Bounds>,
}

/// What is sent again, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts that may reach a backend, the first included.
    pub attempts: u32,
    /// Retries, in per cent of what is sent; see `limit::budget`.
    pub budget: u8,
    /// After which failures.
    pub on: RetryOn,
    /// From one attempt's request sent to its response's head; absent if an attempt may take as long as the response.
    pub per_try_timeout: Option<Duration>,
    /// From the request's arrival to a response's head, all attempts together.
    pub deadline: Option<Duration>,
    /// Bytes of a request's body that are kept, so that it can be sent again.
    pub replay_buffer: usize,
    /// When a second attempt is made beside the first.
    pub hedge: Hedge,
}

/// When a request without a head gets a second attempt beside the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hedge {
    /// Never.
    #[default]
    Off,
    /// After so long.
    After(Duration),
    /// After what 95 of 100 heads of the pool have taken lately.
    Percentile95,
}

/// After which failures a request is sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryOn {
    /// No backend has seen the request.
    pub connect: bool,
    /// A reused connection ended without a byte of response.
    pub stale: bool,
    /// A connection ended before the response's head was whole.
    pub reset: bool,
    /// These statuses, from 500 to 599.
    pub statuses: Vec<RangeInclusive<u16>>,
}

impl RetryOn {
    /// Whether a response with this status is taken for a failure.
    #[must_use]
    pub fn has_status(&self, status: u16) -> bool {
        status >= 500 && self.statuses.iter().any(|range| range.contains(&status))
    }
}

/// What is spoken with the backends of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
    /// HTTP/2 over TLS; a backend that does not agree to it is a failure.
    H2,
    /// Over TLS, what each backend agrees to (RFC 7301): HTTP/2 rather than HTTP/1.1.
    Auto,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Http1, Self::H2c, Self::H2, Self::Auto];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::H2c => "h2c",
            Self::H2 => "h2",
            Self::Auto => "auto",
        }
    }
}

/// TLS towards the backends of a pool.
#[derive(Clone)]
pub struct PoolTls {
    /// The file of the authorities that vouch for backends; absent if those of the system do.
    pub ca: Option<PathBuf>,
    /// The authorities; none if backends are not verified.
    pub roots: Arc<RootCertStore>,
    /// What is shown to backends that ask for a certificate.
    pub client: Option<Certificate>,
    /// Whether backends have to show who they are.
    pub verify: bool,
    /// All of this as the library takes it; what differs from backend to backend is added to copies of it.
    pub config: Arc<ClientConfig>,
}

/// The configuration is made of the rest.
impl PartialEq for PoolTls {
    fn eq(&self, other: &Self) -> bool {
        self.ca == other.ca
            && self.verify == other.verify
            && self.client == other.client
            && self.roots.roots == other.roots.roots
    }
}

impl fmt::Debug for PoolTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolTls")
            .field("ca", &self.ca)
            .field("client", &self.client)
            .field("verify", &self.verify)
            .finish_non_exhaustive()
    }
}

/// A backend as the operator wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendPlan {
    /// Where it is.
    pub address: Address,
    /// What hash and cookie know it by: the id given, or the address as written; for one by name see [`names`].
    pub id: Arc<str>,
    /// The name that it came from; none if the configuration has its address.
    pub name: Option<Arc<str>>,
    /// What its certificate has to be good for; absent without TLS.
    pub server_name: Option<ServerName<'static>>,
    /// Its share; 0 for no new traffic.
    pub weight: u32,
    /// Requests in flight at once; 0 for as many as come.
    pub max_in_flight: u32,
    /// Whether it is asked only when no other backend is left. Never true of all.
    pub backup: bool,
}

/// Deadlines towards backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolTimeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// From the whole request sent to the response's head.
    pub response: Duration,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// How long a connection that has changed its protocol may be silent, both ways.
    pub tunnel: Duration,
}

/// How requests look to the backends of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestStyle {
    /// In which case field names are written.
    pub case: FieldCase,
    /// In which words the backend is told of the client.
    pub forwarded: Words,
    /// Whether `Via` is added.
    pub via: bool,
}
