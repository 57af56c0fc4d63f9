//! What the balancer has counted, as the demo shows it: from its own meters, nothing is counted twice.

use std::time::Duration;

use super::backends::Fleet;
use crate::snapshot::Snapshot;
use crate::telemetry::cells::HistogramTotal;
use crate::telemetry::{Cause, CodeClass};

/// The demo in numbers.
#[derive(Debug)]
pub(super) struct Figures {
    /// Requests of clients that have ended.
    pub(super) requests: u64,
    /// Of them, those that clients saw fail: answered with 5xx.
    pub(super) errors: u64,
    /// How long they took.
    pub(super) times: HistogramTotal,
    pub(super) backends: Vec<BackendFigures>,
}

/// One backend in numbers, all pools together.
#[derive(Debug, Default)]
pub(super) struct BackendFigures {
    pub(super) name: &'static str,
    pub(super) serving: bool,
    /// Requests that it has answered.
    pub(super) requests: u64,
    /// Attempts that failed: refused connections, most of them, which another backend made good.
    pub(super) failures: u64,
    pub(super) in_flight: u32,
    pub(super) times: HistogramTotal,
}

impl Figures {
    /// As of now.
    pub(super) fn of(snapshot: &Snapshot, fleet: &Fleet) -> Self {
        let mut figures = Self {
            requests: 0,
            errors: 0,
            times: HistogramTotal::default(),
            backends: Vec::new(),
        };
        for (_, _, meters) in snapshot.used_route_meters() {
            let total = meters.total();
            figures.requests += total.requests.iter().sum::<u64>();
            figures.errors += total.requests[CodeClass::ServerError.index()];
            figures.times.merge(&total.duration);
        }
        for backend in &fleet.backends {
            let mut sums = BackendFigures {
                name: backend.name,
                serving: backend.is_serving(),
                ..BackendFigures::default()
            };
            let members = snapshot.pools.iter().flat_map(|pool| pool.members.all());
            for member in members.filter(|member| *member.id == *backend.name) {
                let total = member.backend.meters().total();
                sums.requests += total.requests.iter().sum::<u64>();
                sums.failures += Cause::of_backend()
                    .iter()
                    .map(|cause| total.failures[cause.index()])
                    .sum::<u64>();
                sums.in_flight += member.backend.in_flight();
                sums.times.merge(&total.duration);
            }
            figures.backends.push(sums);
        }
        figures
    }

    /// Requests that backends have answered.
    pub(super) fn answered(&self) -> u64 {
        self.backends.iter().map(|backend| backend.requests).sum()
    }
}

/// The mean; none of nothing.
pub(super) fn mean(times: &HistogramTotal) -> Option<Duration> {
    let count = times.count();
    (count > 0).then(|| times.sum().div_f64(count as f64))
}

/// The duration that `share` of all are not above, to the accuracy of the buckets: within one, all are taken to be
/// spread evenly. None of nothing, and none if it is above the last bound.
pub(super) fn quantile(times: &HistogramTotal, share: f64) -> Option<Duration> {
    let rank = times.count() as f64 * share;
    if times.count() == 0 {
        return None;
    }
    let (mut below, mut lower) = (0, Duration::ZERO);
    for (bound, count) in times.cumulative() {
        if count as f64 >= rank && count > below {
            let part = (rank - below as f64) / (count - below) as f64;
            return Some(lower + (bound - lower).mul_f64(part.clamp(0.0, 1.0)));
        }
        (below, lower) = (count, bound);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::meters::Histogram;

    #[test]
    fn quantiles_are_within_the_bucket_of_the_true_one() {
        let histogram = Histogram::default();
        assert_eq!(quantile(&histogram.total(), 0.5), None);
        assert_eq!(mean(&histogram.total()), None);
        (0..98).for_each(|_| histogram.observe(Duration::from_millis(2)));
        (0..2).for_each(|_| histogram.observe(Duration::from_millis(40)));
        let total = histogram.total();
        let within = |share, from, to| {
            let found = quantile(&total, share).unwrap();
            assert!(
                (Duration::from_micros(from)..=Duration::from_micros(to)).contains(&found),
                "{share}: {found:?}"
            );
        };
        within(0.0, 1_000, 2_500);
        within(0.5, 1_000, 2_500);
        within(0.98, 1_000, 2_500);
        within(0.99, 25_000, 50_000);
        within(1.0, 25_000, 50_000);
        assert_eq!(mean(&total), Some(Duration::from_micros(2_760)));
        histogram.observe(Duration::from_secs(60));
        assert_eq!(
            quantile(&histogram.total(), 1.0),
            None,
            "above the last bound"
        );
    }
}
