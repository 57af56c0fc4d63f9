//! `[listeners.*]` as written.

use std::time::Duration;

use serde::Deserialize;
use toml::de::DeTable;

use super::action;
use super::loose::{Field, List, tables};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Listener {
    pub(crate) address: Field<String>,
    pub(crate) trusted_proxies: Field<List<String>>,
    pub(crate) http2: Field<bool>,
    pub(crate) abort_on_close: Field<bool>,
    pub(crate) proxy_protocol: Field<String>,
    pub(crate) tls: Field<Tls>,
    pub(crate) paths: Field<Paths>,
    pub(crate) timeouts: Field<Timeouts>,
    pub(crate) limits: Field<Limits>,
    pub(crate) response_headers: Field<action::Fields>,
    pub(crate) error_pages: Field<action::Pages>,
}

impl Listener {
    /// Gives names that the operator chose their places.
    pub(crate) fn place_names(&mut self, table: &DeTable<'_>) {
        action::place_fields(&mut self.response_headers, table, "response_headers");
        action::place(&mut self.error_pages, table, "error_pages");
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tls {
    pub(crate) certificates: Field<List<Certificate>>,
    pub(crate) self_signed: Field<List<String>>,
    pub(crate) min_version: Field<String>,
    pub(crate) watch: Field<bool>,
    pub(crate) client: Field<TlsClient>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TlsClient {
    pub(crate) ca: Field<String>,
    pub(crate) mode: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Certificate {
    pub(crate) certificate: Field<String>,
    pub(crate) key: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Paths {
    pub(crate) dot_segments: Field<String>,
    pub(crate) repeated_slashes: Field<String>,
    pub(crate) encoded_slashes: Field<String>,
    pub(crate) forward: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Timeouts {
    pub(crate) header: Field<String>,
    pub(crate) idle: Field<String>,
    pub(crate) body: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Limits {
    pub(crate) connections: Field<i64>,
    pub(crate) connections_per_client: Field<i64>,
    pub(crate) requests: Field<i64>,
    pub(crate) header_bytes: Field<String>,
    pub(crate) headers: Field<i64>,
    pub(crate) body_bytes: Field<String>,
    pub(crate) body_rate: Field<String>,
}

tables!(
    Listener,
    Tls,
    TlsClient,
    Certificate,
    Paths,
    Timeouts,
    Limits,
);

/// A head is one round trip on the worst of networks; more is a client that holds a connection for nothing.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than a shopper reads a page and clicks, shorter than middleboxes forget a connection.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two pieces, not for the whole: a slow upload that moves is left alone, a dead one is not.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// What the process's limit of open files leaves: the one number that is right on every machine.
pub(crate) const CONNECTIONS: usize = 0;
/// A shop's cookies and a token or two fit twice.
pub(crate) const HEADER_BYTES: usize = 32 * 1024;
/// Less than this refuses common browsers.
pub(crate) const HEADER_BYTES_LEAST: u64 = 1024;
/// More than this is a body in disguise, times the number of connections.
pub(crate) const HEADER_BYTES_MOST: u64 = 1024 * 1024;
/// Browsers send about twenty, proxies add a few.
pub(crate) const HEADERS: usize = 100;
/// Every field costs a place in each head.
pub(crate) const HEADERS_MOST: i64 = 1000;
/// No limit: bodies are streamed and cost no memory; what is too much is for the shop to say.
pub(crate) const BODY_BYTES: u64 = 0;
/// No limit: behind one address there may be a whole company, or a balancer that does not say who it speaks for.
pub(crate) const CONNECTIONS_PER_CLIENT: usize = 0;
/// No limit: a connection that is used costs less than a new one.
pub(crate) const REQUESTS: u32 = 0;
/// The slowest of mobile networks is faster, and whoever holds connections by trickling pays for it.
pub(crate) const BODY_RATE: u64 = 500;
/// Browsers ask for it and are faster with it; who does not ask for it gets HTTP/1.
pub(crate) const HTTP2: bool = true;
/// The end of a client's side says only that no more requests follow (RFC 9112 section 9.6), and scripts do that.
pub(crate) const ABORT_ON_CLOSE: bool = false;
