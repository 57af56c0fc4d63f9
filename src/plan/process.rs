//! The process as a whole: workers, shutdown, admin listener, logs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::listener::ListenAddress;
pub use crate::telemetry::{AccessFormat, AccessTarget, Level};

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
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens: loopback or a Unix socket.
    pub address: ListenAddress,
    /// What whoever steers over TCP must show; without it nobody can.
    pub token: Option<AdminToken>,
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
}

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where lines go.
    pub target: AccessTarget,
    /// How they look.
    pub format: AccessFormat,
}
