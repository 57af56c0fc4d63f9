//! `[server]`, `[admin]`, `[log]`, `[trace]` and `[dns]` as written.

use std::time::Duration;

use serde::Deserialize;

use super::listener::Tls;
use super::loose::{Field, List, tables};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Server {
    pub(crate) workers: Field<i64>,
    pub(crate) shutdown: Field<Shutdown>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Shutdown {
    pub(crate) delay: Field<String>,
    pub(crate) deadline: Field<String>,
    pub(crate) spread: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Admin {
    pub(crate) address: Field<String>,
    pub(crate) token_file: Field<String>,
    pub(crate) tls: Field<Tls>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Log {
    pub(crate) level: Field<String>,
    pub(crate) recent: Field<i64>,
    pub(crate) access: Field<Access>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Access {
    pub(crate) path: Field<String>,
    pub(crate) format: Field<String>,
    pub(crate) sample: Field<String>,
    pub(crate) slow: Field<String>,
    pub(crate) client_ip: Field<String>,
    pub(crate) query: Field<bool>,
    pub(crate) redact: Field<List<String>>,
    pub(crate) headers: Field<List<String>>,
    pub(crate) decision: Field<bool>,
}

/// The traces that requests are part of; what holds by default says `plan::process::Trace`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Trace {
    pub(crate) context: Field<String>,
    pub(crate) sample: Field<String>,
    pub(crate) export: Field<Export>,
}

/// Where our own part of them goes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Export {
    pub(crate) endpoint: Field<String>,
    pub(crate) headers_file: Field<String>,
    pub(crate) timeout: Field<String>,
    pub(crate) queue: Field<i64>,
    pub(crate) service: Field<String>,
}

/// How names of backends are asked for; what holds by default says `plan::Dns`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Dns {
    pub(crate) servers: Field<List<String>>,
    pub(crate) timeout: Field<String>,
    pub(crate) min_ttl: Field<String>,
    pub(crate) max_ttl: Field<String>,
    pub(crate) max_addresses: Field<i64>,
    pub(crate) required: Field<bool>,
}

tables!(Server, Shutdown, Admin, Log, Access, Trace, Export, Dns,);

/// Nobody in front needs to notice: whoever has such a somebody knows how long that takes, and sets it.
pub(crate) const SHUTDOWN_DELAY: Duration = Duration::ZERO;
/// What process managers commonly wait between asking and killing, and as long as a response may take.
pub(crate) const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(30);
/// Long enough that a server can greet those again who come back, short beside the deadline.
pub(crate) const SHUTDOWN_SPREAD: Duration = Duration::from_secs(5);
/// A few minutes of trouble, in a megabyte.
pub(crate) const RECENT: usize = 1000;
/// Of memory, some hundreds of megabytes: nobody looks at more.
pub(crate) const RECENT_MOST: i64 = 100_000;
/// What OpenTelemetry's own exporters wait for a collector.
pub(crate) const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// As many as OpenTelemetry's own exporters keep: some megabytes.
pub(crate) const EXPORT_QUEUE: usize = 2048;
/// Of memory, a hundred megabytes; whoever needs more needs a faster collector.
pub(crate) const EXPORT_QUEUE_MOST: i64 = 65_536;
/// What is shown for all instances together.
pub(crate) const EXPORT_SERVICE: &str = "forecourt";
/// All of them would be connected to and checked.
pub(crate) const ADDRESSES_MOST: i64 = 10_000;
/// More than any machine has cores: a typing error.
pub(crate) const WORKERS_MOST: i64 = 1024;
