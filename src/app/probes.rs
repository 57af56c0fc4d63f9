//! All checks of all backends, in one place.
//!
//! Checks are due one by one, jittered, and of many that begin together the first ones are spread over an interval.
//! No more than [`MOST_AT_ONCE`] run at once, and no more than an eighth of the descriptors: what is beyond that is late,
//! never more. An interval runs from the end of a check to the beginning of the next, so a slow backend is asked
//! less often and never twice at once. Who is due, and what follows from an outcome, is in [`super::agenda`].

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use super::agenda::{Agenda, Checking};
use super::control::{Control, Setup};
use super::outliers::until;
use crate::admin::Instance;
use crate::snapshot::Snapshots;
use crate::upstream::probe;
use crate::worker::{Descriptors, Worker};

/// The checks of the process.
pub(super) struct Probes {
    control: Arc<Control>,
    snapshots: Arc<Snapshots>,
    instance: Arc<Instance>,
    descriptors: Arc<Descriptors>,
    worker: Rc<Worker>,
    most: usize,
    agenda: Agenda,
    running: JoinSet<Checking>,
    /// Whether the process waits for first verdicts.
    held: bool,
}

impl Probes {
    pub(super) fn new(setup: &Setup, worker: Rc<Worker>) -> Self {
        let most = (setup.descriptors.most() / 8).clamp(1, MOST_AT_ONCE);
        Self {
            control: Arc::clone(&setup.control),
            snapshots: Arc::clone(&setup.snapshots),
            instance: Arc::clone(&setup.instance),
            descriptors: Arc::clone(&setup.descriptors),
            worker,
            most,
            agenda: Agenda::default(),
            running: JoinSet::new(),
            held: true,
        }
    }

    /// Checks for ever.
    pub(super) async fn run(mut self) {
        self.adopt();
        loop {
            self.release();
            let control = Arc::clone(&self.control);
            let next = self.agenda.next();
            let next = next.filter(|_| self.running.len() < self.most);
            tokio::select! {
                () = control.reload() => self.adopt(),
                Some(done) = self.running.join_next() => match done {
                    Ok(done) => self.judge(&done),
                    Err(error) => tracing::error!(%error, "a health check broke off"),
                },
                () = until(next) => self.begin_next(),
            }
        }
    }

    fn adopt(&mut self) {
        let worker = &self.worker;
        let draw = || worker.draw();
        self.agenda
            .adopt(&self.snapshots.load(), Instant::now(), draw);
    }

    /// Begins the check that is due first.
    fn begin_next(&mut self) {
        let Some((ticket, subject)) = self.agenda.begin_next() else {
            return;
        };
        let (worker, descriptors) = (Rc::clone(&self.worker), Arc::clone(&self.descriptors));
        self.running.spawn_local(async move {
            let begun = Instant::now();
            let result = probe::check(&subject, &worker, &descriptors).await;
            Checking {
                ticket,
                result,
                took: begun.elapsed(),
            }
        });
    }

    fn judge(&mut self, done: &Checking) {
        let next = (Instant::now(), self.worker.draw());
        self.agenda.judge(done, &self.snapshots, next);
    }

    /// Lets the process be ready once nobody is waited for.
    fn release(&mut self) {
        if self.held && !self.agenda.is_awaited() {
            self.held = false;
            self.instance.release();
        }
    }
}

/// Checks at once: enough for ten thousand backends that answer, and little enough that their answers do not come in
/// one heap.
const MOST_AT_ONCE: usize = 256;
