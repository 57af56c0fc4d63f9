//! Promises of all strategies, tested over all of them: [`fairness`] (shares), [`stability`] (who moves
//! when the pool changes), [`failover`] (who takes over, and who is never picked); [`tiers`] (backups, and slow start); and [`sealing`] (the cookie
//! that carries a binding).

mod failover;
mod fairness;
mod sealing;
mod stability;
mod tiers;

use std::sync::Arc;

use super::*;
use crate::backend::{Address, Backend, BackendKey, BackendMeters};

/// A pool whose members weigh this; their ids are `b0`, `b1` and so on.
pub(super) fn members(weights: &[u32]) -> Members {
    let ids: Vec<String> = (0..weights.len()).map(|at| format!("b{at}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    named(
        &ids.into_iter()
            .zip(weights.iter().copied())
            .collect::<Vec<_>>(),
    )
}

/// A pool of members with these ids and weights.
fn named(pool: &[(&str, u32)]) -> Members {
    Members::new(
        (0..)
            .zip(pool)
            .map(|(at, (id, weight))| member(at, id, *weight))
            .collect(),
    )
}

fn member(number: u32, id: &str, weight: u32) -> Member {
    let key = BackendKey {
        pool: "shop".into(),
        address: Address::Tcp((std::net::Ipv4Addr::from_bits(number), 80).into()),
    };
    Member {
        name: None,
        configured: weight,
        backend: Backend::new(key, number, Arc::new(BackendMeters::new(1))),
        id: id.into(),
        weight,
        nominal: weight,
        backup: false,
        placement: placement::hash_id(id),
        tag: Some(BackendTag(placement::hash_id(id))),
    }
}

/// The same backends as they stand now.
fn rebuilt(members: &Members) -> Members {
    Members::new(members.all().to_vec())
}

/// A strategy over the members as they are.
fn built(name: &str, members: &Members) -> Arc<dyn Strategy> {
    let cursor = Arc::new(Cursor::starting_at(1 << 63)); // far from where the exactness of a window ends
    build(&Spec::from_name(name).unwrap(), members, cursor)
}

/// A request of one client; `seed` makes both address and entropy.
fn request(seed: u64, tried: &Tried) -> PickContext<'_> {
    PickContext {
        affinity: Some(placement::mix(seed)),
        pin: None,
        tried,
        entropy: placement::mix(!seed),
    }
}

/// Picks for so many requests of different clients; counts by slot.
fn counts(strategy: &dyn Strategy, members: &Members, requests: u64) -> Vec<u64> {
    let tried = Tried::new();
    let mut counts = vec![0; members.all().len()];
    for seed in 0..requests {
        let slot = strategy.pick(members, &request(seed, &tried)).unwrap();
        counts[slot.0 as usize] += 1;
    }
    counts
}

/// Pearson's statistic of counts against shares by weight, in units of its degrees of freedom's
/// critical value at 0.001 (Wilson and Hilferty): above 1 the shares are wrong.
fn misfit(counts: &[u64], weights: &[u32]) -> f64 {
    let total = counts.iter().sum::<u64>() as f64;
    let weight: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    let shares = counts
        .iter()
        .zip(weights)
        .filter(|(_, weight)| **weight > 0);
    let statistic: f64 = shares
        .map(|(&count, &share)| {
            let due = total * f64::from(share) / weight;
            (count as f64 - due).powi(2) / due
        })
        .sum();
    let freedom = (weights.iter().filter(|&&weight| weight > 0).count() as f64 - 1.0).max(1.0);
    let spread = 2.0 / (9.0 * freedom);
    statistic / (freedom * (1.0 - spread + 3.09 * spread.sqrt()).powi(3))
}
