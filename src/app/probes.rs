//! All checks of all backends, in one place.
//!
//! Checks are due one by one, jittered, and of many that begin together the first ones are spread over an interval.
//! No more than [`MOST_AT_ONCE`] run at once, and no more than an eighth of the descriptors: what is beyond that is late,
//! never more. An interval runs from the end of a check to the beginning of the next, so a slow backend is asked
//! less often and never twice at once.
//!
//! What is held of a backend stands with the backend (`Backend::health`) and so outlives a reload; the outcomes in a row stay
//! as long as pool, address and policy do.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ahash::RandomState;
use tokio::task::JoinSet;

use super::control::{Control, Setup};
use super::outliers::{readmit, until};
use crate::admin::Instance;
use crate::backend::{BackendKey, Ejection, Health, LastCheck};
use crate::health::verdict::first_check;
use crate::health::{Change, Initial, Judgement, Outcome, Verdict};
use crate::snapshot::{Pool, Snapshot, Snapshots};
use crate::strategy::Slot;
use crate::telemetry::Cause;
use crate::upstream::probe::{self, Subject};
use crate::worker::{Descriptors, Worker, unix_seconds};

/// The checks of the process.
pub(super) struct Probes {
    control: Arc<Control>,
    snapshots: Arc<Snapshots>,
    instance: Arc<Instance>,
    descriptors: Arc<Descriptors>,
    worker: Rc<Worker>,
    most: usize,
    checked: HashMap<BackendKey, Checked, RandomState>,
    /// When which backend is due, soonest first; out of date if the backend's number is another by now.
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    by_ticket: HashMap<u64, BackendKey, RandomState>,
    tickets: u64,
    running: JoinSet<Checking>,
    /// Whether the process waits for first verdicts.
    held: bool,
}

/// A backend that is checked.
struct Checked {
    subject: Subject,
    verdict: Verdict,
    last: Option<LastCheck>,
    /// Successes in a row since it was ejected.
    since_ejection: u32,
    /// By which its next check is known; another one when its policy is another.
    ticket: u64,
}

/// A check that is over.
struct Checking {
    ticket: u64,
    result: Result<(), Cause>,
    took: std::time::Duration,
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
            checked: HashMap::default(),
            due: BinaryHeap::new(),
            by_ticket: HashMap::default(),
            tickets: 0,
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
            let next = self.due.peek().map(|Reverse((at, _))| *at);
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

    /// Takes on the backends of the configuration of now, and leaves those that it does not have checked.
    fn adopt(&mut self) {
        let snapshot = self.snapshots.load();
        let mut before = std::mem::take(&mut self.checked);
        let mut fresh = Vec::new();
        for (pool, subject) in subjects(&snapshot) {
            let key = subject.backend.key().clone();
            let known = before
                .remove(&key)
                .filter(|known| Arc::ptr_eq(&known.subject.backend, &subject.backend));
            let checked = match known {
                Some(known) if known.subject.policy == subject.policy => {
                    Checked { subject, ..known }
                }
                _ => {
                    self.tickets += 1;
                    fresh.push((self.tickets, Arc::clone(&subject.policy)));
                    self.by_ticket.insert(self.tickets, key.clone());
                    Checked {
                        verdict: Verdict::begin(judgement(subject.backend.health())),
                        last: None,
                        since_ejection: 0,
                        ticket: self.tickets,
                        subject,
                    }
                }
            };
            debug_assert_eq!(*pool.name, *checked.subject.backend.key().pool);
            self.checked.insert(key, checked);
        }
        let checked = &self.checked;
        self.by_ticket.retain(|ticket, key| {
            checked
                .get(key)
                .is_some_and(|checked| checked.ticket == *ticket)
        });
        let (now, count) = (Instant::now(), fresh.len());
        for (ticket, policy) in fresh {
            let at = first_check(&policy, now, count, self.worker.draw());
            self.due.push(Reverse((at, ticket)));
        }
    }

    /// Begins the check that is due first.
    fn begin_next(&mut self) {
        let Some(Reverse((_, ticket))) = self.due.pop() else {
            return;
        };
        // Of one that is checked no more, or by another policy, nothing is left but this.
        let Some(checked) = self
            .by_ticket
            .get(&ticket)
            .and_then(|key| self.checked.get(key))
        else {
            return;
        };
        let subject = checked.subject.clone();
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

    /// Draws the conclusion from a check.
    fn judge(&mut self, done: &Checking) {
        let key = self.by_ticket.get(&done.ticket);
        let Some(checked) = key.and_then(|key| self.checked.get_mut(key)) else {
            return;
        };
        let policy = Arc::clone(&checked.subject.policy);
        // That we are short of files says nothing of the backend.
        if done.result != Err(Cause::DescriptorsExhausted) {
            let change = checked.note(done);
            checked.lift_ejection(done, &self.snapshots);
            if let Some(change) = change {
                checked.apply(change, &self.snapshots);
            }
        }
        let at = checked
            .verdict
            .next_check(&policy, Instant::now(), self.worker.draw());
        self.due.push(Reverse((at, done.ticket)));
    }

    /// Lets the process be ready once nobody is waited for.
    fn release(&mut self) {
        let waits = |checked: &Checked| {
            checked.subject.policy.initial == Initial::Hold && !checked.verdict.is_settled()
        };
        if self.held && !self.checked.values().any(waits) {
            self.held = false;
            self.instance.release();
        }
    }
}

impl Checked {
    fn note(&mut self, done: &Checking) -> Option<Change> {
        let failure = done.result.err();
        let same = self
            .last
            .filter(|last| last.failure.is_some() == failure.is_some());
        let last = LastCheck {
            at: unix_seconds(),
            took: done.took,
            failure,
            in_row: same.map_or(0, |last| last.in_row).saturating_add(1),
        };
        self.last = Some(last);
        self.subject.backend.note_check(Some(last));
        let outcome = if failure.is_none() {
            Outcome::Succeeded
        } else {
            Outcome::Failed
        };
        self.verdict.note(outcome, &self.subject.policy)
    }

    /// Ends an ejection once `rise` checks in a row have succeeded during it. Not one for 5xx: a check that succeeds says
    /// nothing of other pages, and has succeeded all the while.
    fn lift_ejection(&mut self, done: &Checking, snapshots: &Snapshots) {
        let backend = &self.subject.backend;
        if done.result.is_err() || backend.ejection() != Some(Ejection::Failures) {
            self.since_ejection = 0;
            return;
        }
        self.since_ejection += 1;
        if self.since_ejection >= self.subject.policy.rise {
            self.since_ejection = 0;
            readmit(backend, snapshots, "its health checks succeed");
        }
    }

    /// Has a verdict take effect, and tells of it.
    fn apply(&self, change: Change, snapshots: &Snapshots) {
        let backend = &self.subject.backend;
        let before = backend.standing();
        backend.set_health(health(change.to));
        snapshots.standing_changed(&backend.key().pool);
        let (pool, address, to) = (&backend.key().pool, backend.address(), backend.standing());
        let after = change.after;
        match self.last.and_then(|last| last.failure) {
            Some(cause) => tracing::warn!(
                %pool, backend = %address, from = %before, to = %to, %cause, checks = after,
                "a backend fails its health checks"
            ),
            None => tracing::info!(
                %pool, backend = %address, from = %before, to = %to, checks = after,
                "a backend is well by its health checks"
            ),
        }
    }
}

/// The backends that a configuration has checked.
fn subjects(snapshot: &Snapshot) -> impl Iterator<Item = (&Arc<Pool>, Subject)> {
    let pools = snapshot.pools.iter().zip(&snapshot.plan.pools);
    pools.flat_map(|(pool, plan)| {
        let policy = plan.health.iter();
        policy.flat_map(move |policy| {
            let slots = 0..u32::try_from(pool.members.all().len()).unwrap_or(u32::MAX);
            slots.map(Slot).map(move |slot| {
                let subject = Subject {
                    backend: Arc::clone(pool.backend(slot)),
                    policy: Arc::clone(policy),
                    protocol: pool.protocol,
                    secure: pool.secure(slot).cloned(),
                    case: pool.style.case,
                };
                (pool, subject)
            })
        })
    })
}

fn judgement(health: Health) -> Judgement {
    match health {
        Health::Failing => Judgement::Down,
        Health::Unproven => Judgement::Unproven,
        Health::Well => Judgement::Up,
    }
}

fn health(judgement: Judgement) -> Health {
    match judgement {
        Judgement::Down => Health::Failing,
        Judgement::Unproven => Health::Unproven,
        Judgement::Up => Health::Well,
    }
}

/// Checks at once: enough for ten thousand backends that answer, and little enough that their answers do not come in
/// one heap.
const MOST_AT_ONCE: usize = 256;
