//! A pool in one generation: its members, its strategy, and the one step that picks and claims.

use std::sync::Arc;

use crate::backend::{Backend, InFlight};
use crate::plan::pool::PoolTimeouts;
use crate::strategy::{Members, PickContext, Slot, StickySpec, Strategy};
use crate::telemetry::PoolMeters;

/// A pool in one generation.
#[derive(Debug)]
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// Its backends as they stand.
    pub members: Members,
    /// Picks among them.
    pub strategy: Arc<dyn Strategy>,
    /// Stickiness, if sessions keep their backend.
    pub sticky: Option<StickySpec>,
    /// Deadlines towards its backends.
    pub timeouts: PoolTimeouts,
    /// Counters of the pool.
    pub meters: Arc<PoolMeters>,
}

/// A member, picked and claimed.
#[derive(Debug)]
pub struct Choice {
    /// Which member.
    pub slot: Slot,
    /// The claim: the request counts as in flight until it is dropped.
    pub in_flight: InFlight,
}

impl Pool {
    /// Picks a member and claims it. `None` when no member may be picked.
    pub fn choose(&self, cx: &PickContext<'_>) -> Option<Choice> {
        let slot = self.strategy.pick(&self.members, cx)?;
        Some(Choice {
            slot,
            in_flight: self.members.get(slot).backend.begin(),
        })
    }

    /// Whether the backend is one of its members.
    pub fn has(&self, backend: &Arc<Backend>) -> bool {
        self.members
            .all()
            .iter()
            .any(|member| Arc::ptr_eq(&member.backend, backend))
    }

    /// The backend of a member.
    pub fn backend(&self, slot: Slot) -> &Arc<Backend> {
        &self.members.get(slot).backend
    }
}
