//! Who is checked when, and what is held of whom: the checks without the checking.
//!
//! What is held of a backend stands with the backend (`Backend::health`) and so outlives a reload; the outcomes in a row stay
//! as long as pool, address and policy do. Clock, lots and outcomes are arguments: [`super::probes`] brings them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;

use super::outliers::readmit;
use crate::backend::{BackendKey, Ejection, Health, LastCheck};
use crate::health::verdict::first_check;
use crate::health::{Change, Initial, Judgement, Outcome, Policy, Verdict};
use crate::snapshot::{Pool, Snapshot, Snapshots};
use crate::strategy::Slot;
use crate::telemetry::Cause;
use crate::upstream::probe::Subject;
use crate::worker::unix_seconds;

/// The checks that are due, and whom they are of.
#[derive(Default)]
pub struct Agenda {
    checked: HashMap<BackendKey, Checked, RandomState>,
    /// When which backend is due, soonest first; out of date if the backend's number is another by now.
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    by_ticket: HashMap<u64, BackendKey, RandomState>,
    tickets: u64,
}

/// A backend that is checked.
struct Checked {
    subject: Subject,
    verdict: Verdict,
    last: Option<LastCheck>,
    /// Successes in a row since it was ejected, and which ejection that was: in between it may have been in and out again.
    since_ejection: (u64, u32),
    /// By which its next check is known; another one when its policy is another.
    ticket: u64,
}

/// A check that is over.
#[derive(Clone, Copy, Debug)]
pub struct Checking {
    /// By which it was begun.
    pub ticket: u64,
    /// What it found.
    pub result: Result<(), Cause>,
    /// How long it took.
    pub took: Duration,
}

impl Agenda {
    /// Takes on the backends of the configuration of now, and leaves those that it does not have checked.
    pub fn adopt(&mut self, snapshot: &Snapshot, now: Instant, mut lot: impl FnMut() -> u64) {
        let mut before = std::mem::take(&mut self.checked);
        let mut fresh = Vec::new();
        for (pool, subject) in subjects(snapshot) {
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
                        since_ejection: (0, 0),
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
        let count = fresh.len();
        for (ticket, policy) in fresh {
            let at = first_check(&policy, now, count, lot());
            self.due.push(Reverse((at, ticket)));
        }
    }

    /// When the first check is due.
    pub fn next(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the check that is due first off the agenda: by which ticket to report it, and of whom it is. Nothing if
    /// nobody is, or it is of somebody who is checked no more, or by another policy.
    pub fn begin_next(&mut self) -> Option<(u64, Subject)> {
        let Reverse((_, ticket)) = self.due.pop()?;
        let key = self.by_ticket.get(&ticket)?;
        let checked = self.checked.get(key)?;
        Some((ticket, checked.subject.clone()))
    }

    /// Draws the conclusion from a check that was over at `now`, and notes when the next one is due. False if it is of
    /// somebody who is checked no more, or by another policy: then there is none.
    pub fn judge(
        &mut self,
        done: &Checking,
        snapshots: &Snapshots,
        (now, lot): (Instant, u64),
    ) -> bool {
        let key = self.by_ticket.get(&done.ticket);
        let Some(checked) = key.and_then(|key| self.checked.get_mut(key)) else {
            return false;
        };
        // That we are short of files says nothing of the backend.
        if done.result != Err(Cause::DescriptorsExhausted) {
            let change = checked.note(done);
            checked.lift_ejection(done, snapshots);
            if let Some(change) = change {
                checked.apply(change, snapshots);
            }
        }
        let policy: &Policy = &checked.subject.policy;
        let at = checked.verdict.next_check(policy, now, lot);
        self.due.push(Reverse((at, done.ticket)));
        true
    }

    /// Whether a process that starts has to wait for a first verdict.
    pub fn is_awaited(&self) -> bool {
        let waits = |checked: &Checked| {
            checked.subject.policy.initial == Initial::Hold && !checked.verdict.is_settled()
        };
        self.checked.values().any(waits)
    }
}

impl fmt::Debug for Agenda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agenda")
            .field("checked", &self.checked.len())
            .finish_non_exhaustive()
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
        let which = backend.ejections(Ejection::Failures);
        if done.result.is_err() || backend.ejection() != Some(Ejection::Failures) {
            self.since_ejection = (which, 0);
            return;
        }
        let (before, successes) = self.since_ejection;
        let successes = if before == which { successes + 1 } else { 1 };
        self.since_ejection = (which, successes);
        if successes >= self.subject.policy.rise {
            self.since_ejection = (which, 0);
            readmit(backend, snapshots, "its health checks succeed");
        }
    }

    /// Has a verdict take effect, and tells of it.
    fn apply(&self, change: Change, snapshots: &Snapshots) {
        let backend = &self.subject.backend;
        let before = backend.standing();
        backend.set_health(health(change.to));
        let fails = health(change.to) == Health::Failing;
        backend.note_failing_since(fails.then(unix_seconds));
        if backend.standing() != before {
            backend.note_stands_since(unix_seconds());
        }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;
    use crate::snapshot::Registry;

    #[test]
    fn successes_of_one_ejection_do_not_count_for_the_next() {
        let text = "listeners.web.address = \"127.0.0.1:80\"\n[[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n\
             [pools.shop]\nbackends = [{ address = \"127.0.0.1:1\" }]\n\
             [pools.shop.health]\ncheck = \"tcp\"\nrise = 2\n";
        let loaded = config::load_text(text, Path::new("x.toml"), &config::Options::new());
        let registry = Arc::new(Registry::new(1, 0));
        let first = Snapshot::assemble(Arc::new(loaded.unwrap().plan), &registry, 1);
        let backend = Arc::clone(&first.pools[0].members.all()[0].backend);
        let snapshots = Snapshots::new(first);
        let mut agenda = Agenda::default();
        agenda.adopt(&snapshots.load(), Instant::now(), || 0);
        let mut succeed = || {
            let (ticket, _) = agenda.begin_next().unwrap();
            let done = Checking {
                ticket,
                result: Ok(()),
                took: Duration::ZERO,
            };
            assert!(agenda.judge(&done, &snapshots, (Instant::now(), 0)));
        };
        backend.eject(Ejection::Failures);
        succeed();
        // Its time is over, and before the next check it fails again.
        backend.readmit();
        backend.eject(Ejection::Failures);
        succeed();
        assert!(backend.ejection().is_some(), "one of two");
        succeed();
        assert_eq!(backend.ejection(), None);
    }
}
