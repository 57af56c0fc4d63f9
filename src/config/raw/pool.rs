//! `[pools.*]` as written.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::loose::{Field, List, tables};
use super::unit::{DurationText, PercentText, SizeText};
use crate::backend::steering;
use crate::config::compile::health::KINDS;
use crate::config::compile::pool::{FIELD_CASES, FORWARDED};
use crate::config::compile::sticky::SAME_SITES;
use crate::config::schema::{HEDGE, words};
use crate::health::{CheckMethod, Initial};
use crate::plan::pool::Protocol;
use crate::strategy::Spec;

/// A named group of backends.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Pool {
    /// How a backend is picked. Default: round-robin.
    #[schemars(extend("enum" = Spec::NAMES))]
    pub(crate) strategy: Field<String>,
    /// What of a client's address counts, for ip-hash.
    pub(crate) hash: Field<Hash>,
    /// Required: its backends, at least one.
    pub(crate) backends: Field<List<Backend>>,
    /// A cookie that binds sessions to backends. Default: none.
    pub(crate) sticky: Field<Sticky>,
    /// How long backends may take.
    pub(crate) timeouts: Field<Timeouts>,
    /// What is spoken with its backends. Default: http/1.1.
    #[schemars(extend("enum" = Protocol::ALL.map(Protocol::as_str)))]
    pub(crate) protocol: Field<String>,
    /// TLS to its backends. Default: none.
    pub(crate) tls: Field<Tls>,
    /// How names of fields are written to its backends. Default: keep.
    #[schemars(extend("enum" = words(&FIELD_CASES)))]
    pub(crate) header_case: Field<String>,
    /// In which words its backends are told of the client. Default: x-forwarded.
    #[schemars(extend("enum" = words(&FORWARDED)))]
    pub(crate) forwarded: Field<String>,
    /// Whether requests get `Via: 1.1 forecourt`. Default: true.
    pub(crate) via: Field<bool>,
    /// What is sent again when a backend fails.
    pub(crate) retry: Field<Retry>,
    /// How much at once.
    pub(crate) limits: Field<Limits>,
    /// Checks of its backends. Default: none.
    pub(crate) health: Field<Health>,
    /// With fewer backends well than this share, requests go to all. Default: 50%; 0%: never.
    pub(crate) panic_threshold: Field<PercentText>,
    /// When what requests find takes a backend out.
    pub(crate) outlier: Field<Outlier>,
    /// How long a backend that is back takes less than its share. Default: 0s.
    pub(crate) slow_start: Field<DurationText>,
    /// How a backend is emptied.
    pub(crate) drain: Field<Drain>,
}

/// How a backend is emptied.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Drain {
    /// How long sessions still come to a backend that drains. Default: as long as the drain lasts.
    pub(crate) sessions: Field<DurationText>,
    /// How long WebSockets may stay once nothing new comes. Default: 5m.
    pub(crate) streams: Field<DurationText>,
    /// Over how long they are told to go. Default: 10s.
    pub(crate) spread: Field<DurationText>,
}

/// What of a client's address counts, for `strategy = "ip-hash"`. A table of its own, because other hashes will have
/// other keys, and a pool's own keys should mean something with every strategy.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Hash {
    /// Bits of an IPv4 address that count, from 1 to 32.
    pub(crate) ipv4_prefix: Field<i64>,
    /// Bits of an IPv6 address that count, from 1 to 128.
    pub(crate) ipv6_prefix: Field<i64>,
}

/// A backend.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Backend {
    /// Required: `127.0.0.1:9001`, `[::1]:9001`, `unix:/path`, `name:9001` or `srv:_http._tcp.name`.
    pub(crate) address: Field<String>,
    /// Its share, from 0 to 65535. Default: 1; 0: no new requests.
    pub(crate) weight: Field<i64>,
    /// Requests in flight at once. Default: the pool's `limits.per_backend`.
    pub(crate) max_in_flight: Field<i64>,
    /// What hash and cookie know it by. Default: the address.
    pub(crate) id: Field<String>,
    /// Whether it is asked only when no other is eligible. Default: false.
    pub(crate) backup: Field<bool>,
}

/// A cookie that binds sessions to backends.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Sticky {
    /// Its name. Default: `__Host-fc` over TLS, else `fc`.
    pub(crate) cookie: Field<String>,
    /// Where the key is that seals it. Default: a random one for each start.
    pub(crate) secret: Field<Secret>,
    /// Where keys are that were used before, and still open it.
    pub(crate) previous: Field<List<Secret>>,
    /// The attribute SameSite. Default: auto.
    #[schemars(extend("enum" = words(&SAME_SITES)))]
    pub(crate) same_site: Field<String>,
    /// After how long without a request it counts no more. Default: never.
    pub(crate) max_idle: Field<DurationText>,
    /// After how long it counts no more. Default: never.
    pub(crate) max_life: Field<DurationText>,
}

/// Where a secret is: never in the configuration itself, which is read, copied and committed by many.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Secret {
    /// A file.
    pub(crate) file: Field<String>,
    /// A variable of the environment.
    pub(crate) env: Field<String>,
}

/// How long backends may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "PoolTimeouts")]
pub(crate) struct Timeouts {
    /// Until there is a connection. Default: 2500ms.
    pub(crate) connect: Field<DurationText>,
    /// From the whole request sent to the response's head. Default: 30s.
    pub(crate) response: Field<DurationText>,
    /// How long an unused connection is kept. Default: 60s; 0s: not at all.
    pub(crate) idle: Field<DurationText>,
    /// How long WebSockets, calls of gRPC and streams of events may be silent. Default: 1h.
    pub(crate) tunnel: Field<DurationText>,
}

/// TLS to backends.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "PoolTls")]
pub(crate) struct Tls {
    /// The authorities that vouch for them, a PEM file. Default: those of the system.
    pub(crate) ca: Field<String>,
    /// The name that their certificates must have. Default: the name of the address.
    pub(crate) server_name: Field<String>,
    /// A certificate to show to them, a PEM file.
    pub(crate) certificate: Field<String>,
    /// Its key, a PEM file.
    pub(crate) key: Field<String>,
    /// Whether certificates are verified. Default: true.
    pub(crate) verify: Field<bool>,
}

/// What is sent again when a backend fails.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Retry {
    /// Attempts in all, the first included, from 1 to 15. Default: 2.
    pub(crate) attempts: Field<i64>,
    /// Retries in per cent of all attempts. Default: 20%; 0%: none.
    pub(crate) budget: Field<PercentText>,
    /// After which failures: `connect`, `stale`, `reset`, `5xx` or statuses. Default: the first three.
    pub(crate) on: Field<List<String>>,
    /// From an attempt's request sent to its response's head. Default: `timeouts.response`.
    pub(crate) per_try_timeout: Field<DurationText>,
    /// From the request's arrival to a response's head, all attempts together. Default: none.
    pub(crate) deadline: Field<DurationText>,
    /// Bytes of a body that are kept to be sent again, up to 1MiB. Default: 0, none.
    pub(crate) replay_buffer: Field<SizeText>,
    /// After how long a GET or HEAD gets a second attempt beside the first: a time, `p95` or `off`. Default: off.
    #[schemars(extend("pattern" = HEDGE))]
    pub(crate) hedge: Field<String>,
}

/// How much at once.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "PoolLimits")]
pub(crate) struct Limits {
    /// Requests in flight at all backends together. Default: 0, no limit.
    pub(crate) in_flight: Field<i64>,
    /// The same at each backend. Default: 0, no limit.
    pub(crate) per_backend: Field<i64>,
    /// Requests that wait for a place. Default: 100; 0: none waits.
    pub(crate) queue: Field<i64>,
    /// How long they wait, at most. Default: 1s.
    pub(crate) queue_timeout: Field<DurationText>,
    /// Whether the limit of each backend is found from how long it takes to answer. Default: false.
    pub(crate) adaptive: Field<bool>,
    /// The least that is found. Default: 4.
    pub(crate) adaptive_floor: Field<i64>,
}

/// How its backends are checked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Health {
    /// What is asked of a backend. Default: http.
    #[schemars(extend("enum" = words(&KINDS)))]
    pub(crate) check: Field<String>,
    /// For http, required: what is asked for.
    pub(crate) path: Field<String>,
    /// For http and grpc: what is sent as Host. Default: the backend's address.
    pub(crate) host: Field<String>,
    /// For http: the method. Default: GET.
    #[schemars(extend("enum" = words(&CheckMethod::WORDS)))]
    pub(crate) method: Field<String>,
    /// For http: statuses that are good, such as `200-299`, which is the default.
    pub(crate) expected: Field<List<String>>,
    /// For http: what the first 64 KiB of the body have to contain.
    pub(crate) body: Field<String>,
    /// For grpc: the service. Default: the server as a whole.
    pub(crate) service: Field<String>,
    /// From the end of a check to the next. Default: 2s.
    pub(crate) interval: Field<DurationText>,
    /// The same while it is in doubt. Default: a quarter of the interval.
    pub(crate) fast_interval: Field<DurationText>,
    /// How long a check may take. Default: 1s.
    pub(crate) timeout: Field<DurationText>,
    /// Checks in a row that succeed until it is well again. Default: 2.
    pub(crate) rise: Field<i64>,
    /// Checks in a row that fail until it is out. Default: 3.
    pub(crate) fall: Field<i64>,
    /// What is assumed of it until it has been checked. Default: up.
    #[schemars(extend("enum" = words(&Initial::WORDS)))]
    pub(crate) initial: Field<String>,
}

/// When what requests find takes a backend out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Outlier {
    /// Failures in a row. Default: 5; 0: never for that.
    pub(crate) consecutive: Field<i64>,
    /// Over which shares of 5xx are compared. Default: 10s.
    pub(crate) interval: Field<DurationText>,
    /// How long the first ejection takes; the second takes twice that, and so on. Default: 30s.
    pub(crate) base_ejection: Field<DurationText>,
    /// The most that any takes. Default: 300s.
    pub(crate) max_ejection: Field<DurationText>,
    /// The share of the pool that may be ejected at once. Default: 50%.
    pub(crate) max_ejected: Field<PercentText>,
    /// Whether one whose share of 5xx is far above that of the others is ejected. Default: true.
    pub(crate) success_rate: Field<bool>,
}

tables!(
    Drain, Health, Outlier, Pool, Hash, Backend, Sticky, Secret, Timeouts, Tls, Retry, Limits,
);

/// Fair without knowing anything of the backends, and what everybody expects who has not thought about it.
pub(crate) const STRATEGY: &str = "round-robin";
/// Equal shares.
pub(crate) const WEIGHT: u32 = 1;
/// Weights are shares: beyond this they only make the sequence longer.
pub(crate) const WEIGHT_MOST: i64 = steering::WEIGHT_MOST as i64;
/// A backend in the same data centre answers in a millisecond. But a SYN that is lost, as to a queue of connections that
/// is full for a moment, is said again by the kernel a second later (RFC 6298): a deadline of one second would make a
/// failure of every lost packet. What is not there after a second resend is better sought elsewhere.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(2500);
/// Longer than a shopper waits, long enough for the slowest honest report.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Near the keep-alive of common application servers; a connection closed by the backend first is noticed and replaced.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// RFC 9110 section 7.6.3 demands it of a gateway, and it is how a balancer among its own backends is found.
pub(crate) const VIA: bool = true;
/// A dead backend is out after some five seconds, and a check a second or two is no load for anybody.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Whoever takes longer to say that it is well, is not.
pub(crate) const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// The part of the interval after which a doubt is followed up.
pub(crate) const CHECK_FAST_PART: u32 = 4;
/// One good answer may be luck.
pub(crate) const RISE: u32 = 2;
/// One bad answer may be a lost packet, two a pause of the garbage collector.
pub(crate) const FALL: u32 = 3;
/// Beyond this a verdict takes minutes.
pub(crate) const IN_ROW_MOST: i64 = 1000;
/// When most of a pool seems to be down it is often the check, or the network between, that is; and the few that are left
/// would fall under the load of all.
pub(crate) const PANIC_THRESHOLD: u8 = 50;
/// TLS that anybody can pretend to hides from those who only listen.
pub(crate) const VERIFY: bool = true;
/// Longer than applications let a WebSocket be silent, which ping each other every minute or so.
pub(crate) const TUNNEL_TIMEOUT: Duration = Duration::from_secs(3600);
/// One more than none: what a second backend does not answer either, a third seldom does.
pub(crate) const RETRY_ATTEMPTS: u32 = 2;
/// As many as a request can remember to have tried.
pub(crate) const RETRY_ATTEMPTS_MOST: i64 = 15;
/// Envoy's, and linkerd's: enough for one of four backends to fail, too little to make an outage of it.
pub(crate) const RETRY_BUDGET: u8 = 20;
/// A mebibyte for each request in flight is more than anybody should hold.
pub(crate) const REPLAY_BUFFER_MOST: u64 = 1 << 20;
/// No limit: how much a backend can take is for whoever runs it to say.
pub(crate) const IN_FLIGHT: u32 = 0;
/// More than any backend has ever had.
pub(crate) const IN_FLIGHT_MOST: i64 = 1_000_000;
/// Where there are limits, a burst should wait a moment and not fail; and what is longer than this, no shopper waits for.
pub(crate) const QUEUE: usize = 100;
/// A request that waits has a connection and a few kilobytes.
pub(crate) const QUEUE_MOST: i64 = 100_000;
/// Longer than a burst takes, shorter than a shopper needs to reload the page, which would make two of one.
pub(crate) const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);
/// How much a backend can take is for whoever runs it to say.
pub(crate) const ADAPTIVE: bool = false;
/// Enough to see how long it takes, too little to harm whoever can serve a few at once.
pub(crate) const ADAPTIVE_FLOOR: u32 = 4;
/// Where no limit is written: more than a backend serves at once that is worth limiting.
pub(crate) const ADAPTIVE_MOST: u32 = 1000;
