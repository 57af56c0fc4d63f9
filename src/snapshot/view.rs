//! One worker's handle on one generation.
//!
//! Reading the shared pointer with its reference count would make every request of every worker write to
//! one cache line. So a worker keeps the generation it saw last, looks by one load whether there is a
//! newer one, and hands out counts of its own, which no other thread touches.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use super::Snapshot;
use crate::backend::{Backend, InFlight};
use crate::strategy::{PickContext, Slot};

/// A worker's way to the generation of now.
#[derive(Debug)]
pub struct Reader {
    cache: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    view: RefCell<View>,
}

/// One generation, held by one worker. To be taken for one request, not for a connection: an idle
/// connection must not keep an old generation alive.
#[derive(Clone, Debug)]
#[allow(
    clippy::redundant_allocation,
    reason = "the outer count is the worker's own, the inner one is shared by all"
)]
pub struct View(Rc<Arc<Snapshot>>);

/// A member, picked and claimed.
#[derive(Debug)]
pub struct Choice {
    /// Which member.
    pub slot: Slot,
    /// The claim: the request counts as in flight until it is dropped.
    pub in_flight: InFlight<Claimed>,
}

/// A backend that is kept alive by the generation it was picked from.
#[derive(Debug)]
pub struct Claimed {
    view: View,
    pool: usize,
    slot: Slot,
}

impl Reader {
    pub(super) fn new(current: Arc<ArcSwap<Snapshot>>) -> Self {
        let mut cache = Cache::new(current);
        let view = View(Rc::new(Arc::clone(cache.load())));
        Self {
            cache: RefCell::new(cache),
            view: RefCell::new(view),
        }
    }

    /// The generation of now.
    pub fn view(&self) -> View {
        let mut cache = self.cache.borrow_mut();
        let newest = cache.load();
        let mut view = self.view.borrow_mut();
        if !Arc::ptr_eq(newest, &view.0) {
            *view = View(Rc::new(Arc::clone(newest)));
        }
        view.clone()
    }
}

impl View {
    /// Picks a member of a pool and claims it, in one step. `None` when no member may be picked.
    pub fn choose(&self, pool: usize, cx: &PickContext<'_>) -> Option<Choice> {
        let picked = &self.pools[pool];
        let slot = picked.strategy.pick(&picked.members, cx)?;
        Some(self.claim(pool, slot))
    }

    /// Claims a member that was picked before.
    pub fn claim(&self, pool: usize, slot: Slot) -> Choice {
        let claimed = Claimed {
            view: self.clone(),
            pool,
            slot,
        };
        Choice {
            slot,
            in_flight: InFlight::begin(claimed),
        }
    }
}

impl Deref for Claimed {
    type Target = Backend;

    fn deref(&self) -> &Backend {
        self.view.pools[self.pool].backend(self.slot)
    }
}

impl Deref for View {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}
