//! Pools: backends with a strategy, stickiness and deadlines.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::Address;
use crate::message::FieldCase;
use crate::message::forwarded::Words;
use crate::strategy::{Spec, StickySpec};

/// A named group of backends.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// The name in the configuration; a label in metrics and log.
    pub name: Arc<str>,
    /// How a backend is picked.
    pub strategy: Spec,
    /// Whether sessions keep their backend, and by which cookie.
    pub sticky: Option<StickySpec>,
    /// Never empty; each address once; not all of weight 0.
    pub backends: Vec<BackendPlan>,
    /// Deadlines towards backends.
    pub timeouts: PoolTimeouts,
    /// What is spoken with its backends.
    pub protocol: Protocol,
    /// How requests look to its backends.
    pub style: RequestStyle,
}

/// What is spoken with the backends of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
}

/// A backend as the operator wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendPlan {
    /// Where it is, resolved.
    pub address: Address,
    /// What hash and cookie know it by: the id given, or the address as written.
    pub id: Arc<str>,
    /// Its share; 0 for no new traffic.
    pub weight: u32,
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
