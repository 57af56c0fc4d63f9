//! Routes: which pool takes a request.

use std::sync::Arc;

use crate::route::Matcher;

/// A rule that leads to a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Label in metrics and log: the name given, or hosts and path as written. Unique.
    pub name: Arc<str>,
    /// What it takes.
    pub matcher: Matcher,
    /// Indexes into the plan's listeners; empty for every listener.
    pub listeners: Vec<usize>,
    /// Index into the plan's pools.
    pub pool: usize,
}
