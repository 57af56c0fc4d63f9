//! The way from the workers to the exporter: a bounded queue that makes nobody wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, mpsc};

use super::finished::Finished;
use crate::plan::export::Export;
use crate::telemetry::{TraceLoss, names};

/// One worker's way to the exporter; clones lead to the same.
#[derive(Clone, Debug)]
pub struct Outlet {
    queue: mpsc::Sender<Finished>,
    shared: Arc<Shared>,
}

/// What workers, exporter and whoever ends it have in common.
#[derive(Debug)]
pub(super) struct Shared {
    /// Wakes an exporter that waits for more.
    pub(super) urgent: Notify,
    /// Whether the process ends.
    ending: AtomicBool,
    /// Wakes an exporter that waits for a better moment.
    pub(super) hurry: Notify,
    exported: metrics::Counter,
    dropped: [metrics::Counter; TraceLoss::COUNT],
}

impl Outlet {
    /// An outlet, and what comes out of it.
    pub(super) fn new() -> (Self, mpsc::Receiver<Finished>, Arc<Shared>) {
        let (queue, out) = mpsc::channel(QUEUE_MOST);
        let reason = |reason: TraceLoss| metrics::counter!(names::TRACES_DROPPED.name, "reason" => reason.as_str());
        let shared = Arc::new(Shared {
            urgent: Notify::new(),
            ending: AtomicBool::new(false),
            hurry: Notify::new(),
            exported: metrics::counter!(names::TRACES_EXPORTED.name),
            dropped: TraceLoss::ALL.map(reason),
        });
        let outlet = Self {
            queue,
            shared: Arc::clone(&shared),
        };
        (outlet, out, shared)
    }

    /// Takes a record, or drops and counts it if too many wait. Never waits; makes no record that nobody takes.
    pub fn take(&self, export: &Export, record: impl FnOnce() -> Finished) {
        let waiting = self.queue.max_capacity() - self.queue.capacity();
        if waiting >= export.queue || self.queue.is_closed() {
            return self.shared.drop_some(TraceLoss::QueueFull, 1);
        }
        if self.queue.try_send(record()).is_err() {
            return self.shared.drop_some(TraceLoss::QueueFull, 1);
        }
        if waiting >= export.queue / 2 {
            self.shared.urgent.notify_one();
        }
    }
}

impl Shared {
    /// Counts requests whose spans have arrived.
    pub(super) fn export_some(&self, count: usize) {
        self.exported.increment(count as u64);
    }

    /// Counts requests whose spans are lost.
    pub(super) fn drop_some(&self, why: TraceLoss, count: usize) {
        self.dropped[why.index()].increment(count as u64);
    }

    /// Says that the process ends.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.urgent.notify_one();
        self.hurry.notify_one();
    }

    /// Whether the process ends.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }
}

/// Requests that any configuration lets wait.
const QUEUE_MOST: usize = 65_536;
