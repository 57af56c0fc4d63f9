//! Live state that outlives a generation.
//!
//! A backend is known by pool and address; as long as a configuration or a request holds it, whoever
//! names it again gets the same one, with its requests in flight, its standing and its counters. Weight,
//! deadlines and strategy are of the generation and not kept here. Entries are weak: what nobody holds
//! any more is gone, and [`Registry::sweep`] clears its name away.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use ahash::RandomState;
use dashmap::DashMap;

use super::changes::Changes;
use super::secure::{Secured, Settings};
use crate::backend::{Backend, BackendKey, Secure};
use crate::limit::{Budget, Delay, Door};
use crate::plan::Listener;
use crate::strategy::Cursor;
use crate::telemetry::{BackendMeters, ListenerMeters, PoolMeters, RouteMeters};

/// The live state of the process, by name. Never touched on the way of a request.
#[derive(Debug)]
pub struct Registry {
    workers: usize,
    seed: u64,
    numbers: AtomicU32,
    backends: Adopted<BackendKey, Backend>,
    secured: Secured,
    cursors: Adopted<Arc<str>, Cursor>,
    budgets: Adopted<Arc<str>, Budget>,
    delays: Adopted<Arc<str>, Delay>,
    doors: Adopted<Arc<str>, Door>,
    pools: Adopted<Arc<str>, PoolMeters>,
    routes: Adopted<(Arc<str>, Arc<str>), RouteMeters>,
    listeners: Adopted<String, ListenerMeters>,
    pub(super) alive: Arc<AtomicUsize>,
    pub(super) suspects: Arc<Changes>,
}

impl Registry {
    /// An empty registry for so many workers. `seed` sets where the cursors of pools start, so that a
    /// fleet of balancers does not begin at the same backend.
    pub fn new(workers: usize, seed: u64) -> Self {
        Self {
            workers,
            seed,
            numbers: AtomicU32::new(0),
            backends: Adopted::default(),
            secured: Secured::default(),
            cursors: Adopted::default(),
            budgets: Adopted::default(),
            delays: Adopted::default(),
            doors: Adopted::default(),
            pools: Adopted::default(),
            routes: Adopted::default(),
            listeners: Adopted::default(),
            alive: Arc::default(),
            suspects: Arc::default(),
        }
    }

    /// The backend of that name, living or new, and whether it is new.
    pub fn adopt(&self, key: BackendKey) -> (Arc<Backend>, bool) {
        let mut is_new = false;
        let backend = self.backends.adopt(key.clone(), || {
            is_new = true;
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            Backend::new(key, number, Arc::new(BackendMeters::new(self.workers)))
        });
        (backend, is_new)
    }

    /// The pools with a backend that has failed so often in a row as its pool has it, since this was asked last.
    pub fn suspected_pools(&self) -> BTreeSet<Arc<str>> {
        self.suspects.take()
    }

    /// Has `alarm` called whenever a backend is suspected; the first one stays.
    pub fn on_suspicion(&self, alarm: impl Fn() + Send + Sync + 'static) {
        self.suspects.on_change(Box::new(alarm));
    }

    /// How many generations somebody still holds.
    pub fn generations_alive(&self) -> usize {
        self.alive.load(Ordering::Relaxed)
    }

    /// Clears the names of what is gone.
    pub fn sweep(&self) {
        self.backends.sweep();
        self.secured.sweep();
        self.cursors.sweep();
        self.budgets.sweep();
        self.delays.sweep();
        self.doors.sweep();
        self.pools.sweep();
        self.routes.sweep();
        self.listeners.sweep();
    }

    /// TLS with a backend by these settings, living or new.
    pub(super) fn secure(&self, key: BackendKey, settings: Settings) -> Arc<Secure> {
        self.secured.adopt(key, settings)
    }

    pub(super) fn cursor(&self, pool: &Arc<str>) -> Arc<Cursor> {
        self.cursors.adopt(Arc::clone(pool), || {
            Arc::new(Cursor::starting_at(self.seed))
        })
    }

    pub(super) fn budget(&self, pool: &Arc<str>) -> Arc<Budget> {
        self.budgets.adopt(Arc::clone(pool), Arc::default)
    }

    pub(super) fn delay(&self, pool: &Arc<str>) -> Arc<Delay> {
        self.delays.adopt(Arc::clone(pool), Arc::default)
    }

    pub(super) fn door(&self, pool: &Arc<str>) -> Arc<Door> {
        self.doors.adopt(Arc::clone(pool), Arc::default)
    }

    pub(super) fn pool_meters(&self, pool: &Arc<str>) -> Arc<PoolMeters> {
        self.pools
            .adopt(Arc::clone(pool), || Arc::new(PoolMeters::new(self.workers)))
    }

    /// The meters of a listener: as its connections do, they stay with its sockets when it is renamed.
    pub fn listener_meters(&self, listener: &Listener) -> Arc<ListenerMeters> {
        self.listeners.adopt(listener.socket_name(), || {
            Arc::new(ListenerMeters::new(self.workers))
        })
    }

    fn route_meters(&self, listener: &Arc<str>, route: &Arc<str>) -> Arc<RouteMeters> {
        let key = (Arc::clone(listener), Arc::clone(route));
        self.routes
            .adopt(key, || Arc::new(RouteMeters::new(self.workers)))
    }
}

/// Meters of each pair of listener and route, made when the pair is first used: there may be far more
/// pairs than are ever seen.
pub(super) struct RouteMeterTable {
    registry: Arc<Registry>,
    listeners: Box<[Arc<str>]>,
    /// Names of the routes, and last the label of requests that no route took.
    routes: Box<[Arc<str>]>,
    cells: Box<[OnceLock<Arc<RouteMeters>>]>,
}

impl RouteMeterTable {
    pub(super) fn new(
        registry: &Arc<Registry>,
        listeners: Vec<Arc<str>>,
        mut routes: Vec<Arc<str>>,
    ) -> Self {
        routes.push(UNROUTED.into());
        let table = Self {
            registry: Arc::clone(registry),
            cells: (0..listeners.len() * routes.len())
                .map(|_| OnceLock::new())
                .collect(),
            listeners: listeners.into(),
            routes: routes.into(),
        };
        // What was used before goes on being shown, even if nobody asks for it again.
        for (index, cell) in table.cells.iter().enumerate() {
            let (listener, route) = table.names(index);
            if let Some(living) = registry
                .routes
                .living(&(Arc::clone(listener), Arc::clone(route)))
            {
                let _ = cell.set(living);
            }
        }
        table
    }

    pub(super) fn at(&self, listener: usize, route: Option<usize>) -> &Arc<RouteMeters> {
        let index = listener * self.routes.len() + route.unwrap_or(self.routes.len() - 1);
        self.cells[index].get_or_init(|| {
            let (listener, route) = self.names(index);
            self.registry.route_meters(listener, route)
        })
    }

    pub(super) fn used(&self) -> impl Iterator<Item = (usize, Option<usize>, &Arc<RouteMeters>)> {
        let width = self.routes.len();
        self.cells
            .iter()
            .enumerate()
            .filter_map(move |(index, cell)| {
                let route = index % width;
                cell.get()
                    .map(|meters| (index / width, (route + 1 < width).then_some(route), meters))
            })
    }

    fn names(&self, index: usize) -> (&Arc<str>, &Arc<str>) {
        (
            &self.listeners[index / self.routes.len()],
            &self.routes[index % self.routes.len()],
        )
    }
}

impl fmt::Debug for RouteMeterTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteMeterTable")
            .field("pairs", &self.cells.len())
            .finish_non_exhaustive()
    }
}

/// Weak references by name. The map's own references never leave this type, so that none can be held
/// while another is taken.
struct Adopted<K: Eq + Hash, V>(DashMap<K, Weak<V>, RandomState>);

impl<K: Eq + Hash, V> Adopted<K, V> {
    fn adopt(&self, key: K, make: impl FnOnce() -> Arc<V>) -> Arc<V> {
        let mut entry = self.0.entry(key).or_default();
        entry.upgrade().unwrap_or_else(|| {
            let made = make();
            *entry = Arc::downgrade(&made);
            made
        })
    }

    fn living(&self, key: &K) -> Option<Arc<V>> {
        self.0.get(key).and_then(|entry| entry.upgrade())
    }

    fn sweep(&self) {
        self.0.retain(|_, entry| entry.strong_count() > 0);
    }
}

impl<K: Eq + Hash, V> Default for Adopted<K, V> {
    fn default() -> Self {
        Self(DashMap::with_hasher(RandomState::new()))
    }
}

impl<K: Eq + Hash, V> fmt::Debug for Adopted<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Adopted").field(&self.0.len()).finish()
    }
}

/// The label of requests that no route took.
pub const UNROUTED: &str = "-";
