//! Pools whose standings have changed (or are suspected to) since the last look, and an alarm for whoever looks.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Gathers names of pools until somebody takes them: however often a pool is named, it is rebuilt once.
#[derive(Default)]
pub(super) struct Changes {
    pools: Mutex<BTreeSet<Arc<str>>>,
    alarm: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Changes {
    pub(super) fn note(&self, pool: &Arc<str>) {
        self.pools
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(Arc::clone(pool));
        if let Some(alarm) = self.alarm.get() {
            alarm();
        }
    }

    pub(super) fn take(&self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut *self.pools.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn on_change(&self, alarm: Box<dyn Fn() + Send + Sync>) {
        let _ = self.alarm.set(alarm);
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("pools", &self.pools)
            .finish_non_exhaustive()
    }
}
