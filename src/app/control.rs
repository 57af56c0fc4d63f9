//! The thread that looks after health and names: it checks backends, asks for their addresses, and has what changes take
//! effect.
//!
//! This is the far end of the seam that `snapshot` tells of: [`Snapshots::standing_changed`] may be called by whoever
//! changes a standing, on any thread. The first call wakes this one, which rebuilds the members of the pools named
//! and publishes them under the same generation; calls that come within [`PAUSE`] wait for the next time together, so
//! that a rack that falls costs a few rebuilds and not one for each of its backends.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;

use super::budgets;
use super::leaving::{self, Leaver};
use super::names::Names;
use super::outliers::{Outliers, Records, until};
use super::paces::Paces;
use super::probes::Probes;
use super::ramps::Ramps;
use super::start::EXIT_WORKER_LOST;
use crate::admin::Instance;
use crate::discovery::LastGood;
use crate::snapshot::{Registry, Snapshot, Snapshots};
use crate::upstream::probe;
use crate::worker::{Descriptors, Worker};

/// What reaches the thread from outside.
#[derive(Debug, Default)]
pub(super) struct Control {
    changed: Notify,
    reloaded: Notify,
    reloaded_outliers: Notify,
    reloaded_paces: Notify,
    reloaded_names: Notify,
    suspected: Notify,
    removed: Notify,
    stopped: Notify,
    /// Backends that have been removed and nobody has seen to yet.
    pub(super) leavers: Mutex<Vec<Leaver>>,
    /// Ejections that are not forgiven: at first those of the process before, then as of the last look.
    records: Mutex<Records>,
}

/// What the thread works with.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) control: Arc<Control>,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) registry: Arc<Registry>,
    pub(super) descriptors: Arc<Descriptors>,
    pub(super) instance: Arc<Instance>,
    pub(super) last_good: LastGood,
    /// How many threads have been told to end.
    pub(super) ending: Arc<AtomicUsize>,
}

impl Control {
    /// That of a process which begins with these ejections.
    pub(super) fn knowing(records: Records) -> Self {
        Self {
            records: Mutex::new(records),
            ..Self::default()
        }
    }

    /// Ejections that are not forgiven.
    pub(super) fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that there is a new configuration.
    pub(super) fn reloaded(&self) {
        // Each has one who waits for it; slow start looks at whatever changes.
        self.reloaded_names.notify_one();
        self.found();
    }

    /// Says that pools have other backends.
    pub(super) fn found(&self) {
        self.reloaded.notify_one();
        self.reloaded_outliers.notify_one();
        self.reloaded_paces.notify_one();
        self.changed.notify_one();
    }

    /// Hands over those that a reload has removed.
    pub(super) fn removed(&self, leavers: Vec<Leaver>) {
        let mut waiting = self.leavers.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(leavers);
        drop(waiting);
        self.removed.notify_one();
    }

    /// Waits until a reload has removed backends. Cancel-safe.
    pub(super) async fn removal(&self) {
        self.removed.notified().await;
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        self.stopped.notify_one();
    }

    /// Waits for a new configuration, for the checks. Cancel-safe.
    pub(super) async fn reload(&self) {
        self.reloaded.notified().await;
    }

    /// Waits for a new configuration, for the ejections. Cancel-safe.
    pub(super) async fn reload_of_outliers(&self) {
        self.reloaded_outliers.notified().await;
    }

    /// Waits for a new configuration, for what follows from how long backends take. Cancel-safe.
    pub(super) async fn reload_of_paces(&self) {
        self.reloaded_paces.notified().await;
    }

    /// Waits for a new configuration, for the names. Cancel-safe.
    pub(super) async fn reload_of_names(&self) {
        self.reloaded_names.notified().await;
    }

    /// Waits until a worker suspects a backend. Cancel-safe.
    pub(super) async fn suspicion(&self) {
        self.suspected.notified().await;
    }
}

/// Starts the thread.
///
/// # Errors
/// When the system gives no more threads.
pub(super) fn start(setup: Setup) -> std::io::Result<JoinHandle<()>> {
    let (snapshots, alarm) = (Arc::clone(&setup.snapshots), Arc::clone(&setup.control));
    snapshots.on_change(move || alarm.changed.notify_one());
    let alarm = Arc::clone(&setup.control);
    setup
        .registry
        .on_suspicion(move || alarm.suspected.notify_one());
    let thread = std::thread::Builder::new().name("control".to_owned());
    thread.spawn(move || {
        let ending = Arc::clone(&setup.ending);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(setup)));
        if ending.load(Ordering::Acquire) == 0 {
            // What is down would stay in rotation from now on, and what is back would stay out.
            tracing::error!(
                ?ended,
                "nobody looks after health and names any more: the process ends"
            );
            std::process::exit(EXIT_WORKER_LOST);
        }
    })
}

fn run(setup: Setup) -> std::io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let worker = Worker::new(probe::WORKER, fastrand::u64(..));
        tokio::task::spawn_local(Rc::clone(worker.wheel()).run());
        let control = Arc::clone(&setup.control);
        let standings = rebuild(&setup);
        let probes = Probes::new(&setup, worker).run();
        let outliers = Outliers::new(&setup.snapshots, &setup.registry).run(Arc::clone(&control));
        let paces = Paces::new(&setup).run();
        let names = Names::new(&setup).run();
        tokio::select! {
            () = standings => {}
            () = probes => {}
            () = outliers => {}
            () = paces => {}
            () = budgets::run(&setup) => {}
            () = names => {}
            () = leaving::run(&setup) => {}
            () = control.stopped.notified() => {}
        }
    });
    Ok(())
}

async fn rebuild(setup: &Setup) {
    let mut ramps = Ramps::default();
    ramps.look(&setup.snapshots.load(), Instant::now());
    loop {
        let next = ramps.next(Instant::now());
        tokio::select! {
            () = setup.control.changed.notified() => {}
            () = until(next) => {}
        }
        renew(
            &setup.snapshots,
            &setup.registry,
            &mut ramps,
            Instant::now(),
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// Publishes the generation of now with the members as they stand, of the pools where anything has changed.
pub fn renew(snapshots: &Snapshots, registry: &Registry, ramps: &mut Ramps, now: Instant) {
    let mut pools = snapshots.changed_pools();
    pools.append(&mut ramps.look(&snapshots.load(), now));
    if pools.is_empty() {
        return;
    }
    let (last, next) = snapshots.publish(|now| now.anew(&pools, registry));
    tell_of_panics(&last, &next);
}

/// Says which pools have begun to ask for health no more, and which do again.
pub(super) fn tell_of_panics(last: &Snapshot, next: &Snapshot) {
    for pool in &next.pools {
        let before = last.pools.iter().find(|before| before.name == pool.name);
        let was = before.is_some_and(|before| before.members.are_in_panic());
        let (is, name) = (pool.members.are_in_panic(), &pool.name);
        let (eligible, all) = (pool.members.eligible().len(), pool.members.all().len());
        if is && !was {
            tracing::warn!(
                pool = %name, eligible, backends = all,
                "too few backends are well: requests go to all of them (panic_threshold)"
            );
        } else if was && !is {
            tracing::info!(
                pool = %name, eligible, backends = all,
                "enough backends are well again: requests go to them alone"
            );
        }
    }
}

/// From one rebuild to the next.
const PAUSE: Duration = Duration::from_millis(10);
