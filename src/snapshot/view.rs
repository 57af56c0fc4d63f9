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
use crate::limit::Place;
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
    /// Its place in the pool, until it is given back.
    place: Option<Place>,
}

/// Why no member was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoChoice {
    /// No member may be picked.
    NobodyLeft,
    /// Those that may be picked have as many requests as they may have, or the pool has.
    AllFull,
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
    /// Picks a member of a pool and claims it, in one step. A member that is full is passed over as if it had been
    /// tried.
    pub fn choose(&self, pool: usize, cx: &PickContext<'_>) -> Result<Choice, NoChoice> {
        let picked = &self.pools[pool];
        let pick = |cx: &PickContext<'_>| picked.strategy.pick(&picked.members, cx);
        let slot = pick(cx).ok_or(NoChoice::NobodyLeft)?;
        if let Some(choice) = self.claim(pool, slot) {
            return Ok(choice);
        }
        let mut tried = *cx.tried;
        let mut full = slot;
        // A full set of those tried is no longer than a few picks: then all others are gone through.
        while !tried.contains(full) && tried.insert(full) {
            let cx = PickContext {
                tried: &tried,
                ..*cx
            };
            let Some(slot) = pick(&cx) else {
                return Err(NoChoice::AllFull);
            };
            if let Some(choice) = self.claim(pool, slot) {
                return Ok(choice);
            }
            full = slot;
        }
        let eligible = picked.members.eligible();
        let start = (cx.entropy % eligible.len().max(1) as u64) as usize;
        let (before, after) = eligible.split_at(start);
        let mut untried = after
            .iter()
            .chain(before)
            .filter(|slot| !cx.tried.contains(**slot));
        let choice = untried.find_map(|slot| self.claim(pool, *slot));
        choice.ok_or(NoChoice::AllFull)
    }

    /// Claims a member that was picked before, unless it or the pool is full.
    pub fn claim(&self, pool: usize, slot: Slot) -> Option<Choice> {
        let picked = &self.pools[pool];
        let mut place = Some(picked.door.enter()?);
        let claimed = || Claimed {
            view: self.clone(),
            pool,
            slot,
            place: place.take(),
        };
        let in_flight = InFlight::begin_within(picked.backend(slot), claimed);
        if let Some(place) = place {
            picked.door.give_back(place);
        }
        Some(Choice {
            slot,
            in_flight: in_flight?,
        })
    }
}

impl Drop for Claimed {
    /// The backend has its place back by now: whoever waits may try.
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.view.pools[self.pool].door.leave(place);
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
