//! What the retries of each pool may spend: the windows of their budgets, turned once a second.
//!
//! How much a pool has sent is in the figures that workers keep for each pick; it is added up here, off the data path. The
//! rule is of `limit::budget`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use tokio::time::{MissedTickBehavior, interval};

use super::control::Setup;
use crate::limit::{Budget, Window};
use crate::snapshot::{Pool, Snapshot};

/// The window of each pool, and the budget that it is of.
#[derive(Default)]
struct Windows {
    pools: HashMap<Arc<str>, (Arc<Budget>, Window), RandomState>,
}

/// Turns them for ever.
pub(super) async fn run(setup: &Setup) {
    let mut windows = Windows::default();
    let mut seconds = interval(SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        windows.turn(&setup.snapshots.load());
    }
}

impl Windows {
    fn turn(&mut self, snapshot: &Snapshot) {
        let mut before = std::mem::take(&mut self.pools);
        for pool in snapshot.pools.iter().filter(|pool| may_retry(pool)) {
            let known = before.remove(&pool.name);
            let known = known.filter(|(budget, _)| Arc::ptr_eq(budget, &pool.budget));
            let (budget, mut window) =
                known.unwrap_or_else(|| (Arc::clone(&pool.budget), Window::default()));
            let members = pool.members.all().iter();
            let attempts = members
                .map(|member| member.backend.meters().attempts())
                .sum();
            window.turn(&budget, pool.retry.budget, attempts);
            self.pools.insert(Arc::clone(&pool.name), (budget, window));
        }
    }
}

fn may_retry(pool: &Pool) -> bool {
    pool.retry.attempts > 1 && pool.retry.budget > 0
}

const SECOND: Duration = Duration::from_secs(1);
