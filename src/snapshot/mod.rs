//! What workers act on, and what outlives it.
//!
//! *What enters*: a plan and the [`Registry`] of live state. *What leaves*: a [`Snapshot`], immutable and
//! numbered, published by one swap ([`Snapshots`]) and read by each worker through its own [`Reader`],
//! without a lock and without touching a count that other workers touch.
//!
//! In reading order: [`assemble`] (plan and live state become a snapshot), [`registry`] (live state that
//! survives: backends, cursors, meters), [`pool`] (members and strategy), `secure` (TLS with
//! backends), [`view`] (one worker's handle on one
//! generation; picks and claims in one step).
//!
//! Deliberately absent: input and output of any kind. A snapshot is made off the path and only read on it.

mod assemble;
pub mod pool;
pub mod registry;
mod secure;
pub mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;

pub use pool::Pool;
pub use registry::Registry;
pub use view::{Choice, Claimed, Reader, View};

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
    pub routes: RouteTable,
    /// Pools, at the indexes of the plan.
    pub pools: Box<[Arc<Pool>]>,
    /// Meters of the listeners, at the indexes of the plan.
    pub listener_meters: Box<[Arc<ListenerMeters>]>,
    route_meters: registry::RouteMeterTable,
    _alive: Alive,
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
}

impl Snapshots {
    /// Starts with a first generation.
    pub fn new(first: Snapshot) -> Self {
        Self {
            current: Arc::new(ArcSwap::from_pointee(first)),
        }
    }

    /// Makes a generation the one that new requests see.
    pub fn publish(&self, next: Snapshot) {
        self.current.store(Arc::new(next));
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
