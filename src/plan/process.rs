//! The process as a whole: workers, shutdown, admin listener, logs, traces.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::export::Export;
use super::listener::ListenAddress;
use super::tls::Tls;
pub use crate::telemetry::{AccessFormat, AccessTarget, ClientIp, Level};

/// The process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Worker threads, at least 1 (0 in the file has become one per core). Fixed for the life of the process.
    pub workers: usize,
    /// How SIGTERM ends it.
    pub shutdown: Shutdown,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Keep serving, unready, for this long: time for whoever sends traffic to notice.
    pub delay: Duration,
    /// Then wait up to this long for requests to end.
    pub deadline: Duration,
    /// Over this long WebSockets are told to go, but over half of the deadline at most.
    pub spread: Duration,
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Where it listens: loopback, a Unix socket, or with token and TLS anywhere.
    pub address: ListenAddress,
    /// What whoever steers over TCP must show, and whoever looks from another machine; without it nobody can.
    pub token: Option<AdminToken>,
    /// What it shows; absent: plain HTTP.
    pub tls: Option<Tls>,
}

/// A token that lets its bearer steer. Shows as `redacted`.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(Arc<[u8]>);

impl AdminToken {
    /// A token of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Arc::from(bytes))
    }

    /// What its bearer sends. To be compared in constant time only.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(redacted)")
    }
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least severe level that is written.
    pub level: Level,
    /// One line for each request.
    pub access: AccessLog,
    /// Requests that are remembered.
    pub recent: usize,
}

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where lines go.
    pub target: AccessTarget,
    /// How they look.
    pub format: AccessFormat,
    /// Of how many exchanges in a hundred there is a line; of those that failed or were slow there always is.
    pub sample: u8,
    /// From which time on an exchange is slow.
    pub slow: Duration,
    /// How much of the client's address they have.
    pub client_ip: ClientIp,
    /// Whether they have queries.
    pub query: bool,
    /// Parameters of queries whose values are masked.
    pub redact: Vec<Box<str>>,
    /// Whether they have the field `Referer`.
    pub referer: bool,
    /// Whether they have the field `User-Agent`.
    pub user_agent: bool,
    /// Whether they say how the backend came to be picked.
    pub decision: bool,
}

impl Default for AccessLog {
    /// All exchanges, as JSON on standard output, without what may hold secrets or is seldom asked for.
    fn default() -> Self {
        Self {
            target: AccessTarget::Stdout,
            format: AccessFormat::Json,
            sample: 100,
            slow: Duration::from_secs(1),
            client_ip: ClientIp::Full,
            query: false,
            redact: Vec::new(),
            referer: false,
            user_agent: false,
            decision: false,
        }
    }
}

/// Traces (W3C Trace Context).
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// What becomes of the trace that a request comes with.
    pub context: TraceContext,
    /// Of how many traces in a hundred that begin here the backends are asked to record their part.
    pub sample: u8,
    /// Where our own part of those that are recorded goes; absent if we record none.
    pub export: Option<Arc<Export>>,
}

/// What becomes of the trace that a request comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceContext {
    /// It goes on; where there is none, or none that can be read, one begins.
    Begin,
    /// It goes on; none begins.
    Pass,
    /// It ends, and another one begins.
    Restart,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            context: TraceContext::Pass,
            sample: 100,
            export: None,
        }
    }
}
