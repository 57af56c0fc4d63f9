//! The next generation: diff, bind, assemble, publish, retire.
//!
//! What can fail comes first; from the publication on nothing can. In-flight requests finish on the
//! generation that they began with, and a listener whose address stays keeps its sockets and connections.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::leaving::removed;
use super::start::{StartError, admin_tls, bind_all, unbind};
use super::worker::Command;
use super::{Running, control};
use crate::listener::bind::remove;
use crate::listener::handoff::Given;
use crate::listener::tls::TlsError;
use crate::plan::diff::{Change, diff};
use crate::plan::{Listener, Plan};
use crate::snapshot::Snapshot;

/// A configuration that has been applied.
#[derive(Debug)]
pub struct Applied {
    /// Its number.
    pub generation: u64,
    /// What it changed.
    pub changes: Vec<Change>,
}

/// Why a configuration was not applied. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A new listener's address cannot be had.
    #[error(transparent)]
    Bind(#[from] StartError),
    /// The admin API's certificates cannot be used.
    #[error("admin: {0}")]
    AdminTls(#[from] TlsError),
    /// The access log cannot be written there.
    #[error("access log: {0}")]
    AccessLog(std::io::Error),
}

impl Running {
    /// Applies a plan, or changes nothing.
    ///
    /// # Errors
    /// When an address or the access log's file cannot be had.
    pub fn reload(&mut self, plan: Plan) -> Result<Applied, ReloadError> {
        let result = self.apply(plan);
        match &result {
            Ok(applied) => {
                for change in &applied.changes {
                    tracing::info!(generation = applied.generation, "{change}");
                }
                tracing::info!(
                    generation = applied.generation,
                    changes = applied.changes.len(),
                    "configuration applied"
                );
                metrics::counter!("forecourt_config_reloads_total", "result" => "ok").increment(1);
            }
            Err(error) => self.refuse_reload(&error.to_string()),
        }
        result
    }

    /// Notes a configuration that is not applied.
    pub fn refuse_reload(&self, why: &str) {
        tracing::error!(
            generation = self.generation,
            "configuration refused, nothing has changed: {why}"
        );
        metrics::counter!("forecourt_config_reloads_total", "result" => "refused").increment(1);
    }

    pub(super) fn apply(&mut self, plan: Plan) -> Result<Applied, ReloadError> {
        self.see_names();
        let changes = diff(&self.plan, &plan);
        let plan = Arc::new(self.keep_fixed(plan));
        let admin_tls = admin_tls(&plan)?;
        let bound = bind_all(
            self.new_listeners(&plan),
            self.workers.len(),
            &mut Given::default(),
        )?;
        if self.plan.log.access != plan.log.access
            && let Some(access) = &self.access
        {
            let wanted = &plan.log.access;
            if let Err(error) = access.retarget(wanted.target.clone(), wanted.format) {
                unbind(&bound);
                return Err(ReloadError::AccessLog(error));
            }
        }
        if let Some(log) = &self.log {
            log.set_level(plan.log.level);
        }
        self.recent.set_most(plan.log.recent);
        self.generation += 1;
        let (last, next) = self
            .snapshots
            .publish(|_| Snapshot::assemble(Arc::clone(&plan), &self.registry, self.generation));
        control::tell_of_panics(&last, &next);
        self.control.removed(removed(&last, &next));
        self.control.reloaded();
        let admin = plan.admin.as_ref();
        self.instance
            .set_token(admin.and_then(|admin| admin.token.clone()));
        self.instance.set_tls(admin_tls);
        self.plan = plan;
        self.tell_all(|| Command::Refresh);
        self.retire();
        self.listen(bound);
        self.registry.sweep();
        self.note_generation();
        Ok(Applied {
            generation: self.generation,
            changes,
        })
    }

    /// Takes note of what names have given since the configuration was applied.
    pub(super) fn see_names(&mut self) {
        self.plan = Arc::clone(&self.snapshots.load().plan);
    }

    /// The listeners of a plan that have no sockets yet.
    pub(super) fn new_listeners<'p>(
        &self,
        plan: &'p Plan,
    ) -> impl Iterator<Item = &'p Arc<Listener>> {
        let listening = &self.listening;
        plan.listeners.iter().filter(move |listener| {
            !listening
                .iter()
                .any(|old| listener.shares_sockets(&old.post.listener))
        })
    }

    /// What is fixed for the life of the process stays as it is; the diff has said that it needs a restart.
    fn keep_fixed(&self, mut plan: Plan) -> Plan {
        plan.server.workers = self.plan.server.workers;
        let wanted = std::mem::replace(&mut plan.admin, self.plan.admin.clone());
        if let (Some(admin), Some(wanted)) = (&mut plan.admin, wanted) {
            admin.token = wanted.token;
            if let (Some(tls), Some(wanted)) = (&mut admin.tls, wanted.tls) {
                *tls = wanted;
            }
        }
        plan
    }

    /// Ends the listeners that the plan no longer has, and names the others as it does.
    fn retire(&mut self) {
        let plan = Arc::clone(&self.plan);
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.listening)
            .into_iter()
            .partition(|old| {
                plan.listeners
                    .iter()
                    .any(|listener| listener.shares_sockets(&old.post.listener))
            });
        self.listening = kept;
        for listened in &mut self.listening {
            if let Some(listener) = plan
                .listeners
                .iter()
                .find(|listener| listener.shares_sockets(&listened.post.listener))
            {
                listened.post.listener = Arc::clone(listener);
            }
        }
        let (closed, all_closed) = mpsc::channel();
        for mut listened in gone {
            listened.sockets.clear();
            tracing::info!(listener = %listened.post.listener.name, address = %listened.bound, "listening no more");
            self.tell_all(|| Command::Retire(listened.post.key, closed.clone()));
            remove(&listened.bound, listened.owner);
        }
        drop(closed);
        // The next reload may want the address back, and would find it taken by ourselves.
        if all_closed.recv_timeout(CLOSING) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("a worker has not closed its listening sockets in time");
        }
    }
}

/// How long workers may take to close listening sockets: far longer than they do.
pub(super) const CLOSING: Duration = Duration::from_secs(5);
