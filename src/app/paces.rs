//! What follows from how long backends take: when a request is late (`retry.hedge = "p95"`), and how much a backend may have
//! in flight (`limits.adaptive`).
//!
//! Workers note how long heads take, in pools that ask for it; here it is looked at twice a second, by the rules of
//! `limit::adaptive`. What has been found of a backend stays as long as a configuration has it adapted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;

use super::control::{Control, Setup};
use crate::backend::{Backend, BackendKey};
use crate::limit::adaptive::{Gradient, Seen};
use crate::plan;
use crate::plan::pool::Hedge;
use crate::snapshot::{Pool, Snapshot, Snapshots};
use crate::telemetry::HedgeOutcome;
use crate::telemetry::cells::HistogramTotal;

/// The paces of all backends that somebody asks for.
pub(super) struct Paces {
    control: Arc<Control>,
    snapshots: Arc<Snapshots>,
    backends: HashMap<BackendKey, Known, RandomState>,
    pools: HashMap<Arc<str>, Lately, RandomState>,
    last: Instant,
}

/// What is known of a backend.
struct Known {
    backend: Arc<Backend>,
    /// What heads had taken at the last look.
    heads: HistogramTotal,
    /// What has been seen since the last step of its limit.
    seen: Seen,
    /// How long ago that was.
    over: Duration,
    gradient: Gradient,
}

/// What heads of a pool have taken lately.
#[derive(Default)]
struct Lately {
    heads: HistogramTotal,
    /// Attempts that had been outrun at the last estimate. Nobody knows how long they would have taken.
    outrun: u64,
    delay: Option<Duration>,
}

impl Paces {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            control: Arc::clone(&setup.control),
            snapshots: Arc::clone(&setup.snapshots),
            backends: HashMap::default(),
            pools: HashMap::default(),
            last: Instant::now(),
        }
    }

    /// Looks for ever.
    pub(super) async fn run(mut self) {
        let control = Arc::clone(&self.control);
        loop {
            let snapshot = self.snapshots.load();
            if self.look(&snapshot, Instant::now()) {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = control.reload_of_paces() => {}
                }
            } else {
                control.reload_of_paces().await;
            }
        }
    }

    /// Looks at all pools that ask for it; says whether there is one.
    fn look(&mut self, snapshot: &Snapshot, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(std::mem::replace(&mut self.last, now));
        let mut before = std::mem::take(&mut self.backends);
        let mut pools_before = std::mem::take(&mut self.pools);
        let pools = snapshot.pools.iter().zip(&snapshot.plan.pools);
        for (pool, plan) in pools {
            if !pool.times_heads {
                // It may have been adapted once more while the configuration changed.
                for (member, backend) in pool.members.all().iter().zip(&plan.backends) {
                    if before.remove(member.backend.key()).is_some() {
                        member.backend.set_most_in_flight(backend.max_in_flight);
                    }
                }
                continue;
            }
            let mut lately = pools_before.remove(&pool.name).unwrap_or_default();
            for (member, backend) in pool.members.all().iter().zip(&plan.backends) {
                let key = member.backend.key().clone();
                let known = before
                    .remove(&key)
                    .filter(|known| Arc::ptr_eq(&known.backend, &member.backend));
                let mut known = known.unwrap_or_else(|| Known::of(&member.backend));
                let news = known.look(elapsed);
                lately.heads.merge(&news);
                known.adapt(pool, plan, backend.max_in_flight);
                self.backends.insert(key, known);
            }
            lately.estimate(pool);
            self.pools.insert(Arc::clone(&pool.name), lately);
        }
        !self.pools.is_empty()
    }
}

impl Known {
    fn of(backend: &Arc<Backend>) -> Self {
        Self {
            heads: backend.meters().heads(),
            seen: Seen::default(),
            over: Duration::ZERO,
            gradient: Gradient::from(backend.most_in_flight().max(1)),
            backend: Arc::clone(backend),
        }
    }

    /// What has come since the last look.
    fn look(&mut self, elapsed: Duration) -> HistogramTotal {
        let heads = self.backend.meters().heads();
        let news = heads.since(&self.heads);
        self.heads = heads;
        self.seen.requests += news.count();
        self.seen.took += news.sum();
        self.over += elapsed;
        news
    }

    /// Takes a step when enough has been seen.
    fn adapt(&mut self, pool: &Pool, plan: &plan::Pool, cap: u32) {
        let Some(bounds) = plan.limits.adaptive else {
            self.seen = Seen::default();
            return self.backend.set_most_in_flight(cap);
        };
        if self.seen.requests < Gradient::ENOUGH {
            return;
        }
        let mut seen = std::mem::take(&mut self.seen);
        let over = std::mem::take(&mut self.over);
        // By their time (Little's law), or as many as there are now, bodies under way included.
        let average = seen.took.as_secs_f64() / over.as_secs_f64().max(f64::EPSILON);
        seen.in_flight = average.max(f64::from(self.backend.in_flight()));
        let before = self.backend.most_in_flight();
        let limit = self.gradient.step(seen, bounds, cap);
        if limit == before {
            return;
        }
        self.backend.set_most_in_flight(limit);
        tracing::debug!(
            pool = %pool.name, backend = %self.backend.address(), from = before, to = limit,
            "a backend may have another number of requests in flight"
        );
        if limit > before {
            pool.note_raised_limit();
        }
    }
}

impl Lately {
    /// Finds anew when a request of the pool is late, when enough has been seen.
    fn estimate(&mut self, pool: &Pool) {
        if pool.retry.hedge != Hedge::Percentile95 || self.heads.count() < ENOUGH {
            return;
        }
        let heads = std::mem::take(&mut self.heads);
        let outrun = pool.meters.hedges(HedgeOutcome::Won);
        // Left out, they would make the next delay shorter, by which still more would be outrun.
        let longer = outrun.saturating_sub(std::mem::replace(&mut self.outrun, outrun));
        let now = heads.percentile(95, longer);
        self.delay = match (self.delay, now) {
            (Some(before), Some(now)) => Some((before + now) / 2),
            (before, now) => now.or(before),
        };
        pool.set_delay(self.delay);
    }
}

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(500);

/// Heads from which 95 of 100 can be told.
const ENOUGH: u64 = 100;
