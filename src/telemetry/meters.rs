//! Handle bundles: what is counted for a backend, a route, a listener and a pool, one set of cells per worker.
//!
//! A bundle is resolved when a configuration is assembled, so that a request finds its cells by
//! index ([`PerWorker::at`]) and no name or label is looked up. A backend's bundle lives as long as
//! the backend, over reloads. Who looks takes sums over the workers: `total()`, or of one kind of cells
//! ([`PerWorker::counts`]), as the scrape does, which goes through a family at a time.

use std::ops::{Deref, DerefMut};

use super::cells::HistogramTotal;

pub use super::cause::Cause;
pub use super::cells::{Counter, Gauge, Histogram};
pub use super::words::{
    CheckResult, CodeClass, Ejection, HedgeOutcome, PickReason, QueueOutcome, RetryOutcome,
    StickyOutcome, TlsResult,
};

/// The number of a worker, from 0; its index into every bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub usize);

/// One set of cells for each worker, each on cache lines of its own.
#[derive(Debug)]
pub struct PerWorker<Cells> {
    workers: Box<[Cells]>,
}

/// What is counted for one backend.
pub type BackendMeters = PerWorker<BackendCells>;

/// What is counted for one route on one listener.
pub type RouteMeters = PerWorker<RouteCells>;

/// What is counted for one listener.
pub type ListenerMeters = PerWorker<ListenerCells>;

/// What is counted for one pool.
pub type PoolMeters = PerWorker<PoolCells>;

/// One worker's share of a backend's figures.
#[derive(Debug, Default)]
#[repr(align(128))] // two cache lines: the neighbour's prefetcher fetches in pairs
pub struct BackendCells {
    /// Attempts that ended, by [`CodeClass`].
    pub requests: [Counter; CodeClass::COUNT],
    /// Attempts that failed, by [`Cause`]; only those of [`Cause::of_backend`] are exposed.
    pub failures: ByCause<Counter>,
    /// Picks, by [`PickReason`].
    pub picks: [Counter; PickReason::COUNT],
    /// From the start of an attempt to the end of its response.
    pub duration: Histogram,
    /// From the start of an attempt to its response's head; only of pools that ask for it. Not exposed.
    pub heads: Histogram,
    /// Connections to the backend with a request on them.
    pub connections_active: Gauge,
    /// Connections to the backend kept for the next request.
    pub connections_idle: Gauge,
    /// WebSockets and other tunnels to it.
    pub tunnels: Gauge,
}

/// A backend's figures, all workers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendTotal {
    /// See [`BackendCells::requests`].
    pub requests: [u64; CodeClass::COUNT],
    /// See [`BackendCells::failures`].
    pub failures: ByCause<u64>,
    /// See [`BackendCells::picks`].
    pub picks: [u64; PickReason::COUNT],
    /// See [`BackendCells::duration`].
    pub duration: HistogramTotal,
    /// See [`BackendCells::connections_active`].
    pub connections_active: i64,
    /// See [`BackendCells::connections_idle`].
    pub connections_idle: i64,
}

/// One worker's share of a route's figures.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct RouteCells {
    /// Exchanges that ended, by [`CodeClass`].
    pub requests: [Counter; CodeClass::COUNT],
    /// From the request's head to the end of the response.
    pub duration: Histogram,
}

/// A route's figures, all workers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTotal {
    /// See [`RouteCells::requests`].
    pub requests: [u64; CodeClass::COUNT],
    /// See [`RouteCells::duration`].
    pub duration: HistogramTotal,
}

/// One worker's share of a listener's figures.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ListenerCells {
    /// Client connections that are open.
    pub connections: Gauge,
    /// TLS handshakes, by [`TlsResult`].
    pub handshakes: [Counter; TlsResult::COUNT],
    /// How often accepting paused because a limit was reached.
    pub pauses: Counter,
    /// What was refused or cut, by [`Cause`]; only those of [`Cause::is_refusal`] are counted and exposed.
    pub refused: ByCause<Counter>,
}

/// A listener's figures, all workers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerTotal {
    /// See [`ListenerCells::connections`].
    pub connections: i64,
    /// See [`ListenerCells::handshakes`].
    pub handshakes: [u64; TlsResult::COUNT],
    /// See [`ListenerCells::pauses`].
    pub pauses: u64,
    /// See [`ListenerCells::refused`].
    pub refused: ByCause<u64>,
}

/// One worker's share of a pool's figures.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct PoolCells {
    /// Exchanges in which a retry was due, by [`RetryOutcome`].
    pub retries: [Counter; RetryOutcome::COUNT],
    /// Requests in which a hedge was due, by [`HedgeOutcome`].
    pub hedges: [Counter; HedgeOutcome::COUNT],
    /// Requests that found all backends full, by [`QueueOutcome`].
    pub queue: [Counter; QueueOutcome::COUNT],
    /// Requests to a pool with stickiness, by [`StickyOutcome`].
    pub sticky: [Counter; StickyOutcome::COUNT],
}

/// A pool's figures, all workers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolTotal {
    /// See [`PoolCells::retries`].
    pub retries: [u64; RetryOutcome::COUNT],
    /// See [`PoolCells::hedges`].
    pub hedges: [u64; HedgeOutcome::COUNT],
    /// See [`PoolCells::queue`].
    pub queue: [u64; QueueOutcome::COUNT],
    /// See [`PoolCells::sticky`].
    pub sticky: [u64; StickyOutcome::COUNT],
}

/// One figure for each cause. A type of its own, for the library gives arrays of more than 32 no default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByCause<T>([T; Cause::COUNT]);

impl<T: Default> Default for ByCause<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| T::default()))
    }
}

impl<T> Deref for ByCause<T> {
    type Target = [T; Cause::COUNT];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> DerefMut for ByCause<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<Cells: Default> PerWorker<Cells> {
    /// Cells for `workers` workers, all zero; at least for one.
    pub fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers.max(1)).map(|_| Cells::default()).collect(),
        }
    }
}

impl<Cells> PerWorker<Cells> {
    /// The cells of one worker. Only that worker's thread may write them.
    ///
    /// # Panics
    /// If there is no such worker: their number is fixed for the life of the process.
    #[inline]
    pub fn at(&self, worker: WorkerId) -> &Cells {
        &self.workers[worker.0]
    }

    /// What these counters have counted, all workers together, as of about now.
    pub fn counts<const N: usize>(&self, of: impl Fn(&Cells) -> &[Counter; N]) -> [u64; N] {
        let mut total = [0; N];
        for cells in &self.workers {
            for (sum, cell) in total.iter_mut().zip(of(cells)) {
                *sum += cell.get();
            }
        }
        total
    }

    /// What this counter has counted, all workers together, as of about now.
    pub fn count(&self, of: impl Fn(&Cells) -> &Counter) -> u64 {
        self.workers.iter().map(|cells| of(cells).get()).sum()
    }

    /// Where this gauge stands, all workers together, as of about now.
    pub fn level(&self, of: impl Fn(&Cells) -> &Gauge) -> i64 {
        self.workers.iter().map(|cells| of(cells).get()).sum()
    }

    /// What this histogram has seen, all workers together, as of about now.
    pub fn durations(&self, of: impl Fn(&Cells) -> &Histogram) -> HistogramTotal {
        let mut total = HistogramTotal::default();
        for cells in &self.workers {
            total.add(of(cells));
        }
        total
    }
}

impl BackendMeters {
    /// What heads took, all workers together.
    pub fn heads(&self) -> HistogramTotal {
        self.durations(|cells| &cells.heads)
    }

    /// The sum over all workers, as of about now.
    pub fn total(&self) -> BackendTotal {
        BackendTotal {
            requests: self.counts(|cells| &cells.requests),
            failures: ByCause(self.counts(|cells| &cells.failures)),
            picks: self.counts(|cells| &cells.picks),
            duration: self.durations(|cells| &cells.duration),
            connections_active: self.level(|cells| &cells.connections_active),
            connections_idle: self.level(|cells| &cells.connections_idle),
        }
    }

    /// Attempts that were begun, by all workers, as of about now.
    pub fn attempts(&self) -> u64 {
        self.counts(|cells| &cells.picks).iter().sum()
    }

    /// WebSockets and other tunnels, of all workers.
    pub fn tunnels(&self) -> u32 {
        u32::try_from(self.level(|cells| &cells.tunnels)).unwrap_or_default()
    }

    /// Attempts that ended with an answer other than a 5xx, by all workers, as of about now.
    pub fn answers(&self) -> u64 {
        let classes = [
            CodeClass::Informational,
            CodeClass::Success,
            CodeClass::Redirection,
            CodeClass::ClientError,
        ];
        let of_one = |cells: &BackendCells| -> u64 {
            let counts = classes.map(|class| cells.requests[class.index()].get());
            counts.iter().sum()
        };
        self.workers.iter().map(of_one).sum()
    }
}

impl RouteMeters {
    /// The sum over all workers, as of about now.
    pub fn total(&self) -> RouteTotal {
        RouteTotal {
            requests: self.counts(|cells| &cells.requests),
            duration: self.durations(|cells| &cells.duration),
        }
    }
}

impl ListenerMeters {
    /// The sum over all workers, as of about now.
    pub fn total(&self) -> ListenerTotal {
        ListenerTotal {
            connections: self.level(|cells| &cells.connections),
            handshakes: self.counts(|cells| &cells.handshakes),
            pauses: self.count(|cells| &cells.pauses),
            refused: ByCause(self.counts(|cells| &cells.refused)),
        }
    }
}

impl PoolMeters {
    /// How many requests a hedge ended so, all workers together.
    pub fn hedges(&self, outcome: HedgeOutcome) -> u64 {
        self.count(|cells| &cells.hedges[outcome.index()])
    }

    /// The sum over all workers, as of about now.
    pub fn total(&self) -> PoolTotal {
        PoolTotal {
            retries: self.counts(|cells| &cells.retries),
            hedges: self.counts(|cells| &cells.hedges),
            queue: self.counts(|cells| &cells.queue),
            sticky: self.counts(|cells| &cells.sticky),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn totals_add_up_what_each_worker_counted_alone() {
        let meters = BackendMeters::new(3);
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let meters = &meters;
                scope.spawn(move || {
                    let cells = meters.at(WorkerId(worker));
                    for _ in 0..10_000 {
                        cells.requests[CodeClass::Success.index()].add(1);
                        cells.failures[Cause::Reset.index()].add(2);
                        cells.picks[PickReason::Sticky.index()].add(1);
                        cells.duration.observe(Duration::from_millis(1));
                        cells.connections_idle.increment();
                    }
                });
            }
        });
        let total = meters.total();
        assert_eq!(total.requests[CodeClass::Success.index()], 30_000);
        assert_eq!(total.requests.iter().sum::<u64>(), 30_000);
        assert_eq!(total.failures[Cause::Reset.index()], 60_000);
        assert_eq!(total.picks[PickReason::Sticky.index()], 30_000);
        assert_eq!(total.duration.count(), 30_000);
        assert_eq!(total.duration.sum(), Duration::from_secs(30));
        assert_eq!(
            (total.connections_idle, total.connections_active),
            (30_000, 0)
        );
    }

    #[test]
    fn workers_do_not_share_cache_lines() {
        assert_eq!(align_of::<BackendCells>(), 128);
        assert_eq!(size_of::<BackendCells>() % 128, 0);
        assert_eq!(align_of::<RouteCells>(), 128);
        assert_eq!(align_of::<ListenerCells>(), 128);
        assert_eq!(align_of::<PoolCells>(), 128);
    }

    #[test]
    fn the_smaller_bundles_add_up_too() {
        let (routes, listeners, pools) = (
            RouteMeters::new(2),
            ListenerMeters::new(2),
            PoolMeters::new(0),
        );
        routes.at(WorkerId(0)).requests[CodeClass::Aborted.index()].add(1);
        routes.at(WorkerId(1)).requests[CodeClass::Aborted.index()].add(1);
        listeners.at(WorkerId(0)).connections.add(3);
        listeners.at(WorkerId(1)).connections.add(-1);
        listeners.at(WorkerId(1)).pauses.add(1);
        pools.at(WorkerId(0)).sticky[StickyOutcome::Forged.index()].add(1);
        assert_eq!(routes.total().requests[CodeClass::Aborted.index()], 2);
        assert_eq!(
            (listeners.total().connections, listeners.total().pauses),
            (2, 1)
        );
        assert_eq!(pools.total().sticky[StickyOutcome::Forged.index()], 1);
    }
}
