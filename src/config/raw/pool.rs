//! `[pools.*]` as written.

use std::time::Duration;

use serde::Deserialize;

use super::loose::{Field, List, tables};
use crate::backend::steering;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pool {
    pub(crate) strategy: Field<String>,
    pub(crate) hash: Field<Hash>,
    pub(crate) backends: Field<List<Backend>>,
    pub(crate) sticky: Field<Sticky>,
    pub(crate) timeouts: Field<Timeouts>,
    pub(crate) protocol: Field<String>,
    pub(crate) tls: Field<Tls>,
    pub(crate) header_case: Field<String>,
    pub(crate) forwarded: Field<String>,
    pub(crate) via: Field<bool>,
    pub(crate) retry: Field<Retry>,
    pub(crate) limits: Field<Limits>,
    pub(crate) health: Field<Health>,
    pub(crate) panic_threshold: Field<String>,
    pub(crate) outlier: Field<Outlier>,
    pub(crate) slow_start: Field<String>,
    pub(crate) drain: Field<Drain>,
}

/// How a backend is emptied.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Drain {
    pub(crate) sessions: Field<String>,
    pub(crate) streams: Field<String>,
    pub(crate) spread: Field<String>,
}

/// What of a client's address counts, for `strategy = "ip-hash"`. A table of its own, because other hashes will have
/// other keys, and a pool's own keys should mean something with every strategy.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Hash {
    pub(crate) ipv4_prefix: Field<i64>,
    pub(crate) ipv6_prefix: Field<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Backend {
    pub(crate) address: Field<String>,
    pub(crate) weight: Field<i64>,
    pub(crate) max_in_flight: Field<i64>,
    pub(crate) id: Field<String>,
    pub(crate) backup: Field<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Sticky {
    pub(crate) cookie: Field<String>,
    pub(crate) secret: Field<Secret>,
    pub(crate) previous: Field<List<Secret>>,
    pub(crate) same_site: Field<String>,
    pub(crate) max_idle: Field<String>,
    pub(crate) max_life: Field<String>,
}

/// Where a secret is: never in the configuration itself, which is read, copied and committed by many.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Secret {
    pub(crate) file: Field<String>,
    pub(crate) env: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Timeouts {
    pub(crate) connect: Field<String>,
    pub(crate) response: Field<String>,
    pub(crate) idle: Field<String>,
    pub(crate) tunnel: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tls {
    pub(crate) ca: Field<String>,
    pub(crate) server_name: Field<String>,
    pub(crate) certificate: Field<String>,
    pub(crate) key: Field<String>,
    pub(crate) verify: Field<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Retry {
    pub(crate) attempts: Field<i64>,
    pub(crate) budget: Field<String>,
    pub(crate) on: Field<List<String>>,
    pub(crate) per_try_timeout: Field<String>,
    pub(crate) deadline: Field<String>,
    pub(crate) replay_buffer: Field<String>,
    pub(crate) hedge: Field<String>,
}

/// How much at once.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Limits {
    pub(crate) in_flight: Field<i64>,
    pub(crate) per_backend: Field<i64>,
    pub(crate) queue: Field<i64>,
    pub(crate) queue_timeout: Field<String>,
    pub(crate) adaptive: Field<bool>,
    pub(crate) adaptive_floor: Field<i64>,
}

/// How its backends are checked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Health {
    pub(crate) check: Field<String>,
    pub(crate) path: Field<String>,
    pub(crate) host: Field<String>,
    pub(crate) method: Field<String>,
    pub(crate) expected: Field<List<String>>,
    pub(crate) body: Field<String>,
    pub(crate) service: Field<String>,
    pub(crate) interval: Field<String>,
    pub(crate) fast_interval: Field<String>,
    pub(crate) timeout: Field<String>,
    pub(crate) rise: Field<i64>,
    pub(crate) fall: Field<i64>,
    pub(crate) initial: Field<String>,
}

/// When what requests find takes a backend out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Outlier {
    pub(crate) consecutive: Field<i64>,
    pub(crate) interval: Field<String>,
    pub(crate) base_ejection: Field<String>,
    pub(crate) max_ejection: Field<String>,
    pub(crate) max_ejected: Field<String>,
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
