//! What clients may take of the balancer, and who they are taken for.
//!
//! In reading order: [`refusals`] (each limit with its status and its counter), [`slow`] (clients that trickle),
//! [`connections`] (how many, and how long), [`proxy_protocol`] (clients behind another balancer),
//! [`tls`] (what is decided before a handshake).
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod connections;
mod proxy_protocol;
mod refusals;
mod slow;
mod tls;

use std::collections::BTreeMap;

use crate::harness::{Balancer, DEADLINE, Origin, Response, pool, wait_for};
use crate::metrics::Figures;

/// The admin API, the listener `web` with these lines, two workers, and a route to the pool `shop`.
fn front(listener: &str) -> String {
    format!(
        "[server]\nworkers = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n\
         [listeners.web]\naddress = \"127.0.0.1:0\"\n{listener}\n"
    )
}

fn configuration(listener: &str, origin: &Origin) -> String {
    front(listener) + &pool("shop", "round-robin", &[origin])
}

fn balancer(listener: &str, origin: &Origin) -> Balancer {
    Balancer::start(&configuration(listener, origin))
}

/// Waits until so much has been refused in all, and gives it by cause.
#[track_caller]
fn refused(balancer: &Balancer, count: usize) -> BTreeMap<String, f64> {
    wait_for(DEADLINE, &format!("{count} refusals"), || {
        let figures = Figures::of(balancer);
        let by = figures.by("forecourt_refused_total", "cause", &[("listener", "web")]);
        let total: f64 = by.values().sum();
        assert!(total <= count as f64, "{by:?}, and not {count}");
        (total == count as f64).then_some(by)
    })
}

fn counts(expected: &[(&str, f64)]) -> BTreeMap<String, f64> {
    let pair = |(cause, count): &(&str, f64)| ((*cause).to_owned(), *count);
    expected.iter().map(pair).collect()
}

#[track_caller]
fn assert_refused(response: &Response, status: u16, cause: &str) {
    let found = (response.status, response.cause());
    assert_eq!(found, (status, Some(cause)), "{response}");
    assert_eq!(response.field("connection"), Some("close"), "{response}");
}
