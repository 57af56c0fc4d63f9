//! `[listeners.*]` as written.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::de::DeTable;

use super::action;
use super::loose::{Field, List, tables};
use super::unit::{DurationText, RateText, SizeText};
use crate::config::schema::words;
use crate::plan::listener::ProxyProtocol;
use crate::plan::tls::{ClientMode, TlsVersion};
use crate::route::rules::{DotSegments, EncodedSlashes, Forward, RepeatedSlashes};

/// An address on which clients connect.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Listener {
    /// Required: `127.0.0.1:8080`, `[::1]:8080` or `unix:/path`.
    pub(crate) address: Field<String>,
    /// Networks and addresses whose X-Forwarded-*, Forwarded and PROXY headers are believed. Default: nobody's.
    pub(crate) trusted_proxies: Field<List<String>>,
    /// Whether HTTP/2 is spoken with those who ask for it. Default: true.
    pub(crate) http2: Field<bool>,
    /// Whether a client that ends its side has given its request up. Default: false.
    pub(crate) abort_on_close: Field<bool>,
    /// Whether connections begin with a PROXY header. Default: off.
    #[schemars(extend("enum" = ProxyProtocol::ALL.map(ProxyProtocol::as_str)))]
    pub(crate) proxy_protocol: Field<String>,
    /// TLS. Default: none.
    pub(crate) tls: Field<Tls>,
    /// How a path is read when routes are compared with it.
    pub(crate) paths: Field<Paths>,
    /// How long clients may take.
    pub(crate) timeouts: Field<Timeouts>,
    /// How much of what.
    pub(crate) limits: Field<Limits>,
    /// Fields of all responses that go out by it.
    pub(crate) response_headers: Field<action::Fields>,
    /// Files for replies of forecourt's own, by status (`404`), range (`502-504`) or class (`5xx`).
    pub(crate) error_pages: Field<action::Pages>,
}

impl Listener {
    /// Gives names that the operator chose their places.
    pub(crate) fn place_names(&mut self, table: &DeTable<'_>) {
        action::place_fields(&mut self.response_headers, table, "response_headers");
        action::place(&mut self.error_pages, table, "error_pages");
    }
}

/// What is shown to whoever connects by TLS.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Tls {
    /// Certificates and their keys, chosen by the name that is asked for; the first is the default.
    pub(crate) certificates: Field<List<Certificate>>,
    /// For development: names of a certificate that is made at start.
    pub(crate) self_signed: Field<List<String>>,
    /// The lowest version. Default: 1.2.
    #[schemars(extend("enum" = TlsVersion::ALL.map(TlsVersion::as_str)))]
    pub(crate) min_version: Field<String>,
    /// Whether changed files are taken without a reload. Default: true.
    pub(crate) watch: Field<bool>,
    /// Certificates of clients. Default: none is asked for.
    pub(crate) client: Field<TlsClient>,
}

/// Whose certificates clients may or must show.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct TlsClient {
    /// Required: the authorities that vouch for them, a PEM file.
    pub(crate) ca: Field<String>,
    /// Whether a client may come without one. Default: required.
    #[schemars(extend("enum" = ClientMode::ALL.map(ClientMode::as_str)))]
    pub(crate) mode: Field<String>,
}

/// A certificate and its key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Certificate {
    /// Required: the chain, a PEM file.
    pub(crate) certificate: Field<String>,
    /// Required: the key, a PEM file.
    pub(crate) key: Field<String>,
}

/// How a path is read.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Paths {
    /// `.` and `..`. Default: resolve.
    #[schemars(extend("enum" = words(&DotSegments::WORDS)))]
    pub(crate) dot_segments: Field<String>,
    /// `//`. Default: merge.
    #[schemars(extend("enum" = words(&RepeatedSlashes::WORDS)))]
    pub(crate) repeated_slashes: Field<String>,
    /// `%2F`. Default: keep.
    #[schemars(extend("enum" = words(&EncodedSlashes::WORDS)))]
    pub(crate) encoded_slashes: Field<String>,
    /// What the backend gets. Default: raw.
    #[schemars(extend("enum" = words(&Forward::WORDS)))]
    pub(crate) forward: Field<String>,
}

/// How long clients may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Timeouts {
    /// Until a head is complete; also PROXY header and TLS handshake. Default: 10s.
    pub(crate) header: Field<DurationText>,
    /// Between two requests. Default: 60s.
    pub(crate) idle: Field<DurationText>,
    /// How long a body may stand still, either way. Default: 30s.
    pub(crate) body: Field<DurationText>,
}

/// How much of what one listener takes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Limits {
    /// Connections at once. Default: 0, what the process's limit of open files leaves.
    pub(crate) connections: Field<i64>,
    /// Connections of one client at once. Default: 0, no limit.
    pub(crate) connections_per_client: Field<i64>,
    /// Requests of one connection. Default: 0, no limit.
    pub(crate) requests: Field<i64>,
    /// Bytes of a request's head, from 1KiB to 1MiB. Default: 32KiB.
    pub(crate) header_bytes: Field<SizeText>,
    /// Fields of a request's head, from 1 to 1000. Default: 100.
    pub(crate) headers: Field<i64>,
    /// Bytes of a request's body. Default: 0, no limit.
    pub(crate) body_bytes: Field<SizeText>,
    /// Bytes a second that a body has to move while the client keeps us waiting. Default: 500B/s; 0: any byte will do.
    pub(crate) body_rate: Field<RateText>,
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
