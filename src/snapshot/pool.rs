//! A pool in one generation: its members and its strategy.

use std::sync::Arc;

use crate::backend::{Backend, Secure};
use crate::limit::{Budget, Door};
use crate::plan::pool::{Limits, PoolTimeouts, Protocol, RequestStyle, Retry};
use crate::strategy::{Members, Slot, StickySpec, Strategy};
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
    /// Deadlines towards its backends, for each attempt.
    pub timeouts: PoolTimeouts,
    /// What is spoken with its backends.
    pub protocol: Protocol,
    /// TLS with each of its members, in their order; absent if it is not spoken.
    pub(super) tls: Option<Arc<[Arc<Secure>]>>,
    /// How requests look to its backends.
    pub style: RequestStyle,
    /// What is sent again.
    pub retry: Retry,
    /// Retries under way.
    pub budget: Arc<Budget>,
    /// How much at once.
    pub limits: Limits,
    /// Who is in, and who waits.
    pub door: Arc<Door>,
    /// Counters of the pool.
    pub meters: Arc<PoolMeters>,
}

impl Pool {
    /// The backend of a member.
    pub fn backend(&self, slot: Slot) -> &Arc<Backend> {
        &self.members.get(slot).backend
    }

    /// Requests in flight at its backends.
    pub fn in_flight(&self) -> u32 {
        let members = self.members.all().iter();
        members.map(|member| member.backend.in_flight()).sum()
    }

    /// TLS with a member, if it is spoken.
    pub fn secure(&self, slot: Slot) -> Option<&Arc<Secure>> {
        self.tls.as_ref()?.get(slot.0 as usize)
    }
}
