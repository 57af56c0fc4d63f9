//! What requests found lately: the workers' cells summed once a second, for trials and for what a change would move.
//!
//! Cells go when their route goes, and begin anew when it comes back; what is kept here goes on growing all the same, so
//! that two readings can be subtracted whatever was configured between them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::health::trial::Figures;
use crate::plan::moves::Seen;
use crate::snapshot::Snapshot;
use crate::snapshot::registry::UNROUTED;
use crate::telemetry::cells::HistogramTotal;
use crate::telemetry::meters::RouteTotal;
use crate::telemetry::{CodeClass, PickReason, RouteMeters};

/// What was counted since the process serves, and what of it lately.
#[derive(Debug)]
pub(super) struct Traffic {
    sum: Sum,
    routes: HashMap<Arc<str>, u64>,
    /// The cells as they were read last, by listener and route.
    cells: HashMap<(Arc<str>, Arc<str>), Read>,
    older: Mark,
    newer: Mark,
}

/// All requests together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    requests: u64,
    errors: u64,
    duration: HistogramTotal,
}

/// A reading that later ones are compared with.
#[derive(Debug)]
struct Mark {
    at: Instant,
    sum: Sum,
    routes: HashMap<Arc<str>, u64>,
}

#[derive(Debug)]
struct Read {
    /// Weak: cells of a route that has gone are not kept for it. Its place in memory is, so that no others are
    /// taken for them.
    cells: Weak<RouteMeters>,
    total: RouteTotal,
}

impl Traffic {
    /// Begins to count with what there is.
    pub(super) fn new(snapshot: &Snapshot, now: Instant) -> Self {
        let mark = || Mark {
            at: now,
            sum: Sum::default(),
            routes: HashMap::new(),
        };
        let mut traffic = Self {
            sum: Sum::default(),
            routes: HashMap::new(),
            cells: HashMap::new(),
            older: mark(),
            newer: mark(),
        };
        traffic.read(snapshot, now);
        traffic
    }

    /// Reads the cells.
    pub(super) fn read(&mut self, snapshot: &Snapshot, now: Instant) {
        let mut before = std::mem::take(&mut self.cells);
        let plan = &snapshot.plan;
        for (listener, route, meters) in snapshot.used_route_meters() {
            let listener = Arc::clone(&plan.listeners[listener].name);
            let name =
                route.map_or_else(|| UNROUTED.into(), |it| Arc::clone(&plan.routes[it].name));
            let key = (listener, Arc::clone(&name));
            let total = meters.total();
            let known = before.remove(&key);
            let known = known.filter(|read| read.cells.as_ptr() == Arc::as_ptr(meters));
            let known = known.map(|read| read.total).unwrap_or_default();
            let since = |class: CodeClass| {
                let index = class.index();
                total.requests[index].saturating_sub(known.requests[index])
            };
            let requests: u64 = CodeClass::ALL.into_iter().map(since).sum();
            self.sum.requests += requests;
            self.sum.errors += since(CodeClass::ServerError);
            if route.is_none() {
                // A route that was forgotten shows here.
                self.sum.errors += since(CodeClass::ClientError);
            }
            let took = total.duration.since(&known.duration);
            self.sum.duration.merge(&took);
            *self.routes.entry(name).or_default() += requests;
            let cells = Arc::downgrade(meters);
            self.cells.insert(key, Read { cells, total });
        }
        // Somebody still uses them: they may come back as they are.
        before.retain(|_, read| read.cells.strong_count() > 0);
        self.cells.extend(before);
        if now.saturating_duration_since(self.newer.at) >= MARK {
            // Names of routes that have gone are not gathered for ever.
            let names: HashSet<_> = self
                .cells
                .keys()
                .map(|(_, route)| Arc::clone(route))
                .collect();
            self.routes.retain(|name, _| names.contains(name));
            let next = self.mark(now);
            self.older = std::mem::replace(&mut self.newer, next);
        }
    }

    fn mark(&self, at: Instant) -> Mark {
        Mark {
            at,
            sum: self.sum,
            routes: self.routes.clone(),
        }
    }

    /// All that was counted, for [`Traffic::since`].
    pub(super) fn sum(&self) -> Sum {
        self.sum
    }

    /// What requests have found since.
    pub(super) fn since(&self, before: &Sum) -> Figures {
        let took = self.sum.duration.since(&before.duration);
        Figures {
            requests: self.sum.requests - before.requests,
            errors: self.sum.errors - before.errors,
            p99: took.percentile(99, 0),
        }
    }

    /// What requests have found lately: in the last minute, or since the process serves.
    pub(super) fn lately(&self) -> Figures {
        self.since(&self.older.sum)
    }

    /// What was counted lately, for what a change would move, and in which time.
    pub(super) fn seen(&self, snapshot: &Snapshot, now: Instant) -> (Seen, Duration) {
        let routes = self.routes.iter().map(|(name, count)| {
            let before = self.older.routes.get(name).copied().unwrap_or(0);
            (Arc::clone(name), count.saturating_sub(before))
        });
        let members = snapshot.pools.iter().flat_map(|pool| pool.members.all());
        let sessions = members.map(|member| {
            let total = member.backend.meters().total();
            let picks = total.picks[PickReason::Sticky.index()];
            (member.backend.key().clone(), picks)
        });
        let seen = Seen {
            routes: routes.filter(|(_, count)| *count > 0).collect(),
            sessions: sessions.collect(),
        };
        (seen, now.saturating_duration_since(self.older.at))
    }
}

/// From one mark to the next: what was "lately" is between one and two of them long.
const MARK: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Options};
    use crate::snapshot::Registry;
    use crate::telemetry::WorkerId;

    fn snapshot(routes: &[&str], registry: &Arc<Registry>) -> Snapshot {
        let routes = routes.iter().map(|name| {
            format!("[[routes]]\nname = \"{name}\"\npath_prefix = \"/{name}\"\npool = \"shop\"\n")
        });
        let routes: String = routes.collect();
        let text = format!(
            "listeners.web.address = \"127.0.0.1:80\"\n{routes}[pools.shop]\nbackends = [{{ address = \"127.0.0.1:1\" }}]\n"
        );
        let loaded = config::load_text(&text, Path::new("x.toml"), &Options::new()).unwrap();
        Snapshot::assemble(Arc::new(loaded.plan), registry, 1)
    }

    fn count(snapshot: &Snapshot, route: Option<usize>, class: CodeClass, requests: u64) {
        let cells = snapshot.route_meters(0, route).at(WorkerId(0));
        cells.requests[class.index()].add(requests);
        (0..requests).for_each(|_| cells.duration.observe(Duration::from_millis(2)));
    }

    #[test]
    fn a_route_that_goes_and_comes_back_is_counted_once() {
        let registry = Arc::new(Registry::new(1, 7));
        let now = Instant::now();
        let both = snapshot(&["a", "b"], &registry);
        let mut traffic = Traffic::new(&both, now);
        count(&both, Some(0), CodeClass::Success, 10);
        count(&both, Some(1), CodeClass::ServerError, 5);
        traffic.read(&both, now);
        let before = traffic.sum();
        assert_eq!((before.requests, before.errors), (15, 5));
        let one = snapshot(&["a"], &registry);
        drop(both);
        count(&one, Some(0), CodeClass::Success, 1);
        traffic.read(&one, now);
        // The cells of `b` have gone and are new ones now.
        let both = snapshot(&["a", "b"], &registry);
        drop(one);
        count(&both, Some(1), CodeClass::Success, 3);
        traffic.read(&both, now);
        let since = traffic.since(&before);
        assert_eq!((since.requests, since.errors), (4, 0));
        assert!(since.p99.unwrap() <= Duration::from_micros(2_500));
    }

    #[test]
    fn cells_that_somebody_held_meanwhile_are_not_counted_twice() {
        let registry = Arc::new(Registry::new(1, 7));
        let now = Instant::now();
        let both = snapshot(&["a", "b"], &registry);
        let mut traffic = Traffic::new(&both, now);
        count(&both, Some(1), CodeClass::Success, 5);
        traffic.read(&both, now);
        traffic.read(&snapshot(&["a"], &registry), now);
        let again = snapshot(&["a", "b"], &registry);
        traffic.read(&again, now);
        assert_eq!(traffic.sum().requests, 5);
    }

    #[test]
    fn whoever_finds_no_route_has_found_an_error() {
        let registry = Arc::new(Registry::new(1, 7));
        let now = Instant::now();
        let snapshot = snapshot(&["a"], &registry);
        let mut traffic = Traffic::new(&snapshot, now);
        count(&snapshot, None, CodeClass::ClientError, 2);
        count(&snapshot, Some(0), CodeClass::ClientError, 3);
        traffic.read(&snapshot, now);
        let lately = traffic.lately();
        assert_eq!((lately.requests, lately.errors), (5, 2));
    }

    #[test]
    fn lately_is_one_to_two_marks_long() {
        let registry = Arc::new(Registry::new(1, 7));
        let start = Instant::now();
        let snapshot = snapshot(&["a"], &registry);
        let mut traffic = Traffic::new(&snapshot, start);
        for second in 1..=100_u64 {
            count(&snapshot, Some(0), CodeClass::Success, 1);
            let now = start + Duration::from_secs(second);
            traffic.read(&snapshot, now);
            let (seen, window) = traffic.seen(&snapshot, now);
            assert!(window <= 2 * MARK);
            assert_eq!(seen.routes["a"], window.as_secs());
            assert_eq!(traffic.lately().requests, window.as_secs());
        }
    }
}
