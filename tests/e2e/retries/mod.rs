//! What is sent again when a backend fails, by the rules of its pool: whatever is provably safe, and nothing else.
//!
//! In reading order: [`safety`] (what no backend has seen, what may have been done), [`rules`] (what a pool may say of
//! it), [`hedges`] (two attempts at once), [`idle`] (connections that backends close between two requests).
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod hedges;
mod idle;
mod rules;
mod safety;

use crate::failure::front;
use crate::harness::{Balancer, Origin, pool};

/// Before a pool of these origins with these rules, by one worker.
#[track_caller]
fn balancer(origins: &[&Origin], retry: &str) -> Balancer {
    let pool = pool("shop", "round-robin", origins);
    Balancer::start(&format!(
        "{}{pool}{KEPT}[pools.shop.retry]\n{retry}\n",
        front("")
    ))
}

/// How often an origin was asked in this way.
fn asked(origin: &Origin, method: &str) -> usize {
    let received = origin.received();
    received
        .iter()
        .filter(|request| request.method == method)
        .count()
}

/// Backends stay in rotation however often they fail, so that there is something to send again.
const KEPT: &str = "outlier.consecutive = 0\n";
