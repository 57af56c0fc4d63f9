//! Who is ejected for what requests find, and when they are back.
//!
//! Workers count failures in a row with the backend and name the pool when there are enough (`Pool::note_answer`); answers are
//! compared once in each interval, by the counters that the workers keep anyway. The rules are of `health::outlier`. What is
//! remembered of a backend stays as long as a configuration has it: a reload forgives nothing.

use std::collections::HashMap;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use ahash::RandomState;

use super::control::Control;
use crate::backend::{Backend, BackendKey, Ejection, OperatorWord, Standing};
use crate::health::outlier::{Crowd, Policy, Record, Sample, outliers};
use crate::snapshot::{Pool, Registry, Snapshot, Snapshots};
use crate::telemetry::CodeClass;
use crate::worker::unix_seconds;

/// The ejections of the process.
pub struct Outliers {
    snapshots: Arc<Snapshots>,
    registry: Arc<Registry>,
    backends: HashMap<BackendKey, Held, RandomState>,
    /// When the interval of which pool ends.
    intervals: HashMap<Arc<str>, Instant, RandomState>,
}

/// What is remembered of backends with ejections that are not forgiven.
pub(super) type Records = HashMap<BackendKey, Record, RandomState>;

/// What is held of a backend.
struct Held {
    backend: Arc<Backend>,
    record: Record,
    /// Its counters at the end of the last interval.
    seen: Sample,
}

impl Outliers {
    /// Nobody is looked after before [`Outliers::adopt`].
    pub fn new(snapshots: &Arc<Snapshots>, registry: &Arc<Registry>) -> Self {
        Self {
            snapshots: Arc::clone(snapshots),
            registry: Arc::clone(registry),
            backends: HashMap::default(),
            intervals: HashMap::default(),
        }
    }

    /// Ejects and readmits for ever.
    pub(super) async fn run(mut self, control: Arc<Control>) {
        let records = std::mem::take(&mut *control.records());
        self.adopt_with(&records, Instant::now());
        loop {
            self.tell(&control);
            let next = self.next();
            tokio::select! {
                () = control.suspicion() => {}
                () = control.reload_of_outliers() => self.adopt(Instant::now()),
                () = until(next) => {}
            }
            self.look(Instant::now());
        }
    }

    /// Does what is due at `now`: lets those in again whose time is over, and ejects whom requests have found out.
    pub fn look(&mut self, now: Instant) {
        self.readmit_due(now);
        let snapshot = self.snapshots.load();
        let suspected = self.registry.suspected_pools();
        for (pool, policy) in pools(&snapshot).filter(|(_, policy)| policy.is_on()) {
            let over = self.intervals.get(&pool.name).is_some_and(|at| *at <= now);
            if over || suspected.contains(&pool.name) {
                self.judge_failures(pool, policy, now);
            }
            if over {
                self.end_interval(pool, policy, now);
            }
        }
    }

    /// Leaves what is remembered where it can be had for a process that takes over.
    fn tell(&self, control: &Control) {
        let held = self.backends.iter();
        let held = held.filter(|(_, held)| held.record.times() > 0);
        let records: Records = held.map(|(key, held)| (key.clone(), held.record)).collect();
        *control.records() = records;
    }

    /// When to look next, if nobody is suspected before.
    pub fn next(&self) -> Option<Instant> {
        let ends = self
            .backends
            .values()
            .filter_map(|held| held.record.until());
        ends.chain(self.intervals.values().copied()).min()
    }

    /// Takes on the backends of the configuration of now, and lets those go that it does not have looked after.
    pub fn adopt(&mut self, now: Instant) {
        self.adopt_with(&Records::default(), now);
    }

    /// The same, with what was remembered of some of them before.
    fn adopt_with(&mut self, records: &Records, now: Instant) {
        let snapshot = self.snapshots.load();
        let mut before = std::mem::take(&mut self.backends);
        let intervals = std::mem::take(&mut self.intervals);
        for (pool, policy) in pools(&snapshot).filter(|(_, policy)| policy.is_on()) {
            let latest = now + policy.interval;
            let end = intervals
                .get(&pool.name)
                .map_or(latest, |end| latest.min(*end));
            self.intervals.insert(Arc::clone(&pool.name), end);
            for member in pool.members.all() {
                let key = member.backend.key().clone();
                let known = before.remove(&key);
                let known = known.filter(|known| Arc::ptr_eq(&known.backend, &member.backend));
                let held = known.unwrap_or_else(|| Held {
                    backend: Arc::clone(&member.backend),
                    record: records
                        .get(member.backend.key())
                        .copied()
                        .unwrap_or_default(),
                    seen: counted(&member.backend),
                });
                // What nobody remembers would never end.
                if held.record.until().is_none() {
                    readmit(
                        &held.backend,
                        &self.snapshots,
                        "nobody looks for failures any more",
                    );
                }
                self.backends.insert(key, held);
            }
        }
        for left in before.into_values() {
            readmit(
                &left.backend,
                &self.snapshots,
                "nobody looks for failures any more",
            );
        }
    }

    /// Lets those in again whose time is over.
    fn readmit_due(&mut self, now: Instant) {
        for held in self.backends.values_mut() {
            if held.record.until().is_some() && held.backend.ejection().is_none() {
                // Checks were quicker.
                held.record.readmit(now);
            }
            if held.record.is_due(now) {
                held.record.readmit(now);
                readmit(&held.backend, &self.snapshots, "its time is over");
            }
        }
    }

    /// Ejects those that have failed often enough in a row.
    fn judge_failures(&mut self, pool: &Pool, policy: &Policy, now: Instant) {
        for member in pool.members.all() {
            let in_row = member.backend.failures_in_row();
            if policy.consecutive > 0 && in_row >= policy.consecutive {
                let finding = format!("{in_row} failures in a row");
                self.eject(
                    pool,
                    (&member.backend, Ejection::Failures),
                    &finding,
                    policy,
                    now,
                );
            }
        }
    }

    /// Compares what requests found in the interval that is over, and begins the next one.
    fn end_interval(&mut self, pool: &Pool, policy: &Policy, now: Instant) {
        self.intervals
            .insert(Arc::clone(&pool.name), now + policy.interval);
        let mut samples = Vec::new();
        for member in pool.members.all() {
            let backend = &member.backend;
            let Some(held) = self.backends.get_mut(backend.key()) else {
                return;
            };
            held.record
                .forgive(now, backend.failures_in_row() > 0, policy);
            let total = counted(backend);
            let before = std::mem::replace(&mut held.seen, total);
            // Who is out already is nobody's measure.
            let is_in = backend.ejection().is_none();
            samples.push(if is_in {
                since(before, total)
            } else {
                Sample::default()
            });
        }
        if !policy.success_rate {
            return;
        }
        for index in outliers(&samples) {
            let Sample { requests, errors } = samples[index];
            let finding = format!("{errors} of {requests} answers were 5xx, far above the rest");
            let backend = &pool.members.all()[index].backend;
            self.eject(pool, (backend, Ejection::Errors), &finding, policy, now);
        }
    }

    /// Ejects a backend, if the pool can do without it.
    fn eject(
        &mut self,
        pool: &Pool,
        (backend, cause): (&Arc<Backend>, Ejection),
        finding: &str,
        policy: &Policy,
        now: Instant,
    ) {
        let before = backend.standing();
        let Some(held) = self.backends.get_mut(backend.key()) else {
            return;
        };
        if !before.takes_bound() || !crowd(pool).may_lose_one(policy) {
            return;
        }
        let time = held.record.eject(now, policy);
        backend.note_ejected_until(unix_seconds() + time.as_secs_f64().ceil() as u64);
        backend.eject(cause);
        backend.note_stands_since(unix_seconds());
        self.snapshots.standing_changed(&pool.name);
        tracing::warn!(
            pool = %pool.name, backend = %backend.address(), from = %before, to = %backend.standing(),
            cause = cause.as_str(), finding, seconds = time.as_secs_f64(), times = held.record.times(),
            "a backend is ejected for what requests find"
        );
    }
}

impl fmt::Debug for Outliers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outliers")
            .field("backends", &self.backends.len())
            .finish_non_exhaustive()
    }
}

/// Ends the ejection of a backend, if it is ejected, and tells of it.
pub(super) fn readmit(backend: &Backend, snapshots: &Snapshots, why: &str) {
    let Some(cause) = backend.ejection() else {
        return;
    };
    let before = backend.standing();
    backend.readmit();
    if backend.standing() != before {
        backend.note_stands_since(unix_seconds());
    }
    snapshots.standing_changed(&backend.key().pool);
    tracing::info!(
        pool = %backend.key().pool, backend = %backend.address(), from = %before, to = %backend.standing(),
        cause = cause.as_str(), why, "a backend is ejected no more"
    );
}

/// The pools of a configuration, and what is looked for in them.
fn pools(snapshot: &Snapshot) -> impl Iterator<Item = (&Arc<Pool>, &Policy)> {
    let plans = snapshot.plan.pools.iter().map(|plan| &plan.outlier);
    snapshot.pools.iter().zip(plans)
}

/// A pool as it stands now: of its backends those that the operator wants. Those that are ejected count whatever the
/// operator says: they come back as they are, and the share is to be kept then too.
fn crowd(pool: &Pool) -> Crowd {
    let mut crowd = Crowd::default();
    for member in pool.members.all() {
        let backend = &member.backend;
        let is_wanted = member.nominal > 0 && backend.operator() == OperatorWord::Ready;
        let is_ejected = backend.ejection().is_some();
        crowd.all += usize::from(is_wanted || is_ejected);
        crowd.ejected += usize::from(is_ejected);
        crowd.ready += usize::from(is_wanted && backend.standing() == Standing::Ready);
    }
    crowd
}

/// What was counted of a backend so far, without what clients broke off.
fn counted(backend: &Backend) -> Sample {
    let total = backend.meters().total();
    let aborted = total.requests[CodeClass::Aborted.index()];
    Sample {
        requests: total.requests.iter().sum::<u64>() - aborted,
        errors: total.requests[CodeClass::ServerError.index()],
    }
}

fn since(before: Sample, now: Sample) -> Sample {
    // Read cell by cell while workers count: a moment's disorder must not become a huge number.
    let requests = now.requests.saturating_sub(before.requests);
    Sample {
        requests,
        errors: now.errors.saturating_sub(before.errors).min(requests),
    }
}

/// Waits until then, or for ever.
pub(super) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;
    use crate::strategy::Slot;

    #[test]
    fn whoever_was_ejected_while_drained_counts_in_the_share() {
        let backends: Vec<_> = (1..=5)
            .map(|port| format!("{{ address = \"127.0.0.1:{port}\" }}"))
            .collect();
        let text = format!(
            "listeners.web.address = \"127.0.0.1:80\"\n[[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n\
             [pools.shop]\nbackends = [{}]\n\
             [pools.shop.outlier]\nconsecutive = 1\nmax_ejected = \"50%\"\n",
            backends.join(", ")
        );
        let loaded = config::load_text(&text, Path::new("x.toml"), &config::Options::new());
        let registry = Arc::new(Registry::new(1, 0));
        let first = Snapshot::assemble(Arc::new(loaded.unwrap().plan), &registry, 1);
        let pool = Arc::clone(&first.pools[0]);
        let snapshots = Arc::new(Snapshots::new(first));
        let mut outliers = Outliers::new(&snapshots, &registry);
        outliers.adopt(Instant::now());
        pool.backend(Slot(0)).set_operator(OperatorWord::Draining);
        for slot in 0..4 {
            pool.note_failure(Slot(slot));
            outliers.look(Instant::now());
        }
        pool.backend(Slot(0)).set_operator(OperatorWord::Ready);
        let ejected = (0..5).map(|slot| pool.backend(Slot(slot)).ejection().is_some());
        // Two of five.
        assert_eq!(
            ejected.collect::<Vec<_>>(),
            [true, true, false, false, false]
        );
    }
}
