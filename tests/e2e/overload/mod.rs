//! More than backends can take: limits, the queue, and who is served when not all can be.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod adaptive;
mod burst;
mod counting;
mod rush;
mod waiting;

use crate::harness::{Balancer, DEADLINE, wait_until};

/// A balancer by two workers before one backend; checkout is more important than the rest.
fn configuration(address: impl std::fmt::Display, limits: &str) -> String {
    format!(
        "[server]\nworkers = 2\n[admin]\naddress = \"127.0.0.1:0\"\n[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         [[routes]]\npath_prefix = \"/checkout\"\npriority = 9\npool = \"shop\"\n\
         [[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n\
         [pools.shop]\nbackends = [{{ address = \"{address}\" }}]\n[pools.shop.limits]\n{limits}\n"
    )
}

/// Waits until so many requests wait for a place.
#[track_caller]
fn wait_for_queued(balancer: &Balancer, count: usize) {
    wait_until(DEADLINE, "requests wait for a place", || {
        balancer.metric("forecourt_pool_queued{pool=\"shop\"}") == count as f64
    });
}

/// Waits until nothing is in flight and nobody waits.
#[track_caller]
fn wait_for_silence(balancer: &Balancer, address: std::net::SocketAddr) {
    let in_flight = format!("forecourt_backend_in_flight{{pool=\"shop\",backend=\"{address}\"}}");
    wait_until(DEADLINE, "nothing is in flight", || {
        balancer.metric(&in_flight) == 0.0
    });
    wait_for_queued(balancer, 0);
}

fn outcomes(balancer: &Balancer, outcome: &str) -> f64 {
    balancer.metric(&format!(
        "forecourt_queue_total{{pool=\"shop\",outcome=\"{outcome}\"}}"
    ))
}

/// Has it take another configuration.
#[track_caller]
fn reload(balancer: &Balancer, configuration: &str) {
    let generation = || balancer.metric("forecourt_config_generation");
    let before = generation();
    balancer.reload(configuration);
    wait_until(DEADLINE, "the reload is done", || generation() > before);
}
