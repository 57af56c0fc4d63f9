//! Which backends are shown, and in which order.

use std::cmp::Ordering;

use crate::admin::alarms;
use crate::admin::stats::{BackendStats, PoolStats, Stats};

/// A backend by its places in the picture: pool, then backend.
pub(super) type Place = (usize, usize);

/// By what rows are in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Those first with which something is wrong; the others as configured.
    Worst,
    Name,
    Standing,
    Rate,
    P99,
    Errors,
    InFlight,
}

impl Sort {
    /// In the order of their keys, from 0.
    pub(super) const ALL: [Self; 7] = [
        Self::Worst,
        Self::Name,
        Self::Standing,
        Self::Rate,
        Self::P99,
        Self::Errors,
        Self::InFlight,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Worst => "worst first",
            Self::Name => "name",
            Self::Standing => "standing",
            Self::Rate => "requests/s",
            Self::P99 => "p99",
            Self::Errors => "errors",
            Self::InFlight => "in flight",
        }
    }

    pub(super) fn next(self) -> Self {
        let at = Self::ALL.iter().position(|one| *one == self);
        Self::ALL[at.map_or(0, |at| (at + 1) % Self::ALL.len())]
    }
}

/// What of a backend went wrong, per second.
pub(super) fn errors(backend: &BackendStats) -> f64 {
    backend.errors_per_second + backend.failures_per_second
}

/// The places of those whose pool, id or address has `filter` in it, in order.
pub(super) fn ordered(stats: &Stats, sort: Sort, filter: &str) -> Vec<Place> {
    let mut places = Vec::new();
    for (at, pool) in stats.pools.iter().enumerate() {
        for (index, backend) in pool.backends.iter().enumerate() {
            if is_wanted(pool, backend, filter) {
                places.push(((at, index), rank(backend)));
            }
        }
    }
    let of = |(pool, backend): Place| (&stats.pools[pool], &stats.pools[pool].backends[backend]);
    // Stable: those that are alike stay as they are configured.
    places.sort_by(|one, other| {
        let (a, b) = (of(one.0), of(other.0));
        match sort {
            Sort::Worst => one.1.cmp(&other.1),
            Sort::Name => name(a).cmp(&name(b)),
            Sort::Standing => standing(a.1).cmp(&standing(b.1)),
            Sort::Rate => falling(a.1.requests_per_second, b.1.requests_per_second),
            Sort::P99 => falling(p99(a.1), p99(b.1)),
            Sort::Errors => falling(errors(a.1), errors(b.1)),
            Sort::InFlight => b.1.status.in_flight.cmp(&a.1.status.in_flight),
        }
    });
    places.into_iter().map(|(place, _)| place).collect()
}

fn is_wanted(pool: &PoolStats, backend: &BackendStats, filter: &str) -> bool {
    let status = &backend.status;
    let texts = [&pool.name, &status.id, &status.address];
    filter.is_empty() || texts.iter().any(|text| text.contains(filter))
}

fn name<'a>((pool, backend): (&'a PoolStats, &'a BackendStats)) -> (&'a str, &'a str) {
    (&pool.name, &backend.status.id)
}

fn p99(backend: &BackendStats) -> f64 {
    backend.times.p99_milliseconds.unwrap_or(-1.0)
}

fn falling(one: f64, other: f64) -> Ordering {
    other.total_cmp(&one)
}

/// How bad it is: 0 is the worst.
fn rank(backend: &BackendStats) -> u8 {
    match standing(backend) {
        0 | 1 => 0,
        _ if errors(backend) > 0.0 => 1,
        _ if alarms::is_slow(backend) => 2,
        2 | 3 => 3,
        _ => 4,
    }
}

fn standing(backend: &BackendStats) -> u8 {
    match backend.status.standing.as_str() {
        "failing" => 0,
        "ejected" => 1,
        "maintenance" => 2,
        "draining" => 3,
        "ready" => 5,
        _ => 4,
    }
}
