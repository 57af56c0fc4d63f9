//! Routes: what answers a request.

use std::sync::Arc;

use super::action::{Action, Edits};
use crate::route::Matcher;

/// A rule that leads to a pool, or answers by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Label in metrics and log: the name given, or hosts and path as written. Unique.
    pub name: Arc<str>,
    /// What it takes.
    pub matcher: Matcher,
    /// Indexes into the plan's listeners; empty for every listener.
    pub listeners: Vec<usize>,
    /// What answers.
    pub action: Action,
    /// What changes on the way.
    pub edits: Edits,
    /// Protocols that a client may change its connection to.
    pub upgrade: Vec<Box<str>>,
    /// Whether a request with `Idempotency-Key` may be sent again as if its method were idempotent.
    pub idempotency_key: bool,
    /// How important its requests are when a pool is full, from 0 to 9.
    pub priority: u8,
}

impl Route {
    /// How important requests are whose route does not say so.
    pub const PRIORITY: u8 = 5;

    /// Index into the plan's pools; absent if the route answers by itself.
    #[must_use]
    pub fn pool(&self) -> Option<usize> {
        match self.action {
            Action::Pool(pool) => Some(pool),
            Action::Redirect(_) | Action::Respond(_) => None,
        }
    }
}
