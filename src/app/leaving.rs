//! Backends that a reload has removed: what runs there may end, but not last for ever.
//!
//! Nothing new is sent there from the moment of the reload. Requests end by the deadlines of their pool; WebSockets and
//! other tunnels may stay for `drain.streams`, and are told to go then, over `drain.spread`. The log says when such a
//! backend is empty, or what was left there in the end.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::control::{Control, Setup};
use crate::admin::steer::call_off_over;
use crate::backend::Backend;
use crate::plan::pool::Drain;
use crate::snapshot::Snapshot;

/// A backend that has been removed, and how it may be left.
#[derive(Debug)]
pub struct Leaver {
    backend: Arc<Backend>,
    drain: Drain,
}

/// Those that the one generation had and the next one does not have, marked as such.
pub fn removed(last: &Snapshot, next: &Snapshot) -> Vec<Leaver> {
    let members = next.pools.iter().flat_map(|pool| pool.members.all());
    let kept: std::collections::HashSet<u32, ahash::RandomState> =
        members.map(|member| member.backend.number()).collect();
    let mut leavers = Vec::new();
    for (pool, plan) in last.pools.iter().zip(&last.plan.pools) {
        for member in pool.members.all() {
            if !kept.contains(&member.backend.number()) {
                member.backend.set_removed(true);
                leavers.push(Leaver {
                    backend: Arc::clone(&member.backend),
                    drain: plan.drain,
                });
            }
        }
    }
    leavers
}

/// Sees those off that are removed, for ever.
pub(super) async fn run(setup: &Setup) {
    let control: &Control = &setup.control;
    loop {
        control.removal().await;
        let leavers = std::mem::take(
            &mut *control
                .leavers
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for leaver in leavers {
            tokio::task::spawn_local(leaver.see_off());
        }
    }
}

impl Leaver {
    async fn see_off(self) {
        let Self { backend, drain } = self;
        let begun = Instant::now();
        let pool = Arc::clone(&backend.key().pool);
        let address = backend.shown().to_owned();
        // What was picked a moment before may not have begun yet.
        sleep(LOOK).await;
        if backend.in_flight() == 0 {
            return;
        }
        if is_empty_by(&backend, begun + drain.streams).await {
            tracing::info!(%pool, backend = address, "a removed backend is empty");
            return;
        }
        if !backend.is_removed() {
            return;
        }
        let left = backend.in_flight();
        tracing::info!(%pool, backend = address, left, spread = ?drain.spread, "a removed backend calls its WebSockets off");
        call_off_over(&Arc::downgrade(&backend), drain.spread, Backend::is_removed).await;
        let is_empty = is_empty_by(&backend, Instant::now() + LAST).await;
        if backend.is_removed() {
            let left = backend.in_flight();
            tracing::info!(%pool, backend = address, is_empty, left, after = ?begun.elapsed(), "a removed backend is seen off");
        }
    }
}

/// Whether nothing runs there at some time before `until`, as long as it is removed.
async fn is_empty_by(backend: &Backend, until: Instant) -> bool {
    while backend.in_flight() > 0 && backend.is_removed() {
        if Instant::now() >= until {
            return false;
        }
        sleep(LOOK).await;
    }
    backend.in_flight() == 0
}

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(250);

/// How long the last ones may take to say goodbye.
const LAST: Duration = Duration::from_secs(5);
