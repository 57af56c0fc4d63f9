//! What is known of an exchange that has ended, on its own: nothing is borrowed and no backend held.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::plan::export::Export;
use crate::telemetry::access::Decision;
use crate::telemetry::{Cause, PickReason, StickyOutcome};

/// An exchange that has ended. What of it stands in the access log is as that has it, and absent where that has it not.
#[derive(Debug)]
pub struct Finished {
    /// Where it goes: by the configuration that it was served by.
    pub export: Arc<Export>,
    /// Its trace.
    pub trace: [u8; 16],
    /// Its span; never 0.
    pub span: u64,
    /// The span that it came from.
    pub parent: Option<u64>,
    /// When it ended.
    pub ended: Timestamp,
    /// From its head to its end.
    pub total: Duration,
    /// The method as the client wrote it.
    pub method: Box<[u8]>,
    /// The path, without its query.
    pub path: Box<[u8]>,
    /// The query, masked as in the log; empty if that has none.
    pub query: Box<[u8]>,
    /// The field `User-Agent`; empty if the log has none.
    pub user_agent: Box<[u8]>,
    /// The version of HTTP that the client speaks, as `HTTP/1.1`.
    pub protocol: &'static str,
    /// Whether it came over TLS.
    pub secure: bool,
    /// The field `Host`, or `:authority`.
    pub host: Box<[u8]>,
    /// The client, as far as the log has it.
    pub client: Option<IpAddr>,
    /// The request's id.
    pub request_id: Box<[u8]>,
    /// The status that was sent.
    pub status: Option<u16>,
    /// Bytes of the response body that were sent.
    pub body_bytes: u64,
    /// Why it failed.
    pub cause: Option<Cause>,
    /// The listener's name.
    pub listener: Arc<str>,
    /// The route's name.
    pub route: Option<Arc<str>>,
    /// The pool's name.
    pub pool: Option<Arc<str>>,
    /// The strategy's name.
    pub strategy: Option<&'static str>,
    /// What became of the sticky cookie.
    pub sticky: Option<StickyOutcome>,
    /// The configuration that it was served by.
    pub generation: u64,
    /// How the last backend came to be picked.
    pub decision: Option<Decision>,
    /// Every attempt, in the order of their beginnings.
    pub attempts: Vec<Attempt>,
}

/// One attempt at an exchange.
#[derive(Debug)]
pub struct Attempt {
    /// Its span: what the backend was told as its parent. Never 0.
    pub span: u64,
    /// The backend, as the log shows it.
    pub backend: Box<str>,
    /// Its address: an IP, or the path of a Unix socket.
    pub host: Box<str>,
    /// Its port, if it has one.
    pub port: Option<u16>,
    /// Why it was picked.
    pub reason: PickReason,
    /// Why the attempt failed.
    pub cause: Option<Cause>,
    /// What it was answered with.
    pub status: Option<u16>,
    /// From the request's head to its beginning.
    pub begun: Duration,
    /// How long it lasted.
    pub took: Duration,
}
