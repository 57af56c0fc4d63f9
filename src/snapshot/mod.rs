//! What workers act on, and what outlives it.
//!
//! *What enters*: a plan and the [`Registry`] of live state. *What leaves*: a [`Snapshot`], immutable and
//! numbered, published by one swap ([`Snapshots`]) and read by each worker through its own [`Reader`],
//! without a lock and without touching a count that other workers touch.
//!
//! *Between two configurations* standings change: health's verdicts, later ejections, operator's words, weights. Whoever
//! changes one records it with the backend and calls [`Snapshots::standing_changed`] with the pool's name: any thread may,
//! it is a lock held for a moment and a wake-up. `app::control` gathers these, has the pools' members rebuilt
//! ([`Snapshot::anew`]) and publishes a snapshot of the *same* generation, in which all that has not changed is shared.
//! That is the one way by which a standing takes effect on picks. Names that give other addresses do the same by
//! [`Snapshot::with_found`]: the configuration is the one it was, so the generation is too.
//!
//! In reading order: [`assemble`] (plan and live state become a snapshot), `changes` (pools whose standings have changed), [`registry`] (live state that
//! survives: backends, cursors, meters), [`pool`] (members and strategy), `secure` (TLS with
//! backends), [`view`] (one worker's handle on one
//! generation; picks and claims in one step).
//!
//! Deliberately absent: input and output of any kind. A snapshot is made off the path and only read on it.

mod assemble;
mod changes;
pub mod pool;
pub mod registry;
mod secure;
pub mod view;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use changes::Changes;
pub use pool::Pool;
pub use registry::Registry;
pub use view::{Choice, Claimed, NoChoice, Reader, View};

use crate::plan::Plan;
use crate::route::RouteTable;
use crate::telemetry::{ListenerMeters, RouteMeters};

/// One generation: plan and live state, immutable.
#[derive(Debug)]
pub struct Snapshot {
    /// Number of the configuration, counted from 1.
    pub generation: u64,
    /// What the operator wants.
    pub plan: Arc<Plan>,
    /// Routing.
    pub routes: Arc<RouteTable>,
    /// Pools, at the indexes of the plan.
    pub pools: Box<[Arc<Pool>]>,
    /// Meters of the listeners, at the indexes of the plan.
    pub listener_meters: Arc<[Arc<ListenerMeters>]>,
    route_meters: Arc<registry::RouteMeterTable>,
    _alive: Arc<Alive>,
}

impl Snapshot {
    /// The meters of requests that came by `listener` and went by `route`; `None` for those that no route took.
    pub fn route_meters(&self, listener: usize, route: Option<usize>) -> &Arc<RouteMeters> {
        self.route_meters.at(listener, route)
    }

    /// All route meters that have been used, with the indexes of listener and route.
    pub fn used_route_meters(
        &self,
    ) -> impl Iterator<Item = (usize, Option<usize>, &Arc<RouteMeters>)> {
        self.route_meters.used()
    }
}

/// The one place where generations are swapped.
#[derive(Debug)]
pub struct Snapshots {
    current: Arc<ArcSwap<Snapshot>>,
    /// Held while the next one is made of the last, so that neither of two changes is lost.
    publishing: Mutex<()>,
    changes: Changes,
}

impl Snapshots {
    /// Starts with a first generation.
    pub fn new(first: Snapshot) -> Self {
        Self {
            current: Arc::new(ArcSwap::from_pointee(first)),
            publishing: Mutex::new(()),
            changes: Changes::default(),
        }
    }

    /// Makes the next one of the one that new requests see, and has them see that; says both. One at a time.
    pub fn publish(
        &self,
        next: impl FnOnce(&Snapshot) -> Snapshot,
    ) -> (Arc<Snapshot>, Arc<Snapshot>) {
        let _turn = self
            .publishing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let last = self.current.load_full();
        let next = Arc::new(next(&last));
        self.current.store(Arc::clone(&next));
        (last, next)
    }

    /// Says that the standing of a backend has changed; soon the pool's members are rebuilt and published.
    /// See the story of this room.
    pub fn standing_changed(&self, pool: &Arc<str>) {
        self.changes.note(pool);
    }

    /// The pools whose standings have changed since this was asked last.
    pub fn changed_pools(&self) -> BTreeSet<Arc<str>> {
        self.changes.take()
    }

    /// Has `alarm` called whenever [`Snapshots::standing_changed`] is; the first one stays.
    pub fn on_change(&self, alarm: impl Fn() + Send + Sync + 'static) {
        self.changes.on_change(Box::new(alarm));
    }

    /// The generation of now; for whoever is not on the way of a request.
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// A worker's way to the generation of now.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.current))
    }
}

/// Counts the generations that somebody still holds.
#[derive(Debug)]
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
