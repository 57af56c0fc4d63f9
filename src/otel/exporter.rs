//! The thread that exports: it gathers records for a moment, sends them as one batch, and says when that begins to fail.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::collector::{Collector, Failure};
use super::finished::Finished;
use super::outlet::{Outlet, Shared};
use super::spans::{Identity, request};
use crate::telemetry::TraceLoss;

/// The exporter as its process knows it.
#[derive(Debug)]
pub struct Exporter {
    outlet: Outlet,
    shared: Arc<Shared>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Exporter {
    /// Starts the thread; it runs also while no traces are exported, so that a reload can turn that on.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn start() -> io::Result<Self> {
        let (outlet, queue, shared) = Outlet::new();
        let (alive, ended) = sync_channel(0);
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("traces".to_owned());
        thread.spawn(move || {
            let _alive = alive; // dropped when the thread ends, however it does
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => runtime.block_on(Work::new(queue, theirs).run()),
                Err(error) => tracing::error!(%error, "traces cannot be exported"),
            }
        })?;
        Ok(Self {
            outlet,
            shared,
            ended,
        })
    }

    /// The way to it, for a worker.
    pub fn outlet(&self) -> Outlet {
        self.outlet.clone()
    }

    /// Sends what waits, at most for `patience`; says whether that was all. All workers' outlets must have been dropped
    /// before, for the thread goes on as long as one of them exists.
    pub fn finish(self, patience: Duration) -> bool {
        let Self {
            outlet,
            shared,
            ended,
        } = self;
        drop(outlet);
        shared.end();
        ended.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }
}

/// What the thread works with.
struct Work {
    queue: mpsc::Receiver<Finished>,
    shared: Arc<Shared>,
    collector: Collector,
    identity: Identity,
    /// Requests lost since batches began to fail; none while they arrive.
    failing: Option<usize>,
}

impl Work {
    fn new(queue: mpsc::Receiver<Finished>, shared: Arc<Shared>) -> Self {
        Self {
            queue,
            shared,
            collector: Collector::default(),
            identity: Identity::of_process(),
            failing: None,
        }
    }

    async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            if batch.is_empty() {
                let Some(first) = self.queue.recv().await else {
                    return;
                };
                batch.push(first);
                self.gather().await;
            }
            let next = self.fill(&mut batch);
            self.export(&batch).await;
            batch.clear();
            batch.extend(next);
        }
    }

    /// Waits for more to come, or for so many that they have to go. Nobody is woken for each of them.
    async fn gather(&self) {
        if !self.shared.is_ending() {
            tokio::select! {
                () = sleep(GATHERING) => {}
                () = self.shared.urgent.notified() => {}
            }
        }
    }

    /// Adds what waits and goes to the same place; gives the first one that goes elsewhere.
    fn fill(&mut self, batch: &mut Vec<Finished>) -> Option<Finished> {
        while batch.len() < BATCH {
            let next = self.queue.try_recv().ok()?;
            let (one, other) = (&batch[0].export, &next.export);
            if !Arc::ptr_eq(one, other) && one != other {
                return Some(next);
            }
            batch.push(next);
        }
        None
    }

    async fn export(&mut self, batch: &[Finished]) {
        let export = Arc::clone(&batch[0].export);
        let body = Bytes::from(request(batch, &self.identity));
        let mut tries = 0;
        let sent = loop {
            tries += 1;
            let limit = if self.shared.is_ending() {
                export.timeout.min(LAST_TRY)
            } else {
                export.timeout
            };
            let sent = self.collector.send(&export, body.clone(), limit).await;
            match &sent {
                Err(Failure {
                    again: Some(wait), ..
                }) if tries < TRIES && !self.shared.is_ending() => {
                    let wait = wait.unwrap_or(PAUSE * tries).min(PAUSE_MOST);
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = self.shared.hurry.notified() => {}
                    }
                }
                _ => break sent,
            }
        };
        let endpoint = &export.endpoint;
        match sent {
            Ok(refused) => {
                // These are spans: of as many requests at most, and of no more than there are.
                let refused = refused.min(batch.len());
                self.shared.export_some(batch.len() - refused);
                self.shared.drop_some(TraceLoss::Refused, refused);
                if refused == batch.len() {
                    // For all that is known, nothing of it was taken: what fails goes on failing.
                    if let Some(lost) = &mut self.failing {
                        *lost += refused;
                    }
                } else if let Some(lost) = self.failing.take() {
                    tracing::info!(%endpoint, lost, "traces are exported again");
                }
            }
            Err(Failure { cause, again }) => {
                let why = if again.is_some() {
                    TraceLoss::Failed
                } else {
                    TraceLoss::Refused
                };
                if self.failing.is_none() {
                    tracing::warn!(
                        %endpoint, %cause,
                        "traces cannot be exported: they are dropped and counted (forecourt_traces_dropped_total) until the collector takes them"
                    );
                }
                *self.failing.get_or_insert(0) += batch.len();
                self.shared.drop_some(why, batch.len());
            }
        }
    }
}

/// How long records are gathered: seldom enough for few requests, often enough for somebody who waits to see a trace.
const GATHERING: Duration = Duration::from_secs(1);

/// Requests in one batch, as OpenTelemetry's own exporters have it: at most some megabytes.
const BATCH: usize = 512;

/// How often one batch is sent.
const TRIES: u32 = 3;

/// Before the second try; before the third one twice as long.
const PAUSE: Duration = Duration::from_secs(1);

/// However long a collector wants to be left alone, it gets the next batch after this.
const PAUSE_MOST: Duration = Duration::from_secs(30);

/// How long a collector may take when the process ends.
const LAST_TRY: Duration = Duration::from_secs(2);
