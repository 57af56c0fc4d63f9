//! `[server]`, `[admin]`, `[log]`, `[trace]` and `[dns]` as written.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::listener::Tls;
use super::loose::{Field, List, tables};
use super::unit::{DurationText, PercentText};
use crate::config::compile::process::{CLIENT_IPS, CONTEXTS, FORMATS, LEVELS};
use crate::config::schema::words;

/// The process.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Server {
    /// Worker threads; 0: one for each core. A change needs a restart.
    pub(crate) workers: Field<i64>,
    /// How SIGTERM ends it.
    pub(crate) shutdown: Field<Shutdown>,
}

/// How SIGTERM ends the process.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Shutdown {
    /// How long it goes on serving while `/readyz` already says no. Default: 0s.
    pub(crate) delay: Field<DurationText>,
    /// How long requests may take to end after that. Default: 30s.
    pub(crate) deadline: Field<DurationText>,
    /// Over how long WebSockets are told to go, over half of the deadline at most. Default: 5s.
    pub(crate) spread: Field<DurationText>,
}

/// Where to look and steer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Admin {
    /// Where it listens: loopback, `unix:/path`, or with `token_file` and `tls` any address. A change needs a restart.
    pub(crate) address: Field<String>,
    /// The file with the token that steering takes over TCP, and from other machines looking too; 16 bytes at least.
    pub(crate) token_file: Field<String>,
    /// TLS; whether there is any takes a restart.
    pub(crate) tls: Field<Tls>,
}

/// The log of the process, and of requests.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Log {
    /// The least severe level that is written. Default: info.
    #[schemars(extend("enum" = words(&LEVELS)))]
    pub(crate) level: Field<String>,
    /// Requests that `forecourt why` can tell of. Default: 1000; 0: none.
    pub(crate) recent: Field<i64>,
    /// One line for each request.
    pub(crate) access: Field<Access>,
}

/// The access log.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Access {
    /// Where lines go: `stdout`, `off` or a file, reopened on SIGUSR1. Default: stdout.
    pub(crate) path: Field<String>,
    /// How lines look. Default: json.
    #[schemars(extend("enum" = words(&FORMATS)))]
    pub(crate) format: Field<String>,
    /// Of how many requests there is a line; of those that failed or were slow there always is. Default: 100%.
    pub(crate) sample: Field<PercentText>,
    /// From which time on a request is slow. Default: 1s.
    pub(crate) slow: Field<DurationText>,
    /// How much of the client's address lines have. Default: full.
    #[schemars(extend("enum" = words(&CLIENT_IPS)))]
    pub(crate) client_ip: Field<String>,
    /// Whether lines have the query. Default: false.
    pub(crate) query: Field<bool>,
    /// Parameters of queries whose values are masked.
    pub(crate) redact: Field<List<String>>,
    /// Fields of the request that lines have: `referer`, `user-agent`. Default: both if the format is combined.
    pub(crate) headers: Field<List<String>>,
    /// Whether lines of JSON say how the backend came to be picked. Default: false.
    pub(crate) decision: Field<bool>,
}

/// The traces that requests are part of; what holds by default says `plan::process::Trace`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Trace {
    /// What becomes of `traceparent`. Default: pass.
    #[schemars(extend("enum" = words(&CONTEXTS)))]
    pub(crate) context: Field<String>,
    /// Of the traces that begin here, how many are recorded. Default: 100%.
    pub(crate) sample: Field<PercentText>,
    /// Where our own part of them goes. Default: nowhere.
    pub(crate) export: Field<Export>,
}

/// Where our own part of them goes: a collector that speaks OTLP over HTTP (feature `otel`).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Export {
    /// The collector, by http or https; /v1/traces is added to a URL without a path. Required.
    pub(crate) endpoint: Field<String>,
    /// A file with lines `name: value` that go with each batch. Default: none.
    pub(crate) headers_file: Field<String>,
    /// How long the collector may take for a batch. Default: 10s.
    pub(crate) timeout: Field<DurationText>,
    /// Requests that may wait to be sent; those beyond are dropped and counted. Default: 2048.
    pub(crate) queue: Field<i64>,
    /// `service.name` of what is sent. Default: forecourt.
    pub(crate) service: Field<String>,
}

/// How names of backends are asked for; what holds by default says `plan::Dns`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Dns {
    /// Whom to ask, such as `10.0.0.53`. Default: whom /etc/resolv.conf names.
    pub(crate) servers: Field<List<String>>,
    /// How long one lookup may take. Default: 2s.
    pub(crate) timeout: Field<DurationText>,
    /// The least time until a name is asked again. Default: 1s.
    pub(crate) min_ttl: Field<DurationText>,
    /// The longest time until a name is asked again. Default: 5m.
    pub(crate) max_ttl: Field<DurationText>,
    /// Addresses of one name that become backends, from 1 to 10000. Default: 256.
    pub(crate) max_addresses: Field<i64>,
    /// Whether a pool must have an address when the configuration is loaded. Default: true.
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
