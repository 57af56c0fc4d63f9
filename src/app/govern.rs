//! The one place where configurations change: by SIGHUP, by the admin API, and back again by a trial that fails.
//!
//! All that changes the configuration comes here, one thing after the other, so that each finds the last one done. While
//! a configuration is on trial no other is taken (what would a revert go back to?), certificates are not renewed and the
//! program is not replaced: it is confirmed or reverted first, which takes an hour at most, and one request.
//!
//! A revert or rollback applies an old plan as a new generation. The token of the admin API alone is never taken back: an
//! old one may have been given up because it was lost. The file on the disk stays as it is, which is said in the log.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::history::{Entry, History, Texts};
use super::reload::Applied;
use super::start::{bind_all, unbind};
use super::traffic::{Sum, Traffic};
use super::watch::Watch;
use super::{ReloadError, Running};
use crate::admin::order::{
    ChangeView, Configuration, Done, FiguresView, FileView, Order, Outcome, Refusal,
    Traffic as TrafficView, TrialEnd, TrialStatus, TrialView, Wish,
};
use crate::config::{self, Loaded, Report, Severity, Text};
use crate::health::trial::{Finding, Terms, Trial};
use crate::listener::handoff::Given;
use crate::plan::Plan;
use crate::plan::diff::{Change, diff};
use crate::plan::moves::moves;

/// The configuration that a process runs with: where it is, how it is read, and what it said at first.
#[derive(Debug)]
pub struct Source {
    /// Its first file.
    pub path: PathBuf,
    /// What is the same whenever it is read.
    pub options: config::Options,
    /// As it was written when the process began.
    pub texts: Vec<Text>,
}

/// Whoever changes the configuration of a running balancer.
#[derive(Debug)]
pub(super) struct Governor {
    pub(super) running: Running,
    pub(super) watch: Watch,
    path: PathBuf,
    options: config::Options,
    history: History,
    traffic: Traffic,
    trial: Option<OnTrial>,
    last: Option<TrialEnd>,
}

/// A configuration that must be confirmed.
#[derive(Debug)]
struct OnTrial {
    generation: u64,
    who: String,
    trial: Trial,
    /// What had been counted when it began.
    begun: Sum,
    former: Arc<Entry>,
    /// Set once it could not be reverted: each look tries it again.
    stuck: bool,
}

impl Governor {
    pub(super) fn new(running: Running, source: Source) -> Self {
        let texts = Texts::new(source.texts);
        Self {
            history: History::new(running.generation, Arc::clone(&running.plan), texts),
            traffic: Traffic::new(&running.snapshot(), Instant::now()),
            running,
            watch: Watch::new(),
            path: source.path,
            options: source.options,
            trial: None,
            last: None,
        }
    }

    /// How the configuration is read.
    pub(super) fn options(&self) -> &config::Options {
        &self.options
    }

    /// Whether a configuration waits to be confirmed.
    pub(super) fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// When the trial has to be looked at, beside once a second.
    pub(super) fn trial_ends(&self) -> Option<Instant> {
        let waiting = self.trial.as_ref().filter(|trial| !trial.stuck);
        waiting.map(|on_trial| on_trial.trial.ends())
    }

    /// Reads the file again and applies it, as SIGHUP wants it.
    pub(super) fn reload_by_signal(&mut self) {
        // What became of it has been logged and counted.
        let _ = self.reload("SIGHUP", None);
    }

    /// Reads certificates that have changed. Must not be called during a trial, for a revert would undo it.
    pub(super) fn renew_certificates(&mut self) {
        let before = self.running.generation;
        self.running.renew_certificates();
        if self.running.generation != before
            && let Some(current) = self.history.current()
        {
            let texts = current.texts.clone();
            let what = "certificates: others are in their files".to_owned();
            self.remember("certificates".to_owned(), texts, vec![what]);
        }
    }

    /// Does what is wanted, and answers.
    pub(super) fn obey(&mut self, order: Order) {
        let Order { who, wish, answer } = order;
        // Whoever asked may have gone; it is done all the same.
        let _ = answer.send(self.fulfil(&who, wish));
    }

    fn fulfil(&mut self, who: &str, wish: Wish) -> Result<Done, Refusal> {
        match wish {
            Wish::Compare(text) => self.compare(&text),
            Wish::Confirm => self.confirm(who),
            Wish::History => Ok(Done::History(self.history.view())),
            Wish::Reload(terms) => self.reload(who, terms),
            Wish::Revert => self.call_off(who),
            Wish::Rollback(generation, terms) => self.roll_back(who, generation, terms),
            Wish::Show => Ok(Done::Configuration(self.show())),
            Wish::Trial => Ok(Done::Trial(self.status())),
            Wish::TryOut => {
                let loaded = config::load(&self.path, &self.options);
                self.try_out(loaded.map_err(|report| Refusal::Bad(report.problems))?)
            }
        }
    }

    fn reload(&mut self, who: &str, terms: Option<Terms>) -> Result<Done, Refusal> {
        self.refuse_during_trial()?;
        let loaded = config::load(&self.path, &self.options);
        let loaded = loaded.map_err(|report| self.refuse_bad(report))?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        let texts = Texts::new(loaded.texts);
        self.apply(loaded.plan, texts, who, terms)
            .map(|outcome| Outcome {
                warnings,
                ..outcome
            })
            .map(|outcome| Done::Outcome(Box::new(outcome)))
    }

    fn roll_back(
        &mut self,
        who: &str,
        generation: u64,
        terms: Option<Terms>,
    ) -> Result<Done, Refusal> {
        self.refuse_during_trial()?;
        let Some(entry) = self.history.find(generation).cloned() else {
            let (first, last) = self.history.range();
            return Err(Refusal::Unknown(format!(
                "generation {generation} is not remembered, but {first} to {last} are"
            )));
        };
        tracing::info!(%who, to = generation, "rollback");
        let who = format!("rollback to {generation} by {who}");
        let plan = self.again(&entry);
        let outcome = self.apply(plan, entry.texts.clone(), &who, terms)?;
        tracing::warn!(file = %self.path.display(), "the file is not what serves: the next reload or start reads it");
        Ok(Done::Outcome(Box::new(outcome)))
    }

    /// Applies a plan, on trial if there are terms.
    fn apply(
        &mut self,
        plan: Plan,
        texts: Texts,
        who: &str,
        terms: Option<Terms>,
    ) -> Result<Outcome, Refusal> {
        let former = self.history.current().cloned();
        let now = Instant::now();
        self.traffic.read(&self.running.snapshot(), now);
        let (before, begun) = (self.traffic.lately(), self.traffic.sum());
        let traffic = self.moves(&plan);
        let applied = self.running.reload(plan);
        let Applied {
            generation,
            changes,
        } = applied.map_err(|error| refuse(&error))?;
        tracing::info!(%who, generation, "configuration changed");
        self.remember(who.to_owned(), texts, in_words(&changes));
        if let (Some(terms), Some(former)) = (terms, former) {
            let trial = Trial::begin(terms, before, now);
            tracing::warn!(
                %who, generation, time = ?terms.time,
                "the configuration is on trial: it is reverted unless it is confirmed in time"
            );
            self.trial = Some(OnTrial {
                generation,
                who: who.to_owned(),
                trial,
                begun,
                former,
                stuck: false,
            });
        }
        Ok(Outcome {
            generation,
            applied: true,
            changes: changes.iter().map(ChangeView::from).collect(),
            warnings: Vec::new(),
            traffic,
            trial: self.trial_view(),
        })
    }

    /// What a configuration would change; nothing changes.
    fn try_out(&mut self, loaded: Loaded) -> Result<Done, Refusal> {
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        let plan = loaded.plan;
        let listeners = self.running.new_listeners(&plan);
        let bound = bind_all(listeners, 1, &mut Given::default());
        let bound = bound.map_err(|error| refuse(&error))?;
        unbind(&bound);
        drop(bound);
        self.traffic.read(&self.running.snapshot(), Instant::now());
        let changes = diff(&self.running.plan, &plan);
        Ok(Done::Outcome(Box::new(Outcome {
            generation: self.running.generation,
            applied: false,
            changes: changes.iter().map(ChangeView::from).collect(),
            warnings,
            traffic: self.moves(&plan),
            trial: self.trial_view(),
        })))
    }

    /// The same for a text in place of the file. Lines of other files that it names are not shown: whoever sends a text
    /// has no business reading what the process can read.
    fn compare(&mut self, text: &str) -> Result<Done, Refusal> {
        let loaded = config::load_text(text, &self.path, &self.options);
        let loaded = loaded.map_err(|Report { mut problems }| {
            for problem in &mut problems {
                if problem.file != self.path {
                    problem.at = None;
                }
                problem.also = problem.also.take().filter(|also| also.file == self.path);
            }
            Refusal::Bad(problems)
        })?;
        self.try_out(loaded)
    }

    fn moves(&self, plan: &Plan) -> TrafficView {
        let (seen, window) = self.traffic.seen(&self.running.snapshot(), Instant::now());
        TrafficView::of(&moves(&self.running.plan, plan, &seen), window)
    }

    /// Counts, judges the trial if there is one, and reverts it if it has to be. About once a second.
    pub(super) fn look(&mut self) -> Option<impl FnOnce(&mut Self) + Send + use<>> {
        let now = Instant::now();
        self.traffic.read(&self.running.snapshot(), now);
        let on_trial = self.trial.as_ref()?;
        let since = self.traffic.since(&on_trial.begun);
        match on_trial.trial.look(&since, now) {
            Finding::Wait => None,
            Finding::Revert(cause) => Some(move |governor: &mut Self| {
                // If it cannot be, it is tried again at the next look.
                let _ = governor.revert(&cause);
            }),
        }
    }

    fn confirm(&mut self, who: &str) -> Result<Done, Refusal> {
        // Whoever keeps what cannot be reverted ends the trying.
        let was_stuck = self.trial.as_ref().is_some_and(|on_trial| on_trial.stuck);
        // A guard that has tripped meanwhile has the last word.
        if !was_stuck && let Some(revert) = self.look() {
            revert(self);
        }
        let kept = |on_trial: &mut OnTrial| was_stuck || !on_trial.stuck;
        let Some(on_trial) = self.trial.take_if(kept) else {
            return Err(self.nothing_on_trial());
        };
        tracing::info!(%who, generation = on_trial.generation, "the configuration is confirmed");
        self.last = Some(TrialEnd {
            generation: on_trial.generation,
            confirmed: true,
            why: format!("confirmed by {who}"),
        });
        Ok(Done::Trial(self.status()))
    }

    fn call_off(&mut self, who: &str) -> Result<Done, Refusal> {
        if self.trial.is_none() {
            return Err(self.nothing_on_trial());
        }
        self.revert(&format_args!("{who} called it off"))
            .map_err(|error| refuse(&error))?;
        Ok(Done::Trial(self.status()))
    }

    /// Goes back to what served before the trial.
    fn revert(&mut self, cause: &dyn fmt::Display) -> Result<(), ReloadError> {
        let Some(on_trial) = &self.trial else {
            return Ok(());
        };
        let (of, former) = (on_trial.generation, Arc::clone(&on_trial.former));
        let plan = self.again(&former);
        match self.running.apply(plan) {
            Ok(Applied {
                generation,
                changes,
            }) => {
                for change in &changes {
                    tracing::info!(generation, "{change}");
                }
                tracing::error!(
                    generation, reverted = of, file = %self.path.display(),
                    "configuration reverted: {cause}; the file is not what serves: the next reload or start reads it"
                );
                metrics::counter!("forecourt_config_reloads_total", "result" => "reverted")
                    .increment(1);
                let who = format!("revert of {of}: {cause}");
                self.trial = None;
                self.last = Some(TrialEnd {
                    generation: of,
                    confirmed: false,
                    why: cause.to_string(),
                });
                self.remember(who, former.texts.clone(), in_words(&changes));
                Ok(())
            }
            Err(error) => {
                tracing::error!(
                    generation = of,
                    "configuration cannot be reverted ({cause}), which is tried again: {error}"
                );
                if let Some(on_trial) = &mut self.trial {
                    on_trial.stuck = true;
                }
                Err(error)
            }
        }
    }

    /// An old plan, to be applied with the token of now.
    fn again(&self, entry: &Entry) -> Plan {
        let mut plan = Plan::clone(&entry.plan);
        plan.admin.clone_from(&self.running.plan.admin);
        plan
    }

    fn remember(&mut self, who: String, texts: Texts, changes: Vec<String>) {
        let (generation, plan) = (self.running.generation, Arc::clone(&self.running.plan));
        self.history.add(generation, plan, texts, (who, changes));
        // An old plan has old certificates, and files may have changed during a trial: all of them are looked at.
        self.watch.forget();
    }

    fn refuse_during_trial(&self) -> Result<(), Refusal> {
        let Some(on_trial) = &self.trial else {
            return Ok(());
        };
        let why = format!(
            "generation {} is on trial: `forecourt reload confirm` or `forecourt reload revert` comes first",
            on_trial.generation
        );
        self.running.refuse_reload(&why);
        Err(Refusal::Conflict(why))
    }

    fn refuse_bad(&self, report: Report) -> Refusal {
        // A line for each: a log is read by line.
        for problem in &report.problems {
            match problem.severity {
                Severity::Error => tracing::error!("{problem}"),
                Severity::Warning => tracing::warn!("{problem}"),
            }
        }
        let (file, errors) = (self.path.display(), report.errors());
        let why = format!("{errors} problems, see `forecourt check {file}`");
        self.running.refuse_reload(&why);
        Refusal::Bad(report.problems)
    }

    fn nothing_on_trial(&self) -> Refusal {
        if let Some(on_trial) = &self.trial {
            return Refusal::Conflict(format!(
                "generation {} has to be reverted and cannot be, as the log says: confirm it again to keep it",
                on_trial.generation
            ));
        }
        Refusal::Conflict(match &self.last {
            Some(last) if !last.confirmed => format!(
                "no configuration is on trial: generation {} has been reverted: {}",
                last.generation, last.why
            ),
            Some(_) | None => "no configuration is on trial".to_owned(),
        })
    }

    fn show(&self) -> Configuration {
        let files = self.history.current().map(|entry| &entry.texts.files);
        let files = files.into_iter().flat_map(|files| files.iter());
        Configuration {
            generation: self.running.generation,
            files: files
                .map(|file| FileView {
                    path: file.path.display().to_string(),
                    text: file.text.clone(),
                })
                .collect(),
        }
    }

    fn status(&self) -> TrialStatus {
        TrialStatus {
            generation: self.running.generation,
            trial: self.trial_view(),
            last: self.last.clone(),
        }
    }

    fn trial_view(&self) -> Option<TrialView> {
        let on_trial = self.trial.as_ref()?;
        let trial = &on_trial.trial;
        let left = trial.ends().saturating_duration_since(Instant::now());
        let bound = trial.terms().bound(trial.before());
        Some(TrialView {
            generation: on_trial.generation,
            who: on_trial.who.clone(),
            seconds_left: left.as_secs_f64(),
            errors_percent: trial.terms().errors,
            latency_milliseconds: bound.and_then(|bound| u64::try_from(bound.as_millis()).ok()),
            before: trial.before().into(),
            since: FiguresView::from(&self.traffic.since(&on_trial.begun)),
        })
    }
}

fn in_words(changes: &[Change]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

fn refuse(error: &dyn fmt::Display) -> Refusal {
    Refusal::Conflict(format!(
        "configuration refused, nothing has changed: {error}"
    ))
}
