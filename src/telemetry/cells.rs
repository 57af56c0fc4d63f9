//! The cells in which a worker counts: plain loads and stores, since each cell has one writer.
//!
//! A cell belongs to one worker; only that worker's thread writes it, any thread may read it. So a
//! count is a relaxed load and a relaxed store, without a locked instruction and without a shared
//! cache line. A second writer would lose counts (nothing worse); whoever needs several writers
//! takes one cell for each and adds them up, as the scrape does. Reads may be a moment old.

use std::array;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A number that only grows; one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A number that goes up and down; one writer. The share of one worker may be below zero, the sum is not.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

/// How often each range of durations was seen, and their sum; one writer.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each bound, and one for what is above them all. Not cumulative.
    buckets: [Counter; Self::BUCKETS],
    /// Microseconds: in 64 bits nanoseconds would overflow after weeks with 10,000 requests at work.
    sum: Counter,
}

/// Histograms of several workers added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramTotal {
    buckets: [u64; Histogram::BUCKETS],
    sum_microseconds: u64,
}

impl Counter {
    /// Counts `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Gauge {
    /// Moves by `n`, up or down.
    #[inline]
    pub fn add(&self, n: i64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// One more.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// One less.
    #[inline]
    pub fn decrement(&self) {
        self.add(-1);
    }

    /// Sets the number.
    #[inline]
    pub fn set(&self, n: i64) {
        self.0.store(n, Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

impl Histogram {
    /// Upper bounds of the buckets, inclusive. From what a backend in the same rack takes to the
    /// default response timeout; the same for all, so that figures can be added and compared.
    pub const BOUNDS: [Duration; 17] = [
        Duration::from_micros(100),
        Duration::from_micros(250),
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_micros(2_500),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(25),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(250),
        Duration::from_millis(500),
        Duration::from_secs(1),
        Duration::from_millis(2_500),
        Duration::from_secs(5),
        Duration::from_secs(10),
        Duration::from_secs(30),
    ];

    /// Number of buckets: one for each bound, one for all above.
    pub const BUCKETS: usize = Self::BOUNDS.len() + 1;

    /// Counts one duration. The sum takes it rounded to the nearest microsecond.
    #[inline]
    pub fn observe(&self, elapsed: Duration) {
        let bucket = Self::BOUNDS.partition_point(|bound| *bound < elapsed);
        self.buckets[bucket].add(1);
        let rounded = elapsed
            .saturating_add(Duration::from_nanos(500))
            .as_micros();
        self.sum.add(u64::try_from(rounded).unwrap_or(u64::MAX));
    }

    /// What was counted so far.
    pub fn total(&self) -> HistogramTotal {
        let mut total = HistogramTotal::default();
        total.add(self);
        total
    }
}

impl HistogramTotal {
    /// Adds one worker's figures.
    pub fn add(&mut self, cell: &Histogram) {
        self.merge(&Self {
            buckets: array::from_fn(|bucket| cell.buckets[bucket].get()),
            sum_microseconds: cell.sum.get(),
        });
    }

    /// Adds figures that are sums already.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine = mine.wrapping_add(theirs);
        }
        self.sum_microseconds = self.sum_microseconds.wrapping_add(other.sum_microseconds);
    }

    /// What has come since `before` was taken.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        // Read while others count: a moment's disorder must not become a huge number.
        Self {
            buckets: array::from_fn(|bucket| {
                self.buckets[bucket].saturating_sub(before.buckets[bucket])
            }),
            sum_microseconds: self
                .sum_microseconds
                .saturating_sub(before.sum_microseconds),
        }
    }

    /// About what so many per cent are not above, with `longer` more that are above all; nothing if there are none.
    /// Within a bucket durations count as evenly spread, and as the last bound above all bounds.
    pub fn percentile(&self, percent: u8, longer: u64) -> Option<Duration> {
        let counted = self.count();
        let rank = (counted + longer) as f64 * f64::from(percent) / 100.0;
        let (mut below, mut lower) = (0.0, Duration::ZERO);
        for (upper, count) in Histogram::BOUNDS.into_iter().zip(self.buckets) {
            let count = count as f64;
            if count > 0.0 && below + count >= rank {
                return Some(lower + (upper - lower).mul_f64((rank - below) / count));
            }
            below += count;
            lower = upper;
        }
        (counted > 0).then_some(lower)
    }

    /// How many durations were counted. Taken from the buckets, so it always agrees with them.
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, bucket| sum.wrapping_add(*bucket))
    }

    /// The sum of all durations, to the microsecond.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_microseconds)
    }

    /// For each bound, how many durations were not above it.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        Histogram::BOUNDS
            .into_iter()
            .zip(self.buckets)
            .scan(0_u64, |sum, (bound, bucket)| {
                *sum = sum.wrapping_add(bucket);
                Some((bound, *sum))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_grow_and_are_inclusive() {
        assert!(Histogram::BOUNDS.is_sorted_by(|a, b| a < b));
        for (index, bound) in Histogram::BOUNDS.into_iter().enumerate() {
            let histogram = Histogram::default();
            histogram.observe(bound);
            histogram.observe(bound + Duration::from_nanos(1));
            let cumulative: Vec<_> = histogram
                .total()
                .cumulative()
                .map(|(_, count)| count)
                .collect();
            assert_eq!(cumulative[index], 1, "{bound:?} is in its own bucket");
            assert!(cumulative[..index].iter().all(|count| *count == 0));
            assert!(cumulative[index + 1..].iter().all(|count| *count == 2));
            assert_eq!(histogram.total().count(), 2);
        }
    }

    #[test]
    fn percentiles_lie_in_the_bucket_of_their_rank() {
        let histogram = Histogram::default();
        assert_eq!(histogram.total().percentile(95, 0), None);
        (0..100).for_each(|_| histogram.observe(Duration::from_millis(2)));
        let before = histogram.total();
        let p95 = before.percentile(95, 0).unwrap();
        assert!(p95 > Duration::from_millis(1) && p95 <= Duration::from_micros(2_500));
        (0..10).for_each(|_| histogram.observe(Duration::from_millis(400)));
        let p95 = histogram.total().percentile(95, 0).unwrap();
        assert!(p95 > Duration::from_millis(250) && p95 <= Duration::from_millis(500));
        let last = histogram.total().since(&before);
        assert_eq!((last.count(), last.sum()), (10, Duration::from_secs(4)));
        // Whoever is above all is somewhere behind the last bound.
        assert_eq!(before.percentile(95, 100), Some(Duration::from_secs(30)));
        assert_eq!(before.since(&histogram.total()).count(), 0);
    }

    #[test]
    fn the_longest_duration_does_not_overflow() {
        let histogram = Histogram::default();
        histogram.observe(Duration::MAX);
        assert_eq!(histogram.total().count(), 1);
        assert!(histogram.total().cumulative().all(|(_, count)| count == 0));
    }

    #[test]
    fn one_writer_and_many_readers_see_every_count() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..100_000).for_each(|_| counter.add(1)));
            scope.spawn(|| {
                let mut last = 0;
                while last < 100_000 {
                    let now = counter.get();
                    assert!(now >= last, "a counter never goes back");
                    last = now;
                }
            });
        });
        assert_eq!(counter.get(), 100_000);
    }

    #[test]
    fn a_gauge_goes_both_ways() {
        let gauge = Gauge::default();
        gauge.increment();
        gauge.add(4);
        gauge.decrement();
        assert_eq!(gauge.get(), 4);
        gauge.set(-1);
        assert_eq!(gauge.get(), -1);
    }

    proptest! {
        #[test]
        fn counts_and_sums_are_those_of_the_durations(nanoseconds in prop::collection::vec(0_u64..60_000_000_000, 0..200)) {
            let (left, right) = (Histogram::default(), Histogram::default());
            for (index, nanosecond) in nanoseconds.iter().enumerate() {
                [&left, &right][index % 2].observe(Duration::from_nanos(*nanosecond));
            }
            let mut total = left.total();
            total.add(&right);
            prop_assert_eq!(total.count(), nanoseconds.len() as u64);
            prop_assert_eq!(total.sum(), Duration::from_micros(nanoseconds.iter().map(|n| (n + 500) / 1_000).sum()));
            for (bound, count) in total.cumulative() {
                let expected = nanoseconds.iter().filter(|n| Duration::from_nanos(**n) <= bound).count();
                prop_assert_eq!(count, expected as u64);
            }
        }
    }
}
