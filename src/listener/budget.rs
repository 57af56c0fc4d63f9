//! How many connections the process can hold, and which worker holds fewest.
//!
//! Descriptors are a budget: the limit of open files is shared out between clients, idle connections to
//! backends and a reserve, so that a crowd of clients leaves enough to serve them with. The counts
//! change once for each connection, never for each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::telemetry::WorkerId;
use crate::worker::{Descriptor, Descriptors};

/// The process's connections from clients.
#[derive(Debug)]
pub struct Budget {
    most: usize,
    descriptors: Arc<Descriptors>,
    workers: Box<[Count]>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Count(AtomicUsize);

/// One connection's place in the budget; dropping it gives the place back.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    worker: WorkerId,
    listener: Arc<AtomicUsize>,
    _descriptor: Descriptor,
}

/// How the descriptors of the process are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Connections of every kind.
    pub connections: usize,
    /// Of these at most, connections from clients.
    pub clients: usize,
    /// Of these at most, idle connections to backends.
    pub idle: usize,
}

impl Shares {
    /// Raises the soft limit of open files to the hard one and shares it out; `fixed` of them are needed
    /// for other things than connections: workers' sockets and runtimes.
    pub fn claim(fixed: usize) -> Self {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // If it may not be raised, what there is is shared out.
        let _ = setrlimit(Resource::Nofile, limit);
        let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::of(
            usize::try_from(open_files)
                .unwrap_or(usize::MAX)
                .min(MOST_CLAIMED),
            fixed,
        )
    }

    fn of(open_files: usize, fixed: usize) -> Self {
        let reserve = (open_files / 50).max(64) + fixed;
        let usable = open_files - reserve.min(open_files / 2);
        let idle = usable / 5;
        Self {
            connections: usable,
            clients: usable - idle,
            idle,
        }
    }
}

impl Budget {
    /// A budget for at most `most` connections on so many workers, out of `descriptors`.
    pub fn new(most: usize, workers: usize, descriptors: Arc<Descriptors>) -> Arc<Self> {
        Arc::new(Self {
            most,
            descriptors,
            workers: (0..workers).map(|_| Count::default()).collect(),
        })
    }

    /// Whether another connection may be accepted by a listener with `listener` connections of at most
    /// `listener_most` (0 for no limit of its own).
    pub fn has_room(&self, listener: &AtomicUsize, listener_most: usize) -> bool {
        let full = listener_most > 0 && listener.load(Ordering::Relaxed) >= listener_most;
        !full && self.total() < self.most && !self.descriptors.are_short()
    }

    /// Takes a place for a connection that `worker` is to serve.
    pub fn enter(self: &Arc<Self>, worker: WorkerId, listener: &Arc<AtomicUsize>) -> Permit {
        self.workers[worker.0].0.fetch_add(1, Ordering::Relaxed);
        listener.fetch_add(1, Ordering::Relaxed);
        Permit {
            budget: Arc::clone(self),
            worker,
            listener: Arc::clone(listener),
            _descriptor: self.descriptors.enter(),
        }
    }

    /// Connections of one worker.
    pub fn held_by(&self, worker: WorkerId) -> usize {
        self.workers[worker.0].0.load(Ordering::Relaxed)
    }

    /// Connections of all workers.
    pub fn total(&self) -> usize {
        self.workers
            .iter()
            .map(|count| count.0.load(Ordering::Relaxed))
            .sum()
    }

    /// Who should serve a connection that `worker` has accepted: itself, unless it holds clearly more
    /// than the least loaded. SO_REUSEPORT spreads by hash, which leaves workers idle when connections
    /// are few and long.
    pub fn place(&self, worker: WorkerId) -> WorkerId {
        let mine = self.held_by(worker);
        let least = self
            .workers
            .iter()
            .map(|count| count.0.load(Ordering::Relaxed))
            .enumerate()
            .min_by_key(|(_, held)| *held);
        match least {
            Some((other, held)) if mine > held + 1 + held / 8 => WorkerId(other),
            Some(_) | None => worker,
        }
    }
}

impl Permit {
    /// The worker that holds it.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.workers[self.worker.0]
            .0
            .fetch_sub(1, Ordering::Relaxed);
        self.listener.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where the limit is "infinity", no more than this is planned with.
const MOST_CLAIMED: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_shared_out_with_a_reserve() {
        let shares = Shares::of(20_000, 16);
        assert!(shares.clients >= 15_000, "{shares:?}");
        assert!(shares.clients + shares.idle <= 20_000 - 400, "{shares:?}");
        let few = Shares::of(16, 16);
        assert!(few.clients > 0 && few.clients + few.idle <= 16, "{few:?}");
    }

    #[test]
    fn a_worker_with_clearly_more_gives_away() {
        let budget = Budget::new(100, 2, Descriptors::new(100));
        let listener = Arc::default();
        let held: Vec<_> = (0..2)
            .map(|_| budget.enter(WorkerId(0), &listener))
            .collect();
        assert_eq!(budget.place(WorkerId(0)), WorkerId(1));
        assert_eq!(budget.place(WorkerId(1)), WorkerId(1));
        drop(held);
        assert_eq!(budget.total(), 0);
        assert_eq!(budget.place(WorkerId(0)), WorkerId(0));
    }

    #[test]
    fn backends_take_from_the_same_descriptors() {
        let descriptors = Descriptors::new(1);
        let budget = Budget::new(100, 1, Arc::clone(&descriptors));
        let listener = Arc::default();
        let backend = descriptors.take();
        assert!(!budget.has_room(&listener, 0));
        drop(backend);
        assert!(budget.has_room(&listener, 0));
    }

    #[test]
    fn both_limits_hold() {
        let budget = Budget::new(2, 1, Descriptors::new(100));
        let listener = Arc::default();
        assert!(budget.has_room(&listener, 1));
        let _first = budget.enter(WorkerId(0), &listener);
        assert!(!budget.has_room(&listener, 1));
        assert!(budget.has_room(&listener, 0));
        let _second = budget.enter(WorkerId(0), &listener);
        assert!(!budget.has_room(&listener, 0));
    }
}
